"""What one training keeps of its reference: the passes over clear pictures, and those over the noised ones of one epoch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from trl import DPOTrainer

from povid_lib.files.lock import locked
from povid_lib.training import noised_cache, reference_cache
from povid_lib.training.collator import Batch
from povid_lib.training.pair_scores import CachedNoised


class Caches:
    """The caches of a trainer: opened, or built where they are not there, before its first step; an epoch's noise at its first.

    ``key``: the base model's and the processor's, as ``reference_cache.key`` gives it.
    """

    def __init__(self, trainer: DPOTrainer, key: dict[str, str]):
        self._trainer, self._key = trainer, key
        self._versions = reference_cache.versions(trainer.model.get_base_model())
        self._clear: reference_cache.RowCache | None = None
        self._noised: tuple[int, reference_cache.RowCache] | None = None  # of one epoch

    def start(self) -> reference_cache.RowCache:
        """The cache of the clear pictures, used from now on. Raises ``ValueError`` if that in the folder is of something else."""
        settings = self._trainer.args
        base = self._trainer.accelerator.unwrap_model(self._trainer.model).get_base_model()
        if reference_cache.versions(base) != self._versions:  # written to since it was hashed
            self._key = reference_cache.key(base, self._trainer.processing_class)
        wanted = settings.caches_hidden, settings.cache_features, settings.shared_prefix, settings.unpadded
        self._clear = self._built("", *reference_cache.clear(self._key, *wanted))
        return self._clear

    def held(self, batch: Batch, epoch: int) -> tuple[reference_cache.Cached | None, CachedNoised | None]:
        """What the caches hold of a batch, nothing if none was opened; that of an epoch's noise is built at its first step."""
        if self._clear is None:
            return None, None
        cached = reference_cache.Cached(**self._clear.rows(batch))
        if not self._trainer.args.caches_noised:
            return cached, None
        if self._noised is None or self._noised[0] != epoch:
            made = noised_cache.noised(self._key, self._trainer.args, self._trainer.processing_class, epoch)
            self._noised = epoch, self._built(f"noised-{epoch}", *made)
        return cached, CachedNoised(**self._noised[1].rows(batch))

    def _built(self, name: str, key: dict[str, str], read: reference_cache.Read) -> reference_cache.RowCache:
        trainer = self._trainer
        settings, accelerator = trainer.args, trainer.accelerator
        folder = Path(settings.cache_dir or Path(settings.output_dir) / "cache") / name
        trainer.model.to(accelerator.device)
        alone = locked(folder, wait=True) if accelerator.is_main_process else nullcontext()
        with alone, trainer.compute_loss_context_manager():
            return reference_cache.build(
                folder, key, trainer.model, trainer.data_collator, trainer.train_dataset, accelerator, read,
                batch_size=settings.per_device_train_batch_size, tokens=settings.tokens_per_pass,
            )  # fmt: skip
