"""DPOTrainer's keywords as POVIDTrainer takes them: each is used as TRL uses it, or refused by its name with what to do instead."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset
from peft import LoraConfig
from transformers import LlavaProcessor, TrainerCallback

from povid_lib import models
from povid_lib.data import trl_dataset
from povid_lib.models.llava import load_processor
from povid_lib.training.collator import PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig

_NEVER = {
    "ref_model": "the reference is the same model with its adapters switched off; leave it out",
    "compute_metrics": (
        "no logits are kept (TRL gives them up as well, in 2.0); the evaluation's means over rows are logged as eval_..., and a "
        "callback's on_evaluate can add to them"
    ),
    "quantization_config": "load the model with models.load(name, four_bit=True), and give it as `model`",
}


@dataclass(frozen=True)
class Given:
    """What a trainer was given, made ready: all that ``checks`` and TRL's trainer want of it."""

    model: Any
    args: POVIDConfig
    processor: LlavaProcessor
    collator: PairCollator
    train: Dataset
    evaluation: Dataset | dict[str, Dataset] | None
    peft_config: LoraConfig

    @property
    def evaluation_sets(self) -> dict[str, Dataset]:
        """The evaluation's data sets by name, for messages."""
        return _sets(self.evaluation)


def read(
    model: Any,
    args: Any,
    train_dataset: Any,
    processing_class: Any,
    eval_dataset: Any,
    callbacks: Any,
    peft_config: Any,
    data_collator: Any,
    optimizers: Any,
    **never: Any,
) -> Given:
    """The keywords of ``POVIDTrainer``. ``model`` may be a name, which is loaded, ``args`` and ``processing_class`` may be None.

    Raises ``ValueError`` with every keyword that cannot be used, and ``models.load``'s errors.
    """
    faults = [f"{name}: {_NEVER[name]}" for name, value in never.items() if value is not None]
    faults += _args_faults(args) + _callback_faults(callbacks) + _adapter_faults(peft_config)
    faults += dataset_faults("train_dataset", train_dataset)
    faults += [fault for name, data in _sets(eval_dataset).items() for fault in dataset_faults(name, data)]
    if tuple(optimizers or ()) not in ((), (None, None)):
        faults.append(
            "optimizers: what is trained are the adapters, which the trainer makes itself; choose with optim and learning_rate in "
            "args, or set `trainer.optimizer` afterwards to one of trainer.model's parameters"
        )
    if data_collator is not None and not isinstance(data_collator, PairCollator):
        faults.append(
            f"data_collator: a {type(data_collator).__name__} makes other batches than the loss reads; leave it out, or give a "
            "PairCollator"
        )
    if processing_class is not None and not isinstance(processing_class, LlavaProcessor):
        faults.append(
            f"processing_class is a {type(processing_class).__name__}, which reads no pictures; give the whole processor "
            "(AutoProcessor.from_pretrained)"
        )
    if faults:
        raise ValueError("The training cannot begin:\n" + "\n".join(f"- {fault}" for fault in faults))
    if data_collator is not None and args is not None and data_collator.end_token != args.end_token:
        raise ValueError(
            f"data_collator has end_token {data_collator.end_token}, the settings have {args.end_token}; give both the same, or "
            "leave the collator out."
        )
    name = str(model) if isinstance(model, str | Path) else str(model.config._name_or_path)
    processor = processing_class
    if isinstance(model, str | Path):
        loaded = models.load(model, device="cpu")  # the trainer moves it
        model, processor = loaded.model, processor or loaded.processor
    processor = processor or load_processor(name)
    args = args or POVIDConfig(output_dir=f"{Path(name).name or 'llava'}-POVID")
    evaluation = {key: trl_dataset.prepare_rows(data) for key, data in _sets(eval_dataset).items()}
    return Given(
        model=model,
        args=args,
        processor=processor,
        collator=data_collator or PairCollator(processor, _longest(model, args), args.end_token),
        train=trl_dataset.prepare_rows(train_dataset),
        evaluation=evaluation if isinstance(eval_dataset, Mapping) else evaluation.get("eval_dataset"),
        peft_config=adapter(args, peft_config),
    )


def adapter(args: POVIDConfig, given: LoraConfig | None) -> LoraConfig:
    """The adapter that is trained: the user's own, or one of the settings' rank; on the language model, if nothing else is said."""
    if given is None:
        given = LoraConfig(r=args.lora_rank, lora_alpha=args.lora_alpha, task_type="CAUSAL_LM")
    if given.target_modules is None:
        given = copy(given)
        given.target_modules = LANGUAGE_MODEL_LAYERS
    return given


def dataset_faults(name: str, data: Any) -> list[str]:
    """What is said of a data set of another kind than ``Dataset``."""
    if isinstance(data, Dataset):
        return []
    if data is None:
        return [f"{name} is missing; give a Dataset, such as trl_dataset.to_trl makes"]
    if isinstance(data, IterableDataset):
        return [
            f"{name} is a stream ({type(data).__name__}), and every row is checked before the first step; load it without "
            "streaming, or make a Dataset of it (Dataset.from_generator)"
        ]
    if isinstance(data, Mapping):
        return [f"{name} is a {type(data).__name__} of {', '.join(map(repr, data))}; give one of them"]
    return [f"{name} is a {type(data).__name__}; give a datasets.Dataset (Dataset.from_list makes one of rows)"]


def evaluation_sets(data: Any) -> dict[str, Dataset]:
    """What ``evaluate`` was given, ready, by name ("" if it is one). Raises ``ValueError`` for what is no data set."""
    sets = _sets(data)
    if faults := [fault for name, one in sets.items() for fault in dataset_faults(name, one)]:
        raise ValueError("The evaluation cannot begin:\n" + "\n".join(f"- {fault}" for fault in faults))
    return {name if isinstance(data, Mapping) else "": trl_dataset.prepare_rows(one) for name, one in sets.items()}


def _sets(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    return {str(name): one for name, one in data.items()} if isinstance(data, Mapping) else {"eval_dataset": data}


def _args_faults(args: Any) -> list[str]:
    if args is None or isinstance(args, POVIDConfig):
        return []
    return [
        f"args is a {type(args).__name__}, which does not say which loss; give a POVIDConfig, which has all settings of DPOConfig "
        '(DPO itself is objective="dpo", dispreference="text")'
    ]


def _callback_faults(callbacks: Any) -> list[str]:
    if callbacks is not None and not isinstance(callbacks, Sequence):
        return [f"callbacks is a {type(callbacks).__name__}; give a list"]
    faults = []
    for each in callbacks or ():
        kind = each if inspect.isclass(each) else type(each)
        if not issubclass(kind, TrainerCallback):
            faults.append(f"callbacks holds a {kind.__name__}, which is no TrainerCallback; make it one")
    return faults


def may_add_metrics(callbacks: Sequence[TrainerCallback]) -> bool:
    """Whether a callback of the user's own looks at evaluations, whose figures it can add to."""
    looking = [type(each) for each in callbacks if type(each).on_evaluate is not TrainerCallback.on_evaluate]
    return any(not kind.__module__.startswith("transformers.") for kind in looking)


def _adapter_faults(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, LoraConfig):
        return [
            f"peft_config is a {type(given).__name__}; give a LoraConfig, whose matrices can be switched off and merged"
        ]
    faults = []
    if given.lora_dropout:
        faults.append(
            f"peft_config drops a share of {given.lora_dropout} by chance, so that policy and reference differ before the first "
            "step; set lora_dropout to 0"
        )
    if given.init_lora_weights not in (True, "gaussian"):
        faults.append(
            f"peft_config begins with init_lora_weights={given.init_lora_weights!r}, which changes the model that is the "
            "reference; leave it out"
        )
    return faults


def _longest(model: Any, args: POVIDConfig) -> int:
    """The most tokens of a row: what the settings allow, and never more than the model has places for."""
    places = int(model.config.get_text_config().max_position_embeddings)
    return places if args.max_length is None else min(args.max_length, places)
