"""Figures of the study: many methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from povid_lib.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Interval, mid_and_error, plain

_LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "^"), (ORANGE, "D"), (PURPLE, "v"), (SKY, "P"), (GREY, "X"))


def forest_panels(
    rows: Mapping[str, Mapping[str, Interval]], marks: Mapping[str, float], groups: Mapping[str, str]
) -> Figure:
    """Values with 95% intervals: a line for each row, a panel for each of its measures, a line where the untrained model is.

    ``marks``: panel -> that place. ``groups``: row -> its group, which has a colour and a marker.
    """
    looks = dict(zip(dict.fromkeys(groups.values()), _LOOKS, strict=False))
    fig, axes = plt.subplots(
        1, len(marks), figsize=(1.6 * len(marks) + 2.2, 0.29 * len(rows) + 1.3), sharey=True, layout="constrained"
    )
    y = np.arange(len(rows))
    for ax, (panel, mark) in zip(axes, marks.items(), strict=True):
        ax.axvline(mark, color="black", lw=1, ls=":")
        for at, (name, values) in zip(y, rows.items(), strict=True):
            value, error = mid_and_error([values[panel]])
            colour, marker = looks[groups[name]]
            ax.errorbar(value, at, xerr=error, color=colour, marker=marker, ms=5, ls="none", elinewidth=1.2, capsize=2)
        ax.set_title(panel, fontsize=9)
        ax.tick_params(labelsize=8)
        ax.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
        plain(ax)
    axes[0].set(yticks=y, yticklabels=list(rows))
    axes[0].invert_yaxis()
    handles = [plt.Line2D([], [], color=c, marker=m, ls="none", ms=5) for c, m in looks.values()]
    handles.append(plt.Line2D([], [], color="black", lw=1, ls=":"))
    fig.legend(
        handles, [*looks, "before"], loc="outside lower center", ncols=min(4, len(looks) + 1), frameon=False, fontsize=8
    )
    return fig


def plane(
    paths: Mapping[str, Sequence[tuple[Interval, Interval]]], start: tuple[float, float], xlabel: str, ylabel: str
) -> Figure:
    """Two measures against each other: for each path its points in order, joined from ``start``, with 95% intervals."""
    fig, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    ax.plot(*start, marker="*", ms=15, color="black", ls="none", label="before", zorder=5)
    for (name, points), (colour, marker) in zip(paths.items(), _LOOKS, strict=False):
        (x, dx), (y, dy) = (mid_and_error(values) for values in zip(*points, strict=True))
        ax.plot([start[0], *x], [start[1], *y], color=colour, lw=1, alpha=0.6)
        ax.errorbar(
            x, y, xerr=dx, yerr=dy, color=colour, marker=marker, ms=6, ls="none", elinewidth=0.8,
            capsize=2, label=name,
        )  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=ylabel)
    plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def small_multiples(
    panels: Mapping[str, Mapping[str, tuple[Sequence[str], Sequence[Interval]]]],
    marks: Mapping[str, float],
    ylabel: str,
) -> Figure:
    """A panel for each sweep: named doses on the x-axis, a joined series of values with 95% intervals for each method.

    ``marks``: horizontal lines in all panels.
    """
    fig, axes = plt.subplots(
        1, len(panels), figsize=(2.6 * len(panels) + 1.8, 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    looks = dict(zip(names, _LOOKS, strict=False))
    for ax, (title, series) in zip(axes[0], panels.items(), strict=True):
        for k, (name, (doses, values)) in enumerate(series.items()):
            mid, error = mid_and_error(values)
            x = np.arange(len(doses)) + 0.07 * (k - (len(series) - 1) / 2)
            colour, marker = looks[name]
            ax.errorbar(x, mid, error, color=colour, marker=marker, ms=5, lw=1.3, elinewidth=1, capsize=2)
            ax.set(xticks=range(len(doses)), xticklabels=doses)
        for style, level in zip((":", "--", "-."), marks.values(), strict=False):
            ax.axhline(level, color="black", lw=1, ls=style)
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=8)
        plain(ax)
    axes[0, 0].set_ylabel(ylabel)
    handles = [plt.Line2D([], [], color=c, marker=m, ms=5, lw=1.3) for c, m in looks.values()]
    handles += [
        plt.Line2D([], [], color="black", lw=1, ls=style) for style, _ in zip((":", "--", "-."), marks, strict=False)
    ]
    fig.legend(handles, [*looks, *marks], loc="outside right upper", frameon=False, fontsize=8)
    return fig
