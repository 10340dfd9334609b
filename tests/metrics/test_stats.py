"""Intervals: right by hand on small cases, and right as often as they promise."""

import numpy as np
import pytest

from povid_lib.metrics.stats import (
    Estimate,
    compare,
    crossed_compare,
    crossed_ratio,
    estimate_of,
    grouped_ratio,
    mean,
    ratio,
    share,
)


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


def test_a_falling_function_exchanges_the_ends():
    estimate = Estimate(0.25, 0.125, 0.5, 9)
    assert estimate.through(lambda x: 1 - x) == Estimate(0.75, 0.5, 0.875, 9)
    assert estimate.through(lambda x: 100 * x) == Estimate(25, 12.5, 50, 9)


def test_a_record_becomes_the_estimate_that_it_was():
    assert estimate_of({"value": 0.5, "low": 0.25, "high": 1, "n": 9, "seeds": [0.5]}) == Estimate(0.5, 0.25, 1.0, 9)
    assert str(estimate_of({"value": None, "low": None, "high": None, "n": 9})) == "nan [nan, nan]"


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


def test_share_of_nothing_is_nan():
    assert np.isnan(share([0, 0], [0, 0]).value)
    assert share([0, 0], [0, 0]).n == 2
    assert share([1, 0], [2, 0]) == ratio([1, 0], [2, 0])
    assert share([1, 3], [2, 10]) == ratio([1, 3], [2, 10])
    with pytest.raises(ValueError, match="non-empty"):
        share([], [])


def test_comparison_is_second_less_first_of_the_ratios():
    got = compare(([1, 3], [2, 10]), ([2, 3], [4, 4]))
    assert got.difference.value == pytest.approx(5 / 8 - 4 / 12)
    assert got.difference.n == 2


def test_exact_p_value_by_hand():
    # one of 2**5 exchanges is as far out as the data, and one as far out the other way
    ones = [1] * 5
    assert compare(([0] * 5, ones), ([1] * 5, ones)).p_value == pytest.approx(2 / 32)
    assert compare(([1, 0], [1, 1]), ([0, 1], [1, 1])).p_value == 1


def test_numerators_are_exchanged_with_their_denominators():
    # the four exchanges, by hand: 1/2 - 0, 0 - 1/3, and both with the other sign; of denominators that stay, 1/2 comes up twice
    assert compare(([0, 0], [2, 1]), ([0, 1], [1, 1])).p_value == pytest.approx(2 / 4)
    assert compare(([1, 3], [1, 4]), ([2, 0], [2, 2])).p_value == 1


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    first, second, ones = hard, hard + 0.05 + 0.01 * rng.standard_normal(200), np.ones(200)
    got = compare((first, ones), (second, ones))
    assert got.difference.low > 0.04
    assert got.difference.high < 0.06
    assert got.p_value == pytest.approx(2 / 2001)  # the least that 2,000 draws can give, two-sided
    assert mean(first).high - mean(first).low > 0.05


def test_p_values_of_equal_models_are_uniform():
    rng, ones = np.random.default_rng(0), [1] * 40
    p = [compare((rng.random(40), ones), (rng.random(40), ones), resamples=99, seed=i).p_value for i in range(200)]
    assert 0.02 <= np.mean(np.array(p) <= 0.1) <= 0.18


def test_interval_of_the_difference_covers_the_truth():
    rng, hits, ones = np.random.default_rng(1), 0, [1] * 60
    for i in range(200):
        got = compare((rng.random(60), ones), (rng.random(60) + 0.2, ones), resamples=199, seed=i)
        hits += got.difference.low <= 0.2 <= got.difference.high
    assert 0.89 <= hits / 200 <= 0.99


def test_one_picture_has_a_difference_but_no_interval():
    got = compare(([0], [1]), ([1], [1]))
    assert (got.difference.value, got.p_value) == (1, 1)
    assert np.isnan(got.difference.low)


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        (([], []), ([], []), "non-empty"),
        (([1], [1]), ([1, 1], [1, 1]), "1 pictures against 2"),
        (([0], [0]), ([1], [1]), "sum to zero"),
    ],
)
def test_bad_comparison(first, second, complaint):
    with pytest.raises(ValueError, match=complaint):
        compare(first, second)


def test_rows_of_one_group_are_summed_before_anything_is_drawn():
    rows = [("b", 1, 2), ("a", 3, 4), ("b", 5, 6), ("c", 1, 1)]
    got = grouped_ratio(*zip(*rows, strict=True))
    assert got == ratio([6, 3, 1], [8, 4, 1])
    assert got.n == 3
    with pytest.raises(ValueError, match="2 groups for 3 rows; name the group of each"):
        grouped_ratio(["a", "b"], [1, 1, 1], [1, 1, 1])


def test_crossed_ratio_of_one_training_is_the_ratio():
    top, bottom = [1.0, 0, 2, 1, 0, 3], [2.0, 1, 2, 4, 1, 3]
    found, plain = crossed_ratio(np.array([top]), np.array([bottom])), ratio(top, bottom)
    assert found.value == pytest.approx(plain.value)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.05)


@pytest.mark.slow
def test_crossed_interval_holds_the_truth_where_seeds_differ_more_than_pictures():
    """Four trainings whose rates differ: the interval over pictures alone misses the mean of all trainings, this one does not."""
    rng, hits, misses = np.random.default_rng(0), 0, 0
    for trial in range(150):
        rates = rng.uniform(0.3, 0.7, 4)
        values = (rng.random((4, 200)) < rates[:, None]).astype(float)
        found = crossed_ratio(values, np.ones_like(values), 400, trial)
        alone = mean(values.mean(0).tolist(), 400, trial)
        hits += found.low <= 0.5 <= found.high
        misses += not alone.low <= 0.5 <= alone.high
    assert hits / 150 > 0.8  # four seeds are few: 95% would be too much to ask
    assert misses / 150 > 0.4


def test_crossed_compare():
    rng = np.random.default_rng(1)
    hard = rng.random(300)
    first = (hard[None] < 0.5).astype(float)
    second = np.stack([(hard + rng.normal(0, 0.05, 300) < 0.3).astype(float) for _ in range(5)])
    ones = np.ones
    found = crossed_compare((first, ones((1, 300))), (second, ones((5, 300))))
    assert found.difference.value == pytest.approx(second.mean() - first.mean())
    assert found.difference.low < found.difference.value < found.difference.high < 0
    assert found.p_value < 0.01
    unpaired = ratio(first[0].tolist(), [1.0] * 300)
    assert found.difference.high - found.difference.low < 1.5 * (unpaired.high - unpaired.low), "pictures are paired"
    same = crossed_compare((second, ones((5, 300))), (second, ones((5, 300))))
    assert same.difference.value == 0
    assert same.p_value == 1


@pytest.mark.parametrize(
    ("top", "bottom", "said"),
    [
        (np.ones(3), np.ones(3), r"\(trainings, pictures\)"),
        (np.ones((2, 3)), np.ones((3, 2)), "one shape"),
        (np.ones((0, 3)), np.ones((0, 3)), r"\(0, 3\)"),
        (np.ones((2, 3)), np.zeros((2, 3)), "sum to zero"),
    ],
)
def test_bad_crossed_arrays(top, bottom, said):
    with pytest.raises(ValueError, match=said):
        crossed_ratio(top, bottom)
    with pytest.raises(ValueError, match=said):
        crossed_compare((np.ones((1, 3)), np.ones((1, 3))), (top, bottom))


def test_crossed_compare_wants_the_same_pictures():
    with pytest.raises(ValueError, match="3 pictures against 4"):
        crossed_compare((np.ones((1, 3)), np.ones((1, 3))), (np.ones((1, 4)), np.ones((1, 4))))
