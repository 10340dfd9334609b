"""Pictures weakened: the noise schedule, and other ways to take away what a picture shows.

The noise is one step of forward diffusion with the schedule of Visual Contrastive Decoding (Leng et al., 2023, arXiv
2311.16922), which POVID takes over (arXiv 2402.11411, section 3.2).
"""

from __future__ import annotations

from numbers import Integral
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from povid_lib.arguments import check_choice, check_picture

STEPS = 1000
POVID_STEP = 500  # the paper's choice
Overflow = Literal["clamp", "wrap"]


def check_step(what: str, step: int) -> None:
    """Raises ``ValueError`` for a step that the schedule does not have."""
    if not isinstance(step, Integral) or not 0 <= step < STEPS:
        raise ValueError(f"{what}: step is {step!r}; give a whole number, as the schedule has 0 to {STEPS - 1}.")


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
    check_step("diffuse", step)
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
    check_step("noised", step)
    check_choice("noised: overflow", overflow, get_args(Overflow))
    check_picture("noised: image", image)
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
    check_picture("flat: image", image)
    mean = np.asarray(image.convert("RGB")).mean((0, 1)).round().astype(int).tolist()
    return Image.new("RGB", image.size, tuple(mean))


def cropped(image: Image.Image, share: float, generator: torch.Generator) -> Image.Image:
    """A random part with ``share`` of the picture's area, enlarged to its size.

    Raises ``ValueError`` for a share outside (0, 1], or what is no picture.
    """
    check_picture("cropped: image", image)
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
    check_picture("patches_shuffled: image", image)
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
    check_picture("downscaled: image", image)
    if not isinstance(factor, Integral) or factor < 1:
        raise ValueError(f"downscaled: factor is {factor!r}; it must be a whole number, at least 1.")
    small = image.resize([max(1, side // factor) for side in image.size], Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BICUBIC)
