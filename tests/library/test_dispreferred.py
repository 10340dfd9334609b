"""What a weakened picture makes the model say: the sorting by hand, and its limits on a model that reads nothing."""

import pytest
import torch

from povid_lib.dispreferred import SORTS, dilemmas, next_objects, sort_of, sorts
from povid_lib.kinds import KINDS
from povid_lib.scenes import Item, Scene, World, scenes
from povid_lib.texts import WORDS, mentioned

BATCH = list(scenes(40, World(), "validation"))
TABLE = Scene(("test", "typical", 0), (Item("fork"), Item("cup", cells=(0,)), Item("apple", cells=(1,), colour="red")))


def test_dilemmas_leave_one_truth_and_lack_one_companion():
    found = dilemmas(BATCH)
    assert len(found) > 3
    for d in found:
        named = set(mentioned(d.so_far))
        assert named | {d.truth} == set(d.scene.names)
        assert d.truth not in named
        assert KINDS[d.truth].partner not in d.scene.names
        assert {KINDS[n].partner for n in named} - set(d.scene.names) == {d.companion}
        assert d.so_far.endswith(" and a")


@pytest.mark.parametrize(
    ("label", "token", "sort"),
    [
        (" fork", " fork", "same"),
        (" fork", " knife", "companion"),
        (" fork", " cups", "present"),
        (" fork", " cow", "absent"),
        (" red", " blue", "detail"),
        (" left", " right", "detail"),
        (" a", " two", "detail"),
        (" fork", " is", "form"),
        (" is", " fork", "form"),
        (".", " and", "form"),
        (" red", " small", "form"),
        (".", ".", "same"),
    ],
)
def test_sort_of(label, token, sort):
    assert sort_of(TABLE, label, token) == sort


def test_shares_of_the_next_object_by_hand(vlm, monkeypatch):
    """Equal probability for every word: each kind has as many shares as it has words."""
    (d,) = dilemmas(BATCH)[:1]
    tokens = len(vlm.processor.tokenizer)
    monkeypatch.setattr(
        type(vlm.model), "forward", lambda *_, **__: type("Out", (), {"logits": torch.zeros(1, 1, tokens)})
    )
    got = {key: e.value for key, e in next_objects(vlm, [d], [d.scene.image()]).items()}
    contexts = {KINDS[n].context for n in d.scene.names}
    kinds = list(WORDS.values())
    inside = sum(KINDS[kind].context in contexts for kind in kinds)
    truth, companion = kinds.count(d.truth), kinds.count(d.companion)
    assert got == {
        "truth": pytest.approx(truth / len(kinds)),
        "companion": pytest.approx(companion / len(kinds)),
        "context": pytest.approx((inside - truth - companion) / len(kinds)),
        "strangers": pytest.approx(1 - inside / len(kinds)),
    }


def test_sorts_sum_to_one_and_the_label_never_comes_second(vlm):
    captions = [f"There is a {s.names[0]}." for s in BATCH[:4]]
    pictures = [s.image() for s in BATCH[:4]]
    best = sorts(vlm, BATCH[:4], pictures, captions)
    assert sum(e.value for e in best.values()) == pytest.approx(1)
    assert best["same"].value > 0.5
    assert sorts(vlm, BATCH[:4], pictures, captions, "second")["same"].value == 0
    assert tuple(best) == SORTS


def test_pictures_are_weakened_before_the_model_reads_them(vlm):
    captions = [f"There is a {s.names[0]}." for s in BATCH[:2]]
    pictures, seen = [s.image() for s in BATCH[:2]], []

    def weaken(batch):
        seen.append(batch["pixel_values"].shape[0])
        return batch

    sorts(vlm, BATCH[:2], pictures, captions, weaken=weaken)
    assert seen == [2]
