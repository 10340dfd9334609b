"""One request of the rewriter: its picture, what it holds, and the most that it can cost.

Everything that can be wrong with rows and pictures is found here, before anything is sent or paid.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from povid_lib.data import images as images_module
from povid_lib.data.pairs import CORRUPTIONS, TEXTS, text_fault
from povid_lib.data.rewrite.config import RewriterConfig
from povid_lib.data.rewrite.prompts import kinds_for, messages, response_format
from povid_lib.data.true_answers import Truth
from povid_lib.files.faults import Faults
from povid_lib.files.jsonl import check_file
from povid_lib.remote.client import Request

PICTURE_BYTES = 20_000_000  # a larger file is not read
PICTURE_PIXELS = 50_000_000  # a larger picture is not decoded
PICTURE_SIDE = 2048  # a larger picture is sent reduced to it
_TYPES = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}  # what OpenAI takes


@dataclass(frozen=True)
class Row:
    """A truth that can be asked about. ``key``: SHA-256 of all that its answer depends on; ``input_tokens``: estimated;
    ``most_tokens``: an upper bound, for the same picture and texts."""

    truth: Truth
    kinds: tuple[str, ...]
    path: Path
    key: str
    input_tokens: int
    most_tokens: int


def prepare(config: RewriterConfig, truths: Iterable[Truth], images: str | Path) -> list[Row]:
    """Check every truth and its picture in the folder ``images``, and work out keys and tokens. Sends nothing.

    Text tokens are at most as many as bytes of UTF-8, since no token holds less than one; four bytes to a token are the estimate.
    Picture tokens follow OpenAI's published tile rule (``picture_tokens``). Raises ``ValueError`` with every fault of every row.
    """
    images_module.check_folder(images)
    rows, faults, read = list[Row](), Faults("truths"), dict[str, _Picture]()
    for number, truth in enumerate(truths, start=1):
        at = faults.at(f"row {number} ({truth.id!r})" if isinstance(truth, Truth) else f"row {number}")
        try:
            _check_truth(config, truth)
            if at.repeated("id", truth.id):
                continue
            if truth.image not in read:
                read[truth.image], _ = _read_picture(_file(truth.image, images), config)
            rows.append(_row(config, truth, read[truth.image]))
        except ValueError as error:
            at.add(str(error))
    if faults:
        faults.fail()
    if not rows:
        raise ValueError("There are no truths to rewrite; give one at least.")
    return rows


def request_of(config: RewriterConfig, row: Row) -> Request:
    """What is asked about a row."""
    return Request(row.key, row.most_tokens, functools.partial(request_body, config, row))


def request_body(config: RewriterConfig, row: Row) -> dict[str, Any]:
    """The JSON of one chat completion, with the picture in it. Raises ``ValueError`` if the picture changed since ``prepare``."""
    picture, url = _read_picture(row.path, config)
    if _row(config, row.truth, picture).key != row.key:
        raise ValueError(f"{row.truth.image} changed while the rewriter ran; start it again")
    return _body(config, row.truth, row.kinds, url)


def picture_tokens(width: int, height: int, config: RewriterConfig) -> int:
    """Tokens of a picture by the tile rule that OpenAI publishes for GPT-4o (guide "Images and vision", calculating costs).

    Low detail: the base count. High: the picture is reduced to fit 2048 x 2048, then to a shorter side of 768; the base count,
    and a count for each tile of 512 x 512 that it takes to cover it. Reduced only, never enlarged.

    Raises ``ValueError`` for a side below one pixel.
    """
    if min(width, height) < 1:
        raise ValueError(f"picture_tokens: the picture is {width} x {height} pixels; give sides of 1 or more.")
    base, tile = config.image_tokens
    if config.detail == "low":
        return base
    scale = min(1.0, 2048 / max(width, height), 768 / min(width, height))
    return base + tile * math.prod(math.ceil(round(side * scale / 512, 6)) for side in (width, height))


def _file(image: str, images: str | Path) -> Path:
    path = images_module.locate(image, images)
    if path is None:
        raise ValueError(f"image {image!r} is a scene and no file; save its picture, and give that file's name")
    return path


@dataclass(frozen=True)
class _Picture:
    path: Path
    mark: str  # stands for the picture in the key: SHA-256 of the file, and the side that it is reduced to
    tokens: int


def _read_picture(path: Path, config: RewriterConfig) -> tuple[_Picture, str]:
    """A picture and its data URL: the file as it is, or, if it is too large or not seen alike by everybody, packed anew.

    Raises ``ValueError`` for a file that is too large, no picture, broken, or moving.
    """
    check_file(path)
    if (size := path.stat().st_size) > PICTURE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; make it smaller than {PICTURE_BYTES:,}")
    data = path.read_bytes()
    found = images_module.open_picture(data, str(path), PICTURE_PIXELS)
    if found.kind not in _TYPES:
        raise ValueError(f"{path} is {found.kind}; save it as JPEG or PNG")
    if found.moves:
        raise ValueError(f"{path} is a moving picture; save one frame of it as JPEG or PNG")
    image, kind, mark = found.image, found.kind, hashlib.sha256(data).hexdigest()
    if max(image.size) > PICTURE_SIDE or found.turned or found.deep:
        packed = io.BytesIO()
        image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        image.save(packed, "JPEG", quality=95)
        data, kind, mark = packed.getvalue(), "JPEG", f"{mark} at {PICTURE_SIDE}"
    url = f"data:image/{_TYPES[kind]};base64,{base64.b64encode(data).decode()}"
    return _Picture(path, mark, picture_tokens(*image.size, config)), url


def _check_truth(config: RewriterConfig, truth: Truth) -> None:
    if not isinstance(truth, Truth):
        raise ValueError(f"{type(truth).__name__} where a Truth is needed; give those of `truths`, or make your own")
    for name, side in (("id", "id"), ("image", "image"), ("prompt", "prompt"), ("answer", "chosen")):
        text = getattr(truth, name)
        if fault := text_fault(name, text, TEXTS[side]):  # what no pair could hold
            raise ValueError(fault)
        if "\0" in text:
            raise ValueError(f"{name} has a NUL in it; take it out")
    if not kinds_for(truth.answer, config.kinds):
        form = "a reasoning item" if kinds_for(truth.answer, CORRUPTIONS) == ("step", "result") else "a caption"
        raise ValueError(
            f"it is {form}, and none of the kinds {', '.join(config.kinds)} fits; leave it out, or add kinds"
        )
    if (words := len(truth.answer.split())) > config.max_tokens:
        raise ValueError(f"the answer has {words} words, which max_tokens={config.max_tokens} cannot hold; raise it")


def _row(config: RewriterConfig, truth: Truth, picture: _Picture) -> Row:
    kinds = kinds_for(truth.answer, config.kinds)
    text = json.dumps(_body(config, truth, kinds, picture.mark), ensure_ascii=False, sort_keys=True)
    key = hashlib.sha256(f"{config.base_url.rstrip('/')}\n{text}".encode()).hexdigest()
    size = len(text.encode())
    return Row(truth, kinds, picture.path, key, math.ceil(size / 4) + picture.tokens, size + picture.tokens)


def _body(config: RewriterConfig, truth: Truth, kinds: tuple[str, ...], url: str) -> dict[str, Any]:
    return {
        "model": config.model,
        "messages": messages(truth, kinds, url, config.detail),
        "response_format": response_format(kinds),
        "temperature": config.temperature,
        config.length_parameter: config.max_tokens,
    }
