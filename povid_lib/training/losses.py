"""Preference losses: pure functions of a batch's log-probabilities, returning ``(loss, metrics)``.

Every argument named ``chosen``, ``rejected`` or ``noised`` is a floating-point tensor (rows,): the log-probability (natural log) of
a whole response under the policy, with ``ref_`` before it under the reference. Which reduction over the tokens that is, the caller
decides in ``logprobs.sequence_logps``: every published form but TRL's IPO takes the **sum**.

``loss`` is a scalar, the mean over the rows; ``metrics`` holds detached tensors (rows,) under TRL's names. Half precision is turned
into float32 first, and float64 stays. Limits: ``-log sigmoid(z)`` has no gradient left for z above about 100 in float32 (e^-100
underflows), and below -100 it is a straight line of slope 1, so that one row never weighs more than ``beta`` times its gradient.

All raise ``ValueError`` for tensors that are not of one shape (rows,) and coefficients outside their range.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Metrics = dict[str, Tensor]


def dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Metrics]:
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, eq. 7).

    ``beta`` > 0 is the strength of the KL term. ``label_smoothing`` in [0, 0.5) is the share of labels taken to be exchanged
    (conservative DPO, Mitchell 2023).
    """
    _positive("dpo", beta=beta)
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"dpo: label_smoothing is {label_smoothing}; it must lie in [0, 0.5).")
    rho_w, rho_l = _log_ratios("dpo", (chosen, ref_chosen), (rejected, ref_rejected))
    margin = beta * (rho_w - rho_l)
    loss = -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
    return loss.mean(), _metrics(beta * rho_w, beta * rho_l, chosen, rejected)


def ipo(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1
) -> tuple[Tensor, Metrics]:
    """Identity preference optimisation (Azar et al. 2023, arXiv 2310.12036, eq. 17, where ``beta`` is called tau): the margin of
    log-ratios is drawn to ``1 / (2 beta)`` and no further. TRL gives it means over tokens; the paper has sums."""
    _positive("ipo", beta=beta)
    rho_w, rho_l = _log_ratios("ipo", (chosen, ref_chosen), (rejected, ref_rejected))
    loss = (rho_w - rho_l - 1 / (2 * beta)) ** 2
    return loss.mean(), _metrics(beta * rho_w, beta * rho_l, chosen, rejected)


def hinge(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1
) -> tuple[Tensor, Metrics]:
    """``max(0, 1 - margin)`` in place of DPO's logistic loss (SLiC: Zhao et al. 2023, arXiv 2305.10425; with log-ratios, as in
    Liu et al. 2023, arXiv 2309.06657)."""
    _positive("hinge", beta=beta)
    rho_w, rho_l = _log_ratios("hinge", (chosen, ref_chosen), (rejected, ref_rejected))
    loss = (1 - beta * (rho_w - rho_l)).relu()
    return loss.mean(), _metrics(beta * rho_w, beta * rho_l, chosen, rejected)


def povid(
    chosen: Tensor,
    rejected: Tensor,
    noised: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    ref_noised: Tensor,
    alpha: float = 0.1,
    beta1: float = 0.05,
    beta2: float = 0.05,
) -> tuple[Tensor, Metrics]:
    """POVID as the paper writes it (arXiv 2402.11411, section 3.3): one sigmoid over both dispreferences,
    ``-log sigmoid(alpha rho(chosen) - beta1 rho(rejected) - beta2 rho(noised))``.

    ``noised``: the response that the model gives token by token under the noised picture. With ``beta2 = 0`` and
    ``alpha = beta1`` this is DPO, which is the method's first phase.
    """
    _positive("povid", alpha=alpha)
    _not_negative("povid", beta1=beta1, beta2=beta2)
    rho_w, rho_l, rho_n = _log_ratios("povid", (chosen, ref_chosen), (rejected, ref_rejected), (noised, ref_noised))
    loss = -F.logsigmoid(alpha * rho_w - beta1 * rho_l - beta2 * rho_n)
    metrics = _metrics(alpha * rho_w, beta1 * rho_l + beta2 * rho_n, chosen, rejected)
    return loss.mean(), metrics | {"rewards/noised": (beta2 * rho_n).detach(), "logps/noised": noised.detach()}


def povid_mean(
    chosen: Tensor,
    rejected: Tensor,
    noised: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    ref_noised: Tensor,
    beta: float = 0.1,
) -> tuple[Tensor, Metrics]:
    """POVID as the released code computes it: the mean of two DPO losses, one against each dispreference.

    Never below ``povid`` with ``alpha = beta`` and ``beta1 = beta2 = beta / 2``: -log sigmoid is convex (Jensen's inequality).
    """
    text, metrics = dpo(chosen, rejected, ref_chosen, ref_rejected, beta)
    image, of_noised = dpo(chosen, noised, ref_chosen, ref_noised, beta)
    rewards = (metrics["rewards/rejected"] + of_noised["rewards/rejected"]) / 2
    return (text + image) / 2, metrics | {
        **_margins(metrics["rewards/chosen"], rewards),
        "rewards/noised": of_noised["rewards/rejected"],
        "logps/noised": of_noised["logps/rejected"],
    }


def mdpo(
    chosen: Tensor,
    rejected: Tensor,
    weakened: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    ref_weakened: Tensor,
    beta: float = 0.1,
    anchor: float = 0.0,
) -> tuple[Tensor, Metrics]:
    """mDPO (Wang et al. 2024, arXiv 2406.11839, section 3): DPO, the same response preferred with its picture to without, and an
    anchor that keeps the chosen reward above ``anchor``.

    ``weakened``: log-probability of the *chosen* response when the picture is weakened (the paper crops it).
    """
    text, metrics = dpo(chosen, rejected, ref_chosen, ref_rejected, beta)
    image, of_weakened = dpo(chosen, weakened, ref_chosen, ref_weakened, beta)
    (rho_w,) = _log_ratios("mdpo", (chosen, ref_chosen))
    kept = -F.logsigmoid(beta * rho_w - anchor).mean()
    return text + image + kept, metrics | {
        "rewards/weakened": of_weakened["rewards/rejected"],
        "logps/weakened": of_weakened["logps/rejected"],
    }


def sft(chosen: Tensor, lengths: Tensor) -> tuple[Tensor, Metrics]:
    """Supervised fine-tuning on the chosen responses: cross-entropy a token, first over a row's tokens, then over the rows.

    ``chosen`` must be **sums** over the tokens and ``lengths``, int64 (rows,), their numbers. Every row weighs the same, so that
    accumulating over small batches gives the gradient of a large one.
    """
    if lengths.shape != chosen.shape or not bool((lengths > 0).all()):
        raise ValueError(
            f"sft: lengths are {lengths.tolist()} for {tuple(chosen.shape)} log-probabilities; each row needs at least one token."
        )
    (chosen,) = _wide("sft", chosen)
    return -(chosen / lengths).mean(), {"logps/chosen": chosen.detach()}


def sft_regularised(
    loss: Tensor, metrics: Metrics, chosen: Tensor, lengths: Tensor, weight: float
) -> tuple[Tensor, Metrics]:
    """Any loss of this module plus ``weight`` times ``sft`` on its chosen responses, so that they stay likely (Pang et al.
    2024, arXiv 2404.19733; Liu et al. 2024, arXiv 2405.16436)."""
    _not_negative("sft_regularised", weight=weight)
    nll, _ = sft(chosen, lengths)
    return loss + weight * nll, metrics | {"nll/chosen": nll.detach().expand(len(chosen))}


# --- shared ------------------------------------------------------------------------------------------------------


def _log_ratios(name: str, *pairs: tuple[Tensor, Tensor]) -> list[Tensor]:
    """log pi_theta - log pi_ref for each (policy, reference)."""
    flat = _wide(name, *(t for pair in pairs for t in pair))
    return [policy - reference.detach() for policy, reference in zip(flat[::2], flat[1::2], strict=True)]


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


def _metrics(reward_chosen: Tensor, reward_rejected: Tensor, chosen: Tensor, rejected: Tensor) -> Metrics:
    return {
        "rewards/chosen": reward_chosen.detach(),
        "rewards/rejected": reward_rejected.detach(),
        **_margins(reward_chosen.detach(), reward_rejected.detach()),
        "logps/chosen": chosen.detach(),
        "logps/rejected": rejected.detach(),
    }


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
