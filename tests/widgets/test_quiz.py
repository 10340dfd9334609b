"""Quiz: a question that could mislead is refused when it is written; what is shown is what was written."""

import json

import pytest

from povid_lib.widgets.quiz import Question, Quiz, quiz_spec, quiz_text

CHOICES = (("two", "That is β alone."), ("four", "Two of each model."), ("none", "It is a loss of `logps`."))


def ask(text="How many?", choices=CHOICES, right=1):
    return Question(text, choices, right)


THREE = (ask(), ask("How few?", right=0), ask("How far?", right=2))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"choices": CHOICES[:2]}, "it has 2 choices; give three to six"),
        ({"choices": tuple((str(i), "why") for i in range(7))}, "it has 7 choices"),
        ({"right": 3}, "there is no choice 3; count from 0"),
        ({"right": -1}, "there is no choice -1"),
        ({"right": True}, "not True"),
        ({"right": "four"}, "not 'four'"),
        ({"right": 1.0}, "not 1.0"),
        ({"choices": (*CHOICES, ("five", ""))}, "one of its texts is empty"),
        ({"choices": (*CHOICES, (" ", "why"))}, "one of its texts is empty"),
        ({"text": " "}, "one of its texts is empty"),
        ({"choices": (*CHOICES, ("four", "why"))}, "'four' stands there twice"),
        ({"choices": (*CHOICES, "five")}, "pairs of texts"),
        ({"choices": (*CHOICES, ("five",))}, "pairs of texts"),
        ({"choices": (*CHOICES, (5, "why"))}, "pairs of texts"),
        ({"choices": list(CHOICES)}, "pairs of texts"),
        ({"choices": (*CHOICES, ("$\\beta$", "why"))}, "holds mark-up that is not shown"),
        ({"text": "What is `beta?"}, "backticks in pairs"),
        ({"choices": (*CHOICES, ("five", "say `no"))}, "backticks in pairs"),
    ],
)
def test_a_question_that_could_mislead_is_refused(change, told):
    with pytest.raises(ValueError, match=r"^Question '.*: ") as caught:
        ask(**change)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("questions", "told"),
    [
        ((), "three to five questions, and this one has 0"),
        (THREE[:2], "has 2"),
        ((*THREE, *(ask(f"{i}") for i in range(3))), "has 6"),
        ((THREE[0], THREE[1], THREE[0]), "same question is asked twice"),
        (tuple(ask(f"{i}") for i in range(4)), "number 2 in every question"),
    ],
)
def test_a_quiz_that_gives_itself_away_is_refused(questions, told):
    with pytest.raises(ValueError, match=told):
        Quiz(*questions)


def test_the_page_has_what_was_written():
    found = json.loads(json.dumps(quiz_spec(THREE)))["questions"]
    assert [Question(q["text"], tuple(map(tuple, q["choices"])), q["right"]) for q in found] == list(THREE)


def test_where_no_widget_runs_the_questions_stand_as_text():
    data, _ = Quiz(*THREE)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/markdown"] == quiz_text(quiz_spec(THREE))
    assert "**Question 1.** How many?\n\n- (a) two\n- (b) four\n- (c) none\n" in data["text/markdown"]
    assert data["text/markdown"].endswith("*Right: 1 (b), 2 (a), 3 (c).*")
    assert "Two of each model" not in data["text/markdown"]
