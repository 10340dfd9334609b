"""The widget of chapter 10: a picture, a word, a map over the picture, before and after tuning. Computed beforehand."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from povid_lib.analysis import attention, occlusion
from povid_lib.models.llava import VLM
from povid_lib.widgets.base import SpecWidget, png
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.patches import own_patches
from povid_lib.world.scenes import Scene


@dataclass(frozen=True)
class WordInAnswer:
    """One word to look for: the answer that it stands in, and the object of the scene whose patches are marked and hidden."""

    answer: str
    word: str
    name: str


class Where(SpecWidget):
    """Choose a scene, a word, a map and a model, and see the map over the picture. Needs no model and no kernel."""

    asset = "where"

    def __init__(
        self, models: Mapping[str, VLM], scenes: Sequence[Scene], words: Sequence[Sequence[WordInAnswer]]
    ) -> None:
        super().__init__(spec=where_spec(models, scenes, words))


def where_spec(
    models: Mapping[str, VLM], scenes: Sequence[Scene], words: Sequence[Sequence[WordInAnswer]]
) -> dict[str, Any]:
    """For each scene, word and model: every map as 8-bit numbers with the value of 255 (see ``quantised``), the picture's share of
    attention in each layer, and the word's log-odds with the picture, without the object ``name``, and with none of it.

    ``words``: for each scene, what to look for. Maps: raw by layer, their mean, rollout, gradient, occlusion by squares of
    two by two patches, in nats and without what is below 0. Raises ``ValueError`` if scenes and words differ in number.
    """
    if len(scenes) != len(words):
        raise ValueError(
            f"where_spec: {len(scenes)} scenes and {len(words)} rows of words; give one row for each scene."
        )
    rows = []
    for number, (scene, asked) in enumerate(zip(scenes, words, strict=True), start=1):
        listed = []
        for a in asked:
            own = own_patches(scene, a.name)
            listed.append(
                {
                    "word": a.word,
                    "answer": a.answer,
                    "name": a.name,
                    "true": set(mentioned(a.word)) <= set(scene.names),
                    "own": own.flatten().int().tolist(),
                    "models": {label: _views(vlm, scene, a, own) for label, vlm in models.items()},
                }
            )
        title = f"{number}. {', '.join(scene.names)}"
        rows.append({"title": title, "png": png(scene.image()), "names": list(scene.names), "words": listed})
    return {"scenes": rows, "side": 6, "labels": list(models)}


def _views(vlm: VLM, scene: Scene, a: WordInAnswer, own: Tensor) -> dict[str, Any]:
    picture = scene.image()
    reading = attention.read(vlm, picture, PROMPT, a.answer)
    places = attention.word_places(vlm, PROMPT, a.answer, a.word)
    maps = {f"layer {k + 1}": attention.patch_map(reading, places, layer=k) for k in range(len(reading.rows))} | {
        "all layers": attention.patch_map(reading, places),
        "rollout": attention.patch_map(reading, places, "rollout"),
        "gradient": attention.word_map(vlm, picture, PROMPT, a.answer, a.word, "gradient"),
        "occlusion": occlusion.occlusion_map(vlm, picture, PROMPT, a.answer, a.word, window=2).clamp(min=0),
    }
    hidden = torch.stack([torch.zeros_like(own), own, torch.ones_like(own)])
    logps = occlusion.logps_without(vlm, picture, PROMPT, a.answer, a.word, hidden)
    seen = attention.shares(reading)[:, :, places, 0].mean((1, 2))
    return {
        "maps": {name: quantised(values) for name, values in maps.items()},
        "share": [round(float(v), 4) for v in (*seen, seen.mean())],
        "on": {name: round(occlusion.share_on(m, own), 4) if float(m.sum()) else None for name, m in maps.items()},
        "odds": [round(value, 3) for value in occlusion.log_odds(logps).tolist()],
    }


def quantised(values: Tensor) -> list[Any]:
    """A map of numbers from 0 on as ``[largest, base64 of one byte each]``: byte / 255 * largest is the value, to 1/510 of it.

    Raises ``ValueError`` for values below 0.
    """
    largest = float(values.max())
    if float(values.min()) < 0:
        raise ValueError("quantised: values lie below 0; cut them off first.")
    scaled = (values / largest * 255).round() if largest > 0 else values * 0
    return [round(largest, 6), base64.b64encode(bytes(scaled.flatten().int().tolist())).decode()]
