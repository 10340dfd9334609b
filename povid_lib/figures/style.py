"""Colours and marks that all figures share. The colours are Okabe and Ito's, which colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
SKY, PURPLE = "#56B4E9", "#CC79A7"
Interval = tuple[float, float, float]  # value, low, high


def interval(record: Mapping[str, float]) -> Interval:
    """An ``Estimate`` as read from a results file, as ``(value, low, high)``."""
    return record["value"], record["low"], record["high"]


def mid_and_error(values: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and their distances to low and high (2, n), as Matplotlib's error bars take them."""
    mid, low, high = np.array(values).T
    return mid, np.stack([mid - low, high - mid]).clip(0)


def add_levels(ax: plt.Axes, levels: Mapping[str, float]) -> None:
    """Horizontal lines, each under its name."""
    for name, height in levels.items():
        ax.axhline(height, color="#444444", lw=1, ls=(0, (1, 2)))
        at = (0.99, height)
        ax.annotate(name, at, (0, 2), ("axes fraction", "data"), "offset points", fontsize=8, ha="right")


def plain(ax: plt.Axes) -> None:
    """No frame above and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
