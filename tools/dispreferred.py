"""Chapter 05: what the pocket model says under a weakened picture, on many scenes. Writes ``results/dispreferred.json``.

The chapter's own cells compute the same on fewer scenes. About ten minutes on one core. Run it from the top folder:
``python tools/dispreferred.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchFeature

from povid_lib import distort, results
from povid_lib import vlm as vlms
from povid_lib.dispreferred import (
    NEXT,
    Dilemma,
    NextWords,
    Show,
    Weaken,
    at_equal_truth,
    dilemmas,
    next_words,
    sorts,
    window,
    without_cause,
)
from povid_lib.metrics.stats import mean
from povid_lib.pocket_report import held_out
from povid_lib.scenes import Scene
from povid_lib.texts import Annotator

SCENES, DRAWS, CAPTIONS, LEVEL = 2000, 2, 150, 0.2
STEPS = (0, 200, *range(300, 1000, 50), 999)
PLACES = {
    "image": STEPS,
    "pixel_values": STEPS,
    "wrapped": (0, 50, 100, 200, 300, 400, 500, 700, 999),
    "blank": (0, 300, 500, 700, 850, 999),
}
SHARES, FACTORS, AREAS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0), (1, 2, 4, 6, 8, 16), (1.0, 0.5, 0.25, 0.1)


@dataclass(frozen=True)
class Way:
    """One way to weaken a picture: what is shown, and what is done to the model's inputs."""

    show: Show = Scene.image
    weaken: Weaken | None = None
    random: bool = True  # False: every draw is the same


def noise(place: str, step: int, source: torch.Generator) -> Way:
    def on_tensor(batch: BatchFeature) -> BatchFeature:
        return BatchFeature({**batch, "pixel_values": distort.diffuse(batch["pixel_values"], step, source)})

    if step == 0 and place != "blank":
        return Way(random=False)  # the clear picture is where every curve begins
    return {
        "image": Way(lambda scene: distort.noised(scene.image(), step, source)),
        "wrapped": Way(lambda scene: distort.noised(scene.image(), step, source, "wrap")),
        "blank": Way(lambda scene: distort.noised(scene.blank(), step, source) if step else scene.blank()),
        "pixel_values": Way(weaken=on_tensor),
    }[place]


def masked(vlm: vlms.VLM, share: float, source: torch.Generator) -> Way:
    weaken = partial(distort.image_tokens_masked, vlm, share=share, generator=source)
    return Way(weaken=weaken, random=0 < share < 1)


def summary(found: NextWords) -> dict[str, Any]:
    return {
        "probability": {what: mean(found.probability[what]) for what in NEXT},
        "winner": {what: mean(found.winner[what]) for what in NEXT},
    }


def table(rows: dict[Any, NextWords], what: str, measure: str = "probability") -> NDArray:
    """float64 (dilemmas, doses)"""
    return np.stack([getattr(found, measure)[what] for found in rows.values()], 1)


def windows(rows: dict[Any, NextWords]) -> dict[str, Any]:
    """Where the companion is above the truth, and where it is above truth and everything else together as well."""
    found = {}
    for measure in ("winner", "probability"):
        truth, companion = (table(rows, what, measure) for what in ("truth", "companion"))
        rest = 1 - truth - companion
        found[measure] = {
            "over truth": window(list(rows), companion, [truth]),
            "over both": window(list(rows), companion, [truth, rest]),
        }
    return found


def adaptive(
    asked: list[Dilemma], rows: dict[int, NextWords], ask: Callable[[int, list[Dilemma]], NextWords]
) -> dict[str, Any]:
    """The smallest step that halves each dilemma's truth, read off ``rows`` and then tried on fresh noise."""
    truth = table(rows, "truth")
    halved = truth <= truth[:, :1] / 2
    index = np.where(halved.any(1), halved.argmax(1), len(rows) - 1)
    fresh = {what: np.zeros(len(asked)) for what in NEXT}
    for k, step in enumerate(rows):
        which = np.flatnonzero(index == k)
        if len(which):
            found = ask(step, [asked[i] for i in which])
            for what in NEXT:
                fresh[what][which] = found.probability[what]
    steps = np.array(list(rows))[index]
    return {
        "steps": {str(q): float(np.quantile(steps, q)) for q in (0.25, 0.5, 0.75)},
        "truth on the draws that chose": mean(truth[np.arange(len(asked)), index]),
        "fresh": {what: mean(values) for what, values in fresh.items()},
        "companion less fixed": mean(fresh["companion"] - rows[distort.POVID_STEP].probability["companion"]),
    }


def main() -> None:
    torch.set_num_threads(1)
    start, vlm, source = time.time(), vlms.load("pocket"), torch.Generator().manual_seed(0)
    scenes = held_out("typical", SCENES)
    asked = dilemmas(scenes)
    after = {d.scene.key: e.scene for d, e in zip(asked, [*asked[1:], asked[0]], strict=True)}

    def ask(way: Way, about: list[Dilemma] = asked) -> NextWords:
        return next_words(vlm, about, way.show, way.weaken, DRAWS if way.random else 1)

    found: dict[str, dict[Any, NextWords]] = {}
    ways: dict[str, Callable[[Any], Way]] = {
        "masked": lambda share: masked(vlm, share, source),
        "downscaled": lambda factor: Way(lambda s: distort.downscaled(s.image(), factor), random=False),
        "cropped": lambda area: Way(lambda s: distort.cropped(s.image(), area, source), random=area < 1),
        "one": {
            "flat": Way(lambda s: distort.flat(s.image()), random=False),
            "next picture": Way(lambda s: after[s.key].image(), random=False),
            "shuffled": Way(lambda s: distort.patches_shuffled(s.image(), 3, source)),
        }.__getitem__,
    }
    ways |= {place: partial(noise, place, source=source) for place in PLACES}
    doses = PLACES | {
        "masked": SHARES, "downscaled": FACTORS, "cropped": AREAS, "one": ("flat", "next picture", "shuffled"),
    }  # fmt: skip
    for kind, levels in doses.items():
        found[kind] = {}
        for level in levels:
            found[kind][level] = ask(ways[kind](level))
            print(f"{time.time() - start:.0f} s", kind, level, flush=True)

    # the same without the word that calls for the companion
    silent = [without_cause(d) for d in asked]
    chosen = {
        "clear": ("image", 0), "image 500": ("image", 500), "image 999": ("image", 999), "wrapped 500": ("wrapped", 500),
        "pixel_values 500": ("pixel_values", 500), "masked 0.75": ("masked", 0.75), "masked 1.0": ("masked", 1.0),
    }  # fmt: skip
    control = {name: ask(ways[kind](level), silent) for name, (kind, level) in chosen.items()}
    print(f"{time.time() - start:.0f} s, control", flush=True)

    def difference(first: tuple[str, Any, str], second: tuple[str, Any, str], measure: str = "probability") -> Any:
        """First less second, paired; each is (way, dose, what)."""
        a, b = (getattr(found[kind][level], measure)[what] for kind, level, what in (first, second))
        return mean(a - b)

    differences = {
        measure: {
            "companion - truth": {
                str(step): difference(("image", step, "companion"), ("image", step, "truth"), measure) for step in STEPS
            },
            "companion - clear": {
                str(step): difference(("image", step, "companion"), ("image", 0, "companion"), measure)
                for step in STEPS
            },
        }
        for measure in ("winner", "probability")
    }
    pairs = {
        "shuffled - clear, truth": (("one", "shuffled", "truth"), ("image", 0, "truth")),
        "shuffled - clear, companion": (("one", "shuffled", "companion"), ("image", 0, "companion")),
        "next picture - noise 999, companion": (("one", "next picture", "companion"), ("image", 999, "companion")),
        "next picture - all masked, companion": (("one", "next picture", "companion"), ("masked", 1.0, "companion")),
        "wrapped 500 - noise 999, companion": (("wrapped", 500, "companion"), ("image", 999, "companion")),
        "wrapped 500 - noise 999, truth": (("wrapped", 500, "truth"), ("image", 999, "truth")),
        "noise 999 - noise 700, strangers": (("image", 999, "strangers"), ("image", 700, "strangers")),
        "blank noise 500 - blank, strangers": (("blank", 500, "strangers"), ("blank", 0, "strangers")),
        "blank noise 500 - blank, companion": (("blank", 500, "companion"), ("blank", 0, "companion")),
        "pixel_values 500 - image 500, truth": (("pixel_values", 500, "truth"), ("image", 500, "truth")),
    }
    differences["paired"] = {name: difference(*pair) for name, pair in pairs.items()}
    curves = {
        kind: (table(found[kind], "truth"), table(found[kind], "companion"))
        for kind in ("image", "pixel_values", "wrapped", "masked", "downscaled", "cropped")
    }
    reaching = {kind: pair for kind, pair in curves.items() if pair[0].mean(0).min() <= LEVEL}
    matched = at_equal_truth(reaching, LEVEL)

    # token by token
    some, rng = scenes[:CAPTIONS], np.random.default_rng(0)
    true = [Annotator().caption(scene, rng) for scene in some]
    following = {s.key: t for s, t in zip(some, [*some[1:], some[0]], strict=True)}
    settings = {f"image {step}": noise("image", step, source) for step in (0, 300, 400, 500, 600, 700, 850, 999)} | {
        "pixel_values 500": noise("pixel_values", 500, source),
        "wrapped 500": noise("wrapped", 500, source),
        "masked 0.5": masked(vlm, 0.5, source),
        "masked 0.75": masked(vlm, 0.75, source),
        "masked 1.0": masked(vlm, 1.0, source),
        "downscaled 8": ways["downscaled"](8),
        "cropped 0.25": ways["cropped"](0.25),
        "flat": ways["one"]("flat"),
        "next picture": Way(lambda s: following[s.key].image(), random=False),
    }
    tokens = {}
    for name, way in settings.items():
        tokens[name] = sorts(vlm, some, true, way.show, way.weaken, DRAWS if way.random else 1)
        print(f"{time.time() - start:.0f} s, tokens", name, tokens[name].changed, flush=True)
    second = {
        str(step): sorts(vlm, some, true, noise("image", step, source).show, tokens="second") for step in (0, 500)
    }

    wraps = []
    for d in asked:
        x = torch.from_numpy(np.asarray(d.scene.image(), dtype=np.float32) / 255)
        y = distort.diffuse(x, distort.POVID_STEP, source)
        wraps.append(float(((y < 0) | (y > 1)).float().mean()))
    data = {
        "dilemmas": len(asked),
        "next": {kind: {str(level): summary(r) for level, r in rows.items()} for kind, rows in found.items()},
        "windows": {kind: windows(found[kind]) for kind in ("image", "pixel_values", "wrapped")},
        "differences": differences,
        "equal_truth": {"companion": matched[0], "less_image": matched[1]},
        "control": {name: summary(r) for name, r in control.items()},
        "adaptive": adaptive(asked, found["image"], lambda step, some: ask(noise("image", step, source), some)),
        "tokens": tokens,
        "second": second,
        "wrapped_pixels": mean(wraps),
    }
    config = {"scenes": SCENES, "draws": DRAWS, "captions": CAPTIONS, "level": LEVEL, "seed": 0}
    print(results.save("dispreferred", data, config, time.time() - start))


if __name__ == "__main__":
    main()
