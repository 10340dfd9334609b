"""What the pocket model's eyes find, read from the frozen vision tower by a linear probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from povid_lib.metrics.stats import Estimate, ratio
from povid_lib.models.llava import VLM
from povid_lib.pocket.data import pixels
from povid_lib.world.captions import mentioned
from povid_lib.world.objects import NAMES
from povid_lib.world.patches import patch_labels
from povid_lib.world.scenes import Scene, draw, scenes
from povid_lib.world.worlds import EDITION, world


@torch.inference_mode()
def patch_features(vlm: VLM, batch: Sequence[Scene]) -> Tensor:
    """What the frozen tower hands to the projector: float32 (scenes, 36, width)."""
    parts = []
    for at in range(0, len(batch), 250):
        pictures = pixels([draw(s)[0] for s in batch[at : at + 250]]).to(vlm.device)
        out = vlm.model.model.vision_tower(pictures, output_hidden_states=True)
        parts.append(out.hidden_states[vlm.model.config.vision_feature_layer][:, 1:].float().cpu())
    return torch.cat(parts)


@dataclass(frozen=True)
class Probe:
    """A linear reading of the frozen vision tower, see ``fit_probe``."""

    regression: Pipeline
    threshold: float

    def found(self, vlm: VLM, batch: Sequence[Scene]) -> np.ndarray:
        """Which kinds the eyes find in each scene: bool (scenes, 48)."""
        return _evidence(self.regression, vlm, batch) > self.threshold


def fit_probe(vlm: VLM, edition: str = EDITION) -> Probe:
    """Logistic regression from one patch's features to the kind that owns the patch, on 3,000 mixed training scenes of an edition.

    An object counts as found where any patch gives it more than a threshold, chosen for the best F1 on 500 mixed validation
    scenes.
    """
    mixed = world("mixed", edition)
    fit_on = list(scenes(3000, mixed, "train", start=9_000_000))
    features = patch_features(vlm, fit_on).flatten(0, 1).numpy()
    labels = np.concatenate([patch_labels(s, draw(s)[1])["kind"] for s in fit_on])
    thin = np.random.default_rng(0).random(len(labels)) < 0.25  # background is plentiful
    keep = (labels > 0) | ((labels == 0) & thin)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100, C=0.1)).fit(
        features[keep], labels[keep]
    )
    tuning = list(scenes(500, mixed, "validation"))
    known, strength = presence(tuning), _evidence(regression, vlm, tuning)
    return Probe(regression, float(max(np.linspace(0.3, 0.99, 70), key=lambda t: _f1(strength > t, known))))


def _evidence(regression: Pipeline, vlm: VLM, batch: Sequence[Scene]) -> np.ndarray:
    seen = patch_features(vlm, batch)
    probs = regression.predict_proba(seen.flatten(0, 1).numpy()).reshape(len(batch), seen.shape[1], -1)
    return probs[..., 1:].max(1)


def eyes(batch: Sequence[Scene], found: np.ndarray) -> dict[str, Estimate]:
    """Recall of a probe's findings (for all and for hard objects) and their precision, of what can be made out."""
    known = presence(batch)
    hard = np.array([[name in s.seen and s[name].hard for name in NAMES] for s in batch])
    return {
        "recall": ratio((found & known).sum(1), known.sum(1)),
        "recall_hard": ratio((found & hard).sum(1), hard.sum(1)),
        "precision": ratio((found & known).sum(1), found.sum(1)),
    }


def said_and_seen(batch: Sequence[Scene], texts: Sequence[str], found: np.ndarray) -> dict[str, Estimate | None]:
    """Of the objects that captions name, the share that the eyes find too: imitation and bad eyes told apart.

    For true objects that can be made out (``true``) and that cannot (``unseen``), for missing partners and for other false objects.
    A false object that the eyes do not find was not misseen: it was made up on the way from the eyes to the words. None where no
    such object was named.
    """
    rows: dict[str, tuple[list[int], list[int]]] = {k: ([], []) for k in ("true", "unseen", "partner", "other")}
    for scene, text, by_eye in zip(batch, texts, found, strict=True):
        named = set(mentioned(text))
        groups = {"true": named & set(scene.seen), "unseen": named & set(scene.unseen)}
        groups["partner"] = named & set(scene.missing_partners)
        groups["other"] = named - set(scene.names) - groups["partner"]
        for group, names in groups.items():
            rows[group][0].append(sum(bool(by_eye[NAMES.index(n)]) for n in names))
            rows[group][1].append(len(names))
    return {group: ratio(found_too, named) if sum(named) else None for group, (found_too, named) in rows.items()}


def presence(batch: Sequence[Scene]) -> np.ndarray:
    """Which kinds can be made out in each scene: bool (scenes, 48)."""
    return np.array([[name in s.seen for name in NAMES] for s in batch])


def _f1(found: np.ndarray, known: np.ndarray) -> float:
    return 2 * float((found & known).sum()) / float(found.sum() + known.sum())
