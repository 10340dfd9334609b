"""Log-probabilities of responses: one forward pass over a batch of pairs, and logits at the responses' positions only.

The **shared prefix**: picture and prompt are the same for both responses of a pair, so they need to be read only once. Both
responses stand behind them in one row, ``[prompt][chosen][rejected]``, as two branches: a 4-D mask hides the chosen tokens from the
rejected ones, and the rejected ones' positions are counted from the prompt's end. ``shared_prefix=False`` is the plain way, two
rows a pair; ``unpadded=True`` puts all pairs into one row, so that nothing is computed at padding (see ``unpadded``). All give the
same numbers up to rounding; so does handing in the features of the picture (see ``image_features``).
"""

from __future__ import annotations

import inspect
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from povid_lib.training import unpadded as one_row
from povid_lib.training.collator import SIDES, Batch, Side, Tokens


def pair_logits(
    model: nn.Module,
    batch: Batch,
    shared_prefix: bool = True,
    features: Tensor | None = None,
    unpadded: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits that predict the chosen and the rejected tokens: (rows, C, vocabulary) and (rows, R, vocabulary).

    ``model``: a LLaVA, plain or wrapped (PEFT, DDP). ``features``: see ``image_features``; they replace ``pixel_values``.
    Logits at padding are there, and mean nothing. Raises ``ValueError`` for a shared prefix with an attention that cannot take its
    mask. ``unpadded`` is for a model that was prepared for it (``unpadded.prepare``).
    """
    if unpadded:
        row = one_row.row_of(batch)
        logits = one_row.forward(model, row, _inputs(model, row.ids, batch["pixel_values"], features))
        chosen, rejected = logits.split([batch[side]["ids"].shape[1] for side in SIDES], dim=1)
        return chosen, rejected
    if shared_prefix:
        logits = _forward(model, *_shared(batch), batch["pixel_values"], features)
        chosen, rejected = logits.split([batch[side]["ids"].shape[1] for side in SIDES], dim=1)
        return chosen, rejected
    twice = torch.cat([batch["pixel_values"]] * 2)
    both = None if features is None else torch.cat([features] * 2)
    rows, columns = batch["chosen"]["ids"].shape
    logits = _forward(model, *_plain(batch), twice, both)
    return logits[:rows, :columns], logits[rows:, : batch["rejected"]["ids"].shape[1]]


def chosen_logits(
    model: nn.Module, batch: Batch, pixel_values: Tensor, features: Tensor | None = None, unpadded: bool = False
) -> Tensor:
    """Logits that predict the chosen tokens, with the chosen tokens before them (teacher-forced), when the model is shown other
    pictures: (rows, C, vocabulary). ``features``: those of these pictures, in their place."""
    if unpadded:
        row = one_row.row_of(batch, rejected=False)
        return one_row.forward(model, row, _inputs(model, row.ids, pixel_values, features))
    return _forward(model, *_rows(batch["prompt"], batch["chosen"]), pixel_values, features)


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


def segment_logps(logps: Tensor, mask: Tensor, changed: Tensor, weight: float = 5.0) -> Tensor:
    """RLHF-V's score of a response (Yu et al. 2023, arXiv 2312.00849, section 3.2): the mean over its tokens, (rows,), in which a
    ``changed`` token (1 in the shape of ``mask``, see ``collator.changed_tokens``) counts ``weight`` times."""
    weights = mask * (1 + (weight - 1) * changed)
    return (logps * weights).sum(-1) / weights.sum(-1)


def response_logps(logits: Tensor, batch: Batch, side: Side) -> Tensor:
    """Log-probability of each row's chosen or rejected response, the sum over its tokens: (rows,).

    ``logits``: (rows, C or R, vocabulary), as ``pair_logits`` and ``chosen_logits`` give them.
    """
    ids, mask = batch[side]["ids"], batch[side]["mask"]
    return sequence_logps(token_logps(logits, ids, mask), mask)


def image_features(model: LlavaForConditionalGeneration, pixel_values: Tensor) -> Tensor:
    """What the language model gets of each picture, after vision tower and projector: (rows, image tokens, hidden size).

    Both are frozen, so this can be computed once and handed to ``pair_logits`` at every visit.
    """
    with torch.no_grad():
        return torch.stack(list(model.get_image_features(pixel_values, return_dict=True).pooler_output))


# --- layouts: input_ids, attention_mask, position_ids, positions whose logits are wanted -------------------------


Layout = tuple[Tensor, Tensor, Tensor, Tensor]

# older releases of transformers swallow the argument, and would answer without a picture
_TAKES_FEATURES = "mm_encoder_outputs" in inspect.signature(LlavaForConditionalGeneration.forward).parameters


def _shared(batch: Batch) -> Layout:
    prompt, chosen, rejected = batch["prompt"], batch["chosen"], batch["rejected"]
    ids = torch.cat([prompt["ids"], chosen["ids"], rejected["ids"]], 1)
    mask = torch.cat([prompt["mask"], chosen["mask"], rejected["mask"]], 1).bool()
    begin, width, length = prompt["ids"].shape[1], chosen["ids"].shape[1], ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    causal[begin + width :, begin : begin + width] = False  # the branches do not see each other
    allowed = causal & mask[:, None, :]
    allowed |= torch.eye(length, dtype=torch.bool, device=ids.device)  # a row of nothing would be NaN at padding
    before = prompt["mask"].cumsum(1)
    branches = [before[:, -1:] + text["mask"].cumsum(1) - 1 for text in (chosen, rejected)]
    positions = torch.cat([(before - 1).clamp(min=0), *branches], 1)
    # a token is predicted at the place before it; for the first of each branch that is the prompt's last
    at = torch.arange(begin - 1, length - 1, device=ids.device)
    keep = torch.cat([at[:width], at[:1], at[width + 1 :]])
    return ids, allowed[:, None], positions, keep


def _plain(batch: Batch) -> Layout:
    """All chosen rows, then all rejected ones, their responses padded to one length."""
    length = max(batch[side]["ids"].shape[1] for side in SIDES)

    def stacked(part: Literal["ids", "mask"]) -> Tensor:
        sides = (batch[side][part] for side in SIDES)
        return torch.cat([nn.functional.pad(t, (0, length - t.shape[1])) for t in sides])

    prompt = Tokens(ids=torch.cat([batch["prompt"]["ids"]] * 2), mask=torch.cat([batch["prompt"]["mask"]] * 2))
    return _rows(prompt, Tokens(ids=stacked("ids"), mask=stacked("mask")))


def _rows(prompt: Tokens, response: Tokens) -> Layout:
    ids = torch.cat([prompt["ids"], response["ids"]], 1)
    mask = torch.cat([prompt["mask"], response["mask"]], 1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    keep = torch.arange(prompt["ids"].shape[1] - 1, ids.shape[1] - 1, device=ids.device)
    return ids, mask, positions, keep


def _forward(
    model: nn.Module,
    ids: Tensor,
    mask: Tensor,
    positions: Tensor,
    keep: Tensor,
    pixel_values: Tensor,
    features: Tensor | None,
) -> Tensor:
    return model(
        **_inputs(model, ids, pixel_values, features),
        attention_mask=mask,
        position_ids=positions,
        logits_to_keep=keep,
        use_cache=False,
    ).logits


def _inputs(model: nn.Module, ids: Tensor, pixel_values: Tensor, features: Tensor | None) -> dict[str, Any]:
    """What the model takes of ids and pictures.

    Features go by ``mm_encoder_outputs``; for a transformers that does not have it, into the image tokens' places here, which is
    not for FSDP, as that shards the embedding.
    """
    if features is None:
        return {"input_ids": ids, "pixel_values": pixel_values}
    if _TAKES_FEATURES:
        seen = {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}
        return {"input_ids": ids, "mm_encoder_outputs": seen}
    inner: Any = getattr(model, "module", model)  # out of DDP or DeepSpeed
    embeds = inner.get_input_embeddings()(ids)
    is_image = (ids == inner.config.image_token_id)[..., None].expand_as(embeds)
    return {"inputs_embeds": embeds.masked_scatter(is_image, features.to(embeds))}
