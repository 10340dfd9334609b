"""POVID's trainer: TRL's ``DPOTrainer`` with another collator, another ``compute_loss``, and nothing private touched.

What it takes from TRL is the making of the model (PEFT, QLoRA's types, checkpointing, ZeRO), not the loss, of which ``DPOTrainer``
is the judge in the tests. The reference is the same model with its adapters switched off.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor
from trl import DPOTrainer

from povid_lib.data import trl_dataset
from povid_lib.training import checks, objectives, pair_scores, reference_cache
from povid_lib.training.collator import Batch, PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig
from povid_lib.training.losses import Logps, Metrics


class POVIDTrainer(DPOTrainer):
    """Train LoRA adapters of a LLaVA's language model on preference pairs.

    ``model``: a LLaVA without adapters. ``train_dataset``: what ``trl_dataset.to_trl`` gives, or any data set of TRL's
    columns. Everything is checked before the first step (see ``checks``); raises ``ValueError`` with all that is wrong.
    """

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        args: POVIDConfig,
        train_dataset: Any,
        processing_class: LlavaProcessor,
        callbacks: list[Any] | None = None,
    ):
        collator, train_dataset = PairCollator(processing_class, args.max_length), trl_dataset.prepare(train_dataset)
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
        settings: POVIDConfig = self.args
        policy, reference, metrics = self.logps(model, inputs)
        lengths = inputs["chosen"]["mask"].sum(1)
        loss, of_loss = objectives.evaluate(settings.row, settings.coefficients, policy, reference, lengths)
        if not bool(torch.isfinite(loss)):
            checks.check_finite(self.state.global_step, inputs["row_ids"], policy, reference)
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

    # --- this trainer's own --------------------------------------------------------------------------------------

    def logps(self, model: Any, batch: Batch) -> tuple[Logps, Logps, Metrics]:
        """See ``pair_scores.pair_logps``; counts the tokens that are read."""
        cached = self._cache.rows(batch) if self._cache is not None else None
        models = pair_scores.Models(model, self.accelerator.unwrap_model(model), not self.is_fsdp_enabled)
        step = self.state.global_step
        found = pair_scores.pair_logps(models, batch, self.args, self.processing_class, step, cached)
        self._tokens += sum(int(text["mask"].sum()) for text in (batch["prompt"], batch["chosen"], batch["rejected"]))
        return found

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
