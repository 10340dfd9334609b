"""What a loss does: words with their weights, its two forms, and the shares of its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from povid_lib.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Value, literal, looks, mid_and_error, plain


def weighted_words(answers: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """Answers as rows of words in boxes, each with its weight in print: blue is pushed up, orange down, white is left alone."""
    per_row = 8
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
            ax.text(column + 0.475, -row + 0.53, literal(word), ha="center", va="center", fontsize=10.5)
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


def shares(rows: Mapping[str, Mapping[str, Value]], xlabel: str) -> Figure:
    """For each row its parts as bars with 95% intervals, in one colour and hatch for each part; a part may be negative."""
    parts = list(next(iter(rows.values())))
    fig, axes = plt.subplots(
        1, len(parts), figsize=(9.6, 0.36 * len(rows) + 1.0), sharey=True, sharex=True, layout="constrained"
    )
    y, lowest, highest = np.arange(len(rows)), 0.0, 0.0
    look = looks(parts, (BLUE, ORANGE, RED, GREEN, GREY, PURPLE))
    for ax, (part, colour) in zip(axes, look.items(), strict=True):
        mid, error = mid_and_error([row[part] for row in rows.values()])
        ax.barh(y, mid, 0.7, color=colour, xerr=error, error_kw={"elinewidth": 1, "capsize": 2})
        ax.axvline(0, color="black", lw=0.8)
        for at, value, above in zip(y, mid, error[1], strict=True):
            said = f"{value:.2f}".replace("-", "−")
            ax.text(max(value + above, 0) + 0.02, at, said, va="center", fontsize=8)
        lowest, highest = min(lowest, *(mid - error[0])), max(highest, *(mid + error[1]))
        ax.set_title(part, fontsize=9)
        plain(ax)
    axes[0].set(yticks=y, yticklabels=list(rows))
    axes[0].invert_yaxis()
    axes[0].set_xlim(lowest - 0.05, highest + 0.25)
    fig.supxlabel(xlabel, fontsize=9)
    return fig


def _loss(z: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-z))
