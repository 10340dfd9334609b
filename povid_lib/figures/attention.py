"""Where a model looks: maps over a picture, and shares by layer and head."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from povid_lib.figures.style import BLUE, RED


def maps_over(
    image: Image.Image,
    maps: Mapping[str, Tensor],
    own: Tensor | None = None,
    largest: float | None = None,
) -> Figure:
    """Maps, (side, side), over a greyed picture, the picture itself first; the redder the more, and from 0.1 of the scale on
    the value stands in the patch.

    ``own``: bool (side, side), patches to frame. ``largest``: the value that is drawn fully, default each map's own largest.
    """
    columns = min(4, len(maps) + 1)
    rows = -(-(len(maps) + 1) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(2.6 * columns, 2.85 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for ax in axes.flat[len(maps) + 1 :]:
        ax.axis("off")
    axes.flat[0].imshow(image, interpolation="nearest")
    axes.flat[0].set_title("the picture", fontsize=9)
    grey = image.convert("L").convert("RGB")
    for ax, (title, values) in zip(axes.flat[1:], maps.items(), strict=False):
        kept = values.clamp(min=0).numpy()
        top = largest or kept.max() or 1.0
        patch = image.width / len(kept)
        ax.imshow(grey, interpolation="nearest", alpha=0.45)
        for (y, x), value in np.ndenumerate(kept):
            strength = min(1.0, float(value) / top)
            ax.add_patch(
                plt.Rectangle((x * patch - 0.5, y * patch - 0.5), patch, patch, fc=(RED, 0.8 * strength), lw=0)
            )
            if strength >= 0.1:
                said = f"{value:.1f}" if top >= 2 else f"{value:.2f}".removeprefix("0")
                centre = ((x + 0.5) * patch, (y + 0.5) * patch)
                ax.text(*centre, said, ha="center", va="center", fontsize=7, color="black")
            if own is not None and own[y, x]:
                corner = (x * patch - 0.5, y * patch - 0.5)
                ax.add_patch(plt.Rectangle(corner, patch, patch, fc="none", ec=BLUE, lw=1, ls=":"))
        ax.set_title(title, fontsize=9)
    return fig


def layers_and_heads(shares: Tensor, title: str) -> Figure:
    """The picture's share of attention for every layer and head, (layers, heads), as a table with shaded cells."""
    layers, heads = shares.shape
    fig, ax = plt.subplots(figsize=(0.75 * heads + 1.2, 0.5 * layers + 1.1), layout="constrained")
    ax.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (layer, head), value in np.ndenumerate(shares.numpy()):
        colour = "white" if value > 0.6 else "black"
        ax.text(head, layer, f"{value:.2f}".removeprefix("0"), ha="center", va="center", fontsize=8, color=colour)
    ax.set(
        xticks=range(heads), yticks=range(layers), xticklabels=range(1, heads + 1), yticklabels=range(1, layers + 1),
        xlabel="head", ylabel="layer", title=title,
    )  # fmt: skip
    ax.title.set_fontsize(9)
    return fig
