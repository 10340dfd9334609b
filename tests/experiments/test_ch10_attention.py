"""What the script of chapter 10 asks of every model: three kinds of word in one slot, what is hidden, and what a constant gives."""

import re

import numpy as np
import pytest
import torch

from experiments import ch10_attention as tool
from povid_lib.analysis import occlusion
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.objects import KINDS
from povid_lib.world.patches import own_patches

BATCH = tool.asked(6)


def of(word):
    return [slot for slot in BATCH if slot.word == word]


def test_a_slot_is_behind_a_seen_object_whose_partner_is_not_named():
    assert [slot.word for slot in BATCH] == [w for w in tool.WORDS for _ in range(6)]
    for slot in BATCH:
        named = mentioned(slot.text)
        assert named[-1] == slot.seen
        assert set(named) <= set(slot.scene.names)
        assert slot.partner == KINDS[slot.seen].partner
        assert slot.partner not in named
        assert mentioned(slot.phrase) == [slot.partner]
        assert slot.seen in slot.objects
    assert all(slot.partner in slot.scene.unseen for slot in of("right guess"))
    assert not any(slot.partner in slot.scene.names for slot in of("false"))


def test_seen_and_false_are_the_same_scenes_and_words_with_the_partner_drawn():
    for seen, false in zip(of("seen"), of("false"), strict=True):
        assert (seen.text, seen.phrase, seen.other_text) == (false.text, false.phrase, false.other_text)
        assert set(seen.scene.names) - set(false.scene.names) == {seen.partner}
        assert seen.partner in seen.scene.seen


def test_the_other_text_differs_in_one_word_for_a_stranger():
    for slot in BATCH:
        one, other = (re.findall(r"\w+", text) for text in (slot.text, slot.other_text))
        ((before, after),) = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
        (stranger,) = mentioned(after)
        assert mentioned(before) == [slot.seen]
        assert not {stranger, KINDS[stranger].partner} & {*slot.scene.names, slot.partner}


def test_what_is_hidden():
    for slot in BATCH:
        clear, own, partner, other, everything = slot.hidden()
        assert not clear.any()
        assert everything.all()
        assert torch.equal(partner, own_patches(slot.scene, slot.seen))
        assert torch.equal(
            own, own_patches(slot.scene, slot.partner) if slot.word == "seen" else tool.marked(slot.scene)
        )
        rest = [n for n in slot.objects if n not in (slot.seen, slot.partner)]
        assert bool(other.any()) == bool(rest)
    assert all(slot.hidden()[1].any() for slot in of("right guess"))


@pytest.mark.slow
def test_a_decision_is_the_words_log_odds_and_a_constant_moves_the_end_alone(vlm):
    slot = BATCH[-1]
    hidden = slot.hidden()
    plain, moved = tool.decide(vlm, slot, slot.text, hidden)
    answer = f"{slot.text} {slot.phrase}"
    logps = occlusion.logps_without(vlm, slot.scene.image(), PROMPT, answer, slot.partner, hidden)
    assert plain[:, 1].tolist() == pytest.approx(occlusion.log_odds(logps).tolist(), abs=1e-3)
    assert (moved - plain)[:, 0].tolist() == pytest.approx([tool.CONSTANT] * 5, abs=1e-6)
    assert (moved - plain)[:, 1].tolist() == pytest.approx([0] * 5, abs=0.05)


def test_what_is_not_asked_counts_in_no_mean():
    found = tool.estimate(np.array([[1.0, np.nan, 3.0]]))
    assert found.value == 2


def test_a_constant_and_a_line_leave_nothing_and_a_difference_by_the_picture_does():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(len(BATCH), 5, 2))
    for after in (before + 1.5, 1.3 * before - 0.2):
        left = tool.changed(after[None], before, BATCH)["beyond a line"]["stop"]
        assert left.value == pytest.approx(0, abs=1e-9)
    constant = tool.changed((before + 1.5)[None], before, BATCH)
    assert constant["false - seen"]["word"].value == pytest.approx(0, abs=1e-12)
    assert constant["dependence"]["word"]["false"]["partner"].value == pytest.approx(0, abs=1e-12)
    false = np.array([slot.word == "false" for slot in BATCH])
    picture = before + 1.5 * false[:, None, None]
    assert tool.changed(picture[None], before, BATCH)["false - seen"]["stop"].value == pytest.approx(1.5)


def test_shares_and_the_darkest_object_by_hand():
    slot = next(slot for slot in BATCH if len(slot.objects) > 1)
    own = own_patches(slot.scene, slot.objects[1]) & ~own_patches(slot.scene, slot.objects[0])
    values = own.flatten().numpy() * 2.0 + 1.0
    n = int(own.sum())
    assert tool.share_of(values[None], [own]) == pytest.approx(3 * n / (3 * n + 36 - n))
    assert tool.darkest(values, slot) == slot.objects[1]


def test_a_studys_adapters_are_found_and_what_is_missing_is_said(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"povid study recipes/study\.yaml"):
        tool.adapters(tmp_path)
    folder = tmp_path / "sft-1-0123" / "text" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    capsys.readouterr()
    assert tool.adapters(tmp_path) == {"sft": [folder]}
    said = capsys.readouterr().out
    assert said.count("missing:") == 8
    assert "dealt-2-*" in said
    again = tmp_path / "sft-1-4567" / "text" / "adapter"
    again.mkdir(parents=True)
    (again / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="leave the run that is meant"):
        tool.adapters(tmp_path)


def test_a_blank_mind_keeps_the_vision_encoder_and_the_words(vlm):
    blank = dict(tool.blank_mind(vlm).model.named_parameters())
    for name, parameter in vlm.model.named_parameters():
        redrawn = ".language_model.layers." in name and "norm" not in name
        assert torch.equal(parameter, blank[name]) != redrawn
