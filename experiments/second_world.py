"""What the second world's model says, and what constants do to it: python -m experiments.second_world MODEL [--split test] [-n 500]

Writes results/second_world.json: the profile of the captions as taught and as said, the curve of the end-token constant, the
constant on unsupported object words, and what a linear probe of the eyes reads out of a mark. ``MODEL``: a folder that ``povid
pocket train --edition second`` has written. The world's dials were chosen with --split validation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from povid_lib import models
from povid_lib.analysis.caption_profile import profile
from povid_lib.analysis.vision_probe import patch_features
from povid_lib.evaluation.held_out import SPLITS, held_out
from povid_lib.files import results
from povid_lib.models import end_bias
from povid_lib.models.llava import VLM
from povid_lib.pocket import lessons
from povid_lib.pocket.config import RECIPES
from povid_lib.pocket.train import train
from povid_lib.world.captions import PROMPT
from povid_lib.world.objects import NAMES
from povid_lib.world.patches import PATCH
from povid_lib.world.scenes import Scene, draw, scenes
from povid_lib.world.worlds import world

EDITION = "second"
CONSTANTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
UNSUPPORTED = ((3.0, 2.0), (3.0, 100.0))  # odds, constant
SHOWN = (
    "chair_s",
    "chair_i",
    "recall_seen",
    "recall_unseen",
    "words",
    "followed",
    "place_false",
    "place_true",
    "in_place",
)


def taught(kind: str, n: int, split: str) -> dict[str, float]:
    """The profile of captions that the annotator writes about the scenes."""
    author, rng, batch = lessons.author(RECIPES[EDITION]), np.random.default_rng(0), held_out(kind, n, split)
    return profile(batch, [author.caption(scene, rng) for scene in batch])


def said(vlm: VLM, batch: Sequence[Scene], decode: Callable[..., list[models.Answer]]) -> dict[str, float]:
    """The profile of what the model says under one way of decoding."""
    pictures = [scene.image() for scene in batch]
    return profile(batch, [a.text for a in decode(vlm, batch, pictures)])


def greedy(vlm: VLM, batch: Sequence[Scene], pictures: Sequence[Image.Image]) -> list[models.Answer]:
    """As the model is."""
    return models.generate(vlm, pictures, PROMPT)


def ending(constant: float) -> Callable[..., list[models.Answer]]:
    """With a constant on the end token's logit."""
    return lambda vlm, batch, pictures: end_bias.generate(vlm, pictures, [PROMPT] * len(batch), constant)


def unsupported(odds: float, constant: float) -> Callable[..., list[models.Answer]]:
    """With a constant taken from words for objects that a blank picture makes as likely."""
    return lambda vlm, batch, pictures: end_bias.unsupported(
        vlm, pictures, [scene.blank() for scene in batch], [PROMPT] * len(batch), constant, odds
    )


def marks(vlm: VLM) -> dict[str, float]:
    """Do the eyes tell what a mark is, or that there is one? A linear probe of the frozen tower, where a mark's centre lies."""
    batch = list(scenes(1600, world("mixed"), "train", start=9_000_000))
    features = patch_features(vlm, batch).numpy()
    kind, there = list[tuple[int, int, int]](), list[tuple[int, int, int]]()
    for at, scene in enumerate(batch):
        owner = draw(scene)[1].reshape(6, PATCH, 6, PATCH).swapaxes(1, 2).reshape(36, -1)
        empty = {k for k in range(36) if (owner[k] < 0).all()}
        drawn = [(m.name, m.place) for m in scene.marks] + [(i.name, i.places[0]) for i in scene.items if i.unseen]
        held = {y // PATCH * 6 + x // PATCH: name for name, (x, y) in drawn if 0 <= x < 96 and 0 <= y < 96}
        kind += [(at, k, NAMES.index(name)) for k, name in held.items() if k in empty]
        there += [(at, k, int(k in held)) for k in empty]
    rng = np.random.default_rng(0)
    there = [row for row in (there[i] for i in rng.permutation(len(there))) if row[2] or rng.random() < 0.15]
    kind = [kind[i] for i in rng.permutation(len(kind))]
    what, best = _probed(features, kind)
    that, _ = _probed(features, there)
    return {"kind_right": what, "kind_constant": best, "mark_right": that}


def _probed(features: np.ndarray, rows: Sequence[tuple[int, int, int]]) -> tuple[float, float]:
    """Accuracy of a linear probe on the last quarter of the rows (scene, patch, label), and of the best constant."""
    x, y = np.stack([features[a, k] for a, k, _ in rows]), np.array([label for *_, label in rows])
    cut = len(rows) * 3 // 4
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.1)).fit(x[:cut], y[:cut])
    right = float((fitted.predict(x[cut:]) == y[cut:]).mean())
    return right, float(np.bincount(y[cut:]).max() / len(y[cut:]))


def main(model: str, split: str, n: int, name: str) -> None:
    """Measure everything and save it, each figure printed when it is there."""
    start, vlm, found = time.time(), models.load(model), dict[str, dict[str, dict[str, float]]]()
    results.check_name(name)
    ways: dict[str, Callable[..., list[models.Answer]]] = {"base": greedy}
    ways |= {f"end {constant:g}": ending(constant) for constant in CONSTANTS}
    ways |= {f"unsupported {odds:g} {constant:g}": unsupported(odds, constant) for odds, constant in UNSUPPORTED}
    for kind in SPLITS:
        found[kind] = {"taught": taught(kind, 2 * n, split)}
        batch = held_out(kind, n, split)
        for label, decode in ways.items():
            found[kind][label] = said(vlm, batch, decode)
            print(f"{kind:16}{label:20}", *(f"{k}={found[kind][label][k]:.3f}" for k in SHOWN), flush=True)
    data = {**found, "marks": marks(vlm)}
    print(data["marks"])
    config = {"model": model, "split": split, "n": n}
    print(results.save(name, data, config, time.time() - start, code=[__file__, train]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--name", default="second_world")
    given = parser.parse_args()
    main(given.model, given.split, given.n, given.name)
