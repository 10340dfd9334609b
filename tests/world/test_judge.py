"""The exact judge: the truth scores 1, and every kind of corruption is found and named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from povid_lib.world.annotators import Annotator
from povid_lib.world.captions import detailed_caption, mentioned
from povid_lib.world.drawing import COLOURS, SIZES
from povid_lib.world.items import Item
from povid_lib.world.judge import Claim, Verdict, holds, judge, judge_description, read_claims, summarise
from povid_lib.world.objects import KINDS
from povid_lib.world.questions import Question, absent_objects, attribute_questions, exist_question, place_question
from povid_lib.world.scenes import Scene, scenes
from povid_lib.world.worlds import World

SCENES = [s for kind in ("typical", "counter_typical", "mixed") for s in scenes(150, World(kind), "validation")]

# a red car on the left, two large forks at the top and top right, a small knife in the centre, some bread at the bottom,
# a blue umbrella at the bottom right
TABLE = Scene(
    ("test", "mixed", 0),
    (
        Item("car", "medium", "red", (3,)),
        Item("fork", "large", None, (1, 2)),
        Item("knife", "small", None, (4,)),
        Item("bread", "medium", None, (7,)),
        Item("umbrella", "medium", "blue", (8,)),
    ),
)


def every_question(scene, rng):
    asked = [*scene.names, *absent_objects(scene, "adversarial", 3, rng)]
    questions = attribute_questions(scene, rng) + [exist_question(name, name in scene.names, rng) for name in asked]
    place = place_question(scene)
    return [*questions, place] if place else questions


@pytest.mark.slow
def test_the_truths_own_answers_score_one():
    rng, kinds = np.random.default_rng(0), set()
    for scene in SCENES:
        for question in every_question(scene, rng):
            kinds.add(question.kind)
            verdict = judge(scene, question, question.answer)
            assert verdict.score == 1, (question, verdict)
            assert not verdict.false
            assert not verdict.unreadable
        for detailed in (True, False):
            verdict = judge_description(scene, Annotator().caption(scene, rng, detailed))
            assert (verdict.score, verdict.false, verdict.unreadable) == (1, (), 0)
    assert kinds == {"exist", "count", "colour", "size", "position", "relation", "reason"}


@pytest.mark.slow
def test_the_answer_to_another_question_of_the_kind_scores_zero():
    """Every answer that differs from the true one, drawn from all answers to questions of the same kind, is wrong."""
    rng, possible = np.random.default_rng(1), {}
    for scene in SCENES:
        for question in every_question(scene, rng):
            possible.setdefault(question.kind, set()).add(question.answer)
    for scene in SCENES[::5]:
        for question in every_question(scene, rng):
            if question.kind != "reason":
                for other in possible[question.kind] - {question.answer}:
                    assert judge(scene, question, other).score == 0, (question, other)


# --- reading -----------------------------------------------------------------------------------------------------


def present(name):
    return Claim("object", name, "present")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        (
            "There is a small red car at the top left.",
            [
                present("car"),
                Claim("count", "car", "one"),
                Claim("size", "car", "small"),
                Claim("colour", "car", "red"),
                Claim("position", "car", "top left"),
            ],
        ),
        ("Some bread is in the centre.", [present("bread"), Claim("position", "bread", "centre")]),
        ("I can see two ships", [present("boat"), Claim("count", "boat", "two")]),
        (
            "The fork is to the left of the knife.",
            [present("fork"), present("knife"), Claim("relation", "fork", "left", "knife")],
        ),
        (
            "The car is large and the key is blue.",
            [present("car"), Claim("size", "car", "large"), present("key"), Claim("colour", "key", "blue")],
        ),
        (
            "A fork, some bread and three mice.",
            [
                present("fork"),
                Claim("count", "fork", "one"),
                present("bread"),
                present("mouse"),
                Claim("count", "mouse", "three"),
            ],
        ),
    ],
)
def test_reading(text, claims):
    assert read_claims(text) == (tuple(claims), 0)


@pytest.mark.parametrize(
    ("text", "unreadable"),
    [
        ("", 1),
        (" . ", 1),
        ("A lovely day.", 1),
        ("There is a fork. It gleams.", 1),
        ("A fork and a unicorn.", 1),  # a sentence is read whole or not at all
        ("There is a purple car.", 1),
        ("fork fork. fork fork.", 2),
    ],
)
def test_what_cannot_be_read_is_counted(text, unreadable):
    assert read_claims(text)[1] == unreadable
    assert judge_description(TABLE, text).score < 1


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_any_text_can_be_judged(text):
    verdict = judge_description(TABLE, text)
    assert 0 <= verdict.score <= 1
    assert verdict.true or verdict.false or verdict.unreadable


# --- truth -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        (present("car"), True),
        (present("cow"), False),
        (Claim("object", "cow", "absent"), True),
        (Claim("object", "car", "absent"), False),
        (Claim("count", "fork", "two"), True),
        (Claim("count", "fork", "one"), False),
        (Claim("count", "cow", "one"), None),
        (Claim("colour", "car", "red"), True),
        (Claim("colour", "car", "blue"), False),
        (Claim("colour", "knife", "red"), False),  # knives have no colour in this world
        (Claim("size", "bread", "medium"), True),
        (Claim("size", "bread", "large"), False),
        (Claim("position", "car", "left"), True),
        (Claim("position", "car", "top left"), False),
        (Claim("position", "fork", "top right"), True),  # one of the two is there
        (Claim("relation", "car", "left", "knife"), True),
        (Claim("relation", "car", "right", "knife"), False),
        (Claim("relation", "car", "above", "knife"), False),  # same row
        (Claim("relation", "fork", "above", "car"), True),
        (Claim("relation", "bread", "below", "fork"), True),
        (Claim("relation", "fork", "right", "knife"), False),  # one fork is straight above it
        (Claim("relation", "fork", "right", "car"), True),
        (Claim("relation", "fork", "left", "umbrella"), False),  # one fork is straight above it
        (Claim("relation", "umbrella", "right", "fork"), False),
        (Claim("relation", "umbrella", "right", "bread"), True),
        (Claim("relation", "car", "left", "cow"), None),
    ],
)
def test_truth_by_hand(claim, truth):
    assert holds(claim, TABLE) is truth


# --- corrupted descriptions --------------------------------------------------------------------------------------


def corrupt(item, kind, scene, rng):
    """The item with one property changed; None where it cannot be."""
    if kind == "object":
        return replace(item, name=absent_objects(scene, "random", 1, rng)[0], colour=None)
    if kind == "count":
        cells = item.cells[:-1] if item.count == 3 else (*item.cells, (item.cells[0] + 1) % 9)
        return replace(item, cells=cells) if KINDS[item.name].plural else None
    if kind == "colour":
        return item.colour and replace(item, colour=next(c for c in COLOURS if c != item.colour))
    if kind == "size":  # medium goes unsaid
        return replace(item, size=next(s for s in ("small", "large") if s != item.size and s in SIZES))
    return replace(item, cells=((item.cells[0] + 1) % 9,)) if item.count == 1 else None


@pytest.mark.parametrize("kind", ["object", "count", "colour", "size", "position"])
def test_one_corruption_is_found_in_hundreds_of_captions(kind):
    rng, found = np.random.default_rng(2), 0
    for scene in SCENES:
        for item in scene.items:
            wrong = corrupt(item, kind, scene, rng)
            if wrong:
                verdict = judge_description(scene, detailed_caption([wrong], rng))
                assert [c.kind for c in verdict.false] == [kind], (scene, wrong, verdict)
                assert verdict.score == pytest.approx(len(verdict.true) / (len(verdict.true) + 1))
                found += 1
    assert found > 200


def test_a_turned_relation_is_found():
    turned = {"Left.": "right", "Right.": "left", "Above.": "below", "Below.": "above"}
    words = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
    rng, found = np.random.default_rng(3), 0
    for scene in SCENES:
        for question in attribute_questions(scene, rng):
            if question.kind == "relation":
                _, a, *_, b = question.prompt.removeprefix("Is ").rstrip("?").split()
                verdict = judge_description(scene, f"The {a} is {words[turned[question.answer]]} the {b}.")
                assert [c.kind for c in verdict.false] == ["relation"]
                found += 1
    assert found > 200


def test_properties_of_an_absent_object_are_no_further_errors():
    verdict = judge_description(TABLE, "There is a small cow at the top. There is a red car.")
    assert verdict.false == (present("cow"),)
    assert verdict.score == pytest.approx(3 / 4)  # car: there, one, red


def test_repetition_earns_nothing_and_unreadable_sentences_cost():
    once = judge_description(TABLE, "There is a red car. There is a cow.")
    again = judge_description(TABLE, "There is a red car. There is a red car. There is a cow.")
    assert once.score == again.score == pytest.approx(3 / 4)
    assert judge_description(TABLE, "There is a red car. Lovely. There is a cow.").score == pytest.approx(3 / 5)


# --- conversation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "about", "answer", "score", "unreadable"),
    [
        ("count", "fork", "There are two of them.", 1, 0),
        ("count", "fork", "Two or three.", 0, 1),
        ("count", "fork", "Many.", 0, 1),
        ("colour", "car", "It is red.", 1, 0),
        ("colour", "car", "It is not red.", 0, 1),
        ("colour", "car", "Reddish.", 0, 1),
        ("position", "car", "On the left.", 1, 0),
        ("position", "car", "Bottom left.", 0, 0),
        ("exist", "cow", "No.", 1, 0),
        ("exist", "cow", "I cannot tell.", 0, 1),
        ("size", "cow", "Large.", 0, 0),  # not there: no size is right
    ],
)
def test_conversation_by_hand(kind, about, answer, score, unreadable):
    verdict = judge(TABLE, Question(kind, "", "", about), answer)
    assert (verdict.score, verdict.unreadable) == (score, unreadable)
    assert (len(verdict.true), len(verdict.false)) == (score, 1 - score - unreadable)


# --- reasoning ---------------------------------------------------------------------------------------------------

LARGER = Question("reason", "Which is larger, the fork or the knife? Explain.", "")
MORE = Question("reason", "Are there more cars than forks? Explain.", "")
PLACE = Question("reason", "What kind of scene is this? Explain.", "")


@pytest.mark.parametrize(
    ("question", "answer", "score", "follows"),
    [
        (LARGER, "Reason: The fork is large and the knife is small. Result: The fork.", 1, True),
        (LARGER, "Reason: The fork is large and the knife is small. Result: The knife.", 0, False),
        (LARGER, "Reason: The fork is small and the knife is large. Result: The knife.", 0, True),  # follows, but false
        (LARGER, "Reason: The fork is medium and the knife is small. Result: The fork.", 0, True),  # right by luck
        (LARGER, "Reason: The fork is large. Result: The fork.", 0, False),  # true, but does not settle it
        (LARGER, "Reason: The fork is large and the knife is large. Result: The fork.", 0, False),
        (LARGER, "Reason: The fork is large and the knife is large. Result: The knife.", 0, False),
        (LARGER, "Reason: It shines. The fork is large and the knife is small. Result: The fork.", 0, True),
        (LARGER, "The fork.", 0, False),
        (LARGER, "Reason: Result: The fork.", 0, False),
        (MORE, "Reason: There is one car and two forks. Result: No.", 1, True),
        (MORE, "Reason: There is one car and two forks. Result: Yes.", 0, False),
        (MORE, "Reason: There are two cars and one fork. Result: Yes.", 0, True),
        (PLACE, "Reason: There are two forks and a knife. Result: Table.", 1, True),
        (PLACE, "Reason: There are two forks and a cow. Result: Table.", 0, False),
        (PLACE, "Reason: There is a cow. Result: Farm.", 0, True),
        (PLACE, "Reason: There are two forks and a red car. Result: Table.", 0, False),  # two contexts
    ],
)
def test_reasoning_by_hand(question, answer, score, follows):
    verdict = judge(TABLE, question, answer)
    assert (verdict.score, verdict.follows) == (score, follows)


@pytest.mark.slow
def test_a_corrupted_step_or_result_is_found_everywhere():
    rng, swaps, found = np.random.default_rng(4), {"small": "large", "medium": "small", "large": "medium"}, 0
    for scene in SCENES:
        for question in attribute_questions(scene, rng):
            if question.kind == "reason" and question.prompt.startswith("Which"):
                reason, result = question.answer.split(" Result: ")
                size = next(word for word in reason.split() if word in swaps)
                assert judge(scene, question, f"{reason.replace(size, swaps[size], 1)} Result: {result}").score == 0
                other = next(n for n in mentioned(question.prompt) if n not in mentioned(result))
                assert judge(scene, question, f"{reason} Result: The {other}.").score == 0
                found += 1
    assert found > 100


def test_synonyms_in_the_result():
    scene = Scene(("test", "mixed", 0), (Item("boat", "large", None, (0,)), Item("crab", "small", None, (8,))))
    question = Question("reason", "Which is larger, the boat or the crab? Explain.", "")
    assert judge(scene, question, "Reason: The ship is large and the crab is small. Result: The ship.").score == 1


# --- report ------------------------------------------------------------------------------------------------------


def test_summary_by_hand():
    cow, car, red = present("cow"), present("car"), Claim("colour", "car", "red")
    left = Claim("position", "car", "left")
    got = summarise(
        [
            [Verdict("detailed description", 0.5, (car,), (cow,)), Verdict("conversation", 1.0, (red,), ())],
            [Verdict("detailed description", 0.0, (), (left,), 1), Verdict("conversation", 0.0, (), (), 1)],
            [Verdict("conversation", 0.0, (), (red,))],
        ]
    )
    assert list(got) == ["conversation", "detailed description"]
    described, talked = got["detailed description"], got["conversation"]
    assert (described.score.value, described.score.n) == (0.25, 2)
    assert described.objects.value == 0.5
    assert described.attributes is None
    assert described.relations.value == 1
    assert described.unreadable.value == pytest.approx(1 / 4)  # one sentence beside three claims
    assert talked.score.value == pytest.approx(1 / 3)
    assert talked.attributes.value == 0.5
    assert talked.unreadable.value == pytest.approx(1 / 3)
    assert talked.follows is None


def test_summary_of_reasoning():
    rows = [[Verdict("complex reasoning", 1.0, (present("car"),), (), 0, True)], [judge(TABLE, LARGER, "The fork.")]]
    got = summarise(rows)["complex reasoning"]
    assert (got.score.value, got.follows.value, got.unreadable.value) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: judge(TABLE, Question("taste", "", ""), "Sweet."), "Unknown kind of question 'taste'"),
        (lambda: judge(TABLE, Question("reason", "Why?", ""), "Reason: A fork. Result: Yes."), "not worded as"),
        (lambda: judge(TABLE, Question("relation", "Where?", ""), "Left."), "two objects cannot be told"),
        (lambda: holds(Claim("taste", "bread", "sweet"), TABLE), "Unknown kind of claim 'taste'"),
        (lambda: summarise([[], []]), "no verdicts"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
