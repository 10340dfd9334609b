"""The same scene drawn otherwise, one thing at a time: what a model says then tells what its words depend on (chapter 03)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from povid_lib.world.drawing import COLOURS
from povid_lib.world.items import CELL, Item, Mark
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene
from povid_lib.world.worlds import usual_colour


@dataclass(frozen=True)
class Guess:
    """An object that is seen, ``companion``, whose ``partner`` is not in the scene: what a model may guess there."""

    scene: Scene
    companion: str
    partner: str


def guesses(batch: Sequence[Scene]) -> list[Guess]:
    """One for each scene that allows it, about its most salient object of that kind."""
    found = []
    for scene in batch:
        lone = [i.name for i in scene.salient if not i.unseen and KINDS[i.name].partner not in scene.names]
        found += [Guess(scene, lone[0], KINDS[lone[0]].partner)] if lone else []
    return found


def free_cells(scene: Scene) -> list[int]:
    """Cells of the grid, 0 to 8, in which there is neither an object nor a mark."""
    marked = {mark.place[1] // CELL * 3 + mark.place[0] // CELL for mark in scene.marks}
    return [cell for cell in range(9) if cell not in marked | {c for item in scene.items for c in item.cells}]


def _centre(cell: int) -> tuple[int, int]:
    return cell % 3 * CELL + CELL // 2, cell // 3 * CELL + CELL // 2


def drawn(guess: Guess) -> Scene:
    """The partner is drawn, in full, on a free cell (on top of what lies in the centre if there is none)."""
    cell = (free_cells(guess.scene) or [4])[0]
    colour = usual_colour(guess.partner, tuple(COLOURS)) if KINDS[guess.partner].recolourable else None
    partner = Item(guess.partner, "medium", colour, (cell,), (_centre(cell),))
    return replace(guess.scene, items=(*guess.scene.items, partner))


def unmarked(guess: Guess) -> Scene:
    """All grey marks are gone, stray ones and those of unseen objects."""
    return replace(guess.scene.shown, marks=())


def cluttered(guess: Guess) -> Scene:
    """Two stray marks more, on free cells where there are any; the rest as it was."""
    rng = np.random.default_rng([guess.scene.key[2], 5])
    cells = rng.permutation(free_cells(guess.scene))[:2]
    absent = [name for name in NAMES if name not in guess.scene.names]
    more = tuple(Mark(absent[rng.integers(len(absent))], _centre(int(cell))) for cell in cells)
    return replace(guess.scene, marks=guess.scene.marks + more)


def _another(scene: Scene, item: Item, rng: np.random.Generator) -> Item:
    """Another kind in an item's place, one that is not in the scene and whose partner is not; drawn as the item was."""
    banned = {item.name, KINDS[item.name].partner, *scene.names, *scene.missing_partners}
    free = [
        name
        for name in NAMES
        if name not in banned
        and (KINDS[name].plural is not None or item.count == 1)
        and KINDS[name].recolourable == KINDS[item.name].recolourable
    ]
    return replace(item, name=free[rng.integers(len(free))])


def exchanged(guess: Guess, name: str) -> Scene:
    """One object of the scene, ``name``, is another one. Raises ``ValueError`` if it is not in the scene."""
    if name not in guess.scene.names:
        raise ValueError(f"exchanged: there is no {name!r} in the scene; choose one of {', '.join(guess.scene.names)}.")
    rng = np.random.default_rng([guess.scene.key[2], 7])
    items = tuple(_another(guess.scene, i, rng) if i.name == name else i for i in guess.scene.items)
    return replace(guess.scene, items=items)


def other_seen(guess: Guess) -> str | None:
    """An object that is seen and is not the companion, the least salient one; None if there is none."""
    names = [item.name for item in guess.scene.salient if not item.unseen and item.name != guess.companion]
    return names[-1] if names else None


def evidence(scene: Scene, strong: bool) -> Scene:
    """All seen objects small and pale, or all of medium size at least, in full colour and in the middle of their cells."""

    def seen(item: Item) -> Item:
        if not strong:
            return replace(item, size="small", pale=True)
        size = "medium" if item.size == "small" else item.size
        return replace(item, size=size, pale=False, faded=False, places=tuple(_centre(cell) for cell in item.cells))

    return replace(scene, items=tuple(item if item.unseen else seen(item) for item in scene.items))
