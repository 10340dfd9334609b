"""Weigh: what the loss's gradient gives to each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from povid_lib.analysis.loss_gradient import Answers, shared_words
from povid_lib.models.llava import VLM
from povid_lib.widgets.base import SpecWidget, png
from povid_lib.world.scenes import Scene


class Weigh(SpecWidget):
    """Move alpha, beta1 and beta2, and see what the POVID loss weighs, word by word. Needs no model and no kernel."""

    asset = "weigh"

    def __init__(self, vlm: VLM, scored: Mapping[str, Answers], scenes: Sequence[Scene], rows: Sequence[int]) -> None:
        super().__init__(spec=weigh_spec(vlm, scored, scenes, rows))


def weigh_spec(vlm: VLM, scored: Mapping[str, Answers], scenes: Sequence[Scene], rows: Sequence[int]) -> dict[str, Any]:
    """For some ``rows`` of a batch about ``scenes``: every token with its log-probability under policy and reference, and whether
    it is the chosen answer's token after the same words. ``scored``: the answers with the noised one scored under the "noised" and
    the "clean" picture; chosen and rejected ones are taken from the first.
    """
    decode = vlm.processor.tokenizer.decode
    first = next(iter(scored.values()))
    shared = shared_words(first)

    def words(given: Answers, side: str, row: int, same: Sequence[bool]) -> list[list[Any]]:
        length = int(getattr(given, f"{side}_mask")[row].sum())
        ids = getattr(given, f"{side}_ids")[row].tolist()
        policy, reference = (of.given()[side][row].tolist() for of in (given.policy, given.reference))
        return [[decode([ids[t]]).strip(), round(policy[t], 4), round(reference[t], 4), same[t]] for t in range(length)]

    found = []
    for number, row in enumerate(rows, start=1):
        prefix = [*shared[row].tolist(), *[False] * first.rejected_ids.shape[1]]
        noised = {
            picture: words(given, "noised", row, (given.noised_ids[row] == given.chosen_ids[row]).tolist())
            for picture, given in scored.items()
        }
        found.append(
            {
                "title": f"{number}. {', '.join(scenes[row].names)}",
                "png": png(scenes[row].image()),
                "names": list(scenes[row].seen),  # of what the picture shows, in words
                "chosen": words(first, "chosen", row, prefix),
                "rejected": words(first, "rejected", row, prefix),
                "noised": noised,
            }
        )
    return {"pairs": found}
