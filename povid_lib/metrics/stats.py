"""Means, shares and differences with intervals and p-values.

The resampling unit is the picture, so answers about one picture are never treated as independent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

    def through(self, monotone: Callable[[float], float]) -> Estimate:
        """The estimate of ``monotone(value)``, such as a percentage or one less a share; a falling function exchanges the ends."""
        low, high = monotone(self.low), monotone(self.high)
        return Estimate(monotone(self.value), *((high, low) if high < low else (low, high)), self.n)


def estimate_of(record: Mapping[str, Any]) -> Estimate:
    """An estimate as it stands in a results file: an object with its four fields, perhaps among others, where null is nan."""
    value, low, high = (float("nan") if record[key] is None else float(record[key]) for key in ("value", "low", "high"))
    return Estimate(value, low, high, record["n"])


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
    seed: int = 0,
) -> Estimate:
    """``ratio`` where several rows are about one picture: rows of one group are summed first. Raises as ``ratio`` does, or if
    the lists differ in length."""
    top, bottom = _pairs("grouped_ratio", numerators, denominators)
    if len(groups) != len(top):
        raise ValueError(f"grouped_ratio: {len(groups)} groups for {len(top)} rows; name the group of each.")
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    at = [number[group] for group in groups]
    return ratio(np.bincount(at, top).tolist(), np.bincount(at, bottom).tolist(), seed=seed)


def share(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """``ratio``, but nan with a nan interval where the denominators sum to zero: a share of nothing."""
    if len(denominators) and not any(denominators):
        return Estimate(float("nan"), float("nan"), float("nan"), len(denominators))
    return ratio(numerators, denominators)


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
    p_value = _permutation(top_a, bottom_a, top_b, bottom_b, resamples, seed)
    return Comparison(Estimate(value, float(interval.low), float(interval.high), n), p_value)


def _permutation(
    top_a: NDArray, bottom_a: NDArray, top_b: NDArray, bottom_b: NDArray, resamples: int, seed: int
) -> float:
    """The p-value of ``compare``."""
    # what is exchanged is the index of a row, so that a numerator never parts from its denominator
    n, top, bottom = len(top_a), np.concatenate([top_a, top_b]), np.concatenate([bottom_a, bottom_b])
    test = permutation_test(
        (np.arange(n), np.arange(n, 2 * n)),
        lambda a, b, axis=-1: _ratio(top[b], bottom[b], axis) - _ratio(top[a], bottom[a], axis),
        permutation_type="samples", vectorized=True, n_resamples=resamples, batch=_batch(n), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(test.pvalue)


def crossed_ratio(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], resamples: int = 2000, seed: int = 0
) -> Estimate:
    """``ratio`` over several trainings (rows) measured on the same pictures (columns); both arrays (trainings, pictures).

    Trainings and pictures are resampled independently of each other (the pigeonhole bootstrap of Owen, 2007, Annals of Applied
    Statistics 1(2)), so that the interval holds what a new seed and what new pictures would change; it is rather too wide than too
    narrow. With one training it is ``ratio``'s. Raises ``ValueError`` for arrays of another shape, or denominators that sum to
    zero.
    """
    top, bottom = _crossed("crossed_ratio", numerators, denominators)
    drawn = _draw(top, bottom, resamples, np.random.default_rng(seed), _picture_counts(top, resamples, seed))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(top.sum() / bottom.sum()), float(low), float(high), top.shape[1])


def crossed_compare(
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
    resamples: int = 2000,
) -> Comparison:
    """Second method's ``crossed_ratio`` less the first's, over the same pictures; the numbers of trainings may differ.

    In the interval the pictures are resampled together and each method's trainings on their own. The p-value is ``compare``'s for
    the trainings' means: it is about new pictures, not about new seeds. Raises as ``crossed_ratio`` and ``compare`` do.
    """
    a, b = _crossed("crossed_compare", *first), _crossed("crossed_compare", *second)
    if a[0].shape[1] != b[0].shape[1]:
        raise ValueError(f"crossed_compare: {a[0].shape[1]} pictures against {b[0].shape[1]}; give both the same ones.")
    counts = _picture_counts(a[0], resamples, 0)
    rng = np.random.default_rng(1)
    drawn = _draw(*b, resamples, rng, counts) - _draw(*a, resamples, rng, counts)
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(b[0].sum() / b[1].sum() - a[0].sum() / a[1].sum())
    (top_a, bottom_a), (top_b, bottom_b) = ((x.mean(0) for x in pair) for pair in (a, b))
    p_value = _permutation(top_a, bottom_a, top_b, bottom_b, resamples, 0)
    return Comparison(Estimate(value, float(low), float(high), a[0].shape[1]), p_value)


def _picture_counts(top: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each picture stands in each resample, (resamples, pictures)."""
    pictures = top.shape[1]
    return np.random.default_rng(seed).multinomial(pictures, [1 / pictures] * pictures, size=resamples)


def _draw(
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    resamples: int,
    rng: np.random.Generator,
    pictures: NDArray[np.int64],
) -> NDArray[np.float64]:
    trainings = rng.multinomial(len(top), [1 / len(top)] * len(top), size=resamples)
    return ((trainings @ top) * pictures).sum(1) / np.maximum(((trainings @ bottom) * pictures).sum(1), 1e-12)


def _crossed(caller: str, numerators: NDArray, denominators: NDArray) -> tuple[NDArray, NDArray]:
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if top.shape != bottom.shape or top.ndim != 2 or 0 in top.shape:
        raise ValueError(
            f"{caller}: two arrays (trainings, pictures) of one shape are needed, not {top.shape} and {bottom.shape}."
        )
    if bottom.sum() == 0:
        raise ValueError(f"{caller}: the denominators sum to zero, so there is nothing to take a share of.")
    return top, bottom


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
