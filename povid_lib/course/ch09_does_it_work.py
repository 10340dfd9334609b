"""Exercise of chapter 09: the luck of the seed and the luck of the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import stdev
from typing import Any

from povid_lib.course.exercises import Catalogue, Check, Function


def check_luck(two_kinds_of_luck: Function) -> None:
    """``two_kinds_of_luck(record)``: standard deviation over the seeds, and half the width of the interval."""
    spread, half = two_kinds_of_luck({"seeds": [0.1, 0.2, 0.3], "low": 0.05, "high": 0.25})
    assert abs(spread - 0.1) < 1e-9, "with n - 1 in the denominator the three seeds have a standard deviation of 0.1"
    assert abs(half - 0.1) < 1e-9, "half of the width, not the width"


def two_kinds_of_luck(record: Mapping[str, Any]) -> tuple[float, float]:
    return stdev(record["seeds"]), (record["high"] - record["low"]) / 2


RIGHT: dict[Check, Function] = {check_luck: two_kinds_of_luck}
WRONG: dict[Check, Catalogue] = {
    check_luck: [
        ("with n - 1 in the denominator", lambda record: (0.0816, 0.1)),
        ("half of the width", lambda record: (0.1, 0.2)),
        ("the check cannot go on", lambda record: 0.1),
        ("raises KeyError", lambda record: (stdev(record["values"]), 0.1)),
        ("returns nothing", lambda record: None),
    ],
}
