"""POVID's trainer: TRL's ``DPOTrainer`` with another collator, another ``compute_loss``, and nothing private touched.

What it takes from TRL is the making of the model (PEFT, QLoRA's types, checkpointing, ZeRO), not the loss, of which ``DPOTrainer``
is the judge in the tests. The reference is the same model with its adapters switched off.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor
from trl import DPOTrainer

from povid_lib.data import corrupt_image
from povid_lib.training import checks, dispreference, reference_cache
from povid_lib.training.collator import Batch, PairCollator, changed_tokens
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig
from povid_lib.training.logprobs import (
    chosen_logits,
    image_features,
    pair_logits,
    segment_logps,
    sequence_logps,
    token_logps,
)
from povid_lib.training.objectives import Logps, objective


class POVIDTrainer(DPOTrainer):
    """Train LoRA adapters of a LLaVA's language model on preference pairs.

    ``model``: a LLaVA without adapters. ``train_dataset``: what ``trl_dataset.to_trl`` gives. Everything is checked before the
    first step (see ``checks``); raises ``ValueError`` with all that is wrong.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        args: POVIDConfig,
        train_dataset: Any,
        processing_class: LlavaProcessor,
        callbacks: list[Any] | None = None,
    ):
        collator = PairCollator(processing_class, args.max_length)
        checks.check(model, args, train_dataset, processing_class, collator)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            processing_class=processing_class,
            callbacks=callbacks,
            peft_config=LoraConfig(
                r=args.lora_rank,
                lora_alpha=args.lora_alpha,
                target_modules=LANGUAGE_MODEL_LAYERS,
                task_type="CAUSAL_LM",
            ),
        )
        checks.check_trainable(self.model)
        self._cache: reference_cache.RowCache | None = None
        self._sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=self.accelerator.device))
        self._tokens, self._since = 0, time.monotonic()

    # --- what is overridden of Trainer ---------------------------------------------------------------------------

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer.train``; first writes the settings down, builds or opens the caches, and checks that policy and reference
        are equal at step 0."""
        settings: POVIDConfig = self.args
        if self.accelerator.is_main_process:
            checks.write_record(settings)
        self.accelerator.wait_for_everyone()
        if settings.cache_reference or settings.cache_features:
            self._cache = self._open_cache()
        self._check_equal()
        self._since = time.monotonic()
        return super().train(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one batch: log-probabilities under policy and reference, and what ``args.objective`` makes of them."""
        if return_outputs:
            raise ValueError("POVIDTrainer gives no outputs beside the loss; set prediction_loss_only=True.")
        policy, reference, metrics = self.logps(model, inputs)
        loss, of_loss = objective(self.args, policy, reference, inputs)
        if not bool(torch.isfinite(loss)):
            self._check_finite(inputs, policy, reference)
            raise FloatingPointError(
                f"Step {self.state.global_step}: the loss is {float(loss)}, though every log-probability is finite. Nothing was "
                "updated; lower learning_rate or the coefficients."
            )
        for name, values in (metrics | of_loss).items():
            self._sums[name] += torch.stack([values.detach().float(), torch.ones_like(values).float()]).sum(1)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means since the last log, over all processes, and the tokens a second."""
        for name in sorted(self._sums):
            total, rows = self.accelerator.reduce(self._sums[name], "sum").tolist()
            logs[name] = total / rows
        if self._tokens:
            logs["tokens_per_second"] = self._tokens / (time.monotonic() - self._since)
        self._sums.clear()
        self._tokens, self._since = 0, time.monotonic()
        super().log(logs, start_time)

    # --- log-probabilities ---------------------------------------------------------------------------------------

    def logps(self, model: Any, batch: Batch) -> tuple[Logps, Logps, dict[str, Tensor]]:
        """Summed log-probabilities (rows,) of a batch's responses under policy and reference, and metrics (rows,) of the noise.

        Names: "chosen", "rejected", with an image dispreference "noised", for mDPO "weakened".
        """
        settings: POVIDConfig = self.args
        cached = self._cache.rows(batch) if self._cache is not None else None
        features = cached.features if cached else None
        chosen, rejected = pair_logits(model, batch, settings.shared_prefix, features)
        policy = _scores(settings, batch, chosen, rejected)
        self._check_finite(batch, policy)
        masks = (batch["prompt_mask"], batch["chosen_mask"], batch["rejected_mask"])
        self._tokens += sum(int(mask.sum()) for mask in masks)
        if cached and settings.cache_reference:
            reference: Logps = {"chosen": cached.chosen, "rejected": cached.rejected}
            ref_chosen = None if cached.hidden is None else self._lm_head(cached.hidden)
        else:
            with torch.no_grad(), self._as_reference(model):
                ref_chosen, ref_rejected = pair_logits(model, batch, settings.shared_prefix, features)
            reference = _scores(settings, batch, ref_chosen, ref_rejected)
        metrics: dict[str, Tensor] = {}
        if settings.needs_noise:
            policy["noised"], reference["noised"], metrics = self._noised(model, batch, chosen, ref_chosen)
        if settings.objective == "mdpo":
            policy["weakened"], reference["weakened"] = self._weakened(model, batch)
        return policy, reference, metrics

    def _noised(
        self, model: Any, batch: Batch, chosen: Tensor, ref_chosen: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Log-probabilities of the tokens that the model gives under the noised picture, as ``ImageDispreference`` chooses."""
        how = self.args.image_dispreference
        ids, mask = batch["chosen_ids"], batch["chosen_mask"]
        generators = [self._generator(row_id) for row_id in batch["row_ids"]]
        pixels, shown = batch["pixel_values"], batch
        if how.weakening == "masking":
            is_image = batch["prompt_ids"] == self.accelerator.unwrap_model(model).config.image_token_id
            weakened = dispreference.masked(batch["prompt_mask"], is_image, how.masked_share, generators)
            shown = Batch(**{**batch, "prompt_mask": weakened})
        else:
            pixels = dispreference.noised_pixels(batch["images"], pixels, how, self.processing_class, generators)
        clean = how.scored_under == "clean"
        # policy and reference have the same eyes; FSDP alone shards them so that they cannot be called on their own
        base = self.accelerator.unwrap_model(model).get_base_model()
        seen = None if self.is_fsdp_enabled else image_features(base, pixels)
        with torch.no_grad() if clean else nullcontext():
            under_noise = chosen_logits(model, shown, pixels, seen)
        tokens = ref_tokens = _dispreferred(under_noise, ids, how.tokens, generators)
        ref_under = ref_chosen
        if not clean or how.reference_tokens == "own":
            with torch.no_grad(), self._as_reference(model):
                ref_under_noise = chosen_logits(model, shown, pixels, seen)
            if how.reference_tokens == "own":
                ref_tokens = _dispreferred(ref_under_noise, ids, how.tokens, generators)
            if not clean:
                ref_under = ref_under_noise
        policy = token_logps(chosen if clean else under_noise, tokens, mask)
        assert ref_under is not None  # the cache holds hidden states whenever they are scored
        reference = token_logps(ref_under, ref_tokens, mask)
        share = ((tokens != ids) & (mask == 1)).sum(1) / mask.sum(1)
        return sequence_logps(policy, mask), sequence_logps(reference, mask), {"noised/differing": share}

    def _weakened(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """The chosen answers' log-probabilities with cropped pictures, for mDPO, which keeps a fifth of the picture's area."""
        shown = [
            corrupt_image.cropped(image, 0.2, self._generator(row_id))
            for image, row_id in zip(batch["images"], batch["row_ids"], strict=True)
        ]
        pixels = self.processing_class.image_processor(shown, return_tensors="pt")["pixel_values"].to(
            batch["pixel_values"]
        )
        ids, mask = batch["chosen_ids"], batch["chosen_mask"]
        policy = sequence_logps(token_logps(chosen_logits(model, batch, pixels), ids, mask), mask)
        with torch.no_grad(), self._as_reference(model):
            reference = sequence_logps(token_logps(chosen_logits(model, batch, pixels), ids, mask), mask)
        return policy, reference

    def _generator(self, row_id: str) -> torch.Generator:
        """Chance that depends on the seed, the row and the step only: not on batches, processes or interruptions."""
        name = f"{self.args.seed}|{row_id}|{self.state.global_step}"
        number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
        return torch.Generator().manual_seed(number >> 1)

    def _as_reference(self, model: Any) -> Any:
        return self.accelerator.unwrap_model(model).disable_adapter()

    def _lm_head(self, hidden: Tensor) -> Tensor:
        head = self.accelerator.unwrap_model(self.model).get_base_model().lm_head
        with torch.no_grad():
            return head(hidden.to(head.weight.dtype))

    def _check_finite(self, batch: Batch, *found: Logps) -> None:
        every = torch.stack([logps.detach() for of in found for logps in of.values()])
        wrong = [row_id for row_id, row in zip(batch["row_ids"], every.isfinite().all(0), strict=True) if not row]
        if wrong:
            raise FloatingPointError(
                f"Step {self.state.global_step}: no finite log-probability for row {', '.join(wrong)}. Nothing was updated; look "
                "at its picture and its texts, and if every row is named, lower learning_rate."
            )

    def _check_equal(self) -> None:
        """Before any step the adapters change nothing, so policy and reference must agree on the first rows."""
        batch = self._prepare_inputs(self.data_collator([self.train_dataset[0], self.train_dataset[1]]))
        model = self.model.to(self.accelerator.device).eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            policy, reference, _ = self.logps(model, batch)
        self._tokens = 0
        checks.check_equal(batch["row_ids"], policy, reference)

    def _open_cache(self) -> reference_cache.RowCache:
        settings: POVIDConfig = self.args
        base = self.accelerator.unwrap_model(self.model).get_base_model()
        key = reference_cache.key(base, self.processing_class)
        folder = Path(settings.cache_dir or Path(settings.output_dir) / "cache")
        hidden = settings.cache_reference and settings.needs_noise and settings.scored_under == "clean"
        wanted = {"hidden": hidden, "features": settings.cache_features}
        if not (folder / "key.json").is_file():
            self.model.to(self.accelerator.device)
            rows = settings.per_device_train_batch_size
            reference_cache.build(
                folder, key, self.model, self.data_collator, self.train_dataset, self.accelerator,
                batch_size=rows, shared_prefix=settings.shared_prefix, **wanted,
            )  # fmt: skip
        return reference_cache.RowCache(folder, key, **wanted)


def _dispreferred(logits: Tensor, ids: Tensor, how: dispreference.Tokens, generators: list[torch.Generator]) -> Tensor:
    """Row by row, so that the chance of one row does not depend on its neighbours."""
    rows = zip(logits.detach().cpu(), ids.cpu(), generators, strict=True)
    return torch.stack([dispreference.dispreferred_tokens(row, labels, how, g) for row, labels, g in rows]).to(
        ids.device
    )


def _scores(settings: POVIDConfig, batch: Batch, chosen: Tensor, rejected: Tensor) -> Logps:
    """Each response's log-probability (rows,): the sum over its tokens, or RLHF-V's mean with weights."""
    masks = {"chosen": batch["chosen_mask"], "rejected": batch["rejected_mask"]}
    logps = {
        "chosen": token_logps(chosen, batch["chosen_ids"], masks["chosen"]),
        "rejected": token_logps(rejected, batch["rejected_ids"], masks["rejected"]),
    }
    if settings.objective != "ddpo":
        return {side: sequence_logps(logps[side], masks[side]) for side in logps}
    changed = dict(zip(logps, changed_tokens(batch), strict=True))
    return {side: segment_logps(logps[side], masks[side], changed[side], settings.segment_weight) for side in logps}
