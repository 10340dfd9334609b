"""The picture that a name stands for: a file in a folder, or ``scene:split/kind/index`` of the pocket world.

A scene of another edition of the world than the first is named ``scene:edition/split/kind/index``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

from PIL import Image

from povid_lib import worlds
from povid_lib.scenes import SPLITS, WORLD_KINDS, Scene, sample_scene

_SCENE = re.compile(rf"scene:(?:([a-z0-9]+)/)?({'|'.join(SPLITS)})/({'|'.join(WORLD_KINDS)})/(0|[1-9][0-9]{{0,17}})")
_WANTED = f"write scene:split/kind/index (splits {', '.join(SPLITS)}; kinds {', '.join(WORLD_KINDS)}; indices from 0)"


def scene(image: str) -> Scene:
    """The scene that ``scene:split/kind/index`` names. Raises ``ValueError`` for anything else."""
    match = _SCENE.fullmatch(image)
    if match is None:
        raise ValueError(f"image {image!r} names no scene; {_WANTED}")
    edition, split, kind, index = match.groups()
    return sample_scene(int(index), worlds.world(edition or "first", kind), split)


def name_of(scene: Scene) -> str:
    """What ``scene`` reads: the name of a scene of an unchanged world."""
    split, kind, index = scene.key
    edition = "" if scene.edition == "first" else f"{scene.edition}/"
    return f"scene:{edition}{split}/{kind}/{index}"


def check_name(image: str) -> None:
    """Raises ``ValueError`` for a scene that is none, and for a path that leaves the pictures' folder."""
    if image.startswith("scene:") and not _SCENE.fullmatch(image):
        raise ValueError(f"image {image!r} names no scene; {_WANTED}")
    name = PureWindowsPath(image)  # knows both slashes, and drives
    if name.anchor or ".." in name.parts:
        raise ValueError(f"image {image!r} leaves the pictures' folder; name it relative to that folder, without '..'")


def locate(image: str, images: str | Path | None = None) -> Path | None:
    """The file in the folder ``images`` that holds the picture; None for a scene, which is drawn.

    Raises ``ValueError`` as ``check_name`` does, and if the file or the folder is not there.
    """
    check_name(image)
    if image.startswith("scene:"):
        return None
    if images is None:
        raise ValueError(f"image {image!r} is a file; say in which folder (images=...)")
    if not os.path.isfile(Path(images) / image):  # False for a name that is too long, too
        raise ValueError(f"image {image!r} is not in {images}; fetch it, or name the folder that it is in")
    return Path(images) / image


def picture(image: str, images: str | Path | None = None) -> Image.Image:
    """The picture, RGB. Raises ``ValueError`` as ``locate`` does, and for a file that cannot be read."""
    path = locate(image, images)
    if path is None:
        return scene(image).image()
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except Exception as error:  # a broken file makes Pillow raise almost anything
        raise ValueError(f"image {image!r} cannot be read ({error}); fetch it again") from error


def fault(image: str, images: str | Path | None) -> str | None:
    """What is wrong with a picture's name and, where ``images`` says in which folder, its file; else None."""
    try:
        check_name(image)
        if images is not None and not image.startswith("scene:"):
            picture(image, images)
    except ValueError as error:
        return str(error)
    return None


def check_folder(images: str | Path | None) -> None:
    """Raises ``ValueError`` if ``images`` is given and no folder."""
    if images is not None and not Path(images).is_dir():
        raise ValueError(f"images={str(images)!r} is no folder; name the one that holds the pictures.")
