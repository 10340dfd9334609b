"""What is checked before a training begins. Every fault is named, all of them at once, and nothing has been written by then."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import Image
from torch import nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from povid_lib.data.conversations import pictures_of
from povid_lib.files import jsonl
from povid_lib.files.faults import Faults
from povid_lib.models.chat_template import prompt_text
from povid_lib.training.collator import PairCollator
from povid_lib.training.config import POVIDConfig
from povid_lib.training.losses import Logps

_COLUMNS = ("id", "prompt", "chosen", "rejected")
_DRAWN = Image.new("RGB", (8, 8))  # for a scene
RECORD = "povid_config.json"  # the settings of the run that a folder holds
_SPARE = 64 * 2**20  # bytes that must stay free beside what is written
_DIFFERENCE = 1e-2  # nats by which policy and reference may differ at step 0 from rounding (bfloat16, two kernels)


def check(
    model: nn.Module, settings: POVIDConfig, dataset: Any, processor: LlavaProcessor, collator: PairCollator
) -> None:
    """Model, processor, data, folder and disk. Raises ``ValueError`` with every fault on a line of its own."""
    faults = model_faults(model, settings)
    if not faults:  # the others need a LLaVA
        assert isinstance(model, LlavaForConditionalGeneration)
        faults = processor_faults(model, processor) or data_faults(dataset, settings, collator)
        faults += folder_faults(Path(settings.output_dir), settings)
        faults += disk_faults(model, settings, len(dataset))
    if faults:
        raise ValueError("The training cannot begin:\n" + "\n".join(f"- {fault}" for fault in faults))


def model_faults(model: nn.Module, settings: POVIDConfig) -> list[str]:
    """Another family, adapters already there, mixed types, dropout, or an attention that cannot take the shared prefix's mask."""
    if isinstance(model, PeftModel):
        return ["the model has adapters already; merge them first (`povid merge`) and give the merged model"]
    if not isinstance(model, LlavaForConditionalGeneration):
        return [f"the model is a {type(model).__name__}; this trainer takes a LlavaForConditionalGeneration"]
    faults = []
    types = Counter(str(p.dtype) for p in model.parameters() if p.is_floating_point())
    if len(types) > 1:
        shown = ", ".join(f"{count} of {name}" for name, count in types.most_common())
        faults.append(f"the parameters are of mixed types ({shown}); load the model with one dtype")
    if dropout := getattr(model.config.text_config, "attention_dropout", 0.0):
        faults.append(
            f"the attention drops a share of {dropout} by chance, so that policy and reference differ before the first step; set "
            "attention_dropout to 0 in the model's config.json, and load it again"
        )
    attention = model.config.text_config._attn_implementation
    if settings.shared_prefix and attention != "sdpa":
        faults.append(
            f"the attention is {attention!r}, which cannot take the shared prefix's mask; load the model with "
            "attn_implementation='sdpa' or set shared_prefix to False"
        )
    if (settings.cache_reference or settings.cache_features) and _sharded(settings):
        faults.append(
            "FSDP or ZeRO-3 shards the weights, and the caches need them whole; set cache_reference and cache_features to False"
        )
    broken = [name for name, p in model.named_parameters() if p.is_floating_point() and not bool(p.isfinite().all())]
    if broken:
        faults.append(f"{len(broken)} weights are not finite, first {broken[0]}; load the model again")
    return faults


def _sharded(settings: POVIDConfig) -> bool:
    plugin = settings.deepspeed_plugin
    by_fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("1", "true")  # how `accelerate launch` says it
    return by_fsdp or (plugin is not None and plugin.zero_stage == 3)


def processor_faults(model: LlavaForConditionalGeneration, processor: LlavaProcessor) -> list[str]:
    """A processor that would write another number of image tokens than the model fills, no BOS or two, or no EOS."""
    faults = []
    for name in ("patch_size", "vision_feature_select_strategy"):
        if getattr(processor, name) is None:
            faults.append(f"the processor has no {name}; set it as in the model's vision configuration")
    if faults:
        return faults
    vision = model.config.vision_config
    wanted = (vision.image_size // vision.patch_size) ** 2
    extra = (
        1 if processor.vision_feature_select_strategy == "default" else 0
    )  # CLIP's class token, dropped by "default"
    side = vision.image_size // processor.patch_size
    written = side**2 + processor.num_additional_image_tokens - extra
    if written != wanted:
        faults.append(
            f"the processor writes {written} image tokens where the vision tower gives {wanted}; check its patch_size "
            f"({processor.patch_size}), num_additional_image_tokens ({processor.num_additional_image_tokens}) and "
            "vision_feature_select_strategy"
        )
    tokenizer = processor.tokenizer
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if getattr(tokenizer, name) is None:
            faults.append(f"the tokenizer has no {name}; set it before training")
    if processor.chat_template is None:
        return [*faults, "the processor has no chat_template; give it the model's own"]
    prompt = prompt_text(processor, "Describe this image.")
    if prompt.count("<image>") != 1:
        faults.append(
            f"the template writes <image> {prompt.count('<image>')} times into {prompt!r}; it must stand there once"
        )
    starts = tokenizer(prompt)["input_ids"].count(tokenizer.bos_token_id)
    if starts != 1:
        faults.append(f"a prompt begins with {starts} BOS tokens; template and tokenizer must write one between them")
    return faults


def data_faults(dataset: Any, settings: POVIDConfig, collator: PairCollator) -> list[str]:
    """Columns missing, too few rows for one update, an id twice, and every row that makes no batch: of another shape, too long,
    with a picture that cannot be opened."""
    missing = [name for name in _COLUMNS if name not in dataset.column_names]
    if not {"image", "images"} & set(dataset.column_names):
        missing.append("images")
    if missing:
        found = ", ".join(dataset.column_names)
        return [f"the data lacks {', '.join(missing)} (its columns: {found}); make it with trl_dataset.to_trl"]
    update = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * settings.world_size
    if len(dataset) < max(2, update):
        return [
            f"the data has {len(dataset)} rows, one update takes {update} (per device x accumulation x processes) and two are "
            "the least; make more pairs, or smaller batches"
        ]
    plain = dataset.with_format(None)
    faults, ids = Faults("the data"), list(plain["id"])
    for name, count in Counter(ids).items():
        if count > 1:
            faults.add(f"id {name!r} stands {count} times in the data; ids must be unique")
    for number, name in enumerate(ids):
        try:
            row = plain[number]
            drawn = all(isinstance(each, str) and each.startswith("scene:") for each in pictures_of(row))
            # to_trl has looked at the names of scenes; to draw them all takes longer than everything else
            collator.read({**row, "images": [_DRAWN]} if drawn and pictures_of(row) else dataset[number])
        except Exception as error:  # a picture that the data set opens itself may raise anything
            faults.at(f"row {number + 1} ({name})").add(str(error).removeprefix(f"Row {name}: ").rstrip("."))
    return faults.lines()


def folder_faults(out: Path, settings: POVIDConfig) -> list[str]:
    """A folder that holds something else, or a run with other settings."""
    record = out / RECORD
    if record.is_file():
        before = json.loads(record.read_text(encoding="utf-8"))
        now = settings_record(settings)
        other = sorted(name for name in now if before.get(name) != now[name])
        return [f"{out} holds a run with another {', '.join(other)}; give another folder or delete it"] if other else []
    if out.is_file():
        return [f"{out} is a file; give a folder"]
    if out.is_dir() and any(path.name != "cache" for path in out.iterdir()):
        return [f"{out} holds files that no run of this trainer wrote; give another folder"]
    return []


def write_record(settings: POVIDConfig) -> None:
    """The settings into the run's folder, so that only the same run goes on there."""
    out = Path(settings.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(out / RECORD) as part:
        part.write_text(json.dumps(settings_record(settings), indent=1), encoding="utf-8")


def settings_record(settings: POVIDConfig) -> dict[str, Any]:
    """What must be the same for a run to go on: all that changes the result, nothing of batch layout, caches or places, and of the
    losses' settings those that the objective reads."""
    names = (
        "objective", "dispreference", "lora_rank", "lora_alpha", "learning_rate", "num_train_epochs", "max_steps", "seed",
    )  # fmt: skip
    found = {name: getattr(settings, name) for name in names} | settings.coefficients
    if settings.needs_noise:
        found |= asdict(settings.image_dispreference)
    update = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * settings.world_size
    return found | {"rows_per_update": update, "scheduler": str(settings.lr_scheduler_type)}


def disk_faults(model: LlavaForConditionalGeneration, settings: POVIDConfig, rows: int) -> list[str]:
    """Whether the caches and the checkpoints (adapter and two moments each) will fit."""
    text, vision = model.config.text_config, model.config.vision_config
    size = model.dtype.itemsize
    need = 0
    if settings.cache_reference and settings.needs_noise and settings.scored_under == "clean":
        need += rows * 128 * text.hidden_size * size  # a long answer has about 128 tokens
    if settings.cache_features:
        need += rows * (vision.image_size // vision.patch_size) ** 2 * text.hidden_size * size
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


def check_trainable(model: nn.Module) -> None:
    """Only LoRA matrices of the language model may be trainable, and all its linear layers must have them.

    Raises ``ValueError`` otherwise.
    """
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    outside = [name for name in trainable if "language_model" not in name or "lora_" not in name]
    if outside or not trainable:
        raise ValueError(
            f"{len(outside)} of {len(trainable)} trainable parameters are no LoRA matrices of the language model"
            f"{f', first {outside[0]}' if outside else ''}; check the LoRA targets (config.LANGUAGE_MODEL_LAYERS)."
        )


def check_equal(row_ids: Sequence[str], policy: Logps, reference: Logps) -> None:
    """Policy and reference must agree before the first step. Raises ``ValueError`` with the row where they do not."""
    other = reference.given()
    for name, logps in policy.given().items():
        difference = (logps - other[name]).abs()
        at = int(difference.argmax())
        if not float(difference[at]) <= _DIFFERENCE * max(1.0, float(logps[at].abs()) ** 0.5):
            raise ValueError(
                f"Before the first step, policy and reference differ by {float(difference[at]):.3g} nats on the {name} answer of "
                f"row {row_ids[at]}. The adapters are not new, or a cache is of another model."
            )


def check_finite(step: int, row_ids: Sequence[str], *found: Logps) -> None:
    """Every log-probability must be finite. Raises ``FloatingPointError`` with the rows where one is not."""
    every = torch.stack([logps.detach() for of in found for logps in of.given().values()])
    wrong = [row_id for row_id, row in zip(row_ids, every.isfinite().all(0), strict=True) if not row]
    if wrong:
        raise FloatingPointError(
            f"Step {step}: no finite log-probability for row {', '.join(wrong)}. Nothing was updated; look at its picture and its "
            "texts, and if every row is named, lower learning_rate."
        )
