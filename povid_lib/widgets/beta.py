"""Beta: the optimal policy as its strength is turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from torch import Tensor

from povid_lib.analysis import exact_policy
from povid_lib.widgets.base import STATIC, script


class Beta(anywidget.AnyWidget):
    """Move beta, and see the best policy of chapter 06 go from the reference to the best answer. Computed beforehand."""

    _esm = script("beta.js")
    _css = STATIC / "beta.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, texts: Sequence[str], lies: Sequence[bool], ref_logps: Tensor, reward: Tensor) -> None:
        super().__init__(spec=beta_spec(texts, lies, ref_logps, reward))


def beta_spec(
    texts: Sequence[str], lies: Sequence[bool], ref_logps: Tensor, reward: Tensor, top: int = 9, stops: int = 31
) -> dict[str, Any]:
    """The exact optimum at ``stops`` values of beta, the first infinite: probabilities of the ``top`` answers and of all others,
    mean reward, divergence, and the share of answers that name what is not there (``lies``)."""
    betas = [None, *np.geomspace(20, 0.1, stops - 1).tolist()]
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
