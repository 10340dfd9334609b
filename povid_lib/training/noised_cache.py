"""The reference under noised pictures, computed once an epoch: the second cache beside that of ``reference_cache.clear``.

The noise depends on seed, row and epoch (``pair_scores.chances``), so that what the reference gives under it is known before the
first step. What is kept is as little as the settings allow: one number a row where the reference scores its own tokens, its hidden
states where it scores the policy's, which are not known yet.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from torch import Tensor
from transformers import LlavaProcessor

from povid_lib.training import pair_scores
from povid_lib.training.collator import Batch
from povid_lib.training.config import POVIDConfig
from povid_lib.training.logprobs import chosen_logits, image_features, response_logps, sequence_logps
from povid_lib.training.pair_scores import ChosenLogits, chances
from povid_lib.training.reference_cache import Read, last_hidden, of_answers, reference


def noised(
    key: dict[str, str], settings: POVIDConfig, processor: LlavaProcessor, epoch: int
) -> tuple[dict[str, str], Read]:
    """The cache of one epoch: its key and its reader, for ``reference_cache.build``; see ``pair_scores.CachedNoised``.

    ``key``: see ``reference_cache.key``. With ``cache_features`` it holds the features of the noised pictures as well.
    """
    how = settings.image_dispreference if settings.needs_noise else None  # else the picture is cropped
    # masking hides image tokens, whose features are those of the clear picture
    features = settings.cache_features and (how is None or how.weakening == "noise")

    def read(model: Any, batch: Batch) -> dict[str, list[Tensor]]:
        generators = chances(settings.seed, batch, epoch)
        if how is None:
            shown = pair_scores.cropped_pictures(batch, processor, generators)
        else:
            shown = pair_scores.weaken(batch, how, processor, generators)
        found: dict[str, list[Tensor]] = {}
        with reference(model) as base, last_hidden(base) as last:
            pictures = image_features(base, shown.pixel_values.to(base.dtype))
            logits = pair_scores.under(base, shown._replace(features=pictures))
            if how is None:
                found["weakened"] = list(response_logps(logits, batch, "chosen"))
            elif how.reference_tokens == "policy":
                found["hidden"] = of_answers(last[0], batch)
            else:
                clean = chosen_logits(base, batch, batch["pixel_values"]) if how.scored_under == "clean" else None
                drawn = chances(settings.seed, batch, epoch, "reference")
                _, logps = pair_scores.own_answer(batch, ChosenLogits(clean, logits), how, drawn)
                found["noised"] = list(sequence_logps(logps, batch["chosen"]["mask"]))
        return found | {"features": list(pictures)} if features else found

    made = {"seed": settings.seed, "epoch": epoch, "noise": json.dumps(how and asdict(how)), "features": features}
    return key | {name: str(value) for name, value in made.items()}, read
