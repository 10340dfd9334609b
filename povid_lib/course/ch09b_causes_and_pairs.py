"""Exercises of chapter 09's second page: how much of a cause a treatment has mended, and whether two causes add up."""

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


def check_surplus(surplus: Function) -> None:
    """``surplus(both, first, second, floor)``: what a model with two causes has beyond two independent ones."""
    found = surplus(0.75, 0.5, 0.4, 0.1)
    for wrong, why in (
        (0.05, "the floor is in both models and counts once: divide by the chance that neither model claims anything"),
        (
            -0.05,
            "shares of independent causes do not add: what both claim would count twice. Multiply the chances of none",
        ),
        (-0.25 / 3, "the sign is the other way round: more than expected is above 0"),
        (0.25, "this is what the second cause adds to the stronger one; independent causes would add something too"),
        (0.55, "both need not happen at once: a caption counts if either cause claims a partner"),
    ):
        assert abs(found - wrong) > 1e-9, why
    assert abs(found - 0.25 / 3) < 1e-9, f"free of both are 0.5 * 0.6 / 0.9 = 0.333, so 0.75 is 0.083 more, not {found}"
    assert abs(surplus(0.6, 0.5, 0.4, 0.1) + 0.2 / 3) < 1e-9, "both may have less than expected: do not cut at 0"
    assert abs(surplus(0.4, 0.4, 0.2, 0.2)) < 1e-9, (
        "a cause that adds nothing leaves the other's share: the surplus is 0"
    )


def surplus(both: float, first: float, second: float, floor: float) -> float:
    return both - 1 + (1 - first) * (1 - second) / (1 - floor)


RIGHT: dict[Check, Function] = {check_mended: mended, check_surplus: surplus}
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
    check_surplus: [
        ("the floor is in both", lambda b, p, q, f: b - 1 + (1 - p) * (1 - q)),
        ("do not add", lambda b, p, q, f: b - (p + q - f)),
        ("other way round", lambda b, p, q, f: -surplus(b, p, q, f)),
        ("the stronger one", lambda b, p, q, f: b - max(p, q)),
        ("at once", lambda b, p, q, f: b - p * q),
        ("do not cut", lambda b, p, q, f: max(0.0, surplus(b, p, q, f))),
        ("adds nothing", lambda b, p, q, f: surplus(b, p, q, f) if min(p, q) > f else 0.1),
    ],
}
