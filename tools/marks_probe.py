"""Do the eyes tell what a mark is, or that there is one? A linear probe of the frozen tower, on patches with a mark's centre."""

from __future__ import annotations

import sys

import numpy as np
import second_world
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from povid_lib import vlm as vlms
from povid_lib import worlds
from povid_lib.kinds import NAMES
from povid_lib.pocket import PATCH
from povid_lib.pocket_eyes import patch_features
from povid_lib.scenes import draw, scenes

torch.set_num_threads(1)
name, model = sys.argv[1:]
second_world.recipe(name)
vlm = vlms.load(model, device="cpu")
batch = list(scenes(1600, worlds.world(name, "mixed"), "train", start=9_000_000))
features = patch_features(vlm, batch).numpy()
kind, there = [], []
for at, scene in enumerate(batch):
    owner = draw(scene)[1].reshape(6, PATCH, 6, PATCH).swapaxes(1, 2).reshape(36, -1)
    empty = {k for k in range(36) if (owner[k] < 0).all()}
    marks = [(m.name, m.place) for m in scene.marks] + [(i.name, i.places[0]) for i in scene.items if i.unseen]
    held = {y // PATCH * 6 + x // PATCH: n for n, (x, y) in marks if 0 <= x < 96 and 0 <= y < 96}
    kind += [(at, k, NAMES.index(n)) for k, n in held.items() if k in empty]
    there += [(at, k, k in held) for k in empty]


def score(rows: list, label: str) -> None:
    x = np.stack([features[a, k] for a, k, _ in rows])
    y = np.array([v for *_, v in rows])
    half = len(rows) * 3 // 4
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.1)).fit(x[:half], y[:half])
    said = fitted.predict(x[half:])
    recall = (said == y[half:])[y[half:] == 1].mean() if len(set(y)) == 2 else float("nan")
    print(
        label,
        len(rows),
        "accuracy",
        round((said == y[half:]).mean(), 3),
        "recall",
        round(recall, 3),
        "best constant",
        round(np.bincount(y[half:]).max() / len(said), 3),
    )


score(kind, "kind of a mark")
rng = np.random.default_rng(0)
some = [there[i] for i in rng.permutation(len(there)) if there[i][2] or rng.random() < 0.15]
score(some, "mark or none")
