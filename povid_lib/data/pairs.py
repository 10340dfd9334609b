"""The preference pair: a question about a picture, the true answer (chosen) and a corrupted one (rejected).

One record for every source of dispreferences and every file format; what its texts must be, and what is wrong with them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any

PLACEHOLDER = "<image>"  # stands for the picture in LLaVA's and POVID's files, and in the text that models read
TEXTS = {  # of a pair, and what each must be
    "id": "a name of its own",
    "image": "the picture's file name, or scene:split/kind/index",
    "prompt": "the question",
    "chosen": "the true answer",
    "rejected": "the corrupted answer",
}


_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)  # they leave no mark


def words(text: str) -> list[str]:
    """The words of a text as a reader sees them: none for one of spaces and of characters that leave no mark, and the same
    whichever way Unicode writes their letters."""
    return text.split() if text.isascii() else _UNSEEN.sub("", unicodedata.normalize("NFC", text)).split()


def text_faults(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with a pair's five texts: each fault with its field, its value and what to do."""
    found = [
        text_fault(name, row[name], meaning) if name in row else f"no {name}; give {meaning}, as text"
        for name, meaning in TEXTS.items()
    ]
    faults = [fault for fault in found if fault]
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if isinstance(chosen, str) and isinstance(rejected, str) and words(chosen) and words(chosen) == words(rejected):
        faults.append("chosen and rejected are the same; a preference needs two answers")
    return faults


def text_fault(name: str, text: object, meaning: str) -> str | None:
    """What is wrong with one text of a pair, or of a truth; None if nothing is."""
    if not isinstance(text, str) or not words(text):
        return f"{name} is {shown(text)}; it must be {meaning}, as text"
    if PLACEHOLDER in text:
        return f"{name} holds {PLACEHOLDER}; take it out: the picture is put in where the pair is used"
    return half_character(name, text)


def half_character(name: str, text: str) -> str | None:
    """The fault of a text that no file can hold: JSON writes half of a pair of surrogates, UTF-8 does not."""
    if re.search("[\ud800-\udfff]", text):
        return f"{name} holds half a character ({shown(text)}), which UTF-8 cannot write; take it out"
    return None


def word_faults(row: Mapping[str, Any]) -> list[str]:
    """Changes whose words do not stand in the answer that they are said to stand in; those of another form are passed over."""
    faults = []
    for at, change in enumerate(row["changes"] if isinstance(row.get("changes"), list) else [], start=1):
        for side in ("chosen", "rejected"):
            said, answer = change.get(side) if isinstance(change, dict) else None, row.get(side)
            if not isinstance(said, str) or not isinstance(answer, str):
                continue
            words = " ".join(said.split())
            if words and not re.search(rf"(?<!\w){re.escape(words)}(?!\w)", " ".join(answer.split())):
                faults.append(f"change {at}: {shown(words)} does not stand in {side}; give the words that do")
    return faults


def hash_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of what is trained on: image, prompt, chosen, rejected."""
    parts = [row[name] for name in ("image", "prompt", "chosen", "rejected")]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


# object, relation, attribute: POVID's three corruptions of captions (section 3.1); step, result: of reasoning items
CORRUPTIONS = ("object", "relation", "attribute", "step", "result")


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
        if not number or not 0 <= self.cost <= sys.float_info.max:  # JSON writes whole numbers of any size
            raise ValueError(f"Provenance.cost is {shown(self.cost)}; give US dollars, 0 or more.")


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
