"""From preference pairs to a batch of tensors: prompts padded on the left, responses on the right, nothing cut off."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaProcessor

from povid_lib.models.chat_template import prompt_text, response_ids

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")


class Tokens(TypedDict):
    """Token numbers and a mask that is 1 where a token is and 0 at padding: int64 (rows, length) both."""

    ids: Tensor
    mask: Tensor


class Batch(TypedDict):
    """Pairs as tensors. ``prompt`` (rows, P) is padded on the left and holds the image tokens; ``chosen`` (rows, C) and
    ``rejected`` (rows, R) are padded on the right, and end with EOS.
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
    """Rows of ``trl_dataset.to_trl``'s dataset (``images``, ``prompt``, ``chosen``, ``rejected``, ``id``) as a ``Batch``.

    ``max_length``: the longest prompt with its response, in tokens, that is let through.

    Raises ``ValueError``, with the row's id, for a row that is longer (it is not cut: that would take image tokens or the end of an
    answer away), one whose prompt and answer melt together where they meet, or one without exactly one picture.
    """

    processor: LlavaProcessor
    max_length: int = 2048

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """The batch of these rows. Raises ``ValueError`` that names the row that does not have one picture, or is too long."""
        images, prompts = [], []
        for row in rows:
            if len(row["images"]) != 1:
                raise ValueError(f"Row {row['id']}: {len(row['images'])} pictures; a pair has exactly one.")
            images.append(row["images"][0].convert("RGB"))
            prompts.append(prompt_text(self.processor, row["prompt"][0]["content"]))
        self.processor.tokenizer.padding_side = "left"
        encoded = self.processor(images=images, text=prompts, padding=True, return_tensors="pt")
        responses = {
            side: [
                self._response(row["id"], prompt, row[side][0]["content"])
                for row, prompt in zip(rows, prompts, strict=True)
            ]
            for side in SIDES
        }
        for row, mask, *answers in zip(
            rows, encoded["attention_mask"], responses["chosen"], responses["rejected"], strict=True
        ):
            length = int(mask.sum()) + max(map(len, answers))
            if length > self.max_length:
                raise ValueError(
                    f"Row {row['id']}: {length} tokens, the limit is {self.max_length}. Nothing is cut off here; "
                    "raise max_length, or take the row out."
                )
        prompt = Tokens(ids=encoded["input_ids"], mask=encoded["attention_mask"])
        chosen, rejected = (_padded(responses[side], self.processor.tokenizer.pad_token_id) for side in SIDES)
        return Batch(
            row_ids=[row["id"] for row in rows],
            digests=digest(encoded["pixel_values"], prompt, chosen, rejected),
            images=images,
            pixel_values=encoded["pixel_values"],
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
        )

    def _response(self, row_id: str, prompt: str, text: str) -> list[int]:
        try:
            return response_ids(self.processor, prompt, text)
        except ValueError as error:
            raise ValueError(f"Row {row_id}: {error}") from error


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
