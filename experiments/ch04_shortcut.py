"""Chapter 04: can a pair's false answer be recognised without the picture? Writes ``results/shortcut.json``.

Four readers: one that sees only the length, a classifier of words (``audit.text_shortcut``), the pocket model on blank paper, the
pocket model with the picture; each for the ways in which a partner is put into a taught caption or put in another object's place,
for exchanged sides, and for answers of equal length with a false object, relation, attribute or reason. Run it from the top
folder: ``python experiments/ch04_shortcut.py [share]``; a share below 1 takes fewer pairs, to see that it works.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from povid_lib import models
from povid_lib.analysis.preference_accuracy import log_odds, reader_accuracy
from povid_lib.data.audit import audit, text_shortcut
from povid_lib.data.corrupt_text import DIFFICULTIES, Offline, pairs
from povid_lib.data.images import scene as scene_of
from povid_lib.data.pairs import Pair
from povid_lib.files import results
from povid_lib.metrics.stats import Estimate
from povid_lib.models.llava import VLM
from povid_lib.pocket import caption_pairs
from povid_lib.pocket.config import CORRUPTIONS, CaptionPairs
from povid_lib.pocket.lessons import recipe_of

WORDS, READ = (
    4000,
    500,
)  # pairs of one sort for the classifier (half of the pictures train it), and for the pocket model
KINDS = {"relation": "relations", "attribute": "attributes", "reasoning": "reasoning"}


def only(n: int, weight: str, difficulty: str = "partner") -> list[Pair]:
    """Pairs of equal length with one kind of corruption."""
    weights = dict.fromkeys(("objects", "relations", "attributes", "reasoning"), 0.0) | {weight: 1.0}
    return list(pairs(n, Offline(difficulty=difficulty, **weights)))


def of_captions(n: int) -> dict[str, list[Pair]]:
    """Pairs about taught captions, every corruption; the captions are written once for all of them."""
    found: dict[str, list[Pair]] = {corruption: [] for corruption in CORRUPTIONS}
    lessons = caption_pairs.captions(recipe_of("pocket"), CaptionPairs())
    while min(map(len, found.values())) < n and (some := list(itertools.islice(lessons, 500))):
        for corruption, rows in found.items():
            made = (caption_pairs.pair_of(*one, CaptionPairs(corruption=corruption)) for one in some)
            rows += [pair for pair in made if pair is not None]
    return {corruption: rows[:n] for corruption, rows in found.items()}


def exchanged(rows: Sequence[Pair], seed: int = 1) -> list[Pair]:
    """Chosen and rejected exchanged in every other pair, at random."""
    coin = np.random.default_rng(seed).random(len(rows)) < 0.5
    swap = {True: lambda p: replace(p, chosen=p.rejected, rejected=p.chosen, changes=()), False: lambda p: p}
    return [swap[bool(heads)](pair) for heads, pair in zip(coin, rows, strict=True)]


def length(rows: Sequence[Pair]) -> Estimate:
    """How often the shorter answer is the chosen one; a tie counts half."""
    return reader_accuracy(rows, [float(len(p.rejected.split()) - len(p.chosen.split())) for p in rows])


def read(vlm: VLM, rows: Sequence[Pair]) -> dict[str, Estimate]:
    """How often the pocket model finds the chosen answer likelier, on blank paper and with the picture."""
    scenes = [scene_of(pair.image) for pair in rows]
    views = {"prior": [scene.blank() for scene in scenes], "picture": [scene.image() for scene in scenes]}
    return {view: reader_accuracy(rows, log_odds(vlm, rows, images)) for view, images in views.items()}


def main() -> None:
    torch.set_num_threads(1)
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    n, few = round(WORDS * share), round(READ * share)
    start, vlm, data = time.time(), models.load("pocket"), {}
    sets = of_captions(n)
    sets["exchanged"] = exchanged(sets["insert"])
    sets |= {difficulty: only(n, "objects", difficulty) for difficulty in DIFFICULTIES}
    sets |= {kind: only(n, weight) for kind, weight in KINDS.items()}
    for label, rows in sets.items():
        data[label] = {
            "pairs": len(rows),
            "length_ratio": audit(rows).length_ratio,
            "length": length(rows),
            "words": text_shortcut(rows),
            **read(vlm, rows[:few]),
        }
        print(f"{time.time() - start:.0f} s", label, {k: str(v) for k, v in data[label].items()}, flush=True)
    print(results.save("shortcut", data, {"words": n, "read": few}, time.time() - start, code=[__file__]))


if __name__ == "__main__":
    main()
