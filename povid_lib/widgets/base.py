"""What all widgets share: their files, and pictures as data."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

STATIC = Path(__file__).parent


def script(name: str) -> str:
    """A widget's module in one piece: a page without a kernel has nowhere to import its shared part from."""
    return (STATIC / "dom.js").read_text() + (STATIC / name).read_text()


def png(image: Image.Image) -> str:
    """The picture as a ``data:`` address of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
