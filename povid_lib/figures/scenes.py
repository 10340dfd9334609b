"""Pictures, their patches, and words written over them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from povid_lib.figures.style import GREY
from povid_lib.world.patches import PATCH


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
        ax.set_xlabel(title, fontsize=9)
    return fig


def show_patches(image: Image.Image, patch: int = PATCH) -> Figure:
    """A picture, its grid of patches, and the patches laid out in the order in which the model reads them."""
    pixels = np.asarray(image.convert("RGB"))
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


def word_map(image: Image.Image, words: Sequence[str], weights: Sequence[float], patch: int = PATCH) -> Figure:
    """A word written over each patch of a picture, darker where its weight (0 to 1) is larger."""
    side = image.width // patch
    fig, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    ax.imshow(image, interpolation="nearest", alpha=0.55)
    for i, (word, weight) in enumerate(zip(words, weights, strict=True)):
        ax.text(
            i % side * patch + patch / 2, i // side * patch + patch / 2, word, ha="center", va="center", fontsize=7.5,
            color="black", alpha=0.25 + 0.75 * float(weight), fontweight="bold" if weight > 0.5 else "normal",
        )  # fmt: skip
    ax.set(xticks=np.arange(0, image.width, patch) - 0.5, yticks=np.arange(0, image.width, patch) - 0.5)
    ax.grid(color=GREY, lw=0.4)
    ax.tick_params(length=0, labelbottom=False, labelleft=False)
    return fig
