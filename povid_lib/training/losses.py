"""Preference losses: pure functions of a batch's log-probabilities, returning ``(loss, metrics)``.

All take two records ``Logps``, of the policy and of the reference: for each answer a floating-point tensor (rows,), the
log-probability (natural log) of a whole response. Which reduction over the tokens that is, the caller decides (see ``logprobs``):
every published form but TRL's IPO takes the **sum**. In the formulas, ``rho`` is policy less reference.

``loss`` is a scalar, the mean over the rows; ``metrics`` holds detached tensors (rows,) under TRL's names. Half precision is turned
into float32 first, and float64 stays. Limits: ``-log sigmoid(z)`` has no gradient left for z above about 100 in float32 (e^-100
underflows), and below -100 it is a straight line of slope 1, so that one row never weighs more than ``beta`` times its gradient.

All raise ``ValueError`` for an answer that the records lack, tensors that are not of one shape (rows,) and coefficients outside
their range. ``ipo``, ``hinge`` and label smoothing are not used in the course; they are here for your own experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Metrics = dict[str, Tensor]


class Logps(NamedTuple):
    """What one model gives to the answers of a batch: log-probabilities, (rows,), or token by token, (rows, length).

    ``noised``: of the tokens that the policy prefers under the noised picture (POVID). ``weakened``: of the chosen answer under a
    weakened picture (mDPO). None where an objective needs none.
    """

    chosen: Tensor
    rejected: Tensor
    noised: Tensor | None = None
    weakened: Tensor | None = None

    def given(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        return {name: tensor for name, tensor in self._asdict().items() if tensor is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> Logps:
        """The record with ``change`` made to each of its tensors: ``policy.map(Tensor.detach)``."""
        return Logps(**{name: change(tensor) for name, tensor in self.given().items()})


def dpo(policy: Logps, reference: Logps, beta: float = 0.1, label_smoothing: float = 0.0) -> tuple[Tensor, Metrics]:
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, eq. 7).

    ``beta`` > 0 is the strength of the KL term. ``label_smoothing`` in [0, 0.5) is the share of labels taken to be exchanged
    (conservative DPO, Mitchell 2023).
    """
    _positive("dpo", beta=beta)
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"dpo: label_smoothing is {label_smoothing}; it must lie in [0, 0.5).")
    rho_w, rho_l = _log_ratios("dpo", policy, reference, "chosen", "rejected")
    margin = beta * (rho_w - rho_l)
    loss = -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
    return loss.mean(), _metrics(policy, beta * rho_w, beta * rho_l)


def noised_dpo(policy: Logps, reference: Logps, beta: float = 0.1) -> tuple[Tensor, Metrics]:
    """``dpo`` against the noised answer in place of the rejected one: ``povid_mean``'s half for the image, and its ablation."""
    return dpo(_against("noised_dpo", policy, "noised"), _against("noised_dpo", reference, "noised"), beta)


def ipo(policy: Logps, reference: Logps, beta: float = 0.1) -> tuple[Tensor, Metrics]:
    """Identity preference optimisation (Azar et al. 2023, arXiv 2310.12036, eq. 17, where ``beta`` is called tau): the margin of
    log-ratios is drawn to ``1 / (2 beta)`` and no further. TRL gives it means over tokens; the paper has sums."""
    _positive("ipo", beta=beta)
    rho_w, rho_l = _log_ratios("ipo", policy, reference, "chosen", "rejected")
    loss = (rho_w - rho_l - 1 / (2 * beta)) ** 2
    return loss.mean(), _metrics(policy, beta * rho_w, beta * rho_l)


def hinge(policy: Logps, reference: Logps, beta: float = 0.1) -> tuple[Tensor, Metrics]:
    """``max(0, 1 - margin)`` in place of DPO's logistic loss (SLiC: Zhao et al. 2023, arXiv 2305.10425; with log-ratios, as in
    Liu et al. 2023, arXiv 2309.06657)."""
    _positive("hinge", beta=beta)
    rho_w, rho_l = _log_ratios("hinge", policy, reference, "chosen", "rejected")
    loss = (1 - beta * (rho_w - rho_l)).relu()
    return loss.mean(), _metrics(policy, beta * rho_w, beta * rho_l)


def povid(
    policy: Logps, reference: Logps, alpha: float = 0.1, beta1: float = 0.05, beta2: float = 0.05
) -> tuple[Tensor, Metrics]:
    """POVID as the paper writes it (arXiv 2402.11411, section 3.3): one sigmoid over both dispreferences,
    ``-log sigmoid(alpha rho(chosen) - beta1 rho(rejected) - beta2 rho(noised))``.

    With ``beta2 = 0``, the text phase, the records need no noised answer. The paper does not give the coefficients' values: with
    ``alpha = beta1`` the text phase is DPO, as in the authors' code; with ``alpha = 2 beta1``, as in this course, half of it is
    supervised training.
    """
    _positive("povid", alpha=alpha)
    _not_negative("povid", beta1=beta1, beta2=beta2)
    if not beta2:
        rho_w, rho_l = _log_ratios("povid", policy, reference, "chosen", "rejected")
        loss = -F.logsigmoid(alpha * rho_w - beta1 * rho_l)
        return loss.mean(), _metrics(policy, alpha * rho_w, beta1 * rho_l)
    rho_w, rho_l, rho_n = _log_ratios("povid", policy, reference, "chosen", "rejected", "noised")
    loss = -F.logsigmoid(alpha * rho_w - beta1 * rho_l - beta2 * rho_n)
    metrics = _metrics(policy, alpha * rho_w, beta1 * rho_l + beta2 * rho_n)
    return loss.mean(), metrics | _of("noised", policy, beta2 * rho_n)


def povid_mean(policy: Logps, reference: Logps, beta: float = 0.1) -> tuple[Tensor, Metrics]:
    """POVID as the released code computes it: the mean of two DPO losses, one against each dispreference.

    Never below ``povid`` with ``alpha = beta`` and ``beta1 = beta2 = beta / 2``: -log sigmoid is convex (Jensen's inequality).
    """
    text, metrics = dpo(policy, reference, beta)
    image, of_noised = noised_dpo(policy, reference, beta)
    rewards = (metrics["rewards/rejected"] + of_noised["rewards/rejected"]) / 2
    metrics |= _margins(metrics["rewards/chosen"], rewards)
    return (text + image) / 2, metrics | _of("noised", policy, of_noised["rewards/rejected"])


def mdpo(policy: Logps, reference: Logps, beta: float = 0.1, anchor: float = 0.0) -> tuple[Tensor, Metrics]:
    """mDPO (Wang et al. 2024, arXiv 2406.11839, section 3): DPO, the same response preferred with its picture to without, and an
    anchor that keeps the chosen reward above ``anchor``.

    The ``weakened`` answer is the *chosen* response when the picture is weakened (the paper crops it).
    """
    text, metrics = dpo(policy, reference, beta)
    image, of_weakened = dpo(_against("mdpo", policy, "weakened"), _against("mdpo", reference, "weakened"), beta)
    (rho_w,) = _log_ratios("mdpo", policy, reference, "chosen")
    kept = -F.logsigmoid(beta * rho_w - anchor).mean()
    return text + image + kept, metrics | _of("weakened", policy, of_weakened["rewards/rejected"])


def sft(policy: Logps, reference: Logps, lengths: Tensor) -> tuple[Tensor, Metrics]:
    """Supervised fine-tuning on the chosen responses: cross-entropy a token, first over a row's tokens, then over the rows.

    The policy's log-probabilities must be **sums** over the tokens and ``lengths``, int64 (rows,), their numbers. The reference is
    not read. Every row weighs the same, so that accumulating over small batches gives the gradient of a large one.
    """
    chosen = policy.chosen
    if lengths.shape != chosen.shape or not bool((lengths > 0).all()):
        raise ValueError(
            f"sft: lengths are {lengths.tolist()} for {tuple(chosen.shape)} log-probabilities; each row needs at least one token."
        )
    (wide,) = _wide("sft", chosen)
    return -(wide / lengths).mean(), {"logps/chosen": chosen.detach()}


def sft_regularised(
    loss: Tensor, metrics: Metrics, policy: Logps, lengths: Tensor, weight: float
) -> tuple[Tensor, Metrics]:
    """Any loss of this module plus ``weight`` times ``sft`` on its chosen responses, so that they stay likely (Pang et al.
    2024, arXiv 2404.19733; Liu et al. 2024, arXiv 2405.16436)."""
    _not_negative("sft_regularised", weight=weight)
    nll, _ = sft(policy, policy, lengths)
    return loss + weight * nll, metrics | {"nll/chosen": nll.detach().expand(len(policy.chosen))}


# --- shared ------------------------------------------------------------------------------------------------------


def _answer(where: str, logps: Logps, name: str) -> Tensor:
    found = logps.given().get(name)
    if found is None:
        raise ValueError(f"{where}: the record has no {name} answers; give Logps(..., {name}=...).")
    return found


def _against(where: str, logps: Logps, name: str) -> Logps:
    """The record with another answer in the rejected one's place."""
    return Logps(logps.chosen, _answer(where, logps, name))


def _log_ratios(where: str, policy: Logps, reference: Logps, *answers: str) -> list[Tensor]:
    """log pi_theta - log pi_ref of each of the ``answers``."""
    flat = _wide(where, *(_answer(where, of, name) for name in answers for of in (policy, reference)))
    return [p - r.detach() for p, r in zip(flat[::2], flat[1::2], strict=True)]


def _wide(name: str, *tensors: Tensor) -> list[Tensor]:
    shapes = [tuple(t.shape) for t in tensors]
    if len(set(shapes)) > 1 or tensors[0].ndim != 1 or not len(tensors[0]):
        raise ValueError(
            f"{name}: the log-probabilities have the shapes {shapes}; all must be (rows,), one number a row."
        )
    if not all(t.is_floating_point() for t in tensors):
        raise ValueError(
            f"{name}: log-probabilities are of type {[t.dtype for t in tensors]}; give floating-point ones."
        )
    return [t if t.dtype == torch.float64 else t.float() for t in tensors]


def _metrics(policy: Logps, reward_chosen: Tensor, reward_rejected: Tensor) -> Metrics:
    return {
        "rewards/chosen": reward_chosen.detach(),
        "rewards/rejected": reward_rejected.detach(),
        **_margins(reward_chosen.detach(), reward_rejected.detach()),
        "logps/chosen": policy.chosen.detach(),
        "logps/rejected": policy.rejected.detach(),
    }


def _of(answer: str, policy: Logps, reward: Tensor) -> Metrics:
    return {f"rewards/{answer}": reward.detach(), f"logps/{answer}": _answer("metrics", policy, answer).detach()}


def _margins(chosen: Tensor, rejected: Tensor) -> Metrics:
    return {"rewards/margins": chosen - rejected, "rewards/accuracies": (chosen > rejected).float()}


def _positive(where: str, **coefficients: float) -> None:
    for name, value in coefficients.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{where}: {name} is {value}; it must be positive and finite (0.1 is usual).")


def _not_negative(where: str, **coefficients: float) -> None:
    for name, value in coefficients.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{where}: {name} is {value}; it must be finite and not negative.")
