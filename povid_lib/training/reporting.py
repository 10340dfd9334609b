"""What a training reports: the means over the rows of what its loss gives, of the training and of every evaluation, and a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import DPOTrainer

from povid_lib.arguments import check_choice
from povid_lib.training import checks, keywords
from povid_lib.training.means import Means
from povid_lib.training.model_card import card


class ReportingTrainer(DPOTrainer):
    """TRL's ``DPOTrainer`` with evaluations by name, means over rows in its logs, and POVID's model card.

    What extends it adds to ``_means`` in ``compute_loss``, and has ``_record``, what the run was begun with.
    """

    _record: dict[str, Any]

    def __init__(self, **given: Any):
        super().__init__(**given)
        self._means = Means(self.accelerator)

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
