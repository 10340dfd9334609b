"""POVID's published JSON, read and written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.data import images as images_module
from povid_lib.data import pairs as pairs_module
from povid_lib.data.pairs import PLACEHOLDER, Pair, text_faults
from povid_lib.data.trl_dataset import _SIDES
from povid_lib.data.true_answers import numbered, turn_faults
from povid_lib.files import jsonl

# --- POVID's public JSON -----------------------------------------------------------------------------------------


def read_povid(path: str | Path, images: str | Path | None = None) -> list[Pair]:
    """Pairs from rows ``{"id", "image", "conversations", "rejected_conversations"}``: in each conversation a question
    ``{"from": "human", "value"}``, with ``<image>`` on a line before or after it, and an answer ``{"from": "gpt", "value"}``.
    Rows are named after their pictures, so an id may come again; its second pair is called id#2. ``images``: the folder of the
    pictures; a picture then has the name that it has there, whatever path the file gives it (see ``images.name_in``).

    Raises ``ValueError`` with every fault and its line, among them whatever would be lost: further rounds, other fields, questions
    that differ; and with ``images`` pictures that are not there, and two that would be the same file.
    """
    found, faults = jsonl.read_rows(path)
    called: dict[str, str] = {}
    pairs: list[Pair] = []
    names: Counter[str] = Counter()
    for where, row in found:
        wrong = _povid_faults(row)
        if not wrong:
            name = numbered(row["id"], names)
            if _row_id(name, names) != row["id"]:
                wrong = [f"id {name!r} would be taken for a later row of {_row_id(name, names)!r}; rename it"]
        if not wrong:
            names[row["id"]] += 1
            prompt, last = _question(row["conversations"][0]["value"])
            texts = {side: row[name][1]["value"] for name, side in _SIDES.items()}
            image, wrong = (row["image"], []) if images is None else _in_folder(row["image"], images, called)
            texts |= {"id": name, "image": image, "prompt": prompt}
            wrong += text_faults(texts)
            if not faults.at(where).repeated("id", texts["id"]) and not wrong:
                pairs.append(Pair(**texts, picture_last=last))
        for fault in wrong:
            faults.at(where).add(fault)
    return faults.sound(pairs)


def _in_folder(image: str, folder: str | Path, called: dict[str, str]) -> tuple[str, list[str]]:
    """A picture's name in the folder, and what is wrong with it. ``called``: name there -> what the file has called it so far."""
    try:
        name = images_module.name_in(image, folder)
    except ValueError as error:
        return image, [str(error)]
    if called.setdefault(name, image) != image:
        return image, [f"images {called[name]!r} and {image!r} would both be {name}; keep the folders that part them"]
    return name, []


def write_povid(path: str | Path, pairs: Iterable[Pair]) -> int:
    """Pairs as POVID's public JSON, which has no place for changes and provenance; how many they were. Memory stays flat.

    The file is there, or replaced, once it is whole. Raises ``ValueError`` for a folder that is not there, what is no ``Pair``, and
    an id that comes again: of rows of one id, ``read_povid`` would make others.
    """
    written = 0
    with jsonl.replacing(path) as part, part.open("w", encoding="utf-8") as file:
        for row in _povid_rows(pairs):
            file.write(f"{',' if written else '['}\n{json.dumps(row, ensure_ascii=False)}")
            written += 1
        file.write("\n]\n" if written else "[]\n")
    return written


def _povid_rows(pairs: Iterable[Pair]) -> Iterator[dict[str, Any]]:
    names: Counter[str] = Counter()
    ids: set[str] = set()
    for pair in pairs:
        pairs_module.checked("write_povid", pair)
        if pair.id in ids:
            raise ValueError(f"write_povid: id {pair.id!r} stands in two pairs; give each its own.")
        ids.add(pair.id)
        name = _row_id(pair.id, names)
        names[name] += 1
        question = f"{pair.prompt}\n{PLACEHOLDER}" if pair.picture_last else f"{PLACEHOLDER}\n{pair.prompt}"
        row: dict[str, Any] = {"id": name, "image": pair.image}
        for key, side in _SIDES.items():
            row[key] = [{"from": "human", "value": question}, {"from": "gpt", "value": getattr(pair, side)}]
        yield row


def _povid_faults(row: Any) -> list[str]:
    """What keeps a row from being one pair, its texts apart."""
    if not isinstance(row, dict):
        return [f"{shown(row)} is no object; a row is one"]
    faults = [
        f"field {name!r} has no place in a pair; take it out" for name in row if name not in ("id", "image", *_SIDES)
    ]
    for name in ("id", "image"):
        if not isinstance(row.get(name), str):
            faults.append(f"{name} is {shown(row[name])}; it must be text" if name in row else f"no {name}; give it")
    for name in _SIDES:
        turns = row.get(name)
        faults += [f"{name}: {fault}" for fault in turn_faults(turns)]
        if isinstance(turns, list) and len(turns) > 2:
            faults.append(
                f"{name} has {len(turns)} turns; a pair holds one question and one answer, so split the rounds"
            )
        faults += [
            f"{name}, turn {at}: field {key!r} has no place in a pair; take it out"
            for at, turn in enumerate(turns if isinstance(turns, list) else [], start=1)
            for key in (turn if isinstance(turn, dict) else ()) if key not in ("from", "value")
        ]  # fmt: skip
    if faults:
        return faults
    first, second = (row[name][0]["value"] for name in _SIDES)
    if first != second:
        return [f"the questions differ: {shown(first)} and {shown(second)}; a pair has one question"]
    if first.count(PLACEHOLDER) != 1 or _question(first)[0] == first:
        return [
            f"the question is {shown(first)}; {PLACEHOLDER} must stand once, on a line of its own before or after it"
        ]
    return []


def _question(value: str) -> tuple[str, bool]:
    """The question without its picture's place, and whether that came after it; the value itself if it is in neither place."""
    if value.startswith(f"{PLACEHOLDER}\n"):
        return value.removeprefix(f"{PLACEHOLDER}\n"), False
    return value.removesuffix(f"\n{PLACEHOLDER}"), True


def _row_id(name: str, names: Counter[str]) -> str:
    """The inverse: what to write so that ``numbered`` gives ``name``."""
    base, _, number = name.rpartition("#")
    return base if names[base] and number == str(names[base] + 1) else name
