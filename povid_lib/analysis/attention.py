"""Where does it look? Attention of the places that predict an answer's words, as shares and as maps over the picture.

An answer is read to the model (teacher-forced). The token at place p is predicted by the hidden state at place p - 1, so what is
read here is the row of place p - 1: the row of place p belongs to the *next* token. That row ends before the token itself, so it is
the same whichever word follows; only the gradient (and ``occlusion``, the causal check) knows which word is asked for.

Three maps: raw weights; rolled out through the layers (Abnar and Zuidema, 2020, arXiv 2005.00928); weighted by their gradient
(Chefer, Gur and Wolf, 2021, arXiv 2103.15679). Works on every LLaVA of the 1.5 family. Only inside these calls does the language
model run with eager attention, which alone has weights to give; hooks take from each layer what is needed and let the rest go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from povid_lib import models
from povid_lib.arguments import check_choice, check_picture
from povid_lib.models.chat_template import response_ids
from povid_lib.models.llava import VLM

PARTS = (
    "image",
    "prompt",
    "answer",
)  # what is attended to; the prompt holds the start token, the answer what was said so far
Kind = Literal["raw", "rollout", "gradient"]


@dataclass(frozen=True)
class Reading:
    """The attention of the places that predict the tokens of one answer.

    ``tokens``: the answer's, without the end token. ``image``: where the image tokens lie. ``first``: the answer's first place.
    ``rows``: float32 (layers, heads, tokens, length), each row sums to 1. ``rolled``: float32 (tokens, length), the rollout.
    ``logps``: float32 (tokens,), log-probability of each token. On the CPU.
    """

    tokens: tuple[str, ...]
    image: slice
    first: int
    rows: Tensor
    rolled: Tensor
    logps: Tensor


@contextmanager
def eager(vlm: VLM) -> Iterator[None]:
    """The language model with eager attention, and afterwards as it was, whatever happened. The vision tower stays as it is."""
    before = vlm.model.model.language_model.config._attn_implementation
    vlm.model.set_attn_implementation({"text_config": "eager"})
    try:
        yield
    finally:
        vlm.model.set_attn_implementation({"text_config": before})


def read(vlm: VLM, image: Image.Image, question: str, answer: str) -> Reading:
    """Read an answer about a picture to the model, and keep the rows that predict its tokens, with every layer and head.

    Of each layer's (heads, length, length) weights only these rows and the mean over heads are used before the next layer runs;
    for LLaVA-1.5 with 700 places and 60 answer tokens that leaves 172 MB of rows, where all weights would be 2 GB in float32.
    Raises ``ValueError`` for what is no picture, an empty answer, or image tokens that form no square.
    """
    batch, first = inputs("read", vlm, image, question, answer)
    rows: list[Tensor] = []
    rolled = torch.eye(batch["input_ids"].shape[1], device=vlm.device)

    def keep(_: Any, __: Any, output: tuple[Tensor, Tensor]) -> None:
        nonlocal rolled
        weights = output[1][0].float()
        rows.append(weights[:, first - 1 : -1].cpu())
        rolled = rolled_on(weights.mean(0), rolled)

    with torch.inference_mode(), eager(vlm), _hooked(vlm, keep):
        kept = len(batch["input_ids"][0]) - first + 1
        logits = vlm.model(**batch, logits_to_keep=kept, use_cache=False).logits[0, :-1]
    ids = batch["input_ids"][0, first:]
    logps = logits.float().log_softmax(-1).gather(-1, ids[:, None])[:, 0]
    tokens = tuple(vlm.processor.tokenizer.decode([i]) for i in ids.tolist())
    span = models.image_span(vlm, batch["input_ids"][0])
    return Reading(tokens, span, first, torch.stack(rows), rolled[first - 1 : -1].cpu(), logps.cpu())


def rolled_on(weights: Tensor, before: Tensor) -> Tensor:
    """The rollout after one more layer: ``(weights + I) / 2 @ before``, all (length, length).

    Half of what leaves a layer is what entered it (the residual connection), half is mixed by ``weights``, the mean over heads.
    Raises ``ValueError`` for matrices that are not square or not of one size.
    """
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or weights.shape != before.shape:
        raise ValueError(
            f"rolled_on: weights {tuple(weights.shape)} and before {tuple(before.shape)} do not fit; give two square matrices of "
            "one size, weights averaged over heads."
        )
    return (weights @ before + before) / 2


def shares(reading: Reading) -> Tensor:
    """How attention is divided among ``PARTS``: float32 (layers, heads, tokens, 3), which sums to 1 over the last.

    For the first token the answer's share is 0: nothing has been said. From then on it includes the predicting place itself.
    """
    image = reading.rows[..., reading.image].sum(-1)
    answer = reading.rows[..., reading.first :].sum(-1)
    prompt = reading.rows[..., : reading.first].sum(-1) - image
    return torch.stack([image, prompt, answer], -1)


def word_places(vlm: VLM, question: str, answer: str, word: str, nth: int = 0) -> list[int]:
    """Which of the answer's tokens make up its ``nth`` (from 0) occurrence of a whole ``word``, letters' case apart.

    Raises ``ValueError`` if the word does not stand there so often, or as ``chat_template.response_ids`` does.
    """
    found = list(re.finditer(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE)) if word else []
    if not 0 <= nth < len(found):
        raise ValueError(
            f"word_places: word {word!r} stands {len(found)} times in {answer!r}, so there is no occurrence {nth} (from 0); give "
            "a word of the answer."
        )
    prompt = models.chat(vlm, question)
    length = len(response_ids(vlm.processor, prompt, answer)) - 1  # without EOS
    offsets = vlm.processor.tokenizer(f"{prompt} {answer}", return_offsets_mapping=True)["offset_mapping"]
    start, end = (len(prompt) + 1 + at for at in found[nth].span())
    begun = len(vlm.processor.tokenizer(prompt)["input_ids"])
    return [i for i, (a, b) in enumerate(offsets[begun : begun + length]) if a < end and b > start]


# --- maps over the picture ---------------------------------------------------------------------------------------


def patch_map(reading: Reading, places: Sequence[int], kind: Kind = "raw", layer: int | None = None) -> Tensor:
    """Attention to each patch, summed over some of the answer's tokens: float32 (side, side), rows from the top.

    Raw: the mean over heads, of one layer or of all; "rollout" has none. What is missing to one for each token goes to text. Raises
    ``ValueError`` for the kind "gradient" (see ``word_map``), or a place or layer that is not there.
    """
    check_choice("patch_map: kind", kind, ("raw", "rollout"))
    layers, _, tokens, _ = reading.rows.shape
    for what, asked, there in (("layer", [layer], layers), ("place", places, tokens)):
        for at in asked:
            if at is not None and not 0 <= at < there:
                raise ValueError(f"patch_map: {what} {at} is not there; give one from 0 to {there - 1}.")
    if len(places) == 0 or (kind == "rollout" and layer is not None):
        raise ValueError(
            f"patch_map: {len(places)} places, kind {kind}, layer {layer} do not go together; give a place at least, and a "
            "layer for raw maps only."
        )
    raw = reading.rows if layer is None else reading.rows[[layer]]
    rows = reading.rolled if kind == "rollout" else raw.mean((0, 1))
    return _square(rows[list(places)].sum(0)[reading.image])


def word_map(
    vlm: VLM,
    image: Image.Image,
    question: str,
    answer: str,
    word: str,
    kind: Kind = "raw",
    layer: int | None = None,
    nth: int = 0,
) -> Tensor:
    """A map over the picture's patches for one word of an answer, its tokens summed: float32 (side, side).

    "raw" and "rollout": see ``patch_map``. "gradient" (Chefer et al., 2021): from the first layer to the last
    ``R <- R + mean over heads of (gradient * weights)+ @ R``, with ``R = I`` at first and the gradient that of the word's logits;
    it needs one layer's weights after the other, but also the graph of a forward pass: all weights, 2 GB for LLaVA-1.5.
    Raises ``ValueError`` for another kind, a layer with any but "raw", and as ``read``, ``word_places`` and ``patch_map`` do.
    """
    check_choice("word_map: kind", kind, get_args(Kind))
    places = word_places(vlm, question, answer, word, nth)
    if kind != "gradient":
        return patch_map(read(vlm, image, question, answer), places, kind, layer)
    if layer is not None:
        raise ValueError(f"word_map: layer is {layer}, but a gradient map runs through all layers; leave it out.")
    batch, first = inputs("word_map", vlm, image, question, answer)
    rows = [first - 1 + place for place in places]
    weighted: list[Tensor] = []  # mean over heads of each layer, (length, length), from the last layer to the first

    def from_here(_: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        leaf.append(args[0].detach().requires_grad_())  # no gradient is needed below the language model
        return (leaf[0], *args[1:])

    def watch(_: Any, __: Any, output: tuple[Tensor, Tensor]) -> None:
        weights = output[1]
        weights.register_hook(lambda slope: weighted.append((slope * weights.detach())[0].float().clamp(min=0).mean(0)))

    leaf: list[Tensor] = []
    entry = vlm.model.model.language_model.layers[0].register_forward_pre_hook(from_here)
    try:
        with torch.enable_grad(), eager(vlm), _hooked(vlm, watch):
            wanted = torch.tensor(rows, device=vlm.device)
            logits = vlm.model(**batch, logits_to_keep=wanted, use_cache=False).logits[0]
            said = batch["input_ids"][0, wanted + 1]
            logits.gather(-1, said[:, None]).sum().backward(inputs=leaf)
    finally:
        entry.remove()
    relevance = torch.eye(batch["input_ids"].shape[1], device=vlm.device)
    for of_layer in reversed(weighted):
        relevance = relevance + of_layer @ relevance
    return _square(relevance[rows].sum(0)[models.image_span(vlm, batch["input_ids"][0])].cpu())


# --- what the above share with `occlusion` ----------------------------------------------------------------------------------------


def inputs(who: str, vlm: VLM, image: Image.Image, question: str, answer: str) -> tuple[BatchFeature, int]:
    """What the model reads for one picture, question and answer, and the place of the answer's first token.

    Raises ``ValueError``, beginning with ``who``, for what is no picture, and else as ``read`` does.
    """
    check_picture(f"{who}: image", image)
    prompt = models.chat(vlm, question)
    length = len(response_ids(vlm.processor, prompt, answer)) - 1  # without EOS
    batch = models.encode(vlm, [image], [f"{prompt} {answer}"])
    side_of(vlm, batch)
    return batch, batch["input_ids"].shape[1] - length


def side_of(vlm: VLM, batch: BatchFeature) -> int:
    """Patches along a side. Raises ``ValueError`` if the row's image tokens form no square, or there are none."""
    span = models.image_span(vlm, batch["input_ids"][0])
    side = math.isqrt(span.stop - span.start)
    if side * side != span.stop - span.start:
        raise ValueError(
            f"The picture has {span.stop - span.start} image tokens, which form no square; use a model of the LLaVA-1.5 family, "
            "with one token for each patch."
        )
    return side


def _square(patches: Tensor) -> Tensor:
    side = math.isqrt(len(patches))
    return patches.reshape(side, side)


@contextmanager
def _hooked(vlm: VLM, hook: Callable[..., None]) -> Iterator[None]:
    """A forward hook on the language model's attention, first layer first, taken off again whatever happens."""
    handles = [layer.self_attn.register_forward_hook(hook) for layer in vlm.model.model.language_model.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
