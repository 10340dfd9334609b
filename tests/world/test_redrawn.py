"""The same scene drawn otherwise: one thing is changed, all else stays."""

from dataclasses import replace

import numpy as np
import pytest

from povid_lib.world import redrawn
from povid_lib.world.items import Item, Mark
from povid_lib.world.objects import KINDS
from povid_lib.world.redrawn import Guess
from povid_lib.world.scenes import Scene, scenes
from povid_lib.world.worlds import world

BATCH = list(scenes(40, world("counter_typical"), "validation"))
CASES = redrawn.guesses(BATCH)


def test_a_guess_is_about_what_is_seen_and_what_is_not_there():
    assert len(CASES) > 30
    for case in CASES:
        assert case.companion in case.scene.seen
        assert case.partner == KINDS[case.companion].partner
        assert case.partner not in case.scene.names
    hidden = Scene(("test", "typical", 0), (Item("fork"), Item("knife", unseen=True), Item("cup", unseen=True)))
    assert redrawn.guesses([hidden]) == []  # the knife is there, and nobody sees the cup


@pytest.mark.parametrize("case", CASES[:10], ids=lambda case: str(case.scene.key[2]))
def test_the_drawn_partner_is_in_truth_and_picture_and_all_else_stays(case):
    scene = redrawn.drawn(case)
    assert scene.names == (*case.scene.names, case.partner)
    assert case.partner in scene.seen
    assert scene.marks == case.scene.marks
    (cell,) = scene[case.partner].cells
    if free := redrawn.free_cells(case.scene):
        assert cell == free[0]
        changed = np.argwhere((np.asarray(scene.image()) != np.asarray(case.scene.image())).any(-1))
        assert {(y // 32 * 3 + x // 32) for y, x in changed.tolist()} == {cell}


@pytest.mark.parametrize("case", CASES[:10], ids=lambda case: str(case.scene.key[2]))
def test_one_object_is_exchanged_for_one_that_brings_no_partner(case):
    other = redrawn.other_seen(case)
    assert other != case.companion
    for name in filter(None, (case.companion, other)):
        scene = redrawn.exchanged(case, name)
        (gone,), (new,) = set(case.scene.names) - set(scene.names), set(scene.names) - set(case.scene.names)
        assert gone == name
        assert new != case.partner
        assert KINDS[new].partner not in scene.names
        assert [replace(i, name="") for i in scene.items] == [replace(i, name="") for i in case.scene.items]
        assert scene == redrawn.exchanged(case, name)  # the same at every call


def test_what_is_not_there_cannot_be_exchanged():
    with pytest.raises(ValueError, match="there is no 'octopus' in the scene; choose one of fork"):
        redrawn.exchanged(Guess(Scene(("test", "typical", 3), (Item("fork"),)), "fork", "knife"), "octopus")


def test_marks_go_and_come():
    fork, hat = Item("fork", cells=(0,), places=((16, 16),)), Item("hat", cells=(8,), places=((80, 80),), unseen=True)
    case = Guess(Scene(("test", "typical", 3), (fork, hat), marks=(Mark("cow", (48, 48)),)), "fork", "knife")
    assert redrawn.free_cells(case.scene) == [1, 2, 3, 5, 6, 7]
    bare = redrawn.unmarked(case)
    assert (bare.names, bare.marks) == (("fork",), ())
    more = redrawn.cluttered(case)
    assert more.items == case.scene.items
    assert more.marks[:1] == case.scene.marks
    new = [y // 32 * 3 + x // 32 for x, y in (mark.place for mark in more.marks[1:])]
    assert len(set(new)) == 2
    assert set(new) <= {1, 2, 3, 5, 6, 7}


def test_evidence_changes_how_things_are_drawn_and_not_what_is_there():
    for scene in BATCH[:10]:
        weak, strong = redrawn.evidence(scene, strong=False), redrawn.evidence(scene, strong=True)
        assert weak.names == strong.names == scene.names
        assert weak.unseen == strong.unseen == scene.unseen
        assert all(i.unseen or (i.size == "small" and i.pale) for i in weak.items)
        assert all(i.unseen or (i.size != "small" and not i.pale and not i.faded) for i in strong.items)
