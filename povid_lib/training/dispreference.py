"""Image dispreferences: which tokens the model prefers when its picture is weakened, and every choice that making them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, LlavaProcessor

from povid_lib.arguments import check_choice, check_share
from povid_lib.data.corrupt_image import POVID_STEP, Overflow, check_step, diffuse, noised
from povid_lib.models.llava import VLM

Weakening = Literal["noise", "masking"]
Tokens = Literal["argmax", "second", "sample"]


@dataclass(frozen=True)
class ImageDispreference:
    """Every choice that an implementation of the image dispreference must make. Defaults: the paper's (``PAPER``).

    ``weakening``: "noise" of ``noise_step`` on the picture, or "masking" of a random ``masked_share`` of the attention to its
    tokens (as in BDHS, arXiv 2407.02477; then what begins with ``noise_`` has no say). ``noise_place``: the "image" ([0, 1] pixels
    at its own size, before preprocessing) or its ``pixel_values`` (normalised, after it). ``noise_overflow``: see ``noised``; for
    "image" only. ``noised_tokens``: see ``dispreferred_tokens``. ``scored_under``: the picture, "noised" or "clean", under which
    these tokens' log-probabilities enter the loss. ``reference_tokens``: whether the reference scores the "policy"'s tokens or its
    "own".

    Raises ``ValueError`` for a step outside the schedule, an unknown choice, or a ``noise_overflow`` where there is none.
    """

    weakening: Weakening = "noise"
    masked_share: float = 0.75
    noise_step: int = POVID_STEP
    noise_place: Literal["image", "pixel_values"] = "pixel_values"
    noise_overflow: Overflow = "clamp"
    noised_tokens: Tokens = "argmax"
    scored_under: Literal["noised", "clean"] = "noised"
    reference_tokens: Literal["policy", "own"] = "policy"

    def __post_init__(self) -> None:
        check_step("ImageDispreference", self.noise_step)
        check_share("ImageDispreference.masked_share", self.masked_share)
        for name, known in (
            ("weakening", get_args(Weakening)),
            ("noise_place", ("image", "pixel_values")),
            ("noise_overflow", get_args(Overflow)),
            ("noised_tokens", get_args(Tokens)),
            ("scored_under", ("noised", "clean")),
            ("reference_tokens", ("policy", "own")),
        ):
            check_choice(f"ImageDispreference.{name}", getattr(self, name), known)
        if self.noise_place == "pixel_values" and self.noise_overflow != "clamp":
            raise ValueError(
                f"ImageDispreference.noise_overflow is {self.noise_overflow!r}, but pixel_values are never 8-bit again; leave it "
                'out, or choose noise_place="image".'
            )


# the paper does not say where the noise goes: as in Visual Contrastive Decoding, whose schedule it takes
PAPER = ImageDispreference()
RELEASED = ImageDispreference(noise_place="image", noise_overflow="wrap", scored_under="clean", reference_tokens="own")


def image_tokens_masked(vlm: VLM, batch: BatchFeature, share: float, generator: torch.Generator) -> BatchFeature:
    """The batch with attention to a random ``share`` of each row's image tokens switched off, as in BDHS (arXiv 2407.02477).

    Raises ``ValueError`` for a share outside [0, 1], or a row without image tokens.
    """
    check_share("image_tokens_masked: share", share)
    is_image = batch["input_ids"] == vlm.model.config.image_token_id
    mask = masked(batch["attention_mask"], is_image, share, [generator] * len(is_image))
    return BatchFeature({**batch, "attention_mask": mask})


def masked(mask: Tensor, is_image: Tensor, share: float, generators: Sequence[torch.Generator]) -> Tensor:
    """An attention mask, int64 (rows, length), with a random ``share`` of each row's image tokens (``is_image``, bool in its shape)
    switched off, each row by its own source of chance. Raises ``ValueError`` for a row without image tokens."""
    found = mask.clone()
    for at, (row, image, generator) in enumerate(zip(found, is_image, generators, strict=True)):
        where = image.nonzero().flatten()
        if len(where) == 0:
            raise ValueError(f"image_tokens_masked: row {at} holds no image tokens; encode it with its picture.")
        lost = torch.randperm(len(where), generator=generator)[: round(share * len(where))]
        row[where[lost.to(where.device)]] = 0
    return found


# --- what the model says then ------------------------------------------------------------------------------------


def dispreferred_tokens(
    logits: Tensor, labels: Tensor, tokens: Tokens, generator: torch.Generator | None = None
) -> Tensor:
    """The model's own token at every position of the true answer, under the weakened picture: int64 in the shape of ``labels``.

    ``logits``: (..., vocabulary), those that predict ``labels`` with the true answer as prefix (teacher-forced). "argmax": the
    likeliest (the paper); "second": the likeliest that is not the label (the released code before April 2024); "sample": drawn.
    No gradient flows through the choice. Raises ``ValueError`` for another choice, shapes or types that do not fit, logits that
    hold NaN, and for "second" labels outside the vocabulary.
    """
    check_choice("dispreferred_tokens: tokens", tokens, get_args(Tokens))
    if logits.ndim == 0 or logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"dispreferred_tokens: logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)}; give one row of logits "
            "for each label."
        )
    if not logits.is_floating_point() or labels.dtype != torch.int64:
        raise ValueError(
            f"dispreferred_tokens: logits are {logits.dtype} and labels {labels.dtype}; give floating-point logits and int64 "
            "labels."
        )
    if logits.isnan().any():
        raise ValueError(
            "dispreferred_tokens: logits hold NaN, so none is the likeliest; mend the model or its inputs."
        )
    if tokens == "second" and ((labels < 0) | (labels >= logits.shape[-1])).any():
        raise ValueError(
            f"dispreferred_tokens: labels lie between {labels.min()} and {labels.max()}, outside the vocabulary of "
            f"{logits.shape[-1]}; leave out positions that are not scored (-100)."
        )
    logits = logits.detach()
    if tokens == "argmax":
        return logits.argmax(-1)
    if tokens == "second":
        return logits.scatter(-1, labels[..., None], float("-inf")).argmax(-1)
    probs = logits.float().softmax(-1).reshape(-1, logits.shape[-1])
    return torch.multinomial(probs, 1, generator=generator).reshape(labels.shape)


def noised_pixels(
    images: Sequence[Image.Image],
    pixel_values: Tensor,
    choices: ImageDispreference,
    processor: LlavaProcessor,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """``pixel_values`` (rows, 3, height, width) of pictures with noise on them, each from its own source of chance.

    Raises ``ValueError`` if pictures, rows and sources are not as many, and as ``noised`` does.
    """
    if not len(images) == len(pixel_values) == len(generators):
        raise ValueError(
            f"noised_pixels: {len(images)} images, {len(pixel_values)} rows of pixel_values and {len(generators)} generators; "
            "give as many of each."
        )
    if choices.noise_place == "image":
        step, overflow = choices.noise_step, choices.noise_overflow
        shown = [noised(image, step, g, overflow) for image, g in zip(images, generators, strict=True)]
        return processor.image_processor(shown, return_tensors="pt")["pixel_values"].to(pixel_values)
    rows = [diffuse(row, choices.noise_step, g) for row, g in zip(pixel_values, generators, strict=True)]
    return torch.stack(rows)
