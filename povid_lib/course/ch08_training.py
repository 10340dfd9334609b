"""Exercises of chapter 08: an adapter merged by hand, what a log really says, and the baseline to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from povid_lib.course.exercises import Catalogue, Check, Function


def check_merged(merged: Function) -> None:
    """``merged(W, A, B, scale)``: LoRA's new matrix; (n, m), (r, m), (n, r)."""
    draw = torch.Generator().manual_seed(0)
    W, A, B = (torch.randn(*shape, generator=draw).double() for shape in ((6, 4), (2, 4), (6, 2)))
    kept = W.clone()
    found = merged(W, A, B, 6.0)
    assert torch.equal(W, kept), "W has changed: the reference needs the old matrix, so make a new one"
    assert found.shape == W.shape, f"the shape should be {tuple(W.shape)}, not {tuple(found.shape)}"
    assert torch.allclose(merged(W, A, 0 * B, 6.0), W), (
        "with B at zero it must be W itself: the policy begins as the reference"
    )
    assert not torch.allclose(found, W + 6.0 * B @ A), "the scale is divided by the rank"
    assert torch.allclose(found, W + 3.0 * B @ A), (
        f"the change is {float((found - W).norm()):.2f} long and should be {float((3 * B @ A).norm()):.2f}"
    )


def check_moved(moved: Function) -> None:
    """``moved(log, alpha, beta1)``: nats that the chosen and the rejected answers have moved, mean of the last five logs."""
    rng = np.random.default_rng(0)
    log: list[dict[str, float]] = [
        {
            "loss": 0.69 - 0.01 * k,
            "logps/chosen": float(rng.normal(-7, 2)),
            "logps/rejected": float(rng.normal(-14, 2)),
            "rewards/chosen": 0.06 * k,
            "rewards/rejected": -0.02 * k,
            "rewards/margins": 0.08 * k,
        }
        for k in range(8)
    ]
    log.append({"train_runtime": 40.0, "step": 40})
    found = moved(log, 0.3, 0.1)
    assert len(found) == 2, "return two numbers: chosen and rejected"
    chosen, rejected = map(float, found)
    assert abs(chosen - 0.3) > 1e-9, "these are rewards still: a reward is the log-ratio times its coefficient"
    assert abs(chosen - 1.4) > 1e-9, "this is the last log alone; take the mean of the last five"
    assert rejected < 0 < chosen, (
        "the signs are wrong, or these are changes of the log-probabilities as logged, which are about other pairs each time"
    )
    assert abs(chosen - 1.0) < 1e-9, f"the chosen answers have moved by 1.0, not {chosen:.3f}"
    assert abs(rejected + 1.0) < 1e-9, (
        f"the rejected answers have moved by -1.0, not {rejected:.3f}: which coefficient is theirs?"
    )


def check_recall_at(recall_at: Function) -> None:
    """``recall_at(curve, chair_s)``: what the end-token constant leaves there; ``curve``: (CHAIR_s, recall) in any order."""
    curve = [(0.8, 0.9), (0.2, 0.5), (0.5, 0.8)]
    found = float(recall_at(curve, 0.35))
    for wrong, why in (
        (0.6, "this is the line between the first and the last point; take the two neighbours of 0.35"),
        (0.8, "this is the recall of a measured point; between two points the curve is a straight line"),
        (0.5, "this is the recall of a measured point; between two points the curve is a straight line"),
        (np.interp(0.35, *_columns(curve)), "the points come in no order; sort them by CHAIR_s first"),
    ):
        assert abs(found - wrong) > 1e-9, why
    assert abs(found - 0.65) < 1e-9, f"half-way between (0.2, 0.5) and (0.5, 0.8) it is 0.65, not {found:.3f}"
    for chair_s, recall in curve:
        found = float(recall_at(curve, chair_s))
        assert abs(found - recall) < 1e-9, f"at a measured point it is that point's recall, {recall}, not {found:.3f}"


def merged(W: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return W + scale / A.shape[0] * B @ A


def moved(log: Sequence[dict[str, Any]], alpha: float, beta1: float) -> tuple[float, float]:
    rows = [entry for entry in log if "loss" in entry][-5:]
    up, down = (sum(row[f"rewards/{side}"] for row in rows) / len(rows) for side in ("chosen", "rejected"))
    return up / alpha, down / beta1


def _columns(curve: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [chair_s for chair_s, _ in curve], [recall for _, recall in curve]


def recall_at(curve: Sequence[tuple[float, float]], chair_s: float) -> float:
    return float(np.interp(chair_s, *_columns(sorted(curve))))


def _between_the_ends(curve: Sequence[tuple[float, float]], chair_s: float) -> float:
    return recall_at([min(curve), max(curve)], chair_s)


RIGHT: dict[Check, Function] = {check_merged: merged, check_moved: moved, check_recall_at: recall_at}
WRONG: dict[Check, Catalogue] = {
    check_merged: [
        ("divided by the rank", lambda W, A, B, scale: W + scale * B @ A),
        ("the change is", lambda W, A, B, scale: W + scale / A.shape[1] * B @ A),
        ("W has changed", lambda W, A, B, scale: W.add_(scale / A.shape[0] * B @ A)),
        ("with B at zero", lambda W, A, B, scale: scale / A.shape[0] * B @ A),
        ("the change is", lambda W, A, B, scale: W - scale / A.shape[0] * B @ A),
        ("the shape should be", lambda W, A, B, scale: merged(W, A, B, scale).T),
        ("returns nothing", lambda W, A, B, scale: None),
    ],
    check_moved: [
        ("the signs are wrong", lambda log, a, b: (log[-2]["logps/chosen"] - log[0]["logps/chosen"],) * 2),
        ("these are rewards still", lambda log, a, b: moved(log, 1.0, 1.0)),
        ("which coefficient is theirs", lambda log, a, b: moved(log, a, a)),
        ("by 1.0, not 3.000", lambda log, a, b: moved(log, b, a)),
        ("the last log alone", lambda log, a, b: moved(log[-2:], a, b)),
        ("the signs are wrong", lambda log, a, b: moved(log, a, b)[::-1]),
        ("by 1.0, not", lambda log, a, b: moved(log + log[:3], a, b)),
        ("returns nothing", lambda log, a, b: None),
    ],
    check_recall_at: [
        ("take the two neighbours", _between_the_ends),
        ("of a measured point", lambda curve, x: min(curve, key=lambda point: (abs(point[0] - x), point))[1]),
        ("of a measured point", lambda curve, x: max(point for point in curve if point[0] <= x)[1]),
        ("sort them by CHAIR_s", lambda curve, x: np.interp(x, *_columns(curve))),
        ("it is 0.65, not", lambda curve, x: recall_at([(recall, chair) for chair, recall in curve], x)),
        ("it is 0.65, not", lambda curve, x: np.polyval(np.polyfit(*_columns(curve), 1), x)),
        ("returns nothing", lambda curve, x: None),
    ],
}
