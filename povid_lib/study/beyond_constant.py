"""What a training added beyond a constant on the end token: the recall of seen objects at the same rate of hallucination.

The untuned model with a growing constant (``end_bias``) gives a curve of recall against CHAIR_s. A method that lies on the curve
has taught the model nothing but to end earlier.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from povid_lib.metrics.arrays import influence_of
from povid_lib.metrics.stats import Comparison, Estimate, crossed_compare, crossed_ratio

Sums = tuple[NDArray[np.float64], NDArray[np.float64]]  # numerators and denominators, each (trainings, pictures)

SHIFT = 100.0  # keeps ``crossed_ratio`` from taking differences that lie in [0, 1] for shares


@dataclass(frozen=True)
class Point:
    """One model, or one method's trainings: CHAIR_s and recall over the same pictures."""

    chair_s: Sums
    recall: Sums


@dataclass(frozen=True)
class Beyond:
    """``curve``: the recall that the constant leaves at the method's CHAIR_s. ``margin``: the method's recall less that. ``rows``,
    (trainings, pictures): the margin and what each picture of each training adds to or takes from it, so that its mean is the
    margin; two methods' rows can be compared picture by picture."""

    curve: float
    margin: Estimate
    rows: NDArray[np.float64]


def compare(first: Beyond, second: Beyond) -> Comparison:
    """The second margin less the first, over new pictures and new trainings. Both must be of the same pictures and curve."""
    return crossed_compare(*((SHIFT + one.rows, np.ones_like(one.rows)) for one in (first, second)))


def beyond(method: Point, curve: Sequence[Point]) -> Beyond | None:
    """The method against the curve, which is drawn straight between neighbouring points; None where its CHAIR_s lies outside.

    The margin's interval is about new pictures and, with several trainings, new seeds: every quantity that the interpolation reads
    enters with its influence, picture by picture (the delta method; see ``metrics.stats``).
    Raises ``ValueError`` for fewer than two points, points of several trainings, or other numbers of pictures.
    """
    if len(curve) < 2:
        raise ValueError(f"beyond: {len(curve)} points make no curve; measure the model with two constants at least.")
    shapes = {sums[0].shape[1] for point in (method, *curve) for sums in (point.chair_s, point.recall)}
    if len(shapes) > 1 or any(len(point.chair_s[0]) != 1 for point in curve):
        raise ValueError("beyond: the curve is one model's, and all points need the same pictures as the method.")
    chair, recall = _value(method.chair_s), _value(method.recall)
    ordered = sorted(curve, key=lambda point: _value(point.chair_s))
    for left, right in itertools.pairwise(ordered):
        (x0, y0), (x1, y1) = ((_value(p.chair_s), _value(p.recall)) for p in (left, right))
        if x0 <= chair <= x1 and x0 < x1:
            break
    else:
        return None
    share = (chair - x0) / (x1 - x0)
    slope, at = (y1 - y0) / (x1 - x0), y0 + share * (y1 - y0)
    # of the curve's height at a fixed place: its two ends move up and down, and, along the slope, to and fro
    moves = (1 - share) * (influence_of(*left.recall) - slope * influence_of(*left.chair_s))
    moves = moves + share * (influence_of(*right.recall) - slope * influence_of(*right.chair_s))
    deviation = influence_of(*method.recall) - slope * influence_of(*method.chair_s) - moves
    rows = recall - at + deviation
    found = crossed_ratio(SHIFT + rows, np.ones_like(rows))
    return Beyond(at, Estimate(found.value - SHIFT, found.low - SHIFT, found.high - SHIFT, found.n), rows)


def _value(sums: Sums) -> float:
    return float(sums[0].sum() / sums[1].sum())
