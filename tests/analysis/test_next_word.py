"""What a weakened picture makes the model say: the sorting by hand, and its limits on a model that reads nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from povid_lib import models
from povid_lib.analysis.next_word import NEXT, at_equal_truth, dilemmas, next_words, window, without_cause
from povid_lib.analysis.token_changes import SORTS, _words, sort_of, sorts
from povid_lib.evaluation.held_out import held_out
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import mentioned
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS
from povid_lib.world.scenes import Scene, scenes
from povid_lib.world.worlds import World, world

BATCH = list(scenes(40, World(), "validation"))
DILEMMAS = dilemmas(BATCH)
TABLE = Scene(("test", "typical", 0), (Item("fork"), Item("cup", cells=(0,)), Item("apple", cells=(1,), colour="red")))
CAPTION = [
    "There", "is", "a", "small", "red", "apple", "at", "the", "top", "left", ".",
    "A", "fork", "is", "in", "the", "centre", ".",
    "The", "fork", "is", "above", "the", "cup", ".",
]  # fmt: skip


def test_dilemmas_leave_one_truth_and_lack_one_companion():
    assert len(DILEMMAS) > 3
    for d in DILEMMAS:
        named = set(mentioned(d.so_far))
        assert named | {d.truth} == set(d.scene.names)
        assert d.truth not in named
        assert KINDS[d.truth].partner not in d.scene.names
        assert {KINDS[n].partner for n in named} - set(d.scene.names) == {d.companion}
        assert d.so_far.endswith(" and a")
        assert KINDS[mentioned(d.so_far)[-1]].partner == d.companion


def test_a_dilemmas_truth_can_be_seen():
    """In the second world an object may be there and nobody can make it out: no picture speaks for that one."""
    found = dilemmas(list(scenes(150, world(), "validation")))
    assert len(found) > 3
    assert all(d.truth in d.scene.seen for d in found)
    lone = Scene(("test", "typical", 0), (Item("candle", cells=(0,)), Item("gift", unseen=True)))
    assert [d.truth for d in dilemmas([lone])] == ["candle"]


def test_without_cause_the_text_no_longer_calls_for_the_companion():
    for d in DILEMMAS:
        silent = without_cause(d)
        before, after = mentioned(d.so_far), mentioned(silent.so_far)
        assert (silent.scene, silent.truth, silent.companion) == (d.scene, d.truth, d.companion)
        assert len(after) == len(before)
        (gone,), (new,) = set(before) - set(after), set(after) - set(before)
        assert KINDS[gone].partner == d.companion
        assert KINDS[new].context == KINDS[gone].context
        assert not {new, KINDS[new].partner} & {*d.scene.names, d.companion}


def test_without_cause_needs_a_pair_that_is_not_there():
    names = ("fork", "teapot", "bread", "apple")
    full = Scene(("test", "mixed", 0), tuple(Item(n, cells=(i,)) for i, n in enumerate(names)))
    (d,) = dilemmas([Scene(full.key, full.items[:2])])
    with pytest.raises(ValueError, match="every pair of the context"):
        without_cause(type(d)(full, d.so_far, d.truth, d.companion))


@pytest.mark.parametrize(
    ("word", "role"),
    [("gifts", "truth"), ("present", "truth"), ("cake", "companion"), ("hat", "context"), ("cow", "strangers")],
)
def test_roles_at_the_next_word(vlm, monkeypatch, word, role):
    """Nearly all probability on one word, the rest on a word that names nothing."""
    scene = Scene(("test", "typical", 0), (Item("candle", cells=(0,)), Item("gift")))
    (d,) = [d for d in dilemmas([scene]) if d.truth == "gift"]
    logits = torch.full((1, 1, len(vlm.processor.tokenizer)), float("-inf"))
    logits[..., models.word_tokens(vlm, word)[0]] = torch.tensor(0.75).log()
    logits[..., models.word_tokens(vlm, "the")[0]] = torch.tensor(0.25).log()
    monkeypatch.setitem(vars(vlm.model), "forward", lambda *_, **__: SimpleNamespace(logits=logits))
    found = next_words(vlm, [d], Scene.image)
    assert {k: v.item() for k, v in found.winner.items()} == {k: float(k == role) for k in NEXT}
    expected = dict.fromkeys(NEXT, 0.0) | {role: 0.75, "no object": 0.25}
    assert {k: v.item() for k, v in found.probability.items()} == pytest.approx(expected)


def test_draws_are_averaged_and_pictures_drawn_anew(vlm, monkeypatch):
    d, tokens, seen = DILEMMAS[0], len(vlm.processor.tokenizer), []
    words = [d.truth, d.companion, d.companion, d.companion]

    def forward(*_, pixel_values, **__):
        logits = torch.zeros(1, 1, tokens)
        logits[..., models.word_tokens(vlm, words[len(seen)])[0]] = 100
        seen.append(float(pixel_values.mean()))
        return SimpleNamespace(logits=logits)

    def show(scene):
        return scene.image() if len(seen) % 2 else scene.blank()

    monkeypatch.setitem(vars(vlm.model), "forward", forward)
    found = next_words(vlm, [d], show, draws=4)
    assert (found.winner["truth"].item(), found.winner["companion"].item()) == (0.25, 0.75)
    assert found.probability["companion"].item() == pytest.approx(0.75)
    assert len(set(seen)) == 2


def test_window_by_hand():
    leader = np.array([[0.0, 0.4, 0.6, 0.2]] * 5)
    rivals = [np.array([[0.5, 0.3, 0.3, 0.1]] * 5), np.array([[0.1, 0.1, 0.1, 0.7]] * 5)]
    both, one = window((10, 20, 30, 40), leader, rivals), window((10, 20, 30, 40), leader, rivals[:1])
    assert (both.first.value, both.first.low, both.first.high, both.last.value, both.found) == (20, 20, 20, 30, 1)
    assert (one.first.value, one.last.value) == (20, 40)
    nowhere = window((10, 20, 30, 40), leader, [np.ones((5, 4))])
    assert np.isnan([nowhere.first.value, nowhere.last.low]).all()
    assert nowhere.found == 0


def test_window_finds_its_interval_by_resampling():
    """Half of the dilemmas turn at 20, half at 30: the mean turns at either."""
    leader = np.array([[0, 1, 1], [0, 0, 1]] * 20, dtype=float)
    found = window((10, 20, 30), leader, [np.full((40, 3), 0.5)])
    assert (found.first.low, found.first.high, found.last.high) == (20, 30, 30)


def test_window_refuses_tables_that_do_not_fit():
    with pytest.raises(ValueError, match="one shape"):
        window((1, 2), np.zeros((3, 2)), [np.zeros((3, 3))])
    with pytest.raises(ValueError, match="one shape"):
        window((1, 2, 3), np.zeros((3, 2)), [np.zeros((3, 2))])


def test_companion_at_equal_truth_is_read_between_the_doses():
    truth = np.array([[0.8, 0.4, 0.0]] * 4)
    ways = {
        "a": (truth, np.array([[0.1, 0.3, 0.5]] * 4)),
        "b": (truth[:, ::-1], np.array([[0.9, 0.7, 0.1]] * 4)),
    }
    values, less = at_equal_truth(ways, 0.2)
    assert (values["a"].value, values["b"].value) == pytest.approx((0.4, 0.8))
    assert (less["a"].value, less["b"].value) == pytest.approx((0, 0.4))
    assert less["b"].low == pytest.approx(0.4)
    with pytest.raises(ValueError, match=r"never 0\.9"):
        at_equal_truth(ways, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "token", "sort"),
    [
        (5, "apple", "same"),
        (5, "knife", "companion"),
        (5, "cow", "absent"),
        (5, "cups", "present"),
        (5, "apples", "wording"),
        (4, "apple", "wording"),  # "a small apple": the colour left out
        (4, "fork", "present"),
        (4, "knife", "companion"),
        (4, "blue", "detail"),
        (3, "red", "detail"),
        (5, "large", "nonsense"),  # "a small red large"
        (2, "three", "detail"),
        (1, "are", "is or are"),
        (6, "on", "detail"),
        (6, ".", "wording"),
        (9, "right", "detail"),
        (9, ".", "detail"),
        (10, "left", "nonsense"),
        (11, "There", "wording"),
        (11, "Two", "detail"),
        (11, "</s>", "end"),
        (11, "a", "nonsense"),
        (6, "</s>", "end"),
        (5, "Cow", "nonsense"),
        (5, "is", "nonsense"),
        (0, "A", "wording"),
        (0, "Three", "wording"),
        (21, "below", "wording"),
        (23, "knife", "companion"),
        (19, "knife", "companion"),
        (19, "apple", "present"),
    ],
)
def test_sort_of(at, token, sort):
    assert sort_of(TABLE, CAPTION, at, f" {token}") == sort


def test_sort_of_refuses_other_captions():
    with pytest.raises(ValueError, match="pocket world"):
        sort_of(TABLE, ["A", "photo", "of", "a", "fork", "."], 1, "fork")


def test_sorts_by_hand(vlm, monkeypatch):
    """A model that says "cow" everywhere: an absent object where one is named or a word before it, else nonsense."""
    captions = ["There is a small red apple at the top left.", "There is a fork."]

    def distributions(vlm, images, questions, answers, weaken):
        for answer in answers:
            ids = torch.tensor(vlm.processor.tokenizer.encode(f" {answer}", add_special_tokens=False))
            logps = torch.zeros(len(ids), len(vlm.processor.tokenizer))
            logps[:, models.word_tokens(vlm, "cow")[0]] = 1
            yield ids, logps

    monkeypatch.setattr(models, "answer_distributions", distributions)
    found = sorts(vlm, [TABLE, TABLE], captions, Scene.image)
    assert found.changed.value == 1
    # "small", "red", "apple" and "fork" of the 11 + 5 tokens
    assert found.shares == {s: found.shares[s] for s in SORTS[1:]}
    assert found.shares["absent"].value == pytest.approx(4 / 16)
    assert found.shares["nonsense"].value == pytest.approx(12 / 16)
    assert {k: e.value for k, e in found.at_objects.items() if e.value} == {"absent": 1}
    assert set(found.commonest["absent"]) == {(w, "cow", 1) for w in ("small", "red", "apple", "fork")}


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["first", "second"])
def test_every_true_caption_can_be_sorted_and_is_its_own_best_sort(edition):
    rng = np.random.default_rng(1)
    for scene in scenes(200, world(edition=edition), "validation"):
        words = true_caption(scene, rng).replace(".", " .").split()
        assert {sort_of(scene, words, at, word) for at, word in enumerate(words)} == {"same"}


def test_words_are_put_together_from_their_tokens():
    assert _words(["S", "ome", " bread", ".", " I", "</s>"]) == [
        ("Some", 0, 1),
        ("bread", 2, 2),
        (".", 3, 3),
        ("I", 4, 4),
        ("</s>", 5, 5),
    ]


def test_shares_sum_to_one_and_the_label_never_comes_second(vlm):
    batch = held_out("typical", 4)
    captions = [true_caption(s, np.random.default_rng(0)) for s in batch]
    found = sorts(vlm, batch, captions, Scene.image)
    assert found.changed.value < 0.5
    assert sum(e.value for e in found.shares.values()) == pytest.approx(1)
    assert sum(e.value for e in found.at_objects.values()) == pytest.approx(1)
    second = sorts(vlm, BATCH[:4], captions, Scene.image, tokens="second")
    assert (second.changed.value, second.at_objects["same"].value) == (1, 0)


def test_pictures_are_weakened_before_the_model_reads_them(vlm):
    captions, seen = [f"There is a {s.names[0]}." for s in BATCH[:2]], []

    def weaken(batch):
        seen.append(batch["pixel_values"].shape[0])
        return batch

    sorts(vlm, BATCH[:2], captions, Scene.image, weaken, draws=3)
    next_words(vlm, DILEMMAS[:2], Scene.image, weaken, draws=2)
    assert seen == [2] * 5
