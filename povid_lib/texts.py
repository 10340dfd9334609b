"""Everything that is said about a scene, written from its truth.

Captions and questions come with varied wording. Who writes them, and errs, is in ``annotators``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from povid_lib.kinds import KINDS, NAMES
from povid_lib.scenes import Item, Scene

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


@dataclass(frozen=True)
class Question:
    """A question about a scene with its true answer. ``about`` names the object that is asked for, "" if several."""

    kind: str  # exist, count, colour, size, position, relation, reason
    prompt: str
    answer: str
    about: str = ""


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
        first = "an" if words[0][0] in "aeio" or words[0].startswith("um") else "a"
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


# --- questions ---------------------------------------------------------------------------------------------------

_EXIST = ("Is there {} in the image?", "Can you see {} here?", "Does the image contain {}?")


def exist_question(name: str, yes: bool, rng: np.random.Generator | None = None) -> Question:
    """A yes/no question after an object; without ``rng`` in POPE's wording."""
    phrase = noun_phrase(Item(name), attributes=False)
    template = _EXIST[0 if rng is None else rng.integers(len(_EXIST))]
    return Question("exist", template.format(phrase), "Yes." if yes else "No.", name)


def absent_objects(scene: Scene, setting: str, n: int, rng: np.random.Generator) -> list[str]:
    """``n`` objects that are not in the scene, chosen as in POPE.

    ``random``: uniformly; ``popular``: those most frequent in typical scenes; ``adversarial``: those that most often occur
    together with the objects present (missing partners by strength, then others of the same contexts). Ties are random.
    """
    absent = [NAMES[i] for i in rng.permutation(len(NAMES)) if NAMES[i] not in scene.names]
    if setting == "popular":
        absent.sort(key=lambda name: -KINDS[name].strength)
    elif setting == "adversarial":
        contexts = {KINDS[name].context for name in scene.names}
        absent.sort(
            key=lambda name: (
                -(KINDS[name].strength if name in scene.missing_partners else 0.1 * (KINDS[name].context in contexts))
            )
        )
    elif setting != "random":
        raise ValueError(f"Unknown setting {setting!r}; choose random, popular or adversarial.")
    return absent[:n]


def polls(scene: Scene, setting: str, n: int = 3) -> list[Question]:
    """POPE for one scene: up to ``n`` present objects and as many absent ones, in POPE's wording, alternating."""
    rng = np.random.default_rng([71, scene.key[2], ("random", "popular", "adversarial").index(setting)])
    present = [scene.names[i] for i in rng.permutation(len(scene.names))[:n]]
    absent = absent_objects(scene, setting, len(present), rng)
    return [
        exist_question(name, yes)
        for pair in zip(present, absent, strict=True)
        for name, yes in zip(pair, (True, False), strict=True)
    ]


def attribute_questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Every question after count, colour, size, position, relation and reason that this scene allows, one wording each.

    What cannot be made out in the picture is not asked after."""
    found = []
    items = [item for item in scene.items if not item.unseen]
    for item in items:
        be, word = ("are", noun(item.name, item.count)) if item.count > 1 else ("is", item.name)
        kind = KINDS[item.name]
        if kind.plural:
            how = (f"How many {kind.plural} are there?", f"How many {kind.plural} can you see?")[rng.integers(2)]
            found.append(Question("count", how, f"{NUMBERS[item.count - 1].capitalize()}.", item.name))
        if item.colour:
            what = (f"What colour {be} the {word}?", f"Which colour {be} the {word}?")[rng.integers(2)]
            found.append(Question("colour", what, f"{item.colour.capitalize()}.", item.name))
        found.append(
            Question(
                "size", f"{be.capitalize()} the {word} small, medium or large?", f"{item.size.capitalize()}.", item.name
            )
        )
        if item.count == 1:
            found.append(Question("position", f"Where is the {word}?", f"{item.position.capitalize()}.", item.name))
    for a, b, how in relations(items):
        sides = "to the left or to the right of" if how in ("left", "right") else "above or below"
        found.append(Question("relation", f"Is the {a} {sides} the {b}?", f"{how.capitalize()}."))
    return found + _reasoning_questions(items)


def _reasoning_questions(items: Sequence[Item]) -> list[Question]:
    """Items of the form ``Reason: ... Result: ...`` (POVID, section 3.1)."""
    found = []
    for a in items:
        for b in items:
            if a is b:
                continue
            if a.size != b.size and a.count == b.count == 1:
                larger = (
                    a if ("small", "medium", "large").index(a.size) > ("small", "medium", "large").index(b.size) else b
                )
                reason = f"The {a.name} is {a.size} and the {b.name} is {b.size}."
                found.append(
                    Question(
                        "reason",
                        f"Which is larger, the {a.name} or the {b.name}? Explain.",
                        f"Reason: {reason} Result: The {larger.name}.",
                    )
                )
            if a.count != b.count and KINDS[a.name].plural and KINDS[b.name].plural:
                numbers = [f"{NUMBERS[item.count - 1]} {noun(item.name, item.count)}" for item in (a, b)]
                reason = f"There {'are' if a.count > 1 else 'is'} {' and '.join(numbers)}."
                asked = f"Are there more {KINDS[a.name].plural} than {KINDS[b.name].plural}? Explain."
                result = "Yes" if a.count > b.count else "No"
                found.append(Question("reason", asked, f"Reason: {reason} Result: {result}."))
    return found


def place_question(scene: Scene) -> Question | None:
    """The reasoning item after the kind of place, for scenes of one context: it cites what is seen."""
    contexts = {KINDS[name].context for name in scene.names}
    if len(contexts) > 1:
        return None
    seen = enumerate_phrases([noun_phrase(item, attributes=False) for item in scene.salient])
    (context,) = contexts
    be = "are" if scene.salient[0].count > 1 else "is"
    return Question(
        "reason", "What kind of scene is this? Explain.", f"Reason: There {be} {seen}. Result: {context.capitalize()}."
    )


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
