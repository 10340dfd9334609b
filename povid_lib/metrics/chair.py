"""CHAIR: which objects does a caption name that are not in the picture? (Rohrbach et al., 2018)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from povid_lib.metrics.stats import Comparison, Estimate, compare, ratio, share


@dataclass(frozen=True)
class CaptionScore:
    """One caption: objects named (in order, each mention), those not in the picture, and the picture's objects found."""

    mentioned: tuple[str, ...]
    hallucinated: tuple[str, ...]
    truth: frozenset[str]
    words: int

    @property
    def recalled(self) -> int:
        """How many of the true objects are named."""
        return len(self.truth & set(self.mentioned))


@dataclass(frozen=True)
class Chair:
    """``chair_s``: share of captions with a false object; ``chair_i``: share of mentions that are false; ``recall``: share
    of true objects that are named; ``length``: words a caption. Never read the first two without the last two."""

    chair_s: Estimate
    chair_i: Estimate
    recall: Estimate
    length: Estimate


@dataclass(frozen=True)
class ChairComparison:
    """Each measure of ``Chair`` for a second model less the first, over the same images."""

    chair_s: Comparison
    chair_i: Comparison
    recall: Comparison
    length: Comparison


def score_caption(caption: str, truth: Collection[str], mentioned: Callable[[str], Sequence[str]]) -> CaptionScore:
    """Score one caption. ``mentioned`` reads the objects out of a text, repeated mentions counted: a ``Vocabulary``'s method
    of that name, or ``captions.mentioned``. Words are counted between white space."""
    named = tuple(mentioned(caption))
    return CaptionScore(named, tuple(n for n in named if n not in truth), frozenset(truth), len(caption.split()))


def score_captions(
    captions: Mapping[str, str], truth: Mapping[str, Collection[str]], mentioned: Callable[[str], Sequence[str]]
) -> list[CaptionScore]:
    """Score image id -> caption against image id -> objects, in the captions' order.

    Raises ``ValueError`` if an image of the captions has no truth; images without a caption do not count.
    """
    unknown = [image for image in captions if image not in truth]
    if unknown:
        raise ValueError(f"No truth for {len(unknown)} of {len(captions)} captions; the first is image {unknown[0]}.")
    return [score_caption(caption, truth[image], mentioned) for image, caption in captions.items()]


def chair(scores: Sequence[CaptionScore]) -> Chair:
    """Aggregate caption scores (micro averages over mentions and objects; captions without an object count in ``chair_s``).

    Where no caption names any object ``chair_i`` is nan (the authors' evaluator divides by zero), and so is ``recall`` where no
    picture has one. Raises ``ValueError`` if there are no scores.
    """
    sums = _sums(scores)
    return Chair(
        chair_s=ratio(*sums["chair_s"]),
        chair_i=share(*sums["chair_i"]),
        recall=share(*sums["recall"]),
        length=ratio(*sums["length"]),
    )


def compare_chair(first: Sequence[CaptionScore], second: Sequence[CaptionScore]) -> ChairComparison:
    """The second model's measures less the first's, on the same images in the same order.

    Raises ``ValueError`` if the two differ in length or in an image's truth, or if a measure is undefined for one of them.
    """
    if len(first) != len(second):
        raise ValueError(f"compare_chair: {len(first)} captions against {len(second)}; give both for the same images.")
    for at, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.truth != b.truth:
            raise ValueError(f"compare_chair: caption {at} is of two images ({set(a.truth)} and {set(b.truth)}).")
    before, after = _sums(first), _sums(second)
    return ChairComparison(**{name: compare(before[name], after[name]) for name in before})


def _sums(scores: Sequence[CaptionScore]) -> dict[str, tuple[list[int], list[int]]]:
    """Numerator and denominator of each measure, a caption each."""
    ones = [1] * len(scores)
    return {
        "chair_s": ([int(bool(s.hallucinated)) for s in scores], ones),
        "chair_i": ([len(s.hallucinated) for s in scores], [len(s.mentioned) for s in scores]),
        "recall": ([s.recalled for s in scores], [len(s.truth) for s in scores]),
        "length": ([s.words for s in scores], ones),
    }
