"""The preference pair: a question about a picture, the true answer (chosen) and a corrupted one (rejected).

One record for every source of dispreferences and every file format (see ``preference_files``). Pairs on disk are JSON lines, one
pair each, only ever appended to, so that a killed run loses at most the line it was writing.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib import pictures
from povid_lib.metrics import rows
from povid_lib.pair_texts import TEXTS, half_character, hash_of, text_faults, word_faults

# object, relation, attribute: POVID's three corruptions of captions (section 3.1); step, result: of reasoning items
CORRUPTIONS = ("object", "relation", "attribute", "step", "result")
_REST = {
    "changes": "a list, empty where the source does not tell them",
    "provenance": "null, or an object",
    "picture_last": "true or false",
    "hash": "the one that `append` has written",
}
_START = b'{"id": '  # of every line written here


@dataclass(frozen=True)
class Change:
    """One corruption: its kind, and the words that stand in the chosen and in the rejected answer ("" where nothing does).

    Raises ``ValueError`` for an unknown kind, words that are no text, or the same words on both sides.
    """

    kind: str
    chosen: str
    rejected: str

    def __post_init__(self) -> None:
        if self.kind not in CORRUPTIONS:
            raise ValueError(f"Change.kind is {self.kind!r}; choose one of {', '.join(CORRUPTIONS)}.")
        _check_texts(self, ("chosen", "rejected"))
        if self.chosen == self.rejected:
            raise ValueError(f"Change: {self.chosen!r} stands on both sides, so nothing changes; leave it out.")


@dataclass(frozen=True)
class Provenance:
    """Where a rejected answer comes from. ``model``: "truth" for the offline rewriter, else the model asked; ``prompt``: the
    version of the prompt; ``time``: ISO 8601, UTC; ``cost``: US dollars. Raises ``ValueError`` for a text that is none, or a cost
    that is negative or not finite."""

    model: str
    prompt: str
    time: str
    cost: float = 0.0

    def __post_init__(self) -> None:
        _check_texts(self, ("model", "prompt", "time"))
        number = isinstance(self.cost, int | float) and not isinstance(self.cost, bool)
        if not number or not 0 <= self.cost < math.inf:
            raise ValueError(f"Provenance.cost is {shown(self.cost)}; give US dollars, 0 or more.")


@dataclass(frozen=True)
class Truth:
    """A true answer to a question about a picture: what a rewriter makes a pair of. ``image``: as in ``Pair``; ``prompt``:
    without ``<image>``."""

    id: str
    image: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Pair:
    """One preference pair. ``image``: a file name relative to the pictures' folder, or ``scene:split/kind/index`` of the pocket
    world. ``changes``: empty where a source does not tell them (POVID's public file). ``picture_last``: the file it was read from
    has the picture after the question; trainings put it first all the same, as LLaVA's own does.

    Raises ``ValueError`` with every fault: an empty id, image, prompt or answer, ``<image>`` within a text, chosen and rejected the
    same, or a field of another type.
    """

    id: str
    image: str
    prompt: str
    chosen: str
    rejected: str
    changes: tuple[Change, ...] = ()
    provenance: Provenance | None = None
    picture_last: bool = False

    def __post_init__(self) -> None:
        faults = text_faults(vars(self))
        if not isinstance(self.changes, tuple) or not all(isinstance(change, Change) for change in self.changes):
            faults.append(f"changes is {shown(self.changes)}; it must be a tuple of Change")
        if not isinstance(self.provenance, Provenance | None):
            faults.append(f"provenance is {shown(self.provenance)}; it must be None or a Provenance")
        if not isinstance(self.picture_last, bool):
            faults.append(f"picture_last is {shown(self.picture_last)}; it must be True or False")
        if faults:
            raise ValueError(f"Pair {self.id!r}: {'; '.join(faults)}.")

    @property
    def hash(self) -> str:
        """SHA-256 of what is trained on: image, prompt, chosen, rejected."""
        return hash_of(vars(self))


def differences(chosen: str, rejected: str) -> list[tuple[str, str]]:
    """Where two answers differ: the runs of words that stand in one and not in the other, in order ("" for nothing)."""
    a, b = (re.findall(r"\S+", text) for text in (chosen, rejected))
    blocks = difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes()
    return [(" ".join(a[i:j]), " ".join(b[k:m])) for tag, i, j, k, m in blocks if tag != "equal"]


# --- files -------------------------------------------------------------------------------------------------------


def write(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Pairs into a new file; how many they were. Raises ``FileExistsError`` rather than overwrite one, and as ``append`` does."""
    rows.check_place(path)
    if Path(path).exists():
        raise FileExistsError(f"{path} exists; append to it, or choose another name.")
    return append(path, pairs)


def append(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Add pairs to a file, which need not exist yet; how many they were. Memory stays flat.

    Each pair is handed to the system as one whole line before the next one is asked for, so that what ends a run (a kill, or an
    error of the iterable) costs none of the pairs before. A torn last line that a kill has left is taken off first: see ``mend``.
    Raises ``ValueError`` as ``mend`` does, for a folder that is not there, and for what is no ``Pair``.
    """
    rows.check_place(path)
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
    rows.check_file(path)
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
            rows.fail(path, [f"{fault}; give a file of pairs, or choose a new name"])
        end = file.seek(-len(cut) if torn else 0, os.SEEK_END)
        file.truncate(end)
        file.write(b"\n" if cut and not torn else b"")
        return cut if torn else b""


def read(path: str | Path) -> Iterator[Pair]:
    """The pairs of a file, one after the other; memory stays flat.

    Raises ``ValueError`` at the first line that holds no sound pair. ``validate`` names every fault of a file, and looks further.
    """
    for where, row, faults in rows.stream(path):
        if faults := faults or [f"{where}: {fault}" for fault in _row_faults(row)]:
            rows.fail(path, faults)
        changes = tuple(Change(**change) for change in row["changes"])
        made = None if row["provenance"] is None else Provenance(**row["provenance"])
        texts = {name: row[name] for name in TEXTS}
        yield Pair(**texts, changes=changes, provenance=made, picture_last=row["picture_last"])


def validate(path: str | Path, images: str | Path | None = None) -> int:
    """Check a whole file, and its pictures if ``images`` names their folder; how many pairs it holds.

    Raises ``ValueError`` with every fault of ``find_faults``; also for a file that holds nothing, and if ``images`` is no folder.
    """
    count, faults = find_faults(path, images)
    return rows.sound(path, count, faults)


def find_faults(path: str | Path, images: str | Path | None = None) -> tuple[int, list[str]]:
    """How many pairs a file holds, and every fault with its line: no JSON, not UTF-8, a torn last line, a field that is missing,
    empty, unknown or of the wrong type, an unknown kind of corruption, a change whose words do not stand in their answer, chosen
    and rejected the same, an id or a content that occurs twice, a hash that does not fit, a picture that is missing or unreadable,
    a reference to no scene, a path that leaves the folder.

    Raises ``ValueError`` if ``images`` is no folder.
    """
    pictures.check_folder(images)
    faults: list[str] = []
    seen: dict[str, dict[str, str]] = {"id": {}, "content": {}}
    looked_at: dict[str, str | None] = {}
    count = 0
    for where, row, wrong in rows.stream(path):
        count += 1
        faults += wrong or [f"{where}: {fault}" for fault in _row_faults(row)]
        if wrong or not isinstance(row, dict):
            continue
        faults += [f"{where}: {fault}" for fault in word_faults(row)]
        image = row.get("image")
        if isinstance(image, str) and image.strip():
            if image not in looked_at:
                looked_at[image] = pictures.fault(image, images)
            faults += [f"{where}: {looked_at[image]}"] if looked_at[image] else []
        if isinstance(row.get("id"), str) and row["id"].strip():
            rows.repeated("id", row["id"], where, seen["id"], faults)
        if not text_faults(row):
            rows.repeated("content", hash_of(row)[:16], where, seen["content"], faults)
    return count, faults


def checked(caller: str, pair: object) -> Pair:
    """The pair itself. Raises ``ValueError`` for what is none."""
    if not isinstance(pair, Pair):
        raise ValueError(f"{caller}: {shown(pair)} is no Pair; give pairs, such as `read` yields of a file of them.")
    return pair


def _check_texts(record: Change | Provenance, names: Iterable[str]) -> None:
    for name in names:
        text, where = getattr(record, name), f"{type(record).__name__}.{name}"
        if not isinstance(text, str):
            raise ValueError(f"{where} is {shown(text)}; it must be text.")
        if fault := half_character(where, text):
            raise ValueError(f"{fault}.")


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
