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

from povid_lib import cache, distort, losses, preflight
from povid_lib.batches import Batch, PairCollator, changed_tokens
from povid_lib.config import LANGUAGE_MODEL_LAYERS, POVIDConfig
from povid_lib.logprobs import (
    chosen_logits,
    image_features,
    pair_logits,
    segment_logps,
    sequence_logps,
    token_logps,
)

Logps = dict[str, Tensor]


class POVIDTrainer(DPOTrainer):
    """Train LoRA adapters of a LLaVA's language model on preference pairs.

    ``model``: a LLaVA without adapters. ``train_dataset``: what ``preference_files.to_trl`` gives. Everything is checked before the
    first step (see ``preflight``); raises ``ValueError`` with all that is wrong.
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
        preflight.check(model, args, train_dataset, processing_class, collator)
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
        preflight.check_trainable(self.model)
        self._cache: cache.RowCache | None = None
        self._sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros(2, device=self.accelerator.device))
        self._tokens, self._since = 0, time.monotonic()

    # --- what is overridden of Trainer ---------------------------------------------------------------------------

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer.train``; first writes the settings down, builds or opens the caches, and checks that policy and reference
        are equal at step 0."""
        settings: POVIDConfig = self.args
        if self.accelerator.is_main_process:
            preflight.write_record(settings)
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
            weakened = distort.masked(batch["prompt_mask"], is_image, how.masked_share, generators)
            shown = Batch(**{**batch, "prompt_mask": weakened})
        else:
            pixels = distort.noised_pixels(batch["images"], pixels, how, self.processing_class, generators)
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
            distort.cropped(image, 0.2, self._generator(row_id))
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
        preflight.check_equal(batch["row_ids"], policy, reference)

    def _open_cache(self) -> cache.RowCache:
        settings: POVIDConfig = self.args
        base = self.accelerator.unwrap_model(self.model).get_base_model()
        key = cache.key(base, self.processing_class)
        folder = Path(settings.cache_dir or Path(settings.output_dir) / "cache")
        hidden = settings.cache_reference and settings.needs_noise and settings.scored_under == "clean"
        wanted = {"hidden": hidden, "features": settings.cache_features}
        if not (folder / "key.json").is_file():
            self.model.to(self.accelerator.device)
            rows = settings.per_device_train_batch_size
            cache.build(
                folder, key, self.model, self.data_collator, self.train_dataset, self.accelerator,
                batch_size=rows, shared_prefix=settings.shared_prefix, **wanted,
            )  # fmt: skip
        return cache.RowCache(folder, key, **wanted)


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


def _dispreferred(logits: Tensor, ids: Tensor, how: distort.Tokens, generators: list[torch.Generator]) -> Tensor:
    """Row by row, so that the chance of one row does not depend on its neighbours."""
    rows = zip(logits.detach().cpu(), ids.cpu(), generators, strict=True)
    return torch.stack([distort.dispreferred_tokens(row, labels, how, g) for row, labels, g in rows]).to(ids.device)


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
