"""Log-probabilities of responses: one forward pass over a batch of pairs, and logits at the responses' positions only.

The **shared prefix**: picture and prompt are the same for both responses of a pair, so they need to be read only once. Both
responses stand behind them in one row, ``[prompt][chosen][rejected]``, as two branches: a 4-D mask hides the chosen tokens from the
rejected ones, and the rejected ones' positions are counted from the prompt's end. ``shared_prefix=False`` is the plain way, two
rows a pair. Both give the same numbers up to rounding; so does handing in the features of the picture (see ``image_features``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from povid_lib.training.collator import Batch


def pair_logits(
    model: nn.Module, batch: Batch, shared_prefix: bool = True, features: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Logits that predict the chosen and the rejected tokens: (rows, C, vocabulary) and (rows, R, vocabulary).

    ``model``: a LLaVA, plain or wrapped (PEFT, DDP). ``features``: see ``image_features``; they replace ``pixel_values``.
    Logits at padding are there, and mean nothing. Raises ``ValueError`` for a shared prefix with an attention that cannot take its
    mask.
    """
    if shared_prefix:
        logits = _forward(model, *_shared(batch), batch["pixel_values"], features)
        chosen, rejected = logits.split([batch["chosen_ids"].shape[1], batch["rejected_ids"].shape[1]], dim=1)
        return chosen, rejected
    twice = torch.cat([batch["pixel_values"]] * 2)
    both = None if features is None else torch.cat([features] * 2)
    rows, columns = batch["chosen_ids"].shape
    logits = _forward(model, *_plain(batch), twice, both)
    return logits[:rows, :columns], logits[rows:, : batch["rejected_ids"].shape[1]]


def chosen_logits(model: nn.Module, batch: Batch, pixel_values: Tensor, features: Tensor | None = None) -> Tensor:
    """Logits that predict the chosen tokens, with the chosen tokens before them (teacher-forced), when the model is shown other
    pictures: (rows, C, vocabulary). ``features``: those of these pictures, in their place."""
    return _forward(model, *_one(batch, "chosen"), pixel_values, features)


def token_logps(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Log-probability of each token of ``ids``, in their shape, 0 where ``mask`` is 0; float32, or float64 for float64 logits.

    ``logits``: (rows, length, vocabulary), those that predict ``ids``.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    logps = wide.gather(-1, ids[..., None])[..., 0] - wide.logsumexp(-1)
    return logps.masked_fill(mask == 0, 0.0)


def sequence_logps(logps: Tensor, mask: Tensor, average: bool = False) -> Tensor:
    """Log-probability of each response: the **sum** over its tokens, (rows,). ``average=True`` divides by their number, which is
    not what DPO's derivation asks for (chapter 06)."""
    summed = (logps * mask).sum(-1)
    return summed / mask.sum(-1) if average else summed


def segment_logps(logps: Tensor, mask: Tensor, changed: Tensor, weight: float) -> Tensor:
    """RLHF-V's score of a response (Yu et al. 2023, arXiv 2312.00849, section 3.2): the mean over its tokens, (rows,), in which a
    ``changed`` token (1 in the shape of ``mask``, see ``collator.changed_tokens``) counts ``weight`` times."""
    weights = mask * (1 + (weight - 1) * changed)
    return (logps * weights).sum(-1) / weights.sum(-1)


def image_features(model: LlavaForConditionalGeneration, pixel_values: Tensor) -> Tensor:
    """What the language model gets of each picture, after vision tower and projector: (rows, image tokens, hidden size).

    Both are frozen, so this can be computed once and handed to ``pair_logits`` at every visit.
    """
    with torch.no_grad():
        return torch.stack(list(model.get_image_features(pixel_values, return_dict=True).pooler_output))


# --- layouts: input_ids, attention_mask, position_ids, positions whose logits are wanted -------------------------


Layout = tuple[Tensor, Tensor, Tensor, Tensor]


def _shared(batch: Batch) -> Layout:
    ids = torch.cat([batch["prompt_ids"], batch["chosen_ids"], batch["rejected_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["chosen_mask"], batch["rejected_mask"]], 1).bool()
    prompt, chosen, length = batch["prompt_ids"].shape[1], batch["chosen_ids"].shape[1], ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    causal[prompt + chosen :, prompt : prompt + chosen] = False  # the branches do not see each other
    allowed = causal & mask[:, None, :]
    allowed |= torch.eye(length, dtype=torch.bool, device=ids.device)  # a row of nothing would be NaN at padding
    before = batch["prompt_mask"].cumsum(1)
    ends = before[:, -1:]
    positions = torch.cat(
        [(before - 1).clamp(min=0), *(ends + batch[side].cumsum(1) - 1 for side in ("chosen_mask", "rejected_mask"))],
        1,
    )
    # a token is predicted at the place before it; for the first of each branch that is the prompt's last
    at = torch.arange(prompt - 1, length - 1, device=ids.device)
    keep = torch.cat([at[:chosen], at[:1], at[chosen + 1 :]])
    return ids, allowed[:, None], positions, keep


def _one(batch: Batch, side: str) -> Layout:
    ids, mask = batch[f"{side}_ids"], batch[f"{side}_mask"]  # type: ignore[literal-required]
    return _rows(batch["prompt_ids"], batch["prompt_mask"], ids, mask)


def _plain(batch: Batch) -> Layout:
    """All chosen rows, then all rejected ones, their responses padded to one length."""
    length = max(batch["chosen_ids"].shape[1], batch["rejected_ids"].shape[1])
    ids, mask = (
        torch.cat([nn.functional.pad(t, (0, length - t.shape[1])) for t in sides])
        for sides in (
            (batch["chosen_ids"], batch["rejected_ids"]),
            (batch["chosen_mask"], batch["rejected_mask"]),
        )
    )
    return _rows(torch.cat([batch["prompt_ids"]] * 2), torch.cat([batch["prompt_mask"]] * 2), ids, mask)


def _rows(prompt_ids: Tensor, prompt_mask: Tensor, ids: Tensor, mask: Tensor) -> Layout:
    all_ids, all_mask = torch.cat([prompt_ids, ids], 1), torch.cat([prompt_mask, mask], 1)
    positions = (all_mask.cumsum(1) - 1).clamp(min=0)
    keep = torch.arange(prompt_ids.shape[1] - 1, all_ids.shape[1] - 1, device=ids.device)
    return all_ids, all_mask, positions, keep


def _forward(
    model: nn.Module,
    ids: Tensor,
    mask: Tensor,
    positions: Tensor,
    keep: Tensor,
    pixel_values: Tensor,
    features: Tensor | None,
) -> Tensor:
    picture: dict[str, Any] = {"pixel_values": pixel_values}
    if features is not None:
        picture = {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}}
    return model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        logits_to_keep=keep,
        use_cache=False,
        **picture,
    ).logits
