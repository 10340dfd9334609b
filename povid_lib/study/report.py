"""From a study's runs to ``results/``: every measure with its interval over seeds and scenes, and paired tests, corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from povid_lib.data import pair_files
from povid_lib.evaluation.held_out import SPLITS
from povid_lib.files import results
from povid_lib.files.jsonl import read_record
from povid_lib.metrics.stats import Comparison, Estimate, crossed_compare, crossed_ratio
from povid_lib.study import beyond_constant
from povid_lib.study.beyond_constant import Beyond, Point, beyond
from povid_lib.study.measure import MARGIN, TESTED
from povid_lib.study.methods import Method, Study
from povid_lib.study.run import run_one

BASE, OURS = "base", "two_to_one"
FOUND = 0.1  # a difference that matters
RIVALS = ("main", "truths")  # groups whose methods are compared with ours
Sums = tuple[NDArray[np.float64], NDArray[np.float64]]


def report(study: Study, name: str) -> str:
    """Write ``results/<name>.json`` and give its main table as text.

    Raises ``ValueError`` with the runs that are not made yet, or if the study has no method called "base".
    """
    missing = [f"{m.name} {s}" for m in study.methods for s in range(m.seeds) if not study.measured(m, s).is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} runs are not made yet, first {', '.join(missing[:5])}; run povid study again."
        )
    runs = {
        m.name: [read_record(study.measured(m, s), "delete it, and run povid study again") for s in range(m.seeds)]
        for m in study.methods
    }
    data = summarise(study.methods, runs, study.compare)
    data["primary"] = primary(study.methods, runs, study.primary)
    data["beyond"] = over_the_constant(study.methods, runs)
    for method in (m for m in study.methods if m.is_trained):
        data["methods"][method.name]["pairs"] = [about_pairs(study, method, seed) for seed in range(method.seeds)]
    seconds = sum(sum(run["seconds"]) for of in runs.values() for run in of)
    results.save(name, data, asdict(study), seconds, code=[run_one, report])
    return table(data)


def about_pairs(study: Study, method: Method, seed: int) -> dict[str, float]:
    """What one run learnt from: the number of pairs, the mean words of their answers, the share whose chosen one is shorter."""
    made = list(pair_files.read(str(study.recipe(method, seed).pairs)))
    words = np.array([[len(p.chosen.split()), len(p.rejected.split())] for p in made])
    chosen, rejected = words.mean(0).tolist()
    shorter = float((words[:, 0] < words[:, 1]).mean())
    return {"pairs": len(made), "chosen_words": chosen, "rejected_words": rejected, "chosen_shorter": shorter}


def summarise(
    methods: Sequence[Method], runs: dict[str, list[dict[str, Any]]], pairs: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """``methods``: name -> group, seeds, what training logged, and by split each measure's estimate with the seeds' own values;
    ``tests``: first -> second -> split -> measure -> the second's value less the first's, and Holm's p-value within a family: each
    group against the base, ``OURS`` against all others of the groups ``RIVALS``, and ``pairs``."""
    if BASE not in runs:
        raise ValueError(f"The study has no method {BASE!r}; every other one is compared with it.")
    found: dict[str, Any] = {"methods": {}, "tests": {BASE: {}}}
    for method in methods:
        of = runs[method.name]
        row: dict[str, Any] = {
            "group": method.group,
            "seeds": len(of),
            "seconds": np.mean([r["seconds"] for r in of], 0).tolist(),
        }
        row["training"] = [run["training"] for run in of]
        for split in SPLITS:
            row[split] = {measure: _estimate(sums(of, split, measure)) for measure in of[0]["measures"][split]}
        found["methods"][method.name] = row
    for group in dict.fromkeys(m.group for m in methods):
        names = [m.name for m in methods if m.group == group and m.name != BASE]
        found["tests"][BASE] |= compared(runs, [(BASE, name) for name in names])[BASE] if names else {}
    rivals = [m.name for m in methods if m.group in RIVALS and m.name not in (BASE, OURS)]
    if OURS in runs and rivals:
        found["tests"] |= compared(runs, [(name, OURS) for name in rivals])
    for first, of_first in (compared(runs, [(a, b) for a, b in pairs]) if pairs else {}).items():
        found["tests"].setdefault(first, {}).update(of_first)
    return found


def compared(runs: dict[str, list[dict[str, Any]]], pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Each pair's second method less its first on every tested measure of both splits: first -> second -> split -> measure.

    p-values are corrected after Holm within each measure, over all pairs and both splits. A measure of which one of the two has
    nothing is left out. These tests explore; ``primary`` has those that were declared.
    """
    tests: dict[tuple[str, str, str, str], Comparison] = {}
    for first, second in pairs:
        for split in SPLITS:
            for measure in TESTED:
                a, b = sums(runs[first], split, measure), sums(runs[second], split, measure)
                if not (a[1].any() and b[1].any()):  # nothing of this kind was said, so there is nothing to compare
                    continue
                scenes = min(a[0].shape[1], b[0].shape[1])  # the first scenes of a split are the same for all
                cut = [(top[:, :scenes], bottom[:, :scenes]) for top, bottom in (a, b)]
                tests[first, second, split, measure] = crossed_compare(cut[0], cut[1])
    found: dict[str, Any] = {}
    for measure in TESTED:
        family = {key: test for key, test in tests.items() if key[3] == measure}
        for (first, second, split, _), row in zip(family, _corrected(list(family.values())), strict=True):
            found.setdefault(first, {}).setdefault(second, {}).setdefault(split, {})[measure] = row
    return found


def primary(
    methods: Sequence[Method], runs: dict[str, list[dict[str, Any]]], declared: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """The tests that a study declares before it runs, corrected after Holm among themselves alone: each with its ``power``, the
    probability with which it would have found a true difference of ``FOUND``.

    Raises ``ValueError`` for margins over the constant where a method's CHAIR_s is off the curve, or there is none.
    """
    tests = [_declared(methods, runs, *each) for each in declared]
    names = [dict(zip(("first", "second", "split", "measure"), each, strict=True)) for each in declared]
    return [
        {**name, **row, "power": power(test.difference)}
        for name, row, test in zip(names, _corrected(tests), tests, strict=True)
    ]


def over_the_constant(
    methods: Sequence[Method], runs: dict[str, list[dict[str, Any]]]
) -> dict[str, dict[str, dict[str, float] | None]]:
    """What each method adds to a constant on the end token: method -> split -> the recall of seen objects that the constant leaves
    at the method's CHAIR_s (``curve``), and the method's own less that, with its interval. None where the curve does not reach.

    Empty in a study without such constants. The curve begins at the untuned model.
    """
    known = _constants(methods)
    found: dict[str, dict[str, dict[str, float] | None]] = {}
    for name in (m.name for m in methods if known and m.name not in (BASE, *known)):
        found[name] = {}
        for split in SPLITS:
            margin = _beyond(methods, runs, name, split)
            found[name][split] = None if margin is None else {"curve": margin.curve, **asdict(margin.margin)}
    return found


def _constants(methods: Sequence[Method]) -> list[str]:
    return [m.name for m in methods if m.decode == "ending"]


def _beyond(methods: Sequence[Method], runs: dict[str, list[dict[str, Any]]], name: str, split: str) -> Beyond | None:
    known = _constants(methods)
    least = min(sums(runs[each], split, "chair_s")[0].shape[1] for each in (name, BASE, *known))
    method, *curve = (_point(runs[each], split, least) for each in (name, BASE, *known))
    return beyond(method, curve)


def _declared(
    methods: Sequence[Method], runs: dict[str, list[dict[str, Any]]], first: str, second: str, split: str, measure: str
) -> Comparison:
    if measure != MARGIN:
        return crossed_compare(sums(runs[first], split, measure), sums(runs[second], split, measure))
    one, two = (_beyond(methods, runs, name, split) if _constants(methods) else None for name in (first, second))
    if one is None or two is None:
        missing = first if one is None else second
        raise ValueError(f"The declared test {first} - {second} on {split}: {missing} is not on the constant's curve.")
    return beyond_constant.compare(one, two)


def _point(of: Sequence[dict[str, Any]], split: str, scenes: int) -> Point:
    chair_s, recall = (sums(of, split, measure) for measure in ("chair_s", "recall_seen"))
    return Point(*((top[:, :scenes], bottom[:, :scenes]) for top, bottom in (chair_s, recall)))


def power(difference: Estimate, true: float = FOUND) -> float:
    """How likely a two-sided test at .05 finds a difference ``true``, from the width of the interval that was found: the
    normal approximation. nan where the interval has no width."""
    error = (difference.high - difference.low) / (2 * norm.ppf(0.975))
    if not error > 0:
        return float("nan")
    return float(norm.sf(norm.ppf(0.975) - true / error) + norm.cdf(-norm.ppf(0.975) - true / error))


def _corrected(tests: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Each test's difference and p-value, and Holm's over all of them."""
    corrected = multipletests([test.p_value for test in tests], method="holm")[1] if tests else []
    return [
        {**asdict(test.difference), "p": test.p_value, "p_holm": float(p)}
        for test, p in zip(tests, corrected, strict=True)
    ]


def sums(of: Sequence[dict[str, Any]], split: str, measure: str) -> Sums:
    """Numerators and denominators of a method's runs, each (seeds, scenes)."""
    rows = np.array([run["measures"][split][measure] for run in of], dtype=float)
    return rows[:, 0], rows[:, 1]


def _estimate(found: Sums) -> dict[str, Any]:
    top, bottom = found
    if bottom.sum() == 0:  # nothing of this kind was said
        return asdict(Estimate(float("nan"), float("nan"), float("nan"), top.shape[1])) | {"seeds": []}
    each = [float(t.sum() / b.sum()) if b.sum() else float("nan") for t, b in zip(top, bottom, strict=True)]
    return asdict(crossed_ratio(top, bottom)) | {"seeds": each}


def verdict(test: dict[str, float], better: int) -> str:
    """What a corrected test says of a claim: "confirmed", "reversed" or "not confirmed". ``better``: the sign that is claimed."""
    if test["p_holm"] >= 0.05 or test["low"] <= 0 <= test["high"]:
        return "not confirmed"
    return "confirmed" if test["value"] * better > 0 else "reversed"


def table(data: dict[str, Any]) -> str:
    """The main measures of every method on typical scenes, a line each."""
    names = ("chair_s", "chair_i", "recall_seen", "words", "adversarial")
    lines = [f"{'method':<16}{'seeds':>6}" + "".join(f"{name:>24}" for name in names)]
    for method, row in data["methods"].items():
        cells = [row["typical"][name] for name in names]
        shown = [f"{c['value']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells]
        lines.append(f"{method:<16}{row['seeds']:>6}" + "".join(f"{cell:>24}" for cell in shown))
    return "\n".join(lines)
