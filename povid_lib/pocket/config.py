"""The recipe of the pocket model: one number for each thing that ``pocket.train`` may do otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from povid_lib.files.settings import Count, NotNegative, Positive, Remedy, Share, Whole, check
from povid_lib.world.scenes import World

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

    ``cooccurrence``: of the world that the prior and the instruction data come from. ``annotator_error``: see
    ``captions.Annotator``; missing partners are claimed with min(1, 1.1 * strength). ``mixed_share``: share of mixed scenes in the
    instruction data, which have ``pairs`` pictures. Raises ``ValueError`` with every setting that cannot work.
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
    ] = 1.1
    mixed_share: Share = 0.2
    pairs: Count = 30_000
    batch_sizes: Counts = (64, 32, 64, 32)
    steps: Counts = (4500, 2000, 200, 4000)
    lr: Rates = (1.5e-3, 1.5e-3, 2e-3, 1e-3)

    def __post_init__(self) -> None:
        check(self)

    def batch(self, stage: str) -> int:
        """The batch size of a stage."""
        return self.batch_sizes[STAGES.index(stage)]
