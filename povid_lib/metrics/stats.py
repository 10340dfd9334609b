"""Intervals. The resampling unit is the picture, so answers about one picture are never treated as independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, permutation_test

_BATCH_CELLS = 10_000_000  # resamples are drawn in batches of so many numbers, so that 100,000 pictures fit into memory


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% bootstrap interval; ``n`` pictures."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pictures: ``difference`` (second less first) with its paired interval, and the two-sided
    ``p_value`` of a paired permutation test."""

    difference: Estimate
    p_value: float

    def __str__(self) -> str:
        return f"{self.difference.value:+.3f} [{self.difference.low:+.3f}, {self.difference.high:+.3f}], p = {self.p_value:.3g}"


def ratio(numerators: Sequence[float], denominators: Sequence[float], resamples: int = 2000, seed: int = 0) -> Estimate:
    """``sum(numerators) / sum(denominators)`` over pictures, with a percentile bootstrap interval.

    Raises ``ValueError`` if the lists are empty, differ in length, or the denominators sum to zero.
    """
    top, bottom = _pairs("ratio", numerators, denominators)
    value = float(top.sum() / bottom.sum())
    if len(top) == 1:
        return Estimate(value, float("nan"), float("nan"), 1)
    interval = bootstrap(
        (top, bottom), _ratio, paired=True, vectorized=True, n_resamples=resamples, method="percentile",
        batch=_batch(len(top)), rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Estimate(value, float(interval.low), float(interval.high), len(top))


def mean(values: Sequence[float], resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean over pictures with a percentile bootstrap interval. Raises as ``ratio`` does."""
    return ratio(values, [1.0] * len(values), resamples, seed)


def grouped_ratio(
    groups: Sequence[str],
    numerators: Sequence[float],
    denominators: Sequence[float],
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """``ratio`` where several rows are about one picture: rows of one group are summed first. Raises as ``ratio`` does, or if
    the lists differ in length."""
    top, bottom = _pairs("grouped_ratio", numerators, denominators)
    if len(groups) != len(top):
        raise ValueError(f"grouped_ratio: {len(groups)} groups for {len(top)} rows; name the group of each.")
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    at = [number[group] for group in groups]
    return ratio(np.bincount(at, top).tolist(), np.bincount(at, bottom).tolist(), resamples, seed)


def share(numerators: Sequence[float], denominators: Sequence[float], resamples: int = 2000, seed: int = 0) -> Estimate:
    """``ratio``, but nan with a nan interval where the denominators sum to zero: a share of nothing."""
    if len(denominators) and not any(denominators):
        return Estimate(float("nan"), float("nan"), float("nan"), len(denominators))
    return ratio(numerators, denominators, resamples, seed)


def compare(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Second model's ``ratio`` less the first's; each is (numerators, denominators) over the same pictures in the same order.

    Pictures are resampled with both models' answers together (percentile bootstrap of the difference). The permutation test
    exchanges the two models on each picture with probability 1/2: exact where ``2 ** pictures <= resamples``, else with that many
    draws, and then p is at least ``2 / (resamples + 1)`` (Phipson and Smyth, 2010).

    Raises ``ValueError`` as ``ratio`` does, or if the two differ in length.
    """
    (top_a, bottom_a), (top_b, bottom_b) = _pairs("compare", *first), _pairs("compare", *second)
    n = len(top_a)
    if n != len(top_b):
        raise ValueError(f"compare: {n} pictures against {len(top_b)}; give both models the same ones.")
    value = float(_ratio(top_b, bottom_b) - _ratio(top_a, bottom_a))
    if n == 1:
        return Comparison(Estimate(value, float("nan"), float("nan"), 1), 1.0)  # one exchange: as far out either way
    interval = bootstrap(
        (top_a, bottom_a, top_b, bottom_b), lambda a, b, c, d, axis=-1: _ratio(c, d, axis) - _ratio(a, b, axis),
        paired=True, vectorized=True, n_resamples=resamples, method="percentile", batch=_batch(n), rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    # what is exchanged is the index of a row, so that a numerator never parts from its denominator
    top, bottom = np.concatenate([top_a, top_b]), np.concatenate([bottom_a, bottom_b])
    test = permutation_test(
        (np.arange(n), np.arange(n, 2 * n)),
        lambda a, b, axis=-1: _ratio(top[b], bottom[b], axis) - _ratio(top[a], bottom[a], axis),
        permutation_type="samples", vectorized=True, n_resamples=resamples, batch=_batch(n), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Comparison(Estimate(value, float(interval.low), float(interval.high), n), float(test.pvalue))


def _pairs(caller: str, numerators: Sequence[float], denominators: Sequence[float]) -> tuple[NDArray, NDArray]:
    """Both as float arrays, checked."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if top.shape != bottom.shape or top.ndim != 1 or len(top) == 0:
        raise ValueError(f"{caller}: two non-empty lists of one length are needed, not {top.shape} and {bottom.shape}.")
    if bottom.sum() == 0:
        raise ValueError(f"{caller}: the denominators sum to zero, so there is nothing to take a share of.")
    return top, bottom


def _ratio(top: NDArray, bottom: NDArray, axis: int = -1) -> NDArray:
    return top.sum(axis) / np.maximum(bottom.sum(axis), 1e-12)  # a resample without any denominator counts as 0


def _batch(n: int) -> int:
    return max(1, _BATCH_CELLS // n)
