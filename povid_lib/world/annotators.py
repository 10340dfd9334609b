"""The imperfect authors of the instruction data: what they report, and in which order.

LLaVA-Instruct was written by a text-only GPT-4 from lists of objects and boxes: its authors name what no eye resolves, and at times
what is not there. Wording is in ``captions`` (first edition) and ``forms`` (second).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from povid_lib.world import worlds
from povid_lib.world.captions import detailed_caption, short_caption
from povid_lib.world.drawing import COLOURS
from povid_lib.world.forms import sentence, varied_caption
from povid_lib.world.items import CELL, Item
from povid_lib.world.objects import KINDS
from povid_lib.world.scenes import Scene
from povid_lib.world.worlds import World


@dataclass(frozen=True)
class Annotator:
    """Writes instruction data, and errs by its own prior. By default it writes the truth.

    Where an object's partner is missing from the scene, with strength = P(partner | object):
    ``error``: the partner is claimed with probability ``error * strength`` (at most 1) as one more small object at the end;
    ``insert``: the same, but named right behind its companion;
    ``confuse``: an object that is pale or covered is *called* its partner with probability ``confuse * strength``.
    ``omit``: probability that an object that is seen and small, pale or covered is left out; others are with a third of it.
    ``ordered``: probability that a caption follows salience; otherwise its order is random.
    ``together``: partners are named one behind the other, and forms vary with what is said (see ``forms``), as in the second
    edition of the world.

    Raises ``ValueError`` for rates below 0 and for what is no probability.
    """

    error: float = 0.0
    world: World = field(default_factory=World)
    ordered: float = 0.85
    insert: float = 0.0
    confuse: float = 0.0
    omit: float = 0.0
    together: bool = False

    def __post_init__(self) -> None:
        if min(self.error, self.insert, self.confuse) < 0:
            raise ValueError(
                f"Annotator: error is {self.error}, insert {self.insert} and confuse {self.confuse}; none may be negative."
            )
        if not 0 <= self.ordered <= 1 or not 0 <= self.omit <= 1:
            raise ValueError(f"Annotator: ordered is {self.ordered} and omit {self.omit}; they are probabilities.")

    def claims(self, scene: Scene, rng: np.random.Generator) -> list[Item]:
        """What a caption will mention, in order: the scene's items and falsely claimed partners."""
        items = list(scene.salient)
        if rng.random() >= self.ordered:
            items = [items[i] for i in rng.permutation(len(items))]
        if self.together:
            items = _together(items, rng)
        missing = set(scene.missing_partners)
        if self.omit:
            items = self._left(items, rng)
        if self.confuse or self.insert:
            items = [claim for item in items for claim in self._seen_as(item, missing, scene, rng)]
        for name in scene.missing_partners:
            draws = (
                self.error or not self.together
            )  # the first edition draws at rate 0 too: its captions follow from it
            if draws and rng.random() < self.error * self.world.strength(name):
                items.append(self.invent(name, scene, rng))
        return items

    def _left(self, items: list[Item], rng: np.random.Generator) -> list[Item]:
        """The items that are not forgotten, the first at least."""
        kept = [
            item for item in items if rng.random() >= (self.omit if item.hard and not item.unseen else self.omit / 3)
        ]
        return kept or items[:1]

    def _seen_as(self, item: Item, missing: set[str], scene: Scene, rng: np.random.Generator) -> list[Item]:
        """What becomes of one item: itself, its missing partner in its place, or both."""
        partner = KINDS[item.name].partner
        if partner not in missing or item.unseen:
            return [item]
        if item.faint and rng.random() < self.confuse * self.world.strength(partner):
            recolourable = KINDS[partner].recolourable
            count = item.count if KINDS[partner].plural else 1
            return [replace(item, name=partner, colour=item.colour if recolourable else None, cells=item.cells[:count])]
        if rng.random() < self.insert * self.world.strength(partner):
            return [item, self.invent(partner, scene, rng)]
        return [item]

    def invent(self, name: str, scene: Scene, rng: np.random.Generator) -> Item:
        """A false object of medium or (first edition) small size, where a mark could be taken for it or a cell is free."""
        taken = {c for item in scene.items for c in item.cells}
        free = [mark.place[1] // CELL * 3 + mark.place[0] // CELL for mark in scene.marks]
        free = free or [c for c in range(9) if c not in taken]
        colours = tuple(COLOURS)
        colour = colours[rng.integers(len(colours))] if KINDS[name].recolourable else None
        if colour is not None and self.world.usual_colour and rng.random() < self.world.usual_colour:
            colour = worlds.usual_colour(name, colours)
        size = "medium" if self.together else "small"
        return Item(name=name, size=size, colour=colour, cells=(int(rng.choice(free)) if free else 4,))

    def caption(self, scene: Scene, rng: np.random.Generator, detailed: bool = True) -> str:
        """One caption: a sentence per kind of object and at times a relation, or (short) one enumeration."""
        items = self.claims(scene, rng)
        if not detailed:
            return short_caption(items, rng)
        return self.written(items, rng)

    def sentence(self, item: Item, first: bool, rng: np.random.Generator) -> str:
        """One claim in a sentence. ``first``: a caption begins with it."""
        return sentence(item, first, rng) if self.together else detailed_caption([item], rng)

    def written(self, items: list[Item], rng: np.random.Generator) -> str:
        """A detailed caption of these claims, in this order."""
        return varied_caption(items, rng) if self.together else detailed_caption(items, rng)

    def answers_yes(self, name: str, scene: Scene, rng: np.random.Generator) -> bool:
        """Whether this annotator says that ``name`` is in the scene."""
        if name in scene.names:
            return True
        rate = self.error + self.insert
        return name in scene.missing_partners and rng.random() < rate * self.world.strength(name)


def _together(items: list[Item], rng: np.random.Generator) -> list[Item]:
    """Every partner right behind its companion, the one that is seen first; other unseen objects anywhere."""
    there = {item.name: item for item in items}
    found: list[Item] = []
    for item in items:
        partner = there.get(KINDS[item.name].partner)
        if item in found or item.unseen:
            continue
        found += [item] if partner is None else [item, partner]
    for item in items:
        if item not in found:
            found.insert(int(rng.integers(len(found) + 1)), item)
    return found


def truthful(scene: Scene) -> Annotator:
    """Who writes only what is true of the scene, all of it and by salience, in the style of its edition."""
    return Annotator(world=worlds.world(edition=scene.edition), ordered=1.0, together=scene.edition != "first")


def true_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A detailed caption in which everything is true and nothing left out, by salience."""
    if scene.edition == "first":
        return detailed_caption(scene.salient, rng)
    return truthful(scene).caption(scene, rng)
