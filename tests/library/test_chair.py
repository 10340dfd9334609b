"""CHAIR by hand."""

import pytest

from povid_lib.metrics.chair import chair, score_caption
from povid_lib.texts import mentioned


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
