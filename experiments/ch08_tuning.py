"""Chapter 08: the two phases on the pocket model, before and after, three seeds. Writes ``results/tuning.json``.

Every run has the recipe's number of rows an update and its rates; a seed changes pairs, their order, the adapters and the noise.
Beside the two phases: SFT on the same true answers for as many updates; DPO with equal weights on both answers; pairs with the
labels dealt at random; and SFT on the model's own answers, the control. Run it from the top folder: ``python
experiments/ch08_tuning.py``; a stopped run goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from povid_lib import models
from povid_lib.data import pair_files
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.pairs import Pair
from povid_lib.evaluation.held_out import SPLITS, held_out, listen
from povid_lib.files import results
from povid_lib.metrics import stats
from povid_lib.metrics.chair import CaptionScore, chair
from povid_lib.metrics.pope import pope
from povid_lib.study import pair_variants
from povid_lib.training import recipe as recipes
from povid_lib.world.annotators import Annotator
from povid_lib.world.objects import KINDS
from povid_lib.world.scenes import Scene

SEEDS, N = (0, 1, 2), 500
OUT = Path("runs/tuning")
RECIPE = recipes.read_recipe("recipes/pocket.yaml")
QUIET = {"disable_tqdm": True, "save_strategy": "no"}


def recipe(method: str, seed: int) -> recipes.Recipe:
    """The shipped recipe, or what a method changes of its first phase."""
    text: dict[str, Any] = {**(RECIPE.text or {}), **QUIET, "seed": seed}
    both: dict[str, Any] = {**(RECIPE.both or {}), **QUIET, "seed": seed}
    steps = text["max_steps"] + both["max_steps"]
    sft: dict[str, Any] = {"text": {**text, "objective": "sft", "max_steps": steps}, "both": None}
    changes: dict[str, dict[str, Any]] = {
        "povid": {},
        "sft": sft,
        "dpo": {"text": {**text, "objective": "dpo"}, "both": None},
        "own": {**sft, "offline": {}, "pairs": str(OUT / f"own-{seed}.jsonl")},
        "shuffled": {"both": None, "offline": {}, "pairs": str(OUT / f"shuffled-{seed}.jsonl")},
    }
    base = replace(RECIPE, out=str(OUT / f"{method}-{seed}"), text=text, both=both)
    settings: dict[str, Any] = {"offline": {**RECIPE.offline, "seed": seed}} | changes[method]
    return replace(base, **settings)


def made(seed: int) -> list[Pair]:
    """The seed's pairs, without the record of their changes, which no longer holds for what is made of them here."""
    settings = {**RECIPE.offline, "seed": seed}
    n = settings.pop("n")
    return [replace(pair, changes=()) for pair in pairs(n, Offline(**settings))]


def shuffle_labels(path: Path, seed: int) -> None:
    """The same pairs; a coin decides which of the two answers is called chosen."""
    rng = np.random.default_rng(seed)
    write(path, [replace(p, chosen=p.rejected, rejected=p.chosen) if rng.random() < 0.5 else p for p in made(seed)])


def own_answers(path: Path, seed: int) -> None:
    """The same prompts and pictures; chosen is what the untuned model says itself."""
    write(path, pair_variants.own(models.load(RECIPE.model), made(seed)))


def write(path: Path, rows: list[Pair]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pair_files.write(path, rows)


def lost(batch: Sequence[Scene], scored: Sequence[CaptionScore]) -> dict[str, Any]:
    """Recall of objects whose partner is in the picture, which a habit could guess, and of the others."""
    found = {}
    for name, guessable in (("partner_present", True), ("partner_absent", False)):
        asked = [[x for x in s.names if (KINDS[x].partner in s.names) == guessable] for s in batch]
        named = [sum(x in c.mentioned for x in names) for c, names in zip(scored, asked, strict=True)]
        found[name] = stats.share(named, [len(names) for names in asked])
    return found


def measure(model: str) -> dict[str, Any]:
    """Both held-out splits: CHAIR, recall, length, adversarial yes/no."""
    vlm, data = models.load(model), {}
    for kind in SPLITS:
        heard = listen(vlm, held_out(kind, N), ("adversarial",))
        polled = heard.polls["adversarial"]
        found, replies = chair(heard.scores), pope(polled.answers, polled.truths)
        data[kind] = {
            "chair_s": found.chair_s,
            "chair_i": found.chair_i,
            "recall": found.recall,
            "words": stats.mean([len(text.split()) for text in heard.captions]),
            "adversarial": replies.accuracy,
            "yes_ratio": replies.yes_ratio,
            "hallucinated": [int(bool(c.hallucinated)) for c in heard.scores],
            **lost(heard.scenes, heard.scores),
        }
    return data


def measured(name: str, model: str) -> dict[str, Any]:
    path = OUT / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            split: {k: asdict(v) if isinstance(v, stats.Estimate) else v for k, v in row.items()}
            for split, row in measure(model).items()
        }
        path.write_text(json.dumps(found))
    return json.loads(path.read_text())


def main() -> None:
    start = time.time()
    truth: dict[str, Any] = {
        kind: stats.mean(
            [
                len(Annotator(error=0).caption(s, np.random.default_rng(i)).split())
                for i, s in enumerate(held_out(kind, N))
            ]
        )
        for kind in SPLITS
    }
    data: dict[str, Any] = {"before": measured("before", RECIPE.model), "truth_words": truth, "seeds": {}}
    for seed in SEEDS:
        for name, make in (("shuffled", shuffle_labels), ("own", own_answers)):
            path = OUT / f"{name}-{seed}.jsonl"
            if not path.exists():
                make(path, seed)
        for method in ("povid", "sft", "dpo", "shuffled", "own"):
            run = recipe(method, seed)
            recipes.run(run)
            for phase in recipes.PHASES:
                if getattr(run, phase) is not None:
                    name = {"text": "text", "both": "both"}[phase] if method == "povid" else method
                    found = measured(f"{name}-{seed}", str(Path(run.out) / phase / "merged"))
                    data["seeds"].setdefault(name, []).append(found)
                    log = json.loads((Path(run.out) / phase / "report.json").read_text())["log"]
                    data.setdefault("curves", {}).setdefault(name, []).append(log)
                    print(
                        name,
                        seed,
                        {k: round(found["typical"][k]["value"], 3) for k in ("chair_s", "recall", "words")},
                        flush=True,
                    )
    print(
        results.save(
            "tuning", data, {"recipe": asdict(RECIPE), "seeds": SEEDS, "n": N}, time.time() - start, code=[__file__]
        )
    )


if __name__ == "__main__":
    main()
