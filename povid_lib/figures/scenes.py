"""One scene: its picture and patches, the tokens that a model reads, and the words that it expects."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from povid_lib.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, literal, looks, plain
from povid_lib.world.captions import WORDS
from povid_lib.world.objects import NAMES
from povid_lib.world.patches import PATCH
from povid_lib.world.scenes import Scene


def show_scenes(images: Sequence[Image.Image], titles: Sequence[str], columns: int = 4) -> Figure:
    """Pictures in a grid, each above its title."""
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") for title in titles) + 1
    size = (2.4 * columns, (2.5 + 0.17 * lines) * rows)
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat[len(images) :]:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(literal(title), fontsize=9)
    return fig


def captioned(batch: Sequence[Scene], captions: Sequence[str], titles: Sequence[str], columns: int = 2) -> Figure:
    """Scenes in a grid, each under its title and above a caption, in which words for objects that are not there are red and bold.

    Raises ``ValueError`` if scenes, captions and titles differ in number, or there are none.
    """
    if not batch:
        raise ValueError("captioned: there is no scene to draw; give one or more.")
    if not len(batch) == len(captions) == len(titles):
        raise ValueError(
            f"captioned: {len(batch)} scenes, {len(captions)} captions and {len(titles)} titles must be as many."
        )
    columns = min(columns, len(batch))
    rows, wide, size, step = -(-len(batch) // columns), 44, 8, 11  # characters a line; points of a letter and of a line
    wrapped = [textwrap.wrap(caption, wide) for caption in captions]
    high = 3.6 + (max(map(len, wrapped)) + 1) * step / 72
    fig, axes = plt.subplots(rows, columns, figsize=(3.5 * columns, high * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(batch) :]:
        ax.axis("off")
    for ax, scene, lines, title in zip(axes.flat, batch, wrapped, titles, strict=False):
        ax.imshow(scene.image(), interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(literal(title), fontsize=9)
        ax.set_xlabel("\n".join(" " * (len(lines) + 1)), fontsize=size, linespacing=step / size)  # room for the caption
        # every character is as wide as every other: words of one colour are drawn where the other layer has blanks
        for at, line in enumerate(lines, 1):
            for layer, look in zip(_layers(line, scene), ({}, {"color": RED, "weight": "bold"}), strict=True):
                below = {"xytext": (0, -step * at), "textcoords": "offset points", "va": "baseline"}
                ax.annotate(
                    literal(layer), (0, 0), xycoords="axes fraction", family="monospace", fontsize=size, **below, **look
                )
    return fig


def _layers(text: str, scene: Scene) -> tuple[str, str]:
    """A line without its words for objects that are not in the scene, and those words alone; blanks in place of the rest."""

    def is_false(word: str) -> bool:
        return WORDS.get(word.lower(), word) in set(NAMES) - set(scene.names)

    parts = re.split(r"([A-Za-z]+)", text)
    rest = "".join(" " * len(part) if is_false(part) else part for part in parts)
    return rest, "".join(part if is_false(part) else " " * len(part) for part in parts)


def show_patches(image: Image.Image) -> Figure:
    """A picture, its grid of patches, and the patches laid out in the order in which the model reads them."""
    pixels, patch = np.asarray(image.convert("RGB")), PATCH
    side = pixels.shape[0] // patch
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), width_ratios=[1, 1.75], layout="constrained")
    left.imshow(pixels, interpolation="nearest")
    for k in range(1, side):
        left.axhline(k * patch - 0.5, color=GREY, lw=0.6)
        left.axvline(k * patch - 0.5, color=GREY, lw=0.6)
    left.set(xticks=[], yticks=[], title=f"{side} x {side} patches of {patch} x {patch} pixels")
    columns, gap = 12, 4
    rows = -(-side * side // columns)
    sheet = np.full((rows * (patch + gap + 6), columns * (patch + gap), 3), 255, dtype=np.uint8)
    for i in range(side * side):
        y, x = i // columns * (patch + gap + 6), i % columns * (patch + gap)
        sheet[y : y + patch, x : x + patch] = pixels[i // side * patch :, i % side * patch :][:patch, :patch]
        right.text(x + patch / 2, y + patch + 3.5, str(i), ha="center", va="center", fontsize=6, color="#444444")
    right.imshow(sheet, interpolation="nearest")
    right.set(title=f"read as a row of {side * side}")
    right.axis("off")
    return fig


def word_map(image: Image.Image, words: Sequence[str], weights: Sequence[float]) -> Figure:
    """A word written over each patch of a picture, darker where its weight (0 to 1) is larger."""
    patch, side = PATCH, image.width // PATCH
    fig, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    ax.imshow(image, interpolation="nearest", alpha=0.55)
    for i, (word, weight) in enumerate(zip(words, weights, strict=True)):
        ax.text(
            i % side * patch + patch / 2, i // side * patch + patch / 2, literal(word), ha="center", va="center", fontsize=7.5,
            color="black", alpha=0.25 + 0.75 * float(weight), fontweight="bold" if weight > 0.5 else "normal",
        )  # fmt: skip
    ax.set(xticks=np.arange(0, image.width, patch) - 0.5, yticks=np.arange(0, image.width, patch) - 0.5)
    ax.grid(color=GREY, lw=0.4)
    ax.tick_params(length=0, labelbottom=False, labelleft=False)
    return fig


def token_strip(tokens: Sequence[str], is_image: Sequence[bool], is_answer: Sequence[bool]) -> Figure:
    """A sequence of tokens as boxes: image, prompt and answer in three colours, numbered by position."""
    per_row = 12
    rows = -(-len(tokens) // per_row)
    fig, ax = plt.subplots(figsize=(8, 0.62 * rows), layout="constrained")
    for i, token in enumerate(tokens):
        x, y = i % per_row, -(i // per_row)
        colour = ORANGE if is_image[i] else BLUE if is_answer[i] else GREY
        ax.add_patch(plt.Rectangle((x, y), 0.94, 0.62, facecolor=colour, alpha=0.22, edgecolor=colour))
        label = "img" if is_image[i] else token.replace("\n", "\\n").strip() or "␣"
        ax.text(x + 0.47, y + 0.31, literal(label), ha="center", va="center", fontsize=7.5)
        ax.text(x + 0.03, y + 0.66, str(i), fontsize=5, color="#666666")
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=c, alpha=0.35) for c in (ORANGE, GREY, BLUE)]
    names = ["image", "prompt", "answer"]
    ax.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False, fontsize=8)
    ax.set(xlim=(-0.1, per_row), ylim=(-rows + 0.9, 1))
    ax.axis("off")
    return fig


def compare_probs(words: Sequence[str], views: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Probabilities of a few words under several views of one scene, as grouped horizontal bars."""
    fig, ax = plt.subplots(figsize=(7, 0.55 * len(words) + 1.1), layout="constrained")
    height = 0.8 / len(views)
    for k, (view, colour) in enumerate(looks(views, (BLUE, GREY, ORANGE, GREEN, PURPLE)).items()):
        y = np.arange(len(words)) + (k - (len(views) - 1) / 2) * height
        bars = ax.barh(y, views[view], height * 0.92, color=colour, label=view)
        ax.bar_label(bars, [f"{p:.2f}" for p in views[view]], fontsize=7, padding=2)
    ax.set(yticks=range(len(words)), yticklabels=map(literal, words), xlim=(0, 1.08), xlabel="probability")
    ax.set_title(literal(title))
    ax.invert_yaxis()
    plain(ax)
    ax.legend(frameon=False, fontsize=8)
    return fig
