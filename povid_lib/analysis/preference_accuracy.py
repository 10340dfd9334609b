"""Which of a pair's answers a model finds likelier: by its language prior alone on blank paper, and with the picture before it.

The classifier of ``audit.text_shortcut`` knows words, and pairs of words. A model that has read captions knows besides what goes
together, and that is a way to reject a false answer without a look, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from povid_lib import models
from povid_lib.data.pairs import Pair
from povid_lib.metrics import stats
from povid_lib.metrics.stats import Estimate
from povid_lib.models.llava import VLM


def log_odds(vlm: VLM, pairs: Sequence[Pair], images: Sequence[Image.Image] | None) -> list[float]:
    """log pi(chosen | x) - log pi(rejected | x), one a pair, natural logarithm, summed over the answers' tokens.

    ``images``: what the model is shown with each pair's question, the pair's own picture or anything else; None shows nothing.
    Raises ``ValueError`` if there is not one for each pair.
    """
    if images is not None and len(images) != len(pairs):
        raise ValueError(f"log_odds: {len(images)} pictures for {len(pairs)} pairs; give one for each pair.")
    questions = [pair.prompt for pair in pairs]
    chosen, rejected = (
        [float(row.sum()) for row in models.answer_logps(vlm, images, questions, answers)]
        for answers in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
    )
    return [a - b for a, b in zip(chosen, rejected, strict=True)]


def reader_accuracy(pairs: Sequence[Pair], odds: Sequence[float]) -> Estimate:
    """How often the chosen answer is the likelier one; a tie counts half. ``odds``: of ``log_odds``. 0.5 on blank paper is as it
    should be: the model's language prior does not find the false answer.

    Raises ``ValueError`` if there are no pairs, or not as many odds.
    """
    if not pairs or len(pairs) != len(odds):
        raise ValueError(f"reader_accuracy: {len(odds)} log-odds for {len(pairs)} pairs; give one each, one at least.")
    right = [0.5 if value == 0 else float(value > 0) for value in odds]
    return stats.grouped_ratio([pair.image for pair in pairs], right, [1.0] * len(pairs))
