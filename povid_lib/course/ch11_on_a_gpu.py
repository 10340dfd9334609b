"""Exercises of chapter 11: how long a run takes, what label errors do to a benchmark, and which answers were cut off."""

from __future__ import annotations

from collections.abc import Sequence

from povid_lib.course.exercises import Catalogue, Check, Function

Tokens = Sequence[Sequence[int]]  # the tokens of each answer


def check_hours(hours: Function) -> None:
    """``hours(steps, rows, tflop, peak, share)``: of ``steps`` updates with ``rows`` pairs each; ``tflop`` a pair, ``peak`` a
    second."""
    found = float(hours(3600, 1, 100.0, 100.0, 1.0))
    assert abs(found - 1) < 1e-9, (
        f"3,600 pairs of one second each take one hour, not {found:.4f}: a pair is tflop / peak"
    )
    found = float(hours(900, 4, 100.0, 100.0, 1.0))
    assert abs(found - 1) < 1e-9, f"900 updates of 4 pairs are 3,600 pairs, so one hour, not {found:.4f}"
    found = float(hours(3600, 1, 100.0, 100.0, 0.25))
    assert abs(found - 4) < 1e-9, f"at a quarter of the peak it takes four hours, not {found:.4f}: divide by the share"
    found = float(hours(50, 4, 21.36, 312.0, 0.3))
    assert abs(found - 50 * 4 * 21.36 / 93.6 / 3600) < 1e-9, f"fifty updates of four take 0.0127 hours, not {found:.4f}"


def check_measured(measured: Function) -> None:
    """``measured(hits, false_alarms, wrong_yes, wrong_no)``: accuracy over as many questions with the label yes as with no."""
    found = float(measured(0.9, 0.2, 0.0, 0.0))
    assert abs(found - 0.85) < 1e-9, (
        f"with right labels it is the mean of hits and correct rejections, 0.85, not {found:.4f}"
    )
    found = float(measured(1.0, 0.0, 0.1, 0.0))
    assert abs(found - 0.95) < 1e-9, (
        f"a model that is always right loses half of 0.1 here and gets 0.95, not {found:.4f}"
    )
    found = float(measured(1.0, 0.0, 0.0, 0.1))
    assert abs(found - 0.95) < 1e-9, f"wrong labels no cost it the same, 0.95, not {found:.4f}"
    found = float(measured(1.0, 1.0, 0.3, 0.1))
    assert abs(found - 0.5) < 1e-9, f"a model that always says yes gets half of the labels, 0.5, not {found:.4f}"
    found = float(measured(0.8, 0.3, 0.2, 0.1))
    want = (0.8 * 0.8 + 0.2 * 0.3 + 0.9 * 0.7 + 0.1 * 0.2) / 2
    assert abs(found - want) < 1e-9, f"it should be {want:.4f} here, not {found:.4f}: a wrong label swaps the two rates"


def check_cut(cut: Function) -> None:
    """``cut(answers, limit, end)``: share of answers that the limit cut off; ``answers``: each one's tokens."""
    found = float(cut([[5, 6, 2], [5, 6, 7, 8]], 4, 2))
    assert abs(found - 0.5) < 1e-9, (
        f"one of two answers does not end with the end token; the share is 0.5, not {found:.4f}"
    )
    found = float(cut([[5, 6, 7, 2]], 4, 2))
    assert found == 0, "an answer of exactly `limit` tokens that ends with the end token is whole"
    found = float(cut([[5, 2, 7, 8], [5, 2], [2]], 4, 2))
    assert abs(found - 1 / 3) < 1e-9, "the end token ends an answer only as its last token"
    assert float(cut([[5, 2, 0, 0], [5, 6, 2, 0]], 4, 2)) == 0, "padding (0) after the end token belongs to no answer"


def hours(steps: int, rows: int, tflop: float, peak: float, share: float) -> float:
    return steps * rows * tflop / (peak * share) / 3600


def measured(hits: float, false_alarms: float, wrong_yes: float, wrong_no: float) -> float:
    yes = (1 - wrong_yes) * hits + wrong_yes * false_alarms
    no = (1 - wrong_no) * (1 - false_alarms) + wrong_no * (1 - hits)
    return (yes + no) / 2


def cut(answers: Tokens, limit: int, end: int) -> float:
    return sum(_last(tokens[:limit]) != end for tokens in answers) / len(answers)


def _last(tokens: Sequence[int]) -> int:
    """The last token that is no padding (0)."""
    return [token for token in tokens if token][-1]


RIGHT: dict[Check, Function] = {check_hours: hours, check_measured: measured, check_cut: cut}
WRONG: dict[Check, Catalogue] = {
    check_hours: [
        ("one hour, not 60.0000", lambda n, rows, tflop, peak, share: n * rows * tflop / (peak * share) / 60),
        ("900 updates of 4 pairs", lambda n, rows, tflop, peak, share: n * tflop / (peak * share) / 3600),
        ("divide by the share", lambda n, rows, tflop, peak, share: n * rows * tflop / peak * share / 3600),
        ("four hours, not 1.0000", lambda n, rows, tflop, peak, share: n * rows * tflop / peak / 3600),
        ("0.0127 hours", lambda n, rows, tflop, peak, share: n * rows * peak / (tflop * share) / 3600),
    ],
    check_measured: [
        ("0.85", lambda hits, alarms, yes, no: (hits + alarms) / 2),
        ("gets 0.95, not 1.0000", lambda hits, alarms, yes, no: (hits + 1 - alarms) / 2),
        ("gets 0.95, not 0.9000", lambda hits, alarms, yes, no: (hits + 1 - alarms) / 2 - yes - no),
        ("half of the labels", lambda hits, alarms, yes, no: ((1 - yes) * hits + (1 - no) * (1 - alarms)) / 2),
        (
            "swaps the two rates",
            lambda hits, alarms, yes, no: (hits + 1 - alarms) / 2 - (yes + no) / 2 * (hits - alarms) ** 2,
        ),
    ],
    check_cut: [
        ("whole", lambda answers, limit, end: sum(len(a) >= limit for a in answers) / len(answers)),
        ("share is 0.5", lambda answers, limit, end: sum(_last(a) == end for a in answers) / len(answers) + 0.1),
        ("only as its last token", lambda answers, limit, end: sum(end not in a for a in answers) / len(answers)),
        ("padding", lambda answers, limit, end: sum(a[-1] != end for a in answers) / len(answers)),
        ("share is 0.5", lambda answers, limit, end: sum(_last(a) != end for a in answers)),
    ],
}
