"""Figures. Every function returns a Matplotlib figure on white paper; the page's style keeps it readable in dark mode.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; nothing is told by colour alone.
"""

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
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Interval,
    add_levels,
    mid_and_error,
    plain,
)


def token_strip(
    tokens: Sequence[str], is_image: Sequence[bool], is_answer: Sequence[bool], per_row: int = 12
) -> Figure:
    """A sequence of tokens as boxes: image, prompt and answer in three colours, numbered by position."""
    rows = -(-len(tokens) // per_row)
    fig, ax = plt.subplots(figsize=(8, 0.62 * rows), layout="constrained")
    for i, token in enumerate(tokens):
        x, y = i % per_row, -(i // per_row)
        colour = ORANGE if is_image[i] else BLUE if is_answer[i] else GREY
        ax.add_patch(plt.Rectangle((x, y), 0.94, 0.62, facecolor=colour, alpha=0.22, edgecolor=colour))
        label = "img" if is_image[i] else token.replace("\n", "\\n").strip() or "␣"
        ax.text(x + 0.47, y + 0.31, label, ha="center", va="center", fontsize=7.5)
        ax.text(x + 0.03, y + 0.66, str(i), fontsize=5, color="#666666")
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=c, alpha=0.35) for c in (ORANGE, GREY, BLUE)]
    ax.legend(
        handles,
        ["image", "prompt", "answer"],
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    ax.set(xlim=(-0.1, per_row), ylim=(-rows + 0.9, 1))
    ax.axis("off")
    return fig


def compare_probs(words: Sequence[str], views: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Probabilities of a few words under several views of one scene, as grouped horizontal bars."""
    fig, ax = plt.subplots(figsize=(7, 0.55 * len(words) + 1.1), layout="constrained")
    height = 0.8 / len(views)
    for k, ((view, probs), colour) in enumerate(zip(views.items(), (BLUE, GREY, ORANGE), strict=False)):
        y = np.arange(len(words)) + (k - (len(views) - 1) / 2) * height
        bars = ax.barh(y, probs, height * 0.92, color=colour, label=view)
        ax.bar_label(bars, [f"{p:.2f}" for p in probs], fontsize=7, padding=2)
    ax.set(yticks=range(len(words)), yticklabels=words, xlim=(0, 1.08), xlabel="probability", title=title)
    ax.invert_yaxis()
    plain(ax)
    ax.legend(frameon=False, fontsize=8)
    return fig


def grouped_bars(
    groups: Sequence[str], series: Mapping[str, Sequence[Interval]], ylabel: str, ymax: float = 1.0
) -> Figure:
    """Values with 95% intervals, grouped; the value stands above each bar."""
    fig, ax = plt.subplots(figsize=(1.9 * len(groups) + 2.4, 3.4), layout="constrained")
    width = 0.8 / len(series)
    for k, ((name, values), colour) in enumerate(zip(series.items(), (BLUE, GREY, ORANGE, GREEN), strict=False)):
        x = np.arange(len(groups)) + (k - (len(series) - 1) / 2) * width
        mid, error = mid_and_error(values)
        ax.bar(x, mid, width * 0.92, color=colour, label=name, yerr=error, error_kw={"elinewidth": 1, "capsize": 2})
        for at, value, high in zip(x, mid, [v[2] for v in values], strict=True):
            ax.text(at, high + 0.015 * ymax, f"{value:.2f}", ha="center", fontsize=8)
    ax.set(xticks=range(len(groups)), xticklabels=groups, ylabel=ylabel, ylim=(0, 1.12 * ymax))
    plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
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
    looks = zip((BLUE, ORANGE, GREEN, RED), ("-", "--", ":", "-."), strict=True)
    for (name, values), (colour, style) in zip(series.items(), looks, strict=False):
        ax.plot(x, values, color=colour, ls=style, lw=2, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim, xscale=xscale)
    add_levels(ax, levels or {})
    plain(ax)
    ax.legend(frameon=False, fontsize=8)
    return fig


def dose_response(
    doses: Sequence[float],
    series: Mapping[str, Sequence[Interval]],
    xlabel: str,
    ylabel: str,
    ymax: float = 1.0,
    xscale: str = "linear",
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """One line per series over a dose, with 95% intervals. ``levels``: horizontal lines with a word above each."""
    fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for (name, values), colour, marker in zip(series.items(), (BLUE, ORANGE, GREEN, RED), "os^D", strict=False):
        mid, error = mid_and_error(values)
        ax.errorbar(doses, mid, error, color=colour, marker=marker, capsize=3, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.02 * ymax, 1.02 * ymax), xscale=xscale, xticks=doses)
    if xscale == "log":
        ax.set_xticks(doses, [f"{dose:,}" for dose in doses])
        ax.minorticks_off()
    add_levels(ax, levels or {})
    plain(ax)
    ax.legend(frameon=False, fontsize=8)
    return fig


def trade_off(series: Mapping[str, Sequence[tuple[Interval, Interval]]], xlabel: str, ylabel: str) -> Figure:
    """Points with 95% intervals in both directions, one colour and marker for each series, the first hollow."""
    fig, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
    looks = zip((GREY, RED, BLUE, GREEN), "oXsD", (13, 8, 7, 7), ("none", RED, BLUE, GREEN), strict=True)
    for (name, points), (colour, marker, size, fill) in zip(series.items(), looks, strict=False):
        (x, dx), (y, dy) = (mid_and_error(values) for values in zip(*points, strict=True))
        ax.errorbar(
            x, y, dy, dx, color=colour, marker=marker, ms=size, mfc=fill, ls="none", elinewidth=1, capsize=2, label=name
        )
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    plain(ax)
    ax.legend(frameon=False, fontsize=9)
    return fig


def dose_panels(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[Interval]]]],
    xlabel: str,
    ylabel: str,
    shaded: Mapping[str, tuple[float, float]] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Dose and response side by side: for each panel, series of (doses, values with 95% intervals), at most six.

    ``shaded``: a stretch of doses to mark in a panel. ``levels``: horizontal lines in all panels, for what is known beforehand.
    """
    fig, axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels) + 2, 3.5), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, (title, series) in zip(axes[0], panels.items(), strict=True):
        for (name, (doses, values)), colour, marker in zip(
            series.items(), (BLUE, RED, GREY, GREEN, ORANGE, SKY), "os^DvX", strict=False
        ):
            mid, error = mid_and_error(values)
            ax.errorbar(doses, mid, error, color=colour, marker=marker, ms=5, capsize=2, lw=1.4, label=name)
        if shaded and title in shaded:
            ax.axvspan(*shaded[title], color=ORANGE, alpha=0.2, lw=0)
        for style, (name, level) in zip((":", "--", "-."), (levels or {}).items(), strict=False):
            ax.axhline(level, color="black", lw=1, ls=style, label=name)
        ax.set(xlabel=xlabel, title=title, ylim=(-0.02, 1.02))
        plain(ax)
    axes[0, 0].set_ylabel(ylabel)
    axes[0, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def paths(
    series: Mapping[str, Sequence[tuple[str, Interval, Interval]]], xlabel: str, ylabel: str, level: float | None = None
) -> Figure:
    """One line per series through points (label, x, y) with 95% intervals, x falling from left to right; at most eight series.

    ``level``: a value of x to mark by a vertical line.
    """
    fig, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for k, (name, points) in enumerate(series.items()):
        colour, marker = (BLUE, RED, GREEN, ORANGE, SKY, PURPLE, GREY, "black")[k], "osD^vXP*"[k]
        (x, dx), (y, dy) = mid_and_error([p[1] for p in points]), mid_and_error([p[2] for p in points])
        ax.errorbar(x, y, dy, dx, color=colour, elinewidth=0.6, ls="none")
        ax.plot(x, y, color=colour, marker=marker, ms=5, label=name)
        for (label, *_), at_x, at_y in zip(points, x, y, strict=True):
            ax.annotate(label, (at_x, at_y), (4, 5), textcoords="offset points", fontsize=7, color="#333333")
    if level is not None:
        ax.axvline(level, color=GREY, lw=1, ls=":")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.invert_xaxis()
    plain(ax)
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def stacked(panels: Mapping[str, Mapping[str, Mapping[str, float]]], xlabel: str) -> Figure:
    """Shares that make up a whole, as horizontal bars: for each panel, bars of (part -> share), at most eight parts.

    Shares from 0.06 on are written into the bar.
    """
    sizes = [len(bars) for bars in panels.values()]
    fig, axes = plt.subplots(
        len(panels), 1, figsize=(8.6, 0.36 * sum(sizes) + 0.9 * len(panels) + 0.6),
        height_ratios=sizes, sharex=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    colours = (RED, ORANGE, GREEN, SKY, BLUE, "#DDDDDD", "black", PURPLE)
    hatches = ("", "//", "", "..", "", "", "", "xx")
    for ax, (title, bars) in zip(axes[:, 0], panels.items(), strict=True):
        left = np.zeros(len(bars))
        for part, colour, hatch in zip(next(iter(bars.values())), colours, hatches, strict=False):
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


def odds(effects: Mapping[str, tuple[Interval, float]], xlabel: str) -> Figure:
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
