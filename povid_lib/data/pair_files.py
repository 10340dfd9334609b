"""Preference pairs on disk: one JSON object a line, read with every fault, appended to, mended after a kill."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.data import images as images_module
from povid_lib.data.pairs import (
    TEXTS,
    Change,
    Pair,
    Provenance,
    checked,
    hash_of,
    text_faults,
    word_faults,
)
from povid_lib.files import jsonl

_REST = {
    "changes": "a list, empty where the source does not tell them",
    "provenance": "null, or an object",
    "picture_last": "true or false",
    "hash": "the one that `append` has written",
}
_START = b'{"id": '  # of every line written here


# --- files -------------------------------------------------------------------------------------------------------


def write(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Pairs into a new file; how many they were. Raises ``FileExistsError`` rather than overwrite one, and as ``append`` does."""
    jsonl.check_place(path)
    if Path(path).exists():
        raise FileExistsError(f"{path} exists; append to it, or choose another name.")
    return append(path, pairs)


def append(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Add pairs to a file, which need not exist yet; how many they were. Memory stays flat.

    Each pair is handed to the system as one whole line before the next one is asked for, so that what ends a run (a kill, or an
    error of the iterable) costs none of the pairs before. A torn last line that a kill has left is taken off first: see ``mend``.
    Raises ``ValueError`` as ``mend`` does, for a folder that is not there, and for what is no ``Pair``.
    """
    jsonl.check_place(path)
    if Path(path).exists():
        mend(path)
    source = (checked("append", pair) for pair in pairs)
    first = list(itertools.islice(source, 1))  # a source that fails at once leaves no empty file behind
    written = 0
    with open(path, "ab") as file:
        for pair in itertools.chain(first, source):
            file.write(json.dumps({**asdict(pair), "hash": pair.hash}, ensure_ascii=False).encode() + b"\n")
            file.flush()
            written += 1
    return written


def mend(path: str | Path) -> bytes:
    """Take a torn last line off a file and return it, or ``b""``. A whole record that lacks only its line end gets it.

    Raises ``ValueError``, and leaves the file as it is, if its last line is neither a pair nor the beginning of one.
    """
    jsonl.check_file(path)
    with open(path, "r+b") as file:
        at, tail = file.seek(0, os.SEEK_END), b""
        while at and b"\n" not in tail.rstrip():  # backwards, so that a long file costs no more than a short one
            start = max(0, at - 65536)
            file.seek(start)
            tail, at = file.read(at - start) + tail, start
        cut = tail.rpartition(b"\n")[2]  # what no line end follows
        last = cut or tail.rstrip().rpartition(b"\n")[2]
        try:
            row, torn = json.loads(last or b"null"), False
            ours = not last or (isinstance(row, dict) and TEXTS.keys() <= row.keys())
        except (ValueError, RecursionError):
            ours = torn = bool(cut) and (cut.startswith(_START) or _START.startswith(cut))
        if not ours:
            fault = f"the last line, {shown(last)}, is no pair and not the beginning of one"
            jsonl.fail(path, [f"{fault}; give a file of pairs, or choose a new name"])
        end = file.seek(-len(cut) if torn else 0, os.SEEK_END)
        file.truncate(end)
        file.write(b"\n" if cut and not torn else b"")
        return cut if torn else b""


def read(path: str | Path) -> Iterator[Pair]:
    """The pairs of a file, one after the other; memory stays flat.

    Raises ``ValueError`` at the first line that holds no sound pair. ``validate`` names every fault of a file, and looks further.
    """
    for where, row, faults in jsonl.stream(path):
        if faults := faults or [f"{where}: {fault}" for fault in _row_faults(row)]:
            jsonl.fail(path, faults)
        changes = tuple(Change(**change) for change in row["changes"])
        made = None if row["provenance"] is None else Provenance(**row["provenance"])
        texts = {name: row[name] for name in TEXTS}
        yield Pair(**texts, changes=changes, provenance=made, picture_last=row["picture_last"])


def validate(path: str | Path, images: str | Path | None = None) -> int:
    """Check a whole file, and its pictures if ``images`` names their folder; how many pairs it holds.

    Raises ``ValueError`` with every fault of ``find_faults``; also for a file that holds nothing, and if ``images`` is no folder.
    """
    count, faults = find_faults(path, images)
    return jsonl.sound(path, count, faults)


def find_faults(path: str | Path, images: str | Path | None = None) -> tuple[int, list[str]]:
    """How many pairs a file holds, and every fault with its line: no JSON, not UTF-8, a torn last line, a field that is missing,
    empty, unknown or of the wrong type, an unknown kind of corruption, a change whose words do not stand in their answer, chosen
    and rejected the same, an id or a content that occurs twice, a hash that does not fit, a picture that is missing or unreadable,
    a reference to no scene, a path that leaves the folder.

    Raises ``ValueError`` if ``images`` is no folder.
    """
    images_module.check_folder(images)
    faults: list[str] = []
    seen: dict[str, dict[str, str]] = {"id": {}, "content": {}}
    looked_at: dict[str, str | None] = {}
    count = 0
    for where, row, wrong in jsonl.stream(path):
        count += 1
        faults += wrong or [f"{where}: {fault}" for fault in _row_faults(row)]
        if wrong or not isinstance(row, dict):
            continue
        faults += [f"{where}: {fault}" for fault in word_faults(row)]
        image = row.get("image")
        if isinstance(image, str) and image.strip():
            if image not in looked_at:
                looked_at[image] = images_module.fault(image, images)
            faults += [f"{where}: {looked_at[image]}"] if looked_at[image] else []
        if isinstance(row.get("id"), str) and row["id"].strip():
            jsonl.repeated("id", row["id"], where, seen["id"], faults)
        if not text_faults(row):
            jsonl.repeated("content", hash_of(row)[:16], where, seen["content"], faults)
    return count, faults


def _row_faults(row: Any) -> list[str]:
    """What keeps a JSON value from being a pair."""
    if not isinstance(row, dict):
        return [f"{shown(row)} is no object; each line holds one pair"]
    faults = text_faults(row)
    changes, hashed = row.get("changes"), row.get("hash")
    if not faults and isinstance(hashed, str) and hashed != hash_of(row):
        faults.append(
            f"hash is {shown(hashed)}, but that of the texts is {hash_of(row)}: one was edited; write the pair anew"
        )
    sound = {
        "changes": isinstance(changes, list),
        "provenance": "provenance" in row and isinstance(row["provenance"], dict | None),
        "picture_last": isinstance(row.get("picture_last"), bool),
        "hash": isinstance(hashed, str),
    }
    for name, meaning in _REST.items():
        if not sound[name]:
            told = f"{name} is {shown(row[name])}; it must be" if name in row else f"no {name}; give"
            faults.append(f"{told} {meaning}")
    faults += [f"unknown field {name!r}; take it out" for name in row if name not in TEXTS and name not in _REST]
    for at, change in enumerate(changes if isinstance(changes, list) else [], start=1):
        faults += _record_faults(f"change {at}", Change, change)
    if isinstance(row.get("provenance"), dict):
        faults += _record_faults("provenance", Provenance, row["provenance"])
    return faults


def _record_faults(where: str, of: type[Change] | type[Provenance], value: Any) -> list[str]:
    """What keeps a JSON value from being one of these records."""
    names = [field.name for field in fields(of)]
    if not isinstance(value, dict) or set(value) != set(names):
        return [f"{where} is {shown(value)}; it must be an object with {', '.join(names)}, no more"]
    try:
        of(**value)
    except ValueError as error:
        return [f"{where}: {error}"]
    return []
