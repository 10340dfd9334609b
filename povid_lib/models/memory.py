"""What a LLaVA of the 1.5 family takes of a machine's memory: weights counted on the meta device, all else by formula.

The formulas count the tensors that are alive at the worst moment: keys and values, one layer's intermediate results (or those of
all layers where a gradient is wanted), logits. They are for attention that never holds a whole matrix (SDPA), except where maps are
read from it. A tenth of the memory is left for the machine's own needs (``ROOM``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

GB = 10**9
ROOM = 0.9  # the share of a card that can be used: its driver, and pieces that are too small, take the rest
MOST = 64  # rows at once; more bring no speed
TEXT = 48  # tokens of a prompt besides those of the picture
ANSWER = 128  # tokens of an answer
FOUR_BIT = (
    0.5 + 1 / 64 + 4 / (64 * 256)
)  # bytes a weight: NF4, with scales that are themselves quantised (QLoRA, 2305.14314)


@dataclass(frozen=True)
class Parameters:
    """How many: ``layers`` are the language model's matrices, which four bits change; ``rest`` is its embeddings, head and norms,
    the eyes and the projector, which stay whole. ``sides``: the sum of inputs and outputs of all those matrices, from which LoRA's
    size comes."""

    layers: int
    rest: int
    sides: int


def parameters(config: LlavaConfig) -> Parameters:
    """Counted in a model on the meta device, which has shapes and no memory."""
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    everything = sum(p.numel() for p in model.parameters())
    inside = [m for m in model.model.language_model.layers.modules() if isinstance(m, torch.nn.Linear)]
    layers = sum(m.weight.numel() for m in inside)
    return Parameters(layers, everything - layers, sum(m.in_features + m.out_features for m in inside))


@dataclass(frozen=True)
class Need:
    """Bytes that a kind of work takes: ``fixed`` once, and ``row`` for each row at once."""

    fixed: int
    row: int

    def rows(self, memory: float) -> int:
        """How many rows fit into so many bytes, of which ``ROOM`` can be used; 0 if none does, at most ``MOST``."""
        return max(0, min(MOST, int((memory * ROOM - self.fixed) // self.row)))


def weight_bytes(found: Parameters, dtype: torch.dtype, four_bit: bool = False) -> int:
    """What the weights take. With ``four_bit`` the rest is of ``dtype``."""
    return round(found.layers * (FOUR_BIT if four_bit else dtype.itemsize)) + found.rest * dtype.itemsize


def cache_bytes(config: LlavaConfig, dtype: torch.dtype, tokens: int) -> int:
    """Keys and values of one row of so many tokens."""
    text = config.text_config
    wide = text.num_key_value_heads * (text.head_dim or text.hidden_size // text.num_attention_heads)
    return 2 * text.num_hidden_layers * wide * tokens * dtype.itemsize


def prompt_tokens(config: LlavaConfig) -> int:
    """Tokens of a question about a picture: its patches, and ``TEXT``."""
    return (config.vision_config.image_size // config.vision_config.patch_size) ** 2 + TEXT


def needs(config: LlavaConfig, dtype: torch.dtype, four_bit: bool = False, lora: int = 128) -> dict[str, Need]:
    """Kind of work -> what it takes, for answers of ``ANSWER`` tokens.

    "answers": generating. "reading": given answers scored, or patches occluded. "attention": maps of attention, one row at once.
    "gradient": the map weighted by it. "training": a pair of LoRA training of rank ``lora`` without checkpointing, "checkpointed"
    with it; both with prompt and picture once a pair, as ``logprobs`` has them.
    """
    size, text, found = dtype.itemsize, config.text_config, parameters(config)
    weights = weight_bytes(found, dtype, four_bit)
    prompt = prompt_tokens(config)
    whole = prompt + ANSWER
    step = _layer(config, size)  # a token, inside one layer
    kept = text.hidden_size * size  # a token, between layers
    logits = ANSWER * text.vocab_size
    eyes = _eyes(config, size)
    squares = text.num_attention_heads * whole**2
    saved = text.num_hidden_layers * whole * step
    pair = prompt + 2 * ANSWER
    trained = round(found.sides * lora) * 16  # the adapters, their gradients and Adam's two moments, in float32
    return {
        "answers": Need(weights, cache_bytes(config, dtype, whole) + max(prompt * step, eyes) + logits * (4 + size)),
        "reading": Need(weights, max(whole * step, eyes) + logits * (size + 8)),
        "attention": Need(weights, whole * step + squares * (2 * size + 8) + text.num_hidden_layers * squares * 4 // 5),
        "gradient": Need(weights, saved + text.num_hidden_layers * squares * 2 * size),
        "training": Need(weights + trained, text.num_hidden_layers * pair * step + 2 * logits * (size + 8)),
        "checkpointed": Need(
            weights + trained, (text.num_hidden_layers * kept + 2 * step) * pair + 2 * logits * (size + 8)
        ),
    }


def _layer(config: LlavaConfig, size: int) -> int:
    """Bytes a token of what one layer computes: residual, norms (float32 on the way), queries to output, the three of the MLP."""
    text = config.text_config
    return size * (7 * text.hidden_size + 4 * text.intermediate_size) + 8 * text.hidden_size


def _eyes(config: LlavaConfig, size: int) -> int:
    """Bytes a picture: the states of all layers, which transformers keeps, and one layer's work."""
    eyes = config.vision_config
    patches = (eyes.image_size // eyes.patch_size) ** 2 + 1
    kept = (eyes.num_hidden_layers + 1) * eyes.hidden_size
    return patches * size * (kept + 6 * eyes.hidden_size + 2 * eyes.intermediate_size) + 12 * eyes.image_size**2


def table(
    config: LlavaConfig, cards: Sequence[float] = (16, 24, 80), dtype: torch.dtype = torch.bfloat16
) -> list[dict[str, str | float | int]]:
    """What runs on a card: one row for each card (GB) and precision, with the rows at once of each kind of work; 0: it does not."""
    rows: list[dict[str, str | float | int]] = []
    for four_bit in (False, True):
        found: Mapping[str, Need] = needs(config, dtype, four_bit)
        weights = found["reading"].fixed / GB
        for card in cards:
            named = {
                "card": card,
                "weights": "4 bits" if four_bit else str(dtype).removeprefix("torch."),
                "GB": weights,
            }
            rows.append({**named, **{work: need.rows(card * GB) for work, need in found.items()}})
    return sorted(rows, key=lambda row: float(row["card"]))
