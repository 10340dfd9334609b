"""The table of objectives. To add a loss, write its function (see ``losses``) and its row here: the checks of the settings, their
record, the trainer's forward pass and the curves read the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from povid_lib.training import losses
from povid_lib.training.losses import Logps, Metrics

Dispreference = Literal["text", "image", "both"]


@dataclass(frozen=True)
class Objective:
    """One row: a loss for one ``dispreference``.

    ``loss``: called with the records of policy and reference and the settings that the row names. ``weights``: the answers that it
    weighs, and for each the setting of ``POVIDConfig`` that is its coefficient. An answer "noised" or "weakened" there is what the
    trainer's forward pass makes beside chosen and rejected; each has a curve ``logps/...`` and, if it is weighed against the
    reference, ``rewards/...``. ``options``: further settings that it reads. ``segments``: answers are scored as in RLHF-V (see
    ``logprobs.segment_logps``), not by sums. ``lengths``: the loss is given the numbers of tokens of the chosen answers as well.
    """

    name: str
    dispreference: Dispreference
    loss: Callable[..., tuple[Tensor, Metrics]]
    weights: Mapping[str, str]
    options: tuple[str, ...] = ("sft_weight",)
    segments: bool = False
    lengths: bool = False

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that the objective reads, each once."""
        return (*dict.fromkeys(self.weights.values()), *self.options)


_PAIR = {"chosen": "beta", "rejected": "beta"}
OBJECTIVES = (
    Objective("povid", "text", partial(losses.povid, beta2=0.0), {"chosen": "alpha", "rejected": "beta1"}),
    Objective("povid", "image", partial(losses.povid, beta1=0.0), {"chosen": "alpha", "noised": "beta2"}),
    Objective("povid", "both", losses.povid, {"chosen": "alpha", "rejected": "beta1", "noised": "beta2"}),
    Objective("povid_mean", "text", losses.dpo, _PAIR),
    Objective("povid_mean", "image", losses.noised_dpo, {"chosen": "beta", "noised": "beta"}),
    Objective("povid_mean", "both", losses.povid_mean, _PAIR | {"noised": "beta"}),
    Objective("dpo", "text", losses.dpo, _PAIR, options=("label_smoothing", "sft_weight")),
    Objective("ddpo", "text", losses.dpo, _PAIR, segments=True),
    Objective("mdpo", "text", losses.mdpo, _PAIR | {"weakened": "beta"}),
    Objective("sft", "text", losses.sft, {}, options=(), lengths=True),
    # for your own experiments: the course trains with neither
    Objective("ipo", "text", losses.ipo, _PAIR),
    Objective("hinge", "text", losses.hinge, _PAIR),
)


def find(name: str, dispreference: str) -> Objective:
    """The row of an objective. Raises ``ValueError`` that names the choices where there is none."""
    names = list(dict.fromkeys(row.name for row in OBJECTIVES))
    if name not in names:
        raise ValueError(f"objective is {name!r}; choose one of {', '.join(names)}.")
    known = {row.dispreference: row for row in OBJECTIVES if row.name == name}
    if dispreference not in known:
        raise ValueError(
            f"dispreference is {dispreference!r}; choose one of {', '.join(known)}, which objective {name!r} has."
        )
    return known[dispreference]


def evaluate(
    row: Objective, settings: Mapping[str, float], policy: Logps, reference: Logps, lengths: Tensor
) -> tuple[Tensor, Metrics]:
    """The loss and its metrics. ``settings``: a value for each of ``row.settings``. ``lengths``, int64 (rows,): the numbers of
    tokens of the chosen answers."""
    given = {name: settings[name] for name in row.settings}
    sft_weight = given.pop("sft_weight", 0.0)
    found = row.loss(policy, reference, *[lengths] * row.lengths, **given)
    return losses.sft_regularised(*found, policy, lengths, sft_weight) if sft_weight else found
