"""Many methods, many seeds, one command: trains, measures and keeps every run. ``povid study`` calls it; ``report`` sums up.

A run is keyed by its settings, the weights it starts from and the code that made it; what is done under the same key is not done
again, and a stopped study goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from povid_lib import models
from povid_lib.data import pair_files
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.pairs import Pair
from povid_lib.files import jsonl
from povid_lib.files.code_hash import code_hash, entry_name
from povid_lib.models.llava import VLM
from povid_lib.study import pair_variants
from povid_lib.study.measure import DECODINGS, as_json, measure
from povid_lib.training import recipe as recipes
from povid_lib.training import reference_cache

MORE = 1.4  # prompts tried for each pair that is wanted, where some prompts give none
DATA = ("truth", "relabelled", "sampled", "even", "corrected", "own", "swapped", "blanked")


@dataclass(frozen=True)
class Method:
    """One row of the study.

    ``group``: what it is compared within. ``data``: which pairs it learns from (see ``pair_variants``), with ``noise`` for the
    share
    of wrong labels, and ``offline`` over the study's own settings of ``corrupt_text.Offline``. ``text`` and ``both``: the settings
    of its phases, null for none; without any phase the model is measured as it is. ``decode``: see ``measure``.
    ``scenes``: another number than the study's.
    """

    name: str
    group: str
    seeds: int
    data: str = "truth"
    noise: float = 0.0
    offline: dict[str, Any] = field(default_factory=dict)
    text: dict[str, Any] | None = None
    both: dict[str, Any] | None = None
    preset: str = "pocket"
    decode: str = "greedy"
    scenes: int | None = None

    def __post_init__(self) -> None:
        for value, known, what in ((self.data, DATA, "data"), (self.decode, DECODINGS, "decode")):
            if value not in known:
                raise ValueError(f"Method {self.name}: {what} is {value!r}; choose one of {', '.join(known)}.")
        if self.seeds < 1:
            raise ValueError(f"Method {self.name}: seeds is {self.seeds}; give at least one.")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"Method {self.name}: noise is {self.noise}; it is a share, from 0 to 1.")

    @property
    def is_trained(self) -> bool:
        """Whether it trains at all: base, decoding and their like do not."""
        return self.text is not None or self.both is not None


@dataclass(frozen=True)
class Study:
    """What ``povid study`` reads from a YAML file.

    ``out``: folder of the runs. ``model``: what every method starts from. ``scenes``: of each held-out split. ``offline``: the
    pairs (``n`` and settings of ``corrupt_text.Offline``; the seed is the run's own). ``phase``: settings of every phase, under the
    method's. ``groups``: group -> what all its methods have, and ``methods``: name -> settings of ``Method``. ``compare``: pairs of
    methods to test against each other, beside the tests that every study has (``report.summarise``).

    Raises ``ValueError`` for settings that do not exist, names that stand twice, and comparisons that are no two methods.
    """

    out: str
    groups: dict[str, dict[str, Any]]
    model: str = "pocket"
    scenes: int = 500
    offline: dict[str, Any] = field(default_factory=lambda: {"n": 640})
    phase: dict[str, Any] = field(default_factory=dict)
    compare: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.scenes < 2 or not self.offline.get("n", 0) > 0:
            raise ValueError(
                f"Study: {self.scenes} scenes and {self.offline.get('n')} pairs; give two or more, and one."
            )
        names = [method.name for method in self.methods]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"Study: the names {', '.join(sorted(twice))} stand twice; every method needs its own.")
        for pair in self.compare:
            if len(pair) != 2 or not set(pair) <= set(names):
                raise ValueError(f"Study: compare holds {pair}; give the names of two methods.")
        for method in self.methods:
            if method.is_trained:
                recipe = self.recipe(method, 0)
                for phase in recipes.PHASES:
                    if getattr(recipe, phase) is not None:
                        recipe.phase(phase)

    @property
    def methods(self) -> list[Method]:
        """All methods, in the file's order, with their groups' settings under their own. Raises ``ValueError`` for unknown ones."""
        found = []
        for group, content in self.groups.items():
            shared = {k: v for k, v in content.items() if k != "methods"}
            for name, settings in content["methods"].items():
                try:
                    found.append(Method(**{"name": name, "group": group} | shared | (settings or {})))
                except TypeError as error:
                    raise ValueError(f"Study: method {name} in group {group}: {error}.") from error
        return found

    def recipe(self, method: Method, seed: int) -> recipes.Recipe:
        """One run's training; its pairs are made by ``rows``."""
        folder = Path(self.out) / f"{method.name}-{seed}-{self.key(method, seed, 'train')}"
        text, both = (
            None if own is None else {**self.phase, **own, "seed": seed} for own in (method.text, method.both)
        )
        made, preset = str(folder / "rows.jsonl"), method.preset
        return recipes.Recipe(str(folder), self.model, made, str(folder), preset=preset, text=text, both=both)

    def key(self, method: Method, seed: int, what: str) -> str:
        """Twelve digits of everything that the run's training ("train") or its measures ("measure") depend on."""
        settings = {k: v for k, v in asdict(method).items() if k not in ("name", "group", "seeds", "scenes", "decode")}
        parts = {
            "method": settings,
            "seed": seed,
            "model": _weights(self.model),
            "offline": self.offline,
            "phase": self.phase,
        }
        parts["code"] = code_of("train")
        if what == "measure":
            parts |= {"measuring": code_of("measure"), "scenes": method.scenes or self.scenes, "decode": method.decode}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def measured(self, method: Method, seed: int) -> Path:
        """The file with what was measured of one run."""
        return Path(self.out) / "measured" / f"{method.name}-{seed}-{self.key(method, seed, 'measure')}.json"


@functools.cache  # read once: a study that runs keeps the keys of what it runs
def code_of(what: str) -> str:
    """The digest of the code behind a run's training ("train") or its measures ("measure")."""
    entries = (rows, recipes.run) if what == "train" else (measure,)
    return code_hash(entry_name(entry) for entry in entries)


@functools.cache
def _weights(model: str) -> str:
    vlm = models.load(model, device="cpu")
    return reference_cache.key(vlm.model, vlm.processor)["model"]


def read_study(path: str | Path) -> Study:
    """A study from YAML. Raises ``ValueError`` that names the file for what is none."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}, not a mapping")
        return Study(**found)
    except (yaml.YAMLError, TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is no study: {error}. See recipes/study.yaml.") from error


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
    found = measure(model, base, method.scenes or study.scenes, method.decode, seed)
    content = {
        "method": asdict(method),
        "seed": seed,
        "training": report,
        "seconds": [trained, time.time() - start - trained],
    }
    path = study.measured(method, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with jsonl.replacing(path) as part:
        part.write_text(json.dumps(content | {"measures": as_json(found)}))
    if method.is_trained:
        _tidy(Path(recipe.out))
    return content


def rows(study: Study, method: Method, seed: int, base: VLM, folder: Path) -> list[Pair]:
    """The pairs of one run. Methods that give no pair for some prompts get more prompts after the same first ones."""
    settings = {**study.offline, **method.offline, "seed": seed}
    n = settings.pop("n")
    if method.data in ("sampled", "even", "corrected"):
        alike = replace(method, noise=0.0, data="corrected" if method.data == "corrected" else "sampled")
        drawn = Path(study.out) / f"drawn-{seed}-{study.key(alike, seed, 'train')}.jsonl"
        if not drawn.is_file():  # methods that differ in their labels' noise only have the same answers
            candidates = list(pairs(round(MORE * n), Offline(**settings)))
            make = pair_variants.corrected if method.data == "corrected" else pair_variants.sampled
            pair_files.write(drawn, make(base, candidates, seed))
        found = list(pair_files.read(drawn))
        if len(found) < n:
            raise ValueError(
                f"{method.name}: {round(MORE * n)} prompts gave {len(found)} pairs, {n} are wanted; the model errs too seldom."
            )
        if method.data == "even":  # of the same pairs those that do not teach brevity
            return [p for p in found[:n] if len(p.chosen.split()) >= len(p.rejected.split())]
        return pair_variants.relabelled(found[:n], method.noise, seed)
    truth = list(pairs(n, Offline(**settings)))
    if method.data == "relabelled":
        return pair_variants.relabelled(truth, method.noise, seed)
    if method.data == "own":
        return pair_variants.own(base, truth)
    if method.data == "swapped":
        return pair_variants.swapped(truth)
    if method.data == "blanked":
        return pair_variants.blanked(truth, folder)
    return truth


def _training(recipe: recipes.Recipe) -> dict[str, Any]:
    """First and last of what the trainer logged, of each phase, and its time."""
    found = {}
    for phase in recipes.PHASES:
        if getattr(recipe, phase) is not None:
            report = json.loads((Path(recipe.out) / phase / "report.json").read_text())
            log = [entry for entry in report["log"] if "loss" in entry]
            found[phase] = {"first": log[0], "last": log[-1], "steps": report["steps"], "rows": report["rows"]}
            found[phase]["seconds"] = report["log"][-1]["train_runtime"]
    return found


def _tidy(folder: Path) -> None:
    """Take away what can be made again from the adapters: merged weights, caches, the prepared data set."""
    for name in ("cache", "datasets", "merged"):
        for path in [folder / name, *folder.glob(f"*/{name}")]:
            shutil.rmtree(path, ignore_errors=True)
