"""What all figures share: white paper, colours and marks, error bars, and text from outside that is no formula.

The colours are Okabe and Ito's, which colour-blind readers can tell apart; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patheffects import withStroke

from povid_lib.metrics.stats import Estimate, estimate_of

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
SKY, PURPLE = "#56B4E9", "#CC79A7"
LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "^"), (ORANGE, "D"), (PURPLE, "v"), (SKY, "P"), (GREY, "X"), ("black", "*"))

HALO = [withStroke(linewidth=2.5, foreground="white")]  # of small text that may lie on a line
# What comes again through the book looks the same in every figure: the kinds of words, and the trainings.
LASTING = {
    "seen": LOOKS[0], "false": LOOKS[1], "right guess": LOOKS[3],
    "constant on the end token": LOOKS[6], "two to one": LOOKS[2], "trained": LOOKS[2], "SFT": LOOKS[4], "random labels": LOOKS[7],
    "text and image": LOOKS[0], "equal weights": LOOKS[3], "DPO + SFT": LOOKS[5],
}  # fmt: skip

Look = TypeVar("Look")
# What a figure draws with its interval: an estimate, or its record in a results file. None was not measured and is left out.
Value = Estimate | Mapping[str, Any] | None


def mid_and_error(values: Sequence[Value]) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and their distances to low and high (2, n), as Matplotlib's error bars take them."""
    known = [estimate_of(v) if isinstance(v, Mapping) else v for v in values]
    rows = [(e.value, e.low, e.high) if e else (np.nan,) * 3 for e in known]
    mid, low, high = np.array(rows, dtype=float).T
    return mid, np.stack([mid - low, high - mid]).clip(0)


def looks(names: Iterable[str], among: Sequence[Look]) -> dict[str, Look]:
    """What each series looks like, in order ``among`` what there is. Raises ``ValueError`` for more than can be told apart."""
    listed = list(dict.fromkeys(names))
    if len(listed) > len(among):
        raise ValueError(
            f"This figure can tell {len(among)} series apart, not {len(listed)}; draw fewer, or two figures."
        )
    return dict(zip(listed, among, strict=False))


def series_looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each series: its own one throughout the book if it is in ``LASTING``, else the next that is free.

    Raises ``ValueError`` for more than can be told apart.
    """
    listed = list(looks(names, LOOKS))
    own = {name: LASTING[name] for name in listed if name in LASTING}
    if len(set(own.values())) < len(own):
        raise ValueError(f"Two of {', '.join(own)} look alike throughout the book; draw two figures.")
    free = iter(look for look in LOOKS if look not in own.values())
    return {name: own[name] if name in own else next(free) for name in listed}


def literal(text: str) -> str:
    """Text that a model or a file wrote, to be drawn as it stands: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def add_levels(ax: plt.Axes, levels: Mapping[str, float], outside: bool = False) -> None:
    """Horizontal lines, each under its name, or with it to the right of the axes (``outside``)."""
    for name, height in levels.items():
        ax.axhline(height, color="#444444", lw=1, ls=(0, (1, 2)))
        at, shift = ((1.0, height), (4, -3)) if outside else ((0.99, height), (0, 2))
        side = "left" if outside else "right"
        ax.annotate(name, at, shift, ("axes fraction", "data"), "offset points", fontsize=8, ha=side)


def plain(ax: plt.Axes) -> None:
    """No frame above and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
