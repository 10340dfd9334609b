"""The harness of problem set 4, and the pocket model's output layer of problem set 3."""

import re
import types

import numpy as np
import pytest

from povid_lib import models
from povid_lib.course import declarations, experiment, head
from povid_lib.course.grading import assignment
from povid_lib.data import images
from povid_lib.models import end_bias
from povid_lib.models.generation import Answer
from povid_lib.pocket import caption_pairs, lessons
from povid_lib.world.scenes import scenes

DECLARED = {
    "hypothesis": "Asked briefly the model names less, so CHAIR_s, the share of captions with a false object, is lower.",
    "method": "short_prompt", "measure": "chair_s", "direction": "lower", "smallest": 0.1, "kind": "typical", "scenes": 100,
    "seeds": [1, 2], "constants": [0, 1, 2, 4],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("hypothesis", "It is lower.", "8 to 80 words"),
        (
            "hypothesis",
            "I think that this will change CHAIR_s, and how much is made up by the model",
            "must name the direction",
        ),
        ("hypothesis", "It is slower, and what CHAIR_s will do by that I do not know", "must name the direction"),
        ("hypothesis", "CHAIR_s will be lower or higher, since all can happen here", "name the one direction"),
        (
            "hypothesis",
            "Recall will be lower, and CHAIR_s may be what it was before",
            "is about recall, and measure is 'chair_s'",
        ),
        ("hypothesis", "There will be a lower share of captions with false objects", "names no measure: say chair_s"),
        ("method", " ", "method is"),
        ("measure", "length", "one of chair_s"),
        ("direction", "down", "lower or higher"),
        ("smallest", 0, "between 0 and 1"),
        ("smallest", float("nan"), "between 0 and 1"),
        ("smallest", "0.1", "between 0 and 1"),
        (
            "smallest",
            0.07,
            "200 pictures cannot tell a change of 0.07 from none: take more, or a smallest change of 0.071",
        ),
        ("smallest", True, "between 0 and 1"),
        ("kind", "mixed", "one of typical"),
        ("scenes", 30, "60 pictures"),
        ("scenes", 601, "a number of scenes"),
        ("scenes", 2.5, "a number of scenes"),
        ("seeds", [], "1 to 5 different"),
        ("seeds", [1, 1], "1 to 5 different"),
        ("seeds", 1, "1 to 5 different"),
        ("seeds", [-1], "1 to 5 different"),
        ("constants", [1, 2, 3, 4], "begins with 0"),
        ("constants", [0, 2, 1, 4], "growing"),
        ("constants", [0, 1, 2, float("inf")], "growing"),
        ("constants", "0123", "growing"),
        ("constants", [0, 0.4, 2, 4], "too close together"),
        ("constants", [0, 1, 4.5, 6], "too far apart"),
        ("constants", [0, 1, 2, 3], "end at 3"),
        ("alpha", 1, "there is no field 'alpha'"),
    ],
)
def test_what_a_declaration_cannot_have_is_told(name, value, told):
    assert declarations.faults(DECLARED) == []
    said = declarations.faults({**DECLARED, name: value})
    assert len(said) == 1
    assert told in said[0]


def test_each_missing_field_is_told():
    assert len(declarations.faults({})) == len(DECLARED)
    assert "must be a dict" in declarations.faults("measure: chair_s")[0]


def test_another_declaration_has_another_digest():
    others = [{**DECLARED, "smallest": 0.1001}, {**DECLARED, "seeds": [2, 1]}, {**DECLARED, "hypothesis": "x"}]
    assert len({declarations.digest(each) for each in (DECLARED, *others)}) == 4
    assert declarations.digest(dict(reversed(DECLARED.items()))) == declarations.digest(DECLARED)


def record(n=3):
    counts = experiment.Counts([1, 0, 2][:n], [2, 1, 4][:n], [1, 1, 2][:n], [3, 1, 2][:n])
    return experiment.Record("d", "second", "m", counts, {0.0: counts, 1.5: counts})


def test_a_record_is_read_as_it_was_written_and_its_sums_are_the_measures():
    line = experiment.pack(record())
    assert experiment.unpack(f" {line[:9]}\n{line[9:]}") == record()
    ratios = {m: (a.sum(), b.sum()) for m in declarations.MEASURES for a, b in [experiment.sums(record().method, m)]}
    assert ratios == {"chair_s": (2, 3), "chair_i": (3, 7), "recall": (4, 6)}


@pytest.mark.parametrize(
    "change", [lambda s: "", lambda s: s[:-9], lambda s: s[9:], lambda s: "c-", lambda s: None, lambda s: s + s]
)
def test_what_is_no_record_is_refused(change):
    line = experiment.pack(record())
    with pytest.raises(ValueError, match="record cannot be read"):
        experiment.unpack(change(line))


def test_a_record_of_unequal_or_impossible_counts_is_refused():
    odd = record()
    for counts in (experiment.Counts([1], [2], [1], [1]), experiment.Counts([-1, 0, 0], [0] * 3, [0] * 3, [1] * 3)):
        with pytest.raises(ValueError, match="not of the same pictures"):
            experiment.unpack(experiment.pack(experiment.Record("d", "second", "m", counts, odd.curve)))


def test_seeds_draw_scenes_of_their_own_and_the_same_again():
    one, two = (experiment.scenes_of({**DECLARED, "scenes": 5, "seeds": [seed]}, "second") for seed in (1, 2))
    assert [s.key for s in one + two] == [s.key for s in experiment.scenes_of({**DECLARED, "scenes": 5}, "second")]
    assert not {s.key for s in one} & {s.key for s in two}
    assert [s.edition for s in one] == ["second"] * 5
    odd = experiment.scenes_of({**DECLARED, "scenes": 5, "kind": "counter_typical"}, "first")
    assert {(s.edition, s.key[1]) for s in odd} == {("first", "counter_typical")}
    assert experiment.draws(DECLARED).shape == (experiment.RESAMPLES, 200)


@pytest.mark.parametrize("pictures", [100, 120, 200, 599, 600])
def test_the_smallest_change_that_is_told_is_taken(pictures):
    few = {**DECLARED, "seeds": [1], "scenes": pictures, "smallest": 0.01}
    (said,) = declarations.faults(few)
    told = float(said.rpartition(" ")[2])
    assert declarations.least_change(pictures) <= told + 1e-9 < declarations.least_change(pictures) + 0.001
    assert declarations.faults({**few, "smallest": told}) == []


@pytest.mark.slow
def test_the_margin_that_follows_from_a_record_is_the_sets_own():
    found = assignment.read_source("assignments/ps4_experiment")
    declared, draw = {**DECLARED, "scenes": 50}, np.random.default_rng(5)
    there = draw.integers(1, 5, 100).tolist()

    def counts(false, recall):
        recalled = draw.binomial(there, recall).tolist()
        wrong = draw.binomial(1, false, 100).tolist()
        return experiment.Counts(wrong, [a + b for a, b in zip(wrong, recalled, strict=True)], recalled, there)

    curve = {0.0: counts(0.8, 0.9), 1.0: counts(0.6, 0.7), 2.0: counts(0.6, 0.6), 4.0: counts(0.1, 0.2)}
    for method in (counts(0.5, 0.8), counts(0.15, 0.3), curve[0.0], counts(1.0, 0.9)):
        kept = experiment.Record("d", "second", "m", method, curve)
        got = experiment.beyond(kept, declared)
        rows = [experiment.margin_sums(each) for each in curve.values()]
        want = found.answers["margin"](experiment.margin_sums(method), rows, experiment.draws(declared))
        assert [each is None for each in got] == [each is None for each in want]
        assert all(a is None or abs(a - b) < 1e-9 for a, b in zip(got, want, strict=True))
    assert got == (None, None, None)


def named(given):
    """A method of the declared name."""

    def short_prompt(vlm, pictures, seed):
        return given(pictures)

    return short_prompt


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (experiment.contrastive, "method is 'short_prompt', and METHOD is 'contrastive'. Nothing was run"),
        (lambda vlm, pictures, seed: [], "METHOD is '<lambda>'"),
        (named(lambda pictures: ["A dog."]), "one text for each picture; for 2 pictures it gave 1 of them"),
        (named(lambda pictures: "A dog."), "it gave str and no list"),
        (named(lambda pictures: None), "it gave NoneType and no list"),
        (named(lambda pictures: [1, 2]), "it gave int in place of a text."),
        (named(lambda pictures: [Answer("A dog.", (), ())] * 2), "it gave Answer in place of a text; take its .text."),
    ],
)
def test_a_method_is_tried_before_anything_is_run(method, told, monkeypatch):
    monkeypatch.setattr(experiment, "scenes_of", lambda *_: list(scenes(4)))
    monkeypatch.setattr(end_bias, "generate", None)
    with pytest.raises(ValueError, match=re.escape(told)):
        experiment.run(types.SimpleNamespace(name="pocket"), DECLARED, method)


@pytest.mark.slow
def test_the_run_captions_the_declared_scenes(monkeypatch):
    monkeypatch.setattr(declarations, "PICTURES", (4, 600))
    declared = {**DECLARED, "scenes": 2, "smallest": 0.6}
    vlm = models.load("pocket", device="cpu")
    found = experiment.unpack(experiment.run(vlm, declared, experiment.short_prompt))
    assert found.declaration == declarations.digest(declared)
    assert sorted(found.curve) == [0, 1, 2, 4]
    there = [len(scene.names) for scene in experiment.scenes_of(declared, found.edition)]
    assert found.method.there == there
    assert sum(found.curve[4.0].mentions) <= sum(found.curve[0.0].mentions)
    with pytest.raises(ValueError, match="The declaration cannot be run: measure is"):
        experiment.run(vlm, {**declared, "measure": "?"}, experiment.short_prompt)


@pytest.mark.slow
def test_a_students_loop_trains_the_pocket_models_output_layer():
    answers = assignment.read_source("assignments/ps3_training").answers
    vlm, pairs = head.pocket_pairs(4)
    before = head.weights(vlm)
    made = list(caption_pairs.pairs(4, lessons.recipe_of("pocket")))
    pictures, prompts = [images.picture(pair.image) for pair in made], [pair.prompt for pair in made]
    for side in ("chosen", "rejected"):
        p = pairs[side]
        tokens = models.answer_logps(vlm, pictures, prompts, [getattr(pair, side) for pair in made])
        ends = p["mask"].sum(1) - 1  # the model's own reading is without the end token
        shorter = p["mask"] * (np.cumsum(p["mask"], 1) <= ends[:, None])
        found = answers["answer_logps"](p["hidden"] @ before.T, p["ids"], shorter)
        assert np.allclose(found, [float(each.sum()) for each in tokens], atol=1e-3)
        assert (p["ids"][np.arange(4), ends + 1] == vlm.processor.tokenizer.eos_token_id).all()
    assert 750 < len(before) < 850  # the set says that the vocabulary has about eight hundred words
    after, losses = answers["train"](before, pairs, 0.1, 0.003, 3)
    assert losses[-1] < losses[0]
    measures, *captions = head.measured(vlm, after, n=2, show=1).split("\n")
    assert measures.startswith("CHAIR_s ")
    assert measures.endswith(" words per caption")
    assert len(captions) == 1
    assert "(not there: " in captions[0]
    scenes = experiment.scenes_of({**DECLARED, "scenes": 2, "seeds": [1]}, "second")
    said = [[a.text for a in models.generate(each, [s.image() for s in scenes], "Describe this image.")]
            for each in (vlm, head.with_head(vlm, before))]  # fmt: skip
    assert said[0] == said[1]
    assert np.allclose(head.weights(head.with_head(vlm, after)), after, atol=1e-6)
    with pytest.raises(ValueError, match="has the shape"):
        head.with_head(vlm, before[:, :-1])
