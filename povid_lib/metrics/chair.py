"""CHAIR: which objects does a caption name that are not in the picture? (Rohrbach et al., 2018)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from povid_lib.metrics.stats import Estimate, mean, ratio


@dataclass(frozen=True)
class CaptionScore:
    """One caption: objects named (in order, each mention), those not in the picture, and the picture's objects found."""

    mentioned: tuple[str, ...]
    hallucinated: tuple[str, ...]
    truth: frozenset[str]
    words: int

    @property
    def recalled(self) -> int:
        return len(self.truth & set(self.mentioned))


@dataclass(frozen=True)
class Chair:
    """``chair_s``: share of captions with a false object; ``chair_i``: share of mentions that are false; ``recall``: share
    of true objects that are named; ``length``: words a caption. Never read the first two without the last two."""

    chair_s: Estimate
    chair_i: Estimate
    recall: Estimate
    length: Estimate


def score_caption(caption: str, truth: Collection[str], mentioned: Callable[[str], Sequence[str]]) -> CaptionScore:
    """Score one caption. ``mentioned`` reads the objects out of a text, repeated mentions counted."""
    named = tuple(mentioned(caption))
    return CaptionScore(named, tuple(n for n in named if n not in truth), frozenset(truth), len(caption.split()))


def chair(scores: Sequence[CaptionScore]) -> Chair:
    """Aggregate caption scores (micro averages over mentions and objects). Raises ``ValueError`` if there are none."""
    return Chair(
        chair_s=mean([bool(s.hallucinated) for s in scores]),
        chair_i=ratio([len(s.hallucinated) for s in scores], [len(s.mentioned) for s in scores]),
        recall=ratio([s.recalled for s in scores], [len(s.truth) for s in scores]),
        length=mean([s.words for s in scores]),
    )
