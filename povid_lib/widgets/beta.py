"""Beta: the optimal policy as its strength is turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from povid_lib.analysis import exact_policy
from povid_lib.widgets.base import SpecWidget


class Beta(SpecWidget):
    """Move beta, and see the best policy of chapter 06 go from the reference to the best answer. Computed beforehand."""

    asset = "beta"

    def __init__(self, texts: Sequence[str], lies: Sequence[bool], ref_logps: Tensor, reward: Tensor) -> None:
        super().__init__(spec=beta_spec(texts, lies, ref_logps, reward))


def beta_spec(texts: Sequence[str], lies: Sequence[bool], ref_logps: Tensor, reward: Tensor) -> dict[str, Any]:
    """The exact optimum at 31 values of beta, the first infinite: probabilities of the nine likeliest answers and of all others,
    mean reward, divergence, and the share of answers that name what is not there (``lies``)."""
    top = min(9, len(texts))
    betas = [None, *np.geomspace(20, 0.1, 30).tolist()]
    policies = [ref_logps if beta is None else exact_policy.optimum(ref_logps, reward, beta) for beta in betas]
    ever = torch.stack(policies).exp().amax(0)
    shown = sorted(ever.topk(top).indices.tolist(), key=lambda i: (-float(reward[i]), -float(ref_logps[i])))
    untrue = torch.tensor(lies, dtype=ref_logps.dtype)
    views = []
    for beta, policy in zip(betas, policies, strict=True):
        probs = policy.exp()
        listed = [round(float(probs[i]), 4) for i in shown]
        views.append(
            {
                "beta": beta,
                "probs": [*listed, round(max(0.0, 1 - sum(listed)), 4)],
                "reward": round(float(probs @ reward), 4),
                "kl": round(float(exact_policy.kl(policy, ref_logps)), 4),
                "lies": round(float(probs @ untrue), 4),
            }
        )
    answers = [{"text": texts[i], "reward": float(reward[i]), "lie": bool(lies[i])} for i in shown]
    rest = {"text": f"{len(texts) - top} others together", "reward": None, "lie": None}
    return {"answers": [*answers, rest], "views": views, "best": float(reward.max())}
