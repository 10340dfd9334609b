"""Exercise of chapter 09's second page: how much of a cause a treatment has mended."""

from __future__ import annotations

import math

from povid_lib.course.exercises import Catalogue, Check, Function


def check_mended(mended: Function) -> None:
    """``mended(before, after, floor)``: the share of what a cause adds that a treatment takes away."""
    found = mended(0.6, 0.3, 0.2)
    for wrong, why in (
        (
            0.5,
            "this is the share of all of CHAIR_s; a treatment of this cause can take away only what lies above the floor",
        ),
        (0.3, "this is the fall itself; divide it by the excess, before less floor"),
        (0.25, "this is what is left; the share that is gone is asked"),
        (-0.75, "the sign is the other way round: a fall counts as mended"),
    ):
        assert abs(found - wrong) > 1e-9, why
    assert abs(found - 0.75) < 1e-9, f"0.3 of an excess of 0.4 is 0.75, not {found}"
    assert abs(mended(0.5, 0.1, 0.2) - 4 / 3) < 1e-9, (
        "below the floor more than the whole excess is gone: do not cut at 1"
    )
    assert abs(mended(0.5, 0.6, 0.2) + 1 / 3) < 1e-9, "where CHAIR_s rises the share is below 0: do not cut at 0"
    none = mended(0.2, 0.1, 0.2)
    assert none != none, f"where the cause adds nothing there is nothing to mend: give math.nan, not {none}"


def mended(before: float, after: float, floor: float) -> float:
    return (before - after) / (before - floor) if before > floor else math.nan


RIGHT: dict[Check, Function] = {check_mended: mended}
WRONG: dict[Check, Catalogue] = {
    check_mended: [
        ("share of all of CHAIR_s", lambda b, a, f: (b - a) / b),
        ("the fall itself", lambda b, a, f: b - a),
        ("what is left", lambda b, a, f: (a - f) / (b - f)),
        ("other way round", lambda b, a, f: (a - b) / (b - f)),
        ("do not cut at 1", lambda b, a, f: min(1.0, mended(b, a, f))),
        ("do not cut at 0", lambda b, a, f: max(0.0, (b - a) / (b - f)) if b > f else math.nan),
        ("nothing to mend", lambda b, a, f: (b - a) / (b - f) if b > f else 0.0),
    ],
}
