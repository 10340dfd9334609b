"""The picture that a name stands for: a file in a folder, or ``scene:split/kind/index`` of the pocket world.

A scene of another edition of the world than the first is named ``scene:edition/split/kind/index``.

``open_picture`` is the one way in which a file becomes pixels, so that training, evaluation, rewriter and exported data sets see
the same ones.
"""

from __future__ import annotations

import functools
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
from PIL import ExifTags, Image, ImageOps

from povid_lib.files.jsonl import check_file, digest
from povid_lib.world import worlds
from povid_lib.world.scenes import SPLITS, Scene, sample_scene
from povid_lib.world.worlds import WORLD_KINDS

PIXELS = 89_478_485  # Pillow's limit, which it only warns of: 256 MB of RGB
_SCENE = re.compile(rf"scene:(?:([a-z0-9]+)/)?({'|'.join(SPLITS)})/({'|'.join(WORLD_KINDS)})/(0|[1-9][0-9]{{0,17}})")
_WANTED = f"write scene:split/kind/index (splits {', '.join(SPLITS)}; kinds {', '.join(WORLD_KINDS)}; indices from 0)"


def scene(image: str) -> Scene:
    """The scene that ``scene:split/kind/index`` names. Raises ``ValueError`` for anything else."""
    match = _SCENE.fullmatch(image)
    if match is None:
        raise ValueError(f"image {image!r} names no scene; {_WANTED}")
    edition, split, kind, index = match.groups()
    return sample_scene(int(index), worlds.world(kind, edition or "first"), split)


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


def name_in(image: str, folder: str | Path) -> str:
    """What a picture is called in the folder: ``image`` itself, or the longest end of its path that is a file there, as
    COCO_train2014_000000033471.jpg for the public file's ./data/coco/COCO_train2014_000000033471.jpg. A scene keeps its name.

    Raises ``ValueError`` if there is none.
    """
    if image.startswith("scene:"):
        return image
    path = PureWindowsPath(image)
    parts = path.parts[1:] if path.anchor else path.parts
    for at in range(len(parts)):
        name = "/".join(parts[at:])
        if ".." not in parts[at:] and os.path.isfile(Path(folder) / name):
            return name
    raise ValueError(
        f"image {image!r} is not in {folder}, and neither is its file name alone; fetch it, or name the folder that it is in"
    )


def picture(image: str, images: str | Path | None = None) -> Image.Image:
    """The picture, RGB. Raises ``ValueError`` as ``locate`` does, and for a file that cannot be read."""
    path = locate(image, images)
    return _drawn(image).copy() if path is None else open_picture(path, f"image {image!r}").image


@functools.lru_cache(maxsize=2048)  # 27 kB each; every epoch and every cache reads them again
def _drawn(image: str) -> Image.Image:
    return scene(image).image()


@dataclass(frozen=True)
class Opened:
    """A picture of a file. ``image``: RGB, 8 bits, upright; ``kind``: Pillow's name of the format, such as JPEG; ``moves``: whether
    it has several frames, of which ``image`` is the first; ``turned``: whether it had to be turned upright; ``deep``: whether it
    had 16 bits."""

    image: Image.Image
    kind: str
    moves: bool
    turned: bool
    deep: bool


def open_picture(source: str | Path | bytes, name: str = "", most: int = PIXELS) -> Opened:
    """A file, or its bytes, as a picture: turned as its EXIF orientation says, 16-bit grey scaled to 8 bits, all else as Pillow
    converts it to RGB (of a transparent picture the colours beneath). ``name``: in errors; the path if it is not given.

    Raises ``ValueError`` for a file that is not there, a pipe or a device, for more than ``most`` pixels, for 32-bit greys, of
    which nobody knows what is white, and for what cannot be read.
    """
    if not isinstance(source, bytes):
        check_file(source)
        name = name or str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
            if opened.width * opened.height > most:
                raise _Refused(f"has {opened.width} x {opened.height} pixels; make it smaller than {most:,}")
            kind, moves = opened.format or "", opened.format != "MPO" and getattr(opened, "is_animated", False)
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) != 1
            return Opened(_as_rgb(opened), kind, moves, turned, _is_deep(opened))
    except _Refused as error:
        raise ValueError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} has too many pixels ({error}); make it smaller than {most:,}") from error
    except Exception as error:  # a broken file makes Pillow raise almost anything
        raise ValueError(f"{name} cannot be read ({error}); fetch it again, or leave it out") from error


class _Refused(Exception):
    """A sound file that is not wanted."""


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture that somebody else has opened, as ``open_picture`` gives it. Raises ``ValueError`` as that does."""
    try:
        return _as_rgb(picture)
    except Exception as error:  # it may be read only now
        raise ValueError(f"A picture of {picture.width} x {picture.height} pixels cannot be read ({error}).") from error


def _as_rgb(opened: Image.Image) -> Image.Image:
    deep = _is_deep(opened)
    if opened.mode in ("I", "F") and not deep:
        raise _Refused(f"has greys of 32 bits (mode {opened.mode}); save it with 8")
    image = ImageOps.exif_transpose(opened)
    return (_eight_bits(image) if deep else image).convert("RGB")


def _is_deep(opened: Image.Image) -> bool:
    return opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format == "PPM")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey, 0 to 65535, as 8-bit."""
    return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))


def fault(image: str, images: str | Path | None) -> str | None:
    """What is wrong with a picture's name and, where ``images`` says in which folder, its file; else None."""
    try:
        check_name(image)
        if images is not None and not image.startswith("scene:"):
            picture(image, images)
    except ValueError as error:
        return str(error)
    return None


def file_digest(path: str | Path) -> str:
    """Of a picture's file as it is now; read once while its size and time stay the same."""
    now = os.stat(path)
    return _file_digest(str(path), now.st_size, now.st_mtime_ns)


@functools.cache
def _file_digest(path: str, _size: int, _changed: int) -> str:
    return digest(path)


def check_folder(images: str | Path | None) -> None:
    """Raises ``ValueError`` if ``images`` is given and no folder."""
    if images is not None and not Path(images).is_dir():
        raise ValueError(f"images={str(images)!r} is no folder; name the one that holds the pictures.")
