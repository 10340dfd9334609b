"""CHAIR by hand, its properties, and against the reference evaluator."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from povid_lib.metrics.chair import chair, compare_chair, score_caption, score_captions
from povid_lib.metrics.lemmas import as_written, by_pattern
from povid_lib.metrics.vocabulary import coco_vocabulary, read_vocabulary
from povid_lib.world.captions import mentioned
from tests.support.helpers import rows


def score(caption, *truth):
    return score_caption(caption, truth, mentioned)


def test_one_caption_by_hand():
    got = score("There is a fork. There are two knives and a fork on the left.", "fork", "cup")
    assert got.mentioned == ("fork", "knife", "fork")
    assert got.hallucinated == ("knife",)
    assert got.recalled == 1
    assert got.words == 14


def test_aggregates_by_hand():
    got = chair([score("A fork and a knife.", "fork", "cup"), score("A cow.", "cow"), score("Nothing here.", "pig")])
    assert got.chair_s.value == pytest.approx(1 / 3)  # one caption of three; the one without objects counts below
    assert got.chair_i.value == pytest.approx(1 / 3)  # one mention of three
    assert got.recall.value == pytest.approx(2 / 4)
    assert got.length.value == pytest.approx((5 + 2 + 2) / 3)


def test_repeated_false_mentions_count_each_time():
    assert chair([score("A knife, a knife and a fork.", "fork")]).chair_i.value == pytest.approx(2 / 3)


def test_true_captions_score_zero_and_a_false_object_never_helps():
    true, worse = score("A fork.", "fork"), score("A fork and a pig.", "fork")
    assert chair([true]).chair_s.value == 0
    assert chair([true, worse]).chair_s.value > chair([true, true]).chair_s.value
    assert chair([true, worse]).chair_i.value > chair([true, true]).chair_i.value


def test_no_captions_is_an_error():
    with pytest.raises(ValueError, match="non-empty"):
        chair([])


def test_a_model_that_names_nothing_has_a_chair_s_but_no_chair_i():
    got = chair([score("Nice.", "fork"), score("Quite.", "cup")])
    assert (got.chair_s.value, got.recall.value) == (0, 0)
    assert math.isnan(got.chair_i.value)
    assert got.chair_i.n == 2
    assert math.isnan(chair([score("A fork.")]).recall.value)


def test_captions_are_scored_against_their_own_images():
    got = score_captions({"2": "A fork.", "1": "A cup."}, {"3": ["cow"], "1": ["cup"], "2": ["pig"]}, mentioned)
    assert [s.hallucinated for s in got] == [("fork",), ()]
    with pytest.raises(ValueError, match="No truth for 1 of 2 captions; the first is image 9"):
        score_captions({"1": "A cup.", "9": "A cup."}, {"1": ["cup"]}, mentioned)


def test_comparison_by_hand():
    before = [score("A fork and a pig.", "fork", "cup"), score("A cow.", "cow"), score("A hat.", "pig")]
    after = [score("A fork.", "fork", "cup"), score("A cow.", "cow"), score("A pig or a hat.", "pig")]
    got = compare_chair(before, after)
    assert got.chair_s.difference.value == pytest.approx(1 / 3 - 2 / 3)
    assert got.chair_i.difference.value == pytest.approx(1 / 4 - 2 / 4)
    assert got.recall.difference.value == pytest.approx(3 / 4 - 2 / 4)
    assert got.length.difference.value == pytest.approx((2 + 2 + 5) / 3 - (5 + 2 + 2) / 3)
    same = compare_chair(before, before)
    assert (same.chair_i.difference.value, same.chair_i.p_value) == (0, 1)


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        ([score("A cow.", "cow")], [], "1 captions against 0"),
        ([score("A cow.", "cow")], [score("A cow.", "pig")], "caption 0 is of two images"),
    ],
)
def test_only_the_same_images_are_compared(first, second, complaint):
    with pytest.raises(ValueError, match=complaint):
        compare_chair(first, second)


OBJECTS = ("fork", "cup", "cow", "pig", "hat")
CAPTIONS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=4), st.sets(st.sampled_from(OBJECTS), min_size=1)
    ),
    min_size=1,
    max_size=8,
)


def score_all(captions):
    return [score(" ".join(f"There is a {name}." for name in names), *truth) for names, truth in captions]


def values(scores):
    got = chair(scores)  # values only
    return [got.chair_s.value, got.chair_i.value, got.recall.value, got.length.value]


@settings(max_examples=30, deadline=None)
@given(CAPTIONS, st.randoms(use_true_random=False))
def test_the_order_of_captions_does_not_matter(captions, random):
    shuffled = random.sample(captions, len(captions))
    assert values(score_all(captions)) == pytest.approx(values(score_all(shuffled)))


@settings(max_examples=30, deadline=None)
@given(CAPTIONS, st.data())
def test_one_more_false_object_never_lowers_chair(captions, data):
    before = score_all(captions)
    at = data.draw(st.integers(0, len(captions) - 1))
    names, truth = captions[at]
    worse = [*captions[:at], ([*names, "anchor"], truth), *captions[at + 1 :]]
    was, now = values(before), values(score_all(worse))
    assert now[0] >= was[0]
    assert now[1] > was[1] or was[1] == 1
    assert now[2] == was[2]


@settings(max_examples=30, deadline=None)
@given(CAPTIONS)
def test_measures_are_shares_and_truth_scores_zero(captions):
    assert all(0 <= value <= 1 for value in values(score_all(captions))[:3])
    assert values(score_all([(sorted(truth), truth) for _, truth in captions]))[:3] == [0, 0, 1]


# --- against the reference evaluator -----------------------------------------------------------------------------


def reference_scores(reference, model, **how):
    vocabulary = read_vocabulary(reference / "chair/synonyms.txt", **how)
    expected = rows(reference / f"expected/chair_{model}_greedy.jsonl.gz")
    captions = {str(row["image_id"]): row["caption"] for row in rows(reference / f"captions/{model}_greedy.jsonl")}
    truth = {str(row["image_id"]): row["gt"] for row in expected}
    return dict(zip(captions, score_captions(captions, truth, vocabulary.mentioned), strict=True)), expected


@pytest.mark.parametrize(("model", "chair_s", "chair_i"), [("llava15", 45.0, 12.8), ("instructblip", 57.2, 22.7)])
def test_totals_and_captions_of_the_reference(reference, model, chair_s, chair_i):
    scores, expected = reference_scores(reference, model)
    got = chair(list(scores.values()))
    assert round(100 * got.chair_s.value, 1) == chair_s
    assert round(100 * got.chair_i.value, 1) == chair_i
    for row in expected:
        s = scores[str(row["image_id"])]
        assert list(s.mentioned) == row["nodes"]
        assert list(s.hallucinated) == [node for _, node in row["hall"]]
        # a caption of its own has no CHAIR_i without a mention; the reference writes 0 there, and 1 as recall without truth
        assert (len(s.hallucinated) / len(s.mentioned) if s.mentioned else 0) == pytest.approx(row["chair_i"], abs=1e-6)
        assert (s.recalled / len(s.truth) if s.truth else row["recall"]) == pytest.approx(row["recall"], abs=1e-6)


@pytest.mark.parametrize("lemmatiser", ["pattern", "none", "pattern_bus_fixed"])
def test_totals_move_with_the_lemmatiser_as_in_the_reference(reference, lemmatiser):
    def fixed(words):
        return ["bus" if word == "bus" else lemma for word, lemma in zip(words, by_pattern(words), strict=True)]

    lemmatise = {"pattern": by_pattern, "none": as_written, "pattern_bus_fixed": fixed}[lemmatiser]
    scores, _ = reference_scores(reference, "llava15", lemmatise=lemmatise)
    got = chair(list(scores.values()))
    ablation = json.loads((reference / "expected/chair_lemmatiser_ablation.json").read_text(encoding="utf-8"))
    want = ablation["opera_llava-1.5_greedy"][lemmatiser]
    assert [got.chair_s.value, got.chair_i.value, got.recall.value] == pytest.approx(
        [want["CHAIRs"], want["CHAIRi"], want["Recall"]], abs=5e-6
    )


def test_our_own_table_is_near_the_authors(reference):
    """At most .3 points of CHAIR_s on average: two models' captions."""
    apart = []
    for model in ("llava15", "instructblip"):
        of_authors, expected = reference_scores(reference, model)
        captions = {str(row["image_id"]): row["caption"] for row in rows(reference / f"captions/{model}_greedy.jsonl")}
        truth = {str(row["image_id"]): row["gt"] for row in expected}
        own = score_captions(captions, truth, coco_vocabulary().mentioned)
        both = (chair(scores).chair_s.value for scores in (own, list(of_authors.values())))
        apart.append(abs(next(both) - next(both)))
    assert 100 * sum(apart) / 2 <= 0.3
