"""The forest plot: many estimates under each other, with what they are to be compared with."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from povid_lib.figures.style import GREY, HALO, Value, mid_and_error, plain, series_looks

Panels = Mapping[str, Mapping[str, Mapping[str, Value]]]


def forest(
    panels: Panels,
    marks: Mapping[str, float] | None = None,
    mark: str = "",
    chance: Mapping[str, tuple[float, float]] | None = None,
    printed: bool = False,
    width: float = 1.6,
    labels: Mapping[str, str | tuple[str, str, str]] | None = None,
    limits: tuple[float, float] | None = None,
    band: str = "chance",
) -> Figure:
    """Values as points with their intervals: panel -> row -> series -> value; the rows of all panels are the same.

    ``marks``: panel -> a value to compare with, a line that the legend calls ``mark``. ``chance``: panel -> the stretch that chance
    alone reaches, which the legend calls ``band``. ``printed``: each value is written above its point. ``width``: a panel's, in
    inches. One series named "" needs no legend. ``labels``: panel -> what its axis counts; or what the left means, what is counted,
    and what the right means. ``limits``: of all axes.

    Raises ``ValueError`` if the rows of two panels differ, if there is a mark, a stretch or a label for a panel that is not drawn,
    or for more series than can be told apart.
    """
    marks, chance, labels = marks or {}, chance or {}, labels or {}
    rows = list(next(iter(panels.values())))
    if other := next((title for title, of in panels.items() if list(of) != rows), None):
        raise ValueError(
            f"forest: the rows of panel {other!r} are not the first panel's; give all panels the same ones."
        )
    if unknown := [title for title in (*marks, *chance, *labels) if title not in panels]:
        raise ValueError(
            f"forest: there is no panel {unknown[0]!r} to mark or label; the panels are {', '.join(map(repr, panels))}."
        )
    look = series_looks(name for of in panels.values() for row in of.values() for name in row)
    most = max(len(row) for of in panels.values() for row in of.values())
    height = (0.3 * max(1.0, 0.5 * most) + 0.14 * printed) * len(rows) + 1.2
    names_width = 0.075 * max(len(line) for row in rows for line in row.split("\n"))
    fig, axes = plt.subplots(
        1, len(panels), figsize=(width * len(panels) + names_width + 0.4, height), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, (title, of) in zip(axes[0], panels.items(), strict=True):
        if title in chance:
            ax.axvspan(*chance[title], color=GREY, alpha=0.25, lw=0, zorder=0)
        if title in marks:
            ax.axvline(marks[title], color="black", lw=1, ls=":", zorder=1)
        for at, row in enumerate(of.values()):
            ax.axhspan(at - 0.5, at + 0.5, color="#000000", alpha=0.04 * (at % 2), lw=0, zorder=0)
            _draw_row(ax, at, row, look, printed)
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=8)
        _label(ax, labels.get(title, ""))
        if limits:
            ax.set_xlim(*limits)
        plain(ax)
    axes[0, 0].set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5 - 0.2 * printed))
    axes[0, 0].tick_params("y", labelsize=9)
    _legend(fig, look, mark if marks else "", band if chance else "")
    return fig


def _draw_row(
    ax: plt.Axes, at: int, row: Mapping[str, Value], look: Mapping[str, tuple[str, str]], printed: bool
) -> None:
    """A row's values, those of several series under each other within the row."""
    for k, (name, found) in enumerate(row.items()):
        (value,), error = mid_and_error([found])
        y = at + (k - (len(row) - 1) / 2) * 0.8 / len(row)
        colour, marker = look[name]
        ax.errorbar(value, y, xerr=error, color=colour, marker=marker, ms=5.5, ls="none", elinewidth=1.4, capsize=2)
        if printed and np.isfinite(value):
            ax.annotate(
                f"{value:.2f}",
                (value, y),
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                path_effects=HALO,
            )


def _label(ax: plt.Axes, label: str | tuple[str, str, str]) -> None:
    """The label of an axis, with arrows at its two ends if it says what they mean."""
    left, counted, right = ("", label, "") if isinstance(label, str) else label
    ax.set_xlabel(counted, fontsize=8)
    for at, side, text in ((0, "left", f"← {left}" * bool(left)), (1, "right", f"{right} →" * bool(right))):
        if text:
            ax.annotate(
                text, (at, 0), (0, -27), ("axes fraction",) * 2, "offset points", fontsize=8, ha=side, va="center"
            )


def _legend(fig: Figure, look: Mapping[str, tuple[str, str]], mark: str, band: str) -> None:
    handles: list[Artist] = [
        plt.Line2D([], [], color=c, marker=m, ls="none", ms=5.5, label=name) for name, (c, m) in look.items() if name
    ]
    if mark:
        handles.append(plt.Line2D([], [], color="black", lw=1, ls=":", label=mark))
    if band:
        handles.append(plt.Rectangle((0, 0), 1, 1, color=GREY, alpha=0.25, lw=0, label=band))
    if handles:
        columns = min(4, len(handles))
        fig.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
