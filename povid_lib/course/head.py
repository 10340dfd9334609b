"""Problem set 3: the output layer of the pocket model as NumPy sees it, and the model with another one in its place."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from povid_lib import models
from povid_lib.data import corrupt_text, images
from povid_lib.evaluation.held_out import captions, held_out, score
from povid_lib.metrics.chair import chair
from povid_lib.models.chat_template import response_ids
from povid_lib.models.llava import VLM
from povid_lib.pocket import lessons

Side = dict[str, NDArray[Any]]  # hidden (rows, length, features), ids and mask (rows, length)


def weights(vlm: VLM) -> NDArray[np.float64]:
    """The weights of the output layer, (vocabulary, features)."""
    return vlm.model.lm_head.weight.detach().double().cpu().numpy().copy()


@torch.inference_mode()
def pocket_pairs(n: int, name: str = "pocket") -> tuple[VLM, dict[str, Side]]:
    """The model, and ``n`` pairs of training scenes as its output layer meets them: last hidden states, ids and mask of the chosen
    and of the rejected answers. The first place of a row is the prompt's last token, which predicts the answer's first."""
    vlm = models.load(name, device="cpu")
    made = list(corrupt_text.pairs(n))
    pictures = [images.picture(pair.image) for pair in made]
    prompts = [models.chat(vlm, pair.prompt) for pair in made]
    sides = {}
    for side in ("chosen", "rejected"):
        answers = [getattr(pair, side) for pair in made]
        end = vlm.processor.tokenizer.eos_token
        texts = [f"{prompt} {answer}{end}" for prompt, answer in zip(prompts, answers, strict=True)]
        batch = models.encode(vlm, pictures, texts)
        hidden = vlm.model.model(**batch).last_hidden_state.double().numpy()
        lengths = [len(response_ids(vlm.processor, *both)) for both in zip(prompts, answers, strict=True)]
        sides[side] = _answers(hidden, batch["input_ids"].numpy(), lengths)
    return vlm, sides


def _answers(hidden: NDArray[np.float64], ids: NDArray[np.int64], lengths: list[int]) -> Side:
    """The last ``length + 1`` places of each row, which are padded on the left, put to the left."""
    most = max(lengths) + 1
    found: Side = {
        "hidden": np.zeros((len(ids), most, hidden.shape[-1])),
        "ids": np.zeros((len(ids), most), dtype=np.int64),
        "mask": np.zeros((len(ids), most), dtype=np.int64),
    }
    for row, length in enumerate(lengths):
        found["hidden"][row, : length + 1] = hidden[row, -length - 1 :]
        found["ids"][row, : length + 1] = ids[row, -length - 1 :]
        found["mask"][row, 1 : length + 1] = 1
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


def measured(vlm: VLM, head: NDArray[np.float64], n: int) -> str:
    """CHAIR, recall and length of the model with this output layer on ``n`` validation scenes, in words."""
    batch = held_out("typical", n, "validation", lessons.recipe_of(vlm.name).edition)
    found = chair(score(batch, captions(with_head(vlm, head), batch)))
    return f"CHAIR_s {found.chair_s}, recall {found.recall}, {found.length.value:.1f} words a caption"
