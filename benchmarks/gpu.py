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
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_model import (
    TINY,
    Bench,
    Shape,
    batch_of,
    bench_of,
    now,
    our_step,
    settings_of,
    taken,
    trl_step,
)
from benchmarks.training import gradients, rows_of
from povid_lib.data import trl_dataset

PAIRS, EPOCHS = 17_184, (3, 1)  # the paper's: of text, of both
GOALS = {"times TRL's default": 3.0, "times TRL's best": 2.4, "pairs a second": 10.0, "minutes": 90.0}
NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.05}  # a gradient's difference, in units of its norm
# --- parts -------------------------------------------------------------------------------------------------------


def environment(bench: Bench) -> None:
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "trl", "peft")}
    card: dict[str, Any] = {"card": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    if bench.device.type == "cuda":
        seen = torch.cuda.get_device_properties(bench.device)
        card = {"card": seen.name, "gib": round(seen.total_memory / 2**30, 1), "capability": [seen.major, seen.minor]}
    card["width"] = bench.shape.width
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
        **{name: our_step(small, 2, name)[0] for name in small.settings},
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


def _trl(bench: Bench, n: int) -> tuple[Callable[[], Tensor], float]:
    return trl_step(bench, n), 0.0


def steps_of(bench: Bench) -> Iterator[tuple[str, int, bool, Callable[[], tuple[Callable[[], Tensor], float]]]]:
    """Name, rows, whether layers are computed twice (checkpointing), and what makes the step."""
    theirs = bench.shape.batches[0]
    yield "TRL's default", theirs, True, functools.partial(_trl, bench, theirs)
    for n in bench.shape.batches:
        yield f"TRL without checkpointing, {n}", n, False, functools.partial(_trl, bench, n)
    layouts = [layout for layout in ("unpadded", "dense") if f"text, {layout}" in bench.settings]
    for layout in layouts:
        for n in bench.shape.batches:
            yield f"text, {layout}, {n}", n, False, functools.partial(our_step, bench, n, f"text, {layout}")
    most, best = bench.shape.batches[-2], layouts[0]
    yield "released, TRL's way", 1, True, functools.partial(our_step, bench, 1, "released, plain")
    for n in dict.fromkeys((1, most)):
        yield f"released, {best}, {n}", n, False, functools.partial(our_step, bench, n, f"released, {best}")
    name = f"text, {best}, checkpointing, {most}"
    yield name, most, True, functools.partial(our_step, bench, most, f"text, {best}")


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
    answers = sum(int(batch[side]["mask"].sum()) for side in ("chosen", "rejected"))
    tokens = answers + int(batch["prompt"]["mask"].sum())
    return 4.0 * (shape.layers * layer * tokens + shape.width * shape.vocabulary * answers)


def extrapolation(bench: Bench, rate: dict[str, float]) -> None:
    """The paper's pairs at the measured rates, and the goals that were written down beforehand."""
    ours = {name: value for name, value in rate.items() if name.startswith("text, ")}
    released = [value for name, value in rate.items() if name.startswith("released, ") and "TRL" not in name]
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
    own = {"settings": settings_of(given.tiny), "out": given.out, "until": until}
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
