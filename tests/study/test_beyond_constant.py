"""A method against the end-token curve: by hand, on the curve itself, and its interval by resampling."""

import numpy as np
import pytest

from povid_lib.study.beyond_constant import Point, beyond

N = 400


def point(chair, recall, trainings=1, seed=0):
    """Pictures of which each has three objects."""
    rng = np.random.default_rng([seed, round(100 * chair), round(100 * recall)])
    ones = np.ones((trainings, N))
    return Point(
        ((rng.random((trainings, N)) < chair).astype(float), ones),
        (rng.binomial(3, recall, size=(trainings, N)).astype(float), 3 * ones),
    )


CURVE = [point(0.1, 0.5), point(0.3, 0.7), point(0.6, 0.9)]


def value(sums):
    return sums[0].sum() / sums[1].sum()


def exact(chair, recall):
    """A single picture's worth of exact numbers, for arithmetic by hand."""
    return Point((np.full((1, 2), chair), np.ones((1, 2))), (np.full((1, 2), recall), np.ones((1, 2))))


@pytest.mark.filterwarnings("ignore:2 pictures of one and the same value")
def test_between_two_points_the_curve_is_straight():
    curve = [exact(0.6, 0.9), exact(0.2, 0.5)]
    found = beyond(exact(0.3, 0.75), curve)
    assert found.curve == pytest.approx(0.6)
    assert found.margin.value == pytest.approx(0.15)


@pytest.mark.filterwarnings("ignore:400 pictures of one and the same value")
def test_a_point_of_the_curve_is_not_beyond_it():
    found = beyond(CURVE[1], CURVE)
    assert found.margin.value == pytest.approx(0, abs=1e-12)
    assert found.margin.high - found.margin.low < 1e-9


def test_outside_the_curve_nothing_is_compared():
    assert beyond(point(0.02, 0.9), CURVE) is None
    assert beyond(point(0.95, 0.9), CURVE) is None


@pytest.mark.slow
def test_the_interval_is_what_resampling_gives():
    method = point(0.2, 0.8, seed=4)
    found = beyond(method, CURVE)
    rng, margins = np.random.default_rng(0), []

    def drawn(p, of):
        return Point(*(tuple(a[:, of] for a in sums) for sums in (p.chair_s, p.recall)))

    for _ in range(2000):
        of = rng.integers(N, size=N)
        again = beyond(drawn(method, of), [drawn(p, of) for p in CURVE])
        margins.append(again.margin.value)
    assert found.margin.high - found.margin.value == pytest.approx(1.96 * np.std(margins), rel=0.06)


def test_trainings_that_differ_widen_it():
    one = point(0.2, 0.8, trainings=5, seed=4)
    rng = np.random.default_rng(1)
    recall = np.stack([rng.binomial(3, p, size=N) for p in (0.6, 0.7, 0.8, 0.9, 1.0)]).astype(float)
    other = Point(one.chair_s, (recall, one.recall[1]))
    narrow, wide = (beyond(p, CURVE).margin for p in (one, other))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (CURVE[:1], "1 points make no curve"),
        ([CURVE[0], point(0.6, 0.9, trainings=2)], "one model's"),
        ([CURVE[0], exact(0.6, 0.9)], "same pictures"),
    ],
)
def test_bad_curves_are_named(curve, said):
    with pytest.raises(ValueError, match=said):
        beyond(point(0.2, 0.8), curve)
