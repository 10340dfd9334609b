"""LLaVA-1.5-7B's shape on one GPU: equal gradients, memory, pairs a second, the share of what the card can do, the paper's run.

    python benchmarks/gpu.py [--tiny] [--seconds 420] [--out gpu.jsonl]

Random weights, no network. ``gpu.sh`` brings the packages that the machine lacks. Every part prints its rows, and adds them to the
file, before the next begins; what the time does not allow is said and left out. ``--tiny`` is a shape to try the script on a CPU.

A step is loss and gradients of one batch, without the optimiser's, which is the same for all. TRL's is its own ``compute_loss``,
with a second pass for its reference; ours has the reference cached, and what that takes stands in the row as a rate of its own.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LlavaForConditionalGeneration
from trl import DPOConfig, DPOTrainer

from benchmarks.training import NOISE, gradients, rows_of
from povid_lib import models
from povid_lib.data import trl_dataset
from povid_lib.pocket import architecture
from povid_lib.training import noised_cache, objectives, pair_scores, reference_cache, unpadded
from povid_lib.training.collator import Batch, PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig

PAIRS, EPOCHS = 17_184, (3, 1)  # the paper's: of text, of both
GOALS = {"times TRL's default": 3.0, "times TRL's best": 2.4, "pairs a second": 10.0, "minutes": 90.0}
NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.05}  # a gradient's difference, in units of its norm
TEXT: dict[str, Any] = {"objective": "dpo", "dispreference": "text", "beta": 0.1}
RELEASED: dict[str, Any] = {
    "objective": "povid_mean", "dispreference": "both", "beta": 0.1, **NOISE, "noise_place": "pixel_values",
    "reference_tokens": "own",
}  # fmt: skip


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
    unpadded.check_device(device, dtype, text.head_dim)
    unpadded.prepare(model)
    theirs.model.train()
    return Bench(shape, device, dtype, theirs, data, PairCollator(processor), **own)


# --- steps -------------------------------------------------------------------------------------------------------


def batch_of(bench: Bench, n: int) -> Batch:
    made = bench.collator([bench.rows[at] for at in range(n)])
    found: Batch = bench.trl._prepare_inputs(made)
    return found | {"pixel_values": found["pixel_values"].to(bench.dtype)}  # type: ignore[return-value]


def trl_step(bench: Bench, n: int) -> Callable[[], Tensor]:
    """TRL's loss of the first rows."""
    kept = [{k: bench.rows[at][k] for k in ("images", "prompt", "chosen", "rejected")} for at in range(n)]
    inputs = bench.trl._prepare_inputs(bench.trl.data_collator(kept))
    return lambda: bench.trl.compute_loss(bench.model, inputs)


def our_step(bench: Bench, n: int, own: dict[str, Any]) -> tuple[Callable[[], Tensor], float]:
    """Our loss of the first rows, and the seconds that the reference's caches took for them."""
    args = POVIDConfig(output_dir="unused", use_cpu=bench.device.type == "cpu", bf16=False, **own)
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

    return step, seconds


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


# --- parts -------------------------------------------------------------------------------------------------------


def environment(bench: Bench) -> None:
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "trl", "peft")}
    card: dict[str, Any] = {"card": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    if bench.device.type == "cuda":
        seen = torch.cuda.get_device_properties(bench.device)
        card = {"card": seen.name, "gib": round(seen.total_memory / 2**30, 1), "capability": [seen.major, seen.minor]}
    bench.row("environment", "machine", **card, **versions, python=platform.python_version(), dtype=str(bench.dtype))


def ceiling(bench: Bench) -> float:
    """TFLOP/s of one large matrix product in the model's type."""
    n = bench.shape.product
    a, b = (torch.randn(n, n, device=bench.device).to(bench.dtype) for _ in range(2))
    times = []
    for _ in range(8):
        start = now(bench)
        a @ b
        times.append(now(bench) - start)
    found = 2 * n**3 / statistics.median(times[2:]) / 1e12
    bench.row("ceiling", f"{n} x {n} x {n}", tflops=found)
    return found


def equality(small: Bench) -> None:
    """The gradients of every way to one loss, on two layers of the full width. Raises ``AssertionError`` where they differ."""
    ways = {
        "TRL": trl_step(small, 2),
        "plain": our_step(small, 2, TEXT | {"cache_reference": False, "shared_prefix": False})[0],
        "dense": our_step(small, 2, TEXT)[0],
        "unpadded": our_step(small, 2, TEXT | {"unpadded": True})[0],
        "released, plain": our_step(small, 2, RELEASED | {"cache_reference": False, "shared_prefix": False})[0],
        "released, unpadded": our_step(small, 2, RELEASED | {"unpadded": True})[0],
    }
    found = {}
    for name, step in ways.items():
        taken(small, step)
        found[name] = gradients(small.model).double()
    for name, gradient in found.items():
        truth = found["released, plain" if name.startswith("released") else "TRL"]
        apart, size = float((gradient - truth).norm()), float(truth.norm())
        small.row("equality", name, dtype=str(small.dtype), difference=apart / size, norm=size)
        if not (size > 0 and apart <= NEAR[small.dtype] * size):
            raise AssertionError(f"The gradient of {name!r} differs by {apart / size:.3g} of its norm.")


def steps_of(bench: Bench) -> Iterator[tuple[str, int, bool, Callable[[], tuple[Callable[[], Tensor], float]]]]:
    """Name, rows, whether layers are computed twice (checkpointing), and what makes the step."""
    theirs = bench.shape.batches[0]
    yield "TRL's default", theirs, True, lambda: (trl_step(bench, theirs), 0.0)
    for n in bench.shape.batches:
        yield f"TRL without checkpointing, {n}", n, False, lambda n=n: (trl_step(bench, n), 0.0)
    for layout, own in (("unpadded", {"unpadded": True}), ("dense", {})):
        for n in bench.shape.batches:
            yield f"text, {layout}, {n}", n, False, functools.partial(our_step, bench, n, TEXT | own)
    plain = {"cache_reference": False, "shared_prefix": False}
    most = bench.shape.batches[-2]
    yield "released, TRL's way", 1, True, functools.partial(our_step, bench, 1, RELEASED | plain)
    for n in (1, most):
        yield f"released, unpadded, {n}", n, False, functools.partial(our_step, bench, n, RELEASED | {"unpadded": True})
    yield (
        f"text, unpadded, checkpointing, {most}",
        most,
        True,
        functools.partial(our_step, bench, most, TEXT | {"unpadded": True}),
    )


def speed(bench: Bench, most: float, repeats: int = 3) -> dict[str, float]:
    """Peak memory and pairs a second of every way that fits, and the share of the card's ceiling."""
    rate: dict[str, float] = {}
    for name, n, twice, make in steps_of(bench):
        if not bench.in_time("speed", name):
            continue
        switch = bench.model.gradient_checkpointing_enable if twice else bench.model.gradient_checkpointing_disable
        switch()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            step, cache = make()
            taken(bench, step)  # warms up
            times = [taken(bench, step) for _ in range(repeats)]
        except torch.OutOfMemoryError:
            bench.model.zero_grad()
            bench.row("speed", name, left_out="out of memory")
            continue
        gib = torch.cuda.max_memory_allocated() / 2**30 if bench.device.type == "cuda" else None
        rate[name] = n / statistics.median(times)
        useful = flop_of(bench, n) / n * rate[name] / 1e12
        cached = {"cache_pairs_a_second": n / cache} if cache else {}
        bench.row("speed", name, pairs_a_second=rate[name], rows=n, peak_gib=gib, share=useful / most, **cached)
    return rate


def flop_of(bench: Bench, n: int) -> float:
    """What the text loss of the first rows needs at least: forward and backward of the frozen linear layers at every real token
    once, and the head at the answers' places. The adapters, the attention and the vision tower are left out (about a tenth)."""
    batch, shape = batch_of(bench, n), bench.shape
    layer = 4 * shape.width**2 + 3 * shape.width * shape.hidden
    answers = sum(int(batch[side]["mask"].sum()) for side in ("chosen", "rejected"))  # type: ignore[literal-required]
    tokens = answers + int(batch["prompt"]["mask"].sum())
    return 4.0 * (shape.layers * layer * tokens + shape.width * shape.vocabulary * answers)


def extrapolation(bench: Bench, rate: dict[str, float]) -> None:
    """The paper's pairs at the measured rates, and the goals that were written down beforehand."""
    ours = {name: value for name, value in rate.items() if name.startswith("text, ")}
    released = [value for name, value in rate.items() if name.startswith("released, unpadded")]
    best = [value for name, value in rate.items() if name.startswith("TRL without")]
    if not (ours and released and best and "TRL's default" in rate):
        bench.row("extrapolation", "the paper's pairs", left_out="a rate is missing")
        return
    top = max(ours.values())
    seconds = PAIRS * (EPOCHS[0] / top + EPOCHS[1] / max(released))
    found = {
        "times TRL's default": top / rate["TRL's default"],
        "times TRL's best": top / max(best),
        "pairs a second": top,
        "minutes": seconds / 60,
    }
    for name, value in found.items():
        met = value <= GOALS[name] if name == "minutes" else value >= GOALS[name]
        bench.row("extrapolation", name, value=value, goal=GOALS[name], reached=met)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a shape for the CPU")
    parser.add_argument("--seconds", type=float, default=420.0, help="when to leave out what is left")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"))
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    if not given.tiny and not torch.cuda.is_available():
        parser.error("there is no GPU here; add --tiny to try the script on the CPU")
    device = torch.device("cpu" if given.tiny else "cuda")
    dtype, shape = (torch.float32, TINY) if given.tiny else (torch.bfloat16, Shape())
    folder = Path(tempfile.mkdtemp())
    data = trl_dataset.prepare_rows(rows_of(shape.size, max(shape.batches), folder))
    own = {"out": given.out, "until": until}
    given.out.unlink(missing_ok=True)
    for kind in (torch.float32, torch.bfloat16):
        small = bench_of(replace(shape, layers=2), device, kind, data, folder / str(kind), **own)
        if kind == torch.float32:
            environment(small)
        equality(small)
        del small
    bench = bench_of(shape, device, dtype, data, folder / "whole", **own)
    extrapolation(bench, speed(bench, ceiling(bench)))


if __name__ == "__main__":
    main()
