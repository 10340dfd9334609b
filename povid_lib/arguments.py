"""Checks of arguments that several packages share."""

from __future__ import annotations

from collections.abc import Collection

from PIL import Image


def check_share(what: str, share: float) -> None:
    """Raises ``ValueError`` for a share outside [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f"{what} is {share}; it must lie in [0, 1].")


def check_choice(what: str, value: str, known: Collection[str]) -> None:
    """Raises ``ValueError`` for a value that is not among the known ones."""
    if value not in known:
        raise ValueError(f"{what} is {value!r}; choose one of {', '.join(known)}.")


def check_picture(what: str, image: Image.Image) -> None:
    """Raises ``ValueError`` for what is no PIL picture, or one without pixels."""
    if not isinstance(image, Image.Image):
        raise ValueError(f"{what} is of type {type(image).__name__}; give a PIL picture, as `images.picture` opens.")
    if 0 in image.size:
        raise ValueError(f"{what} has {image.width} x {image.height} pixels; give one that has any.")
