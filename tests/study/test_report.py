"""What a report adds to a study's runs: the margin over the constant on the end token."""

import pytest

from povid_lib.evaluation.held_out import SPLITS
from povid_lib.study import report
from povid_lib.study.methods import Method

N = 200


def runs_of(chair, recall, n=N, seeds=1):
    """Runs in which a share ``chair`` of the captions errs, and each names ``recall`` of ten objects."""
    rows = {
        "chair_s": [[float(i < chair * n) for i in range(n)], [1.0] * n],
        "recall_seen": [[10 * recall] * n, [10.0] * n],
    }
    return [{"measures": dict.fromkeys(SPLITS, rows)} for _ in range(seeds)]


METHODS = [
    Method("base", "main", 1),
    Method("end-1", "constants", 1, decode="ending", constant=1.0),
    Method("end-3", "constants", 1, decode="ending", constant=3.0),
    Method("on", "main", 2, text={}),
    Method("above", "main", 2, text={}),
    Method("outside", "main", 1, text={}),
]
RUNS = {
    "base": runs_of(0.6, 0.9),
    "end-1": runs_of(0.4, 0.8),
    "end-3": runs_of(0.2, 0.5),
    "on": runs_of(0.3, 0.65, seeds=2),
    "above": runs_of(0.3, 0.85, seeds=2),
    "outside": runs_of(0.1, 0.5),
}


def test_a_method_on_the_curve_adds_nothing_and_one_above_it_its_distance():
    found = report.over_the_constant(METHODS, RUNS)
    assert set(found) == {"on", "above", "outside"}
    for split in SPLITS:
        assert found["on"][split]["curve"] == pytest.approx(0.65)
        assert found["on"][split]["value"] == pytest.approx(0, abs=1e-9)
        assert found["above"][split]["value"] == pytest.approx(0.2)
        assert found["above"][split]["low"] > 0
        assert found["outside"][split] is None


def test_methods_measured_on_fewer_scenes_are_compared_on_those():
    fewer = {**RUNS, "above": runs_of(0.3, 0.85, n=N // 2)}
    with pytest.raises(ValueError, match="same pictures"):
        report.beyond(report._point(fewer["above"], "typical", N), [report._point(RUNS["base"], "typical", N)] * 2)
    cut = report.over_the_constant(METHODS, fewer)["above"]["typical"]
    assert cut is None  # the first half of the others' scenes holds all their errors


@pytest.mark.slow
def test_margins_are_compared_picture_by_picture():
    (found,) = report.primary(METHODS, RUNS, [["on", "above", "typical", "beyond"]])
    assert found["value"] == pytest.approx(0.2)
    assert found["low"] == pytest.approx(0.2, abs=1e-6)  # both have the same errors: what moves the one moves the other
    assert found["p"] < 0.001
    with pytest.raises(ValueError, match=r"on - outside on typical: outside is not on the constant's curve"):
        report.primary(METHODS, RUNS, [["on", "outside", "typical", "beyond"]])
    with pytest.raises(ValueError, match="on is not on the constant's curve"):
        report.primary([METHODS[0], *METHODS[3:]], RUNS, [["on", "above", "typical", "beyond"]])


def test_a_study_without_constants_has_no_curve():
    assert report.over_the_constant([METHODS[0], METHODS[3]], RUNS) == {}
