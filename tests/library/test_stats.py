"""Intervals: right by hand on small cases, and right as often as they promise."""

import numpy as np
import pytest

from povid_lib.metrics.stats import mean, ratio


def test_ratio_is_of_sums_not_of_ratios():
    estimate = ratio([1, 3], [2, 10])
    assert estimate.value == pytest.approx(4 / 12)
    assert estimate.n == 2
    assert estimate.low <= estimate.value <= estimate.high


def test_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(300):
        sample = rng.random(80) < 0.3
        estimate = mean(sample, resamples=400, seed=i)
        hits += estimate.low <= 0.3 <= estimate.high
    assert 0.90 <= hits / 300 <= 0.98


def test_interval_of_a_constant_has_no_width():
    estimate = mean([1.0] * 20)
    assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)


def test_one_picture_has_a_value_but_no_interval():
    estimate = mean([0.25])
    assert estimate.value == 0.25
    assert np.isnan(estimate.low)


def test_same_seed_same_interval():
    values = np.random.default_rng(1).random(50)
    assert mean(values) == mean(values)


@pytest.mark.parametrize(
    ("top", "bottom", "complaint"),
    [([], [], "non-empty"), ([1], [1, 2], "one length"), ([0, 0], [0, 0], "sum to zero")],
)
def test_bad_input(top, bottom, complaint):
    with pytest.raises(ValueError, match=complaint):
        ratio(top, bottom)
