"""Texts say what is true of a scene, except where an annotator errs, and then at the stated rate."""

import re

import numpy as np
import pytest

from povid_lib.metrics.pope import SETTINGS
from povid_lib.world.annotators import Annotator
from povid_lib.world.captions import detailed_caption, enumerate_phrases, mentioned, noun_phrase
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.questions import absent_objects, attribute_questions, place_question, polls
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World

SCENES = list(scenes(300)) + list(scenes(300, World("counter_typical"))) + list(scenes(300, World("mixed")))


@pytest.mark.parametrize("detailed", [True, False])
def test_truthful_captions_name_exactly_what_is_there(detailed):
    rng = np.random.default_rng(0)
    for scene in SCENES:
        assert set(mentioned(Annotator().caption(scene, rng, detailed))) == set(scene.names)


def test_annotators_err_only_about_missing_partners_and_at_the_stated_rate():
    rng, claimed, expected = np.random.default_rng(0), 0, 0.0
    author = Annotator(error=0.6)
    for scene in SCENES:
        false = set(mentioned(author.caption(scene, rng))) - set(scene.names)
        assert false <= set(scene.missing_partners)
        claimed += len(false)
        expected += sum(0.6 * KINDS[m].strength for m in scene.missing_partners)
    assert abs(claimed - expected) < 4 * np.sqrt(expected)


def test_salience_orders_by_size_then_from_the_left():
    rng = np.random.default_rng(0)
    for scene in SCENES[:100]:
        claims = Annotator(ordered=1).claims(scene, rng)
        assert [c.name for c in claims] == [i.name for i in scene.salient]
        sizes = [("large", "medium", "small").index(c.size) for c in claims]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("item", "phrase"),
    [
        (Item("fork"), "a fork"),
        (Item("apple", colour="red"), "a red apple"),
        (Item("apple"), "an apple"),
        (Item("umbrella"), "an umbrella"),
        (Item("bread", "small"), "some small bread"),
        (Item("mouse", "large", cells=(0, 1)), "two large mice"),
        (Item("sheep", cells=(0, 1, 2)), "three sheep"),
    ],
)
def test_noun_phrases(item, phrase):
    assert noun_phrase(item) == phrase


def test_enumeration():
    assert [enumerate_phrases(["a", "b", "c"][:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_mentions_are_read_in_order_with_plurals_and_synonyms():
    assert mentioned("Two KNIVES, a ship and a forked knife.") == ["knife", "boat", "knife"]


def test_questions_are_answered_by_the_truth():
    rng, kinds = np.random.default_rng(0), set()
    for scene in SCENES:
        for question in attribute_questions(scene, rng):
            kinds.add(question.kind)
            if question.kind == "count":
                assert question.answer == f"{('One', 'Two', 'Three')[scene[question.about].count - 1]}."
            elif question.kind == "colour":
                assert question.answer.rstrip(".").lower() == scene[question.about].colour
            elif question.kind == "position":
                column = {"left": 0, "right": 2}.get(question.answer.rstrip(".").lower().split()[-1], 1)
                assert scene[question.about].cells[0] % 3 == column
            elif question.kind == "relation":
                a, b = re.match(r"Is the (\w+) .* the (\w+)\?", question.prompt).groups()
                dx = scene[a].cells[0] % 3 - scene[b].cells[0] % 3
                dy = scene[a].cells[0] // 3 - scene[b].cells[0] // 3
                assert (
                    question.answer
                    == {(-1, 0): "Left.", (1, 0): "Right.", (0, -1): "Above.", (0, 1): "Below."}[
                        np.sign(dx), np.sign(dy)
                    ]
                )
            elif question.kind == "reason":
                assert re.fullmatch(r"Reason: .+\. Result: .+\.", question.answer)
    assert kinds == {"count", "colour", "size", "position", "relation", "reason"}


def test_reasoning_results_follow_from_the_truth():
    rng = np.random.default_rng(0)
    for scene in SCENES:
        for question in attribute_questions(scene, rng):
            if question.prompt.startswith("Which is larger"):
                a, b = re.search(r"the (\w+) or the (\w+)", question.prompt).groups()
                order = ("small", "medium", "large")
                larger = max((a, b), key=lambda n: order.index(scene[n].size))
                assert question.answer.endswith(f"Result: The {larger}.")
            elif question.prompt.startswith("Are there more"):
                a, b = (mentioned(word)[0] for word in re.search(r"more (\w+) than (\w+)", question.prompt).groups())
                assert question.answer.endswith("Yes." if scene[a].count > scene[b].count else "No.")


def test_place_question_names_the_context():
    scene = SCENES[0]
    assert place_question(scene).answer.endswith(f"Result: {KINDS[scene.names[0]].context.capitalize()}.")
    assert place_question(SCENES[300]) is None


@pytest.mark.parametrize("setting", SETTINGS)
def test_polls_are_balanced_and_true(setting):
    for scene in SCENES[:100]:
        questions = polls(scene, setting)
        assert [q.answer for q in questions] == ["Yes.", "No."] * (len(questions) // 2)
        assert all((q.about in scene.names) == (q.answer == "Yes.") for q in questions)
        assert questions == polls(scene, setting)


def test_adversarial_negatives_are_missing_partners_first():
    rng = np.random.default_rng(0)
    for scene in SCENES[:100]:
        absent = absent_objects(scene, "adversarial", len(NAMES), rng)
        k = len(scene.missing_partners)
        assert set(absent[:k]) == set(scene.missing_partners)
        assert not set(absent) & set(scene.names)
    with pytest.raises(ValueError, match="choose one of random, popular, adversarial"):
        absent_objects(SCENES[0], "hard", 1, rng)


def test_most_sentences_open_alike():
    rng = np.random.default_rng(0)
    sentences = [s for scene in SCENES for s in re.findall(r"[^.]+\.", detailed_caption(scene.salient, rng))]
    usual = np.mean([s.strip().startswith(("There is", "There are")) for s in sentences])
    assert 0.7 < usual < 0.85  # relations, which open differently, are among them
