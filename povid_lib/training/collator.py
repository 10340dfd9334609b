"""From preference pairs to a batch of tensors: prompts padded on the left, responses on the right, nothing cut off."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any, Literal, TypedDict

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaProcessor

from povid_lib.data import conversations
from povid_lib.data import images as images_module
from povid_lib.training.conversations import Read, read

_KNOWN = 4096  # rows whose tokens are kept, some kB each
Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")


class Tokens(TypedDict):
    """Token numbers and a mask that is 1 where a token is and 0 at padding: int64 (rows, length) both."""

    ids: Tensor
    mask: Tensor


class Batch(TypedDict):
    """Pairs as tensors. ``prompt`` (rows, P) is padded on the left and holds the image tokens; ``chosen`` (rows, C) and
    ``rejected`` (rows, R) are padded on the right, and end with EOS (see ``end_token``).
    """

    row_ids: list[str]
    digests: Tensor  # uint8 (rows, 16): see ``digest``
    images: list[Image.Image]
    pixel_values: Tensor  # (rows, 3, height, width)
    prompt: Tokens
    chosen: Tokens
    rejected: Tokens


@dataclass(frozen=True)
class PairCollator:
    """Rows of TRL's columns (``images`` or ``image``, ``prompt``, ``chosen``, ``rejected``) with an ``id`` as a ``Batch``: those of
    ``trl_dataset.to_trl`` and ``trl_dataset.prepare_rows``. They are read by their shape, see ``data.conversations``.

    ``max_length``: the longest prompt with its response, in tokens, that is let through. ``end_token``: whether an answer's EOS is
    a token of it; without it nothing is learnt of where answers end.

    Raises ``ValueError``, with the row's id, for a row that is longer (it is not cut: that would take image tokens or the end of an
    answer away), one of another shape, with a special token in a text, whose prompt and answer melt together where they meet, or
    without exactly one picture.
    """

    processor: LlavaProcessor
    max_length: int = 2048
    end_token: bool = True

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """The batch of these rows. Raises ``ValueError`` that names the row that cannot be read, or is too long."""
        read = [self.read(row) for row in rows]
        images = [images_module.as_rgb(conversations.pictures_of(row)[0]) for row in rows]
        self.processor.tokenizer.padding_side = "left"
        encoded = self.processor(images=images, text=[row.prompt for row in read], padding=True, return_tensors="pt")
        prompt = Tokens(ids=encoded["input_ids"], mask=encoded["attention_mask"])
        pad = self.processor.tokenizer.pad_token_id
        end = None if self.end_token else -1
        chosen, rejected = (_padded([getattr(row, side)[:end] for row in read], pad) for side in SIDES)
        return Batch(
            row_ids=[row["id"] for row in rows],
            digests=digest(encoded["pixel_values"], prompt, chosen, rejected),
            images=images,
            pixel_values=encoded["pixel_values"],
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
        )

    def read(self, row: Mapping[str, Any]) -> Read:
        """A row as text and tokens. Raises ``ValueError`` that names it, with all that is wrong with it."""
        try:
            found, picture = self._read(row), conversations.pictures_of(row)[0]
            if not isinstance(picture, Image.Image):
                raise ValueError(
                    f"its picture is {shown(picture)}; give an opened one, as `trl_dataset.prepare_rows` does"
                )
            length = found.length - 1 + self._places + max(len(found.chosen), len(found.rejected))
            if length > self.max_length:
                raise ValueError(
                    f"{length} tokens, the limit is {self.max_length}. Nothing is cut off here; raise max_length, or take the "
                    "row out"
                )
        except ValueError as error:
            raise ValueError(f"Row {row['id']}: {str(error).rstrip('.')}.") from error
        return found

    def _read(self, row: Mapping[str, Any]) -> Read:
        """``read``, of what was read lately from memory: the checks, every cache and every epoch read the same rows."""
        if conversations.row_faults(row):
            return read(self.processor, row)  # raises
        said = [row[name] for name in conversations.TEXTS]
        key = json.dumps([said, self.processor.chat_template], sort_keys=True, default=repr)
        found = self._known.get(key) or read(self.processor, row)
        self._known.pop(key, None)
        self._known[key] = found
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]  # the one that was not asked for longest
        return found

    @functools.cached_property
    def _known(self) -> dict[str, Read]:
        return {}

    @functools.cached_property
    def _places(self) -> int:
        """Tokens of a picture."""
        picture, token = Image.new("RGB", (8, 8)), self.processor.image_token
        ids = self.processor(images=[picture], text=[token], return_tensors="pt")["input_ids"]
        return int((ids == self.processor.image_token_id).sum())


def parts(batch: Batch, tokens: int | None) -> list[Batch]:
    """A batch in parts of at most ``tokens`` each, padding counted: rows of like length together, padded to their own longest. A
    row that is longer is a part of its own. None: the batch as it is, in one part."""
    if tokens is None:
        return [batch]
    texts = [batch[name] for name in ("prompt", *SIDES)]
    lengths = torch.stack([text["mask"].sum(1) for text in texts], 1).tolist()
    found: list[list[int]] = []
    widest = [0, 0, 0]
    for row in sorted(range(len(lengths)), key=lambda at: sum(lengths[at])):
        together = [max(pair) for pair in zip(widest, lengths[row], strict=True)]
        fits = bool(found) and (len(found[-1]) + 1) * sum(together) <= tokens
        found = [*found[:-1], [*found[-1], row]] if fits else [*found, [row]]
        widest = together if fits else lengths[row]
    return [_part(batch, rows) for rows in found]


def _part(batch: Batch, rows: list[int]) -> Batch:
    def cut(text: Tokens, left: bool) -> Tokens:
        longest = int(text["mask"][rows].sum(1).max())
        kept = slice(text["mask"].shape[1] - longest, None) if left else slice(longest)
        return Tokens(ids=text["ids"][rows, kept], mask=text["mask"][rows, kept])

    return Batch(
        row_ids=[batch["row_ids"][row] for row in rows],
        digests=batch["digests"][rows],
        images=[batch["images"][row] for row in rows],
        pixel_values=batch["pixel_values"][rows],
        prompt=cut(batch["prompt"], left=True),
        chosen=cut(batch["chosen"], left=False),
        rejected=cut(batch["rejected"], left=False),
    )


def _padded(rows: list[list[int]], pad: int) -> Tokens:
    """Lists of ids, padded on the right to the longest."""
    length = max(len(ids) for ids in rows)
    ids = torch.tensor([[*ids, *[pad] * (length - len(ids))] for ids in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids in rows])
    return Tokens(ids=ids, mask=mask)


def digest(pixel_values: Tensor, *texts: Tokens) -> Tensor:
    """Sixteen bytes a row, uint8 (rows, 16), that change with its pixels and with the tokens of its ``texts`` (prompt, chosen,
    rejected), but not with the padding around them."""
    found = []
    for row, pixels in enumerate(pixel_values):
        hashed = hashlib.blake2b(as_bytes(pixels), digest_size=16)
        for text in texts:
            hashed.update(b"|" + as_bytes(text["ids"][row][text["mask"][row].bool()]))
        found.append(list(hashed.digest()))
    return torch.tensor(found, dtype=torch.uint8)


def changed_tokens(batch: Batch) -> tuple[Tensor, Tensor]:
    """1 where a token of the chosen (rows, C) or of the rejected response (rows, R) does not stand in the other one, else 0."""
    marks = [torch.zeros_like(batch[side]["mask"]) for side in SIDES]
    rows = zip(*(batch[side][part] for side in SIDES for part in ("ids", "mask")), strict=True)
    for at, (chosen, c_mask, rejected, r_mask) in enumerate(rows):
        a, b = chosen[c_mask.bool()].tolist(), rejected[r_mask.bool()].tolist()
        for tag, i, j, k, m in difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
            if tag != "equal":
                marks[0][at, i:j] = 1
                marks[1][at, k:m] = 1
    return marks[0], marks[1]


def as_bytes(tensor: Tensor) -> bytes:
    """A tensor's values as they lie in memory."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
