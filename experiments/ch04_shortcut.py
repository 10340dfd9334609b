"""Chapter 04: can a pair's false answer be recognised without the picture? Writes ``results/shortcut.json``.

Three readers: a classifier of words (``audit.text_shortcut``), the pocket model on blank paper, the pocket model with the picture;
each for the three difficulties of a false object, for every kind of corruption, for appended sentences and for exchanged sides.
With it: how many pairs the classifier needs, where it finds what it finds, and a remedy. Run it from the top folder:
``python experiments/ch04_shortcut.py``.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from povid_lib import models
from povid_lib.analysis.preference_accuracy import log_odds, reader_accuracy
from povid_lib.data.audit import balanced, text_shortcut
from povid_lib.data.corrupt_text import DIFFICULTIES, Offline, pairs
from povid_lib.data.images import scene as scene_of
from povid_lib.data.pairs import Pair
from povid_lib.files import results
from povid_lib.metrics.stats import Estimate
from povid_lib.models.llava import VLM
from povid_lib.world.captions import noun_phrase
from povid_lib.world.items import POSITIONS, Item
from povid_lib.world.objects import NAMES

SIZES = (500, 1000, 2000, 4000)  # pairs of the learning curves; half of the pictures train the classifier
WORDS, MIXED, READ = (
    4000,
    5000,
    500,
)  # pairs of one kind and of all kinds for the classifier; pairs for the pocket model
KINDS = {"relation": "relations", "attribute": "attributes", "reasoning": "reasoning"}


def only(weight: str, difficulty: str = "partner", seed: int = 0) -> list[Pair]:
    """Pairs of one kind of corruption; another seed, other scenes."""
    weights = dict.fromkeys(("objects", "relations", "attributes", "reasoning"), 0.0) | {weight: 1.0}
    return list(pairs(WORDS, Offline(difficulty=difficulty, seed=seed, **weights)))


def appended(rows: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """The same chosen answers, each rejected one with a false sentence more."""
    rng, made = np.random.default_rng(seed), []
    for pair in rows:
        names = scene_of(pair.image).names
        other = Item(str(rng.choice([name for name in NAMES if name not in names])))
        made.append(
            replace(pair, rejected=f"{pair.chosen} There is {noun_phrase(other, attributes=False)}.", changes=())
        )
    return made


def exchanged(rows: Sequence[Pair], seed: int = 1) -> list[Pair]:
    """Chosen and rejected exchanged in every other pair, at random."""
    coin = np.random.default_rng(seed).random(len(rows)) < 0.5
    swap = {True: lambda p: replace(p, chosen=p.rejected, rejected=p.chosen, changes=()), False: lambda p: p}
    return [swap[bool(heads)](pair) for heads, pair in zip(coin, rows, strict=True)]


def doubled(caption: str) -> bool:
    """Whether two sentences put something at the same place, which no true caption does."""
    places = re.findall(rf"the ({'|'.join(sorted(POSITIONS, key=len, reverse=True))})\b(?! of)", caption)
    return len(places) > len(set(places))


def column(place: str) -> str:
    """Which column of the picture a place is in, as far as its words tell."""
    return next((side for side in ("left", "right") if side in place.split()), "middle")


def read(vlm: VLM, rows: Sequence[Pair]) -> dict[str, Estimate]:
    """How often the pocket model finds the chosen answer likelier, on blank paper and with the picture."""
    scenes = [scene_of(pair.image) for pair in rows]
    views = {"habit": [scene.blank() for scene in scenes], "picture": [scene.image() for scene in scenes]}
    return {view: reader_accuracy(rows, log_odds(vlm, rows, images)) for view, images in views.items()}


def main() -> None:
    torch.set_num_threads(1)
    start, vlm, data = time.time(), models.load("pocket"), {}

    def note(key: str, found: dict) -> None:
        data[key] = found
        print(f"{time.time() - start:.0f} s", key, {k: str(v) for k, v in found.items()}, flush=True)

    objects = {difficulty: only("objects", difficulty) for difficulty in DIFFICULTIES}
    sets = {
        "appended": appended(objects["random"]),
        **objects,
        "exchanged": exchanged(objects["partner"]),
        **{kind: only(weight) for kind, weight in KINDS.items()},
    }
    for label, rows in sets.items():
        note(label, {"words": text_shortcut(rows), **read(vlm, rows[:READ])})
    for label in ("appended", "partner", "relation", "attribute"):
        note(f"curve_{label}", {str(n): text_shortcut(sets[label][:n]) for n in SIZES})
    mixed = list(pairs(MIXED))
    note("mixed", {"words": text_shortcut(mixed), "appended": text_shortcut(appended(mixed))})

    # remedies, each with a fresh classifier, and other scenes to test it on
    made, fresh = sets["partner"], only("objects", seed=1)
    even, even_fresh = balanced(made), balanced(fresh)
    taught = {"made": made[: len(even)], "even": even}  # as many pairs to learn from
    tested = {"made": fresh, "even": even_fresh}
    found = {f"{a}_on_{b}": text_shortcut(taught[a], test=tested[b]) for a in taught for b in tested}
    note("remedy", {"kept": len(even), **found, "split": text_shortcut(even), **read(vlm, even[:READ])})
    relations, others = sets["relation"], only("relations", seed=1)
    share = {side: float(np.mean([doubled(getattr(p, side)) for p in relations])) for side in ("chosen", "rejected")}
    apart = [pair for pair in relations if not doubled(pair.rejected)]
    before = text_shortcut(relations[: len(apart)])
    note("doubled", {**share, "kept": len(apart), "before": before, "after": text_shortcut(apart)})
    moved = {"upright": [], "sideways": []}
    for pair in others:
        moved["upright" if column(pair.changes[0].chosen) == column(pair.changes[0].rejected) else "sideways"].append(
            pair
        )
    note("order", {way: text_shortcut(relations, test=part) for way, part in moved.items()})
    swaps = Counter((c.chosen, c.rejected) for pair in sets["attribute"] for c in pair.changes)
    note("attribute_changes", {f"{a} -> {b}": n for (a, b), n in swaps.most_common(40)})
    print(
        results.save(
            "shortcut",
            data,
            {"sizes": SIZES, "words": WORDS, "mixed": MIXED, "read": READ},
            time.time() - start,
            code=[__file__],
        )
    )


if __name__ == "__main__":
    main()
