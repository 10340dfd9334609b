"""What all widgets share: one specification, made beforehand; a script and a style in one piece; pictures as data."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets
from PIL import Image

STATIC = Path(__file__).parent


def for_page(spec: Any) -> str:
    """JSON that may stand inside a page's script element: no text in it, however spelt, can end that element.

    Raises ``ValueError`` for nan and infinity, which JSON does not have.
    """
    return json.dumps(spec, allow_nan=False).replace("<", "\\u003c")


class SpecWidget(anywidget.AnyWidget):
    """A widget that ``<asset>.js`` draws from ``spec``, with ``<asset>.css``. It needs no kernel.

    The parts that all share, ``dom.js`` and ``shared.css``, go before each one's own: a page without a kernel has nowhere to
    import them from. ``spec`` reaches the page as text made by ``for_page``, whichever program writes the page.
    """

    asset: ClassVar[str]
    spec = traitlets.Dict().tag(
        sync=True, to_json=lambda spec, _: for_page(spec), from_json=lambda text, _: json.loads(text)
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "asset" in vars(cls):  # and not where traitlets makes a subclass, to add the traits that these two become
            cls._esm = read_asset("dom.js") + read_asset(f"{cls.asset}.js")
            cls._css = read_asset("shared.css") + read_asset(f"{cls.asset}.css")
        super().__init_subclass__(**kwargs)


def read_asset(name: str) -> str:
    """One of the scripts and styles beside this file."""
    return (STATIC / name).read_text(encoding="utf-8")


def png(image: Image.Image) -> str:
    """The picture as a ``data:`` address of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
