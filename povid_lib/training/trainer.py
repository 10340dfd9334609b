"""POVID's trainer: TRL's ``DPOTrainer`` with another collator, another ``compute_loss``, and nothing private touched.

What it takes from TRL is the making of the model (PEFT, QLoRA's types, checkpointing, ZeRO), not the loss, of which ``DPOTrainer``
is the judge in the tests. The reference is the same model with its adapters switched off.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft.helpers import rescale_adapter_scale
from transformers import LlavaForConditionalGeneration, LlavaProcessor
from trl import DPOTrainer

from povid_lib.arguments import check_choice
from povid_lib.files.lock import locked
from povid_lib.training import (
    checkpoints,
    checks,
    keywords,
    noised_cache,
    objectives,
    pair_scores,
    reference_cache,
    run_folder,
)
from povid_lib.training.collator import Batch
from povid_lib.training.config import POVIDConfig
from povid_lib.training.losses import Logps, Metrics
from povid_lib.training.means import Means
from povid_lib.training.model_card import card


class POVIDTrainer(DPOTrainer):
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
        self._key = reference_cache.key(given.model, given.processor)
        self._record |= {"data": run_folder.data_digest(given.train), "base": self._key["model"]}
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
        self._versions = reference_cache.versions(self.model.get_base_model())
        self._cache: reference_cache.RowCache | None = None
        self._noised: tuple[int, reference_cache.RowCache] | None = None  # of one epoch
        self._means = Means(self.accelerator)

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
                self._cache = self._open_cache()
            self._check_equal(new=checkpoint is None)
            self._means = Means(self.accelerator)
            return super().train(None if checkpoint is None else str(checkpoint), *args, **kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As ``Trainer.evaluate``, for one data set or several by name; the noise is the same at every step. Raises ``ValueError``
        with all rows that cannot be read."""
        if isinstance(eval_dataset, str):
            check_choice(
                "The evaluation's data set",
                eval_dataset,
                self.eval_dataset if isinstance(self.eval_dataset, dict) else {},
            )
        if eval_dataset is None or isinstance(eval_dataset, str):
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        found: dict[str, float] = {}
        sets = keywords.evaluation_sets(eval_dataset)
        checks.check_rows(sets, self.data_collator)
        for name, data in sets.items():
            found |= super().evaluate(data, ignore_keys, f"{metric_key_prefix}_{name}" if name else metric_key_prefix)
        return found

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """As ``Trainer.evaluation_loop``, with the means over the rows of what the loss reports, in an account of their own."""
        training, self._means = self._means, Means(self.accelerator, evaluation=True)
        try:
            found = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
            means = self._means.take()
        finally:
            self._means = training
        found.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in means.items()})
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
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to what is logged of training the means since the last log, over all processes, and the tokens a second."""
        if self.model.training:
            logs.update(self._means.take())
        super().log(logs, start_time)

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Write ``README.md`` into ``output_dir``: base model, method, data, command, settings, citation (see ``model_card``)."""
        if self.is_world_process_zero():
            given = [tags] if isinstance(tags, str) else list(tags or ())
            data = f"{dataset_name or 'pairs'} ({len(self.train_dataset)} rows)"
            name = model_name or Path(self.args.output_dir).name
            base = str(self.model.config._name_or_path)
            made = card(base, name, self.args, self._record, data, [*self._tag_names, *given])
            made.save(Path(self.args.output_dir) / "README.md")

    # --- this trainer's own --------------------------------------------------------------------------------------

    def logps(self, model: Any, batch: Batch) -> tuple[Logps, Logps, Metrics]:
        """See ``pair_scores.pair_logps``; counts the tokens that are read. The cache and the steps are the training's."""
        evaluating = self._means.evaluation
        epoch = 0 if evaluating else int(self.state.epoch or 0)
        cached, cached_noised = (None, None) if self._cache is None or evaluating else self._held(batch, epoch)
        models = pair_scores.Models(model, self.accelerator.unwrap_model(model), not self.is_fsdp_enabled)
        step = self.state.global_step
        found = pair_scores.pair_logps(
            models, batch, self.args, self.processing_class, epoch, cached, cached_noised, step
        )
        self._means.count(
            sum(int(text["mask"].sum()) for text in (batch["prompt"], batch["chosen"], batch["rejected"]))
        )
        return found

    def _first_rows(self) -> tuple[Any, Batch]:
        """The model at rest, and the batch by which it is tried before any step."""
        batch = self._prepare_inputs(self.data_collator([self.train_dataset[0], self.train_dataset[1]]))
        return self.model.to(self.accelerator.device).eval(), batch

    def _check_best(self) -> None:
        """The metric that chooses the best model must be one that the evaluations give, unless a callback may add it."""
        settings: POVIDConfig = self.args
        metric = settings.metric_for_best_model
        if (
            metric is None
            or settings.eval_strategy == "no"
            or keywords.may_add_metrics(self.callback_handler.callbacks)
        ):
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

    def _held(self, batch: Batch, epoch: int) -> tuple[reference_cache.Cached | None, pair_scores.CachedNoised | None]:
        """What the caches hold of a batch; that of an epoch's noise is built at its first step."""
        assert self._cache is not None
        cached = reference_cache.Cached(**self._cache.rows(batch))
        if not self.args.caches_noised:
            return cached, None
        if self._noised is None or self._noised[0] != epoch:
            made = noised_cache.noised(self._key, self.args, self.processing_class, epoch)
            self._noised = epoch, self._built(f"noised-{epoch}", *made)
        return cached, pair_scores.CachedNoised(**self._noised[1].rows(batch))

    def _open_cache(self) -> reference_cache.RowCache:
        settings: POVIDConfig = self.args
        base = self.accelerator.unwrap_model(self.model).get_base_model()
        if reference_cache.versions(base) != self._versions:  # written to since it was hashed
            self._key = reference_cache.key(base, self.processing_class)
        wanted = settings.caches_hidden, settings.cache_features, settings.shared_prefix
        made = reference_cache.clear(self._key, *wanted)
        return self._built("", *made)

    def _built(self, name: str, key: dict[str, str], read: reference_cache.Read) -> reference_cache.RowCache:
        settings: POVIDConfig = self.args
        folder = Path(settings.cache_dir or Path(settings.output_dir) / "cache") / name
        self.model.to(self.accelerator.device)
        alone = locked(folder, wait=True) if self.accelerator.is_main_process else nullcontext()
        with alone, self.compute_loss_context_manager():
            return reference_cache.build(
                folder, key, self.model, self.data_collator, self.train_dataset, self.accelerator, read,
                batch_size=settings.per_device_train_batch_size,
            )  # fmt: skip
