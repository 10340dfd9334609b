"""The recipe of the pocket model, one number for each thing that ``pocket.train`` may do otherwise; and that of pairs about its
captions (see ``caption_pairs``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from povid_lib.files.jsonl import read_record
from povid_lib.files.settings import Count, NotNegative, Positive, Remedy, Share, Whole, check, one_of
from povid_lib.world.worlds import EDITION, EDITIONS, World

TRUTHS = ("taught", "new")
CORRUPTIONS = ("insert", "insert_within", "insert_even", "replace", "stranger")
STAGES = ("eyes", "prior", "align", "instruct")
Counts = Annotated[
    tuple[Count, Count, Count, Count], Remedy(f"give four whole numbers of at least 1, for {', '.join(STAGES)}")
]
Rates = Annotated[
    tuple[Positive, Positive, Positive, Positive], Remedy(f"give four numbers above 0, for {', '.join(STAGES)}")
]


def _of_a_world(cooccurrence: float) -> float:
    return World(cooccurrence=cooccurrence).cooccurrence


@dataclass(frozen=True)
class PocketConfig:
    """One recipe. Batch sizes, steps and learning rates are per stage, in the order of ``STAGES``.

    By default the recipe of the shipped model. ``cooccurrence``, ``edition``: of the world that the prior and the instruction
    data come from. ``annotator_error``, ``insert``, ``confuse``, ``omit``: see ``annotators.Annotator``; with an error of 1.1
    missing partners are claimed with min(1, 1.1 * strength). ``mixed_share``: share of mixed scenes in the instruction data, which
    have ``pairs`` pictures. ``talk_share``: share of conversations in a batch of the instruction stage, the rest are captions.
    Raises ``ValueError`` with every setting that cannot work.
    """

    seed: Annotated[Whole, Field(description="Another seed: other scenes, texts and initial weights.")] = 0
    cooccurrence: Annotated[
        float,
        AfterValidator(_of_a_world),
        Field(description="Strength of co-occurrence in the world it learns from."),
        Remedy("give a number between 0 and 1.1"),
    ] = 1.0
    annotator_error: Annotated[
        NotNegative, Field(description="Rate at which missing partners are claimed, before strength.")
    ] = 0.0
    mixed_share: Share = 0.25
    pairs: Count = 40_000
    batch_sizes: Counts = (64, 32, 64, 32)
    steps: Counts = (4500, 2000, 200, 6000)
    lr: Rates = (1.5e-3, 1.5e-3, 2e-3, 1e-3)
    edition: Annotated[str, one_of(EDITIONS)] = EDITION
    insert: NotNegative = 0.35
    confuse: NotNegative = 0.0
    omit: Share = 0.15
    talk_share: Share = 0.5

    def __post_init__(self) -> None:
        check(self)

    def batch(self, stage: str) -> int:
        """The batch size of a stage."""
        return self.batch_sizes[STAGES.index(stage)]


def read_config(path: Path) -> PocketConfig:
    """The recipe that ``povid pocket train`` leaves beside a model. Raises ``ValueError`` for one that cannot be."""
    found = read_record(path, "copy the model's folder again")
    if other := sorted(found.keys() - {f.name for f in fields(PocketConfig)}):
        raise ValueError(
            f"{path} has {', '.join(other)}, which are no settings of a pocket model; copy the folder again."
        )
    if lacking := [f.name for f in fields(PocketConfig) if f.name not in found]:
        raise ValueError(
            f"{path} says nothing of {', '.join(lacking)}, so that the model's recipe is not known; make the model anew, or add "
            "them as its recipe has them (RECIPES in povid_lib/pocket/config.py)."
        )
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return PocketConfig(**values)


# the recipes of the shipped worlds, by edition; how the second one's numbers were found is in experiments/second_world.md
RECIPES = {
    "first": PocketConfig(
        edition="first",
        annotator_error=1.1,
        insert=0.0,
        omit=0.0,
        mixed_share=0.2,
        pairs=30_000,
        steps=(4500, 2000, 200, 4000),
    ),
    "second": PocketConfig(),
    "shown": PocketConfig(edition="shown"),
}


@dataclass(frozen=True)
class CaptionPairs:
    """What is written.

    ``truth``: "taught", captions of the model's own instruction data, errors included; or "new", true captions of typical scenes
    that no model has seen.
    ``corruption``: "insert": the missing partner of an object that the caption names is claimed right behind it, so that the wrong
    answer is the longer one; "insert_within": the same, where another object's sentence follows, so that it does not teach where a
    caption ends; "insert_even": as "insert", and another object's sentence is left out of it; "replace": the missing
    partner is named in the place of an object of the caption; "stranger": an object of another context is claimed anywhere, which
    every caption allows, so that the chosen answers are not selected.
    ``cleaned``: share of the taught captions that are written anew, without an error, from the truth of their picture.

    Raises ``ValueError`` for an unknown truth or corruption, a share that is none, and new truth to be cleaned.
    """

    truth: Annotated[
        str,
        one_of(TRUTHS),
        Field(
            description='Chosen answers: "taught", of the instruction data, errors included; "new", without an error.'
        ),
    ] = "taught"
    corruption: Annotated[
        str,
        one_of(CORRUPTIONS),
        Field(
            description='"insert" a missing partner behind its companion, "insert_within" where another object follows, '
            '"insert_even" and leave another sentence out, "replace" an object by it, or put in a "stranger".'
        ),
    ] = "insert"
    cleaned: Annotated[
        Share, Field(description="Share of the taught captions that are written anew from the truth.")
    ] = 0.0
    seed: Annotated[Whole, Field(description="Another seed: other captions, other pairs.")] = 0

    def __post_init__(self) -> None:
        check(self, self._combined())

    def _combined(self) -> Iterator[str]:
        if self.cleaned and self.truth != "taught":
            yield f"cleaned is {self.cleaned}, and {self.truth} truth has no error; leave it out"
