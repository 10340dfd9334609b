"""Exercises of chapter 09: two kinds of luck, Holm's correction, the rule for a learning rate, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import pstdev, stdev
from typing import Any

from statsmodels.stats.multitest import multipletests

from povid_lib.course.exercises import Catalogue, Check, Function

Run = Mapping[str, float]  # "chair_s", "recall", "unreadable"

# the study's methods, as the chapter's two pages call them
NAMES = {
    "base": "untuned",
    "sft": "SFT",
    "two_to_one": "two to one",
    "both": "text and image",
    "equal": "equal weights",
    "rpo": "DPO + SFT",
    "stranger": "a stranger put in",
    "even": "equally long",
    "new_sft": "SFT, new answers",
    "new_two_to_one": "two to one, new answers",
    "dealt": "random labels",
    "blanked": "blank pictures",
    "swapped": "swapped pictures",
    "no_end": "without end tokens",
    "contrast": "contrastive decoding",
    "unsupported-4.0": "unsupported words -4",
}


def check_luck(two_kinds_of_luck: Function) -> None:
    """``two_kinds_of_luck(record)``: standard deviation over the seeds, and half the width of the interval."""
    spread, half = two_kinds_of_luck({"seeds": [0.1, 0.2, 0.3], "low": 0.05, "high": 0.25})
    assert abs(spread - 0.1) < 1e-9, "with n - 1 in the denominator the three seeds have a standard deviation of 0.1"
    assert abs(half - 0.1) < 1e-9, "half of the width, not the width"
    spread, half = two_kinds_of_luck({"seeds": [0.5, 0.5], "low": 0.2, "high": 0.8})
    assert spread == 0, f"seeds that agree have no spread, not one of {spread}"
    assert abs(half - 0.3) < 1e-9, f"half of [0.2, 0.8] is 0.3, not {half}"


def check_holm(holm: Function) -> None:
    """``holm(p_values)``: the corrected p-values, in the order in which they came."""
    given = [0.04, 0.01, 0.03]
    found = list(holm(given))
    assert given == [0.04, 0.01, 0.03], "the list that was passed in has changed; sort a copy"
    assert len(found) == 3, f"three p-values come back, not {len(found)}"
    assert max(abs(a - b) for a, b in zip(found, (0.12, 0.03, 0.09), strict=True)) > 1e-9, (
        "this is Bonferroni's correction: every p-value times their number; Holm's factor falls from one to the next"
    )
    assert max(abs(a - b) for a, b in zip(found, (0.04, 0.03, 0.06), strict=True)) > 1e-9, (
        "a larger p-value may not end below a smaller one: take the running maximum"
    )
    assert max(abs(a - b) for a, b in zip(found, (0.06, 0.03, 0.06), strict=True)) < 1e-9, (
        f"0.04, 0.01, 0.03 become 0.06, 0.03, 0.06 in this order, not {found}"
    )
    assert list(holm([0.9, 0.8])) == [1.0, 1.0], "no probability is larger than one"
    assert list(holm([0.02])) == [0.02], "a single test needs no correction"


def check_rate(chosen_rate: Function) -> None:
    """``chosen_rate(runs, base)``: the name of the run that the declared rule tests."""
    base = {"chair_s": 0.8, "recall": 0.90, "unreadable": 0.0}
    keeps = {
        "low": {"chair_s": 0.6, "recall": 0.89, "unreadable": 0.0},
        "mid": {"chair_s": 0.5, "recall": 0.885, "unreadable": 0.01},
        "high": {"chair_s": 0.3, "recall": 0.80, "unreadable": 0.02},
    }
    found = chosen_rate(keeps, base)
    assert found != "high", "the lowest CHAIR_s of all, but it loses 10 points of recall, and 2 are allowed"
    assert found != "low", "two runs keep their recall; of these the one with the lower CHAIR_s is tested"
    assert found == "mid", f"the rule tests 'mid', not {found!r}"
    broken = {**keeps, "noise": {"chair_s": 0.1, "recall": 0.90, "unreadable": 0.4}}
    assert chosen_rate(broken, base) == "mid", "a run whose captions cannot be read must never be chosen"
    costly = {"high": keeps["high"], "higher": {"chair_s": 0.1, "recall": 0.60, "unreadable": 0.0}}
    assert chosen_rate(costly, base) == "high", (
        "where every run loses too much, the one that keeps most recall is tested"
    )
    assert chosen_rate({**costly, "noise": broken["noise"]}, base) == "high", (
        "where the only run that keeps its recall cannot be read, it is still not chosen"
    )
    noisy = {**base, "unreadable": 0.04}
    near = {
        "a": {"chair_s": 0.5, "recall": 0.90, "unreadable": 0.08},
        "b": {"chair_s": 0.6, "recall": 0.90, "unreadable": 0.0},
    }
    assert chosen_rate(near, noisy) == "a", "unreadable sentences are counted above the untuned model's own"


def check_verdict(verdict: Function) -> None:
    """``verdict(low, high, p, claimed)``: "confirmed", "reversed" or "not confirmed"; ``claimed``: the sign, -1 or 1."""
    for given, right, why in (
        ((-0.3, -0.1, 0.001, -1), "confirmed", "it falls, as is claimed, and neither interval nor p leaves a doubt"),
        ((-0.3, -0.1, 0.001, 1), "reversed", "it falls, and a rise was claimed"),
        ((0.1, 0.3, 0.001, -1), "reversed", "it rises, and a fall was claimed"),
        ((0.1, 0.3, 0.001, 1), "confirmed", "it rises, as is claimed"),
        ((-0.3, -0.1, 0.2, -1), "not confirmed", "p is not below 0.05"),
        ((-0.3, -0.1, 0.05, -1), "not confirmed", "p must be below 0.05"),
        ((-0.3, 0.1, 0.01, -1), "not confirmed", "the interval holds zero"),
        ((-0.3, 0.0, 0.01, -1), "not confirmed", "zero at the interval's end is in it"),
    ):
        found = verdict(*given)
        assert found == right, f"verdict{given} is {right!r}, since {why}; not {found!r}"


def two_kinds_of_luck(record: Mapping[str, Any]) -> tuple[float, float]:
    return stdev(record["seeds"]), (record["high"] - record["low"]) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def chosen_rate(runs: Mapping[str, Run], base: Run) -> str:
    read = {name: run for name, run in runs.items() if run["unreadable"] <= base["unreadable"] + 0.05}
    kept = {name: run for name, run in read.items() if run["recall"] >= base["recall"] - 0.02}
    if kept:
        return min(kept, key=lambda name: kept[name]["chair_s"])
    return max(read, key=lambda name: read[name]["recall"])


def verdict(low: float, high: float, p: float, claimed: int) -> str:
    if p >= 0.05 or low <= 0 <= high:
        return "not confirmed"
    return "confirmed" if low * claimed > 0 else "reversed"


def _bonferroni(p_values: Sequence[float]) -> list[float]:
    return [min(1.0, p * len(p_values)) for p in p_values]


def _without_maximum(p_values: Sequence[float]) -> list[float]:
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    return [min(1.0, (len(p_values) - order.index(i)) * p) for i, p in enumerate(p_values)]


def _sorting(p_values: list[float]) -> list[float]:
    p_values.sort()
    return holm(p_values)


def _beyond_one(p_values: Sequence[float]) -> list[float]:
    top, found = 0.0, {}
    for k, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        top = found[i] = max(top, (len(p_values) - k) * p_values[i])
    return [found[i] for i in range(len(p_values))]


def _kept_first(runs: Mapping[str, Run], base: Run) -> str:
    kept = {name: run for name, run in runs.items() if run["recall"] >= base["recall"] - 0.02}
    return chosen_rate(kept, {**base, "unreadable": 9.0}) if kept else chosen_rate(runs, base)


RIGHT: dict[Check, Function] = {
    check_luck: two_kinds_of_luck,
    check_holm: holm,
    check_rate: chosen_rate,
    check_verdict: verdict,
}
WRONG: dict[Check, Catalogue] = {
    check_luck: [
        ("with n - 1 in the denominator", lambda record: (pstdev(record["seeds"]), 0.1)),
        ("half of the width", lambda record: (stdev(record["seeds"]), record["high"] - record["low"])),
        ("seeds that agree have no spread", lambda record: (0.1, 0.1)),
        ("the check cannot go on", lambda record: 0.1),
        ("raises KeyError", lambda record: (stdev(record["values"]), 0.1)),
        ("returns nothing", lambda record: None),
    ],
    check_holm: [
        ("Bonferroni", _bonferroni),
        ("the running maximum", _without_maximum),
        ("sort a copy", _sorting),
        ("in this order", lambda p_values: sorted(holm(p_values))),
        ("in this order", lambda p_values: multipletests(p_values, method="fdr_bh")[1]),
        ("larger than one", _beyond_one),
        ("returns nothing", lambda p_values: None),
    ],
    check_rate: [
        ("2 are allowed", lambda runs, base: min(runs, key=lambda name: runs[name]["chair_s"])),
        ("the lower CHAIR_s", lambda runs, base: max(runs, key=lambda name: runs[name]["recall"])),
        ("cannot be read", _kept_first),
        (
            "keeps most recall",
            lambda runs, base: (
                chosen_rate(runs, base) if "mid" in runs else min(runs, key=lambda n: runs[n]["chair_s"])
            ),
        ),
        ("above the untuned model's own", lambda runs, base: chosen_rate(runs, {**base, "unreadable": 0.0})),
        ("the rule tests 'mid'", lambda runs, base: runs[chosen_rate(runs, base)]),
        ("returns nothing", lambda runs, base: None),
    ],
    check_verdict: [
        ("the interval holds zero", lambda low, high, p, claimed: verdict(low, low, p, claimed)),
        ("p is not below", lambda low, high, p, claimed: verdict(low, high, 0.0, claimed)),
        ("must be below", lambda low, high, p, claimed: verdict(low, high, p - 1e-9, claimed)),
        ("a rise was claimed", lambda low, high, p, claimed: verdict(low, high, p, -1)),
        ("it rises, as is claimed", lambda low, high, p, claimed: verdict(low, high, p, -1 if low > 0 else claimed)),
        ("zero at the interval's end", lambda low, high, p, claimed: verdict(low, high - 1e-9, p, claimed)),
        ("returns nothing", lambda low, high, p, claimed: None),
    ],
}
