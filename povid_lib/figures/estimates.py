"""Estimates with their intervals: as bars, over a dose, and against each other; and curves and shares that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from povid_lib.figures.style import (
    BLUE,
    GREEN,
    GREY,
    HALO,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Value,
    add_levels,
    looks,
    mid_and_error,
    plain,
    series_looks,
)


def grouped_bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[Value]],
    ylabel: str,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Shares with 95% intervals, grouped; the value stands above each bar. ``levels``: see ``dose_response``."""
    fig, ax = plt.subplots(figsize=(1.9 * len(groups) + 2.4, 3.4), layout="constrained")
    width = 0.8 / len(series)
    for k, (name, colour) in enumerate(looks(series, (BLUE, GREY, ORANGE, GREEN, PURPLE)).items()):
        x = np.arange(len(groups)) + (k - (len(series) - 1) / 2) * width
        mid, error = mid_and_error(series[name])
        ax.bar(x, mid, width * 0.92, color=colour, label=name, yerr=error, error_kw={"elinewidth": 1, "capsize": 2})
        for at, value, above in zip(x, mid, error[1], strict=True):
            ax.text(at, value + above + 0.015, f"{value:.2f}", ha="center", fontsize=8)
    ax.set(xticks=range(len(groups)), xticklabels=groups, ylabel=ylabel, ylim=(0, 1.15))
    add_levels(ax, levels or {}, outside=True)
    plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(4, len(series)))
    return fig


def bars_above(rows: Mapping[str, tuple[Value, Value]], labels: tuple[str, str], quiet: Sequence[str] = ()) -> Figure:
    """Two measures of each row, one above the other, as bars with 95% intervals and their values; the rows in ``quiet`` are grey.

    ``labels``: of the upper and of the lower measure. Dotted: the first row.

    Raises ``ValueError`` for a row in ``quiet`` that is not drawn.
    """
    if unknown := [name for name in quiet if name not in rows]:
        raise ValueError(f"bars_above: there is no row {unknown[0]!r}; the rows are {', '.join(map(repr, rows))}.")
    fig, axes = plt.subplots(
        2, 1, figsize=(1.15 * len(rows) + 1, 4.6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for ax, values, label in zip(axes, zip(*rows.values(), strict=True), labels, strict=True):
        mid, error = mid_and_error(values)
        colours = [GREY if name in quiet else BLUE for name in rows]
        ax.bar(range(len(rows)), mid, 0.7, color=colours, yerr=error, error_kw={"elinewidth": 1, "capsize": 3})
        for at, value, above in zip(range(len(rows)), mid, error[1], strict=True):
            ax.annotate(
                f"{value:.2f}", (at, value + above), (0, 2), textcoords="offset points", ha="center", fontsize=9
            )
        ax.axhline(mid[0], color="#444444", lw=1, ls=(0, (1, 2)))
        ax.set(ylabel=label, ylim=(0, 1.1))
        plain(ax)
    axes[1].set_xticks(range(len(rows)), list(rows), fontsize=9)
    return fig


def curves(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    ylim: tuple[float, float] = (-0.02, 1.02),
    xscale: str = "linear",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Smooth curves without intervals, for what is computed and not measured. ``levels``: see ``dose_response``."""
    fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    for name, (colour, style) in looks(series, ((BLUE, "-"), (ORANGE, "--"), (GREEN, ":"), (RED, "-."))).items():
        ax.plot(x, series[name], color=colour, ls=style, lw=2, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim, xscale=xscale)
    add_levels(ax, levels or {})
    plain(ax)
    ax.legend(frameon=False, fontsize=8)
    return fig


def control_chart(days: Sequence[float], usual: float, limit: float, changed: int, what: str, ylabel: str) -> Figure:
    """One number a day against its usual mean: a band of ``limit`` on either side, and days outside it as crosses.

    ``changed``: how many days come before ``what`` happened; a line is drawn there.
    """
    fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    at, height = np.arange(1, len(days) + 1), np.asarray(days, dtype=float)
    rings = np.abs(height - usual) > limit
    ax.axhspan(usual - limit, usual + limit, color=GREY, alpha=0.15, lw=0)
    ax.axhline(usual, color="#444444", lw=1)
    ax.plot(at[~rings], height[~rings], "o", color=BLUE, label="within the limits")
    ax.plot(at[rings], height[rings], "X", color=RED, ms=9, label="alarm")
    ax.axvline(changed + 0.5, color="#444444", lw=1, ls="--")
    ax.annotate(what, (changed + 0.6, 0.98), xycoords=("data", "axes fraction"), fontsize=8, va="top")
    step = max(1, len(days) // 10)
    ax.set(xlabel="day", ylabel=ylabel, xticks=at[step - 1 :: step], ylim=(None, max(*days, usual + limit) + limit / 2))
    plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return fig


def dose_response(
    doses: Sequence[float],
    series: Mapping[str, Sequence[Value]],
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Shares over a dose, a line a series, with 95% intervals. ``levels``: horizontal lines with a word above each."""
    fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for name, (colour, marker) in series_looks(series).items():
        mid, error = mid_and_error(series[name])
        ax.errorbar(doses, mid, error, color=colour, marker=marker, capsize=3, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.02, 1.02), xscale=xscale, xticks=doses)
    if xscale == "log":
        ax.set_xticks(doses, [f"{dose:,}" for dose in doses])
        ax.minorticks_off()
    add_levels(ax, levels or {})
    plain(ax)
    ax.legend(frameon=False, fontsize=8)
    return fig


def trade_off(
    series: Mapping[str, Sequence[tuple[Value, Value]]], before: tuple[Value, Value], xlabel: str, ylabel: str
) -> Figure:
    """Two measures against each other, (x, y) with 95% intervals: thin lines lead to each point from ``before``, a hollow star."""
    fig, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    (x0, dx0), (y0, dy0) = (mid_and_error([value]) for value in before)
    ax.errorbar(
        x0, y0, dy0, dx0, color="black", marker="*", ms=15, mfc="white", ls="none", elinewidth=0.8, label="before"
    )
    for name, (colour, marker) in series_looks(series).items():
        (x, dx), (y, dy) = (mid_and_error(values) for values in zip(*series[name], strict=True))
        for at_x, at_y in zip(x, y, strict=True):
            ax.plot([x0[0], at_x], [y0[0], at_y], color=colour, lw=1, alpha=0.5)
        ax.errorbar(x, y, dy, dx, color=colour, marker=marker, ms=6, ls="none", elinewidth=0.8, capsize=2, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def dose_panels(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[Value]]]],
    xlabel: str,
    ylabel: str,
    shaded: Mapping[str, tuple[float, float]] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Dose and response side by side: for each panel, series of (doses, values with 95% intervals).

    ``shaded``: a stretch of doses to mark in a panel. ``levels``: horizontal lines in all panels, for what is known beforehand.
    """
    fig, axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels) + 2, 3.5), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, (title, series) in zip(axes[0], panels.items(), strict=True):
        for name, (colour, marker) in series_looks(series).items():
            doses, values = series[name]
            mid, error = mid_and_error(values)
            ax.errorbar(doses, mid, error, color=colour, marker=marker, ms=5, capsize=2, lw=1.4, label=name)
        if shaded and title in shaded:
            ax.axvspan(*shaded[title], color=ORANGE, alpha=0.2, lw=0)
        for name, style in looks(levels or {}, (":", "--", "-.")).items():
            ax.axhline((levels or {})[name], color="black", lw=1, ls=style, label=name)
        ax.set(xlabel=xlabel, title=title, ylim=(-0.02, 1.02))
        plain(ax)
    axes[0, 0].set_ylabel(ylabel)
    axes[0, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def sweeps(
    panels: Mapping[str, Mapping[str, tuple[Sequence[str], Sequence[Value]]]],
    ylabel: str,
) -> Figure:
    """A panel for each sweep: named doses on the x-axis, a joined series of values with 95% intervals for each method.

    A method has one colour and marker in all panels. Raises ``ValueError`` for more methods than can be told apart.
    """
    fig, axes = plt.subplots(
        1, len(panels), figsize=(2.6 * len(panels) + 1.8, 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    look = series_looks(name for series in panels.values() for name in series)
    for ax, (title, series) in zip(axes[0], panels.items(), strict=True):
        for k, (name, (doses, values)) in enumerate(series.items()):
            mid, error = mid_and_error(values)
            x = np.arange(len(doses)) + 0.07 * (k - (len(series) - 1) / 2)
            colour, marker = look[name]
            ax.errorbar(x, mid, error, color=colour, marker=marker, ms=5, lw=1.3, elinewidth=1, capsize=2)
            ax.set(xticks=range(len(doses)), xticklabels=doses)
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=8)
        plain(ax)
    axes[0, 0].set_ylabel(ylabel)
    handles = [plt.Line2D([], [], color=c, marker=m, ms=5, lw=1.3) for c, m in look.values()]
    fig.legend(handles, list(look), loc="outside right upper", frameon=False, fontsize=8)
    return fig


def paths(
    series: Mapping[str, Sequence[tuple[str, Value, Value]]],
    xlabel: str,
    ylabel: str,
    level: float | None = None,
    better: bool = False,
    floor: Mapping[str, str] | None = None,
) -> Figure:
    """One line per series through points (label, x, y) with 95% intervals.

    ``level``: a value of x to mark by a vertical line. ``better``: says in the corner that up and to the left is better. ``floor``:
    series -> words to write under it, where the plane is shaded: what can be had without any training.

    Raises ``ValueError`` for a floor that is not drawn.
    """
    floor = floor or {}
    if unknown := [name for name in floor if name not in series]:
        raise ValueError(f"paths: there is no series {unknown[0]!r}; the series are {', '.join(map(repr, series))}.")
    fig, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for name, (colour, marker) in series_looks(series).items():
        points = series[name]
        (x, dx), (y, dy) = mid_and_error([p[1] for p in points]), mid_and_error([p[2] for p in points])
        ax.errorbar(x, y, dy, dx, color=colour, elinewidth=0.6, ls="none")
        ax.plot(x, y, color=colour, marker=marker, ms=5, label=name)
        for (label, *_), at_x, at_y in zip(points, x, y, strict=True):
            ax.annotate(
                label, (at_x, at_y), (4, 5), textcoords="offset points", fontsize=8, color="#333333", path_effects=HALO
            )
    bottom = ax.get_ylim()[0]
    for name in floor:
        x, _ = mid_and_error([p[1] for p in series[name]])
        y, _ = mid_and_error([p[2] for p in series[name]])
        ax.fill_between(x, y, bottom, color=GREY, alpha=0.15, lw=0)
        ax.annotate(floor[name], (max(x), bottom), (-6, 6), textcoords="offset points", fontsize=8, ha="right")
    ax.set_ylim(bottom=bottom)
    if level is not None:
        ax.axvline(level, color=GREY, lw=1, ls=":")
    if better:
        ax.annotate(
            "better", (0.01, 0.99), (0.1, 0.88), "axes fraction", fontsize=9, arrowprops={"arrowstyle": "->"}, ha="left"
        )
    ax.set(xlabel=xlabel, ylabel=ylabel)
    plain(ax)
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def stacked(panels: Mapping[str, Mapping[str, Mapping[str, float]]], xlabel: str) -> Figure:
    """Shares that make up a whole, as horizontal bars: for each panel, bars of (part -> share).

    Shares from 0.06 on are written into the bar.
    """
    sizes = [len(bars) for bars in panels.values()]
    fig, axes = plt.subplots(
        len(panels), 1, figsize=(8.6, 0.36 * sum(sizes) + 0.9 * len(panels) + 0.6),
        height_ratios=sizes, sharex=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    among = (
        (RED, ""), (ORANGE, "//"), (GREEN, ""), (SKY, ".."), (BLUE, ""), ("#DDDDDD", ""), ("black", ""), (PURPLE, "xx"),
    )  # fmt: skip
    for ax, (title, bars) in zip(axes[:, 0], panels.items(), strict=True):
        left = np.zeros(len(bars))
        for part, (colour, hatch) in looks(next(iter(bars.values())), among).items():
            width = np.array([bar[part] for bar in bars.values()])
            drawn = ax.barh(list(bars), width, left=left, color=colour, hatch=hatch, edgecolor="white", label=part)
            ax.bar_label(
                drawn, [f"{w:.2f}" if w >= 0.06 else "" for w in width], label_type="center", fontsize=7,
                bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
            )  # fmt: skip
            left += width
        ax.set_title(title, fontsize=9, loc="left")
        ax.set_xlim(0, 1)
        ax.invert_yaxis()
        plain(ax)
    axes[-1, 0].set_xlabel(xlabel)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    return fig


def odds(effects: Mapping[str, tuple[Value, float]], xlabel: str) -> Figure:
    """Odds ratios with intervals on a logarithmic axis, each beside how much the fit loses without its factor."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 0.55 * len(effects) + 1.4), sharey=True, layout="constrained")
    at = np.arange(len(effects))
    mid, error = mid_and_error([interval for interval, _ in effects.values()])
    left.errorbar(mid, at, xerr=error, color=BLUE, marker="o", ls="none", capsize=3)
    left.axvline(1, color=GREY, lw=1)
    left.set(xscale="log", xlabel=xlabel, yticks=at, yticklabels=list(effects))
    left.xaxis.set_major_locator(LogLocator(2))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    right.barh(at, [loss for _, loss in effects.values()], color=ORANGE)
    right.set(xlabel="deviance lost without it")
    left.invert_yaxis()
    for ax in (left, right):
        plain(ax)
    return fig
