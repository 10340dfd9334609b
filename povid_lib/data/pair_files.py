"""Preference pairs on disk: one JSON object a line, read with every fault, appended to, mended after a kill."""

from __future__ import annotations

import itertools
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
from povid_lib.files import journal, jsonl
from povid_lib.files.faults import Faults

_REST = {
    "changes": "a list, empty where the source does not tell them",
    "provenance": "null, or an object",
    "picture_last": "true or false",
    "hash": "the one that `append` has written",
}
OWN = frozenset(_REST)  # fields that no other form has
_FORM = journal.Form("pair", b'{"id": ', lambda row: isinstance(row, dict) and TEXTS.keys() <= row.keys(), plain=True)


# --- files -------------------------------------------------------------------------------------------------------


def write(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Pairs into a new file, which is there once it is whole; how many they were. Memory stays flat.

    Raises ``FileExistsError`` rather than overwrite one, ``ValueError`` for a folder that is not there, and what is no ``Pair``.
    """
    jsonl.check_place(path)
    if Path(path).exists():
        raise FileExistsError(f"{path} exists; append to it, or choose another name.")
    written = 0
    with jsonl.replacing(path) as part, part.open("wb") as file:
        for pair in pairs:
            file.write(journal.line(_row(checked("write", pair)), _FORM))
            written += 1
    return written


def append(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Add pairs to a file, which need not exist yet; how many they were. Memory stays flat, and others may append meanwhile.

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
    with journal.appending(path, _FORM) as add:
        for pair in itertools.chain(first, source):
            add(_row(pair))
            written += 1
    return written


def mend(path: str | Path) -> bytes:
    """Take a torn last line off a file and return it, or ``b""``. A whole record that lacks only its line end gets it.

    Raises ``ValueError``, and leaves the file as it is, if its last line is neither a pair nor the beginning of one.
    """
    return journal.mend(path, _FORM)


def _row(pair: Pair) -> dict[str, Any]:
    return {**asdict(pair), "hash": pair.hash}


def read(path: str | Path) -> Iterator[Pair]:
    """The pairs of a file, one after the other; memory stays flat.

    Raises ``ValueError`` with every line that holds no sound pair; none is yielded after the first of them. ``validate`` looks
    further: at pictures, and at what rows have in common.
    """
    faults = Faults(path)
    for where, row, wrong in jsonl.stream(path):
        for fault in wrong.found:
            faults.add(fault, "unreadable")
        for fault in () if wrong else _row_faults(row):
            faults.at(where).add(fault)
        if faults:
            continue
        changes = tuple(Change(**change) for change in row["changes"])
        made = None if row["provenance"] is None else Provenance(**row["provenance"])
        texts = {name: row[name] for name in TEXTS}
        yield Pair(**texts, changes=changes, provenance=made, picture_last=row["picture_last"])
    if faults:
        faults.fail()


def validate(path: str | Path, images: str | Path | None = None) -> int:
    """Check a whole file, and its pictures if ``images`` names their folder; how many pairs it holds.

    Raises ``ValueError`` with every fault of ``find_faults``; also for a file that holds nothing, and if ``images`` is no folder.
    """
    count, faults = _checked(path, images)
    return faults.sound(count)


def find_faults(path: str | Path, images: str | Path | None = None) -> tuple[int, list[str]]:
    """How many pairs a file holds, and every fault with its line: no JSON, not UTF-8, a torn last line, a field that is missing,
    empty, unknown or of the wrong type, an unknown kind of corruption, a change whose words do not stand in their answer, chosen
    and rejected the same, an id or a content that occurs twice, a hash that does not fit, a picture that is missing or unreadable,
    a reference to no scene, a path that leaves the folder.

    Raises ``ValueError`` if ``images`` is no folder.
    """
    count, faults = _checked(path, images)
    return count, faults.found


def _checked(path: str | Path, images: str | Path | None) -> tuple[int, Faults]:
    images_module.check_folder(images)
    faults, count = Faults(path), 0
    looked_at: dict[str, str | None] = {}
    for where, row, wrong in jsonl.stream(path):
        count, at = count + 1, faults.at(where)
        if wrong:
            for fault in wrong.found:
                faults.add(fault, "unreadable")
            continue
        for fault in _row_faults(row) + (word_faults(row) if isinstance(row, dict) else []):
            at.add(fault)
        if not isinstance(row, dict):
            continue
        image = row.get("image")
        if isinstance(image, str) and image.strip():
            if image not in looked_at:
                looked_at[image] = images_module.fault(image, images)
            if unseen := looked_at[image]:
                at.add(unseen)
        if isinstance(row.get("id"), str) and row["id"].strip():
            at.repeated("id", row["id"])
        if not text_faults(row):
            at.repeated("content", hash_of(row)[:16])
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
