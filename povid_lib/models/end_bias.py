"""The dumbest remedies for hallucination: a constant on some tokens' logits of the untuned model.

On the end token it makes every caption end earlier. On words for objects that the picture does not support it is the idea of
contrastive decoding in one number. What a training does no better than these curves is no more than a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from povid_lib import models
from povid_lib.models.contrastive_decoding import OtherPicture
from povid_lib.models.generation import Answer
from povid_lib.models.llava import VLM
from povid_lib.world.captions import WORDS


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
    batch_size: int | None = None,
) -> list[Answer]:
    """Greedy answers, one question a picture, with ``constant`` added to the logit of the end token (or of other ``tokens``).

    The answers' log-probabilities are those of the model without it.
    """
    tokens = [vlm.processor.tokenizer.eos_token_id] if tokens is None else tokens
    bias = LogitsProcessorList([_Bias(tokens, constant)])
    return models.generate(vlm, images, questions, max_new_tokens, batch_size, logits_processor=bias)


def blank_of(picture: Image.Image) -> Image.Image:
    """A picture of the same size in its mean colour: nothing is on it."""
    mean = np.asarray(picture.convert("RGB"), dtype=np.float64).mean((0, 1))
    return Image.new("RGB", picture.size, tuple(round(c) for c in mean.tolist()))


class _Unsupported(LogitsProcessor):
    """Takes a constant from words for objects that the picture makes less than ``odds`` times as likely as a blank one does."""

    def __init__(self, other: OtherPicture, words: Sequence[int], constant: float, odds: float):
        self.other, self.words, self.constant, self.odds = other, list(words), constant, odds

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits (rows, vocabulary) without the constant where it is due."""
        blank = self.other(input_ids)[:, self.words]
        gained = scores.float().log_softmax(-1)[:, self.words] - blank
        scores = scores.clone()
        scores[:, self.words] -= self.constant * (gained < math.log(self.odds))
        return scores


@torch.inference_mode()
def unsupported(
    vlm: VLM,
    images: Sequence[Image.Image],
    blanks: Sequence[Image.Image],
    questions: Sequence[str],
    constant: float,
    odds: float = 3.0,
    max_new_tokens: int = 128,
    batch_size: int | None = None,
) -> list[Answer]:
    """Greedy answers with ``constant`` taken from words for objects that the picture does not support (see ``_Unsupported``).

    Raises ``ValueError`` for a model whose tokenizer parts the pocket world's words.
    """
    parts = {word: models.word_tokens(vlm, word) for word in WORDS}
    if parted := [word for word, tokens in parts.items() if len(tokens) > 1]:
        raise ValueError(
            f"unsupported: {', '.join(parted[:5])} are several tokens for this model, and the constant is put on whole words; use "
            "a model of the pocket world."
        )
    words = sorted(tokens[0] for tokens in parts.values())
    answers: list[Answer] = []
    for rows in vlm.batches(len(questions), batch_size):
        prompts = [models.chat(vlm, question) for question in questions[rows]]
        batch, blank = (models.encode(vlm, shown[rows], prompts) for shown in (images, blanks))
        rule = LogitsProcessorList([_Unsupported(OtherPicture(vlm, {**blank}), words, constant, odds)])
        answers += models.answered(vlm, batch, max_new_tokens, logits_processor=rule)
    return answers
