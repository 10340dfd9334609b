"""Chapter 05: what the pocket model says under a weakened picture, on many scenes. Writes ``results/dispreferred.json``.

The chapter's own cells compute the same on fewer scenes. About ten minutes of one core. Run it from the top folder:
``python experiments/ch05_dispreferred.py [share]``; a share below 1 takes fewer scenes, to see that it works. Every measurement has
noise of its own seed, so their order and number at a time change nothing.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BatchFeature

from povid_lib import models
from povid_lib.analysis.next_word import (
    NEXT,
    Dilemma,
    NextWords,
    Show,
    Weaken,
    at_equal_truth,
    dilemmas,
    next_words,
    window,
    without_cause,
)
from povid_lib.analysis.token_changes import Sorted, sorts
from povid_lib.data import corrupt_image
from povid_lib.evaluation.held_out import held_out
from povid_lib.files import results
from povid_lib.metrics.stats import mean
from povid_lib.training import dispreference
from povid_lib.world.annotators import true_caption
from povid_lib.world.scenes import Scene

SHARE = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
SCENES, DRAWS, CAPTIONS, LEVEL = round(2000 * SHARE), 2, round(150 * SHARE), 0.2
STEPS = (0, 200, *range(300, 1000, 50), 999)
DOSES: dict[str, tuple[Any, ...]] = {
    "image": STEPS,
    "pixel_values": STEPS,
    "wrapped": (0, 50, 100, 200, 300, 400, 500, 700, 999),
    "blank": (0, 300, 500, 700, 850, 999),
    "masked": (0.0, 0.25, 0.5, 0.75, 0.9, 1.0),
    "downscaled": (1, 2, 4, 6, 8, 16),
    "cropped": (1.0, 0.5, 0.25, 0.1),
    "one": ("flat", "next picture", "shuffled"),
}
CONTROLS = (
    ("image", 0), ("image", 500), ("image", 999), ("wrapped", 500), ("pixel_values", 500), ("masked", 0.75), ("masked", 1.0),
)  # fmt: skip
TOKENS = (
    *(("image", step) for step in (0, 300, 400, 500, 600, 700, 850, 999)),
    ("pixel_values", 500), ("wrapped", 500), ("masked", 0.5), ("masked", 0.75), ("masked", 1.0), ("downscaled", 8),
    ("cropped", 0.25), ("one", "flat"), ("one", "next picture"),
)  # fmt: skip


@functools.cache
def world() -> tuple[models.VLM, list[Scene], list[Dilemma], list[str]]:
    """The model, the scenes, their dilemmas, and true captions of the first scenes."""
    scenes, rng = held_out("typical", SCENES), np.random.default_rng(0)
    return models.load("pocket"), scenes, dilemmas(scenes), [true_caption(s, rng) for s in scenes[:CAPTIONS]]


def way(kind: str, dose: Any, source: torch.Generator) -> tuple[Show, Weaken | None, int]:
    """What is shown of a scene, what is done to the model's inputs, and how many draws that is worth."""
    vlm, scenes, _, _ = world()

    def next_picture(scene: Scene) -> Image.Image:
        return scenes[(scene.key[2] + 1) % len(scenes)].image()

    def on_tensor(batch: BatchFeature) -> BatchFeature:
        return BatchFeature({**batch, "pixel_values": corrupt_image.diffuse(batch["pixel_values"], dose, source)})

    def mask(batch: BatchFeature) -> BatchFeature:
        return dispreference.image_tokens_masked(vlm, batch, dose, source)

    if dose in (0, 1) and kind not in ("blank", "masked"):
        return Scene.image, None, 1  # the clear picture, where these curves begin
    shows: dict[str, Callable[[Scene], Image.Image]] = {
        "image": lambda s: corrupt_image.noised(s.image(), dose, source),
        "wrapped": lambda s: corrupt_image.noised(s.image(), dose, source, "wrap"),
        "blank": lambda s: corrupt_image.noised(s.blank(), dose, source) if dose else s.blank(),
        "downscaled": lambda s: corrupt_image.downscaled(s.image(), dose),
        "cropped": lambda s: corrupt_image.cropped(s.image(), dose, source),
        "flat": lambda s: corrupt_image.flat(s.image()),
        "next picture": next_picture,
        "shuffled": lambda s: corrupt_image.patches_shuffled(s.image(), 3, source),
    }
    fixed = kind == "downscaled" or dose in ("flat", "next picture") or (kind, dose) in {("blank", 0), ("masked", 1.0)}
    weaken = {"pixel_values": on_tensor, "masked": mask}.get(kind)
    return shows.get(dose if kind == "one" else kind, Scene.image), weaken, 1 if fixed else DRAWS


def measure(job: tuple[str, str, Any]) -> NextWords | Sorted:
    """``(what, kind, dose)``, where ``what`` is "next", "control", "tokens" or "second"."""
    torch.set_num_threads(1)
    what, kind, dose = job
    source = torch.Generator().manual_seed(zlib.crc32(repr(job).encode()))
    vlm, scenes, asked, true = world()
    show, weaken, draws = way(kind, dose, source)
    found: NextWords | Sorted
    if what in ("next", "control"):
        about = asked if what == "next" else [without_cause(d) for d in asked]
        found = next_words(vlm, about, show, weaken, draws)
    else:
        found = sorts(vlm, scenes[:CAPTIONS], true, show, weaken, draws, "second" if what == "second" else "argmax")
    print(job, flush=True)
    return found


def summary(found: NextWords) -> dict[str, Any]:
    return {
        "probability": {what: mean(found.probability[what]) for what in NEXT},
        "winner": {what: mean(found.winner[what]) for what in NEXT},
    }


def table(rows: dict[Any, NextWords], what: str, measured: str = "probability") -> NDArray:
    """float64 (dilemmas, doses)"""
    return np.stack([getattr(found, measured)[what] for found in rows.values()], 1)


def windows(rows: dict[Any, NextWords]) -> dict[str, Any]:
    """Where the companion is above the truth, and where it is above the truth and above everything else together."""
    found = {}
    for measured in ("winner", "probability"):
        truth, companion = (table(rows, what, measured) for what in ("truth", "companion"))
        found[measured] = {
            "over truth": window(list(rows), companion, [truth]),
            "over both": window(list(rows), companion, [truth, 1 - truth - companion]),
        }
    return found


def differences(found: dict[str, dict[Any, NextWords]]) -> dict[str, Any]:
    """Paired differences: along the noise in both measures, and single ones in probability."""

    def less(first: tuple[str, Any, str], second: tuple[str, Any, str], measured: str = "probability") -> Any:
        a, b = (getattr(found[kind][dose], measured)[what] for kind, dose, what in (first, second))
        return mean(a - b)

    along = {
        measured: {
            f"companion - {name}": {
                str(step): less(("image", step, "companion"), second(step), measured) for step in STEPS
            }
            for name, second in {
                "truth": lambda step: ("image", step, "truth"),
                "clear": lambda step: ("image", 0, "companion"),
                "strangers": lambda step: ("image", step, "strangers"),
            }.items()
        }
        for measured in ("winner", "probability")
    }
    clear, all_noise, all_masked = ("image", 0), ("image", 999), ("masked", 1.0)
    pairs = {
        "shuffled - clear, truth": (("one", "shuffled", "truth"), (*clear, "truth")),
        "shuffled - clear, companion": (("one", "shuffled", "companion"), (*clear, "companion")),
        "next picture - noise 999, companion": (("one", "next picture", "companion"), (*all_noise, "companion")),
        "next picture - all masked, companion": (("one", "next picture", "companion"), (*all_masked, "companion")),
        "wrapped 500 - noise 999, companion": (("wrapped", 500, "companion"), (*all_noise, "companion")),
        "wrapped 500 - noise 999, truth": (("wrapped", 500, "truth"), (*all_noise, "truth")),
        "noise 999 - noise 700, strangers": ((*all_noise, "strangers"), ("image", 700, "strangers")),
        "blank noise 500 - blank, strangers": (("blank", 500, "strangers"), ("blank", 0, "strangers")),
        "blank noise 500 - blank, companion": (("blank", 500, "companion"), ("blank", 0, "companion")),
        "pixel_values 500 - image 500, truth": (("pixel_values", 500, "truth"), ("image", 500, "truth")),
    }
    return along | {"paired": {name: less(*pair) for name, pair in pairs.items()}}


def adaptive(rows: dict[int, NextWords]) -> dict[str, Any]:
    """The smallest step that halves each dilemma's truth, read off ``rows`` and then tried on fresh noise."""
    vlm, _, asked, _ = world()
    source = torch.Generator().manual_seed(1)
    truth = table(rows, "truth")
    halved = truth <= truth[:, :1] / 2
    index = np.where(halved.any(1), halved.argmax(1), len(rows) - 1)
    fresh = {what: np.zeros(len(asked)) for what in NEXT}
    for k, step in enumerate(rows):
        which = np.flatnonzero(index == k)
        if len(which):
            show, weaken, draws = way("image", step, source)
            found = next_words(vlm, [asked[i] for i in which], show, weaken, draws)
            for what in NEXT:
                fresh[what][which] = found.probability[what]
    steps = np.array(list(rows))[index]
    return {
        "steps": {str(q): float(np.quantile(steps, q)) for q in (0.25, 0.5, 0.75)},
        "truth on the draws that chose": mean(truth[np.arange(len(asked)), index]),
        "fresh": {what: mean(values) for what, values in fresh.items()},
        "companion less fixed": mean(fresh["companion"] - rows[corrupt_image.POVID_STEP].probability["companion"]),
    }


def wrapped_pixels() -> Any:
    """Share of the dilemmas' pixel values that leave [0, 1] at POVID's step."""
    source, shares = torch.Generator().manual_seed(0), []
    for d in world()[2]:
        x = torch.from_numpy(np.asarray(d.scene.image(), dtype=np.float32) / 255)
        y = corrupt_image.diffuse(x, corrupt_image.POVID_STEP, source)
        shares.append(float(((y < 0) | (y > 1)).float().mean()))
    return mean(shares)


def main() -> None:
    start = time.time()
    torch.set_num_threads(1)
    jobs = [
        *(("next", kind, dose) for kind, doses in DOSES.items() for dose in doses),
        *(("control", *way_) for way_ in CONTROLS),
        *(("tokens", *way_) for way_ in TOKENS),
        ("second", "image", 0),
        ("second", "image", 500),
    ]
    world()  # before the fork, so that it is there once
    with multiprocessing.get_context("fork").Pool(int(os.environ.get("WORKERS", "1"))) as pool:
        found = dict(zip(jobs, pool.map(measure, jobs, chunksize=1), strict=True))
    rows = {kind: {dose: found["next", kind, dose] for dose in doses} for kind, doses in DOSES.items()}
    curves = {
        kind: (table(rows[kind], "truth"), table(rows[kind], "companion"))
        for kind in ("image", "pixel_values", "wrapped", "masked", "downscaled", "cropped")
    }
    matched = at_equal_truth({k: pair for k, pair in curves.items() if pair[0].mean(0).min() <= LEVEL}, LEVEL)
    data = {
        "dilemmas": len(world()[2]),
        "next": {kind: {str(dose): summary(r) for dose, r in of_kind.items()} for kind, of_kind in rows.items()},
        "windows": {kind: windows(rows[kind]) for kind in ("image", "pixel_values", "wrapped")},
        "differences": differences(rows),
        "equal_truth": {"companion": matched[0], "less_image": matched[1]},
        "control": {f"{kind} {dose}": summary(found["control", kind, dose]) for kind, dose in CONTROLS},
        "adaptive": adaptive(rows["image"]),
        "tokens": {f"{kind} {dose}": found["tokens", kind, dose] for kind, dose in TOKENS},
        "second": {str(step): found["second", "image", step] for step in (0, 500)},
        "wrapped_pixels": wrapped_pixels(),
    }
    config = {"scenes": SCENES, "draws": DRAWS, "captions": CAPTIONS, "level": LEVEL}
    print(results.save("dispreferred", data, config, time.time() - start, code=[__file__]))


if __name__ == "__main__":
    main()
