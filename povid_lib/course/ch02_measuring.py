"""Exercises of chapter 02: a fifth number, what a method adds beyond the end-token constant, and an honest standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from povid_lib.course.exercises import Catalogue, Check, Function

Point = tuple[float, float]  # CHAIR_s, recall


def check_f1(f1: Function) -> None:
    """``f1(chair_i, recall)``: the harmonic mean of precision and recall; 0 for a model that says nothing."""
    found = float(f1(0.2, 0.5))
    for wrong, why in (
        (2 * 0.2 * 0.5 / 0.7, "CHAIR_i is the share that is false; precision is what it leaves of one"),
        (0.65, "this is the arithmetic mean, which a perfect precision alone brings to one half"),
        (0.4, "this is the product; F1 is twice that over the sum"),
        (math.sqrt(0.4), "this is the geometric mean"),
    ):
        assert abs(found - wrong) > 1e-9, why
    assert abs(found - 0.8 / 1.3) < 1e-9, f"precision .8 and recall .5 give {0.8 / 1.3:.4f}, not {found:.4f}"
    for chair_i, recall, who in ((float("nan"), 0.0, "says nothing"), (1.0, 0.0, "names only what is not there")):
        found = float(f1(chair_i, recall))
        assert found == 0, f"a model that {who} has 0, not {found}"


_CURVE = ((0.8, 0.9), (0.6, 0.8), (0.4, 0.5), (0.1, 0.3))  # as the constant grows


def check_beyond(beyond: Function) -> None:
    """``beyond(curve, point)``: recall above that of the curve at the same CHAIR_s, on straight lines between its points."""
    for point, want in (((0.5, 0.85), 0.2), ((0.4, 0.45), -0.05), ((0.25, 0.4), 0.0)):
        found = float(beyond(_CURVE, point))
        for wrong, why in (
            (_unsorted(_CURVE, point), "np.interp wants its x in rising order, and CHAIR_s falls along the curve"),
            (_nearest(_CURVE, point), "this compares with the nearest point of the curve; go between its points"),
            (-want, "the sign is turned: above the curve is more than 0"),
            (point[1] - 0.9, "this compares with no constant at all; take the curve at the same CHAIR_s"),
            (_sideways(_CURVE, point), "this compares CHAIR_s at equal recall; recall at equal CHAIR_s is asked for"),
        ):
            assert abs(found - want) < 1e-9 or abs(found - wrong) > 1e-9, why
        assert abs(found - want) < 1e-9, f"at {point} it should be {want:+.3f}, not {found:+.3f}"
    for outside in (0.9, 0.05):
        found = float(beyond(_CURVE, (outside, 0.5)))
        assert math.isnan(found), f"at CHAIR_s {outside} the curve has no point; return nan, not {found:.3f}"


_FALSE, _MENTIONS = np.array([4, 0, 0, 3, 0, 1]), np.array([4, 3, 5, 3, 4, 6])


def check_spread(spread: Function) -> None:
    """``spread(false, mentions)``: the standard error of CHAIR_i with the picture as unit; both (pictures,)."""
    found, want = float(spread(_FALSE, _MENTIONS)), error_of(_FALSE, _MENTIONS)
    rate, n = _FALSE.sum() / _MENTIONS.sum(), len(_FALSE)
    for wrong, why in (
        (
            math.sqrt(rate * (1 - rate) / _MENTIONS.sum()),
            "this takes the mentions as independent; those of one picture are not",
        ),
        ((_FALSE / _MENTIONS).std(ddof=1) / math.sqrt(n), "this is for a mean of ratios; CHAIR_i is a ratio of sums"),
        ((_FALSE / _MENTIONS).std() / math.sqrt(n), "this is for a mean of ratios; CHAIR_i is a ratio of sums"),
        (want**2, "this is the variance; take its root"),
        (want * _MENTIONS.sum(), "divide by the sum of the mentions"),
    ):
        assert abs(found - wrong) > 1e-9, why
    # with n - 1 in place of n it is a little larger, and as good
    assert any(abs(found - want * k) < 1e-9 for k in (1, math.sqrt(n / (n - 1)))), (
        f"it should be {want:.4f} (or {want * math.sqrt(n / (n - 1)):.4f} with n - 1), not {found:.4f}"
    )


def f1(chair_i: float, recall: float) -> float:
    precision = 1 - chair_i
    return 2 * precision * recall / (precision + recall) if recall else 0.0


def beyond(curve: Sequence[Point], point: Point) -> float:
    rows = sorted(curve)
    chair, recall = zip(*rows, strict=True)
    if not chair[0] <= point[0] <= chair[-1]:
        return math.nan
    return point[1] - float(np.interp(point[0], chair, recall))


def error_of(false: np.ndarray, mentions: np.ndarray) -> float:
    off = false - false.sum() / mentions.sum() * mentions
    return math.sqrt(float((off**2).sum())) / float(mentions.sum())


def _unsorted(curve: Sequence[Point], point: Point) -> float:
    chair, recall = zip(*curve, strict=True)
    return point[1] - float(np.interp(point[0], chair, recall))


def _clamped(curve: Sequence[Point], point: Point) -> float:
    return _unsorted(sorted(curve), point)


def _nearest(curve: Sequence[Point], point: Point) -> float:
    return point[1] - min(curve, key=lambda at: abs(at[0] - point[0]))[1]


def _sideways(curve: Sequence[Point], point: Point) -> float:
    chair, recall = zip(*sorted(curve, key=lambda at: at[1]), strict=True)
    return float(np.interp(point[1], recall, chair)) - point[0]


RIGHT: dict[Check, Function] = {check_f1: f1, check_beyond: beyond, check_spread: error_of}
WRONG: dict[Check, Catalogue] = {
    check_f1: [
        ("leaves of one", lambda c, r: 2 * c * r / (c + r)),
        ("arithmetic mean", lambda c, r: (1 - c + r) / 2),
        ("this is the product", lambda c, r: (1 - c) * r),
        ("geometric mean", lambda c, r: math.sqrt((1 - c) * r)),
        ("says nothing", lambda c, r: 2 * (1 - c) * r / (1 - c + r)),
        ("raises ZeroDivisionError", lambda c, r: 0.0 if math.isnan(c) else 2 * (1 - c) * r / (1 - c + r)),
    ],
    check_beyond: [
        ("rising order", _unsorted),
        ("nearest point", _nearest),
        ("sign is turned", lambda curve, point: -beyond(curve, point)),
        ("no constant at all", lambda curve, point: point[1] - curve[0][1]),
        ("at equal recall", _sideways),
        ("return nan", _clamped),
    ],
    check_spread: [
        ("as independent", lambda f, m: math.sqrt(f.sum() / m.sum() * (1 - f.sum() / m.sum()) / m.sum())),
        ("a ratio of sums", lambda f, m: (f / m).std(ddof=1) / math.sqrt(len(f))),
        ("take its root", lambda f, m: error_of(f, m) ** 2),
        ("sum of the mentions", lambda f, m: error_of(f, m) * m.sum()),
        ("it should be", lambda f, m: f.std() / m.sum()),
    ],
}
