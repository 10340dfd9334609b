"""Visual contrastive decoding (Leng et al., 2023, arXiv 2311.16922): no training, two passes a token.

Each token is chosen by ``(1 + alpha) log p(y | x) - alpha log p(y | x')`` with ``x'`` the noised picture, among the tokens whose
probability under ``x`` is at least ``beta`` times the greatest one (the paper's equations 3 and 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList

from povid_lib import models
from povid_lib.data.corrupt_image import POVID_STEP, diffuse
from povid_lib.models.generation import Answer
from povid_lib.models.llava import VLM


class OtherPicture:
    """The same words read with another picture: holds the keys and values; every call reads the one token that is new."""

    def __init__(self, vlm: VLM, inputs: dict[str, Tensor]):
        self.vlm, self.inputs = vlm, inputs
        self.cache, self.mask = DynamicCache(), inputs["attention_mask"]

    def __call__(self, input_ids: Tensor) -> Tensor:
        """Log-probabilities (rows, vocabulary) of the next token."""
        if self.cache.get_seq_length() == 0:
            fresh: dict[str, Any] = {**self.inputs}
        else:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], 1)
            fresh = {"input_ids": input_ids[:, -1:]}
        positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -fresh["input_ids"].shape[1] :]
        out = self.vlm.model(
            **{**fresh, "attention_mask": self.mask},
            position_ids=positions,
            past_key_values=self.cache,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float().log_softmax(-1)


class _Contrast(LogitsProcessor):
    def __init__(self, vlm: VLM, noised: dict[str, Tensor], alpha: float, beta: float):
        self.other, self.alpha, self.beta = OtherPicture(vlm, noised), alpha, beta

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Log-scores (rows, vocabulary) with what the noised picture says taken away, -inf where a token is not plausible."""
        clear, noised = scores.float().log_softmax(-1), self.other(input_ids)
        found = (1 + self.alpha) * clear - self.alpha * noised
        return found.masked_fill(clear < clear.max(-1, keepdim=True).values + math.log(self.beta), float("-inf"))


@torch.inference_mode()
def generate(
    vlm: VLM,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    alpha: float = 1.0,
    beta: float = 0.1,
    step: int = POVID_STEP,
    seed: int = 0,
    max_new_tokens: int = 128,
    batch_size: int | None = None,
) -> list[Answer]:
    """Greedy answers under visual contrastive decoding, one question a picture. Defaults: the paper's.

    The answers' log-probabilities are those under the clear picture. Raises ``ValueError`` for ``alpha`` below 0, ``beta`` outside
    (0, 1], and as ``diffuse`` and ``models.encode`` do.
    """
    if not alpha >= 0 or not 0 < beta <= 1:
        raise ValueError(
            f"contrast: alpha is {alpha} and beta {beta}; alpha must not be negative, beta lies in (0, 1]."
        )
    generator, answers = torch.Generator().manual_seed(seed), list[Answer]()
    for at in range(0, len(questions), step := batch_size or vlm.rows):
        rows = slice(at, at + step)
        batch = models.encode(vlm, images[rows], [models.chat(vlm, question) for question in questions[rows]])
        noised = {**batch, "pixel_values": diffuse(batch["pixel_values"], step, generator)}
        contrast = LogitsProcessorList([_Contrast(vlm, noised, alpha, beta)])
        answers += models.answered(vlm, batch, max_new_tokens, logits_processor=contrast)
    return answers
