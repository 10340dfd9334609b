"""How many pairs a second: this trainer against TRL's, and phase 2 against the released procedure, the same gradients.

    OMP_NUM_THREADS=2 python benchmarks/training.py [--model pocket|medium] [--rows 8] [--steps 25] [--clock wall|cpu]

"pocket" is the shipped model, "medium" an untrained LLaVA of hidden size 512 with 8 layers and 576 image tokens, with prompts of
60 and answers of 100 tokens beside them. Every way computes loss and gradients of the same batch, in turns; the time is the median
over the steps, without an optimiser's step, which is the same for all. On a machine that does other work beside it, only the
processor's own seconds mean anything (``--clock cpu``, one thread). The reference's caches are built beforehand and their time is
given by itself: that of the clear pictures is paid once and used in every epoch, that of the noised ones is paid in each, and by
runs that share it once. The gradients of all ways to the same loss must be equal; where they are not, nothing is reported.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration
from trl import DPOConfig, DPOTrainer

from povid_lib import models
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.pair_files import write
from povid_lib.data.trl_dataset import to_trl
from povid_lib.files import results
from povid_lib.pocket import architecture
from povid_lib.training import dispreference, losses, pair_scores
from povid_lib.training.collator import SIDES, Batch, Side
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig
from povid_lib.training.logprobs import sequence_logps, token_logps
from povid_lib.training.trainer import POVIDTrainer

Ways = dict[str, Callable[[], Tensor]]
SAME = (
    1e-4  # how far two gradients of one loss may be apart, in units of the largest entry: float32 sums in another order
)
# every setting that changes the loss, so that no preset's default can: compared is what is named here
NOISE = {"weakening": "noise", "noise_step": 500, "noised_tokens": "argmax", "scored_under": "clean"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "padded": {},
    "unpadded": {"unpadded": True},
    "unpadded, features cached": {"unpadded": True, "cache_features": True},
}
GOALS = {"text_times": 3.0, "released_times": 2.0}  # written down before anything was measured
SETTINGS: dict[str, dict[str, Any]] = {
    "text": {"objective": "dpo", "dispreference": "text", "beta": 0.1, "label_smoothing": 0.0, "sft_weight": 0.0},
    "released": {
        "objective": "povid_mean", "dispreference": "both", "beta": 0.1, "sft_weight": 0.0, **NOISE,
        "noise_place": "image", "noise_overflow": "wrap", "reference_tokens": "own",
    },
    "ours": {
        "objective": "povid", "dispreference": "both", "alpha": 0.1, "beta1": 0.05, "beta2": 0.05, "sft_weight": 0.0, **NOISE,
        "noise_place": "pixel_values", "noise_overflow": "clamp", "reference_tokens": "policy",
    },
}  # fmt: skip


def model_of(size: str) -> tuple[LlavaForConditionalGeneration, Any]:
    """The model and its processor."""
    if size == "pocket":
        vlm = models.load("pocket")
        return vlm.model, vlm.processor
    processor = models.load("pocket").processor
    processor.patch_size = 14
    processor.image_processor.size = {"height": 336, "width": 336}
    torch.manual_seed(0)
    config = architecture.llava_config(len(processor.tokenizer), width=512, layers=8)
    config.text_config.max_position_embeddings = 2048
    config.vision_config = architecture.clip_config(len(processor.tokenizer), width=256, layers=6).vision_config
    config.vision_config.image_size, config.vision_config.patch_size = 336, 14
    config.image_seq_length = 576
    return LlavaForConditionalGeneration(config), processor


def rows_of(size: str, n: int, folder: Path) -> Any:
    """Pairs; for the medium model their texts are repeated to the length that the header names."""
    write(folder / "pairs.jsonl", pairs(n, Offline(reasoning=0.0)))
    data = to_trl(folder / "pairs.jsonl", cache=folder / "datasets")
    if size == "pocket":
        return data
    from datasets import Dataset

    plain = [data.with_format(None)[at] for at in range(n)]
    for row in plain:
        for side, length in (("prompt", 55), ("chosen", 95), ("rejected", 95)):
            words = (row[side][0]["content"].split() * length)[:length]
            row[side] = [{**row[side][0], "content": " ".join(words)}]
    return Dataset.from_list(plain).with_transform(data.format["format_kwargs"]["transform"])


def released(
    model: nn.Module, batch: Batch, choices: dispreference.ImageDispreference, trainer: POVIDTrainer
) -> Tensor:
    """Phase 2 step by step as the released code does it: whole rows with all logits, policy and reference, clean and noised.
    Written apart from ``pair_scores`` on purpose; only the chance is the same."""
    generators = pair_scores.chances(trainer.args.seed, batch, 0)
    pixels = dispreference.noised_pixels(
        batch["images"], batch["pixel_values"], choices, trainer.processing_class, generators
    )

    def rows(*sides: Side) -> tuple[Tensor, Tensor, int]:
        length = max(batch[side]["ids"].shape[1] for side in sides)

        def stacked(part: Literal["ids", "mask"]) -> Tensor:
            padded = [nn.functional.pad(batch[side][part], (0, length - batch[side][part].shape[1])) for side in sides]
            return torch.cat([torch.cat([batch["prompt"][part]] * len(sides)), torch.cat(padded)], 1)

        return stacked("ids"), stacked("mask"), length

    def read(shown: Tensor, *sides: Side) -> Tensor:
        ids, mask, length = rows(*sides)
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            pixel_values=torch.cat([shown] * len(sides)), use_cache=False,
        ).logits  # fmt: skip
        return logits[:, -length - 1 : -1]

    n = len(batch["row_ids"])
    ids, mask = batch["chosen"]["ids"], batch["chosen"]["mask"]
    lost, lost_mask = batch["rejected"]["ids"], batch["rejected"]["mask"]
    width, other = ids.shape[1], lost.shape[1]

    def score(logits: Tensor, noised: Tensor) -> losses.Logps:
        return losses.Logps(
            sequence_logps(token_logps(logits[:n, :width], ids, mask), mask),
            sequence_logps(token_logps(logits[n:, :other], lost, lost_mask), lost_mask),
            sequence_logps(token_logps(logits[:n, :width], noised[:, :width].argmax(-1), mask), mask),
        )

    policy_logits = read(batch["pixel_values"], "chosen", "rejected")
    with torch.no_grad():
        policy_noised = read(pixels, "chosen")
        with model.disable_adapter():  # type: ignore[operator]
            reference = score(read(batch["pixel_values"], "chosen", "rejected"), read(pixels, "chosen"))
    loss, _ = losses.povid_mean(score(policy_logits, policy_noised), reference, trainer.args.beta)
    return loss


def gradients(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def same_gradient(found: dict[str, Tensor], one: str, other: str) -> float:
    """The largest difference of two ways' gradients. Raises ``AssertionError`` if they are not of one loss."""
    apart, size = float((found[one] - found[other]).abs().max()), float(found[one].abs().max())
    if not (size > 0 and apart <= SAME * size):
        raise AssertionError(
            f"The gradients of {one!r} and {other!r} differ by {apart:.3g}, the largest entry is {size:.3g}."
        )
    return apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("pocket", "medium"), default="pocket")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    clock = time.perf_counter if given.clock == "wall" else time.process_time
    begin = time.time()
    folder = Path(tempfile.mkdtemp())
    data = rows_of(given.model, given.rows, folder)

    trainers: dict[str, Any] = {}
    built: dict[str, float] = {}
    for name, settings in SETTINGS.items():
        for layout, how in LAYOUTS.items():
            model, processor = model_of(given.model)
            args = POVIDConfig.preset(
                "pocket",
                output_dir=str(folder / name / layout),
                per_device_train_batch_size=given.rows,
                disable_tqdm=True,
                **settings,
                **how,
            )
            trainer = POVIDTrainer(model, args, data, processor)
            batch = trainer.data_collator([data[at] for at in range(given.rows)])
            start = clock()
            trainer._caches.start()
            trainer._caches.held(batch, 0)  # builds that of the noise
            built[f"{name}, {layout}"] = clock() - start
            trainers[f"{name}, {layout}"] = trainer
    model, processor = model_of(given.model)
    theirs = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(folder / "trl"), report_to=[], use_cpu=not torch.cuda.is_available(), bf16=False, max_length=None,
            gradient_checkpointing=False, per_device_train_batch_size=given.rows,
        ),
        train_dataset=data,
        processing_class=processor,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=LANGUAGE_MODEL_LAYERS),
    )  # fmt: skip
    start_weights = {n: p for n, p in trainers["text, padded"].model.named_parameters() if "lora_" in n}
    generator = torch.Generator().manual_seed(0)
    for name, p in start_weights.items():  # adapters that do something, the same everywhere
        p.data += 0.02 * torch.randn(p.shape, generator=generator)
        for other in (*trainers.values(), theirs):
            dict(other.model.named_parameters())[name].data.copy_(p.data)

    kept = [
        {k: v for k, v in data[at].items() if k in ("images", "prompt", "chosen", "rejected")}
        for at in range(given.rows)
    ]
    of_trl = theirs.data_collator(kept)
    old = trainers["released, padded"]
    ways: Ways = {
        "text: TRL's DPOTrainer": lambda: theirs.compute_loss(theirs.model, of_trl),
        "released: step by step": lambda: released(old.model, batch, old.args.image_dispreference, old),
    }
    models = {"text: TRL's DPOTrainer": theirs.model, "released: step by step": old.model}
    for name, trainer in trainers.items():
        label = name.replace(",", ": POVIDTrainer,", 1)
        ways[label] = functools.partial(trainer.compute_loss, trainer.model, batch)
        models[label] = trainer.model
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Tensor] = {}
    for step in range(given.steps + 1):
        for name, way in ways.items():
            models[name].train()
            models[name].zero_grad()
            start = clock()
            way().backward()
            if step:  # the first warms up
                seconds[name].append(clock() - start)
            found[name] = gradients(models[name])
    rate = {name: given.rows / statistics.median(times) for name, times in seconds.items()}
    difference = {
        f"{loss}, {layout}": same_gradient(found, plain, f"{loss}: POVIDTrainer, {layout}")
        for loss, plain in (("text", "text: TRL's DPOTrainer"), ("released", "released: step by step"))
        for layout in LAYOUTS
    }
    for layout in LAYOUTS:
        difference[f"ours, {layout}"] = same_gradient(
            found, "ours: POVIDTrainer, padded", f"ours: POVIDTrainer, {layout}"
        )
    for name, value in rate.items():
        print(f"{name:<50} {value:7.2f} pairs a second")

    def times(loss: str, plain: str) -> dict[str, float]:
        return {layout: rate[f"{loss}: POVIDTrainer, {layout}"] / rate[plain] for layout in LAYOUTS}

    report = {
        "pairs_per_second": rate,
        "text_times": times("text", "text: TRL's DPOTrainer"),
        "released_times": times("released", "released: step by step"),
        "policy_tokens_times": times("ours", "released: step by step"),
        "largest_gradient": float(found["text: TRL's DPOTrainer"].abs().max()),
        "gradient_difference": difference,
        "cache_seconds_a_pair": {name: value / given.rows for name, value in built.items()},
        "clock": given.clock,
        "threads": torch.get_num_threads(),
        "tokens": {side: int(batch[side]["mask"].sum()) for side in ("prompt", *SIDES)},
        "padded_tokens": sum(batch[side]["ids"].numel() for side in ("prompt", *SIDES)),
    }
    for name, goal in GOALS.items():
        best = max(report[name].values())
        print(name, report[name], f"goal {goal}: {'reached' if best >= goal else f'missed by {goal - best:.2f}'}")
    for name in ("policy_tokens_times", "gradient_difference"):
        print(name, report[name])
    print(results.save(f"speed_{given.model}", report, vars(given), time.time() - begin, code=[__file__]))


if __name__ == "__main__":
    main()
