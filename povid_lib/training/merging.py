"""What comes of a trained adapter: merged weights, or several phases' adapters as one adapter of the first one's base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from povid_lib import models
from povid_lib.files import jsonl
from povid_lib.models import hub_files, weights
from povid_lib.models.llava import VLM
from povid_lib.training import model_card, reference_cache

BASE = "povid_base.json"  # beside an adapter: the hash of the weights that it belongs to
# settings of an adapter that two matrices and a factor say; any other is refused by ``join``
_JOINED = {
    "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "target_modules", "exclude_modules", "layers_to_transform",
    "layers_pattern", "lora_dropout", "task_type", "base_model_name_or_path", "revision", "inference_mode", "init_lora_weights",
    "auto_mapping", "peft_version", "loftq_config", "runtime_config",
}  # fmt: skip
Change = dict[
    str, tuple[Tensor, Tensor]
]  # layer -> A (rank, in) and B (out, rank); their product B A is added to its weight


def merge(model: str | Path, adapter: str | Path, out: str | Path) -> Path:
    """Add an adapter to the weights that it was trained on, and write an ordinary model to ``out``, which must not be there yet:
    weights, processor and a card, as ``hub_files`` writes them.

    Raises ``ValueError`` if ``out`` exists, the adapter belongs to other weights, or is not whole (see ``models.weights``).
    """
    adapter, out = Path(adapter), Path(out)
    _refuse_existing(out)
    named = weights.read_config(adapter).base_model_name_or_path  # before gigabytes are loaded
    vlm = models.load(model, device="cpu", dtype="auto")
    _check_base(vlm, adapter, named)
    merged, _ = _added(vlm, adapter)
    out.parent.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(out, folder=True) as part:
        hub_files.save(merged, vlm.processor, part)
        model_card.derived(str(model), out.name, [adapter], merged=True).save(part / "README.md")
    return out


def join(model: str | Path, adapters: Sequence[str | Path], out: str | Path) -> Path:
    """Write adapters that were trained one after the other, each on what those before it had made, as **one** adapter of
    ``model``: their matrices side by side, A below A and B beside B, so that the rank is the sum of the ranks and B A is the sum
    of the changes. ``out`` must not be there yet.

    Raises ``ValueError`` if ``out`` exists, fewer than two adapters are given, one belongs to other weights (they are tried in
    the order given), is not whole, or changes more than weights by a product of two matrices (DoRA, biases).
    """
    chain, out = [Path(adapter) for adapter in adapters], Path(out)
    _refuse_existing(out)
    if len(chain) < 2:
        raise ValueError(f"join: {len(chain)} adapters are given; give two or more, in the order of their trainings.")
    configs = [weights.read_config(adapter) for adapter in chain]
    for adapter, config in zip(chain, configs, strict=True):
        _refuse_more(adapter, config)
    vlm = models.load(model, device="cpu", dtype="auto")
    key: dict[str, Any] = {}
    changes: list[Change] = []
    for i, (adapter, config) in enumerate(zip(chain, configs, strict=True)):
        named = config.base_model_name_or_path
        if i and not (adapter / BASE).is_file():
            named = _following(adapter, named, chain[i - 1], vlm)
        _check_base(vlm, adapter, named)
        key = key or reference_cache.key(vlm.model, vlm.processor)
        merged, change = _added(vlm, adapter)
        changes.append(change)
        vlm = replace(vlm, model=merged)
    out.parent.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(out, folder=True) as part:
        _write(part, side_by_side(changes), configs, str(model))
        write_base(part, key)
        model_card.derived(str(model), out.name, chain, merged=False).save(part / "README.md")
    return out


def side_by_side(changes: Sequence[Change]) -> Change:
    """The sum of several changes as one: for each layer A one below the other, and B side by side. A layer that a change lacks
    gets nothing from it."""
    layers = {name: None for change in changes for name in change}  # in order, once each
    found = {name: [change[name] for change in changes if name in change] for name in layers}
    return {
        name: (torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts], 1)) for name, parts in found.items()
    }


def write_base(adapter: Path, key: dict[str, Any]) -> None:
    """Write beside an adapter which weights it belongs to (see ``reference_cache.key``), and a digest of its settings."""
    with jsonl.replacing(adapter / BASE) as part:
        held = key | {"adapter_config": weights.config_digest(adapter)}
        part.write_text(json.dumps(held, indent=1), encoding="utf-8")


def _write(folder: Path, change: Change, configs: Sequence[LoraConfig], base: str) -> None:
    rank = max(a.shape[0] for a, _ in change.values())
    tensors: dict[str, Tensor] = {}
    for name, (a, b) in change.items():
        more = rank - a.shape[0]  # rows of zeros where a layer has a lower rank than the others
        tensors[f"{name}.lora_A.weight"] = torch.nn.functional.pad(a, (0, 0, 0, more)).contiguous()
        tensors[f"{name}.lora_B.weight"] = torch.nn.functional.pad(b, (0, more)).contiguous()
    targets = {str(config.target_modules): config.target_modules for config in configs}
    one = (
        next(iter(targets.values()))
        if len(targets) == 1
        else [name.removeprefix("base_model.model.") for name in change]
    )
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=one, task_type=configs[0].task_type, inference_mode=True,
        base_model_name_or_path=base,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    config.save_pretrained(folder)
    save_file(tensors, folder / weights.ADAPTER, {"format": "pt"})


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise ValueError(f"{out} is there already; give another folder, or delete it.")


def _refuse_more(adapter: Path, config: LoraConfig) -> None:
    plain = LoraConfig().to_dict()
    more = sorted(name for name, value in config.to_dict().items() if name not in _JOINED and value != plain.get(name))
    if more:
        raise ValueError(
            f"The adapter {adapter} has settings that two matrices do not hold ({', '.join(more)}); merge it, and keep the model."
        )


def _following(adapter: Path, named: str | None, before: Path, vlm: VLM) -> str:
    """What an adapter without a hash has to name as its base: the merged model beside the adapter before it."""
    if not named or not _same_folder(named, str(before.parent / "merged")):
        raise ValueError(
            f"The adapter {adapter} does not say that it was trained after {before}: it names {named!r} as its base, and not "
            f"{str(before.parent / 'merged')!r}. Give the adapters in the order of their trainings."
        )
    return vlm.name


def _added(vlm: VLM, adapter: Path) -> tuple[LlavaForConditionalGeneration, Change]:
    """The weights with an adapter added, in their own dtype, and what was added."""
    dtype = vlm.model.dtype
    # added up in float32: a small change would be lost in bfloat16 before it is rounded once
    adapted = weights.add_adapter(vlm.model.float(), adapter)
    change = _change(adapted)
    merged: LlavaForConditionalGeneration = weights.merged(adapted).to(dtype)  # transformers' own `to` has no type
    return merged, change


def _change(adapted: PeftModel) -> Change:
    return {
        name: (
            layer.lora_A["default"].weight.detach().clone(),
            layer.scaling["default"] * layer.lora_B["default"].weight.detach(),
        )
        for name, layer in adapted.named_modules()
        if isinstance(layer, LoraLayer)
    }


def _check_base(vlm: VLM, adapter: Path, named: str | None) -> None:
    """An adapter belongs to the weights whose hash lies beside it, or else, if another library wrote it, to those it names."""
    if not (adapter / BASE).is_file():
        own = {vlm.name, str(vlm.model.config._name_or_path)}
        if not named:
            raise ValueError(
                f"The adapter {adapter} names no base; write base_model_name_or_path into its adapter_config.json."
            )
        if named not in own and not any(_same_folder(named, name) for name in own):
            raise ValueError(
                f"The adapter {adapter} names {named!r} as its base, not {vlm.name!r}; give that one, or, if both are the same "
                "weights, correct base_model_name_or_path in its adapter_config.json."
            )
        return
    try:
        wanted = json.loads((adapter / BASE).read_text(encoding="utf-8"))
        dtype = getattr(torch, wanted["dtype"].removeprefix("torch."))
        vlm.model.to(dtype)
        same = reference_cache.key(vlm.model, vlm.processor)["model"] == wanted["model"]
        edited = wanted.get("adapter_config") not in (None, weights.config_digest(adapter))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{adapter / BASE} is damaged ({error}); copy it again.") from error
    if edited:
        raise ValueError(f"{adapter / 'adapter_config.json'} is not as the training wrote it; copy the adapter again.")
    if not same:
        raise ValueError(
            f"The adapter {adapter} was trained on other weights than those of {vlm.name!r}; give its own base."
        )


def _same_folder(one: str, other: str) -> bool:
    return Path(one).is_dir() and Path(other).is_dir() and Path(one).samefile(other)
