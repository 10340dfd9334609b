"""The preference pair: a question about a picture, the true answer (chosen) and a corrupted one (rejected).

One record for every source of dispreferences and every file format (see ``preference_files``). Pairs on disk are JSON lines, one
pair each, only ever appended to, so that a killed run loses at most the line it was writing.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib import pictures
from povid_lib.metrics import rows

# object, relation, attribute: POVID's three corruptions of captions (section 3.1); step, result: of reasoning items
CORRUPTIONS = ("object", "relation", "attribute", "step", "result")
PLACEHOLDER = "<image>"  # stands for the picture in LLaVA's and POVID's files, and in the text that models read
_TEXTS = {
    "id": "a name of its own",
    "image": "the picture's file name, or scene:split/kind/index",
    "prompt": "the question",
    "chosen": "the true answer",
    "rejected": "the corrupted answer",
}
_REST = {
    "changes": "a list, empty where the source does not tell them",
    "provenance": "null, or an object with the texts model, prompt and time and the number cost",
    "picture_last": "true or false",
    "hash": "the one that `append` has written",
}
_START = b'{"id": '  # of every line written here


@dataclass(frozen=True)
class Change:
    """One corruption: its kind, and the words that stand in the chosen and in the rejected answer ("" where nothing does)."""

    kind: str
    chosen: str
    rejected: str

    def __post_init__(self) -> None:
        if self.kind not in CORRUPTIONS:
            raise ValueError(f"Change.kind is {self.kind!r}; choose one of {', '.join(CORRUPTIONS)}.")
        if self.chosen == self.rejected:
            raise ValueError(f"Change: {self.chosen!r} stands on both sides, so nothing changes.")


@dataclass(frozen=True)
class Provenance:
    """Where a rejected answer comes from. ``model``: "truth" for the offline rewriter, else the model asked; ``prompt``: the
    version of the prompt; ``time``: ISO 8601, UTC; ``cost``: US dollars."""

    model: str
    prompt: str
    time: str
    cost: float = 0.0


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

    Raises ``ValueError`` with every fault: an empty id, image, prompt or answer, ``<image>`` within a text, or chosen and rejected
    the same.
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
        if faults:
            raise ValueError(f"Pair {self.id!r}: {'; '.join(faults)}.")

    @property
    def hash(self) -> str:
        """SHA-256 of what is trained on: image, prompt, chosen, rejected."""
        return _hash(vars(self))


def differences(chosen: str, rejected: str) -> list[tuple[str, str]]:
    """Where two answers differ: the runs of words that stand in one and not in the other, in order ("" for nothing)."""
    a, b = (re.findall(r"\S+", text) for text in (chosen, rejected))
    blocks = difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes()
    return [(" ".join(a[i:j]), " ".join(b[k:m])) for tag, i, j, k, m in blocks if tag != "equal"]


# --- files -------------------------------------------------------------------------------------------------------


def write(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Pairs into a new file; how many they were. Raises ``FileExistsError`` rather than overwrite one. See ``append``."""
    if Path(path).exists():
        raise FileExistsError(f"{path} exists; append to it, or choose another name.")
    return append(path, pairs)


def append(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Add pairs to a file, which need not exist yet; how many they were. Memory stays flat.

    Each pair is handed to the system as one whole line before the next one is asked for, so that what ends a run (a kill, or an
    error of the iterable) costs none of the pairs before. A torn last line that a kill has left is taken off first: see ``mend``.
    """
    if Path(path).exists():
        mend(path)
    written = 0
    with open(path, "ab") as file:
        for pair in pairs:
            file.write(json.dumps({**asdict(pair), "hash": pair.hash}, ensure_ascii=False).encode() + b"\n")
            file.flush()
            written += 1
    return written


def mend(path: str | Path) -> bytes:
    """Take a torn last line off a file and return it, or ``b""``. A whole record that lacks only its line end gets it.

    Raises ``ValueError``, and leaves the file as it is, if the last line is not the beginning of a pair.
    """
    with open(path, "r+b") as file:
        at, last = file.seek(0, os.SEEK_END), b""
        while at and b"\n" not in last:  # backwards, so that a long file costs no more than a short one
            start = max(0, at - 65536)
            file.seek(start)
            last, at = file.read(at - start) + last, start
        last = last.rpartition(b"\n")[2]
        if not last:
            return b""
        try:
            json.loads(last)
        except ValueError:
            if not (last.startswith(_START) or _START.startswith(last)):
                rows.fail(path, [f"the last line, {shown(last)}, is no pair cut short; is this a file of pairs?"])
            file.seek(-len(last), os.SEEK_END)
            file.truncate()
            return last
        file.seek(0, os.SEEK_END)
        file.write(b"\n")
        return b""


def read(path: str | Path) -> Iterator[Pair]:
    """The pairs of a file, one after the other; memory stays flat.

    Raises ``ValueError`` at the first line that holds no sound pair. ``validate`` names every fault of a file, and looks further.
    """
    for where, row, faults in _rows(path):
        if faults := faults or [f"{where}: {fault}" for fault in _row_faults(row)]:
            rows.fail(path, faults)
        changes = tuple(Change(**change) for change in row["changes"])
        provenance = None if row["provenance"] is None else Provenance(**row["provenance"])
        yield Pair(**{name: row[name] for name in _TEXTS}, changes=changes, provenance=provenance,
                   picture_last=row["picture_last"])  # fmt: skip


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
    for where, row, wrong in _rows(path):
        count += 1
        faults += wrong or [f"{where}: {fault}" for fault in _row_faults(row)]
        if wrong or not isinstance(row, dict):
            continue
        faults += [f"{where}: {fault}" for fault in _word_faults(row)]
        image = row.get("image")
        if isinstance(image, str) and image.strip():
            if image not in looked_at:
                looked_at[image] = pictures.fault(image, images)
            faults += [f"{where}: {looked_at[image]}"] if looked_at[image] else []
        if isinstance(row.get("id"), str) and row["id"].strip():
            rows.repeated("id", row["id"], where, seen["id"], faults)
        if not text_faults(row):
            rows.repeated("content", _hash(row)[:16], where, seen["content"], faults)
    return count, faults


def text_faults(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with a pair's five texts: each fault with its field, its value and what to do."""
    faults = []
    for name, meaning in _TEXTS.items():
        text = row.get(name)
        if not isinstance(text, str) or not text.strip():
            faults.append(_wrong(row, name, f"{meaning}, as text"))
        elif PLACEHOLDER in text:
            faults.append(f"{name} holds {PLACEHOLDER}; take it out: the picture is put in where the pair is used")
        elif re.search("[\ud800-\udfff]", text):
            faults.append(f"{name} holds half a character ({shown(text)}), which UTF-8 cannot write; take it out")
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if isinstance(chosen, str) and isinstance(rejected, str) and chosen.strip() and chosen.split() == rejected.split():
        faults.append("chosen and rejected are the same; a preference needs two answers")
    return faults


def _row_faults(row: Any) -> list[str]:
    """What keeps a JSON value from being a pair."""
    if not isinstance(row, dict):
        return [f"{shown(row)} is no object; each line holds one pair"]
    faults = text_faults(row)
    changes, hashed = row.get("changes"), row.get("hash")
    if not faults and isinstance(hashed, str) and hashed != _hash(row):
        faults.append(
            f"hash is {shown(hashed)}, but that of the texts is {_hash(row)}: one was edited; write the pair anew"
        )
    sound = {
        "changes": isinstance(changes, list),
        "provenance": "provenance" in row and (row["provenance"] is None or _is_provenance(row["provenance"])),
        "picture_last": isinstance(row.get("picture_last"), bool),
        "hash": isinstance(hashed, str),
    }
    faults += [_wrong(row, name, meaning) for name, meaning in _REST.items() if not sound[name]]
    faults += [f"unknown field {name!r}; take it out" for name in row if name not in _TEXTS and name not in _REST]
    for at, change in enumerate(changes if isinstance(changes, list) else [], start=1):
        if not _is_change(change):
            faults.append(f"change {at} is {shown(change)}; it must have the texts kind, chosen and rejected, no more")
            continue
        try:
            Change(**change)
        except ValueError as error:
            faults.append(f"change {at}: {error}")
    return faults


def _word_faults(row: Mapping[str, Any]) -> list[str]:
    """Changes whose words do not stand in the answer that they are said to stand in."""
    changes = row["changes"] if isinstance(row.get("changes"), list) else []
    faults = []
    for at, change in enumerate(changes, start=1):
        for side in ("chosen", "rejected"):
            if not _is_change(change) or not isinstance(row.get(side), str):
                continue
            words, answer = (" ".join(text.split()) for text in (change[side], row[side]))
            if words and not re.search(rf"(?<!\w){re.escape(words)}(?!\w)", answer):
                faults.append(f"change {at}: {shown(words)} does not stand in {side}; give the words that do")
    return faults


def _is_change(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"kind", "chosen", "rejected"} and _all_text(value.values())


def _is_provenance(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"model", "prompt", "time", "cost"}:
        return False
    cost = value["cost"]
    number = isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < math.inf
    return number and _all_text(value[name] for name in ("model", "prompt", "time"))


def _all_text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _wrong(row: Mapping[str, Any], name: str, meaning: str) -> str:
    return f"{name} is {shown(row[name])}; it must be {meaning}" if name in row else f"no {name}; give {meaning}"


def _hash(row: Mapping[str, Any]) -> str:
    parts = [row[name] for name in ("image", "prompt", "chosen", "rejected")]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def _rows(path: str | Path) -> Iterator[tuple[str, Any, list[str]]]:
    """Where each line that is not blank stands, what it holds, and the faults that kept it from being read."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            faults: list[str] = []
            text = rows.decode_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, number, faults)
            row = rows.parse_line(text, number, faults)
            if faults and not line.endswith(b"\n"):
                faults = [f"line {number}: torn after {len(line)} bytes by what ended its writing; `mend` takes it off"]
            if row or faults:
                yield f"line {number}", row[0][1] if row else None, faults
