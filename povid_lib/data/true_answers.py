"""True answers about pictures, from LLaVA-Instruct and from COCO: what dispreferences are made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.data.pairs import PLACEHOLDER, text_fault
from povid_lib.files import jsonl
from povid_lib.files.faults import Faults
from povid_lib.metrics.coco_tables import coco_tables


@dataclass(frozen=True)
class Truth:
    """A true answer to a question about a picture: what a rewriter makes a pair of. ``image``: as in ``Pair``; ``prompt``:
    without ``<image>``."""

    id: str
    image: str
    prompt: str
    answer: str


def read_truths(path: str | Path, prompt: str) -> list[Truth]:
    """``read_llava`` or ``read_coco_captions``, by what the file begins with: a list or rows of conversations, or COCO's object.
    ``prompt``: the question that COCO's captions answer. Raises ``ValueError`` as these do."""
    jsonl.check_file(path)
    with open(path, "rb") as file:
        start = file.read(65536).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"[") or b'"conversations"' in start:
        return read_llava(path)
    return read_coco_captions(path, prompt)


def read_llava(path: str | Path) -> list[Truth]:
    """Every round of LLaVA-Instruct's ``{"id", "image", "conversations": [{"from", "value"}]}`` as a truth of its own. A second
    round, or a second row of the same id, is called id#2.

    Raises ``ValueError`` with every fault and its line: a field that is missing or of the wrong type, turns that are not human and
    gpt in alternation, ``<image>`` anywhere but once in the first question, an empty question or answer.
    """
    found, faults = jsonl.read_rows(path)
    truths: list[Truth] = []
    names: Counter[str] = Counter()
    for where, row in found:
        place = faults.at(where)
        key = place.id_of(row, "id")
        fields: dict[str, Any] = row if isinstance(row, dict) else {}
        image, turns = fields.get("image"), fields.get("conversations")
        wrong = [f"conversations: {fault}" for fault in turn_faults(turns)]
        if not isinstance(image, str) or not image.strip():
            wrong.append(f"image is {shown(image)}; it must be the picture's file name")
        values = [] if wrong else [turn["value"] for turn in turns or ()]
        for at, value in enumerate(values, start=1):
            if value.count(PLACEHOLDER) != (at == 1):
                wrong.append(
                    f"turn {at} is {shown(value)}; {PLACEHOLDER} must stand once in the first turn, in no other"
                )
            if not value.replace(PLACEHOLDER, "").strip():
                wrong.append(f"turn {at} is {shown(value)}; give the {'question' if at % 2 else 'answer'}")
        for fault in wrong:
            place.add(fault)
        if key is None or wrong:
            continue
        for prompt, answer in zip(values[::2], values[1::2], strict=True):
            name = numbered(key, names)
            names[key] += 1
            if not place.repeated("id", name):
                truths.append(Truth(name, str(image), prompt.replace(PLACEHOLDER, "").strip(), answer))
    return faults.sound(truths)


def read_coco_captions(path: str | Path, prompt: str) -> list[Truth]:
    """COCO's annotation file of captions: each caption as the true answer to ``prompt``, named by the annotation's id.

    Raises ``ValueError`` for an empty prompt or one with ``<image>``, and with every fault of the file: a missing table or field,
    a caption of an image that is not listed, one that is empty, an id that occurs twice.
    """
    if fault := text_fault("prompt", prompt, "the question that the captions answer"):
        raise ValueError(f"{fault}.")
    tables = coco_tables(path, {"images": ("id", "file_name"), "annotations": ("id", "image_id", "caption")})
    names = {str(image["id"]): image["file_name"] for image in tables["images"]}
    truths: list[Truth] = []
    faults = Faults(path)
    for count, row in enumerate(tables["annotations"], start=1):
        at, number, caption = faults.at(f"annotation {count}"), str(row["image_id"]), row["caption"]
        key, image = at.id_of(row, "id"), names.get(number)
        if number not in names:
            told = f"image {number} is not in the table `images`; list it there, or take the caption out"
            at.add(told, "image not listed")
        elif not isinstance(image, str) or not image.strip():
            at.add(f"file_name of image {number} is {shown(image)}; give the picture's file", "file_name")
        if not isinstance(caption, str) or not caption.strip():
            at.add(f"caption is {shown(caption)}; give the caption's text", "caption")
        if key is not None and not at.repeated("id", key):
            truths.append(Truth(key, str(image), prompt, str(caption).strip()))
    return faults.sound(truths)


def turn_faults(turns: Any) -> list[str]:
    """What keeps turns from being rounds of a question by human and an answer by gpt."""
    if not isinstance(turns, list) or not turns or len(turns) % 2:
        return [f"{shown(turns)} is no list of rounds; each is a question from human and an answer from gpt"]
    return [
        f"turn {at} is {shown(turn)}; it must be from {speaker} with a text as value"
        for at, (turn, speaker) in enumerate(zip(turns, ("human", "gpt") * (len(turns) // 2), strict=True), start=1)
        if not isinstance(turn, dict) or turn.get("from") != speaker or not isinstance(turn.get("value"), str)
    ]


def numbered(name: str, names: Counter[str]) -> str:
    """``name``, or name#2, name#3 where ``names`` has counted one or two of that name."""
    return f"{name}#{names[name] + 1}" if names[name] else name
