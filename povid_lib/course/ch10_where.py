"""Exercises of chapter 10: rows of attention, rollout, and other patches to hide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
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


def rows_of(first: int, n: int) -> list[int]:
    return list(range(first - 1, first - 1 + n))


def rollout(layers: Sequence[Tensor]) -> Tensor:
    return _rolled(lambda A: (A + torch.eye(len(A))) / 2)(layers)


def others(own: Tensor, generator: torch.Generator) -> Tensor:
    chance = torch.rand(own.numel(), generator=generator) - 2 * own.flatten().float()
    return _drawn(chance.topk(int(own.sum())).indices, own)


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


RIGHT: dict[Check, Function] = {check_rows_of: rows_of, check_rollout: rollout, check_others: others}
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
}
