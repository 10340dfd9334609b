"""Exercises of chapter 12: two adapters as one, and an alarm on the length of answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from povid_lib.course.exercises import Catalogue, Check, Function

Matrices = tuple[Tensor, Tensor]  # A (rank, in) and B (out, rank)


def check_one_adapter(one_adapter: Function) -> None:
    """``one_adapter(first, second)``: A and B, factor 1, of two adapters, each (A, B, factor); they add factor * B A."""
    draw = torch.Generator().manual_seed(0)
    a, c = (torch.randn(rank, 5, generator=draw) for rank in (2, 3))
    b, d = (torch.randn(4, rank, generator=draw) for rank in (2, 3))
    whole = 2.0 * b @ a + 0.5 * d @ c
    A, B = one_adapter((a, b, 2.0), (c, d, 0.5))
    assert A.shape == (5, 5), f"A is to be (rank, in), and the ranks add up: (5, 5), not {tuple(A.shape)}"
    assert B.shape == (4, 5), f"B is to be (out, rank): (4, 5), not {tuple(B.shape)}"
    found = B @ A
    for wrong, why in (
        (b @ a + d @ c, "the factors are missing: each adapter adds factor * B A"),
        (4.0 * b @ a + 0.25 * d @ c, "the factor is in A and in B, so it counts twice; put it into one of them"),
        (0.5 * b @ a + 2.0 * d @ c, "the factors are exchanged"),
    ):
        assert not torch.allclose(found, wrong, atol=1e-4), why
    assert torch.allclose(found, whole, atol=1e-4), (
        f"B A is off by {float((found - whole).abs().max()):.3f}; the parts of A and of B must be in the same order"
    )


def check_alarm(alarm: Function) -> None:
    """``alarm(usual, today, z)``: whether the mean length of today's answers is further than z standard errors from the usual."""
    usual = [28.0, 30.0, 32.0] * 100  # mean 30, standard deviation 1.64
    near, far, short = [30.0, 31.0] * 8, [31.0, 32.0] * 8, [28.0, 29.0] * 8
    assert alarm(usual, far, 3) in (True, False), "return True or False"
    assert alarm(usual, far, 3), (
        "16 answers that are 1.5 words longer on average are 3.7 standard errors away: divide the spread by the square root of "
        "today's number of answers"
    )
    assert not alarm(usual, near, 3), "half a word more in 16 answers is 1.2 standard errors: no alarm"
    assert alarm(usual, short, 3), "shorter answers are an alarm, too: take the distance, not the difference"
    assert not alarm(usual, far, 4), "with z = 4, a mean that is 3.7 standard errors away is no alarm"
    assert not alarm(usual, [33.0], 3), (
        "one answer that is 3 words longer is 1.8 standard errors away: a single answer varies as the usual ones do"
    )


def one_adapter(first: tuple[Tensor, Tensor, float], second: tuple[Tensor, Tensor, float]) -> Matrices:
    (a, b, s), (c, d, t) = first, second
    return torch.cat([a, c]), torch.cat([s * b, t * d], 1)


def alarm(usual: Sequence[float], today: Sequence[float], z: float) -> bool:
    mean = sum(usual) / len(usual)
    spread = math.sqrt(sum((x - mean) ** 2 for x in usual) / (len(usual) - 1))
    return abs(sum(today) / len(today) - mean) > z * spread / math.sqrt(len(today))


def _factors(s: float, t: float, both: bool = False) -> Function:
    """Side by side, with other factors than each one's own."""

    def joined(first: tuple[Tensor, Tensor, float], second: tuple[Tensor, Tensor, float]) -> Matrices:
        (a, b, _), (c, d, _) = first, second
        on_a = (s, t) if both else (1.0, 1.0)
        return torch.cat([on_a[0] * a, on_a[1] * c]), torch.cat([s * b, t * d], 1)

    return joined


def _off(usual: Sequence[float], today: Sequence[float]) -> tuple[float, float]:
    """How far today's mean is from the usual one, and the spread of single answers."""
    mean = sum(usual) / len(usual)
    spread = math.sqrt(sum((x - mean) ** 2 for x in usual) / (len(usual) - 1))
    return sum(today) / len(today) - mean, spread


def _one_sided(usual: Sequence[float], today: Sequence[float], z: float) -> bool:
    off, spread = _off(usual, today)
    return off > z * spread / math.sqrt(len(today))


def _of_usual_number(usual: Sequence[float], today: Sequence[float], z: float) -> bool:
    off, spread = _off(usual, today)
    return abs(off) > z * spread / math.sqrt(len(usual))


RIGHT: dict[Check, Function] = {check_one_adapter: one_adapter, check_alarm: alarm}
WRONG: dict[Check, Catalogue] = {
    check_one_adapter: [
        ("the factors are missing", _factors(1.0, 1.0)),
        ("it counts twice", _factors(2.0, 0.5, both=True)),
        ("the factors are exchanged", _factors(0.5, 2.0)),
        ("the same order", lambda f, s: (torch.cat([f[0], s[0]]), torch.cat([s[2] * s[1], f[2] * f[1]], 1))),
        ("the ranks add up", lambda f, s: (f[0], f[1])),
        ("B is to be (out, rank)", lambda f, s: (torch.cat([f[0], s[0]]), torch.cat([f[1], s[1]], 1).T)),
    ],
    check_alarm: [
        ("divide the spread", lambda u, t, z: abs(_off(u, t)[0]) > z * _off(u, t)[1]),
        ("no alarm", _of_usual_number),
        ("shorter answers are an alarm", _one_sided),
        ("with z = 4", lambda u, t, z: abs(_off(u, t)[0]) > 3 * _off(u, t)[1] / math.sqrt(len(t))),
        ("half a word more", lambda u, t, z: True),
        ("a single answer varies", lambda u, t, z: abs(_off(u, t)[0]) > z * _off(u, t)[1] / math.sqrt(max(16, len(t)))),
        ("return True or False", lambda u, t, z: "yes"),
    ],
}
