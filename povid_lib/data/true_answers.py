"""True answers about pictures, from LLaVA-Instruct and from COCO: what dispreferences are made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.data.pairs import PLACEHOLDER, text_fault
from povid_lib.files import jsonl
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
    seen: dict[str, str] = {}
    for where, row in found:
        key = jsonl.id_of(row, "id", where, faults)
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
        faults += [f"{where}: {fault}" for fault in wrong]
        if key is None or wrong:
            continue
        for prompt, answer in zip(values[::2], values[1::2], strict=True):
            name = numbered(key, names)
            names[key] += 1
            if not jsonl.repeated("id", name, where, seen, faults):
                truths.append(Truth(name, str(image), prompt.replace(PLACEHOLDER, "").strip(), answer))
    return jsonl.sound(path, truths, faults)


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
    faults: list[str] = []
    seen: dict[str, str] = {}
    for at, row in enumerate(tables["annotations"], start=1):
        where, image, caption = f"annotation {at}", names.get(str(row["image_id"])), row["caption"]
        key = jsonl.id_of(row, "id", where, faults)
        if str(row["image_id"]) not in names:
            faults.append(
                f"{where}: image {row['image_id']} is not in the table `images`; list it there, or take the caption out"
            )
        elif not isinstance(image, str) or not image.strip():
            faults.append(f"{where}: file_name of image {row['image_id']} is {shown(image)}; give the picture's file")
        if not isinstance(caption, str) or not caption.strip():
            faults.append(f"{where}: caption is {shown(caption)}; give the caption's text")
        if key is not None and not jsonl.repeated("id", key, where, seen, faults):
            truths.append(Truth(key, str(image), prompt, str(caption).strip()))
    return jsonl.sound(path, truths, faults)


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
