"""The offline rewriter: every rejected answer is false of its scene, says so where, and has the form of the true one."""

from collections import Counter

import pytest

from povid_lib.data import corrupt_text, images
from povid_lib.data.corrupt_text import DIFFICULTIES, Offline, pair_of, pairs
from povid_lib.data.pairs import differences
from povid_lib.world.captions import mentioned
from povid_lib.world.items import Item
from povid_lib.world.judge import judge, judge_description
from povid_lib.world.objects import KINDS
from povid_lib.world.questions import Question
from povid_lib.world.scenes import Scene, sample_scene


def scene_of(pair):
    return images.scene(pair.image)


@pytest.fixture(scope="module")
def made():
    return {d: list(pairs(60, Offline(difficulty=d))) for d in DIFFICULTIES}


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_chosen_is_true_and_rejected_is_false(made, difficulty):
    """By the exact judge, which reads the text anew."""
    for pair in made[difficulty]:
        scene = scene_of(pair)
        if pair.changes[0].kind == "step":
            right, wrong = (
                judge(scene, Question("reason", pair.prompt, pair.chosen), t) for t in (pair.chosen, pair.rejected)
            )
        else:
            right, wrong = judge_description(scene, pair.chosen), judge_description(scene, pair.rejected)
        assert right.score == 1, pair
        assert wrong.score < 1, pair


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_same_length_and_nothing_else_changed(made, difficulty):
    for pair in made[difficulty]:
        assert len(pair.chosen.split()) == len(pair.rejected.split())
        found = differences(pair.chosen, pair.rejected)
        if pair.changes[0].kind != "step":
            assert [(c.chosen, c.rejected) for c in pair.changes] == [(a.rstrip("."), b.rstrip(".")) for a, b in found]
        for change in pair.changes:
            assert change.chosen in pair.chosen
            assert change.rejected in pair.rejected


def test_difficulty_says_which_object_is_false(made):
    for difficulty, rows in made.items():
        objects = [p for p in rows if p.changes[0].kind == "object"]
        assert len(objects) > 10
        for pair in objects:
            scene = scene_of(pair)
            (false,) = set(mentioned(pair.rejected)) - set(scene.names)
            if difficulty == "partner":
                assert false in scene.missing_partners
            if difficulty == "context":
                assert KINDS[false].context in {KINDS[n].context for n in scene.names}


def test_random_objects_leave_the_context(made):
    away = [
        KINDS[false].context not in {KINDS[n].context for n in scene_of(p).names}
        for p in made["random"]
        for false in set(mentioned(p.rejected)) - set(scene_of(p).names)
    ]
    assert sum(away) / len(away) > 0.5


def test_mix_decides_the_kinds():
    only = Offline(objects=0, relations=0, attributes=1, reasoning=0)
    assert {p.changes[0].kind for p in pairs(15, only)} == {"attribute"}
    kinds = Counter(p.changes[0].kind for p in pairs(80, Offline(objects=1, relations=0, attributes=0, reasoning=1)))
    assert set(kinds) == {"object", "step"}


def test_the_same_arguments_give_the_same_pairs():
    one, two, other = (list(pairs(8, Offline(seed=s))) for s in (0, 0, 1))
    assert [p.hash for p in one] == [p.hash for p in two]
    assert not {p.image for p in one} & {p.image for p in other}
    assert all(p.provenance.model == "truth" and p.provenance.cost == 0 for p in one)


@pytest.mark.parametrize(("edition", "prefix"), [("first", "scene:"), ("second", "scene:second/")])
@pytest.mark.parametrize("world", ["counter_typical", "mixed"])
def test_a_pair_names_the_scene_that_it_is_about(world, edition, prefix):
    """Whoever draws the scene by its name sees what the chosen answer says."""
    for pair in pairs(10, Offline(world=world, edition=edition, reasoning=0)):
        assert pair.image.startswith(f"{prefix}train/{world}/")
        assert judge_description(scene_of(pair), pair.chosen).score == 1


def test_pairs_come_as_they_are_asked_for(monkeypatch):
    drawn = []
    monkeypatch.setattr(corrupt_text, "sample_scene", lambda *how: drawn.append(how) or sample_scene(*how))
    some = pairs(300)
    assert not drawn
    next(some)
    assert len(drawn) < 10


def test_a_scene_that_allows_nothing_gives_no_pair():
    lone = Scene(("train", "typical", 0), (Item("gift", colour="red"),))  # "gift" may be written "present"
    assert pair_of(lone) is None
