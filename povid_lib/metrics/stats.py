"""Intervals. The resampling unit is the picture, so answers about one picture are never treated as independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% bootstrap interval; ``n`` pictures."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(numerators: Sequence[float], denominators: Sequence[float], resamples: int = 2000, seed: int = 0) -> Estimate:
    """``sum(numerators) / sum(denominators)`` over pictures, with a percentile bootstrap interval.

    Raises ``ValueError`` if the lists are empty, differ in length, or the denominators sum to zero.
    """
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if top.shape != bottom.shape or top.ndim != 1 or len(top) == 0:
        raise ValueError(f"ratio: two non-empty lists of one length are needed, not {top.shape} and {bottom.shape}.")
    if bottom.sum() == 0:
        raise ValueError("ratio: the denominators sum to zero, so there is nothing to take a share of.")
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Estimate(value, float("nan"), float("nan"), 1)
    interval = bootstrap(
        (top, bottom),
        lambda a, b, axis=-1: a.sum(axis) / np.maximum(b.sum(axis), 1e-12),
        paired=True, vectorized=True, n_resamples=resamples, method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Estimate(value, float(interval.low), float(interval.high), len(top))


def mean(values: Sequence[float], resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean over pictures with a percentile bootstrap interval. Raises as ``ratio`` does."""
    return ratio(values, [1.0] * len(values), resamples, seed)
