"""Weights on their way in: nothing missing, nothing unexpected, nothing of another shape, and no number that no training gives.

All ways in come through here: models, adapters, the stages of the pocket model, and the checkpoints of a training. What the
libraries below tell in a warning, and then go on with parts drawn by chance, is an error here.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

LARGEST = 1e4  # in size; those of trained models lie below some hundreds
ADAPTER = "adapter_model.safetensors"
_BUFFERS = ("position_ids", "inv_freq")  # in old checkpoints; a model makes them anew
_SHOWN = 3  # names in one fault


def refuse(what: str | Path, faults: Iterable[str], remedy: str) -> None:
    """Raise the ``ValueError`` about weights that have these faults, if there are any."""
    if said := "; ".join(faults):
        raise ValueError(f"{what} cannot be used: {said}. {remedy}")


def name_faults(missing: Iterable[str], unexpected: Iterable[str], kind: str = "tensors") -> list[str]:
    """What is said of names that a model wants and that are not there, and of names that it has no place for."""
    found = []
    if absent := sorted(missing):
        found.append(f"{len(absent)} {kind} are missing ({_few(absent)}), so these parts would be drawn by chance")
    if more := sorted(name for name in unexpected if not name.endswith(_BUFFERS)):
        found.append(f"{len(more)} {kind} have no place in the model ({_few(more)})")
    return found


def shape_faults(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What is said of tensors that both have in another shape."""
    other = [name for name in sorted(wanted.keys() & found.keys()) if wanted[name].shape != found[name].shape]
    shown = _few([f"{name}: {tuple(found[name].shape)} for {tuple(wanted[name].shape)}" for name in other])
    return [f"{len(other)} tensors have another shape ({shown})"] if other else []


def value_faults(tensors: Mapping[str, Tensor], largest: float = LARGEST) -> list[str]:
    """What is said of tensors with numbers that are not finite, or so large (in size) that no training gives them."""
    broken, large = [], []
    for name, tensor in sorted(tensors.items()):
        if tensor.is_floating_point() and tensor.numel():
            low, high = (float(bound) for bound in tensor.detach().aminmax())  # NaN comes through
            if not (low > float("-inf") and high < float("inf")):
                broken.append(name)
            elif max(-low, high) > largest:
                large.append(f"{name}: {max(-low, high):.3g}")
    found = [f"{len(broken)} weights are not finite ({_few(broken)})"] if broken else []
    return found + ([f"{len(large)} weights hold numbers beyond {largest:g} ({_few(large)})"] if large else [])


def idle_faults(tensors: Mapping[str, Tensor]) -> list[str]:
    """What is said of matrices of nothing but zeros, which do nothing; a vector, such as a bias, may be that."""
    idle = [name for name, t in sorted(tensors.items()) if t.is_floating_point() and t.ndim > 1 and not bool(t.any())]
    return [f"{len(idle)} of {len(tensors)} tensors are matrices of zeros ({_few(idle)})"] if idle else []


def file_faults(folder: Path) -> list[str]:
    """What is said of a model's files: weights that are no floating-point numbers, and a tensor that two files hold. Only the heads
    of the files are read; what is damaged is left to the loading."""
    held = _heads(folder)
    twice = sorted(name for name, count in Counter(name for name, _ in held).items() if count > 1)
    whole = [f"{name}: {kind}" for name, kind in sorted(set(held)) if not kind.startswith(("F", "BF"))]
    found = [f"{len(twice)} tensors stand in more than one file ({_few(twice)})"] if twice else []
    return found + (
        [f"{len(whole)} weights are no floating-point numbers ({_few(whole)})"]
        if whole and not _quantised(folder)
        else []
    )


def _heads(folder: Path) -> list[tuple[str, str]]:
    """Name and type of each tensor of a model's files, but for those that a model makes anew; [] if one is damaged."""
    single, held = folder / "model.safetensors", list[tuple[str, str]]()
    for path in [single] if single.is_file() else sorted(folder.glob("model-*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                held += [(name, str(file.get_slice(name).get_dtype())) for name in file.keys()]  # noqa: SIM118 no mapping
        except (SafetensorError, OSError):
            return []
    return [(name, kind) for name, kind in held if not name.endswith(_BUFFERS)]


def _quantised(folder: Path) -> bool:
    return "quantization_config" in (folder / "config.json").read_text(encoding="utf-8", errors="replace")


def _names_twice(folder: Path, model: LlavaForConditionalGeneration) -> list[str]:
    held = _heads(folder)
    if not held or _quantised(folder):
        return []
    places = len({tensor.data_ptr() or id(tensor) for tensor in model.state_dict().values()})  # tied ones have one
    # transformers ties a head only to embeddings that it equals, so that its copy in the file is no other tensor
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    return _name_twice(len(held) - (tied and any(name.endswith("lm_head.weight") for name, _ in held)), places)


def _name_twice(found: int, wanted: int) -> list[str]:
    """What is said of files with more tensors than a model has, though it knows every name: of two, one would win by chance."""
    return [f"{found} tensors are there for {wanted} places, so that some have two names"] if found > wanted else []


def read(path: Path, largest: float = LARGEST) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ``ValueError`` if it is not there, damaged, or holds impossible numbers."""
    if not path.is_file():
        raise ValueError(f"{path} is not there; give the folder that a training wrote.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({_first_line(error)}); copy it again, or make it again.") from error
    refuse(path, value_faults(tensors, largest), "Copy it again, or train again.")
    return tensors


def load_model(where: str, **how: Any) -> LlavaForConditionalGeneration:
    """A LLaVA from a folder or hub id, as ``from_pretrained`` loads it with ``how``.

    Raises ``ValueError`` for files that are missing or damaged, and if any tensor is missing, unexpected, of another shape,
    of whole numbers, in two files, under two names, a matrix of zeros, or holds impossible numbers.
    """
    wanted = "Give a whole LLaVA in transformers' layout, such as llava-hf/llava-1.5-7b-hf."
    refuse(f"The model {where!r}", file_faults(Path(where)), wanted)
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # so that all is told, and nothing is printed
    try:
        model, info = LlavaForConditionalGeneration.from_pretrained(
            where, use_safetensors=True, trust_remote_code=False, **how, **told
        )
    except torch.OutOfMemoryError:
        raise
    except (
        OSError,
        SafetensorError,
        ImportError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"The weights of {where!r} cannot be read ({_first_line(error)}); copy or download them again."
        ) from error
    other = [f"{name}: {tuple(found)} for {tuple(wanted)}" for name, found, wanted in sorted(info["mismatched_keys"])]
    faults = name_faults(info["missing_keys"], info["unexpected_keys"])
    faults += [f"{len(other)} tensors have another shape ({_few(other)})"] if other else []
    if not faults:
        faults = value_faults(model.state_dict()) or idle_faults(model.state_dict())
        faults += _names_twice(Path(where), model)
    refuse(f"The model {where!r}", faults, wanted)
    return model


def add_adapter(model: LlavaForConditionalGeneration, folder: Path) -> PeftModel:
    """The model with a LoRA adapter from a folder, frozen; the model itself is changed.

    Raises ``ValueError`` if the adapter's files are missing or damaged, it is no LoRA adapter, or any of its tensors is missing,
    unexpected, of another shape, no part of an adapter, of zeros alone, or holds impossible numbers.
    """
    config = read_config(folder)
    tensors = read(folder / ADAPTER)
    remedy = "Give the adapter's own base, or train again."
    foreign = [name for name in tensors if ".lora_" not in name]  # PEFT would put these over the model's own weights
    faults = name_faults((), foreign, "tensors that are no LoRA matrices") or idle_faults(tensors)
    if config.lora_alpha <= 0:
        faults.append(f"lora_alpha is {config.lora_alpha}, where a training has more than 0")
    refuse(folder / ADAPTER, faults, remedy)
    config.base_model_name_or_path = None  # PEFT would warn that it is renamed
    try:
        adapted = get_peft_model(model, config)
        found = adapted.load_adapter(str(folder), "default")
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The adapter {folder} does not fit the model ({_first_line(error)}). {remedy}") from error
    places = sum(".lora_" in name for name, _ in adapted.named_parameters())
    faults = name_faults(found.missing_keys, found.unexpected_keys) or _name_twice(len(tensors), places)
    refuse(f"The adapter {folder}", faults, remedy)
    return adapted


def read_config(folder: Path) -> LoraConfig:
    """An adapter's settings. Raises ``ValueError`` if its file is missing or damaged, or it is no LoRA adapter."""
    if not (folder / "adapter_config.json").is_file():
        raise ValueError(f"{folder} holds no adapter_config.json; give the folder that a training wrote.")
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"adapter_config.json cannot be read ({_first_line(error)}); copy it again, or train again."
        raise ValueError(f"{folder}: {said}") from error
    if not isinstance(config, LoraConfig):
        raise ValueError(f"{folder} holds a {type(config).__name__}; only LoRA adapters are read here.")
    return config


def config_digest(folder: Path) -> str:
    """Of an adapter's settings as its file holds them, whatever it calls its base."""
    found = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    text = json.dumps(
        {name: value for name, value in found.items() if name != "base_model_name_or_path"}, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def merged(adapted: PeftModel) -> LlavaForConditionalGeneration:
    """The base with its adapter added. Raises ``ValueError`` if that gives impossible numbers."""
    model = adapted.merge_and_unload()
    assert isinstance(model, LlavaForConditionalGeneration)
    refuse("The merged model", value_faults(model.state_dict()), "The adapter is damaged, or belongs to another base.")
    return model


def fill(model: nn.Module, path: Path, wanted: Iterable[str] | None = None) -> None:
    """Put the tensors of a file into a model. ``wanted``: the names that the file must hold, and no others; default all of the
    model's parameters.

    Raises ``ValueError`` if the file is damaged, or any tensor is missing, unexpected, of another shape or impossible.
    """
    tensors, own = read(path), model.state_dict()
    names = {name for name, _ in model.named_parameters()} if wanted is None else set(wanted)
    faults = name_faults(names - tensors.keys(), tensors.keys() - names) + shape_faults(own, tensors)
    refuse(path, faults, "Delete the file, and it is made again.")
    model.load_state_dict(tensors, strict=False)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
