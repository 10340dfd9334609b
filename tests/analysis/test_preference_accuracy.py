"""A model as reader of pairs: its log-odds by hand, and what it can and cannot recognise by construction."""

import pytest
import torch

from povid_lib import models
from povid_lib.analysis.preference_accuracy import log_odds, reader_accuracy
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.images import scene as scene_of
from povid_lib.data.pairs import Pair

ROWS = list(pairs(24, Offline("random", relations=0, attributes=0, reasoning=0)))
SCENES = [scene_of(row.image) for row in ROWS]


@torch.inference_mode()
def logp(vlm, image, row, answer):
    """Token by token, from the distribution after each beginning of the answer."""
    text = models.chat(vlm, row.prompt)
    ids = vlm.processor.tokenizer.encode(f" {answer}", add_special_tokens=False)
    batch = models.encode(vlm, [image], [f"{text} {answer}"])
    logps = vlm.model(**batch).logits[0].log_softmax(-1)
    assert batch["input_ids"][0, -len(ids) :].tolist() == ids
    return sum(float(logps[at - len(ids) - 1, i]) for at, i in enumerate(ids))


@pytest.mark.slow
def test_log_odds_by_hand_whatever_the_picture(vlm):
    for images in ([s.image() for s in SCENES[:3]], [s.blank() for s in SCENES[:3]]):
        for row, image, got in zip(ROWS, images, log_odds(vlm, ROWS[:3], images), strict=False):
            assert got == pytest.approx(
                logp(vlm, image, row, row.chosen) - logp(vlm, image, row, row.rejected), abs=1e-3
            )


@pytest.mark.slow
def test_the_picture_decides_and_a_pair_turned_round_has_the_opposite_odds(vlm):
    images = [s.image() for s in SCENES]
    odds = log_odds(vlm, ROWS, images)
    assert reader_accuracy(ROWS, odds).value > 0.9
    turned = [Pair(r.id, r.image, r.prompt, r.rejected, r.chosen) for r in ROWS]
    assert log_odds(vlm, turned, images) == pytest.approx([-value for value in odds], abs=1e-3)
    assert reader_accuracy(ROWS, log_odds(vlm, ROWS, [s.blank() for s in SCENES])).value < 0.95


def test_nothing_shown_is_not_blank_paper(vlm):
    assert log_odds(vlm, ROWS[:2], None) != pytest.approx(log_odds(vlm, ROWS[:2], [s.blank() for s in SCENES[:2]]))


def test_accuracy_by_hand_with_intervals_over_pictures():
    rows = [Pair(str(i), f"{i // 2}.jpg", "?", "a", "b") for i in range(6)]
    got = reader_accuracy(rows, [1.0, -1.0, 0.0, 2.0, 0.1, 3.0])
    assert got.value == pytest.approx((1 + 0 + 0.5 + 1 + 1 + 1) / 6)
    assert got.n == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda vlm: log_odds(vlm, ROWS[:2], [SCENES[0].image()]), "1 pictures for 2 pairs; give one for each"),
        (lambda vlm: reader_accuracy([], []), "0 log-odds for 0 pairs; give one each, one at least"),
        (lambda vlm: reader_accuracy(ROWS[:2], [1.0]), "1 log-odds for 2 pairs"),
    ],
)
def test_refusals(vlm, call, message):
    with pytest.raises(ValueError, match=message):
        call(vlm)
