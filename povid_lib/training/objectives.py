"""What a setting ``objective`` makes of summed log-probabilities."""

from __future__ import annotations

from torch import Tensor

from povid_lib.training import losses
from povid_lib.training.collator import Batch
from povid_lib.training.config import POVIDConfig

Logps = dict[str, Tensor]


def objective(settings: POVIDConfig, policy: Logps, reference: Logps, batch: Batch) -> tuple[Tensor, losses.Metrics]:
    """What ``settings.objective`` makes of summed log-probabilities (rows,): the loss and its metrics."""
    chosen, rejected = policy["chosen"], policy["rejected"]
    ref_chosen, ref_rejected = reference["chosen"], reference["rejected"]
    four = (chosen, rejected, ref_chosen, ref_rejected)
    beta = settings.beta
    lengths = batch["chosen_mask"].sum(1)
    kind, about = settings.objective, settings.dispreference
    if kind == "povid":
        noised, ref_noised = policy.get("noised", rejected), reference.get("noised", ref_rejected)
        beta1 = 0.0 if about == "image" else settings.beta1
        beta2 = 0.0 if about == "text" else settings.beta2
        found = losses.povid(
            chosen, rejected, noised, ref_chosen, ref_rejected, ref_noised, settings.alpha, beta1, beta2
        )
        if about == "text":  # there is no noised answer, the rejected one stood in for it
            found = found[0], {name: values for name, values in found[1].items() if "noised" not in name}
    elif kind == "povid_mean" and about == "both":
        noised, ref_noised = policy["noised"], reference["noised"]
        found = losses.povid_mean(chosen, rejected, noised, ref_chosen, ref_rejected, ref_noised, beta)
    elif kind == "povid_mean" and about == "image":
        found = losses.dpo(chosen, policy["noised"], ref_chosen, reference["noised"], beta)
    elif kind in ("povid_mean", "dpo", "ddpo"):
        found = losses.dpo(*four, beta, settings.label_smoothing)  # "ddpo": on RLHF-V's scores
    elif kind == "ipo":
        found = losses.ipo(*four, beta)
    elif kind == "hinge":
        found = losses.hinge(*four, beta)
    elif kind == "mdpo":
        weakened, ref_weakened = policy["weakened"], reference["weakened"]
        found = losses.mdpo(chosen, rejected, weakened, ref_chosen, ref_rejected, ref_weakened, beta, settings.anchor)
    else:
        return losses.sft(chosen, lengths)
    if settings.sft_weight:
        return losses.sft_regularised(*found, chosen, lengths, settings.sft_weight)
    return found
