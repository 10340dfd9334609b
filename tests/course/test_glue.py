"""Numbers of a record, glued under their paths; what is glued is read back as the page reads it."""

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from povid_lib.course.glue import glue_many, glue_record, number, shown_p, signed, written
from povid_lib.metrics.stats import Estimate

RECORD = {
    "scenes": 40,
    "words": {"true/seen": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 40}, "empty": None},
    "seeds": [1, 2],
    "provenance": {"commit": "abc", "whole": True},
}


@pytest.fixture
def glued():
    """Call a function and give back what it glued, by name."""
    InteractiveShell.instance()  # without a shell `display` prints

    def call(function, *args, **kwargs):
        with capture_output(display=True) as caught:
            function(*args, **kwargs)
        marks = [output.metadata["scrapbook"] for output in caught.outputs]
        assert {m["mime_prefix"] for m in marks} <= {"application/papermill.record/"}
        texts = [output.data["application/papermill.record/text/plain"] for output in caught.outputs]
        return dict(zip((m["name"] for m in marks), texts, strict=True))

    return call


def test_number_walks_the_path():
    assert number({"a": {"b c": {"d": 3}}}, "a/b c/d") == 3
    with pytest.raises(KeyError, match="a/x: there is no 'x'; there is b, c"):
        number({"a": {"b": 1, "c": 2}}, "a/x")
    with pytest.raises(KeyError, match="a/b/c: there is no 'c'; there is a single value"):
        number({"a": {"b": 1}}, "a/b/c")
    assert number({"a": Estimate(0.5, 0.25, 0.75, 9)}, "a/low") == 0.25


def test_a_record_is_glued_number_by_number(glued):
    assert glued(glue_record, RECORD, prefix="p", sep="-") == {
        "p-scenes": "40",
        "p-words-true/seen-value": "0.5",
        "p-words-true/seen-low": "0.25",
        "p-words-true/seen-high": "0.75",
        "p-words-true/seen-n": "40",
    }


def test_paths_choose(glued):
    record = {"a": {"x": {"value": 1.5}, "y": 2}, "b": 3, "c": 4}
    assert glued(glue_record, record, "a/x", "c") == {"a/x/value": "1.5", "c": "4"}


def test_an_estimate_is_a_record(glued):
    found = glued(glue_record, {"error": Estimate(0.5, 0.25, 0.75, 9)}, sep="-")
    assert found == {"error-value": "0.5", "error-low": "0.25", "error-high": "0.75", "error-n": "9"}


@pytest.mark.parametrize(("path", "fault"), [("word", KeyError), ("seeds", ValueError), ("provenance", ValueError)])
def test_a_path_without_numbers_is_refused_before_anything_is_glued(glued, path, fault):
    def call():
        with pytest.raises(fault, match=path):
            glue_record(RECORD, "scenes", path)

    assert glued(call) == {}


def test_numbers_of_other_kinds_become_pythons(glued):
    values = {
        "np": np.float64(0.5),
        "count": np.int64(3),
        "one": torch.tensor(0.25).double(),
        "text": "two",
        "plain": 7,
    }
    assert glued(glue_many, values) == {"np": "0.5", "count": "3", "one": "0.25", "text": "'two'", "plain": "7"}


@pytest.mark.parametrize("value", [None, [1], torch.zeros(2), np.zeros(2)])
def test_what_is_no_number_is_named(glued, value):
    def call():
        with pytest.raises(TypeError, match="'second' is a"):
            glue_many({"first": 1, "second": value})

    assert glued(call) == {}


def test_a_value_is_written_with_its_interval():
    record = {"value": 0.3149, "low": 0.2551, "high": 0.4}
    assert written(record) == "0.31 [0.26, 0.40]"
    assert written(Estimate(0.5, 0.25, 0.75, 9).__dict__, 1) == "0.5 [0.2, 0.8]"
    assert written({"value": -0.019, "low": -0.04, "high": 0.002}, 1, "+", 100) == "−1.9 [−4.0, +0.2]"
    assert written({"value": 0.019, "low": -0.004, "high": 0.04}, 0, "+", 100) == "+2 [0, +4]"


def test_a_small_p_value_is_only_said_to_be_small():
    assert [shown_p(p) for p in (0.0009, 0.001, 0.0312, 1.0)] == ["< 0.001", "0.001", "0.031", "1.000"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("-1.63", "−1.63"), ("+2", "+2"), ("-0", "0"), ("+0.00", "0.00"), ("-0.05", "−0.05"), ("-1,200", "−1,200"), ("9b-1", "9b-1")],
)  # fmt: skip
def test_a_numbers_sign(text, shown):
    assert signed(text) == shown
