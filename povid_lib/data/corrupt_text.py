"""Text dispreferences without any model: a pocket scene's true answer, and the same answer with one or two things wrong.

The wrong answer *replaces*, it never adds: it has as many words as the true one and the same sentence forms, so that neither
length nor form gives it away (chapter 02 shows what happens otherwise). The kinds of corruption are POVID's (arXiv 2402.11411,
section 3.1): a false object, relation or attribute in a caption; a false step and the wrong result that follows from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from numbers import Integral
from typing import Annotated

import numpy as np
from pydantic import Field

from povid_lib.data import images
from povid_lib.data.pairs import Change, Pair, Provenance, differences
from povid_lib.files.settings import Remedy, Whole, check, one_of
from povid_lib.world import worlds
from povid_lib.world.annotators import truthful
from povid_lib.world.captions import DETAILED_PROMPTS, SYNONYMS, mentioned
from povid_lib.world.drawing import COLOURS
from povid_lib.world.items import POSITIONS, Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.questions import attribute_questions
from povid_lib.world.scenes import Scene, sample_scene
from povid_lib.world.worlds import EDITION, EDITIONS, WORLD_KINDS

VERSION = "offline-1"  # count up with every change of what is written
FIRST = 300_000_000  # pairs come from training scenes that no run of the pocket model has used (20 million a seed)
SCENES, MOST = 1_000_000, 400_000  # scenes of each seed, and the most pairs: half the scenes at least allow one
_TRIES = 20  # drawings of one kind of corruption before a scene counts as not allowing it
DIFFICULTIES = ("random", "context", "partner")
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False), Remedy("give a weight that is 0 or more, and finite")]


@dataclass(frozen=True)
class Offline:
    """What the offline rewriter writes.

    ``difficulty``: which object takes the place of a true one: "random": any absent one; "context": an absent one of the
    picture's contexts; "partner": a missing partner of what is in the picture, which is what the language prior expects.
    ``objects``, ``relations``, ``attributes``, ``reasoning``: weights of the kinds; a scene that does not allow one gets another.
    ``world``: the kind of scene (see ``World``), and ``edition`` of the world: its dials as printed, as a pair names its scene by
    edition, split, kind and index.
    ``seed``: another seed, other pairs.

    Raises ``ValueError`` for an unknown difficulty or world, a weight that is negative or not finite, a negative seed, or weights
    that are all zero.
    """

    difficulty: Annotated[
        str,
        one_of(DIFFICULTIES, ", from easy to hard"),
        Field(
            description='Which object takes the place of a true one: "random", any absent one; "context", one that fits the place; '
            '"partner", one that usually comes along, which is what a language prior expects.'
        ),
    ] = "partner"
    objects: Annotated[Weight, Field(description="Weight of false objects.")] = 0.4
    relations: Annotated[Weight, Field(description="Weight of false places.")] = 0.2
    attributes: Annotated[Weight, Field(description="Weight of false colours, sizes and numbers.")] = 0.2
    reasoning: Annotated[Weight, Field(description="Weight of a false step and the wrong result after it.")] = 0.2
    world: Annotated[str, one_of(WORLD_KINDS)] = "typical"
    edition: Annotated[str, one_of(EDITIONS), Field(description="Of the world that the scenes are of.")] = EDITION
    seed: Annotated[Whole, Field(description="Another seed: other scenes, other pairs.")] = 0

    def __post_init__(self) -> None:
        check(self, self._combined())

    def _combined(self) -> Iterator[str]:
        if not any(self.weights.values()):
            yield "all weights are zero; give at least one kind of corruption a positive one"

    @property
    def weights(self) -> dict[str, float]:
        """How often each kind of falsehood is written, as given; they need not sum to 1."""
        return {
            "object": self.objects,
            "relation": self.relations,
            "attribute": self.attributes,
            "reasoning": self.reasoning,
        }


def pairs(n: int, config: Offline = Offline()) -> Iterator[Pair]:
    """``n`` pairs, lazily, one a scene of the training split. The same arguments give the same pairs (but for the time in their
    provenance), and another seed other scenes.

    Raises ``ValueError`` for an ``n`` that is not from 1 to 400,000, so that no seed runs out of its scenes.
    """
    if not isinstance(n, Integral) or not 1 <= n <= MOST:
        raise ValueError(f"pairs: n is {n!r}; give a whole number from 1 to {MOST:,}, and another seed for more.")
    world, first = worlds.world(config.world, config.edition), FIRST + config.seed * SCENES
    found = (pair_of(sample_scene(index, world, "train"), config) for index in itertools.count(first))
    return itertools.islice((pair for pair in found if pair is not None), n)


def pair_of(scene: Scene, config: Offline = Offline()) -> Pair | None:
    """A pair about one scene, or None if the scene allows no kind that has weight."""
    rng = np.random.default_rng([config.seed, *(scene.key[2:]), 17])
    kinds, weights = list(config.weights), np.array(list(config.weights.values()))
    order = rng.choice(kinds, size=int((weights > 0).sum()), replace=False, p=weights / weights.sum())
    for kind in order:
        for _ in range(_TRIES):
            found = _reasoning(scene, rng) if kind == "reasoning" else _caption(scene, str(kind), config, rng)
            if found is not None:
                return about(scene, *found, VERSION, f"{config.difficulty}-{config.seed}")
    return None


def about(
    scene: Scene, prompt: str, chosen: str, rejected: str, changes: tuple[Change, ...], version: str, made: str
) -> Pair:
    """A pair that was written from a scene's truth. ``version``: of what wrote it. ``made``: how, the end of the pair's id."""
    image = images.name_of(scene)
    return Pair(
        id=f"{image.removeprefix('scene:').replace('/', '-')}-{made}",
        image=image,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        changes=changes,
        provenance=Provenance("truth", version, datetime.now(UTC).isoformat(timespec="seconds")),
    )


Found = tuple[str, str, str, tuple[Change, ...]]  # prompt, chosen, rejected, changes


# --- captions ----------------------------------------------------------------------------------------------------


def _caption(scene: Scene, kind: str, config: Offline, rng: np.random.Generator) -> Found | None:
    """Corrupt one item and write both captions from one stream of chance, so that their wording is the same."""
    items = list(scene.salient) if scene.edition == "first" else truthful(scene).claims(scene, rng)
    seen = [at for at, item in enumerate(items) if not item.unseen]
    at = seen[rng.integers(len(seen))]
    if items[at].name in SYNONYMS:  # its noun draws from the stream
        return None
    corrupt = {"object": _false_object, "relation": _false_place, "attribute": _false_attribute}[kind]
    false = corrupt(scene, items[at], config.difficulty, rng)
    if false is None:
        return None
    seed = int(rng.integers(2**31))
    chosen, rejected = (
        truthful(scene).written(items_, np.random.default_rng(seed))
        for items_ in (items, [*items[:at], false, *items[at + 1 :]])
    )
    spans = differences(chosen, rejected)
    if not spans or any(len(a.split()) != len(b.split()) for a, b in spans):
        return None
    if kind != "object" and len(spans) > 1:  # a sentence about a relation has changed as well
        return None
    return (
        str(rng.choice(DETAILED_PROMPTS)),
        chosen,
        rejected,
        tuple(Change(kind, a.rstrip("."), b.rstrip(".")) for a, b in spans),
    )


def _false_object(scene: Scene, item: Item, difficulty: str, rng: np.random.Generator) -> Item | None:
    """The item with another name, of a kind that is absent and can have its number and colour."""
    there, missing = scene.names, scene.missing_partners
    contexts = {KINDS[name].context for name in there}
    options = [
        name
        for name in NAMES
        if name not in there
        and name not in SYNONYMS
        and KINDS[name].recolourable == KINDS[item.name].recolourable
        and (KINDS[name].plural is None) == (KINDS[item.name].plural is None)
        and (difficulty == "random" or KINDS[name].context in contexts)
        and (difficulty != "partner" or name in missing)
    ]
    return replace(item, name=str(rng.choice(options))) if options else None


def _false_place(scene: Scene, item: Item, difficulty: str, rng: np.random.Generator) -> Item | None:
    """A single item at another place, whose name has as many words."""
    if item.count > 1:
        return None
    words = len(item.position.split())
    cells = [c for c, place in enumerate(POSITIONS) if len(place.split()) == words and c != item.cells[0]]
    return replace(item, cells=(int(rng.choice(cells)),))


def _false_attribute(scene: Scene, item: Item, difficulty: str, rng: np.random.Generator) -> Item | None:
    """The item in another colour, small for large, or three for two; never a medium size, which goes unsaid."""
    options = []
    if item.colour is not None:
        options += [replace(item, colour=colour) for colour in COLOURS if colour != item.colour]
    if item.size != "medium":
        options.append(replace(item, size={"small": "large", "large": "small"}[item.size]))
    if item.count > 1:
        cells = item.cells[:2] if item.count == 3 else (*item.cells, item.cells[0])
        options.append(replace(item, cells=cells))
    return options[rng.integers(len(options))] if options else None


# --- reasoning ---------------------------------------------------------------------------------------------------


def _reasoning(scene: Scene, rng: np.random.Generator) -> Found | None:
    """A reasoning item answered for the scene, and for the scene with its two objects' sizes (or numbers) exchanged: a false step,
    and the wrong result that follows from it."""
    asked = [q for q in attribute_questions(scene, rng) if q.kind == "reason"]
    if not asked:
        return None
    question = asked[rng.integers(len(asked))]
    a, b = (scene[name] for name in mentioned(question.prompt))
    if question.prompt.startswith("Which is larger"):
        exchanged = {a.name: replace(a, size=b.size), b.name: replace(b, size=a.size)}
    else:
        exchanged = {a.name: replace(a, cells=b.cells), b.name: replace(b, cells=a.cells)}
    false = replace(scene, items=tuple(exchanged.get(item.name, item) for item in scene.items))
    rejected = next(q.answer for q in attribute_questions(false, rng) if q.prompt == question.prompt)
    step, result = (part.strip() for part in question.answer.removeprefix("Reason:").split("Result:"))
    false_step, false_result = (part.strip() for part in rejected.removeprefix("Reason:").split("Result:"))
    changes = (Change("step", step, false_step), Change("result", result, false_result))
    return question.prompt, question.answer, rejected, changes
