"""What a model answers: greedily or drawn, with each token's log-probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from tqdm.auto import tqdm
from transformers import (
    BatchFeature,
)

from povid_lib.models.llava import VLM, chat, encode


@dataclass(frozen=True)
class Answer:
    """A generated answer: its text, its tokens, and each token's log-probability (natural log) under the model."""

    text: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


@torch.inference_mode()
def generate(
    vlm: VLM,
    images: Sequence[Image.Image] | None,
    questions: str | Sequence[str],
    max_new_tokens: int = 128,
    batch_size: int | None = None,
    progress: bool = False,
    **settings: Any,
) -> list[Answer]:
    """Answer one question about every picture, or one question each, greedily. ``images=None`` asks without a picture.

    ``batch_size``: default the model's ``rows``. ``settings``: of transformers' ``generate``, such as ``logits_processor``; see
    ``answered``.
    """
    if isinstance(questions, str):
        questions = [questions] * (len(images) if images is not None else 1)
    prompts = [chat(vlm, question, image=images is not None) for question in questions]
    answers: list[Answer] = []
    step = batch_size or vlm.rows
    for at in tqdm(range(0, len(prompts), step), desc="answers", disable=not progress):
        rows = slice(at, at + step)
        batch = encode(vlm, images[rows] if images is not None else None, prompts[rows])
        answers += answered(vlm, batch, max_new_tokens, **settings)
    return answers


@torch.inference_mode()
def sample(
    vlm: VLM,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    seed: int,
    max_new_tokens: int = 128,
    batch_size: int | None = None,
) -> list[Answer]:
    """One answer to each question about its picture, drawn at temperature 1; the same seed and batches draw the same answers."""
    answers: list[Answer] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for at in range(0, len(questions), step := batch_size or vlm.rows):
            rows = slice(at, at + step)
            batch = encode(vlm, images[rows], [chat(vlm, question) for question in questions[rows]])
            answers += answered(vlm, batch, max_new_tokens, do_sample=True, top_k=0)
    return answers


def answered(vlm: VLM, batch: BatchFeature, max_new_tokens: int, **settings: Any) -> list[Answer]:
    """The answers to a batch of ``encode``, greedy unless ``settings`` of transformers' ``generate`` say otherwise."""
    settings = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True} | settings
    out = vlm.model.generate(**batch, max_new_tokens=max_new_tokens, **settings)
    new = out.sequences[:, batch["input_ids"].shape[1] :]
    given = [
        logits.float().log_softmax(-1).gather(-1, ids[:, None]) for logits, ids in zip(out.logits, new.T, strict=True)
    ]
    logps = torch.cat(given, 1)  # a place after the other: together they would be there twice
    return [_answer(vlm, ids, lps) for ids, lps in zip(new.tolist(), logps.tolist(), strict=True)]


def _answer(vlm: VLM, ids: list[int], logps: list[float]) -> Answer:
    tokenizer = vlm.processor.tokenizer
    end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
    tokens = tuple(tokenizer.decode([i]) for i in ids[:end])
    return Answer(tokenizer.decode(ids[:end]).strip(), tokens, tuple(logps[:end]))
