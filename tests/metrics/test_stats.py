"""Intervals: right by hand on small cases, and right as often as they promise."""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import skew
from scipy.stats import t as student

from povid_lib.metrics import stats
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
    for _ in range(300):
        sample = rng.random(80) < 0.3
        estimate = mean(sample)
        hits += estimate.low <= 0.3 <= estimate.high
    assert 0.90 <= hits / 300 <= 0.98


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0, 0.1796), (20, 0.8204, 1)])
def test_all_of_one_kind_still_has_a_width(hits, low, high):
    """Wilson's interval with Student's 2.093 at 19 degrees: 2.093^2 / (20 + 2.093^2) = .1796."""
    estimate = mean([1.0] * hits + [0.0] * (20 - hits))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((hits / 20, low, high), abs=1e-4)


def test_wilson_by_hand():
    """5 of 50: p = .1, t = 2.0096; worth p(1-p) / (p(1-p) / 49) = 49 answers."""
    estimate = mean([1.0] * 5 + [0.0] * 45)
    t, n, p = 2.00958, 49, 0.1
    half = t / (1 + t * t / n) * (p * (1 - p) / n + t * t / (4 * n * n)) ** 0.5
    centre = (p + t * t / (2 * n)) / (1 + t * t / n)
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half), abs=1e-5)


def test_what_is_no_share_has_students_interval():
    """1, 2, 3: mean 2, standard error sqrt(1/3), 4.3027 at two degrees."""
    estimate = mean([1.0, 2.0, 3.0])
    assert (estimate.low, estimate.high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)


def test_answers_about_one_picture_are_not_independent():
    once, often = mean([1.0, 0.0] * 25), ratio([4.0, 0.0] * 25, [4.0, 4.0] * 25)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("odd", [10**400, 1j, "1", None, [1], b"1"])
def test_what_is_no_number_is_refused(odd):
    for values in ([odd, 1], [1, odd]):
        for call in (
            lambda v: ratio(v, [1, 1]),
            lambda v: ratio([1, 1], v),
            lambda v: grouped_ratio(["a", "b"], v, [1, 1]),
            lambda v: compare(([1, 0], [1, 1]), (v, [1, 1])),
            lambda v: crossed_ratio([v], [[1, 1]]),
            lambda v: crossed_compare(([v], [[1, 1]]), ([[1, 0]], [[1, 1]])),
        ):
            with pytest.raises(
                ValueError, match=r"\w+: .*(is no number|no number, or none that a float holds|makes no array)"
            ):
                call(values)
    assert mean([True, np.float32(0.5), np.int64(1)]).value == pytest.approx(2.5 / 3)


def test_a_small_p_value_is_not_held_up():
    rng = np.random.default_rng(0)
    first, second = rng.random(400), rng.random(400) + 2
    assert compare((first, [1] * 400), (second, [1] * 400)).p_value < 1e-30


def test_one_picture_of_two_hundred_that_differs_says_nothing():
    zeros, ones = np.zeros((3, 200)), np.ones((3, 200))
    one = zeros.copy()
    one[0, 7] = 1
    assert compare((zeros[0], ones[0]), (one[0], ones[0])).p_value == 1
    assert crossed_compare((zeros, ones), (one, ones)).p_value > 0.3


def test_an_exchange_that_is_equal_but_for_rounding_counts():
    """.1 + .2 is not .3 in floating point; each of the four exchanges of two pictures is as far out as the other by pairs."""
    assert compare(([0.1, 0.2], [1, 1]), ([0.2, 0.1], [1, 1])).p_value == 1


def test_equal_shares_still_have_a_width():
    """Of two pictures with 1 of 2 each: four answers, half of them; t = 12.706 at one degree."""
    estimate = ratio([1, 1], [2, 2])
    half = 12.7062 / (1 + 12.7062**2 / 4) * (0.25 / 4 + 12.7062**2 / 64) ** 0.5
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert mean([0.5] * 9).low < 0.3  # no counts: a picture is worth one answer


def test_few_pictures_are_never_surer_than_as_many_independent_answers():
    alike = ratio([2, 3, 2, 3], [5, 5, 5, 5])
    t, p, n = 3.18245, 0.5, 20
    half = t / (1 + t * t / n) * (p * (1 - p) / n + t * t / (4 * n * n)) ** 0.5
    assert (alike.low, alike.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)


def test_the_same_difference_everywhere_has_the_p_value_of_a_sign_test():
    zeros, ones = np.zeros((3, 30)), np.ones((3, 30))
    assert crossed_compare((zeros, ones), (ones, ones)).p_value == pytest.approx(2.0**-29)
    assert compare((zeros[0], ones[0]), (ones[0], ones[0])).p_value == pytest.approx(2.0**-29)


def test_where_the_nominal_coverage_is_not_reached_it_is_said():
    with pytest.warns(UserWarning, match=r"interval of 50 pictures covers less; it takes some \d+"):
        mean([1.0] * 47 + [5.0, 9.0, 30.0])
    with pytest.warns(UserWarning, match="4 pictures of one and the same value"):
        mean([3.0] * 4)
    tops = (np.random.default_rng(1).random((2, 40)) < 0.5).astype(float)
    with pytest.warns(UserWarning, match="2 trainings tell little"):
        crossed_ratio(tops, np.ones_like(tops))
    with pytest.warns(UserWarning, match="2 trainings tell little"):
        crossed_compare((tops, np.ones_like(tops)), (tops, np.ones_like(tops)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean(np.random.default_rng(0).normal(5, 1, 50).tolist())
        mean([1.0, 0.0, 0.0, 0.0])
        crossed_ratio(np.vstack([tops, tops[:1]]), np.ones((3, 40)))


def test_how_many_pictures_a_skew_takes():
    """In proportion to the square of the skewness, which does not depend on the unit."""
    values = [0.0] * 18 + [6.0, 9.0]
    needed = math.ceil(stats._OF_SKEW * skew(values) ** 2)
    assert needed > 20
    for unit in (1.0, 10.0, -3.0):
        with pytest.warns(UserWarning, match=f"of 20 pictures covers less; it takes some {needed}\\."):
            mean([unit * value for value in values])


def test_one_picture_has_a_value_but_no_interval():
    estimate = mean([0.25])
    assert estimate.value == 0.25
    assert np.isnan(estimate.low)


@pytest.mark.parametrize(
    ("top", "bottom", "complaint"),
    [
        ([], [], "non-empty"),
        ([1], [1, 2], "one length"),
        ([0, 0], [0, 0], "sum to zero"),
        ([float("nan"), 1], [1, 1], "nan or infinity"),
        ([1, 1], [3, -1], "negative"),
    ],
)
def test_bad_input(top, bottom, complaint):
    with pytest.raises(ValueError, match=complaint):
        ratio(top, bottom)


def test_share_of_nothing_is_nan():
    nothing = share([0, 0], [0, 0])
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
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
    assert got.p_value < 1e-50
    assert mean(first).high - mean(first).low > 0.05


def test_p_values_of_equal_models_are_uniform():
    rng, ones = np.random.default_rng(0), [1] * 40
    p = [compare((rng.random(40), ones), (rng.random(40), ones)).p_value for _ in range(200)]
    assert 0.02 <= np.mean(np.array(p) <= 0.1) <= 0.18


def test_interval_of_the_difference_covers_the_truth():
    rng, hits, ones = np.random.default_rng(1), 0, [1] * 60
    for _ in range(200):
        got = compare((rng.random(60), ones), (rng.random(60) + 0.2, ones))
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


def test_crossed_interval_holds_the_truth_where_seeds_differ_more_than_pictures():
    """Four trainings whose rates differ: the interval over pictures alone misses the mean of all trainings, this one does not."""
    rng, hits, misses = np.random.default_rng(0), 0, 0
    for _ in range(150):
        rates = rng.uniform(0.3, 0.7, 4)
        values = (rng.random((4, 200)) < rates[:, None]).astype(float)
        found = crossed_ratio(values, np.ones_like(values))
        alone = mean(values.mean(0).tolist())
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


def by_hand(values):
    """Variances of the mean over all cells, by training, by picture and by what is left, with sums as in a book."""
    trainings, pictures = values.shape
    whole = sum(map(sum, values.tolist())) / values.size
    rows = [sum(row) / pictures for row in values.tolist()]
    columns = [sum(row[k] for row in values.tolist()) / trainings for k in range(pictures)]
    rest = sum((values[i, k] - rows[i] - columns[k] + whole) ** 2 for i in range(trainings) for k in range(pictures))
    return (
        sum((row - whole) ** 2 for row in rows) / (trainings - 1) / trainings,
        sum((column - whole) ** 2 for column in columns) / (pictures - 1) / pictures,
        rest / ((trainings - 1) * (pictures - 1)) / values.size,
    )


def noisy(seed, trainings, pictures=40):
    """Values with an effect of the training, one of the picture (the same for every ``seed``), and noise."""
    rng, of_picture = np.random.default_rng(seed), np.random.default_rng(0).normal(0, 1, pictures)
    return rng.normal(0, 0.5, (trainings, 1)) + of_picture + rng.normal(0, 0.4, (trainings, pictures))


def counts(seed, trainings, pictures=40):
    """How many things a picture is asked about: other denominators than one."""
    return np.random.default_rng(seed).integers(1, 5, (trainings, pictures)).astype(float)


def influence(top, bottom):
    ratio_of_sums = sum(map(sum, top.tolist())) / sum(map(sum, bottom.tolist()))
    of_mean = sum(map(sum, bottom.tolist())) / bottom.size
    return np.array(
        [
            [(t - ratio_of_sums * b) / of_mean for t, b in zip(*row, strict=True)]
            for row in zip(top, bottom, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("seed", "trainings", "alike", "largest"),
    [(5, 4, False, "sum"), (39, 2, False, "pictures"), (21, 3, False, "pictures"), (6, 2, True, "seeds")],
)
def test_crossed_interval_by_hand(seed, trainings, alike, largest):
    """``alike``: no picture is harder than another."""
    of, common = counts(seed, trainings), np.random.default_rng(0).normal(0, 1, 40)
    values = (noisy(seed + 1, trainings) - alike * common) * of
    seeds, pictures, rest = by_hand(influence(values, of))
    three = {"sum": seeds + pictures - rest, "seeds": seeds, "pictures": pictures}
    assert max(three, key=three.get) == largest
    variance, more = three[largest], trainings - 1
    freedom = variance**2 / (seeds**2 / more + pictures**2 / 39 + rest**2 / (more * 39))
    value, half = values.sum() / of.sum(), student.ppf(0.975, max(freedom, more)) * math.sqrt(variance)
    found = crossed_ratio(values, of)
    assert (found.low, found.high) == pytest.approx((value - half, value + half), abs=1e-12)
    assert found.n == 40


@pytest.mark.parametrize(
    ("seed", "other", "trainings", "largest"),
    [(10, 15, (3, 5), "sum"), (4, 9, (2, 2), "sum"), (22, 27, (2, 2), "pictures"), (0, 5, (2, 3), "seeds")],
)
def test_crossed_difference_by_hand(seed, other, trainings, largest):
    of_a, of_b = counts(seed, trainings[0]), counts(other, trainings[1])
    a, b = noisy(seed, trainings[0]) * of_a, (noisy(other, trainings[1]) + 0.3) * of_b
    u, v = influence(a, of_a), influence(b, of_b)
    pictures = float((v.mean(0) - u.mean(0)).var(ddof=1)) / 40
    (seeds_a, _, rest_a), (seeds_b, _, rest_b) = by_hand(u), by_hand(v)
    three = {"sum": pictures + seeds_a + seeds_b - rest_a - rest_b, "pictures": pictures, "seeds": seeds_a + seeds_b}
    assert max(three, key=three.get) == largest
    variance, (more_a, more_b) = three[largest], (n - 1 for n in trainings)
    spread = pictures**2 / 39 + seeds_a**2 / more_a + rest_a**2 / (more_a * 39)
    spread += seeds_b**2 / more_b + rest_b**2 / (more_b * 39)
    freedom = variance**2 / spread
    assert freedom >= min(more_a, more_b)
    value, half = b.sum() / of_b.sum() - a.sum() / of_a.sum(), student.ppf(0.975, freedom) * math.sqrt(variance)
    found = crossed_compare((a, of_a), (b, of_b))
    assert (found.difference.low, found.difference.high) == pytest.approx((value - half, value + half), abs=1e-12)
    assert found.difference.n == 40
    assert found.p_value == pytest.approx(2 * student.sf(abs(value) / math.sqrt(variance), freedom), abs=1e-12)


def test_the_difference_of_two_shares_on_few_pictures_by_hand():
    """Newcombe's interval (1998, Statistics in Medicine 17) from the two shares' own, with the pictures' correlation."""
    first, second = [1.0] * 9 + [0.0] * 5, [1.0] * 3 + [0.0] * 10 + [1.0]
    p, q = share(first, [1.0] * 14), share(second, [1.0] * 14)
    x, y = np.array(first) - p.value, np.array(second) - q.value
    correlation = (x * y).mean() / math.sqrt((x * x).mean() * (y * y).mean())

    def joined(a, b):
        return math.sqrt(a * a + b * b - 2 * correlation * a * b)

    found = compare((first, [1.0] * 14), (second, [1.0] * 14)).difference
    low = q.value - p.value - joined(q.value - q.low, p.high - p.value)
    high = q.value - p.value + joined(q.high - q.value, p.value - p.low)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_with_one_training_each_it_is_the_plain_comparison():
    a, b, of = noisy(4, 1), noisy(5, 1), np.arange(1.0, 41.0)[None]
    assert crossed_compare((a, of), (b, of + 1)) == compare((a[0], of[0]), (b[0], of[0] + 1))


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


def test_a_falling_function_exchanges_the_ends():
    share_kept = Estimate(0.25, 0.125, 0.5, 8)
    assert share_kept.through(lambda x: 1 - x) == Estimate(0.75, 0.5, 0.875, 8)
    assert share_kept.through(lambda x: 100 * x) == Estimate(25.0, 12.5, 50.0, 8)


def test_an_estimate_as_a_file_holds_it():
    record = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 8, "seeds": [0.25]}
    assert estimate_of(record) == Estimate(0.25, 0.125, 0.5, 8)
    empty = estimate_of(record | {"low": None})
    assert np.isnan(empty.low)
    assert (empty.value, empty.high) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (ratio, ([1], [])),
        (grouped_ratio, ([1], [], [])),
        (compare, (([1], []), ([1], [1]))),
        (compare, (([1], [1]), ([1], []))),
        (crossed_ratio, (np.ones((1, 2)), np.ones((1, 3)))),
        (crossed_compare, ((np.ones((1, 2)), np.ones((1, 3))), (np.ones((1, 2)), np.ones((1, 2))))),
        (crossed_compare, ((np.ones((1, 2)), np.ones((1, 2))), (np.ones((1, 2)), np.ones((1, 3))))),
    ],
)
def test_who_refuses_says_its_name(function, arguments):
    with pytest.raises(ValueError, match=f"^{function.__name__}: "):
        function(*arguments)


def test_a_picture_without_a_denominator_is_worth_no_answer():
    found = ratio([0, 0, 0, 0], [1, 1, 0, 0])
    out = student.ppf(0.975, 3)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(out**2 / (2 + out**2))  # Wilson's for none of two answers


def test_sixteen_pictures_are_exchanged_in_every_way_and_seventeen_are_not():
    def p_value(differing):
        return compare(([0] * 20, [1] * 20), ([1] * differing + [0] * (20 - differing), [1] * 20)).p_value

    assert p_value(16) == 2.0**-15  # all exchanged, or none
    assert p_value(17) != 2.0**-16


def test_one_picture_has_a_difference_without_an_interval():
    found = compare(([1], [2]), ([0], [2])).difference
    assert (found.value, found.n) == (-0.5, 1)
    assert np.isnan([found.low, found.high]).all()
