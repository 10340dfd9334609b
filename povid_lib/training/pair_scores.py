"""POVID's forward pass: what policy and reference give to the answers of a batch of pairs, noised answers among them.

The trainer takes sums over whole answers from here (``pair_logps``), ``analysis.loss_gradient`` single tokens (``views`` and
``noised_answer``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from povid_lib.data.corrupt_image import cropped
from povid_lib.training import checks
from povid_lib.training.collator import SIDES, Batch, Tokens, changed_tokens
from povid_lib.training.config import POVIDConfig
from povid_lib.training.dispreference import ImageDispreference, dispreferred_tokens, masked, noised_pixels
from povid_lib.training.logprobs import (
    chosen_logits,
    image_features,
    pair_logits,
    response_logps,
    segment_logps,
    sequence_logps,
    token_logps,
)
from povid_lib.training.losses import Logps, Metrics
from povid_lib.training.reference_cache import Cached

_CROPPED = 0.2  # the share of a picture's area that mDPO keeps


def chance(*key: object, digest_size: int = 8) -> torch.Generator:
    """A source of chance that depends on its ``key`` only: the trainer's are seed, row and epoch, so that noise does not depend on
    batches, processes or interruptions. ``digest_size``: how many bytes of the key's hash are the seed."""
    digest = hashlib.blake2b("|".join(map(str, key)).encode(), digest_size=digest_size).digest()
    seed = int.from_bytes(digest, "little")
    return torch.Generator().manual_seed(seed >> max(0, 8 * digest_size - 63))  # a seed has 63 bits


def chances(seed: int, batch: Batch, epoch: int, *whose: str) -> list[torch.Generator]:
    """A source of chance for each row of a batch in one epoch: for its noise or, with ``whose`` "policy" or "reference", for the
    tokens that this one draws, which so do not depend on each other."""
    return [chance(seed, row_id, epoch, *whose) for row_id in batch["row_ids"]]


class Shown(NamedTuple):
    """What stands in place of the clear pictures: the batch (of which the prompt's mask may be another), ``pixel_values`` (rows, 3,
    height, width), and their features, if they are computed already (see ``logprobs.image_features``)."""

    batch: Batch
    pixel_values: Tensor
    features: Tensor | None = None


def weaken(
    batch: Batch, how: ImageDispreference, processor: LlavaProcessor, generators: Sequence[torch.Generator]
) -> Shown:
    """The batch as the noised answers are made of it, each row by its own source of chance. Raises as ``noised_pixels`` and
    ``masked`` do."""
    if how.weakening == "noise":
        return Shown(batch, noised_pixels(batch["images"], batch["pixel_values"], how, processor, generators))
    ids, mask = batch["prompt"]["ids"], batch["prompt"]["mask"]
    prompt = Tokens(ids=ids, mask=masked(mask, ids == processor.image_token_id, how.masked_share, generators))
    return Shown({**batch, "prompt": prompt}, batch["pixel_values"])


class Views(NamedTuple):
    """One model's logits at the places of the answers: (rows, C or R, vocabulary).

    ``noised``: at the places of the chosen answer, with its words before them (teacher-forced), under the noised picture.
    """

    chosen: Tensor
    rejected: Tensor
    noised: Tensor


def views(model: nn.Module, batch: Batch, shown: Shown, shared_prefix: bool = True) -> Views:
    """What a model says of a batch, and of the pictures ``shown`` in place of its own."""
    return Views(*pair_logits(model, batch, shared_prefix), under(model, shown))


class NoisedAnswer(NamedTuple):
    """The tokens of the noised answer, int64 (rows, C), and their log-probabilities in that shape under policy and reference; the
    reference's may be those of its own tokens, or summed, (rows,)."""

    ids: Tensor
    policy: Tensor
    reference: Tensor


class ChosenLogits(NamedTuple):
    """One model's logits at the places of the chosen answer under both pictures; None where no one asks for them."""

    clean: Tensor | None
    noised: Tensor | None

    def under(self, picture: Literal["clean", "noised"]) -> Tensor:
        """Those under a picture. Raises ``ValueError`` if they are not there."""
        found = self.clean if picture == "clean" else self.noised
        if found is None:
            raise ValueError(f"The logits under the {picture} picture are asked for and not there; compute them too.")
        return found


def noised_answer(
    batch: Batch,
    policy: ChosenLogits,
    reference: ChosenLogits,
    how: ImageDispreference,
    generators: Sequence[torch.Generator],
) -> NoisedAnswer:
    """The noised answer as ``how`` chooses and scores it; ``generators``, one a row, are for sampled tokens only."""
    ids, found = own_answer(batch, policy, how, generators)
    if how.reference_tokens == "own":
        _, of_reference = own_answer(batch, reference, how, generators)
    else:
        of_reference = token_logps(reference.under(how.scored_under), ids, batch["chosen"]["mask"])
    return NoisedAnswer(ids, found, of_reference.detach())


def own_answer(
    batch: Batch, logits: ChosenLogits, how: ImageDispreference, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """The noised answer that one model gives, int64 (rows, C), and its log-probabilities in that shape under that model."""
    ids = _tokens(logits.under("noised"), batch["chosen"]["ids"], how, generators)
    return ids, token_logps(logits.under(how.scored_under), ids, batch["chosen"]["mask"])


class Models(NamedTuple):
    """The policy, as it is called (``policy``, which DDP or FSDP may have wrapped) and without wrappers (``adapted``). The
    reference is the same with its adapters switched off.

    ``share_vision``: noised pictures go through the vision tower once for both, who have the same one. Off for FSDP alone, which
    shards it so that it cannot be called by itself.
    """

    policy: nn.Module
    adapted: PeftModel
    share_vision: bool = True


@dataclass(frozen=True)
class CachedNoised:
    """What a cache holds of a batch for one epoch's noise (see ``noised_cache``), on its device. ``noised``: float32 (rows,), what
    the reference gives to its own noised answer; ``weakened``: to the chosen one under the weakened picture. ``hidden``: (rows, C,
    hidden size), its last hidden states under the noised picture. ``features``: (rows, image tokens, hidden size), of the noised or
    weakened picture. None where the cache was built without."""

    noised: Tensor | None = None
    weakened: Tensor | None = None
    hidden: Tensor | None = None
    features: Tensor | None = None


def pair_logps(
    models: Models,
    batch: Batch,
    settings: POVIDConfig,
    processor: LlavaProcessor,
    epoch: int,
    cached: Cached | None = None,
    cached_noised: CachedNoised | None = None,
    step: int = 0,
) -> tuple[Logps, Logps, Metrics]:
    """Log-probabilities (rows,) of a batch's answers under policy and reference, and metrics (rows,) of the noise.

    ``epoch``: the training's, of which the noise depends. ``cached``, ``cached_noised``: what the reference's caches hold of these
    rows. Raises ``FloatingPointError`` with ``step`` and the rows where the policy gives no finite number.
    """
    row, model = settings.row, models.policy
    features = None if cached is None else cached.features
    chosen, rejected = pair_logits(model, batch, settings.shared_prefix, features)
    policy = _scores(batch, chosen, rejected, row.segments)
    checks.check_finite(step, batch["row_ids"], policy)
    ref_chosen: Tensor | None
    if cached is not None and settings.cache_reference:
        reference = Logps(cached.chosen, cached.rejected)
        ref_chosen = None if cached.hidden is None else _lm_head(models.adapted, cached.hidden)
    else:
        with torch.no_grad(), models.adapted.disable_adapter():
            ref_chosen, ref_rejected = pair_logits(model, batch, settings.shared_prefix, features)
        reference = _scores(batch, ref_chosen, ref_rejected, row.segments)
    metrics: Metrics = {}
    held = cached_noised or CachedNoised()
    if "noised" in row.weights:
        ids, mask = batch["chosen"]["ids"], batch["chosen"]["mask"]
        found = _noised(models, batch, settings, processor, epoch, chosen, ref_chosen, held)
        metrics["noised/differing"] = ((found.ids != ids) & (mask == 1)).sum(1) / mask.sum(1)
        policy = policy._replace(noised=sequence_logps(found.policy, mask))
        reference = reference._replace(noised=found.reference)
    if "weakened" in row.weights:
        shown = cropped_pictures(batch, processor, chances(settings.seed, batch, epoch))
        shown = shown._replace(features=held.features)
        policy = policy._replace(weakened=response_logps(under(model, shown), batch, "chosen"))
        if held.weakened is None:
            with torch.no_grad(), models.adapted.disable_adapter():
                weakened = response_logps(under(model, shown), batch, "chosen")
        reference = reference._replace(weakened=weakened if held.weakened is None else held.weakened)
    return policy, reference, metrics


def under(model: nn.Module, shown: Shown) -> Tensor:
    """One model's logits at the places of the chosen answer under the pictures that are ``shown``."""
    return chosen_logits(model, shown.batch, shown.pixel_values, shown.features)


def cropped_pictures(batch: Batch, processor: LlavaProcessor, generators: Sequence[torch.Generator]) -> Shown:
    """The batch with a random part of each picture in its place, as mDPO weakens them."""
    pictures = [cropped(image, _CROPPED, g) for image, g in zip(batch["images"], generators, strict=True)]
    pixels = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    return Shown(batch, pixels.to(batch["pixel_values"]))


# --- parts -------------------------------------------------------------------------------------------------------


def _noised(
    models: Models,
    batch: Batch,
    settings: POVIDConfig,
    processor: LlavaProcessor,
    epoch: int,
    chosen: Tensor,
    ref_chosen: Tensor | None,
    held: CachedNoised,
) -> NoisedAnswer:
    """The noised answer, with no more passes than the settings ask for and the cache leaves; the reference's log-probabilities are
    summed, (rows,). ``chosen``, ``ref_chosen``: logits under the clean picture."""
    how, mask = settings.image_dispreference, batch["chosen"]["mask"]
    shown = Shown(batch, batch["pixel_values"], held.features)
    if held.features is None:
        shown = weaken(batch, how, processor, chances(settings.seed, batch, epoch))
        if models.share_vision:
            base = cast(LlavaForConditionalGeneration, models.adapted.get_base_model())
            shown = shown._replace(features=image_features(base, shown.pixel_values))
    with torch.no_grad() if how.scored_under == "clean" else nullcontext():
        under_noise = under(models.policy, shown)
    of_policy = ChosenLogits(chosen, under_noise)
    ids, found = own_answer(batch, of_policy, how, chances(settings.seed, batch, epoch, "policy"))
    if held.noised is not None:
        return NoisedAnswer(ids, found, held.noised)
    ref_under_noise = None if held.hidden is None else _lm_head(models.adapted, held.hidden)
    if ref_under_noise is None and (how.scored_under == "noised" or how.reference_tokens == "own"):
        with torch.no_grad(), models.adapted.disable_adapter():
            ref_under_noise = under(models.policy, shown)
    of_reference = ChosenLogits(ref_chosen, ref_under_noise)
    if how.reference_tokens == "own":
        _, logps = own_answer(batch, of_reference, how, chances(settings.seed, batch, epoch, "reference"))
    else:
        logps = token_logps(of_reference.under(how.scored_under), ids, mask)
    return NoisedAnswer(ids, found, sequence_logps(logps, mask).detach())


def _tokens(logits: Tensor, ids: Tensor, how: ImageDispreference, generators: Sequence[torch.Generator]) -> Tensor:
    """Row by row, so that the chance of one row does not depend on its neighbours."""
    rows = zip(logits.detach().cpu(), ids.cpu(), generators, strict=True)
    found = [dispreferred_tokens(row, labels, how.noised_tokens, generator) for row, labels, generator in rows]
    return torch.stack(found).to(ids.device)


def _scores(batch: Batch, chosen: Tensor, rejected: Tensor, segments: bool) -> Logps:
    """Each response's log-probability (rows,): the sum over its tokens, or RLHF-V's mean with weights."""
    logits = dict(zip(SIDES, (chosen, rejected), strict=True))
    if not segments:
        return Logps(*(response_logps(logits[side], batch, side) for side in SIDES))
    changed = dict(zip(SIDES, changed_tokens(batch), strict=True))
    return Logps(*(_segment_logps(logits[side], batch[side], changed[side]) for side in SIDES))


def _segment_logps(logits: Tensor, tokens: Tokens, changed: Tensor) -> Tensor:
    return segment_logps(token_logps(logits, tokens["ids"], tokens["mask"]), tokens["mask"], changed)


def _lm_head(adapted: PeftModel, hidden: Tensor) -> Tensor:
    head = cast(LlavaForConditionalGeneration, adapted.get_base_model()).lm_head
    with torch.no_grad():
        return head(hidden.to(head.weight.dtype))
