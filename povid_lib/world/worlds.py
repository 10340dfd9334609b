"""The statistics from which scenes are drawn, in editions.

The *second* edition, in which the shipped model lives, has what real captions have: true objects that no eye resolves, stray marks
that could be taken for them, usual colours and places. The *first* shows every object that its captions name, so that all false
objects come from annotators; it is kept for the lesson of chapter 09, a remedy that is only a constant. *Shown* is the second
edition with nothing unseen, for the small models of chapter 03, each of which has one cause of false objects.
"""

from __future__ import annotations

from dataclasses import dataclass

from povid_lib.world.objects import CONTEXTS, KINDS, NAMES, PAIRS, STRENGTHS

WORLD_KINDS = ("typical", "counter_typical", "mixed")


@dataclass(frozen=True)
class World:
    """The statistics from which scenes are drawn.

    ``kind``:
        ``typical``: one context, one to three of its pairs; partners appear together with their known probability.
        ``counter_typical``: two to five objects of at least two contexts, none of them with its partner.
        ``mixed``: one to six objects drawn uniformly and independently, partners or not.

    ``cooccurrence``: multiplies every pair's strength (1: the table as printed; 0: partners never together).
    ``edition``: its name in ``EDITIONS``, so that a picture's name tells the world that it is drawn from.

    The second edition's dials, all off by default:
    ``unseen``: of each whole pair of partners in a typical scene one is drawn as a mark that tells nothing of what it is, with this
    probability, by the pair's strength (in the order of ``STRENGTHS``). ``lone_unseen``: the same of any other object; one object
    of a scene is always seen.
    ``clutter``: mean number of stray marks, which look like unseen objects and are none.
    ``usual_colour``, ``usual_place``: probability that an object of a typical scene has its kind's usual colour, lies in its kind's
    usual row. In counter-typical scenes it never does, in mixed ones no more often than chance has it.
    ``faded``: probability that an object's colour is drawn almost grey.

    Raises ``ValueError`` for an unknown kind, a factor that leaves [0, 1.1], and what is no probability.
    """

    kind: str = "typical"
    cooccurrence: float = 1.0
    pale: float = 0.12  # probability that an object is drawn pale
    crowded: float = 0.2  # probability that an object strays from its cell, so that it may be covered or cut off
    size_odds: tuple[float, float, float] = (0.3, 0.4, 0.3)  # small, medium, large
    count_odds: tuple[float, float, float] = (0.78, 0.15, 0.07)  # one, two, three
    edition: str = "first"  # with all dials off; ``world`` gives those of an edition
    unseen: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    lone_unseen: float = 0.0
    clutter: float = 0.0
    usual_colour: float = 0.0
    usual_place: float = 0.0
    faded: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in WORLD_KINDS:
            raise ValueError(f"World.kind is {self.kind!r}; choose one of {', '.join(WORLD_KINDS)}.")
        if not 0 <= self.cooccurrence <= 1.1:
            raise ValueError(f"World.cooccurrence is {self.cooccurrence}; it must lie between 0 and 1.1.")
        for name in ("pale", "crowded", "lone_unseen", "usual_colour", "usual_place", "faded"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"World.{name} is {getattr(self, name)}; it is a probability, from 0 to 1.")
        for name in ("size_odds", "count_odds"):
            if abs(sum(getattr(self, name)) - 1) > 1e-9 or min(getattr(self, name)) < 0:
                raise ValueError(
                    f"World.{name} is {getattr(self, name)}; three probabilities that sum to 1 are needed."
                )
        if len(self.unseen) != len(STRENGTHS) or not all(0 <= share <= 1 for share in self.unseen):
            raise ValueError(
                f"World.unseen is {self.unseen}; give a probability for each of the strengths {STRENGTHS}."
            )
        if not 0 <= self.clutter <= 4:
            raise ValueError(f"World.clutter is {self.clutter}; a mean number of marks from 0 to 4 is needed.")

    def strength(self, name: str) -> float:
        """P(partner present | ``name`` present) in a typical scene of this world."""
        return KINDS[name].strength * self.cooccurrence

    def share_unseen(self, name: str) -> float:
        """P(one of the two is drawn as a mark | ``name`` and its partner in a typical scene)."""
        return self.unseen[STRENGTHS.index(KINDS[name].strength)]

    def guess(self, name: str) -> float:
        """P(partner in a typical scene | ``name`` is seen there and its partner is not): what a true caption teaches to guess."""
        strength = self.strength(name)
        both, seen = strength / (2 - strength), 1 - self.lone_unseen
        hidden = both * self.share_unseen(name) / 2  # the other half of the hidden ones are this object itself
        return hidden / (hidden + (1 - both) / 2 * seen) if hidden else 0.0


EDITION = "second"  # of the shipped model

_DRAWN: dict[str, object] = {"pale": 0.15, "usual_colour": 0.75, "usual_place": 0.65, "faded": 0.2}

# name -> what differs from the first edition. "shown" is the second with everything that it names drawn so that it can be made out
EDITIONS: dict[str, dict[str, object]] = {
    "first": {},
    "second": {**_DRAWN, "unseen": (0.65, 0.7, 0.85, 0.9), "lone_unseen": 0.25, "clutter": 1.2},
    "shown": _DRAWN,
}


def world(kind: str = "typical", edition: str = EDITION, cooccurrence: float = 1.0) -> World:
    """A world of one edition, by default that of the shipped model. Raises ``ValueError`` for an unknown kind or edition."""
    if edition not in EDITIONS:
        raise ValueError(f"There is no edition {edition!r} of the world; choose one of {', '.join(EDITIONS)}.")
    return World(kind=kind, cooccurrence=cooccurrence, edition=edition, **EDITIONS[edition])  # type: ignore[arg-type]


def cooccurrence_table(world: World = world()) -> list[tuple[str, str, str, float]]:
    """Rows ``(context, object, partner, P(partner | object))``, the conditional probabilities of typical scenes."""
    return [(c, a, b, world.strength(a)) for c in CONTEXTS for a, b in PAIRS[c]]


def usual_row(name: str) -> int:
    """The row of the grid (0: top) in which objects of this kind usually lie; partners have different ones."""
    return NAMES.index(name) % 3


def usual_colour(name: str, colours: tuple[str, ...]) -> str:
    """The colour that objects of this kind usually have."""
    return colours[[n for n in NAMES if KINDS[n].recolourable].index(name) % len(colours)]
