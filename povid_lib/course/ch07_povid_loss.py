"""Exercises of chapter 07: what a word weighs, the gap between two losses, and sparing the true words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from povid_lib.analysis.loss_gradient import Answers
from povid_lib.course.exercises import Catalogue, Check, Function
from povid_lib.world.captions import mentioned
from povid_lib.world.scenes import Scene

Decode = Callable[[list[int]], str]


def check_net(net: Function) -> None:
    """``net(alpha, beta1, beta2, before, same, clean)``: net weight of a token of the chosen answer, without sigma(-z)."""
    for clean in (True, False):
        for before, same in ((True, True), (False, True), (False, False)):
            found = net(0.7, 0.2, 0.1, before, same, clean)
            want = 0.7 - (0.2 if before else 0.0) - (0.1 if same and clean else 0.0)
            assert abs(found - want) < 1e-6, (
                f"before={before}, same={same}, clean={clean}: {found:.2f} is not the sum of the weights of one log-probability"
            )


def check_gap(gap: Function) -> None:
    """``gap(z1, z2)``: the mean of two losses less one sigmoid; margins and result (pairs,)."""
    z1 = torch.tensor([0.0, 3.0, -2.0, 0.01]).double()
    z2 = torch.tensor([0.0, 3.0, 2.0, -0.01]).double()
    found = gap(z1, z2)
    assert found.shape == z1.shape, "give one number a pair, no mean"
    assert float(found[:2].abs().max()) < 1e-12, "with equal margins both losses are equal"
    assert float(found[2]) > 0, "the mean of two is never below one sigmoid: is the sign turned?"
    assert abs(float(found[2]) - 0.433781) < 1e-5, (
        f"for 2 and -2 it is 0.4338, not {float(found[2]):.4f}: is the mean taken of the losses?"
    )
    assert abs(float(found[3]) - 0.02**2 / 32) < 1e-9, "near zero it is (z1 - z2)^2 / 32"
    far = gap(torch.tensor([-1000.0]), torch.tensor([1000.0]))
    assert bool(far.isfinite().all()), "exp overflows here: use logsigmoid"
    assert abs(float(far) - (500 - 0.693147)) < 1e-2, "for -1000 and 1000 it is 500 - ln 2"


def check_spare(spare: Function, given: Answers, scenes: Sequence[Scene], decode: Decode) -> None:
    """``spare(given, scenes)``: the answers without the noised tokens that name an object of their scene and are not the label.

    ``given``: answers of a model, a row a scene; ``decode``: its tokeniser's.
    """
    found = spare(given, scenes)
    assert torch.equal(found.chosen_mask, given.chosen_mask), "the chosen answer keeps all its tokens"
    assert not bool((found.noised_mask > given.noised_mask).any()), (
        "padding has come in: tokens may be left out, never added"
    )
    assert not torch.equal(found.noised_mask, given.noised_mask), (
        "nothing was left out: noised_mask must be 0 where a true object stands for the label"
    )
    for i, scene in enumerate(scenes):
        for t in range(int(given.noised_mask[i].sum())):
            label, token = int(given.chosen_ids[i, t]), int(given.noised_ids[i, t])
            true = bool(set(mentioned(decode([token]))) & set(scene.names)) and token != label
            out = not bool(found.noised_mask[i, t])
            said = f"row {i}, token {t} ({decode([token]).strip()!r} for {decode([label]).strip()!r})"
            assert out or not true, f"{said} is true of the scene and is still there"
            assert true or not out, f"{said} should have stayed"


def net(alpha: float, beta1: float, beta2: float, before: bool, same: bool, clean: bool) -> float:
    return alpha - (beta1 if before else 0) - (beta2 if same and clean else 0)


def gap(z1: Tensor, z2: Tensor) -> Tensor:
    return logsigmoid((z1 + z2) / 2) - (logsigmoid(z1) + logsigmoid(z2)) / 2


def _spare_if(left_out: Callable[[int, int, set[str]], object], decode: Decode) -> Function:
    """A ``spare`` that leaves out the noised tokens for which ``left_out(token, label, names)`` is true."""

    def spared(given: Answers, scenes: Sequence[Scene]) -> Answers:
        mask = given.noised_mask.clone()
        for i, scene in enumerate(scenes):
            labels = given.chosen_ids[i].tolist()
            for t, token in enumerate(given.noised_ids[i].tolist()):
                if left_out(token, labels[t], set(scene.names)):
                    mask[i, t] = 0
        return replace(given, noised_mask=mask)

    return spared


def spare_of(decode: Decode) -> Function:
    """The right answer to the third exercise, for a tokeniser's ``decode``."""
    return _spare_if(lambda token, label, names: set(mentioned(decode([token]))) & names and token != label, decode)


def wrong_spares(decode: Decode) -> Catalogue:
    """Wrong answers to the third exercise, for a tokeniser's ``decode``."""

    def named(token: int) -> set[str]:
        return set(mentioned(decode([token])))

    spare = spare_of(decode)
    return [
        ("nothing was left out", lambda given, scenes: given),
        ("returns nothing", lambda given, scenes: None),
        # the labels are left out as well
        ("should have stayed", _spare_if(lambda token, label, names: named(token) & names, decode)),
        # every object is, also those that are not there
        ("should have stayed", _spare_if(lambda token, label, names: named(token) and token != label, decode)),
        # everything that differs is
        ("should have stayed", _spare_if(lambda token, label, names: token != label, decode)),
        (
            "keeps all its tokens",
            lambda given, scenes: replace(spare(given, scenes), chosen_mask=0 * given.chosen_mask),
        ),
        ("token", lambda given, scenes: spare(given, scenes[::-1])),
    ]


RIGHT: dict[Check, Function] = {check_net: net, check_gap: gap}
WRONG: dict[Check, Catalogue] = {
    check_net: [
        ("before=True, same=True, clean=True", lambda a, b1, b2, before, same, clean: a),
        ("before=False, same=True, clean=True", lambda a, b1, b2, before, same, clean: a - b1 - b2),
        (
            "before=True, same=True, clean=False",
            lambda a, b1, b2, before, same, clean: a - b1 * before - b2 * same,
        ),
        ("before=True, same=True, clean=True", lambda a, b1, b2, before, same, clean: a - b2 * (same and clean)),
        (
            "before=False, same=False, clean=True",
            lambda a, b1, b2, before, same, clean: a - b1 * before - b2 * clean,
        ),
        (
            "before=True, same=True, clean=True",
            lambda a, b1, b2, before, same, clean: a + b1 * before + b2 * (same and clean),
        ),
        (
            "before=False, same=True, clean=True",
            lambda a, b1, b2, before, same, clean: a - b2 * before - b1 * (same and clean),
        ),
        ("returns nothing", lambda a, b1, b2, before, same, clean: None),
    ],
    check_gap: [
        ("is the sign turned", lambda z1, z2: -gap(z1, z2)),
        ("one number a pair", lambda z1, z2: gap(z1, z2).mean()),
        ("for 2 and -2 it is 0.4338", lambda z1, z2: (z1 - z2) ** 2 / 32),
        (
            "with equal margins",
            lambda z1, z2: -(logsigmoid(z1) + logsigmoid(z2)) + logsigmoid((z1 + z2) / 2),
        ),
        (
            "use logsigmoid",
            lambda z1, z2: -(z1.sigmoid().log() + z2.sigmoid().log()) / 2 + ((z1 + z2) / 2).sigmoid().log(),
        ),
        (
            "use logsigmoid",
            lambda z1, z2: ((1 + (-z1).exp()).log() + (1 + (-z2).exp()).log()) / 2 - (1 + (-(z1 + z2) / 2).exp()).log(),
        ),
        ("for 2 and -2 it is 0.4338", lambda z1, z2: gap(z1, z2) * 2),
        ("returns nothing", lambda z1, z2: None),
    ],
}
