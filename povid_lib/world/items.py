"""What lies in a scene: the objects of one kind with all that is true of them, and stray marks."""

from __future__ import annotations

from dataclasses import dataclass, field

SIDE = 96  # pixels; also the input size of the pocket vision tower
CELL = SIDE // 3  # the picture is a 3 x 3 grid of cells
POSITIONS = (
    "top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right",
)  # fmt: skip


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
    faded: bool = field(default=False, repr=False)  # its colour is drawn almost grey
    unseen: bool = field(default=False, repr=False)  # it is there, and drawn as a mark that does not tell what it is

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
        return self.size == "small" or self.faint

    @property
    def faint(self) -> bool:
        """Pale or partly covered."""
        return self.pale or self.visible < 0.8


@dataclass(frozen=True)
class Mark:
    """A stray mark: drawn like an unseen object of a kind, without being one."""

    name: str
    place: tuple[int, int]
