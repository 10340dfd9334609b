"""The second edition's captions: the form of a sentence follows from what it says, so that greedy decoding uses all of them.

Greedy decoding goes on only where a single next token beats the end of the text. Forms that are drawn by chance would share the
probability of each claim between them, and only the most frequent would ever be spoken; forms that follow from number, size and
place in the caption do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from povid_lib.world.captions import RELATION_WORDS, noun, noun_phrase, place_phrase
from povid_lib.world.items import Item

HABIT = 0.85  # how often the form is the one that the content asks for
RELATION = 0.9  # how often a relation is told where the content asks for one
FORMS = (
    "A",
    "I can see",
    "There",
    "The",
)  # how sentences begin: the first one, large or several, all others, relations


def varied_caption(items: Sequence[Item], rng: np.random.Generator) -> str:
    """One sentence per item in the given order and, where the first one is single and large, how it lies to the next single one."""
    sentences = [sentence(item, at == 0, rng) for at, item in enumerate(items)]
    singles = [item for item in items if item.count == 1][:2]
    if len(singles) == 2 and singles[0] is items[0] and items[0].size == "large" and rng.random() < RELATION:
        a, b = singles
        sentences.append(f"The {noun(a.name)} is {RELATION_WORDS[_side(a, b)]} the {noun(b.name)}.")
    return " ".join(sentences)


def _side(a: Item, b: Item) -> str:
    """Where a lies from b: left or right if their columns differ, else above or below."""
    across, down = b.cells[0] % 3 - a.cells[0] % 3, b.cells[0] // 3 - a.cells[0] // 3
    if across:
        return "left" if across > 0 else "right"
    return "above" if down > 0 else "below"


def sentence(item: Item, first: bool, rng: np.random.Generator) -> str:
    """One object in the form that it asks for. ``first``: the caption begins with it."""
    phrase, be = noun_phrase(item, rng), "are" if item.count > 1 else "is"
    where = f" {place_phrase(item.position)}" if item.count == 1 else ""
    if rng.random() < HABIT:
        if first and where:
            return f"{phrase.capitalize()} is{where}."
        if item.size == "large" or first:
            return f"I can see {phrase}{where}."
    return f"There {be} {phrase}{where}."


def form_of(sentence: str) -> str:
    """Which of ``FORMS`` a sentence of a caption has."""
    for form in ("There", "I can see", "The"):
        if sentence.startswith(f"{form} "):
            return form
    return "A"
