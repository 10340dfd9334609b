"""AMBER by hand, in its own file formats."""

import json
import math
import re

import pytest

from povid_lib.metrics.amber import amber, discriminative, generative, score_description
from povid_lib.metrics.amber_files import (
    DIMENSIONS,
    Description,
    Poll,
    WordTable,
    noun_reader,
    read_annotations,
    read_queries,
    read_responses,
    read_word_table,
)

WORDS = WordTable(
    related={
        "forest": ("tree", "leave"),
        "tree": ("forest",),
        "ship": ("boat",),
        "sky": (),
        "bird": (),
        "sun": (),
        "sea": ("water",),
        "can": (),
        "child": ("boy",),
        "knife": (),
        "cherry": (),
    },
    safe=frozenset({"sun"}),
)
PICTURE = Description("1", ("forest", "sea", "ship", "ship"), ("sky", "bird", "tree"))


def score(text):
    return score_description(PICTURE, text, WORDS)


def test_one_description_by_hand():
    got = score("Boats on the water under a sky with birds, a bird and the sun. A happy cow.")
    assert got.objects == ("boat", "water", "sky", "bird", "bird", "sun")  # no cow in the table
    assert got.hallucinated == ("sky", "bird", "bird")  # each mention; the sun is safe
    assert (got.covered, got.truth) == (2, 4)  # the ship that is annotated twice is found once
    assert (got.expected, got.hallu) == (2, 3)


def test_a_true_word_is_never_an_expected_one():
    got = score("A tree.")  # related to the forest, which is there, although "tree" itself is listed as absent
    assert (got.hallucinated, got.covered, got.expected) == ((), 1, 0)


def test_a_word_is_credited_to_the_first_object_that_it_matches():
    both = Description("1", ("forest", "tree"), ())
    assert score_description(both, "A tree.", WORDS).covered == 1
    assert score_description(both, "A tree with leaves.", WORDS).covered == 1  # both find the forest, neither the tree
    assert score_description(both, "A tree and a forest.", WORDS).covered == 2


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("Trees, CHERRIES and knives.", ["tree", "cherry", "knife"]),
        ("Children with leaves", ["child", "leave"]),
        ("We can see cans.", ["can"]),  # the verb is not read
        ("a seabird, treeless", []),
    ],
)
def test_reading_nouns(text, nouns):
    assert noun_reader(WORDS)(text) == nouns


def test_other_english_words_are_no_plurals():
    """With AMBER's own short words: a plural form too many would read verbs and other nouns as objects."""
    table = WordTable(
        dict.fromkeys(("pan", "tub", "cafe", "can", "car", "star", "hat", "bar", "tie", "shelf", "box"), ()),
        frozenset(),
    )
    read = noun_reader(table)
    assert read("Panes and tubes in caves; canes and bares; he cares, stares and hates.") == []
    assert read("Pans, tubs, cafes, cars, stars, hats, bars, ties, boxes.") == [
        "pan", "tub", "cafe", "car", "star", "hat", "bar", "tie", "box",
    ]  # fmt: skip


def test_generative_by_hand():
    got = generative([score("A boat, a bird, a bird and water."), score("A forest."), score("Nothing.")])
    assert got.chair.value == pytest.approx(2 / 5)  # each mention counts
    assert got.cover.value == pytest.approx(3 / 12)
    assert got.hal.value == pytest.approx(1 / 3)  # a description without objects counts
    assert got.cog.value == pytest.approx(1 / 9)
    assert got.hal.n == 3


def test_without_objects_there_is_no_chair():
    got = generative([score_description(Description("1", ("sea",), ()), "Nothing.", WORDS)])
    assert math.isnan(got.chair.value)
    assert math.isnan(got.cog.value)
    assert (got.cover.value, got.cog.n) == (0, 1)


def polls(*pairs, kind="discriminative-relation"):
    return [(Poll(str(i), kind, truth), said) for i, (truth, said) in enumerate(pairs)]


def test_discriminative_by_hand_with_no_as_the_positive_class():
    got = discriminative(
        [
            polls((False, "No"), (False, "Yes"), (False, "No, never.")),
            polls((True, "No"), (True, "Yes"), (False, "Perhaps")),
        ]
    )
    assert got.accuracy.value == pytest.approx(3 / 6)
    assert got.precision.value == pytest.approx(2 / 3)
    assert got.recall.value == pytest.approx(2 / 4)
    precision, recall = 2 / 3, 2 / 4
    assert got.f1.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert got.unclear.value == pytest.approx(1 / 6)
    assert got.accuracy.n == 2  # images, not questions


def test_always_yes_has_no_precision():
    got = discriminative([polls((True, "Yes"), (False, "Yes"))])
    assert math.isnan(got.precision.value)
    assert (got.recall.value, got.f1.value) == (0, 0)


# --- the files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    def write(name, rows):
        path = tmp_path / name
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return path

    return write


ANNOTATIONS = [
    {"id": 1, "type": "generative", "truth": ["forest", "sea"], "hallu": ["sky"]},
    {"id": 2, "type": "generative", "truth": ["ship"], "hallu": ["bird"]},
    {"id": 3, "type": "discriminative-hallucination", "truth": "no"},
    {"id": 4, "type": "discriminative-attribute-state", "truth": "yes"},
    {"id": 5, "type": "relation", "truth": "no"},
    {"id": 6, "type": "discriminative-relation", "truth": "yes"},
]
RESPONSES = ["A forest and a sky.", "A boat.", "No", "No", "Yes", "Yes"]


def test_from_files_to_scores(files):
    annotations = read_annotations(files("annotations.json", ANNOTATIONS))
    rows = [{"id": i, "image": f"AMBER_{1 + (i % 2 == 0)}.jpg", "query": "Describe this image."} for i in range(1, 7)]
    queries = read_queries(files("query.json", rows))
    assert [q.text for q in queries] == ["Describe this image."] * 6
    images = {q.id: q.image for q in queries}
    table = read_word_table(
        files("relation.json", {"forest": ["Tree"], "sea": [], "ship": ["boat"], "sky": [], "bird": []}),
        files("safe_words.txt", "sun\n\nlight\n"),
    )
    assert table.related["forest"] == ("tree",)
    assert table.safe == {"sun", "light"}
    responses = read_responses(files("r.json", [{"id": i, "response": r} for i, r in enumerate(RESPONSES, start=1)]))
    got = amber(annotations, responses, images, table)
    assert got.generative.chair.value == pytest.approx(1 / 3)
    assert got.generative.cover.value == pytest.approx(2 / 3)
    assert got.generative.cog.value == pytest.approx(1 / 2)
    assert set(got.discriminative) == {"all", "existence", "attribute", "state", "relation"}
    assert got.discriminative["relation"].accuracy.value == 0.5
    assert got.discriminative["attribute"].accuracy.value == 0
    f1 = 2 * 1 / (2 + 2)  # one "no" of two is right, and one "no" of two is found
    assert got.discriminative["all"].f1.value == pytest.approx(f1)
    assert got.score.value == pytest.approx((1 - 1 / 3 + f1) / 2)
    assert got.score.n == 2
    assert got.score.low <= got.score.value <= got.score.high
    assert amber(annotations, {"1": RESPONSES[0]}, images, table).score is None
    assert amber(annotations, {"3": "No"}, images, table).generative is None


def test_score_of_one_image_has_no_interval():
    annotations, images = {"1": PICTURE, "2": Poll("2", "relation", False)}, {"1": "a", "2": "a"}
    got = amber(annotations, {"1": "A boat and a bird.", "2": "No"}, images, WORDS)
    assert got.score.value == pytest.approx((1 - 1 / 2 + 1) / 2)
    assert got.score.low != got.score.low
    nothing_said = amber(annotations, {"1": "Nothing.", "2": "No"}, images, WORDS)
    assert math.isnan(nothing_said.generative.chair.value)
    assert math.isnan(nothing_said.score.value)


def test_every_fault_of_a_file_is_named_with_its_line(files):
    rows = [
        {"id": 1, "truth": []},
        3,
        ANNOTATIONS[2],
        ANNOTATIONS[2],
        {**ANNOTATIONS[0], "id": 5, "hallu": "sky"},
        {**ANNOTATIONS[2], "id": 6, "type": ["taste"]},
        {**ANNOTATIONS[2], "id": 7, "truth": "maybe"},
    ]
    path = files("annotations.json", "[" + ",\n".join(map(json.dumps, rows)) + "]")
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: 6 faults") as error:
        read_annotations(path)
    kinds = ", ".join(DIMENSIONS)
    assert str(error.value).split("\n  ")[1:] == [
        f"line 1, entry 1: type None is not generative or one of {kinds}",
        "line 2, entry 2: no id (3 is no object); give the row one",
        "line 4, entry 4: id 3 already stands in line 3, entry 3; take one out, or change it",
        "line 5, entry 5: a generative row needs lists of words in truth and hallu",
        f"line 6, entry 6: type ['taste'] is not generative or one of {kinds}",
        'line 7, entry 7: truth is \'maybe\'; "yes" or "no" is needed',
    ]
    with pytest.raises(
        ValueError,
        match=r"(?s)r.json: 2 faults.*entry 1: response is None; give it as text.*entry 2: id 1 already stands",
    ):
        read_responses(files("r.json", [{"id": 1, "response": None}, {"id": 1, "response": "No"}]))
    with pytest.raises(ValueError, match=r"(?s)q.json: 1 fault.*line 1: no JSON"):
        read_queries(files("q.json", '[{"id": 1'))


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (
            lambda: score_description(Description("7", ("cow",), ()), "", WORDS),
            "Annotation 7: cow not in relation.json",
        ),
        (lambda: amber({}, {}, {}, WORDS), "no responses"),
        (lambda: amber({"1": PICTURE}, dict.fromkeys("123", ""), {}, WORDS), "id 2 .and 1 more. has no annotation"),
        (lambda: amber({"1": PICTURE}, {"1": ""}, {}, WORDS), "has no image"),
        (lambda: generative([]), "non-empty"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()


def test_a_word_table_of_the_wrong_form_is_named(files):
    for rows, complaint in (
        (["forest"], "line 1: an object -> related words table must begin with {"),
        ({"sea": [], "forest": ["tree", 3]}, "line 1, entry 2: what is related to forest is not a list of words"),
    ):
        path = files("relation.json", rows)
        with pytest.raises(ValueError, match=f"{re.escape(str(path))}: 1 fault\n  {re.escape(complaint)}"):
            read_word_table(path, files("safe_words.txt", ""))
