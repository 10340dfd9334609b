"""Exercises of chapter 06: the bar, DPO from token log-probabilities, and the exact best of n."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from povid_lib.course.exercises import Catalogue, Check, Function

Rows = list[Tensor]  # log-probabilities of tokens, a tensor a row, of different lengths


def check_bar(bar: Function) -> None:
    """``bar(ref_logps, reward, beta)``: beta log Z; both (answers,)."""
    p, r = torch.tensor([0.25, 0.75]).double().log(), torch.tensor([1.0, 0.0]).double()
    found = float(bar(p, r, 1 / math.log(2)))  # e^(r/beta) is 2 and 1: Z = 5/4
    assert abs(found - math.log(1.25) / math.log(2)) < 1e-9, f"beta log Z should be 0.3219 here, not {found:.4f}"
    found = float(bar(p, r, 1e-3))
    assert math.isfinite(found), "it overflows at small beta: add logarithms (logsumexp), do not take exp first"
    assert abs(found - (1 + 1e-3 * math.log(0.25))) < 1e-9, (
        f"at a small beta it is near the highest reward, not {found:.4f}"
    )


def check_dpo(my_dpo: Function) -> None:
    """``my_dpo(chosen, rejected, ref_chosen, ref_rejected, beta)``: the mean loss of rows of token log-probabilities."""
    leaves = [_rows(seed) for seed in range(4)]
    summed = [sums(side) for side in leaves]
    found, want = my_dpo(*leaves, 0.3), _loss(summed, 0.3)
    for wrong, why in (
        (_loss([summed[k] for k in (1, 0, 3, 2)], 0.3), "chosen and rejected are exchanged"),
        (_loss([*summed[:2], 0 * summed[2], 0 * summed[3]], 0.3), "the reference is missing"),
        (
            _loss([means(side) for side in leaves], 0.3),
            "these are means over the tokens; the log-probability of an answer is their sum",
        ),
        (want * 3, "the rows are to be averaged, not summed"),
        (-want, "the sign is turned: a loss is to become small"),
    ):
        assert abs(float(found) - float(wrong)) > 1e-9, why
    assert abs(float(found) - float(want)) < 1e-9, f"the loss is {float(found):.6f} and should be {float(want):.6f}"
    far = [[torch.full((1,), v).double()] for v in (-4000.0, 0.0, 0.0, 0.0)]
    assert math.isfinite(float(my_dpo(*far, 1.0))), "log(sigmoid(z)) is minus infinity far from zero: use logsigmoid"
    leaves = [[t.requires_grad_() for t in side] for side in leaves]
    my_dpo(*leaves, 0.3).backward()
    assert leaves[0][0].grad is not None, "no gradient reaches the policy"
    assert all(t.grad is None for t in leaves[2] + leaves[3]), "the reference is in the graph: detach it"


def check_best_of(best_of: Function) -> None:
    """``best_of(ref_logps, reward, n)``: probabilities of the answer kept of ``n`` draws; all (answers,)."""
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    r = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)
    assert torch.allclose(best_of(p, r, 1), p.exp()), "with one draw the reference itself is kept; return probabilities"
    # two draws: the first answer is missed with 0.8^2, and the other two share what is left as 3 to 5
    found, want = best_of(p, r, 2), torch.tensor([0.36, 0.24, 0.40], dtype=torch.float64)
    assert abs(float(found.sum()) - 1) < 1e-9, (
        f"the probabilities sum to {float(found.sum()):.4f}: answers of equal reward share one event"
    )
    assert torch.allclose(found, want), f"with two draws it should be {want.tolist()}, not {found.tolist()}"
    draw = torch.Generator().manual_seed(0)
    ref = torch.randn(40, dtype=torch.float64, generator=draw).log_softmax(0)
    reward = torch.randint(-2, 3, (40,), generator=draw).double()
    drawn = torch.multinomial(ref.exp(), 4 * 20_000, replacement=True, generator=draw).view(-1, 4)
    kept = drawn.gather(1, reward[drawn].argmax(1, keepdim=True))[:, 0]
    counted = torch.bincount(kept, minlength=40) / len(kept)
    assert (counted - best_of(ref, reward, 4)).abs().max() < 0.015, (
        "sampling from a list of forty answers finds another distribution"
    )


def _rows(seed: int) -> Rows:
    return [
        -torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(10 * seed + n)) for n in (2, 5, 9)
    ]


def _loss(sides: Sequence[Tensor], beta: float) -> Tensor:
    """DPO's mean loss, written out: chosen, rejected, and the reference's of both; log-probabilities of answers (rows,)."""
    w, l_, rw, rl = sides
    return -logsigmoid(beta * ((w - rw) - (l_ - rl))).mean()


def sums(side: Rows) -> Tensor:
    return torch.stack([row.sum() for row in side])


def means(side: Rows) -> Tensor:
    return torch.stack([row.mean() for row in side])


def bar(ref_logps: Tensor, reward: Tensor, beta: float) -> Tensor:
    return beta * (ref_logps + reward / beta).logsumexp(0)


def my_dpo(chosen: Rows, rejected: Rows, ref_chosen: Rows, ref_rejected: Rows, beta: float) -> Tensor:
    return _loss([sums(chosen), sums(rejected), sums(ref_chosen).detach(), sums(ref_rejected).detach()], beta)


def best_of(ref_logps: Tensor, reward: Tensor, n: int) -> Tensor:
    p = ref_logps.exp()
    up_to = torch.stack([p[reward <= r].sum() for r in reward])
    below = torch.stack([p[reward < r].sum() for r in reward])
    return (up_to**n - below**n) * p / (up_to - below)


def _margin(w: Rows, l_: Rows, rw: Rows, rl: Rows, beta: float) -> Tensor:
    return beta * ((sums(w) - sums(rw).detach()) - (sums(l_) - sums(rl).detach()))


RIGHT: dict[Check, Function] = {check_bar: bar, check_dpo: my_dpo, check_best_of: best_of}
WRONG: dict[Check, Catalogue] = {
    check_bar: [
        ("it overflows", lambda p, r, b: b * (p.exp() @ (r / b).exp()).log()),
        ("not 0.2231", lambda p, r, b: (p + r / b).logsumexp(0)),
        ("0.3219 here", lambda p, r, b: b * (p.exp() + r / b).logsumexp(0)),
        ("not 0.2500", lambda p, r, b: p.exp() @ r),
        ("not 1.0000", lambda p, r, b: r.max()),
    ],
    check_dpo: [
        ("means over the tokens", lambda w, l_, rw, rl, b: _loss([means(side) for side in (w, l_, rw, rl)], b)),
        ("are exchanged", lambda w, l_, rw, rl, b: my_dpo(l_, w, rl, rw, b)),
        ("the reference is missing", lambda w, l_, rw, rl, b: -logsigmoid(b * (sums(w) - sums(l_))).mean()),
        ("detach it", lambda w, l_, rw, rl, b: _loss([sums(side) for side in (w, l_, rw, rl)], b)),
        ("averaged, not summed", lambda w, l_, rw, rl, b: -logsigmoid(_margin(w, l_, rw, rl, b)).sum()),
        ("the sign is turned", lambda w, l_, rw, rl, b: -my_dpo(w, l_, rw, rl, b)),
        ("use logsigmoid", lambda w, l_, rw, rl, b: -_margin(w, l_, rw, rl, b).sigmoid().log().mean()),
        ("and should be", lambda w, l_, rw, rl, b: my_dpo(w, l_, rw, rl, 1.0)),
        ("and should be", lambda w, l_, rw, rl, b: -logsigmoid(_margin(w, l_, rw, rl, b).mean())),
        (
            "no gradient reaches",
            lambda w, l_, rw, rl, b: -logsigmoid(_margin(w, l_, rw, rl, b).detach()).mean() + 0 * sums(rw).sum(),
        ),
    ],
    check_best_of: [
        (
            "with one draw",
            lambda p, r, n: torch.stack([p.exp()[r <= v].sum() ** n - p.exp()[r < v].sum() ** n for v in r]),
        ),
        ("with two draws", lambda p, r, n: (n * p).softmax(0)),
        ("with one draw", lambda p, r, n: (p + n * r).softmax(0)),
        ("with two draws", lambda p, r, n: best_of(p, -r, n)),
        ("with one draw", lambda p, r, n: best_of(p, r, n + 1)),
        ("with one draw", lambda p, r, n: best_of(p, r, n).log()),
    ],
}
