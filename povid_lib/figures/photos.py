"""Photographs with what a model says of them: captions whose false objects are marked, and maps laid over a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from povid_lib.analysis.mentions import object_starts, word_end
from povid_lib.evaluation.photos import Photo
from povid_lib.figures.style import literal
from povid_lib.metrics.vocabulary import Vocabulary

_LEFT = ' style="text-align:left"'
_STYLES = {True: "background:#fde0dc;color:#7f1d1d", False: "background:#e2efda;color:#1e4620"}  # false, true


def marked(photo: Photo, text: str, vocabulary: Vocabulary) -> str:
    """A caption as HTML: named objects that are in the picture on green, and those that are not on red, followed by "(false)", so
    that colour is not all that tells them. Nothing is marked where the objects are not known. All else is escaped."""
    known, at, parts = photo.objects, 0, list[str]()
    for start, name in object_starts(text, vocabulary) if known is not None else ():
        end, wrong = word_end(text, start), known is not None and name not in known
        if start >= at:
            said = f"{escape(text[start:end])}{' (false)' if wrong else ''}"
            parts += [escape(text[at:start]), f'<span style="{_STYLES[wrong]}">{said}</span>']
            at = end
    return "".join([*parts, escape(text[at:])])


def captions(album: Sequence[Photo], texts: Mapping[str, Sequence[str]], vocabulary: Vocabulary) -> str:
    """An HTML table: a row a picture with its name and known objects, a column for each of the ``texts``, such as before and after.

    Raises ``ValueError`` if pictures and texts differ in number.
    """
    for label, column in texts.items():
        if len(column) != len(album):
            raise ValueError(f"captions: {len(column)} texts {label!r} for {len(album)} pictures; give one for each.")
    head = "".join(f"<th>{escape(name)}</th>" for name in ("picture", "in it", *texts))
    rows = list[str]()
    for number, photo in enumerate(album):
        there = "not known" if photo.objects is None else ", ".join(photo.objects) or "nothing"
        cells = [escape(photo.name), escape(there)]
        cells += [marked(photo, column[number], vocabulary) for column in texts.values()]
        rows.append("".join(["<tr>", *(f"<td{_LEFT}>{cell}</td>" for cell in cells), "</tr>"]))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def overlays(image: Image.Image, maps: Mapping[str, Tensor]) -> Figure:
    """Maps, (side, side), over the greyed picture, which stands first; the redder the more, and nothing where a map is below 0."""
    fig, axes = plt.subplots(
        1, len(maps) + 1, figsize=(3.1 * (len(maps) + 1), 3.3), squeeze=False, layout="constrained"
    )
    grey = image.convert("L")
    axes[0, 0].imshow(image)
    axes[0, 0].set_title("what the model sees", fontsize=9)
    for ax, (title, values) in zip(axes[0, 1:], maps.items(), strict=True):
        kept = values.clamp(min=0).numpy()
        ax.imshow(grey, cmap="gray", alpha=0.6)
        top = float(kept.max()) or 1.0
        ax.imshow(
            kept, cmap="Reds", vmin=0, vmax=top, alpha=(0.75 * kept / top), extent=(0, image.width, image.height, 0)
        )
        ax.set_title(literal(f"{title}, at most {kept.max():.2g}"), fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return fig
