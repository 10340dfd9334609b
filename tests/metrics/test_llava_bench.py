"""LLaVA-Bench by hand."""

import json
import re

import pytest

from povid_lib.metrics import llava_bench
from povid_lib.metrics.llm_judge import Review
from tests.support.helpers import faults


def review(text, image="a", category="conv"):
    return Review("1", image, category, text, "wise", "v")


def test_relative_scores_by_hand():
    got = llava_bench.llava_bench(
        [
            review("8 4"),
            review("10 5", "b"),
            review("2 2", "b", "detail"),
            review("?", "a", "detail"),
            review("?", "a", "complex"),
        ]
    )
    assert got["conv"].relative.value == pytest.approx(100 * 9 / 18)
    assert got["detail"].relative.value == pytest.approx(100)
    assert got["detail"].unparsed.value == 0.5  # kept and counted
    assert got["complex"].relative is None
    assert got["all"].relative.value == pytest.approx(100 * 11 / 20)  # of sums, not a mean of shares
    assert got["all"].relative.n == 2  # pictures
    assert got["all"].unparsed.value == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="non-empty"):
        llava_bench.llava_bench([])


def test_a_score_of_nought_counts():
    """Five reviews "8 0" and five "8 6": 30 of 80, and not 30 of 40."""
    told = [review(f"8 {n}\n\nSaid.", str(i)) for i, n in enumerate([0] * 5 + [6] * 5)]
    assert llava_bench.llava_bench(told)["all"].relative.value == pytest.approx(37.5)
    assert llava_bench.llava_bench([review("0 9")])["all"].relative is None  # of nothing
    assert llava_bench.llava_bench([review("0 9"), review("8 1")])["all"].relative.value == pytest.approx(125)


def test_a_picture_is_described_once(files):
    files[1].write_text(files[1].read_text() * 2)
    with pytest.raises(ValueError, match=r"line 2: image 1\.jpg already stands in line 1"):
        llava_bench.read_questions(*files[:3])


@pytest.fixture
def files(tmp_path):
    rows = {
        "questions": [{"question_id": 3, "image": "1.jpg", "category": "conv", "text": "What {is} it?"}],
        "context": [{"image": "1.jpg", "caption": ["A cat.", "It sleeps."]}],
        "reference": [{"question_id": 3, "text": "A cat."}],
        "answers": [{"question_id": 3, "text": "A dog."}],
    }
    for name, lines in rows.items():
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [tmp_path / name for name in rows]


def test_from_files_to_prompt(files):
    *benchmark, answers = files
    (item,) = llava_bench.to_judge(llava_bench.read_questions(*benchmark), llava_bench.read_answers(answers))
    assert all(part in item.prompt for part in ("A cat.\nIt sleeps.", "What {is} it?"))
    assert item.prompt.index("assistant 1: A cat.") < item.prompt.index("assistant 2: A dog.")
    assert (item.id, item.image, item.category) == ("3", "1.jpg", "conv")


def test_a_question_is_asked_once(files):
    second = {"question_id": 4, "image": "1.jpg", "category": "conv", "text": "And?"}
    first = files[0].read_text()
    files[0].write_text(first + first + json.dumps(second))
    assert faults(llava_bench.read_questions, *files[:3]) == [
        "line 2: question_id 3 already stands in line 1; take one out, or change it",
        f"line 3: question 4 needs 4, which {files[2]} lacks; use the files of one release",
    ]


def test_pictures_after_one_that_occurs_twice_are_read(files):
    first = files[1].read_text()
    files[1].write_text(first + first + '{"image": "2.jpg", "caption": 3}\n[]\n')
    told = faults(llava_bench._read_context, files[1])
    assert "line 3: no caption; give it as text, or as a list of texts" in told
    assert "line 4: no caption; give it as text, or as a list of texts" in told


@pytest.mark.parametrize(("lost", "row"), [(1, {"image": "2.jpg", "caption": ""}), (2, {"question_id": 4, "text": ""})])
def test_what_a_question_lacks_is_named(files, lost, row):
    files[lost].write_text(json.dumps(row))
    with pytest.raises(ValueError, match=f"line 1: question 3 needs .*, which .*{files[lost].name} lacks"):
        llava_bench.read_questions(*files[:3])


def test_every_fault_is_named(files):
    files[0].write_text('{"question_id": 3, "image": "1.jpg", "category": "conv"}\n[]\n')
    assert faults(llava_bench.read_questions, *files[:3])[0] == (
        "line 1: no text (its keys: question_id, image, category); give it as text"
    )
    files[1].write_text('{"image": "1.jpg", "caption": 3}\n')
    with pytest.raises(ValueError, match="line 1: no caption; give it as text, or as a list of texts"):
        llava_bench.read_questions(*files[:3])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"image": "", "caption": "A cat."}, "image is ''; give the picture's name"),
        ({"image": " ", "caption": "A cat."}, "image is ' '; give the picture's name"),
        ({"image": "1.jpg", "caption": []}, "no caption; give it as text, or as a list of texts"),
    ],
)
def test_a_description_without_picture_or_words_is_refused(tmp_path, row, said):
    path = tmp_path / "context.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(ValueError, match=re.escape(said)):
        llava_bench._read_context(path)
