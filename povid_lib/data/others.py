"""Preference pairs of others: one's own data in TRL's columns, RLHF-V and RLAIF-V as they are published.

- TRL: ``prompt``, ``chosen``, ``rejected`` (messages, see ``conversations``, or plain texts), ``images`` or ``image``
- RLHF-V (``openbmb/RLHF-V-Dataset``): ``image``, and ``text``, JSON with ``question``, ``chosen``, ``rejected``
- RLAIF-V (``openbmb/RLAIF-V-Dataset``): ``image``, ``question``, ``chosen``, ``rejected``; its own reader is
  ``muffin/data/datasets.py`` in ``RLHF-V/RLAIF-V``

in Parquet files or JSON lines, or a folder of them. Other columns are left behind. A pair is one question with two answers: rows of
several turns are refused here, and a training on the data set itself (``trl_dataset.prepare_rows``) reads them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.data import conversations, parquet
from povid_lib.data import images as images_module
from povid_lib.data.pairs import PLACEHOLDER, TEXTS, Pair, text_faults
from povid_lib.data.true_answers import numbered
from povid_lib.files import jsonl
from povid_lib.files.faults import EMPTY, Faults

_Seen = dict[str, tuple[str, list[str]]]  # a picture's name or digest -> its file's name, and what is wrong
_SIDES = ("chosen", "rejected")
_FORMS = "prompt, chosen, rejected (TRL); question, chosen, rejected (RLAIF-V); text (RLHF-V)"
_NO_FOLDER = "the file holds its pictures; name a folder, into which they are written"


def read(
    path: str | Path, images: str | Path | None = None, skip_text_only: bool = False
) -> tuple[int, Iterator[Pair]]:
    """How many rows without a picture are left out, which ``skip_text_only`` allows, and the pairs of the others, one after the
    other. A row's id is its ``id`` or ``idx``, else its number; what comes again is called id#2. Memory stays flat.

    ``images``: the folder of the pictures that rows name; those that the files hold are written into it as their pairs come, under
    names that their content gives them.

    Raises ``ValueError`` with every fault and its place, after everything was read, pictures included, and nothing written.
    """
    images_module.check_folder(images)
    faults, pairs, skipped, seen = Faults(path), 0, 0, _Seen()
    for pair in _pairs(path, images, skip_text_only, faults, seen, write=False):
        pairs, skipped = pairs + (pair is not None), skipped + (pair is None)
    if not faults and not pairs:
        faults.add(f"all {skipped} rows are without a picture; give a file that has some" if skipped else EMPTY)
    if faults:
        faults.fail()
    again = _pairs(path, images, skip_text_only, Faults(path), seen, write=True)
    return skipped, (pair for pair in again if pair is not None)


def _pairs(
    path: str | Path, images: str | Path | None, skip_text_only: bool, faults: Faults, seen: _Seen, write: bool
) -> Iterator[Pair | None]:
    """Each pair, or None for a row without a picture that is left out; what is wrong goes to ``faults``."""
    names: Counter[str] = Counter()
    for number, (where, row, wrong) in enumerate(_rows(path), start=1):
        at, row_faults = faults.at(where), wrong
        if not wrong and not isinstance(row, dict):
            row_faults = [f"{shown(row)} is no object; a row is one"]
        elif not wrong and skip_text_only and not conversations.pictures_of(row):
            yield None
            continue
        elif not wrong:
            texts, row_faults = _texts(row)
            image, unseen = _image(conversations.pictures_of(row), images, seen, write)
            key = next((str(row[name]) for name in ("id", "idx") if _is_key(row.get(name))), str(number))
            texts |= {"id": numbered(key, names), "image": image}
            names[key] += 1
            row_faults = row_faults + unseen or text_faults(texts)
        for fault in row_faults:
            at.add(fault)
        if not row_faults and not at.repeated("id", texts["id"]):
            yield Pair(**{name: texts[name] for name in TEXTS})  # type: ignore[arg-type]


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and bool(str(value).strip())


def _rows(path: str | Path) -> Iterator[tuple[str, Any, list[str]]]:
    """Where each row stands, the row, and what kept it from being read."""
    for file in files_of(path):
        name = f"{file.name}, " if Path(path).is_dir() else ""
        if file.suffix == ".parquet":
            for number, row in enumerate(parquet.rows_of(file), start=1):
                yield f"{name}row {number}", row, []
        else:
            for where, row, wrong in jsonl.stream(file):
                yield name + where, row, [fault.removeprefix(f"{where}: ") for fault in wrong.found]


def files_of(path: str | Path) -> list[Path]:
    """The file itself, or the Parquet files of a folder, or else its JSON lines. Raises ``ValueError`` if there are none."""
    if not Path(path).is_dir():
        jsonl.check_file(path)
        return [Path(path)]
    for ending in (".parquet", ".jsonl"):
        if found := sorted(file for file in Path(path).iterdir() if file.suffix == ending and file.is_file()):
            return found
    raise ValueError(f"{path} holds no .parquet and no .jsonl file; name a file, or a folder that has some.")


def _texts(row: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Question and answers of a row, and what is wrong with them."""
    if "text" in row and "chosen" not in row:
        try:
            row = jsonl.parse(row["text"]) if isinstance(row["text"], str) else row["text"]
        except (ValueError, RecursionError) as error:
            return {}, [f"text holds {jsonl.json_fault(error)}"]
        if not isinstance(row, dict):
            return {}, [f"text holds {shown(row)}; it must be an object with question, chosen and rejected"]
    question = "question" if "question" in row and "prompt" not in row else "prompt"
    if missing := [name for name in (question, *_SIDES) if row.get(name) is None]:
        keys = ", ".join(map(str, list(row)[:10]))
        return {}, [f"no {', no '.join(missing)} (its keys: {keys}); the known forms are {_FORMS}"]
    values = [row[name] for name in (question, *_SIDES)]
    if any(conversations.encoded(value) for value in values):
        try:
            values = [jsonl.parse(value) if isinstance(value, str) else value for value in values]
        except (ValueError, RecursionError) as error:
            named = [
                name for name, value in zip((question, *_SIDES), values, strict=True) if conversations.encoded(value)
            ]
            told = f"messages written as text, beside or within what is {jsonl.json_fault(error)}"
            return {}, [f"{', '.join(named)}: {told}; give all three as messages, or all as plain text"]
    if all(isinstance(value, str) for value in values):
        prompt = values[0].removeprefix(f"{PLACEHOLDER}\n").removesuffix(f"\n{PLACEHOLDER}")
        return {"prompt": prompt, "chosen": values[1], "rejected": values[2]}, []
    messages = dict(zip(conversations.TEXTS, values, strict=True))
    if faults := conversations.row_faults({**messages, "images": [0]}):  # pictures are looked at apart
        return {}, faults
    texts = {name: list(conversations.texts_of(turns)) for name, turns in messages.items()}
    told = "a pair holds one question and two answers of one text each; split it, or train on the data set itself"
    faults = [
        f"{name} has {len(turns)} turns and {len(texts[name])} texts; {told}"
        for name, turns in messages.items()
        if len(turns) != 1 or len(texts[name]) != 1
    ]
    return {name: held[0] for name, held in texts.items()}, faults


def _image(pictures: list[Any], images: str | Path | None, seen: _Seen, write: bool) -> tuple[str, list[str]]:
    """The name of a row's picture, which is written if the row holds it and ``write`` says so; and what is wrong with it."""
    if len(pictures) != 1:
        few = "keep one, or leave the row out" if pictures else "leave it out, or skip all rows without one"
        return "", [f"{len(pictures)} pictures; a pair has exactly one: {few}"]
    picture = pictures[0]
    if isinstance(picture, dict):
        picture = picture.get("bytes") or picture.get("path")
    if isinstance(picture, str):
        if picture not in seen:
            fault = images_module.fault(picture, images)
            seen[picture] = (picture, [] if fault is None else [fault])
        return seen[picture]
    if not isinstance(picture, bytes):
        return "", [f"its picture is {shown(picture)}; give a file's name, or an object with bytes"]
    if images is None:
        return "", [_NO_FOLDER]
    digest = hashlib.sha256(picture).hexdigest()[:24]
    if digest not in seen:
        try:
            kind = images_module.open_picture(picture, "its picture").kind
        except ValueError as error:
            seen[digest] = ("", [str(error)])
        else:
            seen[digest] = (f"{digest}.{kind.lower()}", [])
    name, faults = seen[digest]
    if write and not (Path(images) / name).exists():
        with jsonl.replacing(Path(images) / name) as part:
            part.write_bytes(picture)
    return name, faults
