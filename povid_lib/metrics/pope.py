"""POPE: yes/no questions about objects that are and are not in the picture. (Li et al., 2023)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from povid_lib.metrics.stats import Estimate, ratio


@dataclass(frozen=True)
class Pope:
    """``accuracy``, share of questions answered "yes" (``yes_ratio``), and of answers that are neither (``unclear``)."""

    accuracy: Estimate
    yes_ratio: Estimate
    unclear: float


def parse_yes_no(text: str) -> bool | None:
    """Strict reading: True or False if the answer's first word is yes or no, else None."""
    first = text.split()[0].strip(".,!:;\"'").lower() if text.split() else ""
    return {"yes": True, "no": False}.get(first)


def pope(answers: Sequence[Sequence[str]], truths: Sequence[Sequence[bool]]) -> Pope:
    """Score the answers to each picture's questions; an answer that is neither yes nor no counts as wrong."""
    said = [[parse_yes_no(text) for text in row] for row in answers]
    asked = [len(row) for row in said]
    right = [sum(s is t for s, t in zip(row, truth, strict=True)) for row, truth in zip(said, truths, strict=True)]
    flat = [s for row in said for s in row]
    return Pope(ratio(right, asked), ratio([row.count(True) for row in said], asked), flat.count(None) / len(flat))
