"""POVID's trainer: TRL's ``DPOTrainer`` with another collator, another ``compute_loss``, and nothing private touched.

What it takes from TRL is the making of the model (PEFT, QLoRA's types, checkpointing, ZeRO), not the loss, of which ``DPOTrainer``
is the judge in the tests. The reference is the same model with its adapters switched off.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft.helpers import rescale_adapter_scale
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from povid_lib.files.lock import locked
from povid_lib.training import (
    checkpoints,
    checks,
    keywords,
    objectives,
    pair_scores,
    reference_cache,
    run_folder,
    unpadded,
)
from povid_lib.training.caches import Caches
from povid_lib.training.collator import SIDES, Batch, parts
from povid_lib.training.config import POVIDConfig
from povid_lib.training.losses import Logps, Metrics
from povid_lib.training.means import Means
from povid_lib.training.reporting import ReportingTrainer


class POVIDTrainer(ReportingTrainer):
    """Train LoRA adapters of a LLaVA's language model on preference pairs.

    ``model``: a LLaVA without adapters, or its name. ``args``: default ``POVIDConfig()``. ``train_dataset``: what
    ``trl_dataset.to_trl`` gives, or a data set of TRL's columns. ``eval_dataset``: one, or several by name. ``peft_config``: a
    ``LoraConfig``, in place of the settings' ``lora_rank`` and ``lora_alpha``. The other keywords of ``DPOTrainer`` are refused by
    name (see ``keywords``). Everything is checked before the first step (see ``checks``); raises ``ValueError`` with all that is
    wrong.
    """

    _tag_names = ("trl", "dpo", "povid")  # TRL reads this

    def __init__(
        self,
        model: LlavaForConditionalGeneration | str,
        args: POVIDConfig | None = None,
        train_dataset: Any = None,
        processing_class: LlavaProcessor | None = None,
        *,
        eval_dataset: Any = None,
        callbacks: list[Any] | None = None,
        peft_config: Any = None,
        data_collator: Any = None,
        optimizers: Any = (None, None),
        ref_model: Any = None,
        compute_metrics: Any = None,
        quantization_config: Any = None,
    ):
        given = keywords.read(
            model, args, train_dataset, processing_class, eval_dataset, callbacks, peft_config, data_collator, optimizers,
            ref_model=ref_model, compute_metrics=compute_metrics, quantization_config=quantization_config,
        )  # fmt: skip
        self._record = run_folder.record_of(given.args, peft_config)
        checks.check(
            given.model, given.args, given.train, given.processor, given.collator, self._record, given.evaluation_sets
        )
        key = reference_cache.key(given.model, given.processor)
        self._record |= {"data": run_folder.data_digest(given.train), "base": key["model"]}
        out = Path(given.args.output_dir)
        checks.refuse("The training cannot begin", run_folder.folder_faults(out, self._record))
        super().__init__(
            model=given.model,
            args=given.args,
            data_collator=given.collator,
            train_dataset=given.train,
            eval_dataset=given.evaluation,
            processing_class=given.processor,
            callbacks=callbacks,
            peft_config=given.peft_config,
        )
        checks.check_trainable(self.model)
        if given.args.unpadded:
            text = given.model.config.text_config
            unpadded.check_device(
                self.accelerator.device, given.model.dtype, text.hidden_size // text.num_attention_heads
            )
            unpadded.prepare(given.model)
        self._caches = Caches(self, key)
        self._share = 1.0  # of the batch's rows in this pass

    # --- what is overridden of Trainer ---------------------------------------------------------------------------

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """As ``Trainer.train``; first holds the folder and writes the settings down, builds or opens the caches, and checks that
        policy and reference are equal at step 0, and a checkpoint whole. Raises ``ValueError`` where they are not, or if another
        training is at work in the folder."""
        settings: POVIDConfig = self.args
        out = Path(settings.output_dir)
        with locked(out) if self.accelerator.is_main_process else nullcontext(), checkpoints.writing(out):
            checkpoint = checkpoints.find(resume_from_checkpoint, out)
            if checkpoint is not None:
                if (checkpoint.parent / run_folder.RECORD).is_file():
                    checks.refuse("It cannot go on", run_folder.folder_faults(checkpoint.parent, self._record))
                whole = not (self.is_fsdp_enabled or self.is_deepspeed_enabled)
                checkpoints.check(checkpoint, self.accelerator.unwrap_model(self.model), whole)
                self.state.epoch = checkpoints.epoch(checkpoint)
            checks.check_optimizer(self.model, self.optimizer)
            self._check_best()
            if self.accelerator.is_main_process:
                run_folder.write_record(settings, self._record)
            self.accelerator.wait_for_everyone()
            if settings.cache_reference or settings.cache_features:
                self._caches.start()
            self._check_equal(new=checkpoint is None)
            self._means = Means(self.accelerator)
            return super().train(None if checkpoint is None else str(checkpoint), *args, **kwargs)

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> Any:
        """As ``Trainer.training_step``, in as many passes as ``tokens_per_pass`` asks for: every row weighs what it does in one."""
        found, rows = torch.zeros((), device=self.accelerator.device), len(inputs["row_ids"])
        some = parts(inputs, self.args.tokens_per_pass)
        try:
            for number, part in enumerate(some, start=1):
                self._share = len(part["row_ids"]) / rows
                # gradients are summed over the processes once, with the last part
                with nullcontext() if number == len(some) else self.accelerator.no_sync(model):
                    found = found + super().training_step(model, part, num_items_in_batch)  # type: ignore[misc]
        finally:
            self._share = 1.0
        return found

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one batch: log-probabilities under policy and reference, and what ``args.objective`` makes of them."""
        if return_outputs:
            raise ValueError(
                "POVIDTrainer gives no outputs beside the loss; call evaluate, or set prediction_loss_only=True."
            )
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
        self._means.add(metrics | of_loss)
        return loss * self._share

    # --- this trainer's own --------------------------------------------------------------------------------------

    def logps(self, model: Any, batch: Batch) -> tuple[Logps, Logps, Metrics]:
        """See ``pair_scores.pair_logps``; counts the tokens that are read. The cache and the steps are the training's."""
        epoch = 0 if self._means.evaluation else int(self.state.epoch or 0)
        cached, cached_noised = (None, None) if self._means.evaluation else self._caches.held(batch, epoch)
        models = pair_scores.Models(model, self._unwrapped(model), not self.is_fsdp_enabled)
        self._means.count(sum(int(batch[text]["mask"].sum()) for text in ("prompt", *SIDES)))
        return pair_scores.pair_logps(
            models, batch, self.args, self.processing_class, epoch, cached, cached_noised, self.state.global_step
        )

    @cache  # noqa: B019 one model a trainer; unwrapping walks through all its modules
    def _unwrapped(self, model: Any) -> Any:
        return self.accelerator.unwrap_model(model)

    def _first_rows(self) -> tuple[Any, Batch]:
        """The model at rest, and the batch by which it is tried before any step."""
        batch = self._prepare_inputs(self.data_collator([self.train_dataset[0], self.train_dataset[1]]))
        return self.model.to(self.accelerator.device).eval(), batch

    def _check_best(self) -> None:
        """The metric that chooses the best model must be one that the evaluations give, unless a callback may add it."""
        settings: POVIDConfig = self.args
        metric, callbacks = settings.metric_for_best_model, self.callback_handler.callbacks
        if metric is None or settings.eval_strategy == "no" or keywords.may_add_metrics(callbacks):
            return
        model, batch = self._first_rows()
        with torch.no_grad(), self.compute_loss_context_manager():
            policy, reference, metrics = self.logps(model, batch)
            lengths = batch["chosen"]["mask"].sum(1)
            of_loss = objectives.evaluate(settings.row, settings.coefficients, policy, reference, lengths)[1]
        names = list(self.eval_dataset) if isinstance(self.eval_dataset, dict) else [None]
        checks.check_best(metric, names, {**metrics, **of_loss})

    def _check_equal(self, new: bool) -> None:
        """Policy and reference must agree on the first rows before any step; after some (not ``new``), without the adapters."""
        model, batch = self._first_rows()
        adapters = nullcontext() if new else rescale_adapter_scale(self.accelerator.unwrap_model(model), 0.0)
        with torch.no_grad(), adapters, self.compute_loss_context_manager():
            policy, reference, _ = self.logps(model, batch)
        checks.check_equal(batch["row_ids"], policy, reference)
