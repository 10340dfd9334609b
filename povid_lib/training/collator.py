"""From preference pairs to a batch of tensors: prompts padded on the left, responses on the right, nothing cut off."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaProcessor

from povid_lib.models.chat_template import prompt_text, response_ids


class Batch(TypedDict):
    """Pairs as tensors. ``prompt_*``, int64 (rows, P), are padded on the left and hold the image tokens; ``chosen_*`` (rows, C) and
    ``rejected_*`` (rows, R) on the right, and end with EOS. A mask is 1 where a token is.
    """

    row_ids: list[str]
    digests: Tensor  # uint8 (rows, 16): see ``digest``
    images: list[Image.Image]
    pixel_values: Tensor  # (rows, 3, height, width)
    prompt_ids: Tensor
    prompt_mask: Tensor
    chosen_ids: Tensor
    chosen_mask: Tensor
    rejected_ids: Tensor
    rejected_mask: Tensor


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
            for side in ("chosen", "rejected")
        }
        for row, mask, chosen, rejected in zip(
            rows, encoded["attention_mask"], responses["chosen"], responses["rejected"], strict=True
        ):
            length = int(mask.sum()) + max(len(chosen), len(rejected))
            if length > self.max_length:
                raise ValueError(
                    f"Row {row['id']}: {length} tokens, the limit is {self.max_length}. Nothing is cut off here; "
                    "raise max_length, or take the row out."
                )
        batch: dict[str, Any] = {"row_ids": [row["id"] for row in rows], "images": images}
        batch["pixel_values"] = encoded["pixel_values"]
        batch["prompt_ids"], batch["prompt_mask"] = encoded["input_ids"], encoded["attention_mask"]
        for side, ids in responses.items():
            batch[f"{side}_ids"], batch[f"{side}_mask"] = _padded(ids, self.processor.tokenizer.pad_token_id)
        batch["digests"] = digest(batch)
        return Batch(**batch)  # type: ignore[typeddict-item]

    def _response(self, row_id: str, prompt: str, text: str) -> list[int]:
        try:
            return response_ids(self.processor, prompt, text)
        except ValueError as error:
            raise ValueError(f"Row {row_id}: {error}") from error


def _padded(rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Lists of ids as int64 (rows, longest), padded on the right, and their mask."""
    length = max(len(ids) for ids in rows)
    ids = torch.tensor([[*ids, *[pad] * (length - len(ids))] for ids in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids in rows])
    return ids, mask


def digest(batch: Mapping[str, Any]) -> Tensor:
    """Sixteen bytes a row, uint8 (rows, 16), that change with its tokens and its pixels, but not with the padding around them."""
    found = []
    for row, pixels in enumerate(batch["pixel_values"]):
        hashed = hashlib.blake2b(as_bytes(pixels), digest_size=16)
        for side in ("prompt", "chosen", "rejected"):
            hashed.update(b"|" + as_bytes(batch[f"{side}_ids"][row][batch[f"{side}_mask"][row].bool()]))
        found.append(list(hashed.digest()))
    return torch.tensor(found, dtype=torch.uint8)


def changed_tokens(batch: Batch) -> tuple[Tensor, Tensor]:
    """1 where a token of the chosen (rows, C) or of the rejected response (rows, R) does not stand in the other one, else 0."""
    marks = []
    for side in ("chosen", "rejected"):
        marks.append(torch.zeros_like(batch[f"{side}_mask"]))  # type: ignore[literal-required]
    rows = zip(batch["chosen_ids"], batch["chosen_mask"], batch["rejected_ids"], batch["rejected_mask"], strict=True)
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
