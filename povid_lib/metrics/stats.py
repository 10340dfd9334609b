"""Means, shares and differences with intervals and p-values.

The unit is the picture, so answers about one picture are never treated as independent; where a method was trained several times,
its trainings are a second unit. Nothing is resampled. A ratio's variance is that of its influence, picture by picture (the delta
method); shares get Wilson's interval at the number of independent answers that this variance is worth, so that 0 of 20 is not
[0, 0]; what has no bounds gets Student's. Over trainings and pictures the variance is taken apart as in a two-way analysis of
variance, with Satterthwaite's degrees of freedom. ``tests/metrics/test_stats_coverage.py`` has the coverage and the rate of false
alarms by simulation.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from povid_lib.metrics.arrays import crossed, influence_of, listed

LEVEL = 0.95
FEW_PICTURES = 30  # so few cannot show that answers about a picture agree better than independent ones
FEW_TRAININGS = 3  # with fewer, intervals cover down to 90% where seeds differ much
_OF_SKEW = 12  # pictures for each squared unit of skewness (Cochran has 25): with fewer, 86 to 92% are covered
_FEW = 16  # pictures on which two models differ: so many can be exchanged in every way there is
_LEAST = 1e-12  # of a difference's size: what is as far out but for rounding is as far out


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; ``n`` pictures."""

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
    ``p_value``."""

    difference: Estimate
    p_value: float

    def __str__(self) -> str:
        return f"{self.difference.value:+.3f} [{self.difference.low:+.3f}, {self.difference.high:+.3f}], p = {self.p_value:.3g}"


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """``sum(numerators) / sum(denominators)`` over pictures, with its interval; nan bounds for a single picture.

    Warns (``UserWarning``) where a nominal 95% covers less than 93%: what is no share, and so skewed that the pictures are too few.
    Raises ``ValueError`` if the lists are empty, differ in length, or the denominators sum to zero.
    """
    top, bottom = listed("ratio", numerators, denominators)
    return _estimate(top[None], bottom[None])


def mean(values: Sequence[float]) -> Estimate:
    """Mean over pictures with its interval. Raises as ``ratio`` does."""
    return ratio(values, [1.0] * len(values))


def grouped_ratio(groups: Sequence[str], numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """``ratio`` where several rows are about one picture: rows of one group are summed first. Raises as ``ratio`` does, or if
    the lists differ in length."""
    top, bottom = listed("grouped_ratio", numerators, denominators)
    if len(groups) != len(top):
        raise ValueError(f"grouped_ratio: {len(groups)} groups for {len(top)} rows; name the group of each.")
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    at = [number[group] for group in groups]
    return ratio(np.bincount(at, top).tolist(), np.bincount(at, bottom).tolist())


def share(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """``ratio``, but nan with a nan interval where the denominators sum to zero: a share of nothing."""
    if len(denominators) and not any(denominators):
        return Estimate(float("nan"), float("nan"), float("nan"), len(denominators))
    return ratio(numerators, denominators)


def compare(
    first: tuple[Sequence[float], Sequence[float]], second: tuple[Sequence[float], Sequence[float]]
) -> Comparison:
    """Second model's ``ratio`` less the first's; each is (numerators, denominators) over the same pictures in the same order.

    Interval and p-value are Student's for the difference's influence. Where the influences differ on at most 16 pictures, the
    interval joins the two models' own by their correlation over pictures (MOVER; Newcombe 1998, Statistics in Medicine 17). Where
    the answers do, the p-value exchanges the models on each picture in every way there is: 1 of 200 that differs gives p = 1.
    Where few of 20 to 50 pictures differ, the 95% interval covers 90 to 100%.

    Raises ``ValueError`` as ``ratio`` does, or if the two differ in length.
    """
    a, b = listed("compare", *first), listed("compare", *second)
    if len(a[0]) != len(b[0]):
        raise ValueError(f"compare: {len(a[0])} pictures against {len(b[0])}; give both models the same ones.")
    differing = (a[0] != b[0]) | (a[1] != b[1])
    whole = ((a[0][None], a[1][None]), (b[0][None], b[1][None]))
    variance, freedom = _variance_of_difference(influence_of(*whole[0]), influence_of(*whole[1]))
    difference = _difference(*whole, variance, freedom)
    if differing.sum() <= _FEW:
        p_value = _exchanged(a, b, differing)
    else:
        p_value = _p_value(difference.value, variance, freedom, difference.n)
    return Comparison(difference, p_value)


def crossed_ratio(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Estimate:
    """``ratio`` over several trainings (rows) measured on the same pictures (columns); both arrays (trainings, pictures).

    The interval holds what a new seed and what new pictures would change. With one training it is ``ratio``'s and about that one
    model; two are warned about. Raises ``ValueError`` for arrays of another shape, or denominators that sum to zero.
    """
    return _estimate(*crossed("crossed_ratio", numerators, denominators))


def crossed_compare(
    first: tuple[NDArray[np.float64], NDArray[np.float64]], second: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> Comparison:
    """Second method's ``crossed_ratio`` less the first's, over the same pictures; the numbers of trainings may differ.

    Interval and p-value are about new seeds and new pictures. A method of one training, such as the model that all began with,
    counts as that one model; with one each it is ``compare``. Warns and raises as ``crossed_ratio`` does, and raises if the numbers
    of pictures differ.
    """
    a, b = crossed("crossed_compare", *first), crossed("crossed_compare", *second)
    if a[0].shape[1] != b[0].shape[1]:
        raise ValueError(f"crossed_compare: {a[0].shape[1]} pictures against {b[0].shape[1]}; give both the same ones.")
    if len(a[0]) == len(b[0]) == 1:
        return compare((a[0][0].tolist(), a[1][0].tolist()), (b[0][0].tolist(), b[1][0].tolist()))
    variance, freedom = _variance_of_difference(influence_of(*a), influence_of(*b))
    difference = _difference(a, b, variance, freedom)
    return Comparison(difference, _p_value(difference.value, variance, freedom, difference.n))


# --- a ratio and its variance ------------------------------------------------------------------------------------


def _variance(influence: NDArray) -> tuple[float, float]:
    """Variance of the mean over trainings and pictures, and its degrees of freedom."""
    trainings, pictures = influence.shape
    if trainings == 1:
        return float(influence.var(ddof=1)) / pictures, pictures - 1.0
    _warn_of_few(trainings)
    of_trainings, of_pictures, rest = _mean_squares(influence)
    # each of the first two holds the rest once; where it comes out smaller than either, chance has made the rest large
    total = max(of_trainings + of_pictures - rest, of_trainings, of_pictures)
    freedoms = (trainings - 1, pictures - 1, (trainings - 1) * (pictures - 1))
    parts = zip((of_trainings, of_pictures, rest), freedoms, strict=True)
    spread = sum(part**2 / free for part, free in parts)
    return total, max(total**2 / spread, trainings - 1.0) if spread else pictures - 1.0


def _warn_of_few(trainings: int) -> None:
    if trainings < FEW_TRAININGS:
        warnings.warn(
            f"{trainings} trainings tell little of how seeds differ: the 95% interval covers down to 90%. Train {FEW_TRAININGS}.",
            stacklevel=5,
        )


def _mean_squares(influence: NDArray) -> tuple[float, float, float]:
    """Mean squares of trainings, pictures and the rest, each as a variance of the mean over all cells."""
    trainings, pictures = influence.shape
    rows, columns = influence.mean(1, keepdims=True), influence.mean(0, keepdims=True)
    rest = influence - rows - columns + influence.mean()
    return (
        float(rows.var(ddof=1)) / trainings,
        float(columns.var(ddof=1)) / pictures,
        float((rest**2).sum()) / ((trainings - 1) * (pictures - 1)) / influence.size,
    )


def _variance_of_difference(a: NDArray, b: NDArray) -> tuple[float, float]:
    """As ``_variance`` for a difference of two methods with trainings of their own on the same pictures."""
    pictures = a.shape[1]
    if pictures == 1:
        return 0.0, 1.0
    of_pictures = float((b.mean(0) - a.mean(0)).var(ddof=1)) / pictures
    seeds, rests, spread = 0.0, 0.0, of_pictures**2 / (pictures - 1)
    least = math.inf
    for influence in (a, b):
        if len(influence) > 1:
            _warn_of_few(len(influence))
            of_trainings, _, rest = _mean_squares(influence)
            seeds, rests, least = seeds + of_trainings, rests + rest, min(least, len(influence) - 1.0)
            spread += of_trainings**2 / (len(influence) - 1) + rest**2 / ((len(influence) - 1) * (pictures - 1))
    total = max(of_pictures + seeds - rests, of_pictures, seeds)
    return total, max(total**2 / spread, least) if spread else pictures - 1.0


def _estimate(top: NDArray, bottom: NDArray) -> Estimate:
    value, pictures = float(top.sum() / bottom.sum()), top.shape[1]
    if pictures == 1:
        return Estimate(value, float("nan"), float("nan"), 1)
    influence = influence_of(top, bottom)
    variance, freedom = _variance(influence)
    out = float(student.ppf((1 + LEVEL) / 2, freedom))
    if not ((top >= 0) & (top <= bottom)).all():
        _warn_of_skew(influence.mean(0))
        return Estimate(value, value - out * math.sqrt(variance), value + out * math.sqrt(variance), pictures)
    with_some = float((bottom.sum(0) > 0).sum())
    if not 0 < value < 1:
        worth = with_some  # all of one kind: a picture is worth one answer
    else:
        worth = value * (1 - value) / variance if variance > 0 else math.inf  # independent answers
        counted = bool((top == top.round()).all() and (bottom == bottom.round()).all())
        if ((top == 0) | (top == bottom)).all() or (counted and (pictures < FEW_PICTURES or worth == math.inf)):
            worth = min(worth, float(bottom.sum()))
        elif worth == math.inf:
            worth = with_some
    return Estimate(value, *_wilson(value, worth, out), pictures)


def _warn_of_skew(influence: NDArray) -> None:
    pictures, spread = len(influence), float(influence.std())
    if spread <= _LEAST * float(np.abs(influence).max(initial=1.0)):
        warnings.warn(f"{pictures} pictures of one and the same value: its interval has no width.", stacklevel=4)
    elif pictures < (needed := math.ceil(_OF_SKEW * float(((influence / spread) ** 3).mean()) ** 2)):
        warnings.warn(
            f"The values are so skewed that the 95% interval of {pictures} pictures covers less; it takes some {needed}.",
            stacklevel=4,
        )


def _wilson(value: float, worth: float, out: float) -> tuple[float, float]:
    """Wilson's interval (1927, Journal of the American Statistical Association 22) for a share of ``worth`` answers."""
    shrink = 1 + out**2 / worth
    centre = (value + out**2 / (2 * worth)) / shrink
    half = out / shrink * math.sqrt(value * (1 - value) / worth + out**2 / (4 * worth**2))
    return max(0.0, centre - half) if value > 0 else 0.0, min(1.0, centre + half) if value < 1 else 1.0


def _difference(a: tuple[NDArray, NDArray], b: tuple[NDArray, NDArray], variance: float, freedom: float) -> Estimate:
    """Second ratio less the first with its interval."""
    first, second = _estimate(*a), _estimate(*b)
    value, x, y = second.value - first.value, influence_of(*a).mean(0), influence_of(*b).mean(0)
    if first.n == 1:
        return Estimate(value, float("nan"), float("nan"), 1)
    if (x != y).sum() > _FEW and variance > 0:
        half = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
        return Estimate(value, value - half, value + half, first.n)
    both = float(x.std() * y.std())
    correlation = float((x * y).mean() / both) if both > 0 else 0.0

    def joined(p: float, q: float) -> float:
        return math.sqrt(max(0.0, p * p + q * q - 2 * correlation * p * q))

    low = value - joined(second.value - second.low, first.high - first.value)
    high = value + joined(second.high - second.value, first.value - first.low)
    return Estimate(value, low, high, first.n)


def _p_value(value: float, variance: float, freedom: float, pictures: int) -> float:
    if variance <= _LEAST**2 * value**2:  # the very same difference on every picture: as in a sign test
        return 1.0 if value == 0 else 2.0 ** (1 - pictures)
    return float(2 * student.sf(abs(value) / math.sqrt(variance), freedom))


def _exchanged(a: tuple[NDArray, NDArray], b: tuple[NDArray, NDArray], differing: NDArray) -> float:
    """Share of all exchanges of the two models, picture by picture, whose difference is as far out."""
    where = np.flatnonzero(differing)
    signs = np.array(list(itertools.product((False, True), repeat=len(where))))  # which pictures are exchanged
    exchanged = zip((*a, *b), (*b, *a), strict=True)
    top_a, bottom_a, top_b, bottom_b = (one.sum() + signs @ (other - one)[where] for one, other in exchanged)
    found = top_b / np.maximum(bottom_b, 1e-300) - top_a / np.maximum(bottom_a, 1e-300)
    return float((np.abs(found) >= abs(found[0]) * (1 - _LEAST) - 1e-15).mean())
