"""Image dispreferences: weaken the picture, so that what the language expects shows in its place.

The noise is one step of forward diffusion with the schedule of Visual Contrastive Decoding (Leng et al., 2023, arXiv
2311.16922), which POVID takes over (arXiv 2402.11411, section 3.2).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

STEPS = 1000
POVID_STEP = 500  # the paper's choice

Overflow = Literal["clamp", "wrap"]


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
    if not 0 <= step < STEPS:
        raise ValueError(f"diffuse: step is {step}; the schedule has the steps 0 to {STEPS - 1}.")
    if not x.is_floating_point():
        raise ValueError(f"diffuse: x is of type {x.dtype}; scale the picture to floating-point values first.")
    left = float(alpha_bars()[step])
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return left**0.5 * x + (1 - left) ** 0.5 * noise.to(x.device, x.dtype)


def noised(image: Image.Image, step: int, generator: torch.Generator, overflow: Overflow = "clamp") -> Image.Image:
    """Noise before preprocessing, on [0, 1] pixels at the picture's own size, as POVID's released code does it.

    ``overflow`` says what becomes of values outside [0, 1] when the result is made 8-bit again: "clamp" cuts them off, "wrap" takes
    them modulo 256, as the released code does without saying so (-127.5 becomes 129 and 280.5 becomes 24).
    Raises ``ValueError`` as ``diffuse`` does, or for another ``overflow``.
    """
    if overflow not in get_args(Overflow):
        raise ValueError(f"noised: overflow is {overflow!r}; choose one of {', '.join(get_args(Overflow))}.")
    x = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
    return Image.fromarray(eight_bit(diffuse(x, step, generator).numpy() * 255, overflow))


def eight_bit(values: np.ndarray, overflow: Overflow) -> np.ndarray:
    """Values on a scale of 0 to 255 as uint8: cut off to whole numbers towards zero, then clamped or wrapped."""
    whole = np.trunc(values)
    return (np.clip(whole, 0, 255) if overflow == "clamp" else whole % 256).astype(np.uint8)
