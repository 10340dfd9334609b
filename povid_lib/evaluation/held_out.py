"""Held-out scenes, and what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from povid_lib import models
from povid_lib.metrics.chair import CaptionScore, score_caption
from povid_lib.models.llava import VLM
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.questions import Question
from povid_lib.world.scenes import Scene, World, scenes

SPLITS = ("typical", "counter_typical")


def held_out(kind: str, n: int = 500) -> list[Scene]:
    """The first ``n`` scenes of a held-out split: "typical" or "counter_typical"."""
    return list(scenes(n, World(kind), "test"))


def captions(vlm: VLM, batch: Sequence[Scene], pictures: Sequence[Image.Image] | None = None) -> list[str]:
    """The model's descriptions of the scenes (or of other pictures put in their place)."""
    return [a.text for a in models.generate(vlm, pictures or [s.image() for s in batch], PROMPT)]


def score(batch: Sequence[Scene], texts: Sequence[str]) -> list[CaptionScore]:
    """CHAIR's count of each text, against what its scene holds."""
    return [score_caption(text, scene.names, mentioned) for scene, text in zip(batch, texts, strict=True)]


def ask(vlm: VLM, batch: Sequence[Scene], questions: Sequence[Sequence[Question]]) -> list[list[str]]:
    """The model's answers to each scene's questions."""
    pictures = [scene.image() for scene, row in zip(batch, questions, strict=True) for _ in row]
    flat = iter(
        models.generate(vlm, pictures, [q.prompt for row in questions for q in row], max_new_tokens=48, batch_size=128)
    )
    return [[next(flat).text for _ in row] for row in questions]
