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


def test_a_number_is_coco_s_twelve_digits_of_a_picture(tmp_path):
    for name in (
        "COCO_val2014_000000000012.jpg",
        "mask_12.png",
        "notes_12.txt",
        "notes_000000000012.txt",
        "000000000007.jpg",
    ):
        (tmp_path / name).touch()
    found = {"12": "COCO_val2014_000000000012.jpg", "7": "000000000007.jpg"}
    assert find_pictures(tmp_path, ["12", "7"]) == found
    (tmp_path / "train_7.jpg").touch()
    (tmp_path / "val_9.jpg").touch()
    assert find_pictures(tmp_path, ["12", "7"]) == found
    with pytest.raises(ValueError, match="lacks 1 of 1 pictures: 9"):
        find_pictures(tmp_path, ["9"])
    for name in ("train_000000000007.jpg", "a.png", "a.jpg"):
        (tmp_path / name).touch()
    told = r": 7 is 000000000007\.jpg and train_000000000007\.jpg, a is a\.jpg and a\.png; keep one picture for each id"
    with pytest.raises(ValueError, match=told):
        find_pictures(tmp_path, ["12", "7", "a"])
    assert find_pictures(tmp_path, ["a.png"]) == {"a.png": "a.png"}


def test_questions_with_special_tokens_are_told_before_any_is_asked(vlm, tmp_path):
    asked = [answers.Asked("1", "a", "What?"), answers.Asked("2", "a", "A </s>?"), answers.Asked("3", "a", "<image>?")]
    with pytest.raises(
        ValueError, match=r"the questions: 2 faults\n  question 2: holds </s>.*\n  question 3: holds <image>"
    ):
        answers.ask_all(vlm, asked, tmp_path, {"a": "a.png"}, tmp_path / "said.jsonl", answers.ANSWERS, 4, 8)
    assert not (tmp_path / "said.jsonl").exists()


@pytest.mark.parametrize("constant", [float("nan"), float("inf")])
def test_a_constant_that_is_no_number_is_refused(constant):
    with pytest.raises(ValueError, match=r"end_bias is (nan|inf); give a number"):
        answers.Asking(end_bias=constant)
