"""What the script of chapter 10 asks of every model: true and false words in one place, fair controls, and its verdicts."""

import re

import numpy as np
import pytest
import torch

from experiments import ch10_attention as tool
from povid_lib.evaluation.held_out import held_out
from povid_lib.metrics.stats import Estimate
from povid_lib.world.captions import mentioned
from povid_lib.world.objects import KINDS

BATCH = tool.asked(held_out("typical", 60))


def test_captions_are_true_and_the_word_is_the_objects():
    for a in BATCH:
        assert mentioned(a.caption) == [item.name for item in a.scene.salient]
        assert mentioned(a.word) == [a.name]
        assert list(a.words) == [w for w in re.findall(r"[a-z]+", a.caption) if mentioned(w)]


def test_a_false_word_is_a_missing_partner_of_an_earlier_object_and_nothing_else_differs():
    false = [a for a in BATCH if a.false is not None]
    assert len(false) > 15
    for a in false:
        (kind,) = mentioned(a.false)
        assert kind not in a.scene.names
        order = [item.name for item in a.scene.salient]
        assert KINDS[kind].partner in order[: order.index(a.name)]
        assert a.untrue == re.sub(rf"\b{a.word}\b", a.false, a.caption, count=1)
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]", a.untrue)


def test_other_patches_are_as_many_none_of_them_the_objects_and_empty_first():
    for a in BATCH:
        assert not (a.other & a.own).any()
        empty = ~torch.stack([tool.own_patches(a.scene, name) for name in a.scene.names]).any(0)
        if int(empty.sum()) >= int(a.own.sum()):
            assert int(a.other.sum()) == int(a.own.sum())
            assert not (a.other & ~empty).any()


def test_numbers_of_maps_by_hand():
    a = BATCH[0]
    own = a.own.flatten().numpy()
    maps = np.stack([own * 2.0 + 1.0])
    n = own.sum()
    assert tool.on_object(maps, BATCH) == pytest.approx(3 * n / (3 * n + 36 - n))
    assert tool.points_at(maps, BATCH) == [1]
    assert tool.points_at(-maps, BATCH) == [0]
    lost = tool.losses(np.array([[-1.0, -5.0, -1.5, -9.0]]))
    assert {k: float(x[0]) for k, x in lost.items()} == {
        "clear": -1,
        "own": 4,
        "other": 0.5,
        "all": 8,
        "own - other": 3.5,
    }


def test_verdicts_go_by_the_interval():
    for low, high, said in ((0.1, 0.3, "confirmed"), (-0.3, -0.1, "reversed"), (-0.1, 0.1, "not confirmed")):
        assert tool.verdict(Estimate((low + high) / 2, low, high, 9)) == said


def test_a_blank_mind_keeps_the_eyes_and_the_words(vlm):
    blank = dict(tool.blank_mind(vlm).model.named_parameters())
    for name, parameter in vlm.model.named_parameters():
        redrawn = ".language_model.layers." in name and "norm" not in name
        assert torch.equal(parameter, blank[name]) != redrawn
