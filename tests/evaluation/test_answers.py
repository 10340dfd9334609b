"""Answers that are kept as they come, and the pictures that are asked about."""

import json

import pytest
from PIL import Image

from povid_lib.evaluation import answers
from povid_lib.evaluation.answers import ANSWERS, find_pictures, kept


def test_rows_without_an_answer_are_asked_in_batches_and_added(tmp_path):
    file, asked = tmp_path / "new" / "a.jsonl", []

    def answer(rows):
        asked.append(list(rows))
        return [f"é {i}" for i in rows]

    ids = ["a", "b", "c", "d", "e"]
    assert kept(file, ANSWERS, ids[:1], answer, 2) == ["é 0"]
    assert kept(file, ANSWERS, ids, answer, 3) == [f"é {i}" for i in range(5)]
    assert asked == [[0], [1, 2, 3], [4]]
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert rows == [{"question_id": key, "answer": f"é {i}"} for i, key in enumerate(ids)]
    assert kept(file, ANSWERS, ids[::-1], answer, 3) == [f"é {i}" for i in range(5)][::-1]  # by id, not by place
    assert len(asked) == 3


def test_without_a_file_all_rows_are_asked_at_once(tmp_path):
    asked = []
    assert kept(None, ANSWERS, ["a", "b", "c"], lambda rows: asked.append(list(rows)) or "xyz", 2) == ["x", "y", "z"]
    assert asked == [[0, 1, 2]]


def test_a_line_that_is_no_answer_is_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"question_id": "a", "answer": "x"}\n{"question_id": "b"}\n')
    with pytest.raises(ValueError, match="line 2: no answer"):
        kept(file, ANSWERS, ["a", "b"], lambda rows: ["y"] * len(rows), 2)


def test_pictures_are_found_by_id_name_and_coco_number(tmp_path):
    for name in ("7.png", "a.jpg", "COCO_val2014_000000000042.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    found = find_pictures(tmp_path, ["7", "a.jpg", "42"])
    assert found == {"7": "7.png", "a.jpg": "a.jpg", "42": "COCO_val2014_000000000042.jpg"}
    with pytest.raises(ValueError, match="lacks 1 of 2 pictures: 8"):
        find_pictures(tmp_path, ["7", "8"])


def test_questions_with_special_tokens_are_told_before_any_is_asked(vlm, tmp_path):
    asked = [answers.Asked("1", "a", "What?"), answers.Asked("2", "a", "A </s>?"), answers.Asked("3", "a", "<image>?")]
    with pytest.raises(
        ValueError, match=r"the questions: 2 faults\n  question 2: holds </s>.*\n  question 3: holds <image>"
    ):
        answers.ask_all(vlm, asked, tmp_path, {"a": "a.png"}, tmp_path / "said.jsonl", answers.ANSWERS, 4)
    assert not (tmp_path / "said.jsonl").exists()
