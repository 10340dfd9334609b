"""The dumbest cure of hallucination: a constant on some tokens' logits of the untuned model.

On the end token it makes every caption end earlier; what a training does no better than this curve is no more than a constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from povid_lib import vlm as vlms
from povid_lib.vlm import VLM, Answer


class _Bias(LogitsProcessor):
    """Adds a constant to the logits of a few tokens."""

    def __init__(self, tokens: Sequence[int], constant: float):
        self.tokens, self.constant = list(tokens), constant

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits (rows, vocabulary) with the constant added."""
        scores = scores.clone()
        scores[:, self.tokens] += self.constant
        return scores


@torch.inference_mode()
def generate(
    vlm: VLM,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    constant: float,
    tokens: Sequence[int] | None = None,
    max_new_tokens: int = 128,
    batch_size: int = 64,
) -> list[Answer]:
    """Greedy answers, one question a picture, with ``constant`` added to the logit of the end token (or of other ``tokens``).

    The answers' log-probabilities are those of the model without it.
    """
    bias = LogitsProcessorList([_Bias([vlm.processor.tokenizer.eos_token_id] if tokens is None else tokens, constant)])
    answers: list[Answer] = []
    for at in range(0, len(questions), batch_size):
        rows = slice(at, at + batch_size)
        batch = vlms.encode(vlm, images[rows], [vlms.chat(vlm, question) for question in questions[rows]])
        answers += vlms.answered(vlm, batch, max_new_tokens, logits_processor=bias)
    return answers
