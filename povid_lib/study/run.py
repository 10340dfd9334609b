"""Many methods, many seeds, one command: trains, measures and keeps every run. ``povid study`` calls it; ``report`` sums up.

What is done under a run's key (``methods.Study.key``) is not done again, and a stopped study goes on where it was.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from povid_lib import models
from povid_lib.data import pair_files
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.pairs import Pair
from povid_lib.files import jsonl
from povid_lib.models.llava import VLM
from povid_lib.pocket import caption_pairs
from povid_lib.pocket.config import CaptionPairs
from povid_lib.pocket.lessons import recipe_of
from povid_lib.study import pair_variants
from povid_lib.study.measure import as_json, measure
from povid_lib.study.methods import Method, Study, code_of
from povid_lib.training import recipe as recipes

MORE = 1.5  # prompts tried for each pair that is wanted, where some prompts give none


def jobs(study: Study) -> Iterator[tuple[Method, int]]:
    """Every run: the first seeds of all methods before the second ones, so that a study cut short has something of everything."""
    most = max(method.seeds for method in study.methods)
    return ((m, seed) for seed, m in itertools.product(range(most), study.methods) if seed < m.seeds)


def run(study: Study, only: Sequence[str] = (), part: tuple[int, int] = (0, 1)) -> int:
    """Train and measure what is not done yet; how many runs that were.

    ``only``: names of methods or groups. ``part``: (k, n), every n-th run from the k-th, for n processes side by side.
    """
    base, done = models.load(study.model), 0
    code_of("train"), code_of("measure")
    for at, (method, seed) in enumerate(jobs(study)):
        wanted = not only or method.name in only or method.group in only
        if wanted and at % part[1] == part[0] and not study.measured(method, seed).is_file():
            run_one(study, method, seed, base)
            _tidy_reference(study, method, seed)
            done += 1
    return done


def run_one(study: Study, method: Method, seed: int, base: VLM) -> dict[str, Any]:
    """One run: its pairs, its training, its measures, and what remains of it on disk (pairs, reports, adapters)."""
    start, report, model = time.time(), dict[str, Any](), base
    if method.is_trained:
        recipe = study.recipe(method, seed)
        folder = Path(recipe.out)
        made = folder / "rows.jsonl"
        if not made.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            count = pair_files.write(made, rows(study, method, seed, base, folder))
            print(f"{method.name} {seed}: {count} pairs", flush=True)
        model = models.load(recipes.run(recipe))
        report = _training(recipe)
    trained = time.time() - start
    found = measure(
        model, base, method.scenes or study.scenes, method.decode, seed, method.constant, study.split, study.edition
    )
    content = {
        "method": asdict(method),
        "seed": seed,
        "training": report,
        "seconds": [trained, time.time() - start - trained],
    }
    path = study.measured(method, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(path) as part:
        part.write_text(json.dumps(content | {"measures": as_json(found)}), encoding="utf-8")
    if method.is_trained:
        _tidy(Path(recipe.out))
    return content


def rows(study: Study, method: Method, seed: int, base: VLM, folder: Path) -> list[Pair]:
    """The pairs of one run. Methods that give no pair for some prompts get more prompts after the same first ones."""
    n = ({**study.offline, **method.offline} if study.edition == "first" else {**study.captions, **method.captions})[
        "n"
    ]
    if method.data in ("sampled", "even", "shorter", "corrected"):
        alike = replace(method, noise=0.0, data="corrected" if method.data == "corrected" else "sampled")
        drawn = Path(study.out) / f"drawn-{seed}-{study.key(alike, seed, 'train')}.jsonl"
        if not drawn.is_file():  # methods that differ in their labels' noise only have the same answers
            candidates = truth(study, method, seed, round(MORE * n))
            make = pair_variants.corrected if method.data == "corrected" else pair_variants.sampled
            pair_files.write(drawn, make(base, candidates, seed))
        found = list(pair_files.read(drawn))
        if len(found) < n:
            raise ValueError(
                f"{method.name}: {round(MORE * n)} prompts gave {len(found)} pairs, {n} are wanted; the model errs too seldom."
            )
        if method.data == "even":  # of the same pairs those that do not teach brevity
            return [p for p in found[:n] if len(p.chosen.split()) >= len(p.rejected.split())]
        if method.data == "shorter":
            return pair_variants.shorter(found[:n])
        return pair_variants.relabelled(found[:n], method.noise, seed)
    found = truth(study, method, seed, n)
    if method.data == "relabelled":
        return pair_variants.relabelled(found, method.noise, seed)
    if method.data == "own":
        return pair_variants.own(base, found)
    if method.data == "swapped":
        return pair_variants.swapped(found)
    if method.data == "blanked":
        return pair_variants.blanked(found, folder)
    return found


def truth(study: Study, method: Method, seed: int, n: int) -> list[Pair]:
    """Pairs whose chosen answers are the truth that the study's edition has: of new scenes, or of taught captions.

    Raises ``ValueError`` if there are fewer than ``n``.
    """
    if study.edition == "first":
        settings = {**study.offline, **method.offline, "seed": seed}
        return list(pairs(n, Offline(**{name: value for name, value in settings.items() if name != "n"})))
    settings = {**study.captions, **method.captions, "seed": seed}
    config = CaptionPairs(**{name: value for name, value in settings.items() if name != "n"})
    found = list(caption_pairs.pairs(n, recipe_of(study.model), config))
    if len(found) < n:
        raise ValueError(f"{method.name}: the taught captions allow {len(found)} pairs, {n} are wanted.")
    return found


def _training(recipe: recipes.Recipe) -> dict[str, Any]:
    """First and last of what the trainer logged, of each phase, and its time."""
    found = {}
    for phase in recipes.PHASES:
        if getattr(recipe, phase) is not None:
            report = jsonl.read_record(Path(recipe.out) / phase / "report.json", "delete the run's folder")
            log = [entry for entry in report["log"] if "loss" in entry]
            found[phase] = {"first": log[0], "last": log[-1], "steps": report["steps"], "rows": report["rows"]}
            found[phase]["seconds"] = report["log"][-1]["train_runtime"]
    return found


def _tidy_reference(study: Study, method: Method, seed: int) -> None:
    """Take a reference's cache away when no run needs it that is still to be measured, in this process or beside it."""
    if not method.is_trained:
        return
    folder = study.reference(method, seed)
    left = (m for m, s in jobs(study) if s == seed and m.is_trained and not study.measured(m, s).is_file())
    if all(study.reference(m, seed) != folder for m in left):
        shutil.rmtree(folder, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Take away what can be made again from the adapters: merged weights, caches, the prepared data set."""
    for name in ("cache", "datasets", "merged"):
        for path in [folder / name, *folder.glob(f"*/{name}")]:
            shutil.rmtree(path, ignore_errors=True)
