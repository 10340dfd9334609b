"""Image dispreferences: weaken the picture, so that what the language expects shows in its place.

The noise is one step of forward diffusion with the schedule of Visual Contrastive Decoding (Leng et al., 2023, arXiv
2311.16922), which POVID takes over (arXiv 2402.11411, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, LlavaProcessor

from povid_lib import vlm as vlms
from povid_lib.vlm import VLM

STEPS = 1000
POVID_STEP = 500  # the paper's choice

Weakening = Literal["noise", "masking"]
Overflow = Literal["clamp", "wrap"]
Tokens = Literal["argmax", "second", "sample"]


def _check_step(what: str, step: int) -> None:
    if not isinstance(step, Integral) or not 0 <= step < STEPS:
        raise ValueError(f"{what}: step is {step!r}; give a whole number, as the schedule has 0 to {STEPS - 1}.")


def _check_share(what: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{what} is {share}; it must lie in [0, 1].")


def check_choice(what: str, value: str, known: tuple[str, ...]) -> None:
    """Raises ``ValueError`` for a value that is not among the known ones."""
    if value not in known:
        raise ValueError(f"{what} is {value!r}; choose one of {', '.join(known)}.")


def _check_picture(what: str, image: Image.Image) -> None:
    if not isinstance(image, Image.Image):
        raise ValueError(
            f"{what}: image is of type {type(image).__name__}; give a PIL picture, as `pictures.picture` opens."
        )
    if 0 in image.size:
        raise ValueError(f"{what}: image has {image.width} x {image.height} pixels; give one that has any.")


@dataclass(frozen=True)
class ImageDispreference:
    """Every choice that an implementation of the image dispreference must make. Defaults: this project's.

    ``weakening``: "noise" of ``step`` on the picture, or "masking" of a random ``masked_share`` of the attention to its tokens (as
    in BDHS, arXiv 2407.02477; then ``step``, ``place`` and ``overflow`` have no say). ``place``: noise on the "image" ([0, 1]
    pixels at its own size, before preprocessing) or on ``pixel_values`` (normalised, after it). ``overflow``: see ``noised``; for
    "image" only. ``tokens``: see ``dispreferred_tokens``. ``scored_under``: the picture, "noised" or "clean", under which these
    tokens' log-probabilities enter the loss. ``reference_tokens``: whether the reference scores the "policy"'s tokens or its "own".

    Raises ``ValueError`` for a step outside the schedule, an unknown choice, or an ``overflow`` where there is none.
    """

    weakening: Weakening = "noise"
    masked_share: float = 0.75
    step: int = POVID_STEP
    place: Literal["image", "pixel_values"] = "image"
    overflow: Overflow = "clamp"
    tokens: Tokens = "argmax"
    scored_under: Literal["noised", "clean"] = "noised"
    reference_tokens: Literal["policy", "own"] = "policy"

    def __post_init__(self) -> None:
        _check_step("ImageDispreference", self.step)
        _check_share("ImageDispreference.masked_share", self.masked_share)
        for name, known in (
            ("weakening", get_args(Weakening)),
            ("place", ("image", "pixel_values")),
            ("overflow", get_args(Overflow)),
            ("tokens", get_args(Tokens)),
            ("scored_under", ("noised", "clean")),
            ("reference_tokens", ("policy", "own")),
        ):
            check_choice(f"ImageDispreference.{name}", getattr(self, name), known)
        if self.place == "pixel_values" and self.overflow != "clamp":
            raise ValueError(
                f"ImageDispreference.overflow is {self.overflow!r}, but pixel_values are never 8-bit again; leave it out, or "
                'choose place="image".'
            )


# the paper does not say where the noise goes: as in Visual Contrastive Decoding, whose schedule it takes
PAPER = ImageDispreference(place="pixel_values")
RELEASED = ImageDispreference(place="image", overflow="wrap", scored_under="clean", reference_tokens="own")

# --- noise -------------------------------------------------------------------------------------------------------


def betas() -> Tensor:
    """Variance added at each of the 1000 steps: ``sigmoid(linspace(-6, 6)) * (0.5e-2 - 1e-5) + 1e-5``, float64 (1000,)."""
    return torch.linspace(-6, 6, STEPS, dtype=torch.float64).sigmoid() * (0.5e-2 - 1e-5) + 1e-5


def alpha_bars() -> Tensor:
    """Share of the picture's variance that is left after each step: the cumulated product of ``1 - betas()``, float64 (1000,)."""
    return (1 - betas()).cumprod(0)


def diffuse(x: Tensor, step: int, generator: torch.Generator) -> Tensor:
    """``sqrt(alpha_bar) x + sqrt(1 - alpha_bar) eps`` with fresh standard normal ``eps``, in the shape and type of ``x``.

    ``x``: ``pixel_values`` for noise after preprocessing, as VCD does it. Nothing is clamped. Raises ``ValueError`` for a step
    outside 0 to 999, or values that are not floating-point.
    """
    _check_step("diffuse", step)
    if not isinstance(x, Tensor):
        raise ValueError(f"diffuse: x is of type {type(x).__name__}; give a tensor, or a picture to `noised`.")
    if not x.is_floating_point():
        raise ValueError(f"diffuse: x is of type {x.dtype}; scale the picture to floating-point values first.")
    left = float(alpha_bars()[step])
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return left**0.5 * x + (1 - left) ** 0.5 * noise.to(x.device, x.dtype)


def noised(image: Image.Image, step: int, generator: torch.Generator, overflow: Overflow = "clamp") -> Image.Image:
    """Noise before preprocessing, on [0, 1] pixels at the picture's own size, as POVID's released code does it.

    ``overflow`` says what becomes of values outside [0, 1] when the result is made 8-bit again: "clamp" cuts them off, "wrap" takes
    them modulo 256, as the released code does without saying so (-127.5 becomes 129 and 280.5 becomes 24).
    Raises ``ValueError`` for a step outside 0 to 999, another ``overflow``, or what is no picture.
    """
    _check_step("noised", step)
    check_choice("noised: overflow", overflow, get_args(Overflow))
    _check_picture("noised", image)
    x = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
    return Image.fromarray(eight_bit(diffuse(x, step, generator).numpy() * 255, overflow))


def eight_bit(values: np.ndarray, overflow: Overflow) -> np.ndarray:
    """Values on a scale of 0 to 255 as uint8: cut off to whole numbers towards zero, then clamped or wrapped.

    Raises ``ValueError`` for another ``overflow``, or values that are not finite.
    """
    check_choice("eight_bit: overflow", overflow, get_args(Overflow))
    if not np.isfinite(values).all():
        raise ValueError(
            "eight_bit: values hold NaN or infinity, which no byte can stand for; mend what they come from."
        )
    whole = np.trunc(values)
    return (np.clip(whole, 0, 255) if overflow == "clamp" else whole % 256).astype(np.uint8)


# --- other ways to weaken a picture ------------------------------------------------------------------------------


def flat(image: Image.Image) -> Image.Image:
    """One colour, the picture's mean, in its size: no evidence at all. Raises ``ValueError`` for what is no picture."""
    _check_picture("flat", image)
    mean = np.asarray(image.convert("RGB")).mean((0, 1)).round().astype(int).tolist()
    return Image.new("RGB", image.size, tuple(mean))


def cropped(image: Image.Image, share: float, generator: torch.Generator) -> Image.Image:
    """A random part with ``share`` of the picture's area, enlarged to its size.

    Raises ``ValueError`` for a share outside (0, 1], or what is no picture.
    """
    _check_picture("cropped", image)
    if not 0 < share <= 1:
        raise ValueError(f"cropped: share is {share}; the share of the area that is kept must lie in (0, 1].")
    width, height = (max(1, round(side * share**0.5)) for side in image.size)
    u, v = torch.rand(2, generator=generator).tolist()
    left, top = round(u * (image.width - width)), round(v * (image.height - height))
    return image.crop((left, top, left + width, top + height)).resize(image.size, Image.Resampling.BICUBIC)


def patches_shuffled(image: Image.Image, grid: int, generator: torch.Generator) -> Image.Image:
    """``grid`` x ``grid`` patches in random order: textures stay, objects do not. Rows and columns that do not divide are left out.

    Raises ``ValueError`` if the picture has fewer pixels than patches along a side, or is none.
    """
    _check_picture("patches_shuffled", image)
    if not isinstance(grid, Integral) or not 1 <= grid <= min(image.size):
        raise ValueError(
            f"patches_shuffled: grid is {grid!r}, and the picture {image.width} x {image.height} pixels; give a whole number from "
            f"1 to {min(image.size)}."
        )
    pixels = np.asarray(image.convert("RGB"))
    high, wide = pixels.shape[0] // grid, pixels.shape[1] // grid
    tiles = pixels[: high * grid, : wide * grid].reshape(grid, high, grid, wide, 3).swapaxes(1, 2)
    tiles = tiles.reshape(grid * grid, high, wide, 3)[torch.randperm(grid * grid, generator=generator).numpy()]
    tiles = tiles.reshape(grid, grid, high, wide, 3).swapaxes(1, 2)
    return Image.fromarray(tiles.reshape(high * grid, wide * grid, 3))


def downscaled(image: Image.Image, factor: int) -> Image.Image:
    """Reduced by ``factor`` along both sides and enlarged again.

    Raises ``ValueError`` for a factor that is no whole number from 1, or what is no picture.
    """
    _check_picture("downscaled", image)
    if not isinstance(factor, Integral) or factor < 1:
        raise ValueError(f"downscaled: factor is {factor!r}; it must be a whole number, at least 1.")
    small = image.resize([max(1, side // factor) for side in image.size], Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BICUBIC)


def image_tokens_masked(vlm: VLM, batch: BatchFeature, share: float, generator: torch.Generator) -> BatchFeature:
    """The batch with attention to a random ``share`` of each row's image tokens switched off, as in BDHS (arXiv 2407.02477).

    Raises ``ValueError`` for a share outside [0, 1], or a row without image tokens.
    """
    _check_share("image_tokens_masked: share", share)
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
    if choices.place == "image":
        shown = [noised(image, choices.step, g, choices.overflow) for image, g in zip(images, generators, strict=True)]
        return processor.image_processor(shown, return_tensors="pt")["pixel_values"].to(pixel_values)
    rows = [diffuse(row, choices.step, g) for row, g in zip(pixel_values, generators, strict=True)]
    return torch.stack(rows)


def weakened(
    vlm: VLM,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    choices: ImageDispreference,
    generator: torch.Generator,
) -> BatchFeature:
    """``vlm.encode`` of the pictures with noise on them, fresh at every call. Raises as ``vlm.encode`` and ``noised`` do."""
    batch = vlms.encode(vlm, images, texts)
    pixels = noised_pixels(images, batch["pixel_values"], choices, vlm.processor, [generator] * len(images))
    return BatchFeature({**batch, "pixel_values": pixels})
