"""Pairs: chosen and rejected answers with what was changed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from povid_lib.data.pairs import Pair
from povid_lib.widgets.base import SpecWidget, png
from povid_lib.world.scenes import Scene


class Pairs(SpecWidget):
    """Say which answer of a pair is false with the picture covered; then see picture, changes and the hits so far. Needs no model
    and no kernel."""

    asset = "pairs"

    def __init__(self, pairs: Sequence[Pair], scenes: Sequence[Scene], labels: Sequence[str]) -> None:
        super().__init__(spec=pairs_spec(pairs, scenes, labels))


def pairs_spec(pairs: Sequence[Pair], scenes: Sequence[Scene], labels: Sequence[str]) -> dict[str, Any]:
    """Pictures, questions and both answers, each word with whether it was changed; pairs, and the two answers, in random order.

    ``labels``: what to call each pair once it is revealed, and to count hits by. ``false``: which answer is the rejected one; among
    the pairs of a label it is each of the two equally often, so that always the same click is no better than a guess.
    """
    rows, rng = [], np.random.default_rng(0)
    turn = {label: int(rng.integers(2)) for label in dict.fromkeys(labels)}
    for pair, scene, label in zip(pairs, scenes, labels, strict=True):
        chosen, rejected = pair.chosen.split(), pair.rejected.split()
        marked: tuple[set[int], set[int]] = (set(), set())
        for tag, i, j, k, m in difflib.SequenceMatcher(a=chosen, b=rejected, autojunk=False).get_opcodes():
            if tag != "equal":
                marked[0].update(range(i, j))
                marked[1].update(range(k, m))
        true, false = (
            [[w, i in on] for i, w in enumerate(ws)] for ws, on in zip((chosen, rejected), marked, strict=True)
        )
        turn[label] = at = 1 - turn[label]
        rows.append(
            {
                "png": png(scene.image()),
                "names": list(scene.names),
                "prompt": pair.prompt,
                "label": label,
                "answers": [true, false] if at else [false, true],
                "false": at,
                "changes": [[c.kind, c.chosen, c.rejected] for c in pair.changes],
            }
        )
    return {"pairs": [rows[i] for i in rng.permutation(len(rows))]}
