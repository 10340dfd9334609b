"""Formulas of the diagnosis, by hand; the regression against data whose coefficients are known."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from povid_lib.analysis.factors import (
    FACTORS,
    Mention,
    captions_naming,
    cooccurrence,
    cooccurrence_of,
    explain,
    hellinger,
    hit_rate_cooccurring,
    hit_rate_frequent,
    mean_factor,
    rate_by_decile,
    rate_by_quantile,
    top_k,
)

ROW = Mention("a", "knife", 3, 12, True, 0.4, math.log(0.25), 0.1)

# fork in three captions, knife in two, cup in one; fork and knife together twice
NAMING = captions_naming([{"fork", "knife"}, {"fork", "knife", "cup"}, {"fork"}, set()])


def test_factors_of_one_mention():
    assert ROW.uncertainty == pytest.approx(math.log(4))
    assert ROW.position == 0.25


def test_captions_naming_an_object():
    assert NAMING == {"fork": 0b111, "knife": 0b11, "cup": 0b10}


@pytest.mark.slow
def test_cooccurrence_of_many_captions_takes_no_minutes():
    """100,000 captions of all 40 objects, and 20,000 pairs."""
    names = [f"n{i}" for i in range(40)]
    start = time.perf_counter()
    naming = captions_naming([names] * 100_000)
    for _ in range(500):
        assert cooccurrence_of("n0", names, naming) == pytest.approx(39 / 2)
    assert time.perf_counter() - start < 30


def test_cooccurrence_by_hand():
    assert cooccurrence("fork", "knife", NAMING) == pytest.approx(2 / 5)
    assert cooccurrence("knife", "cup", NAMING) == pytest.approx(1 / 3)
    assert cooccurrence("fork", "cow", NAMING) == 0
    assert cooccurrence("a", "b", captions_naming([{"a", "b"}])) == 0.5  # always together
    assert cooccurrence_of("knife", ["fork", "knife", "cup", "fork"], NAMING) == pytest.approx(2 / 5 + 1 / 3)


def test_top_k_breaks_ties_by_name():
    assert top_k({"c": 1, "b": 2, "a": 1, "d": 5}, 3) == ("d", "b", "a")


def test_hit_rate_frequent_averages_over_images_with_hallucinations():
    frequency = {"person": 9, "chair": 7, "cow": 1}
    got = hit_rate_frequent([["chair"], ["chair", "cow"], [], ["cow", "cow", "person", "cow"]], frequency, 2)
    assert got.value == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)  # a mean of shares, not a share of all
    assert got.n == 3
    assert hit_rate_frequent([["chair"]], frequency, 1).value == 0


def test_hit_rate_cooccurring_looks_only_at_images_that_show_the_probe():
    present = [{"table", "cup"}, {"cow"}, {"table"}]
    false = [["chair"], ["chair"], ["pig", "chair"]]
    counts = {"table": 99, "chair": 10, "cup": 8, "pig": 1}  # the probe itself is not one of its own companions
    got = hit_rate_cooccurring("table", present, false, counts, 1)
    assert (got.value, got.n) == (0.75, 2)


def test_hellinger_by_hand():
    assert hellinger([1, 0], [1, 0]) == 0
    assert hellinger([1, 0], [0, 1]) == pytest.approx(1)
    assert hellinger([0.5, 0.5], [1, 0]) == pytest.approx(math.sqrt(1 - math.sqrt(0.5)))  # sqrt(1 - sum sqrt(pq))
    assert hellinger(np.full((2, 3, 4), 0.25), np.full((2, 3, 4), 0.25)).shape == (2, 3)


DISTRIBUTION = arrays(float, 5, elements=st.floats(0.01, 1)).map(lambda v: v / v.sum())


@pytest.mark.slow
@settings(deadline=None)  # a busy machine is no failure
@given(DISTRIBUTION, DISTRIBUTION, DISTRIBUTION)
def test_hellinger_is_a_distance(p, q, r):
    assert 0 <= hellinger(p, q) <= 1
    assert hellinger(p, q) == hellinger(q, p)
    assert hellinger(p, r) <= hellinger(p, q) + hellinger(q, r) + 1e-12


def test_rate_by_decile_by_hand():
    rows = [
        replace(ROW, index=1, length=10, hallucinated=False),  # 0.1: the first tenth
        replace(ROW, image="b", index=1, length=10),
        replace(ROW, image="b", index=1, length=10),
        replace(ROW, index=3, length=10, hallucinated=False),  # 0.3 exactly: the third, whatever 10 * 0.3 rounds to
        replace(ROW, index=31, length=100),
        replace(ROW, index=10, length=10),
    ]
    got = rate_by_decile(rows)
    assert [e and e.value for e in got] == [pytest.approx(2 / 3), None, 0, 1, None, None, None, None, None, 1]
    assert got[0].n == 2


def simulated(n, beta, seed=0):
    """Mentions whose log-odds are -1 plus beta times the standardised factors (uniform ones, so their spread is known)."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        z = rng.uniform(-math.sqrt(3), math.sqrt(3), 4)  # mean 0, standard deviation 1
        false = rng.random() < 1 / (1 + math.exp(1 - z @ beta))
        index = int(np.clip(round(500 + 250 * z[2]), 1, 1000))
        rows.append(Mention(str(i // 4), "x", index, 1000, false, 2 + 0.1 * z[0], -(5 + z[1]), 0.5 + 0.2 * z[3]))
    return rows


def test_rate_by_quantile_by_hand():
    made = [replace(ROW, image=str(i // 2), cooccurrence=float(i), hallucinated=i in (6, 7, 9)) for i in range(10)]
    (low, first), (high, second) = rate_by_quantile(made[::-1], "cooccurrence", 2)
    assert (low, high) == (2, 7)
    assert (first.value, second.value) == (0, 3 / 5)
    assert second.n == 3  # pictures: 2 (one of its two words), 3, 4
    tied = [replace(row, cooccurrence=1.0) for row in made]
    assert [e.value for _, e in rate_by_quantile(tied, "cooccurrence", 4)] == [0.3]
    with pytest.raises(ValueError, match="cannot fill 4 groups"):
        rate_by_quantile(made[:3], "cooccurrence", 4)


def test_mean_factor_is_a_mean_over_mentions_with_pictures_as_units():
    rows = [
        replace(ROW, image="a", distance=0.2),
        replace(ROW, image="a", distance=0.4),
        replace(ROW, image="b", distance=0.9),
    ]
    got = mean_factor(rows, "distance")
    assert got.value == pytest.approx(0.5)
    assert got.n == 2


@pytest.mark.slow
def test_explain_finds_the_coefficients_that_made_the_data():
    beta = np.array([0.8, 0.0, -0.5, 1.2])
    got = explain(simulated(8000, beta))
    assert list(got.effects) == list(FACTORS)
    for (factor, effect), b in zip(got.effects.items(), beta, strict=True):
        assert effect.odds_ratio == pytest.approx(math.exp(b), rel=0.1), factor
        four_errors = math.log(effect.high / effect.low)  # the interval is 3.92 standard errors wide
        assert abs(math.log(effect.odds_ratio) - b) < four_errors, factor
    assert got.effects["uncertainty"].deviance < 10
    assert (
        got.effects["distance"].deviance > got.effects["cooccurrence"].deviance > got.effects["position"].deviance > 50
    )
    assert (got.mentions, got.images) == (8000, 2000)


def test_one_binary_factor_by_hand():
    """3 of 4 distant and 1 of 4 near mentions are false: the odds differ by a factor 9, between values that are 2 SD apart."""
    table = [(1, True)] * 3 + [(1, False)] + [(0, True)] + [(0, False)] * 3
    rows = [replace(ROW, image=str(i), distance=d, hallucinated=h) for i, (d, h) in enumerate(table)]
    got = explain(rows, ["distance"])
    effect = got.effects["distance"]
    assert effect.odds_ratio == pytest.approx(3)
    assert 0 < effect.low < 3 < effect.high
    assert effect.low * effect.high == pytest.approx(3**2)  # symmetric on the scale of log-odds
    fitted, constant = 6 * math.log(3 / 4) + 2 * math.log(1 / 4), 8 * math.log(1 / 2)
    assert got.effects["distance"].deviance == pytest.approx(2 * (fitted - constant))
    assert got.mcfadden == pytest.approx(1 - fitted / constant)


def test_copies_of_a_mention_within_its_image_do_not_narrow_the_interval():
    rows = simulated(400, np.array([0.5, 0.0, 0.0, 0.0]))
    rows = [replace(row, image=str(i)) for i, row in enumerate(rows)]
    once, thrice = explain(rows).effects["cooccurrence"], explain(rows * 3).effects["cooccurrence"]
    assert thrice.odds_ratio == pytest.approx(once.odds_ratio)
    assert thrice.high / thrice.low == pytest.approx(once.high / once.low, rel=0.02)
    plain = sm.Logit([r.hallucinated for r in rows * 3], sm.add_constant([r.cooccurrence for r in rows * 3])).fit(
        disp=0
    )
    spread = np.exp(np.diff(plain.conf_int()[1]) * np.std([r.cooccurrence for r in rows])).item()
    assert spread < (once.high / once.low) ** 0.7  # without clusters it would be narrower by about sqrt(3)


SOME = simulated(60, np.zeros(4), seed=1)
TEXT_ONLY = [replace(r, logp=None, distance=None) for r in SOME]


def test_rows_without_a_model_have_the_factors_of_the_text():
    assert explain(TEXT_ONLY, ["cooccurrence", "position"]) == explain(SOME, ["cooccurrence", "position"])
    assert rate_by_decile(TEXT_ONLY) == rate_by_decile(SOME)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: replace(ROW, index=0), "'knife' in 'a': index 0"),
        (lambda: replace(ROW, index=13), "index 13 is not one of the caption's 12 words"),
        (lambda: replace(ROW, logp=0.1), "at most 0"),
        (lambda: replace(ROW, logp=-math.inf), "logp is -inf"),
        (lambda: replace(ROW, distance=math.nan), "distance is nan"),
        (lambda: cooccurrence("cow", "pig", NAMING), "No caption names 'cow' or 'pig'"),
        (lambda: top_k({"a": 1}, 2), "k is 2, but 1 objects"),
        (lambda: top_k({"a": 1}, 0), "k is 0"),
        (lambda: hit_rate_frequent([[], []], {"a": 1}, 1), "no image has a hallucinated object"),
        (lambda: hellinger([1, 0], [1, 0, 0]), "one shape"),
        (lambda: hellinger([1, 0], [2, 1]), "q does not hold probabilities"),
        (lambda: hellinger([1.5, -0.5], [1, 0]), "p does not hold probabilities"),
        (lambda: rate_by_decile([]), "no mentions"),
        (lambda: explain([]), "one class"),
        (lambda: explain([ROW, ROW]), "one class"),
        (lambda: explain(SOME, ["luck"]), "luck"),
        (lambda: explain(SOME, []), "none"),
        (lambda: explain(TEXT_ONLY), "has no uncertainty: no model has read its caption"),
        (lambda: rate_by_quantile(TEXT_ONLY, "distance", 2), "Mention of 'x' in '0' has no distance"),
        (lambda: mean_factor(TEXT_ONLY, "distance"), "has no distance"),
        (lambda: explain([replace(r, image="a") for r in SOME]), "at least two"),
        (lambda: explain([replace(r, distance=0.5) for r in SOME]), "distance is the same in all mentions"),
        (lambda: explain([replace(r, distance=r.uncertainty / 9) for r in SOME]), "linear combination"),
        (lambda: explain([replace(r, hallucinated=r.logp < -5) for r in SOME]), "without error"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
