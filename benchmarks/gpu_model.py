"""What ``gpu.py`` measures: a LLaVA of random weights under TRL's trainer, and the steps of everyone on its model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LlavaForConditionalGeneration
from trl import DPOConfig, DPOTrainer

from benchmarks.training import NOISE
from povid_lib import models
from povid_lib.pocket import architecture
from povid_lib.training import noised_cache, objectives, pair_scores, reference_cache, unpadded
from povid_lib.training.collator import Batch, PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig

_TEXT: dict[str, Any] = {"objective": "dpo", "dispreference": "text", "beta": 0.1}
_RELEASED: dict[str, Any] = {
    "objective": "povid_mean", "dispreference": "both", "beta": 0.1, **NOISE, "noise_place": "pixel_values",
    "reference_tokens": "own",
}  # fmt: skip
_PLAIN = {"cache_reference": False, "shared_prefix": False}  # TRL's way
WAYS = {
    "text, plain": _TEXT | _PLAIN,
    "text, dense": _TEXT,
    "text, unpadded": _TEXT | {"unpadded": True},
    "released, plain": _RELEASED | _PLAIN,
    "released, dense": _RELEASED,
    "released, unpadded": _RELEASED | {"unpadded": True},
}


def settings_of(on_cpu: bool) -> dict[str, POVIDConfig]:
    """Of every way. To be made before any trainer: making settings resets what accelerate knows of the machine."""
    return {name: POVIDConfig(output_dir="unused", use_cpu=on_cpu, bf16=False, **own) for name, own in WAYS.items()}


@dataclass(frozen=True)
class Shape:
    """Sizes of a model and what is tried on it. ``vision``: width, layers, pixels a side, patch."""

    width: int = 4096
    hidden: int = 11008
    layers: int = 32
    heads: int = 32
    vocabulary: int = 32064
    vision: tuple[int, int, int, int] = (1024, 24, 336, 14)
    rank: int = 128
    batches: tuple[int, ...] = (1, 4, 8, 16)
    product: int = 8192
    size: str = "medium"  # of the texts, see ``training.rows_of``


TINY = Shape(64, 160, 2, 2, 2048, (64, 3, 96, 16), 8, (1, 4), 512, "pocket")


@dataclass(frozen=True)
class Bench:
    """What the parts share. ``trl``: its trainer, whose model with adapters is everyone's."""

    shape: Shape
    device: torch.device
    dtype: torch.dtype
    trl: DPOTrainer
    rows: Any
    collator: PairCollator
    settings: dict[str, POVIDConfig]
    out: Path
    until: float

    @property
    def model(self) -> Any:
        return self.trl.model

    def row(self, part: str, name: str, **found: Any) -> None:
        line = {"part": part, "name": name, "left": round(self.until - time.monotonic()), **found}
        print(json.dumps(line), flush=True)
        with self.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def in_time(self, part: str, name: str, seconds: float = 5.0) -> bool:
        if enough := time.monotonic() + seconds < self.until:
            return enough
        self.row(part, name, left_out="no time")
        return enough


def model_of(shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[LlavaForConditionalGeneration, Any]:
    """Random weights of the shape, made where they are used, and a processor for them."""
    processor = models.load("pocket", device="cpu").processor
    width, layers, side, patch = shape.vision
    processor.patch_size = patch
    processor.image_processor.size = {"height": side, "width": side}
    config = architecture.llava_config(shape.vocabulary, width=shape.width, layers=shape.layers)
    text = config.text_config
    text.intermediate_size, text.num_attention_heads, text.num_key_value_heads = shape.hidden, shape.heads, shape.heads
    text.head_dim, text.max_position_embeddings, text.initializer_range = shape.width // shape.heads, 4096, 0.02
    text.tie_word_embeddings = config.tie_word_embeddings = False
    config.vision_config = architecture.clip_config(shape.vocabulary, width=width, layers=layers).vision_config
    config.vision_config.image_size, config.vision_config.patch_size = side, patch
    config.image_seq_length = (side // patch) ** 2
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlavaForConditionalGeneration(config), processor
    finally:
        torch.set_default_dtype(before)


def bench_of(shape: Shape, device: torch.device, dtype: torch.dtype, data: Any, folder: Path, **own: Any) -> Bench:
    """A model of the shape under TRL's trainer, with adapters that do something."""
    model, processor = model_of(shape, device, dtype)
    theirs = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(folder), report_to=[], use_cpu=device.type == "cpu", bf16=dtype == torch.bfloat16, max_length=None
        ),
        train_dataset=data,
        processing_class=processor,
        peft_config=LoraConfig(r=shape.rank, lora_alpha=2 * shape.rank, target_modules=LANGUAGE_MODEL_LAYERS),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in theirs.model.named_parameters():
            if "lora_B" in name:
                p += 0.01 * torch.randn(p.shape, generator=generator).to(p)
    text = model.config.text_config
    unpadded.prepare(model)
    theirs.model.train()
    found = Bench(shape, device, dtype, theirs, data, PairCollator(processor), **own)
    try:
        unpadded.check_device(device, dtype, text.head_dim)
    except ValueError as error:  # the rest can be measured
        found.row("environment", "unpadded", left_out=str(error))
        return replace(found, settings={name: of for name, of in found.settings.items() if "unpadded" not in name})
    return found


def batch_of(bench: Bench, n: int) -> Batch:
    made = bench.collator([bench.rows[at] for at in range(n)])
    found: Batch = bench.trl._prepare_inputs(made)
    return found | {"pixel_values": found["pixel_values"].to(bench.dtype)}


def trl_step(bench: Bench, n: int) -> Callable[[], Tensor]:
    """TRL's loss of the first rows."""
    kept = [{k: bench.rows[at][k] for k in ("images", "prompt", "chosen", "rejected")} for at in range(n)]
    inputs = bench.trl._prepare_inputs(bench.trl.data_collator(kept))
    return lambda: bench.trl.compute_loss(bench.model, inputs)


def our_step(bench: Bench, n: int, name: str) -> tuple[Callable[[], Tensor], float]:
    """Our loss of the first rows by the settings of this name, and the seconds that the reference's caches took for them."""
    args = bench.settings[name]
    batch, key = batch_of(bench, n), {"model": "random"}
    wanted = args.caches_hidden, False, args.shared_prefix, args.unpadded
    readers = [reference_cache.clear(key, *wanted)[1]]
    if args.caches_noised:
        readers.append(noised_cache.noised(key, args, bench.collator.processor, 0)[1])
    start = now(bench)
    with bench.trl.compute_loss_context_manager():
        held = [read(bench.model, batch) for read in readers] if args.cache_reference else []
    seconds = now(bench) - start
    stacked = [
        {k: pad_sequence(v, batch_first=True) if k == "hidden" else torch.stack(v) for k, v in found.items()} for found in held
    ]  # fmt: skip
    cached = reference_cache.Cached(**stacked[0]) if stacked else None
    noised = pair_scores.CachedNoised(**stacked[1]) if len(stacked) > 1 else None
    both = pair_scores.Models(bench.model, bench.model)

    def step() -> Tensor:
        policy, reference, _ = pair_scores.pair_logps(both, batch, args, bench.collator.processor, 0, cached, noised)
        lengths = batch["chosen"]["mask"].sum(1)
        return objectives.evaluate(args.row, args.coefficients, policy, reference, lengths)[0]

    return step, seconds if held else 0.0


def now(bench: Bench) -> float:
    if bench.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def taken(bench: Bench, step: Callable[[], Tensor]) -> float:
    """Seconds of one step; its gradients are left."""
    bench.model.zero_grad()
    start = now(bench)
    with bench.trl.compute_loss_context_manager():
        loss = step()
    loss.backward()
    return now(bench) - start
