"""POPE by hand."""

import pytest

from povid_lib.metrics.pope import parse_yes_no, pope


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Yes.", True),
        ("No.", False),
        ("yes, there is", True),
        ("NO!", False),
        ("", None),
        ("I cannot see", None),
        ("Nothing", None),
    ],
)
def test_parser(text, meaning):
    assert parse_yes_no(text) is meaning


def test_by_hand():
    got = pope([["Yes.", "Yes."], ["No.", "Maybe."]], [[True, False], [True, False]])
    assert got.accuracy.value == pytest.approx(1 / 4)
    assert got.yes_ratio.value == pytest.approx(2 / 4)
    assert got.unclear == pytest.approx(1 / 4)


def test_always_yes_is_right_half_the_time():
    got = pope([["Yes.", "Yes."]] * 10, [[True, False]] * 10)
    assert got.accuracy.value == 0.5
    assert got.yes_ratio.value == 1.0
