"""Problem set 3: the output layer of the pocket model as NumPy sees it, and the model with another one in its place."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from povid_lib import models
from povid_lib.data import images
from povid_lib.data.pairs import Pair
from povid_lib.evaluation.held_out import captions, held_out, score
from povid_lib.metrics.chair import chair
from povid_lib.models.chat_template import response_ids
from povid_lib.models.llava import VLM
from povid_lib.pocket import caption_pairs, lessons

T = TypeVar("T")
_ROWS = 16  # pairs that the model reads at once
Side = dict[str, NDArray[Any]]  # hidden (rows, length, features), ids and mask (rows, length)


def weights(vlm: VLM) -> NDArray[np.float64]:
    """The weights of the output layer, (vocabulary, features)."""
    return vlm.model.lm_head.weight.detach().double().cpu().numpy().copy()


@torch.inference_mode()
def pocket_pairs(n: int, name: str = "pocket") -> tuple[VLM, dict[str, Side]]:
    """The model, and ``n`` pairs made of captions that it was taught, as its output layer meets them: last hidden states, ids and
    mask of the chosen and of the rejected answers. The first place of a row is the prompt's last token, which predicts the answer's
    first. ``name``: "pocket", or the folder of a pocket model of the second edition."""
    vlm = models.load(name, device="cpu")
    made = list(caption_pairs.pairs(n, lessons.recipe_of(name)))
    sides = {}
    for side in ("chosen", "rejected"):
        rows = [
            row
            for part in tqdm(_parts(made), desc=f"reading {side} answers")
            for row in _read(vlm, part, [getattr(pair, side) for pair in part])
        ]
        sides[side] = _together(rows)
    return vlm, sides


def _parts(rows: Sequence[T]) -> list[Sequence[T]]:
    return [rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS)]


def _read(
    vlm: VLM, made: Sequence[Pair], answers: Sequence[str]
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Hidden states and ids of each answer, from the prompt's last token on."""
    prompts, end = [models.chat(vlm, pair.prompt) for pair in made], vlm.processor.tokenizer.eos_token
    texts = [f"{prompt} {answer}{end}" for prompt, answer in zip(prompts, answers, strict=True)]
    batch = models.encode(vlm, [images.picture(pair.image) for pair in made], texts)  # padded on the left
    hidden = vlm.model.model(**batch).last_hidden_state.double().numpy()
    lengths = [len(response_ids(vlm.processor, *both)) for both in zip(prompts, answers, strict=True)]
    return [
        (of[-length - 1 :], ids[-length - 1 :])
        for of, ids, length in zip(hidden, batch["input_ids"].numpy(), lengths, strict=True)
    ]


def _together(rows: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> Side:
    """The rows as one batch, padded on the right."""
    shape = len(rows), max(len(ids) for _, ids in rows)
    found: Side = {
        "hidden": np.zeros((*shape, rows[0][0].shape[-1])),
        "ids": np.zeros(shape, dtype=np.int64),
        "mask": np.zeros(shape, dtype=np.int64),
    }
    for row, (hidden, ids) in enumerate(rows):
        found["hidden"][row, : len(ids)] = hidden
        found["ids"][row, : len(ids)] = ids
        found["mask"][row, 1 : len(ids)] = 1
    return found


def with_head(vlm: VLM, head: NDArray[np.float64]) -> VLM:
    """The model with another output layer; its word embeddings, which had the same weights, stay. Raises ``ValueError`` for a shape
    that does not fit, or numbers that are not finite."""
    wanted = tuple(vlm.model.lm_head.weight.shape)
    if head.shape != wanted or not np.isfinite(head).all():
        raise ValueError(f"The output layer has the shape {wanted} and finite numbers; {head.shape} was given.")
    model = copy.deepcopy(vlm.model)
    model.lm_head = nn.Linear(wanted[1], wanted[0], bias=False)
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.from_numpy(head))
    return replace(vlm, model=model)


def measured(vlm: VLM, head: NDArray[np.float64], n: int, show: int = 3) -> str:
    """CHAIR, recall and length of the model with this output layer on ``n`` validation scenes, in words; below them the captions of
    the first ``show``, each with what it names and the scene does not have."""
    batch, other = held_out("typical", n, "validation", lessons.recipe_of(vlm.name).edition), with_head(vlm, head)
    texts = [text for part in tqdm(_parts(batch), desc="captions") for text in captions(other, part)]
    scores = score(batch, texts)
    found = chair(scores)
    lines = [f"CHAIR_s {found.chair_s}, recall {found.recall}, {found.length.value:.1f} words per caption"]
    for text, each in zip(texts[:show], scores, strict=False):
        lines.append(f"  {text} (not there: {', '.join(sorted(set(each.hallucinated))) or 'nothing'})")
    return "\n".join(lines)
