"""Files: read as written, and every fault named with its line."""

import json
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from povid_lib.metrics.chair import chair, score_captions
from povid_lib.metrics.files import (
    holds_coco,
    holds_questions,
    read_answers,
    read_captions,
    read_coco_truth,
    read_questions,
    read_truth,
    write_answers,
    write_captions,
    write_questions,
)
from povid_lib.metrics.lemmas import as_written
from povid_lib.metrics.pope import SETTINGS, PopeQuestion
from povid_lib.metrics.vocabulary import Vocabulary, coco_vocabulary
from tests.support.helpers import faults

SMALL = Vocabulary({"cat": "cat", "kitten": "cat", "dog": "dog"}, lemmatise=as_written)


@pytest.fixture
def write(tmp_path):
    def to(content, name="file.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return to


def test_captions_as_lines_as_a_list_and_with_a_byte_order_mark(write):
    lines = '{"image_id": 42, "caption": "A café."}\r\n\n{"image_id": "x", "caption": ""}\n'
    want = {"42": "A café.", "x": ""}
    assert read_captions(write(lines)) == want
    assert read_captions(write(b"\xef\xbb\xbf" + lines.encode())) == want
    as_list = json.dumps([{"image_id": 42, "caption": "A café."}, {"image_id": "x", "caption": ""}], indent=1)
    assert list(read_captions(write(as_list), ["42", "x", "y"])) == ["42", "x"]


def test_every_fault_of_a_caption_file_is_named_at_once(write):
    path = write(
        b'{"image_id": 1, "caption": "a"}\n'
        b'{"caption": "no id"}\n'
        b'{"image_id": 1, "caption": "again"}\n'
        b'{"image_id": 7, "caption": "stranger"}\n'
        b'{"image_id": 2, "caption": "caf\xe9"}\n'
        b'{"image_id": 3}\n'
        b'{"image_id": 4, \n'
        b'{"image_id": true, "caption": "a"}\n'
    )
    assert faults(read_captions, path, ["1", "2", "3", "4"]) == [
        "line 5: byte 32 (0xe9) is not UTF-8; save the file as UTF-8",
        "line 7: no JSON (Expecting property name enclosed in double quotes at column 17); mend it there",
        "line 2: no image_id (its keys: caption); give the row one",
        "line 3: image_id 1 already stands in line 1; take one out, or change it",
        "line 4: image 7 is not among the 4 images of the truth",
        "line 6: no caption (its keys: image_id); give it as text",
        "line 8: image_id is True, neither number nor name; give it one of them",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file holds nothing; give one that has rows"),
        (b" \n\n", "the file holds nothing; give one that has rows"),
        (b"[]", "the file holds nothing; give one that has rows"),
        ("[]".encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
        (b"[1,\n", "line 2: no JSON (Expecting value at column 1); mend it there"),
        (b'[{"image_id": 1, "caption": "a"}\n {}]', "line 2: no JSON (Expecting ',' at column 2); mend it there"),
        (b'[{"image_id": 1, "caption": "a"}] x', "line 1: no JSON (Extra data at column 34); mend it there"),
        (
            b'[{"image_id": 1, "caption": "a"},\n{"image_id": 2}]',
            "line 2, entry 2: no caption (its keys: image_id); give it as text",
        ),
    ],
)
def test_captions_that_are_none(write, content, complaint):
    assert faults(read_captions, write(content)) == [complaint]


def test_one_cause_takes_five_lines_at_most_and_names_the_keys_that_are_there(write):
    with pytest.raises(ValueError, match="faults") as error:
        read_captions(write('{"image": 1, "text": "A cat."}\n' * 65 + '{"image_id": 7, "caption": 3}\n'))
    head, *lines = str(error.value).split("\n  ")
    assert head.endswith("file.json: 131 faults")
    assert lines == [
        *(f"line {n}: no {what}" for n in (1, 2) for what in (
            "image_id (its keys: image, text); give the row one", "caption (its keys: image, text); give it as text")),
        *(f"line {n}: no {what}" for n in (3, 4) for what in (
            "image_id (its keys: image, text); give the row one", "caption (its keys: image, text); give it as text")),
        "... and 61 more like it", "... and 62 more like it",
    ]  # fmt: skip


def test_a_key_that_stands_twice_is_refused_wherever_it_stands(write):
    twice = "no JSON (key 'caption' stands twice in one object); mend it there"
    row = '{"image_id": 1, "caption": "a", "caption": "b"}'
    assert faults(read_captions, write(row)) == [f"line 1: {twice}"]
    assert faults(read_captions, write(f"[\n{row}]")) == [f"line 2: {twice}"]
    with pytest.raises(ValueError, match="key 'id' stands twice in one object"):
        read_coco_truth(write('{"images": [{"id": 1, "id": 2}]}'), write("{}", "captions.json"), COCO)


def test_what_may_never_end_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="is a pipe or a device; give the name of a file"):
            read_captions(path)
    with pytest.raises(ValueError, match="is a pipe or a device"):
        write_captions("/dev/null", {"1": "a"})


def test_plain_truth(write):
    truth = read_truth(write('{"1": ["dog", "cat"],\n "2": []}'), SMALL)
    assert truth == {"1": ("dog", "cat"), "2": ()}


def test_every_fault_of_a_truth_file(write):
    path = write('{"1": ["dog", "kitten"],\n"2": ["cow"],\n"1": ["dog"], "3": "dog"}')
    assert faults(read_truth, path, SMALL) == [
        "line 1, entry 1: image 1: 'kitten' is no category of the vocabulary; say 'cat'",
        "line 2, entry 2: image 2: 'cow' is no category of the vocabulary",
        "line 3, entry 3: image 1 occurs a second time",
        "line 3, entry 4: the objects of image 3 are not a list of words",
    ]
    assert faults(read_truth, write("[1]"), SMALL) == ["line 1: an image id -> objects table must begin with {"]
    assert faults(read_truth, write('{"1" ["dog"]}'), SMALL) == [
        "line 1: no JSON (Expecting a key and ':' at column 6); mend it there"
    ]
    assert faults(read_truth, write("{}"), SMALL) == ["the file holds nothing; give one that has rows"]


# --- a small COCO: each image has its own object and five captions that name it and others ----------------------------

COCO = coco_vocabulary()
NAMES = COCO.categories[::4]


def small_coco(write, **changes):
    images = [{"id": 100 + i} for i in range(len(NAMES))]
    instances = {
        "images": images,
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
        "annotations": [{"image_id": 100 + i, "category_id": i} for i in range(len(NAMES))] * 2,
    }
    said = {100 + i: [f"A {name}.", "Nothing.", f"There are two {name}s."] for i, name in enumerate(NAMES)}
    said[100][1] = "A zebra and a bus."
    captions = {
        "images": images,
        "annotations": [{"image_id": key, "caption": text} for key, texts in said.items() for text in texts],
    }
    tables = {"instances": instances, "captions": captions}
    for key, value in changes.items():
        file, table = key.split("_")
        tables[file][table] = value
    return [write(json.dumps(tables[name]), f"{name}.json") for name in tables], said


def test_truth_of_coco_is_instances_and_captions(write):
    paths, _ = small_coco(write)
    truth = read_coco_truth(*paths, COCO)
    assert truth["100"] == (NAMES[0], "zebra", "bus")
    assert truth["101"] == (NAMES[1],)
    assert len(truth) == len(NAMES)


def test_truth_of_coco_without_captions_is_its_instances(write):
    (instances, _), _ = small_coco(write)
    assert read_coco_truth(instances, None, COCO) == {str(100 + i): (name,) for i, name in enumerate(NAMES)}
    with pytest.raises(ValueError, match=r"the table `images` is missing; give COCO's annotation file"):
        read_coco_truth(write("[1, 2]", "list.json"), None, COCO)


def test_human_captions_have_no_hallucination_and_the_next_images_captions_have_almost_nothing_else(write):
    paths, said = small_coco(write)
    truth = read_coco_truth(*paths, COCO)
    own = {str(key): " ".join(texts) for key, texts in said.items()}
    got = chair(score_captions(own, truth, COCO.mentioned))
    assert (got.chair_s.value, got.chair_i.value, got.recall.value) == (0, 0, 1)
    shifted = dict(zip(own, [*list(own.values())[1:], own["100"]], strict=True))
    got = chair(score_captions(shifted, truth, COCO.mentioned))
    assert (got.chair_s.value, got.chair_i.value, got.recall.value) == (1, 1, 0)


def test_faults_of_coco_files(write):
    paths, _ = small_coco(
        write,
        instances_categories=[{"id": 0, "name": "gnu"}],
        instances_annotations=[{"image_id": 100, "category_id": 5}, {"image_id": 9, "category_id": 0}],
    )
    assert faults(read_coco_truth, *paths, COCO) == [
        "categories: 'gnu' is no category of the vocabulary",
        "annotation 1: category 5 is not in the table `categories`",
        "annotation 2: image 9 is not in the table `images`",
    ]
    paths, _ = small_coco(write, instances_images=[{"id": "100"}, {}], instances_annotations=3)
    assert faults(read_coco_truth, *paths, COCO) == [
        "`images`, row 2: no id; give it",
        "the table `annotations` is missing (its tables: images, categories, annotations); give COCO's annotation file",
    ]
    paths, _ = small_coco(write, captions_images=[{"id": 100 + i} for i in range(1, len(NAMES))])
    with pytest.raises(
        ValueError, match=r"captions.json: 4 faults\n  image 100 is in only one of this file and"
    ) as error:
        read_coco_truth(*paths, COCO)
    assert "annotation 1: image 100 is not in the table `images`" in str(error.value)


@pytest.mark.parametrize("wrong", [None, 3, ["A dog."]])
def test_captions_of_coco_that_are_no_text_are_refused(write, wrong):
    paths, _ = small_coco(write, captions_annotations=[{"image_id": 100, "caption": wrong}])
    with pytest.raises(ValueError, match=re.escape(f"caption is {wrong!r}; a text is needed")):
        read_coco_truth(*paths, COCO)


def test_a_table_of_objects_is_told_from_a_file_of_coco(write):
    paths, _ = small_coco(write)
    assert [holds_coco(path) for path in paths] == [True, True]
    assert not holds_coco(write('{"images": ["dog"]}', "images.json"))
    assert not holds_coco(write('["images", "annotations"]', "list.json"))
    assert not holds_coco(write("{", "none.json"))


@pytest.mark.parametrize("wrong", [None, [1], True, float("nan"), 1.5, "", {}])
def test_ids_of_coco_that_are_none_are_refused(write, wrong):
    paths, _ = small_coco(write, instances_images=[{"id": wrong}, {"id": 101}])
    told = faults(read_coco_truth, *paths, COCO)
    assert told[0].startswith("`images`, row 1: id is ")
    paths, _ = small_coco(write, instances_annotations=[{"image_id": 100, "category_id": wrong}])
    assert faults(read_coco_truth, *paths, COCO)[0].startswith("`annotations`, row 1: category_id is ")
    paths, _ = small_coco(write, captions_annotations=[{"image_id": wrong, "caption": "A dog."}])
    with pytest.raises(ValueError, match=r"(?s)captions\.json: .*`annotations`, row 1: image_id is "):
        read_coco_truth(*paths, COCO)


def test_ids_of_coco_that_stand_twice_are_refused(write):
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    paths, _ = small_coco(write, instances_categories=[*categories, {"id": "1", "name": "dog"}])
    assert faults(read_coco_truth, *paths, COCO) == [f"`categories`, row {len(NAMES) + 1}: id 1 occurs a second time"]
    images = [{"id": 100 + i} for i in range(len(NAMES))]
    for name in ("instances", "captions"):
        paths, _ = small_coco(write, **{f"{name}_images": [*images, {"id": "100"}]})
        told = rf"(?s){name}\.json: .*`images`, row {len(NAMES) + 1}: id 100 occurs a second time"
        with pytest.raises(ValueError, match=told):
            read_coco_truth(*paths, COCO)


QUESTIONS = [
    PopeQuestion("1", "a.jpg", "Is there a dog in the image?", True),
    PopeQuestion("2", "a.jpg", "Cat?", False),
]


def test_questions_are_written_as_they_are_read(tmp_path):
    questions = [*QUESTIONS, PopeQuestion("3", "é.jpg", "Is there a crêpe in the image?", True)]
    write_questions(tmp_path / "questions.jsonl", questions)
    assert read_questions(tmp_path / "questions.jsonl") == questions
    assert "crêpe" in (tmp_path / "questions.jsonl").read_text(encoding="utf-8")
    assert holds_questions(tmp_path / "questions.jsonl")


def test_questions_in_the_published_format(write):
    lines = [
        {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"},
        {"question_id": 2, "image": "a.jpg", "text": "Cat?", "label": "no"},
    ]
    assert read_questions(write("\n".join(map(json.dumps, lines)))) == QUESTIONS
    bad = [
        {**lines[0], "label": "maybe"},
        {**lines[1], "question_id": 1},
        {"question_id": 3, "text": "a", "label": "no"},
        {**lines[0], "question_id": 4, "label": ""},
    ]
    assert faults(read_questions, write("\n".join(map(json.dumps, bad)))) == [
        "line 1: label is 'maybe'; it must be yes or no",
        "line 2: question_id 1 already stands in line 1; take one out, or change it",
        "line 3: no image (its keys: question_id, text, label); give it as text",
        "line 4: label is ''; it must be yes or no",
    ]


def test_answers(write):
    assert read_answers(write('{"question_id": 1, "answer": "Yes"}\n{"question_id": 2, "text": "No"}')) == {
        "1": "Yes",
        "2": "No",
    }
    bad = write('{"question_id": 1}\n{"question_id": 5, "answer": "Yes"}\n{"question_id": 5, "answer": "No"}')
    assert faults(read_answers, bad, QUESTIONS) == [
        "line 1: no answer or text (its keys: question_id); give it as text",
        "line 2: question 5 was not asked",
        "line 3: question_id 5 already stands in line 2; take one out, or change it",
    ]


@pytest.mark.parametrize("answer", ["null", "3", "[]", '{"text": "Yes"}'])
def test_the_question_is_not_taken_for_an_answer_that_is_none(write, answer):
    row = f'{{"question_id": 1, "answer": {answer}, "text": "Is there a cat?"}}'
    (fault,) = faults(read_answers, write(row), QUESTIONS)
    assert fault.startswith("line 1: answer is ")
    assert fault.endswith("; give it as text")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
IDS = st.text("abc019_.", min_size=1, max_size=8)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(IDS, TEXTS, min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("written") / "rows.jsonl"
    for write, read in ((write_captions, read_captions), (write_answers, read_answers)):
        write(path, rows)
        assert read(path) == rows


def test_files_of_the_reference_are_read(reference):
    for model in ("llava15", "instructblip"):
        assert len(read_captions(reference / f"captions/{model}_greedy.jsonl")) == 500
    for setting in SETTINGS:
        questions = read_questions(reference / f"pope/coco_pope_{setting}.json")
        assert len(questions) == 3000
        assert sum(q.present for q in questions) == 1500


def test_truth_after_a_fault_is_read_too(tmp_path):
    path = tmp_path / "truth.json"
    path.write_text('{"a": 3, "b": ["cat"], "b": ["dog"], "c": 4}')
    told = faults(read_truth, path, coco_vocabulary())
    assert [line.split(": ", 1)[1] for line in told] == [
        "the objects of image a are not a list of words",
        "image b occurs a second time",
        "the objects of image c are not a list of words",
    ]
