"""What is checked before a training begins. Every fault is named, all of them at once, and nothing has been written by then."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from peft import PeftModel
from PIL import Image
from torch import nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from povid_lib.data.conversations import pictures_of
from povid_lib.files.faults import Faults
from povid_lib.models.chat_template import prompt_text
from povid_lib.training import run_folder, unpadded
from povid_lib.training.collator import PairCollator
from povid_lib.training.config import POVIDConfig
from povid_lib.training.losses import Logps

_COLUMNS = ("id", "prompt", "chosen", "rejected")
_UNREAD = ("tools", "chat_template_kwargs")  # TRL gives these to the model's template
_DRAWN = Image.new("RGB", (8, 8))  # for a scene
_DIFFERENCE = 1e-2  # nats by which policy and reference may differ at step 0 from rounding (bfloat16, two kernels)


def check(
    model: nn.Module,
    settings: POVIDConfig,
    dataset: Any,
    processor: LlavaProcessor,
    collator: PairCollator,
    record: dict[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> None:
    """Model, processor, data, folder and disk. ``record``: see ``run_folder.record_of``. ``evaluation``: data sets by name.

    Raises ``ValueError`` with every fault on a line of its own.
    """
    faults = model_faults(model, settings)
    if not faults:  # the others need a LLaVA
        assert isinstance(model, LlavaForConditionalGeneration)
        faults = processor_faults(model, processor) or data_faults(dataset, settings, collator)
        if not faults:
            faults = [fault for name, data in (evaluation or {}).items() for fault in row_faults(name, data, collator)]
        faults += run_folder.folder_faults(Path(settings.output_dir), record or run_folder.record_of(settings))
        faults += run_folder.disk_faults(model, settings, len(dataset))
    refuse("The training cannot begin", faults)


def check_rows(sets: Mapping[str, Any], collator: PairCollator) -> None:
    """Every row of an evaluation's data sets. Raises ``ValueError`` with all that cannot be read."""
    refuse(
        "The evaluation cannot begin",
        [fault for name, data in sets.items() for fault in row_faults(name or "the data", data, collator)],
    )


def refuse(what: str, faults: Sequence[str]) -> None:
    """Raise the ``ValueError`` with these faults, if there are any, each on a line of its own."""
    if faults:
        raise ValueError(f"{what}:\n" + "\n".join(f"- {fault}" for fault in faults))


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
    for part in ("text_config", "vision_config"):  # TRL switches layers of dropout off, not what a function drops
        for name, share in getattr(model.config, part).to_dict().items():
            if "dropout" in name and share:
                faults.append(
                    f"the model drops a share of {share} by chance, so that policy and reference differ before the first step; set "
                    f"{name} to 0 in {part} of the model's config.json, and load it again"
                )
    attention = model.config.text_config._attn_implementation
    if settings.shared_prefix and attention not in ("sdpa", unpadded.NAME):
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
    """Too few rows for one update, and whatever ``row_faults`` finds."""
    update = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * settings.world_size
    if len(dataset) < max(2, update):
        return [
            f"the data has {len(dataset)} rows, one update takes {update} (per device x accumulation x processes) and two are "
            "the least; make more pairs, or smaller batches"
        ]
    return row_faults("the data", dataset, collator)


def row_faults(what: str, dataset: Any, collator: PairCollator) -> list[str]:
    """Columns missing or not read, an id twice, and every row that makes no batch: of another shape, too long, with a picture that
    cannot be opened."""
    found = dataset.column_names
    missing = [name for name in _COLUMNS if name not in found] + ["images"] * (not {"image", "images"} & set(found))
    if missing:
        return [f"{what} lacks {', '.join(missing)} (its columns: {', '.join(found)}); make it with trl_dataset.to_trl"]
    if more := [name for name in _UNREAD if name in found]:
        return [f"{what} has a column {', '.join(more)}, which is not read here; take it out (remove_columns)"]
    plain, opens = dataset.with_format(None), dataset.format["type"] == "custom"
    faults, ids = Faults(what), list(plain["id"])
    for name, count in Counter(ids).items():
        if count > 1:
            faults.add(f"id {name!r} stands {count} times in {what}; ids must be unique")
    for number, name in enumerate(ids):
        try:
            row = plain[number]
            drawn = opens and all(isinstance(each, str) and each.startswith("scene:") for each in pictures_of(row))
            # to_trl has looked at the names of scenes; to draw them all takes longer than everything else
            collator.read({**row, "images": [_DRAWN]} if drawn and pictures_of(row) else dataset[number])
        except Exception as error:  # a picture that the data set opens itself may raise anything
            faults.at(f"row {number + 1} ({name})").add(str(error).removeprefix(f"Row {name}: ").rstrip("."))
    return faults.lines()


def check_trainable(model: nn.Module) -> None:
    """Only LoRA matrices of the language model may be trainable.

    Raises ``ValueError`` otherwise.
    """
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    outside = [name for name in trainable if "language_model" not in name or "lora_" not in name]
    if outside or not trainable:
        raise ValueError(
            f"{len(outside)} of {len(trainable)} trainable parameters are no LoRA matrices of the language model"
            f"{f', first {outside[0]}' if outside else ''}; check the LoRA targets (config.LANGUAGE_MODEL_LAYERS)."
        )


def check_optimizer(model: nn.Module, optimizer: Any) -> None:
    """An optimiser that was set by hand must train exactly what is trainable. Raises ``ValueError`` otherwise."""
    if optimizer is None or isinstance(optimizer, AcceleratedOptimizer):  # made by the trainer, then or before
        return
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    wanted = {id(p) for p in model.parameters() if p.requires_grad}
    if held != wanted:
        raise ValueError(
            f"The optimiser misses {len(wanted - held)} of {len(wanted)} matrices of the adapters and holds {len(held - wanted)} "
            "others; make it of the trainable ones of trainer.model.parameters()."
        )


def check_best(metric: str, sets: Sequence[str | None], metrics: Collection[str]) -> None:
    """``metric_for_best_model`` must be of an evaluation. ``sets``: the names of its data sets, None of one without a name;
    ``metrics``: what the objective reports. Raises ``ValueError`` with all that there are otherwise."""
    own = ("loss", *sorted(metrics), "runtime", "samples_per_second", "steps_per_second", "tokens_per_second")
    known = [f"eval_{name}" if of is None else f"eval_{of}_{name}" for of in sets for name in own]
    if metric not in known and f"eval_{metric}" not in known:
        raise ValueError(
            f"metric_for_best_model is {metric!r}, which no evaluation here gives; choose one of {', '.join(known)}."
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
                f"row {row_ids[at]}. The adapters are not new, or a cache is of another model; make a new trainer, or go on from a "
                "checkpoint (resume_from_checkpoint)."
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
