"""What a model answers, kept in a file as it comes: a run that was stopped goes on, and nothing is asked twice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm.auto import tqdm

from povid_lib import models
from povid_lib.arguments import check_choice
from povid_lib.data import images
from povid_lib.files.faults import Faults
from povid_lib.files.journal import Form, appending
from povid_lib.files.jsonl import read_texts
from povid_lib.metrics.pope import YES_NO_HINT
from povid_lib.models import end_bias
from povid_lib.models.chat_template import special_faults
from povid_lib.models.llava import DTYPES, VLM

_NUMBERED = re.compile(r"(?:.*_)?(\d{12})\.(?:jpg|jpeg|png)", re.IGNORECASE)  # COCO's names
ENDINGS = (".jpg", ".jpeg", ".png")
BATCH = 16  # questions about photos at once, if nothing else is said
Answer = Callable[[Sequence[int]], Sequence[str]]  # which rows are asked -> the answer to each


@dataclass(frozen=True)
class Names:
    """Under which keys a file of answers holds an answer's id and its text."""

    key: str
    text: str


CAPTIONS, ANSWERS = Names("image_id", "caption"), Names("question_id", "answer")


def kept(file: Path | None, names: Names, ids: Sequence[str], answer: Answer, batch: int) -> list[str]:
    """The answer to each id: from the file where it has one, else asked for, ``batch`` rows at a time, and added to the file, a
    line each. ``file=None`` keeps nothing and asks for all rows at once.

    A last line that the end of a run has torn is taken off. Raises ``ValueError`` with the faults of the other lines, and if
    another run writes to the file.
    """
    if file is None:
        return list(answer(range(len(ids))))
    form = Form("answer", json.dumps({names.key: ""})[:-2].encode(), lambda row: names.key in row, plain=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with appending(file, form, alone=True) as write:
        known = read_texts(file, names.key, (names.text,)) if file.stat().st_size else {}
        missing = [i for i, key in enumerate(ids) if key not in known]
        with tqdm(total=len(missing), desc=file.stem, disable=None) as bar:
            for at in range(0, len(missing), batch):
                rows = missing[at : at + batch]
                new = dict(zip([ids[i] for i in rows], answer(rows), strict=True))
                write(*({names.key: key, names.text: text} for key, text in new.items()))
                known |= new
                bar.update(len(rows))
    return [known[key] for key in ids]


@dataclass(frozen=True)
class Asking:
    """How a model is loaded and asked; None: as is usual. ``rows``: at once; ``dtype`` of the weights, by its name, and
    ``four_bit``: see ``models.load``; ``prompt``: for captions; ``hint``: the line after a yes/no question, "" for none;
    ``tokens``: of an answer, at most; ``end_bias``: a constant on the end token's logit, see ``models.end_bias``.

    Raises ``ValueError`` for numbers below 1, a constant that is none, an empty prompt and an unknown dtype.
    """

    rows: int | None = None
    dtype: str | None = None
    four_bit: bool = False
    prompt: str | None = None
    hint: str | None = None
    tokens: int | None = None
    end_bias: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rows", "tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; give a whole number, 1 or more.")
        if not math.isfinite(self.end_bias):
            raise ValueError(f"end_bias is {self.end_bias}; give a number, such as 2.0, or leave it out.")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("The prompt is empty; write what is to be asked.")
        if self.dtype is not None:
            check_choice("dtype", self.dtype, DTYPES)

    @property
    def loading(self) -> dict[str, Any]:
        """What ``models.load`` is told besides the name."""
        told = {"rows": self.rows, "dtype": self.dtype and DTYPES[self.dtype], "four_bit": self.four_bit}
        return {name: value for name, value in told.items() if value}


def yes_or_no(question: str, is_pocket: bool) -> str:
    """A yes/no question as a model is asked it: with LLaVA's hint for a short answer, unless it is the pocket one."""
    return question if is_pocket else f"{question}\n{YES_NO_HINT}"


@dataclass(frozen=True)
class Asked:
    """One question to a model. ``image``: the picture's id or file name, see ``find_pictures``."""

    id: str
    image: str
    prompt: str


def pictures_of(folder: Path | None, asked: Sequence[Asked]) -> dict[str, str]:
    """Image -> name of its file in the folder, once each has been opened and could be read.

    Raises ``ValueError`` without a folder, as ``find_pictures`` does, and with the first ten pictures that cannot be read.
    """
    if folder is None:
        raise ValueError("A model needs the pictures; give their folder with --images.")
    found = find_pictures(folder, list(dict.fromkeys(a.image for a in asked)))
    if broken := [fault for name in found.values() if (fault := images.fault(name, folder))]:
        raise ValueError(
            f"{folder}: {len(broken)} of {len(found)} pictures cannot be read; replace them: {', '.join(broken[:10])}"
            f"{', ...' if len(broken) > 10 else ''}."
        )
    return found


def find_pictures(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Image id or file name -> a file's name: ``<id>``, ``<id>.jpg`` (.jpeg, .png), or COCO's ``..._<12 digits>.jpg``.

    Raises ``ValueError`` with the number of pictures that are missing and the first ten of them, and where an id means two files.
    """
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    by_number: dict[int, list[str]] = {}
    for name in sorted(there):
        if numbered := _NUMBERED.fullmatch(name):
            by_number.setdefault(int(numbered[1]), []).append(name)
    found: dict[str, str] = {}
    twice: list[str] = []
    for image in names:
        number = int(image) if re.fullmatch(r"[0-9]{1,12}", image) else None
        candidates = [image] if image in there else [f"{image}{end}" for end in ENDINGS if f"{image}{end}" in there]
        candidates = candidates or by_number.get(-1 if number is None else number, [])
        if len(candidates) > 1:
            twice.append(f"{image} is {' and '.join(candidates)}")
        if candidates:
            found[image] = candidates[0]
    if twice:
        more = ", ..." if len(twice) > 10 else ""
        raise ValueError(f"{folder}: {', '.join(twice[:10])}{more}; keep one picture for each id.")
    if missing := [image for image in names if image not in found]:
        raise ValueError(
            f"{folder} lacks {len(missing)} of {len(names)} pictures: {', '.join(missing[:10])}"
            f"{', ...' if len(missing) > 10 else ''}. Name them <id>.jpg, or give the folder that holds them with --images."
        )
    return found


def ask_all(
    vlm: VLM,
    asked: Sequence[Asked],
    folder: Path,
    pictures: dict[str, str],
    file: Path,
    names: Names,
    tokens: int,
    rows_at_once: int,
    constant: float = 0.0,
) -> dict[str, str]:
    """Id -> the model's answer of at most ``tokens`` tokens, with ``constant`` on the end token, kept in the file. Pictures are
    opened a batch at a time.

    Raises ``ValueError`` with every question that holds a special token of the model's, before any is asked.
    """
    faults = Faults("the questions")
    for one in asked:
        for fault in special_faults(vlm.processor.tokenizer, one.prompt):
            faults.at(f"question {one.id}").add(fault)
    if faults:
        faults.fail()

    def answer(rows: Sequence[int]) -> list[str]:
        shown: list[Image.Image] = [images.picture(pictures[asked[i].image], folder) for i in rows]
        prompts = [asked[i].prompt for i in rows]
        if constant:
            said = end_bias.generate(vlm, shown, prompts, constant, max_new_tokens=tokens, batch_size=rows_at_once)
        else:
            said = models.generate(vlm, shown, prompts, max_new_tokens=tokens, batch_size=rows_at_once)
        return [a.text for a in said]

    ids = [a.id for a in asked]
    return dict(zip(ids, kept(file, names, ids, answer, rows_at_once), strict=True))
