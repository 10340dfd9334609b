"""The instruction data of one recipe: which pictures, which captions, which questions. What is *taught* can be read again.

Each lesson of the second edition follows from ``(seed, number)`` alone, so that pairs can be made of what a model was taught. The
first edition draws all lessons from one stream of chance, as its shipped model was trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from povid_lib.models.llava import FOLDER
from povid_lib.pocket.config import PocketConfig, read_config
from povid_lib.pocket.data import conversation
from povid_lib.world import worlds
from povid_lib.world.annotators import Annotator, truthful
from povid_lib.world.captions import DETAILED_PROMPTS, SHORT_PROMPTS
from povid_lib.world.questions import Question
from povid_lib.world.scenes import Scene, sample_scene


@dataclass(frozen=True)
class Lesson:
    """One picture of the instruction data: its caption as taught, questions with answers as taught, and a true short caption."""

    scene: Scene
    caption: Question
    talk: tuple[Question, ...]
    short: Question

    @property
    def detailed(self) -> bool:
        """Whether the caption has a sentence for each object; else it is one enumeration."""
        return self.caption.prompt in DETAILED_PROMPTS


def recipe_of(model: str | Path) -> PocketConfig:
    """The recipe by which a pocket model was made: its edition, and its instruction data, which can be read again from it.

    ``model``: "pocket", or a folder. Raises ``ValueError`` if there is no recipe in the folder.
    """
    path = (FOLDER if model == "pocket" else Path(model)) / "pocket_config.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing; the recipe that povid pocket train leaves there is needed.")
    return read_config(path)


def author(config: PocketConfig) -> Annotator:
    """Who writes the instruction data of a recipe."""
    return Annotator(
        error=config.annotator_error,
        world=worlds.world(edition=config.edition, cooccurrence=config.cooccurrence),
        insert=config.insert,
        confuse=config.confuse,
        omit=config.omit,
        together=config.edition != "first",
    )


def lessons(config: PocketConfig) -> Iterator[Lesson]:
    """All of a recipe's lessons, in order."""
    rng = _rng(config, 1_000_000)
    for number in range(config.pairs):
        if config.edition == "first":
            yield from _block(config, rng, number) if number % 250 == 0 else ()
        else:
            yield lesson(config, number)


def lesson(config: PocketConfig, number: int) -> Lesson:
    """One lesson of the second edition."""
    rng = _rng(config, 1_000_000 + number)
    return _lesson(_scene(config, number, rng), author(config), config, rng)


def _block(config: PocketConfig, rng: np.random.Generator, first: int) -> Iterator[Lesson]:
    """The first edition's order of chance: 250 scenes, then their texts."""
    batch = [_scene(config, i, rng) for i in range(first, min(first + 250, config.pairs))]
    yield from (_lesson(scene, author(config), config, rng) for scene in batch)


def _rng(config: PocketConfig, stream: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, 3, stream])  # 3: the place of "instruct" in pocket_train.STAGES


def _scene(config: PocketConfig, number: int, rng: np.random.Generator) -> Scene:
    kind = "mixed" if rng.random() < config.mixed_share else "typical"
    world = worlds.world(kind, config.edition, 1.0 if kind == "mixed" else config.cooccurrence)
    return sample_scene(20_000_000 * config.seed + 15_000_000 + number, world)


def _lesson(scene: Scene, author: Annotator, config: PocketConfig, rng: np.random.Generator) -> Lesson:
    detailed = bool(rng.random() < 0.75)
    prompts = DETAILED_PROMPTS if detailed else SHORT_PROMPTS
    prompt = prompts[rng.integers(len(prompts))]
    caption = Question("caption", prompt, author.caption(scene, rng, detailed))
    talk = tuple(conversation(scene, author, rng))
    honest = Annotator(world=author.world) if config.edition == "first" else truthful(scene)
    return Lesson(
        scene, caption, talk, Question("caption", SHORT_PROMPTS[0], honest.caption(scene, rng, detailed=False))
    )
