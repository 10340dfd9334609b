"""What the gradient of the POVID loss weighs: answer by answer, token by token, and how two gradients differ (chapter 07).

Every POVID loss is a function of three summed log-probabilities a row, so its gradient is a weighted sum over tokens,

    -d loss / d theta = sum_t w(y_t) d log pi_theta(y_t | x, y_<t) / d theta,

one positive weight for all tokens of the chosen answer and a negative one for those of each dispreferred answer. Where two answers
hold the same token after the same words under the same picture, it is one log-probability: their weights add up, and may cancel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from peft import PeftModel
from torch import Tensor
from transformers import LlavaProcessor

from povid_lib.training.collator import Batch
from povid_lib.training.dispreference import ImageDispreference
from povid_lib.training.logprobs import sequence_logps, token_logps
from povid_lib.training.losses import Logps
from povid_lib.training.pair_scores import ChosenLogits, Views, noised_answer, views, weaken


@dataclass(frozen=True)
class Answers:
    """A batch's three answers, token by token, under policy and reference.

    ``*_ids``, ``*_mask``: int64 (rows, C) for the chosen and the noised answer, (rows, R) for the rejected one. ``policy`` and
    ``reference``: log-probabilities in the same shapes, 0 where the mask is; ``noised`` is there. ``same_picture``: whether the
    noised answer is scored under the clean picture, as the others are. The reference's log-probabilities of the noised answer may
    be those of its own tokens.
    """

    chosen_ids: Tensor
    rejected_ids: Tensor
    noised_ids: Tensor
    chosen_mask: Tensor
    rejected_mask: Tensor
    noised_mask: Tensor
    policy: Logps
    reference: Logps
    same_picture: bool


class Weights(NamedTuple):
    """``-d loss / d log pi`` of chosen, rejected and noised answer: (rows,) for whole answers, (rows, C or R) for tokens.

    Of each row's own loss, before the mean over the rows is taken.
    """

    chosen: Tensor
    rejected: Tensor
    noised: Tensor


def choose(
    batch: Batch, policy: Views, reference: Views, how: ImageDispreference, generators: Sequence[torch.Generator]
) -> Answers:
    """The three answers, as ``how`` chooses the noised one. ``generators``: one a row, for sampled tokens only."""
    chosen, rejected = batch["chosen"], batch["rejected"]
    pairs = [
        Logps(
            token_logps(of.chosen, chosen["ids"], chosen["mask"]),
            token_logps(of.rejected, rejected["ids"], rejected["mask"]),
        )
        for of in (policy, reference)
    ]
    clear, ref_clear = ChosenLogits(policy.chosen, policy.noised), ChosenLogits(reference.chosen, reference.noised)
    noised = noised_answer(batch, clear, ref_clear, how, generators)
    return Answers(
        chosen["ids"], rejected["ids"], noised.ids, chosen["mask"], rejected["mask"], chosen["mask"],
        policy=pairs[0]._replace(noised=noised.policy),
        reference=pairs[1]._replace(noised=noised.reference).map(Tensor.detach),
        same_picture=how.scored_under == "clean",
    )  # fmt: skip


def answers(
    model: PeftModel, batch: Batch, how: ImageDispreference, processor: LlavaProcessor, generators: Sequence[torch.Generator]
) -> Answers:  # fmt: skip
    """``choose`` for a model with adapters; the reference is the same model with them switched off."""
    shown = weaken(batch, how, processor, generators)
    policy = views(model, batch, shown)
    with torch.no_grad(), model.disable_adapter():
        reference = views(model, batch, shown)
    return choose(batch, policy, reference, how, generators)


def sums(given: Answers, average: bool = False) -> tuple[Logps, Logps]:
    """The records (rows,) of policy and reference that the losses take; with ``average``, means over the tokens."""
    masks = {"chosen": given.chosen_mask, "rejected": given.rejected_mask, "noised": given.noised_mask}

    def summed(of: Logps) -> Logps:
        tokens = of.given()
        return Logps(**{name: sequence_logps(tokens[name], mask, average) for name, mask in masks.items()})

    return summed(given.policy), summed(given.reference)


# --- weights -----------------------------------------------------------------------------------------------------


def povid_weights(
    policy: Logps, reference: Logps, alpha: float = 0.1, beta1: float = 0.05, beta2: float = 0.05
) -> Weights:
    """Of ``losses.povid``: ``sigmoid(-z)`` times alpha, -beta1, -beta2, where ``z`` is the argument of its one sigmoid."""
    p, r = policy.map(Tensor.detach).given(), reference.map(Tensor.detach).given()
    rho = {name: p[name] - r[name] for name in p}
    left = torch.sigmoid(-(alpha * rho["chosen"] - beta1 * rho["rejected"] - beta2 * rho["noised"]))
    return Weights(alpha * left, -beta1 * left, -beta2 * left)


def povid_mean_weights(policy: Logps, reference: Logps, beta: float = 0.1) -> Weights:
    """Of ``losses.povid_mean``: each dispreferred answer has a sigmoid of its own, and the chosen one the sum of both."""
    p, r = policy.map(Tensor.detach).given(), reference.map(Tensor.detach).given()
    rho = p["chosen"] - r["chosen"]
    text = beta / 2 * torch.sigmoid(-beta * (rho - p["rejected"] + r["rejected"]))
    image = beta / 2 * torch.sigmoid(-beta * (rho - p["noised"] + r["noised"]))
    return Weights(text + image, -text, -image)


def shared_words(given: Answers) -> Tensor:
    """Bool (rows, C): where chosen and rejected answer hold the same token after the same words, that is up to the first change."""
    length = min(given.chosen_ids.shape[1], given.rejected_ids.shape[1])
    same = torch.zeros_like(given.chosen_mask, dtype=torch.bool)
    both = (given.chosen_mask[:, :length] == 1) & (given.rejected_mask[:, :length] == 1)
    equal = given.chosen_ids[:, :length] == given.rejected_ids[:, :length]
    same[:, :length] = (both & equal).cumprod(1).bool()
    return same


def coinciding(given: Answers) -> Tensor:
    """Bool (rows, C): where the noised answer holds the chosen one's token, **and** both are scored under the same picture."""
    equal = (given.noised_ids == given.chosen_ids) & (given.noised_mask == 1)
    return equal if given.same_picture else torch.zeros_like(equal)


def token_weights(given: Answers, weights: Weights) -> Weights:
    """Net weight of every token, the terms of one log-probability added up.

    A token that several answers share stands under ``chosen`` and is 0 under the others. (A noised token that equals the rejected
    one at its first change is left under both: their signs agree, nothing cancels.)
    """
    shared, coincide = shared_words(given), coinciding(given)
    with_rejected = torch.zeros_like(given.rejected_mask, dtype=torch.bool)
    length = min(shared.shape[1], with_rejected.shape[1])
    with_rejected[:, :length] = shared[:, :length]
    chosen, rejected, noised = (w[:, None] for w in weights)
    return Weights(
        chosen * given.chosen_mask + rejected * shared + noised * coincide,
        rejected * (given.rejected_mask - with_rejected.long()),
        noised * (given.noised_mask - coincide.long()),
    )


# --- gradients ---------------------------------------------------------------------------------------------------


def gradient(value: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """Gradient of a scalar with respect to all parameters, as one float64 vector; the graph is kept for further calls."""
    found = torch.autograd.grad(value, list(parameters), retain_graph=True)
    return torch.cat([g.detach().double().flatten() for g in found])


def compare(gradient_: Tensor, default: Tensor) -> tuple[float, float]:
    """Cosine of two gradients, and the norm of the first in units of the second's.

    Raises ``ValueError`` if the default is zero or the sizes differ. The cosine of a zero gradient is nan.
    """
    if gradient_.shape != default.shape or default.ndim != 1:
        raise ValueError(f"compare: shapes {tuple(gradient_.shape)} and {tuple(default.shape)}; give two vectors.")
    size, unit = float(gradient_.norm()), float(default.norm())
    if unit == 0:
        raise ValueError("compare: the default's gradient is zero, so nothing can be measured in its units.")
    return (float(gradient_ @ default) / (size * unit) if size else float("nan")), size / unit
