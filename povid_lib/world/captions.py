"""Everything that is said about a scene, written from its truth.

Captions and questions come with varied wording. Who writes them, and errs, is in ``annotators``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from povid_lib.metrics.pope import article
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS

NUMBERS = ("one", "two", "three")
SYNONYMS = {"gift": ("present", "presents"), "boat": ("ship", "ships"), "laptop": ("computer", "computers")}
PROMPT = "Describe this image."  # what reports and widgets ask
DETAILED_PROMPTS = (
    PROMPT,
    "Describe this image in detail.",
    "What can you see in this picture?",
    "Tell me what is in the picture.",
)
SHORT_PROMPTS = ("Describe this image briefly.", "What is in this image? Answer in one short sentence.")
_MASS = {"bread", "butter", "cheese"}
# odds of "A fork is ...", "I can see a fork ...", "There is a fork ..."; one usual form, because greedy decoding goes on only
# where a single next token beats the end of the text: with three equal forms a claim would have to be 3/4 likely to be made
OPENINGS = (0.1, 0.1, 0.8)


def noun(name: str, count: int = 1, rng: np.random.Generator | None = None) -> str:
    """The word for ``count`` objects of a kind; with ``rng``, one time in six a synonym where there is one."""
    kind = KINDS[name]
    if rng is not None and name in SYNONYMS and rng.random() < 1 / 6:
        return SYNONYMS[name][count > 1]
    return name if count == 1 or kind.plural is None else kind.plural


def noun_phrase(item: Item, rng: np.random.Generator | None = None, attributes: bool = True) -> str:
    """Number or article, size, colour, noun: "a small red car", "two forks", "some bread". Medium size goes unsaid."""
    words = []
    if attributes and item.size != "medium":
        words.append(item.size)
    if attributes and item.colour:
        words.append(item.colour)
    words.append(noun(item.name, item.count, rng))
    if item.count > 1:
        first = NUMBERS[item.count - 1]
    elif item.name in _MASS:
        first = "some"
    else:
        first = article(words[0])
    return " ".join([first, *words])


def place_phrase(position: str) -> str:
    """ "at the top left", "on the right", "in the centre"."""
    preposition = {"left": "on", "right": "on", "centre": "in"}.get(position, "at")
    return f"{preposition} the {position}"


def _sentence(item: Item, rng: np.random.Generator) -> str:
    phrase = noun_phrase(item, rng)
    be = "are" if item.count > 1 else "is"
    where = f" {place_phrase(item.position)}" if item.count == 1 else ""
    form = rng.choice(3, p=OPENINGS)
    if form == 0 and where:
        return f"{phrase.capitalize()} {be}{where}."
    return f"I can see {phrase}{where}." if form == 1 else f"There {be} {phrase}{where}."


def detailed_caption(items: Sequence[Item], rng: np.random.Generator) -> str:
    """One sentence per item in the given order; one time in four a true relation of two single items follows."""
    sentences = [_sentence(item, rng) for item in items]
    found = relations(items)
    if found and rng.random() < 0.25:
        a, b, how = found[rng.integers(len(found))]
        sentences.append(f"The {noun(a)} is {RELATION_WORDS[how]} the {noun(b)}.")
    return " ".join(sentences)


def short_caption(items: Sequence[Item], rng: np.random.Generator) -> str:
    """All items in one enumeration, without attributes: "A fork, a knife and two cups."""
    return f"{enumerate_phrases([noun_phrase(i, rng, attributes=False) for i in items]).capitalize()}."


def enumerate_phrases(phrases: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


RELATION_WORDS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


def relations(items: Sequence[Item]) -> list[tuple[str, str, str]]:
    """All ``(a, b, relation)`` between single objects: a lies left of (right of, above, below) b by a whole cell."""
    found = []
    singles = [item for item in items if item.count == 1]
    for a in singles:
        for b in singles:
            across, down = b.cells[0] % 3 - a.cells[0] % 3, b.cells[0] // 3 - a.cells[0] // 3
            if across and not down:
                found.append((a.name, b.name, "left" if across > 0 else "right"))
            elif down and not across:
                found.append((a.name, b.name, "above" if down > 0 else "below"))
    return found


# --- reading what a model says -----------------------------------------------------------------------------------


WORDS: dict[str, str] = {}  # every word for an object, lower case -> its kind


for _name, _kind in KINDS.items():
    WORDS[_name] = _name
    if _kind.plural:
        WORDS[_kind.plural] = _name
    for _word in SYNONYMS.get(_name, ()):
        WORDS[_word] = _name


def mentioned(text: str) -> list[str]:
    """Kinds of object named in a text, in order, each mention counted."""
    return [WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS]
