"""Exercises of chapter 05: where picture and noise weigh the same, the second best token, a noise step for each picture."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from povid_lib.course.exercises import Catalogue, Check, Function
from povid_lib.data.corrupt_image import alpha_bars


def check_crossing(crossing: Function) -> None:
    """``crossing(schedule)``: the first step at which the noise has the larger factor; ``schedule``: (steps,)."""
    got = crossing(torch.tensor([0.9, 0.6, 0.5, 0.4, 0.1]))
    assert got != 2, "at equality the noise is not larger yet"
    assert got == 3, f"for 0.9, 0.6, 0.5, 0.4, 0.1 the answer is 3, not {got}"
    assert crossing(torch.tensor([0.8, 0.3])) == 1, "for 0.8, 0.3 the answer is 1: compare the roots of a and of 1 - a"
    assert 550 < crossing(alpha_bars()) < 650, "for POVID's schedule the curves of the figure cross between 550 and 650"


def check_never_the_label(never_the_label: Function) -> None:
    """``never_the_label(logits, labels)``: the likeliest token that is not the label; (length, vocabulary), (length,)."""
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
    kept, got = logits.clone(), never_the_label(logits, torch.tensor([0, 0, 1]))
    assert got.tolist()[0] == 1, "where the best is the label, take the second best"
    assert got.tolist()[1] == 2, "where the best is not the label, keep the best"
    assert got.tolist()[2] == 0, "logits may be negative: a label set to 0 wins over them"
    assert torch.equal(logits, kept), "the logits that you were given have changed; work on a copy"


def check_halving(halving: Function) -> None:
    """``halving(truth)``: column of the first step with half of the first column's value; (dilemmas, steps)."""
    got = halving(np.array([[0.8, 0.5, 0.4, 0.1], [0.9, 0.8, 0.7, 0.6], [0.6, 0.2, 0.5, 0.1]]))
    assert got[2] == 1, "take the first step, not the one with the smallest value"
    assert got[0] != 1, "half of 0.8 is 0.4: compare with the row's own first value, not with one half"
    assert got[0] == 2, "half is enough: at 0.4 of 0.8 the truth is halved"
    assert got[1] == 3, "where the truth is never halved, take the last step"


def crossing(schedule: Tensor) -> int:
    return int((schedule < 0.5).nonzero()[0])


def never_the_label(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(-1, labels[:, None], float("-inf")).argmax(-1)


def halving(truth: NDArray[np.float64]) -> NDArray[np.int64]:
    halved = truth <= truth[:, :1] / 2
    return np.where(halved.any(1), halved.argmax(1), truth.shape[1] - 1)


RIGHT: dict[Check, Function] = {
    check_crossing: crossing,
    check_never_the_label: never_the_label,
    check_halving: halving,
}
WRONG: dict[Check, Catalogue] = {
    check_crossing: [
        ("at equality", lambda a: int((a <= 0.5).nonzero()[0])),
        ("the answer is 3, not 4", lambda a: int((a**0.5 < 0.5).nonzero()[0])),
        ("raises IndexError", lambda a: int((a < 0).nonzero()[0])),
        ("returns nothing", lambda a: None),
    ],
    check_never_the_label: [
        ("take the second best", lambda x, y: x.argmax(-1)),
        ("keep the best", lambda x, y: x.topk(2).indices[:, 1]),
        ("a label set to 0 wins", lambda x, y: x.scatter(-1, y[:, None], 0.0).argmax(-1)),
        ("have changed", lambda x, y: x.scatter_(-1, y[:, None], float("-inf")).argmax(-1)),
        ("the check cannot go on", lambda x, y: never_the_label(x, y).tolist()),
        ("returns nothing", lambda x, y: None),
    ],
    check_halving: [
        ("the row's own first value", lambda t: (t <= 0.5).argmax(1)),
        ("half is enough", lambda t: (t < t[:, :1] / 2).argmax(1)),
        ("take the last step", lambda t: (t <= t[:, :1] / 2).argmax(1)),
        ("take the first step", lambda t: t.argmin(1)),
        ("returns nothing", lambda t: None),
    ],
}
