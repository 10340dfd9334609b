"""The pocket model as one small file, so that a page can run it in the reader's browser with no kernel and no network.

The file is a safetensors file: a header of JSON, then raw numbers. Vectors are float32. A matrix ``NAME`` is int16 with one float32
``NAME.scale`` a row, and where 16 bits move the logits most a ``NAME.fine`` in int8 adds eight more:
``weight[i] = (256 * NAME[i] + NAME.fine[i]) * NAME.scale[i]``. What ``widgets/engine.js`` needs besides, the sizes of the
architecture, the tokenizer and the chat template, is JSON text under "povid" in the header's metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from povid_lib.files.jsonl import replacing
from povid_lib.models import weights
from povid_lib.models.llava import VLM, chat, encode
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import PROMPT
from povid_lib.world.scenes import scenes

FORMAT = "povid-pocket 1"
MODEL, DIFFERENCE = "pocket.safetensors", "pocket_povid.safetensors"
TOLERANCE = 1e-3  # largest difference of a logit from PyTorch's that is accepted
LARGEST = 7_900_000  # bytes of the model's file
_ROUNDED = (32_767, 256)  # steps of the int16 on either side of zero, and of the int8 within one of them


def export(vlm: VLM, folder: Path) -> Path:
    """Write ``pocket.safetensors``, and return its path.

    Raises ``ValueError`` for a model that the page's engine does not know, and ``RuntimeError`` if the numbers that the file can
    hold move any logit by more than ``TOLERANCE``: nothing wrong is ever published.
    """
    folder.mkdir(parents=True, exist_ok=True)  # before anything is computed
    meta = {"format": FORMAT, **architecture(vlm), "tokenizer": _tokenizer(vlm)}
    own = _own_tensors(vlm, meta["vision"]["layers"])
    matrices = {name: tensor for name, tensor in own.items() if tensor.ndim > 1}
    room = LARGEST - sum(t.numel() * 2 + t.shape[0] * 4 for t in matrices.values()) - len(json.dumps(meta)) - 50_000
    fine = _most_moving(vlm, matrices, room)
    kept = own | {name: restored(*stored(tensor, name in fine)) for name, tensor in matrices.items()}
    worst = float((logits(vlm, "test", kept) - logits(vlm, "test", {})).abs().max())
    if not worst <= TOLERANCE:
        raise RuntimeError(
            f"The file's logits differ from PyTorch's by {worst:.2g} (accepted: {TOLERANCE}); not written."
        )
    tensors = {name: tensor for name, tensor in own.items() if tensor.ndim == 1}
    for name, tensor in matrices.items():
        tensors |= _named(name, tensor, name in fine)
    return _write(folder / MODEL, tensors, meta | {"rounding": worst})


def export_adapter(adapter: Path, folder: Path) -> Path:
    """Write a LoRA adapter's matrices as ``pocket_povid.safetensors``: what a training added to the model, for the same engine.

    Raises ``ValueError`` for an adapter that is not whole (see ``weights``), or is more than matrices A and B on the language
    model's linear layers.
    """
    config = weights.read_config(adapter)
    other = [name for name in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save") if getattr(config, name)]
    found = {
        n.removeprefix("base_model.model.model."): t.float() for n, t in weights.read(adapter / weights.ADAPTER).items()
    }
    other += [n for n in found if not re.fullmatch(r"language_model\.layers\.\d+\.\w+\.\w+_proj\.lora_[AB]\.weight", n)]
    if other:
        raise ValueError(
            f"The adapter {adapter} holds {', '.join(other[:3])}; the page's engine knows plain LoRA matrices only."
        )
    tensors: dict[str, Tensor] = {}
    for name, tensor in found.items():
        tensors |= _named(name, tensor, fine=False)
    share = config.lora_alpha / (config.r**0.5 if config.use_rslora else config.r)
    return _write(folder / DIFFERENCE, tensors, {"format": FORMAT, "scale": share})


def architecture(vlm: VLM) -> dict[str, Any]:
    """The sizes that the engine reads from the header. Raises ``ValueError`` for what the engine does not compute."""
    config, processor = vlm.model.config, vlm.processor.image_processor
    vision, text = config.vision_config, config.text_config
    known = {
        "vision_config.hidden_act": (vision.hidden_act, "quick_gelu"),
        "projector_hidden_act": (config.projector_hidden_act, "gelu"),
        "text_config.hidden_act": (text.hidden_act, "silu"),
        "text_config.attention_bias": (text.attention_bias, False),
        "text_config.mlp_bias": (text.mlp_bias, False),
        "text_config.rope_type": (text.rope_parameters["rope_type"], "default"),
        "tie_word_embeddings": (text.tie_word_embeddings, True),
        "vision_feature_select_strategy": (config.vision_feature_select_strategy, "default"),
        "processor.size": (dict(processor.size), {"height": vision.image_size, "width": vision.image_size}),
    }
    other = [f"{name} is {got!r} (known: {want!r})" for name, (got, want) in known.items() if got != want]
    if other:
        raise ValueError(f"The page's engine does not know this model: {'; '.join(other)}.")
    layer = config.vision_feature_layer
    return {
        "vision": {
            "layers": layer if layer >= 0 else vision.num_hidden_layers + 1 + layer,
            "hidden": vision.hidden_size, "heads": vision.num_attention_heads, "eps": vision.layer_norm_eps,
            "side": vision.image_size, "patch": vision.patch_size,
            "rescale": processor.rescale_factor, "mean": list(processor.image_mean), "std": list(processor.image_std),
        },
        "text": {
            "layers": text.num_hidden_layers, "hidden": text.hidden_size, "heads": text.num_attention_heads,
            "kv_heads": text.num_key_value_heads, "head": text.head_dim, "eps": text.rms_norm_eps,
            "theta": text.rope_parameters["rope_theta"], "positions": text.max_position_embeddings,
        },
        "image_token": config.image_token_id, "end_token": text.eos_token_id,
    }  # fmt: skip


def _tokenizer(vlm: VLM) -> dict[str, Any]:
    """Byte-level BPE: tokens as the file of the tokenizer spells them, merges in order, the template around one question."""
    tokenizer = vlm.processor.tokenizer
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = [token for token, _ in sorted(bpe["model"]["vocab"].items(), key=lambda pair: pair[1])]
    before, after = chat(vlm, "\x00").split("\x00")
    return {
        "tokens": tokens,
        "special": [added["content"] for added in bpe["added_tokens"]],
        "merges": [" ".join(pair) for pair in bpe["model"]["merges"]],
        "before": before.replace(
            vlm.processor.image_token, vlm.processor.image_token * vlm.model.config.image_seq_length
        ),
        "after": after,
    }


def _own_tensors(vlm: VLM, layers: int) -> dict[str, Tensor]:
    """What a forward pass reads, float32, by its name in transformers without the first "model."."""
    unread = re.compile(r"lm_head|vision_tower\.post_layernorm|vision_tower\.encoder\.layers\.(\d+)")
    own = {}
    for name, tensor in vlm.model.state_dict().items():
        match = unread.search(name)
        if match is None or (match[1] is not None and int(match[1]) < layers):
            own[name.removeprefix("model.")] = tensor.detach().float().cpu()
    return own


def stored(matrix: Tensor, fine: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """A matrix (rows, ...) as the file has it: int16 of its shape, float32 scales (rows,), and int8 of its shape or None."""
    steps, parts = _ROUNDED
    rows = matrix.reshape(matrix.shape[0], -1).double()
    scale = (rows.abs().amax(1) / (steps * parts)).float()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    units = rows / scale.double()[:, None]
    if not fine:
        return (units / parts).round().to(torch.int16).reshape(matrix.shape), scale, None
    whole = units.round()
    coarse = torch.floor((whole + parts // 2) / parts)
    rest = (whole - coarse * parts).to(torch.int8)
    return coarse.to(torch.int16).reshape(matrix.shape), scale, rest.reshape(matrix.shape)


def restored(coarse: Tensor, scale: Tensor, rest: Tensor | None) -> Tensor:
    """What the engine makes of it, float32."""
    units = coarse.double() * _ROUNDED[1] + (0 if rest is None else rest.double())
    return (units * scale.double().reshape(-1, *[1] * (coarse.ndim - 1))).float()


def _named(name: str, matrix: Tensor, fine: bool) -> dict[str, Tensor]:
    coarse, scale, rest = stored(matrix, fine)
    return {name: coarse, f"{name}.scale": scale} | ({} if rest is None else {f"{name}.fine": rest})


def _most_moving(vlm: VLM, matrices: Mapping[str, Tensor], room: int) -> set[str]:
    """The matrices whose rounding to 16 bits moves the logits most for their size, as many as there is room for, in bytes."""
    exact = logits(vlm, "validation", {})
    moved = {
        name: float((logits(vlm, "validation", {name: restored(*stored(m, False))}) - exact).square().sum()) / m.numel()
        for name, m in matrices.items()
    }
    chosen: set[str] = set()
    for name in sorted(moved, key=lambda n: -moved[n]):
        if matrices[name].numel() <= room:
            chosen.add(name)
            room -= matrices[name].numel()
    return chosen


@torch.inference_mode()
def logits(vlm: VLM, split: str, instead: Mapping[str, Tensor], n: int = 4) -> Tensor:
    """Logits on captions of a split's first scenes, the model's tensors replaced by ``instead``: float32 (tokens, vocabulary).

    Of the text's tokens: what stands at a picture's tokens predicts nothing, and is read by nobody.
    """
    rng = np.random.default_rng(0)
    shown = list(scenes(n, split=split))
    texts = [f"{chat(vlm, PROMPT)} {true_caption(scene, rng)}" for scene in shown]
    batch = encode(vlm, [scene.image() for scene in shown], texts)
    given = {f"model.{name}": tensor.to(vlm.device) for name, tensor in instead.items()}
    out = torch.func.functional_call(vlm.model, given, kwargs=dict(batch), tie_weights=True)
    read = batch["attention_mask"].bool() & (batch["input_ids"] != vlm.model.config.image_token_id)
    return out.logits[read].float().cpu()


def _write(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"povid": json.dumps(meta)})
    with replacing(path) as part:
        part.write_bytes(content)
    return path
