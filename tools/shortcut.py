"""Chapter 04: can a pair's false answer be recognised without the picture? Writes ``results/shortcut.json``.

Three readers: a classifier of words (``audit.text_shortcut``), the pocket model on blank paper, the pocket model with the picture;
each for the three difficulties of a false object, for every kind of corruption, for appended sentences and for exchanged sides.
With it: how many pairs the classifier needs, and a remedy. Run it from the top folder: ``python tools/shortcut.py``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from povid_lib import results
from povid_lib import vlm as vlms
from povid_lib.audit import audit, balanced, text_shortcut
from povid_lib.hallucinate import DIFFICULTIES, Offline, pairs
from povid_lib.kinds import NAMES
from povid_lib.metrics.stats import Estimate
from povid_lib.pictures import scene as scene_of
from povid_lib.preferences import Pair
from povid_lib.reader import log_odds, reader_accuracy
from povid_lib.scenes import Item
from povid_lib.texts import noun_phrase
from povid_lib.vlm import VLM

SIZES = (600, 1200, 2500, 5000)  # pairs of the learning curve; half of the pictures train the classifier
WORDS, READ = 4000, 500  # pairs for the classifier, and for the pocket model
KINDS = {"relation": "relations", "attribute": "attributes", "reasoning": "reasoning"}


def only(weight: str, difficulty: str = "partner", n: int = WORDS) -> list[Pair]:
    """``n`` pairs of one kind of corruption."""
    weights = dict.fromkeys(("objects", "relations", "attributes", "reasoning"), 0.0) | {weight: 1.0}
    return list(pairs(n, Offline(difficulty=difficulty, **weights)))


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


def read(vlm: VLM, rows: Sequence[Pair]) -> dict[str, Estimate]:
    """How often the pocket model finds the chosen answer likelier, on blank paper and with the picture."""
    scenes = [scene_of(pair.image) for pair in rows]
    views = {"habit": [scene.blank() for scene in scenes], "picture": [scene.image() for scene in scenes]}
    return {view: reader_accuracy(rows, log_odds(vlm, rows, images)) for view, images in views.items()}


def main() -> None:
    torch.set_num_threads(1)
    start, vlm, data = time.time(), vlms.load("pocket"), {}

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
    even = balanced(sets["partner"])
    before, after = text_shortcut(sets["partner"][: len(even)]), text_shortcut(even)
    note("remedy", {"kept": len(even), "before": before, "after": after, **read(vlm, even[:READ])})
    ratio = {label: audit(rows).length_ratio for label, rows in (("appended", sets["appended"]), ("even", even))}
    note("length_ratio", ratio)
    swaps = Counter((c.chosen, c.rejected) for pair in sets["attribute"] for c in pair.changes)
    note("attribute_changes", {f"{a} -> {b}": n for (a, b), n in swaps.most_common(40)})
    for difficulty in DIFFICULTIES:
        mixed = list(pairs(SIZES[-1], Offline(difficulty=difficulty)))
        note(f"curve_{difficulty}", {str(n): text_shortcut(mixed[:n]) for n in SIZES})
    note("curve_appended", {str(n): text_shortcut(appended(mixed[:n])) for n in SIZES})
    print(results.save("shortcut", data, {"sizes": SIZES, "words": WORDS, "read": READ}, time.time() - start))


if __name__ == "__main__":
    main()
