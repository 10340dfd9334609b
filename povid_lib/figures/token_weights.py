"""Figures of chapters 07 and 08: words with their weights, the two forms of the loss, and estimates laid under each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from povid_lib.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Interval, mid_and_error, plain


def weighted_words(answers: Mapping[str, Sequence[tuple[str, float]]], per_row: int = 8) -> Figure:
    """Answers as rows of words in boxes, each with its weight in print: blue is pushed up, orange down, white is left alone."""
    lines = [
        (name if at == 0 else "", words[at : at + per_row])
        for name, words in answers.items()
        for at in range(0, len(words), per_row)
    ]
    largest = max(abs(weight) for words in answers.values() for _, weight in words) or 1.0
    fig, ax = plt.subplots(figsize=(0.86 * per_row + 1.1, 0.62 * len(lines) + 0.1), layout="constrained")
    for row, (name, words) in enumerate(lines):
        ax.text(-0.12, -row + 0.4, name, ha="right", va="center", fontsize=10, fontweight="bold")
        for column, (word, weight) in enumerate(words):
            colour = BLUE if weight > 0 else RED
            strength = 0.7 * abs(weight) / largest
            hatch, edge = ("///", (RED, 0.25)) if weight < -5e-4 else (None, "none")
            ax.add_patch(plt.Rectangle((column, -row), 0.95, 0.8, fc=(colour, strength), lw=0, hatch=hatch, ec=edge))
            ax.add_patch(plt.Rectangle((column, -row), 0.95, 0.8, fc="none", ec=GREY, lw=0.7))
            ax.text(column + 0.475, -row + 0.53, word, ha="center", va="center", fontsize=10.5)
            said = "0" if abs(weight) < 5e-4 else f"{weight:+.3f}".replace("0.", ".").replace("-", "−")
            ax.text(column + 0.475, -row + 0.2, said, ha="center", va="center", fontsize=9)
    ax.set(xlim=(-1.15, per_row), ylim=(-len(lines) + 0.9, 0.9))
    ax.axis("off")
    return fig


def convexity(text: Sequence[float], image: Sequence[float], example: int) -> Figure:
    """The mean of two losses against the loss of the mean margin: for one pair on the curve, and for all pairs by the distance
    of their two margins (``text``, ``image``: one number a pair)."""
    one, two = np.asarray(text), np.asarray(image)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
    ends = sorted((one[example], two[example]))
    margin = max(0.4, 0.6 * (ends[1] - ends[0]))
    z = np.linspace(ends[0] - margin, ends[1] + margin, 200)
    left.plot(z, _loss(z), color=BLUE, lw=2, label="$-\\log\\sigma(z)$")
    left.plot(ends, _loss(np.array(ends)), "o--", color=RED, label="text and image margin")
    middle = sum(ends) / 2
    left.plot([middle], [_loss(np.array(ends)).mean()], "D", color=RED, ms=8, label="mean of two losses")
    left.plot([middle], [_loss(np.array(middle))], "s", color=BLUE, ms=8, label="one sigmoid of the mean")
    left.set(xlabel="margin $z$", ylabel="loss")
    left.legend(frameon=False, fontsize=8)
    gap = (_loss(one) + _loss(two)) / 2 - _loss((one + two) / 2)
    distance = np.linspace(0, abs(one - two).max() * 1.05, 100)
    right.plot(abs(one - two), gap, "o", color=RED, ms=5, alpha=0.7, label="pairs")
    right.plot(distance, distance**2 / 32, color=GREY, ls="--", label="$(z_1 - z_2)^2 / 32$")
    right.set(xlabel="distance of the two margins", ylabel="mean of two, less one sigmoid")
    right.legend(frameon=False, fontsize=8)
    for ax in (left, right):
        plain(ax)
    return fig


def forest(
    names: Sequence[str],
    series: Mapping[str, Sequence[Interval]],
    xlabel: str,
    mark: float = 1.0,
    band: tuple[float, float] | None = None,
) -> Figure:
    """Values with 95% intervals, one line a name, the series beside each other; ``mark`` is a line to compare with, and ``band``
    the stretch around it that chance reaches."""
    fig, ax = plt.subplots(figsize=(7.6, 0.3 * len(names) + 0.9), layout="constrained")
    offsets = np.linspace(-0.16, 0.16, len(series))
    for (name, values), colour, marker, offset in zip(series.items(), (BLUE, RED), "os", offsets, strict=True):
        mid, error = mid_and_error(values)
        y = np.arange(len(names)) + offset
        ax.errorbar(
            mid, y, xerr=error, color=colour, marker=marker, ms=5, ls="none",
            elinewidth=1, capsize=2, label=name,
        )  # fmt: skip
    ax.axvline(mark, color=GREY, lw=1)
    if band is not None:
        ax.axvspan(*band, color=GREY, alpha=0.2, lw=0, label="chance")
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel=xlabel)
    ax.invert_yaxis()
    ax.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
    plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def forest_panels(names: Sequence[str], panels: Mapping[str, Sequence[Interval]]) -> Figure:
    """Values with 95% intervals in print, one line a name and one panel a measure. The first line is what the others are compared
    with: it is hollow, and a dashed line carries it down."""
    fig, axes = plt.subplots(
        1, len(panels), figsize=(2.5 * len(panels) + 1.2, 0.42 * len(names) + 0.9), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    y = np.arange(len(names))
    for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
        mid, error = mid_and_error(values)
        ax.errorbar(
            mid, y, xerr=error, color=BLUE, marker="o", ms=6, ls="none",
            elinewidth=1.5, capsize=2,
        )  # fmt: skip
        ax.plot(mid[:1], y[:1], "o", ms=6, color=BLUE, mfc="white", zorder=5)
        ax.axvline(mid[0], color=GREY, lw=1, ls="--", zorder=0)
        for at, value in zip(y, mid, strict=True):
            ax.annotate(
                f"{value:.2f}", (value, at), (0, 7), textcoords="offset points", ha="center", fontsize=9,
                bbox={"fc": "white", "ec": "none", "pad": 0.6},
            )  # fmt: skip
        ax.set_title(title, fontsize=10)
        ax.margins(x=0.15)
        ax.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
        plain(ax)
    axes[0, 0].set(yticks=y, yticklabels=names, ylim=(len(names) - 0.5, -0.8))
    return fig


def shares(rows: Mapping[str, Mapping[str, Interval]], xlabel: str) -> Figure:
    """For each row its parts as bars with 95% intervals, in one colour and hatch for each part; a part may be negative."""
    parts = list(next(iter(rows.values())))
    fig, axes = plt.subplots(
        1, len(parts), figsize=(9.6, 0.36 * len(rows) + 1.0), sharey=True, sharex=True, layout="constrained"
    )
    y = np.arange(len(rows))
    for ax, part, colour in zip(axes, parts, (BLUE, ORANGE, RED, GREEN, GREY, PURPLE), strict=False):
        found = [row[part] for row in rows.values()]
        mid, error = mid_and_error(found)
        ax.barh(
            y,
            mid,
            0.7,
            color=colour,
            xerr=error,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
        ax.axvline(0, color="black", lw=0.8)
        for at, value, top in zip(y, mid, [max(high, 0) for _, _, high in found], strict=True):
            ax.text(top + 0.02, at, f"{value:.2f}".replace("-", "−"), va="center", fontsize=8)
        ax.set_title(part, fontsize=9)
        plain(ax)
    axes[0].set(yticks=y, yticklabels=list(rows))
    axes[0].invert_yaxis()
    low = min(row[part][1] for row in rows.values() for part in parts)
    high = max(row[part][2] for row in rows.values() for part in parts)
    axes[0].set_xlim(min(0, low) - 0.05, high + 0.25)
    fig.supxlabel(xlabel, fontsize=9)
    return fig


def _loss(z: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-z))
