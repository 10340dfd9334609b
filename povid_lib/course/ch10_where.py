"""Exercises of chapter 10: rows of attention, rollout, other patches to hide, and a change that is no constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from povid_lib.course.exercises import Catalogue, Check, Function


def check_rows_of(rows_of: Function) -> None:
    """``rows_of(first, n)``: the places whose attention belongs to the answer's ``n`` tokens."""
    got = rows_of(50, 3)
    assert list(got) != [50, 51, 52], "place 50 reads the first token; which place has predicted it?"
    assert list(got) == [49, 50, 51], f"for first = 50, n = 3: 49, 50, 51, not {got}"
    assert list(rows_of(9, 1)) == [8], "one token has one row"


def check_rollout(rollout: Function) -> None:
    """``rollout(layers)``: of matrices (length, length), first layer first."""
    one, two = torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([[1.0, 0], [0.5, 0.5]])
    got = rollout([one])
    assert not torch.allclose(got, one), "half of a layer's output is its input"
    assert torch.allclose(got.sum(-1), torch.ones(2)), "rows must sum to 1: is the half missing?"
    assert torch.allclose(got, torch.tensor([[1.0, 0], [0.5, 0.5]])), f"one layer: not {got}"
    three = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
    four = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 1]])
    assert float(rollout([three, four])[2, 0]) == 0, (
        "a later layer is multiplied from the left: what it mixes was mixed below"
    )
    assert float(rollout([four, three])[2, 0]) == 0.25, "what a lower layer mixed must be passed on"
    assert torch.allclose(rollout([one, two]), (two + torch.eye(2)) / 2 @ ((one + torch.eye(2)) / 2)), (
        "two layers are mixed otherwise than in the chapter"
    )


def check_others(others: Function) -> None:
    """``others(own, generator)``: as many patches as ``own`` has, none of them its own; bool (side, side)."""
    own = torch.zeros(6, 6, dtype=torch.bool)
    own[2:4, 3:5] = True
    draws = [others(own.clone(), torch.Generator().manual_seed(k)) for k in range(100)]
    assert all(d.dtype == torch.bool and d.shape == own.shape for d in draws), "return bools in the shape of `own`"
    assert all(int(d.sum()) == 4 for d in draws), "as many patches as the object has"
    assert not any((d & own).any() for d in draws), "none of the object's own"
    assert int(torch.stack(draws).any(0).sum()) == 32, "every other patch must have its chance"


def check_more_dependent(more_dependent: Function) -> None:
    """``more_dependent(before, after)``: how much more hiding costs after tuning, in log-odds, averaged over scenes."""
    before = np.array([[0.5, 0.2], [0.9, 0.6], [0.3, 0.01], [0.8, 0.75]])
    planted = _shifted(before, 1.5)
    got = float(more_dependent(before.copy(), planted))
    of_means = float(_of_means(before, planted))
    assert not np.isclose(got, _in_probability(before, planted)), (
        "a constant of 1.5 on every logit seems to change what hiding costs: these are probabilities; take log-odds"
    )
    assert not np.isclose(got, of_means), "log-odds of each scene first, then the mean; not of the mean probabilities"
    assert np.isclose(got, 0), f"a constant of 1.5 on every logit changes nothing of what hiding costs, not {got:.3f}"
    clear_only = before.copy()
    clear_only[:, 0] = _shifted(before[:, 0], 0.75)
    got = float(more_dependent(before.copy(), clear_only))
    assert not np.isclose(got, -0.75), "what hiding costs is clear less hidden; the sign is turned round"
    assert np.isclose(got, 0.75), f"0.75 more log-odds where nothing is hidden: hiding costs 0.75 more, not {got:.3f}"


def rows_of(first: int, n: int) -> list[int]:
    return list(range(first - 1, first - 1 + n))


def rollout(layers: Sequence[Tensor]) -> Tensor:
    return _rolled(lambda A: (A + torch.eye(len(A))) / 2)(layers)


def others(own: Tensor, generator: torch.Generator) -> Tensor:
    chance = torch.rand(own.numel(), generator=generator) - 2 * own.flatten().float()
    return _drawn(chance.topk(int(own.sum())).indices, own)


def more_dependent(before: NDArray, after: NDArray) -> float:
    cost = [np.log(p / (1 - p)) @ [1, -1] for p in (before, after)]
    return float((cost[1] - cost[0]).mean())


def _shifted(p: NDArray, constant: float) -> NDArray:
    """Probabilities with a constant added to their log-odds."""
    return 1 / (1 + (1 - p) / p * np.exp(-constant))


def _in_probability(before: NDArray, after: NDArray) -> float:
    return float(((after - before) @ [1, -1]).mean())


def _of_means(before: NDArray, after: NDArray) -> float:
    return more_dependent(before.mean(0, keepdims=True), after.mean(0, keepdims=True))


def _anywhere(own: Tensor, generator: torch.Generator) -> Tensor:
    return _drawn(torch.randperm(own.numel(), generator=generator)[: int(own.sum())], own)


def _drawn(places: Tensor, own: Tensor) -> Tensor:
    chosen = torch.zeros(own.numel(), dtype=torch.bool)
    chosen[places] = True
    return chosen.reshape(own.shape)


def _rolled(mix: Callable[[Tensor], Tensor]) -> Callable[[Sequence[Tensor]], Tensor]:
    """A rollout that mixes a layer's attention with its input in a way of its own."""

    def rolled(layers: Sequence[Tensor]) -> Tensor:
        R = torch.eye(len(layers[0]))
        for A in layers:
            R = mix(A) @ R
        return R

    return rolled


RIGHT: dict[Check, Function] = {
    check_rows_of: rows_of,
    check_rollout: rollout,
    check_others: others,
    check_more_dependent: more_dependent,
}
WRONG: dict[Check, Catalogue] = {
    check_rows_of: [
        ("which place has predicted it", lambda first, n: list(range(first, first + n))),
        ("49, 50, 51, not", lambda first, n: list(range(first - 1, first + n))),
        ("one token has one row", lambda first, n: [49, 50, 51]),
        ("the check cannot go on", lambda first, n: first - 1),
        ("returns nothing", lambda first, n: None),
    ],
    check_rollout: [
        ("half of a layer's output", _rolled(lambda A: A)),
        ("is the half missing", _rolled(lambda A: A + torch.eye(len(A)))),
        ("from the left", lambda layers: rollout(layers[::-1])),
        ("must be passed on", lambda layers: rollout(layers[-1:])),
        ("returns nothing", lambda layers: None),
    ],
    check_others: [
        ("as many patches", lambda own, generator: ~own),
        ("must have its chance", lambda own, generator: torch.roll(own, 3, (0,))),
        ("none of the object's own", _anywhere),
        ("return bools", lambda own, generator: others(own, generator).float()),
        ("returns nothing", lambda own, generator: None),
    ],
    check_more_dependent: [
        ("take log-odds", _in_probability),
        ("log-odds of each scene first", _of_means),
        ("the sign is turned round", lambda before, after: -more_dependent(before, after)),
        ("changes nothing", lambda before, after: float((np.log(after[:, 0] / (1 - after[:, 0]))).mean())),
        ("changes nothing", lambda before, after: more_dependent(before * 0 + 0.5, after)),
        ("returns nothing", lambda before, after: None),
    ],
}
