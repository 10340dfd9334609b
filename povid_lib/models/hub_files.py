"""Writing a model as llava-hf/llava-1.5-7b-hf is written, so that older libraries read it as well as today's.

What transformers 5 writes by itself, transformers 4 cannot read: it names the vision tower's tensors otherwise (version 4 finds
none of them, warns, and goes on with eyes drawn by chance), keeps the image processor's settings in another file, and names a
class of tokenizer that version 4 has not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration, LlavaProcessor

INDEX = "model.safetensors.index.json"
_TOWER, _HUB_TOWER = "vision_tower.", "vision_tower.vision_model."


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write a model and its processor to a folder: weights under the hub's names, config.json, the template, the tokenizer and
    preprocessor_config.json, for transformers 4.57 as well as 5."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)  # preprocessor_config.json, where version 4 looks
    for shard in sorted(folder.glob("*.safetensors")):
        _rename(shard)
    if (folder / INDEX).is_file():
        index = _read(folder / INDEX)
        _write(
            folder / INDEX, index | {"weight_map": {hub_name(name): file for name, file in index["weight_map"].items()}}
        )
    _older_tokenizer(folder / "tokenizer_config.json")
    _older_rope(folder / "config.json")


def hub_name(name: str) -> str:
    """A tensor's name as the hub's files have it."""
    if name.startswith(_TOWER) and not name.startswith(_HUB_TOWER):
        return _HUB_TOWER + name.removeprefix(_TOWER)
    return name


def _rename(shard: Path) -> None:
    with safe_open(shard, "pt") as file:
        meta, names = file.metadata(), list(file.keys())
    if any(hub_name(name) != name for name in names):
        part = shard.with_suffix(".part")  # never over a file that is still mapped into memory
        save_file({hub_name(name): tensor for name, tensor in load_file(shard).items()}, part, meta)
        part.replace(shard)


def _older_tokenizer(path: Path) -> None:
    found = _read(path)
    if (
        found.get("tokenizer_class") == "TokenizersBackend"
    ):  # version 5's own name for a tokenizer that is all in its file
        found["tokenizer_class"] = "PreTrainedTokenizerFast"
        found["model_input_names"] = [
            "input_ids",
            "attention_mask",
        ]  # version 4 would give token types, which no LLaVA takes
    if found.get("extra_special_tokens") == []:
        del found["extra_special_tokens"]  # a mapping in version 4
    _write(path, found)


def _older_rope(path: Path) -> None:
    found = _read(path)
    text = found.get("text_config", {})
    if "rope_theta" in (rope := text.get("rope_parameters") or {}):
        text["rope_theta"] = rope["rope_theta"]  # version 4 knows no rope_parameters, and would take its default
    _write(path, found)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
