"""The folder of a training: the record of its settings, so that only the same run goes on there, and room for what it will hold."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peft import LoraConfig
from transformers import LlavaForConditionalGeneration

from povid_lib.data import trl_dataset
from povid_lib.files import jsonl
from povid_lib.files.lock import LOCK
from povid_lib.training.config import POVIDConfig

RECORD = "povid_config.json"  # the settings of the run that a folder holds
_LENGTH = ("max_steps", "num_train_epochs")
# settings of transformers that change an update, or which rows are in it
_UPDATE = (
    "optim", "optim_args", "optim_target_modules", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm",
    "lr_scheduler_kwargs", "warmup_steps", "data_seed", "train_sampling_strategy", "dataloader_drop_last", "ignore_data_skip",
    "bf16", "fp16", "tf32",
)  # fmt: skip
_SPARE = 64 * 2**20  # bytes that must stay free beside what is written


def folder_faults(out: Path, record: dict[str, Any]) -> list[str]:
    """A folder that holds something else, or a run with other settings. A longer run of the same may go on."""
    path = out / RECORD
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            other = sorted(name for name in record if before.get(name) != record[name])
        except (ValueError, AttributeError):
            return [f"{path} is damaged; delete the folder, or give another one"]
        other = [name for name in other if name not in _LENGTH] if _is_longer(before, record) else other
        said = f"{out} holds a run with another {', '.join(other)} (only a longer one of the same goes on)"
        return [f"{said}; give another folder or delete it"] if other else []
    if out.is_file():
        return [f"{out} is a file; give a folder"]
    if out.is_dir() and any(path.name not in ("cache", LOCK) for path in out.iterdir()):
        return [f"{out} holds files that no run of this trainer wrote; give another folder"]
    return []


def _is_longer(before: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether a run of so many steps, or epochs, is at least as long as before."""
    steps, epochs = ((before.get(name), record[name]) for name in _LENGTH)
    if steps == (-1, -1):
        return isinstance(epochs[0], int | float) and epochs[1] >= epochs[0]
    return isinstance(steps[0], int) and min(steps) > 0 and steps[1] >= steps[0]


def write_record(settings: POVIDConfig, record: dict[str, Any] | None = None) -> None:
    """The settings into the run's folder, so that only the same run goes on there."""
    out = Path(settings.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(out / RECORD) as part:
        part.write_text(json.dumps(record or record_of(settings), indent=1), encoding="utf-8")


def record_of(settings: POVIDConfig, peft_config: LoraConfig | None = None) -> dict[str, Any]:
    """What must be the same for a run to go on: all that changes the result, nothing of batch layout, caches or places, and of the
    losses' settings those that the objective reads. ``peft_config``: the user's own adapter, in place of rank and alpha."""
    names = ("objective", "dispreference", "learning_rate", *_LENGTH, "seed", *_UPDATE)
    plain = json.dumps({name: getattr(settings, name) for name in names}, default=str)  # as it is read back
    found = json.loads(plain) | settings.coefficients
    if peft_config is None:
        found |= {name: getattr(settings, name) for name in ("lora_rank", "lora_alpha")}
    else:
        own = {
            name: value for name, value in peft_config.to_dict().items() if value != getattr(LoraConfig(), name, None)
        }
        found["peft_config"] = json.loads(
            json.dumps(own, sort_keys=True, default=lambda value: sorted(map(str, value)))
        )
    if settings.needs_noise:
        found |= asdict(settings.image_dispreference)
    return found | {"rows_per_update": _rows_per_update(settings), "scheduler": str(settings.lr_scheduler_type)}


def _rows_per_update(settings: POVIDConfig) -> int:
    return settings.per_device_train_batch_size * settings.gradient_accumulation_steps * settings.world_size


def data_digest(dataset: Any) -> str:
    """Of a data set's rows in their order: ids, texts and pictures, see ``trl_dataset.contents``."""
    found = hashlib.sha256()
    for row in trl_dataset.contents(dataset):
        found.update(row)
    return found.hexdigest()[:16]


def files_digest(model: str) -> str | None:
    """Of the weights in a folder; None of what is none."""
    files = sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    return jsonl.digest(*files) if files else None


def disk_faults(model: LlavaForConditionalGeneration, settings: POVIDConfig, rows: int) -> list[str]:
    """Whether the caches and the checkpoints (adapter and two moments each) will fit."""
    text, vision = model.config.text_config, model.config.vision_config
    size = model.dtype.itemsize
    need = 0
    epochs = math.ceil(settings.num_train_epochs)
    if settings.max_steps > 0:
        epochs = math.ceil(settings.max_steps * _rows_per_update(settings) / rows)
    noises = epochs if settings.caches_noised else 0  # a cache for each epoch's
    if settings.cache_reference and settings.needs_noise and settings.reference_tokens == "policy":
        answers = rows * 128 * text.hidden_size * size  # a long answer has about 128 tokens
        need += answers * (1 if settings.scored_under == "clean" else epochs)
    if settings.cache_features:
        pictures = rows * (vision.image_size // vision.patch_size) ** 2 * text.hidden_size * size
        need += pictures * (1 + noises)
    layer = 4 * 2 * text.hidden_size + 3 * (text.hidden_size + text.intermediate_size)
    adapter = text.num_hidden_layers * settings.lora_rank * layer * 4
    need += adapter * 3 * ((settings.save_total_limit or 10) + 1)
    place = Path(settings.output_dir).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need + _SPARE:
        return [f"{place} has {free / 2**30:.1f} GiB free, caches and checkpoints need {need / 2**30:.1f}; make room"]
    return []
