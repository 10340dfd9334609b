"""Pairs: words that differ are marked, and nothing gives the false answer away."""

from povid_lib.data.pairs import Change, Pair
from povid_lib.widgets.pairs import pairs_spec
from povid_lib.world.scenes import scenes

SCENES = list(scenes(2, split="validation"))


def test_pairs_spec_marks_the_words_that_differ_and_says_which_answer_is_false():
    pair = Pair("1", "x.png", "What?", "A red cup.", "A blue cup.", (Change("attribute", "red", "blue"),))
    (row,) = pairs_spec([pair], SCENES[:1], ["hard"])["pairs"]
    assert row["answers"][1 - row["false"]] == [["A", False], ["red", True], ["cup.", False]]
    assert row["answers"][row["false"]] == [["A", False], ["blue", True], ["cup.", False]]
    assert row["changes"] == [["attribute", "red", "blue"]]
    assert row["label"] == "hard"


def test_neither_place_nor_order_tells_which_answer_is_false():
    pairs = [Pair(str(i), "x.png", f"{i}?", "A cup.", "A fork.") for i in range(40)]
    rows = pairs_spec(pairs, SCENES[:1] * 40, [str(i) for i in range(40)])["pairs"]
    assert 10 < sum(row["false"] for row in rows) < 30
    assert [row["label"] for row in rows] != [str(i) for i in range(40)]
    assert all(row["prompt"] == f"{row['label']}?" for row in rows)  # nothing was mixed between pairs
    assert all([word for word, _ in row["answers"][row["false"]]] == ["A", "fork."] for row in rows)
    again = pairs_spec(pairs, SCENES[:1] * 40, [str(i) for i in range(40)])["pairs"]
    assert again == rows


def test_always_the_same_click_is_no_better_than_a_guess_at_any_kind():
    labels = ["partner", "stranger", "partner"] * 4
    pairs = [Pair(str(i), "x.png", f"{i}?", "A cup.", "A fork.") for i in range(12)]
    rows = pairs_spec(pairs, SCENES[:1] * 12, labels)["pairs"]
    found = {label: [row["false"] for row in rows if row["label"] == label] for label in set(labels)}
    assert {label: 2 * sum(sides) for label, sides in found.items()} == {"partner": 8, "stranger": 4}
