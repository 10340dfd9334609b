"""What every statistic begins with: sums of pictures as checked arrays, and the influence of each on their ratio."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as shown
from typing import Any

import numpy as np
from numpy.typing import NDArray


def influence_of(top: NDArray, bottom: NDArray) -> NDArray:
    """What each training and picture adds to the deviation of the ratio ``top.sum() / bottom.sum()``, in the shape of both, such as
    (trainings, pictures); its mean is zero."""
    return (top - top.sum() / bottom.sum() * bottom) / bottom.mean()


def crossed(caller: str, numerators: NDArray, denominators: NDArray) -> tuple[NDArray, NDArray]:
    """Both as float arrays (trainings, pictures). Raises ``ValueError``, in the caller's name, for arrays of other shapes, what is
    no number, a denominator below zero, and denominators that sum to zero."""
    top, bottom = _numbers(caller, numerators), _numbers(caller, denominators)
    if top.shape != bottom.shape or top.ndim != 2 or 0 in top.shape:
        raise ValueError(
            f"{caller}: two arrays (trainings, pictures) of one shape are needed, not {top.shape} and {bottom.shape}."
        )
    return _sound(caller, top, bottom)


def listed(caller: str, numerators: Sequence[float], denominators: Sequence[float]) -> tuple[NDArray, NDArray]:
    """Both as float arrays (pictures,). Raises as ``crossed`` does."""
    top, bottom = _numbers(caller, numerators), _numbers(caller, denominators)
    if top.shape != bottom.shape or top.ndim != 1 or len(top) == 0:
        raise ValueError(f"{caller}: two non-empty lists of one length are needed, not {top.shape} and {bottom.shape}.")
    return _sound(caller, top, bottom)


def _numbers(caller: str, values: Any) -> NDArray:
    """As floats. A text, a complex number or a whole one that is too long for a float is none."""
    try:
        found = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{caller}: {shown(values)} makes no array; give lists of one length.") from error
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{caller}: {shown(values)} holds what is no number, or none that a float holds; mend it.")
    return found.astype(float)


def _sound(caller: str, top: NDArray, bottom: NDArray) -> tuple[NDArray, NDArray]:
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise ValueError(
            f"{caller}: nan or infinity among the numbers; leave those pictures out, or mend where they come from."
        )
    if (bottom < 0).any():
        raise ValueError(f"{caller}: a denominator is negative; it is what a picture's numerator is a share of.")
    if bottom.sum() == 0:
        raise ValueError(f"{caller}: the denominators sum to zero, so there is nothing to take a share of.")
    return top, bottom
