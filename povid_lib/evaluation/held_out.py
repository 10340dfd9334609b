"""One model on held-out scenes: the harness of every measurement in the pocket world.

``listen`` asks, and the record that it returns is what reports, studies and experiments score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from povid_lib import models
from povid_lib.evaluation.answers import ANSWERS, CAPTIONS, kept
from povid_lib.metrics.chair import CaptionScore, score_caption
from povid_lib.metrics.pope import SETTINGS
from povid_lib.models.llava import VLM
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.questions import Question, polls
from povid_lib.world.scenes import Scene, scenes
from povid_lib.world.worlds import EDITION, world

SPLITS = ("typical", "counter_typical")
ROWS = 128  # answers that are written at once where they are kept
Decode = Callable[[VLM, Sequence[Image.Image], Sequence[str]], list[str]]  # pictures and as many prompts -> answers


def held_out(kind: str, n: int = 500, split: str = "test", edition: str = EDITION) -> list[Scene]:
    """The first ``n`` held-out scenes of a kind, "typical" or "counter_typical". ``split``: "validation" for what is chosen,
    "test" for what is reported. ``edition``: of the world. Raises ``ValueError`` for fewer than one."""
    if n < 1:
        raise ValueError(f"held_out: n is {n}; ask for one scene or more.")
    return list(scenes(n, world(kind, edition), split))


def greedy(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
    """The likeliest token at each step; at most 128 of them."""
    return [a.text for a in models.generate(vlm, pictures, prompts)]


def captions(
    vlm: VLM,
    batch: Sequence[Scene],
    pictures: Sequence[Image.Image] | None = None,
    decode: Decode = greedy,
    keep: Path | None = None,
) -> list[str]:
    """The model's descriptions of the scenes (or of other pictures put in their place); ``keep``: see ``answers.kept``."""
    shown = pictures or [scene.image() for scene in batch]

    def answer(rows: Sequence[int]) -> list[str]:
        return decode(vlm, [shown[i] for i in rows], [PROMPT] * len(rows))

    return kept(keep, CAPTIONS, [str(i) for i in range(len(batch))], answer, ROWS)


def score(batch: Sequence[Scene], texts: Sequence[str]) -> list[CaptionScore]:
    """CHAIR's score of each scene's caption. Raises ``ValueError`` if they differ in number."""
    return [score_caption(text, scene.names, mentioned) for scene, text in zip(batch, texts, strict=True)]


def ask(
    vlm: VLM,
    batch: Sequence[Scene],
    questions: Sequence[Sequence[Question]],
    decode: Decode = greedy,
    keep: Path | None = None,
) -> list[list[str]]:
    """The model's answers to each scene's questions. Raises ``ValueError`` if scenes and lists of questions differ in number."""
    shown = [scene.image() for scene, _ in zip(batch, questions, strict=True)]
    at = [(i, k) for i, row in enumerate(questions) for k in range(len(row))]

    def answer(rows: Sequence[int]) -> list[str]:
        places = [at[row] for row in rows]
        return decode(vlm, [shown[i] for i, _ in places], [questions[i][k].prompt for i, k in places])

    flat = iter(kept(keep, ANSWERS, [f"{i}-{k}" for i, k in at], answer, ROWS))
    return [[next(flat) for _ in row] for row in questions]


@dataclass(frozen=True)
class Polled:
    """One setting of POPE, a row a scene: the ``questions``, whether yes is right (``truths``), and the ``answers``."""

    questions: list[list[Question]]
    truths: list[list[bool]]
    answers: list[list[str]]


@dataclass(frozen=True)
class Heard:
    """What a model said of ``scenes``: a caption each, its score, and its answers in each setting of POPE that was asked."""

    scenes: Sequence[Scene]
    captions: list[str]
    scores: list[CaptionScore]
    polls: Mapping[str, Polled]


def listen(
    vlm: VLM,
    batch: Sequence[Scene],
    settings: Sequence[str] = SETTINGS,
    n: int = 3,
    decode: Decode = greedy,
    keep: Path | None = None,
) -> Heard:
    """Have the model describe the scenes and answer POPE's questions, up to ``n`` present and as many absent objects a scene.

    ``keep``: a folder for what is said, from which a stopped run goes on. Raises ``ValueError`` for an unknown setting.
    """
    texts = captions(vlm, batch, decode=decode, keep=keep and keep / "captions.jsonl")
    found = {setting: polled(vlm, batch, setting, n, decode, keep) for setting in settings}
    return Heard(batch, texts, score(batch, texts), found)


def polled(
    vlm: VLM, batch: Sequence[Scene], setting: str, n: int = 3, decode: Decode = greedy, keep: Path | None = None
) -> Polled:
    """POPE's questions about the scenes in one setting and what the model answers; arguments as of ``listen``."""
    questions = [polls(scene, setting, n) for scene in batch]
    truths = [[q.answer == "Yes." for q in row] for row in questions]
    return Polled(questions, truths, ask(vlm, batch, questions, decode, keep and keep / f"pope_{setting}.jsonl"))
