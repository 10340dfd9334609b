"""Questions about a scene with their true answers, POPE's among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from povid_lib.arguments import check_choice
from povid_lib.metrics.pope import SETTINGS, WORDING
from povid_lib.world.captions import NUMBERS, enumerate_phrases, noun, noun_phrase, relations
from povid_lib.world.drawing import SIZES
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene


@dataclass(frozen=True)
class Question:
    """A question about a scene with its true answer. ``about`` names the object that is asked for, "" if several."""

    kind: str  # exist, count, colour, size, position, relation, reason
    prompt: str
    answer: str
    about: str = ""


# --- questions ---------------------------------------------------------------------------------------------------


_EXIST = (WORDING, "Can you see {} here?", "Does the image contain {}?")


def exist_question(name: str, yes: bool, rng: np.random.Generator | None = None) -> Question:
    """A yes/no question after an object; without ``rng`` in POPE's wording."""
    phrase = noun_phrase(Item(name), attributes=False)
    template = _EXIST[0 if rng is None else rng.integers(len(_EXIST))]
    return Question("exist", template.format(phrase), "Yes." if yes else "No.", name)


def absent_objects(scene: Scene, setting: str, n: int, rng: np.random.Generator) -> list[str]:
    """``n`` objects that are not in the scene, chosen as in POPE.

    ``random``: uniformly; ``popular``: those most frequent in typical scenes; ``adversarial``: those that most often occur
    together with the objects present (missing partners by strength, then others of the same contexts). Ties are random.

    Raises ``ValueError`` for another setting.
    """
    check_choice("absent_objects: setting", setting, SETTINGS)
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
    return absent[:n]


def polls(scene: Scene, setting: str, n: int = 3) -> list[Question]:
    """POPE for one scene: up to ``n`` present objects and as many absent ones, in POPE's wording, alternating.

    Raises ``ValueError`` for an unknown setting.
    """
    check_choice("polls: setting", setting, SETTINGS)
    rng = np.random.default_rng([71, scene.key[2], SETTINGS.index(setting)])
    present = [scene.names[i] for i in rng.permutation(len(scene.names))[:n]]
    absent = absent_objects(scene, setting, len(present), rng)
    return [
        exist_question(name, yes)
        for pair in zip(present, absent, strict=True)
        for name, yes in zip(pair, (True, False), strict=True)
    ]


def attribute_questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Every question after count, colour, size, position, relation and reason that this scene allows, one wording each.

    What cannot be made out in the picture is not asked after.
    """
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
                larger = a if SIZES[a.size] > SIZES[b.size] else b
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
