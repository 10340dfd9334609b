"""MMHal-Bench by hand."""

import json

import pytest

from povid_lib.metrics import mmhal
from povid_lib.metrics.llm_judge import Review
from tests.support.helpers import faults


def review(text, kind="attribute"):
    return Review("1", "a", kind, text, "wise", "v")


def test_scores_by_hand():
    got = mmhal.mmhal([review("Rating: 6"), review("Rating: 3"), review("Rating: 2", "count"), review("?", "count")])
    assert got.score.value == pytest.approx((6 + 3 + 2 + 0) / 4)
    assert got.hallucination.value == 0.5  # below 3; what cannot be read counts as 0
    assert {kind: e.value for kind, e in got.by_kind.items()} == {"attribute": 4.5, "count": 1.0}
    assert got.unparsed.value == 0.25
    with pytest.raises(ValueError, match="non-empty"):
        mmhal.mmhal([])


ROW = {
    "image_id": "i", "question_type": "count", "image_content": ["Cat", "Dog"], "question": "How {many}?", "gt_answer": "Two.",
    "model_answer": "Three.",
}  # fmt: skip


def test_from_files_to_prompt(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([ROW]))
    questions = mmhal.read_questions(path)
    (item,) = mmhal.to_judge(questions, mmhal.read_answers(path, questions))
    assert all(part in item.prompt for part in ("Cat, Dog", "How {many}?", "Two.", "Three.", "Rating: N"))
    assert (item.id, item.image, item.category) == ("1", "i", "count")


def test_answers_to_one_question_about_exchanged_photos_are_refused(tmp_path):
    path = tmp_path / "r.json"
    rows = [ROW, ROW | {"image_id": "k"}]
    path.write_text(json.dumps(rows))
    questions = mmhal.read_questions(path)
    assert set(mmhal.read_answers(path, questions)) == {"1", "2"}
    path.write_text(json.dumps(rows[::-1]))
    assert faults(mmhal.read_answers, path, questions) == [
        "line 1, entry 1: image_id is 'k', in the template 'i'; keep its order",
        "line 1, entry 2: image_id is 'i', in the template 'k'; keep its order",
    ]


def test_faults_are_named_with_their_lines(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps([ROW, ROW | {"image_content": "Dog"}, {k: v for k, v in ROW.items() if k != "gt_answer"}])
    )
    assert faults(mmhal.read_questions, path) == [
        "line 1, entry 2: no image_content; give it as a list of words",
        "line 1, entry 3: no gt_answer (its keys: image_id, question_type, image_content, question, model_answer); give it as text",
    ]
    path.write_text(json.dumps([ROW] * 3))
    questions = mmhal.read_questions(path)
    path.write_text(json.dumps([ROW | {"model_answer": None}, ROW | {"question": "What?"}]))
    assert faults(mmhal.read_answers, path, questions) == [
        "2 rows for 3 questions; give an answer to each, in their order",
        "line 1, entry 1: model_answer is None; give it as text",
        "line 1, entry 2: not the question that stands there in the template; keep its order",
    ]


def test_answers_need_not_repeat_question_and_picture(tmp_path):
    path, answers = tmp_path / "r.json", tmp_path / "a.json"
    path.write_text(json.dumps([ROW]))
    answers.write_text(json.dumps([{"model_answer": "Three."}]))
    assert mmhal.read_answers(answers, mmhal.read_questions(path)) == {"1": "Three."}


def test_what_is_no_row_is_told_with_the_rest(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([3, ROW | {"image_content": 3}]))
    told = faults(mmhal.read_questions, path)
    assert "line 1, entry 1: no image_content; give it as a list of words" in told
    assert "line 1, entry 2: no image_content; give it as a list of words" in told
