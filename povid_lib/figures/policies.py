"""Figures of what chapter 06 computes exactly: policies answer by answer, trade-offs, and what is recovered of a truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from povid_lib.figures.style import BLUE, GREY, ORANGE, RED, literal, looks, plain

Point = tuple[float, float]


def answer_bars(
    texts: Sequence[str], lies: Sequence[bool], policies: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Probabilities of answers under one policy or up to three; an answer that is a lie says so, and one policy's bar turns red."""
    fig, ax = plt.subplots(figsize=(7, 0.34 * len(texts) * (1 + len(policies) / 3) + 0.9), layout="constrained")
    height = 0.8 / len(policies)
    for k, (name, colour) in enumerate(looks(policies, (GREY, BLUE, ORANGE)).items()):
        y = np.arange(len(texts)) + (k - (len(policies) - 1) / 2) * height
        colours = colour if len(policies) > 1 else [RED if lie else BLUE for lie in lies]
        bars = ax.barh(y, policies[name], height * 0.92, color=colours, label=name)
        ax.bar_label(bars, [f"{p:.2f}" for p in policies[name]], fontsize=8, padding=2)
    labels = [f"{literal(text)}  {'false' if lie else 'true'}" for text, lie in zip(texts, lies, strict=True)]
    ax.set(yticks=range(len(texts)), yticklabels=labels, xlim=(0, 1.02), xlabel="probability", title=title)
    for label, lie in zip(ax.get_yticklabels(), lies, strict=True):
        label.set(fontweight="normal" if lie else "bold")
    ax.invert_yaxis()
    plain(ax)
    if len(policies) > 1:
        ax.legend(frameon=False, fontsize=9, loc="lower right")
    return fig


def frontier(
    curve: Sequence[Point],
    marked: Mapping[str, Point],
    others: Mapping[str, Point],
    cloud: Sequence[Point],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """A curve of best trade-offs (x, y) with some of its points ``marked``, ``others`` named below it, and an unnamed ``cloud``."""
    fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    ax.plot(*zip(*cloud, strict=True), ".", color=GREY, alpha=0.6, ms=5, label="other policies")
    ax.plot(*zip(*curve, strict=True), color=BLUE, lw=2, label="the optimum, for every $\\beta$")
    middle = max(x for x, _ in curve) / 2
    for name, at in marked.items():
        ax.plot(*at, "o", color=BLUE, ms=8)
        ax.annotate(name, at, xytext=(-7, 6), textcoords="offset points", fontsize=9, ha="right")
    for name, at in others.items():
        ax.plot(*at, "X", color=RED, ms=9)
        left = at[0] < middle
        if left:
            where: dict[str, Any] = {"xytext": (9, -4), "ha": "left"}
        else:  # well below the curve and its names, and inside the figure
            where = {"xytext": (14, -66), "ha": "right", "arrowprops": {"arrowstyle": "-", "color": RED, "lw": 0.8}}
        ax.annotate(
            name, at, textcoords="offset points", fontsize=9, bbox={"fc": "white", "ec": "none", "pad": 1}, **where
        )
    ax.margins(x=0.09)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    plain(ax)
    ax.legend(fontsize=9, loc="lower right", edgecolor="none", framealpha=1)
    return fig


def recovered(
    truth: Sequence[float],
    found: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    nothing: str,
) -> Figure:
    """Found against true values, a panel each, as ``(values, weights)``: the area of a point is its weight, and a small grey cross,
    called ``nothing``, has none. The diagonal is a perfect recovery."""
    size = (2.9 * len(found), 3.4)
    fig, axes = plt.subplots(1, len(found), figsize=size, sharey=True, squeeze=False, layout="constrained")
    x, ends = np.asarray(truth), (min(truth), max(truth))
    for ax, (title, (values, weights)) in zip(axes[0], found.items(), strict=True):
        y, area, some = np.asarray(values), 14 + 450 * np.asarray(weights), np.asarray(weights) > 0
        ax.plot(ends, ends, color=GREY, lw=1, ls="--")
        ax.plot(x[~some], y[~some], "x", color=GREY, ms=4, label=nothing)
        ax.scatter(x[some], y[some], s=area[some], color=BLUE, alpha=0.6, edgecolor="white", lw=0.5)
        ax.set(title=title, xlabel=xlabel)
        plain(ax)
    axes[0, 0].set(ylabel=ylabel)
    axes[0, 0].legend(frameon=False, fontsize=9, loc="lower right")
    return fig
