"""What a study is: its methods, their settings, and the key of each run. ``run`` makes it, ``report`` sums it up.

A run is keyed by its settings, the weights it starts from and the code that made it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from povid_lib import models
from povid_lib.evaluation.held_out import SPLITS
from povid_lib.files import settings
from povid_lib.files.code_hash import code_hash
from povid_lib.files.settings import Count, Fault, Name, Remedy, Share, one_of
from povid_lib.pocket.config import CaptionPairs
from povid_lib.pocket.lessons import recipe_of
from povid_lib.study.measure import DECODINGS, MARGIN, TESTED, WITH_CONSTANT
from povid_lib.training import config, reference_cache
from povid_lib.training import recipe as recipes
from povid_lib.training.config import PRESETS, POVIDConfig
from povid_lib.world.worlds import EDITION, EDITIONS

DATA = ("truth", "relabelled", "sampled", "even", "shorter", "corrected", "own", "swapped", "blanked")
# what the digest of a run's code begins with, by name: what makes a run is above this module
ENTRIES = {
    "train": ("povid_lib.study.run:rows", "povid_lib.training.recipe:run"),
    "measure": ("povid_lib.study.measure:measure",),
}
DEFAULTS = {"offline": {"n": 640}, "captions": {"n": 1280}}  # settings of pairs
Scenes = Annotated[int, Field(ge=2), Remedy("give a number of scenes, 2 or more")]
_Phase = Annotated[dict[str, Any] | None, Remedy("give a mapping of settings, or null for no such phase")]


@dataclass(frozen=True)
class Method:
    """One row of the study.

    ``group``: what it is compared within. ``data``: which pairs it learns from (see ``pair_variants``), with ``noise`` for the
    share of wrong labels; ``offline``, ``captions``: over the study's own. ``text`` and ``both``: the settings of its phases, null
    for none; without any phase the model is measured as it is. ``decode``, ``constant``: see ``measure``. ``scenes``: another
    number than the study's.
    """

    name: Annotated[
        str, Field(pattern=r"^\w[\w.-]*$"), Remedy("give letters, digits, _ and -, as files are named after it")
    ]
    group: Name
    seeds: Count
    data: Annotated[str, one_of(DATA)] = "truth"
    noise: Share = 0.0
    offline: dict[str, Any] = field(default_factory=dict)
    captions: dict[str, Any] = field(default_factory=dict)
    text: _Phase = None
    both: _Phase = None
    preset: Annotated[str, one_of(PRESETS)] = "pocket"
    decode: Annotated[str, one_of(DECODINGS)] = "greedy"
    constant: Annotated[float, Field(allow_inf_nan=False), Remedy("give a number")] = 0.0
    scenes: Scenes | None = None

    def __post_init__(self) -> None:
        settings.check(self, self._combined())

    def _combined(self) -> Iterator[str]:
        if self.constant and self.decode not in WITH_CONSTANT:
            known = ", ".join(WITH_CONSTANT)
            yield f"constant is {self.constant}, and decode {self.decode!r} has none; leave it out, or decode by one of {known}"

    @property
    def is_trained(self) -> bool:
        """Whether there is a phase."""
        return self.text is not None or self.both is not None


@dataclass(frozen=True)
class Study:
    """What ``povid study`` reads from a YAML file.

    ``out``: folder of the runs. ``model``: what every method starts from. ``edition``: of the world that it was made for.
    ``scenes``: of each kind, and ``split``: which ones, "validation" to choose or "test" to report. ``offline``: the pairs of the
    first edition (``n`` and settings of ``corrupt_text.Offline``); ``captions``: those of the second (``n`` and settings of
    ``pocket.config.CaptionPairs``); the seed is the run's own. ``phase``: settings of every phase, under the method's.
    ``groups``: group -> what all its methods have, and ``methods``: name -> settings of ``Method``. ``compare``: pairs of methods
    to test against each other, beside the tests that every study has (``report.summarise``). ``primary``: the tests that are
    declared beforehand, each [first method, second method, kind of scenes, measure]; all others explore. The measure "beyond" is
    the margin over the end-token constant (see ``beyond_constant``).

    Raises ``ValueError`` with every setting that does not exist or cannot have its value, names that stand twice, and comparisons
    that are no two methods. Nothing is loaded before a ``key`` is asked for.
    """

    out: Name
    groups: Annotated[dict[str, Any], Remedy("give a mapping: group -> its methods and what they share")]
    model: Name = "pocket"
    scenes: Scenes = 500
    offline: dict[str, Any] = field(default_factory=lambda: {**DEFAULTS["offline"]})
    phase: dict[str, Any] = field(default_factory=dict)
    compare: Annotated[list[list[str]], Remedy("give a list of pairs of methods, such as [[sft, text]]")] = field(
        default_factory=list
    )
    primary: Annotated[
        list[list[str]], Remedy("give a list of tests, such as [[dealt, text, counter_typical, chair_s]]")
    ] = field(default_factory=list)
    captions: dict[str, Any] = field(default_factory=lambda: {**DEFAULTS["captions"]})
    edition: Annotated[str, one_of(EDITIONS)] = EDITION
    split: Annotated[str, one_of(("validation", "test"))] = "test"

    def __post_init__(self) -> None:
        settings.refuse_made(self, faults(vars(self)))

    @property
    def methods(self) -> list[Method]:
        """All methods, in the file's order."""
        return [
            Method(**{"name": name, "group": group} | shared | own)
            for group, content in self.groups.items()
            for name, shared, own in _rows(content)
        ]

    def recipe(self, method: Method, seed: int) -> recipes.Recipe:
        """One run's training; its pairs are made by ``rows``. The first phase takes its reference from ``reference``."""
        folder = Path(self.out) / f"{method.name}-{seed}-{self.key(method, seed, 'train')}"
        text, both = (
            None if own is None else {**self.phase, **own, "seed": seed} for own in (method.text, method.both)
        )
        shared = {"cache_dir": str(self.reference(method, seed))}
        if text is not None:
            text = shared | text
        elif both is not None:
            both = shared | both
        made, preset = str(folder / "rows.jsonl"), method.preset
        return recipes.Recipe(str(folder), self.model, made, str(folder), preset=preset, text=text, both=both)

    def reference(self, method: Method, seed: int) -> Path:
        """The folder of the reference's cache, which all runs share whose first phase reads the same pairs in the same way. Raises
        ``ValueError`` for a method without a phase."""
        phase = next(((name, own) for name in recipes.PHASES if (own := getattr(method, name)) is not None), None)
        if phase is None:
            raise ValueError(f"{method.name} is not trained, so that it has no reference; give it a phase.")
        name, own = phase
        how = POVIDConfig.preset(method.preset, **{"dispreference": name, **self.phase, **own, "seed": seed}).caches
        data = {part: getattr(method, part) for part in ("data", "noise", "offline", "captions")}
        parts = [data, seed, _weights(self.model), self.edition, self._pairs, how, code_of("train")]
        return Path(self.out) / f"reference-{_digits(parts)}"

    @property
    def _pairs(self) -> Any:
        """The settings of its pairs, and what they were made of."""
        return self.offline if self.edition == "first" else [self.captions, asdict(recipe_of(self.model))]

    def key(self, method: Method, seed: int, what: str) -> str:
        """Twelve digits of everything that the run's training ("train") or its measures ("measure") depend on."""
        own = {
            k: v
            for k, v in asdict(method).items()
            if k not in ("name", "group", "seeds", "scenes", "decode", "constant")
        }
        parts = {
            "method": own,
            "seed": seed,
            "model": _weights(self.model),
            "edition": self.edition,
            "pairs": self._pairs,
            "phase": self.phase,
        }
        parts["code"] = code_of("train")
        if what == "measure":
            shown = {"scenes": method.scenes or self.scenes, "split": self.split}
            parts |= {"measuring": code_of("measure"), "decode": [method.decode, method.constant], **shown}
        return _digits(parts)

    def measured(self, method: Method, seed: int) -> Path:
        """The file with what was measured of one run."""
        return Path(self.out) / "measured" / f"{method.name}-{seed}-{self.key(method, seed, 'measure')}.json"


def _digits(parts: object) -> str:
    """Twelve digits that change with any of the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache  # read once: a study that runs keeps the keys of what it runs
def code_of(what: str) -> str:
    """The digest of the code behind a run's training ("train") or its measures ("measure")."""
    return code_hash(ENTRIES[what])


@functools.cache
def _weights(model: str) -> str:
    vlm = models.load(model, device="cpu")
    return reference_cache.key(vlm.model, vlm.processor)["model"]


def read_study(path: str | Path) -> Study:
    """A study from YAML. Raises ``ValueError`` that names the file, with everything that is wrong in it. Loads nothing."""
    found = settings.read_yaml(path, "a study", "recipes/study.yaml")
    settings.refuse(faults(found), path)
    return Study(**found)


# --- what is wrong with a study ----------------------------------------------------------------------------------


def faults(values: Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with the settings of a study, those of its methods and their phases included."""
    found = settings.faults(Study, values)
    groups, phase, compare, primary = (values.get(name) for name in ("groups", "phase", "compare", "primary"))
    shared = _Shared(**DEFAULTS, phase={})
    for source, look in SOURCES.items():
        if isinstance(given := values.get(source), dict):
            wrong = look(given, source)
            shared = shared if wrong else replace(shared, **{source: given})
            found += wrong
            if given != DEFAULTS[source] and (source == "offline") != (values.get("edition", EDITION) == "first"):
                of = "first" if source == "offline" else "second"
                found.append(Fault(source, f" are pairs of the {of} edition, the study is of another; leave them out"))
    if isinstance(phase, dict):
        wrong = [fault.under("phase") for fault in config.faults(phase)]
        shared = shared if wrong else replace(shared, phase=phase)
        found += wrong
    if groups == {}:
        found.append(Fault("groups", " is empty; give a mapping: group -> its methods and what they share"))
    names = list[str]()
    for group, content in groups.items() if isinstance(groups, dict) else ():
        found += [fault.under(f"groups.{group}") for fault in _group_faults(group, content, shared)]
        names += [name for name, _, _ in _rows(content)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        found.append(Fault("groups", f": the names {', '.join(twice)} stand twice; every method needs its own"))
    for pair in compare if isinstance(compare, list) else ():
        if not isinstance(pair, list) or len(pair) != 2 or any(name not in names for name in pair):
            found.append(Fault("compare", f" holds {pair}; give the names of two methods"))
    for test in primary if isinstance(primary, list) else ():
        named = isinstance(test, list) and len(test) == 4 and all(name in names for name in test[:2])
        if not named or test[2] not in SPLITS or test[3] not in (*TESTED, MARGIN):
            kinds, measures = " or ".join(SPLITS), ", ".join((*TESTED, MARGIN))
            found.append(Fault("primary", f" holds {test}; give two methods, {kinds}, and one of {measures}"))
    return found


@dataclass(frozen=True)
class _Shared:
    """What a study's methods share, as far as it is sound."""

    offline: dict[str, Any]
    captions: dict[str, Any]
    phase: dict[str, Any]


def caption_faults(values: Mapping[str, Any], at: str) -> list[Fault]:
    """What is wrong with the settings of caption pairs: their number ``n``, and those of ``pocket.config.CaptionPairs``."""
    found = settings.faults(CaptionPairs, values, {"n": Count})
    if "n" not in values:
        found.append(Fault("n", " is missing; give the number of pairs"))
    own = {name: value for name, value in values.items() if name != "n"}
    return [fault.under(at) for fault in found] or recipes.refused(at, lambda: CaptionPairs(**own))


SOURCES = {"offline": recipes.offline_faults, "captions": caption_faults}  # of pairs, by their place in a study


def _rows(content: Any) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """A group's methods: name, what the group's share, and its own settings. What is no mapping counts as empty."""
    methods = content.get("methods") if isinstance(content, dict) else None
    for name, own in methods.items() if isinstance(methods, dict) else ():
        yield name, {k: v for k, v in content.items() if k != "methods"}, own if isinstance(own, dict) else {}


def _group_faults(group: str, content: Any, shared: _Shared) -> list[Fault]:
    """What is wrong with one group, with paths from its name."""
    if not isinstance(content, dict) or not isinstance(content.get("methods"), dict) or not content["methods"]:
        return [Fault("", " holds no methods; give a mapping with `methods`: name -> settings")]
    found = _own_faults({k: v for k, v in content.items() if k != "methods"})
    for name, own in content["methods"].items():
        if own is not None and not isinstance(own, dict):
            found.append(Fault(f"methods.{name}", f" is {own!r}; give a mapping of settings, or null for the group's"))
    for name, of_group, own in _rows(content):
        at = f"methods.{name}"
        found += [fault.under(at) for fault in _own_faults(own)]
        merged = {"name": name, "group": group} | of_group | own
        left = [fault for fault in settings.faults(Method, merged) if fault.path not in of_group | own]
        found += [fault.under(at) for fault in left]  # the name, and what is missing
        if not settings.faults(Method, merged):
            found += recipes.refused(at, functools.partial(Method, **merged))
        for source, look in SOURCES.items():
            if isinstance(given := merged.get(source, {}), dict):
                found += look({**getattr(shared, source), **given}, f"{at}.{source}" if given else at)
        for phase in recipes.PHASES:
            if isinstance(chosen := merged.get(phase), dict):
                where = f"{at}.{phase}" if phase in own else phase
                found += recipes.phase_faults(phase, {**shared.phase, **chosen}, merged.get("preset", "pocket"), where)
    return list(dict.fromkeys(found))


def _own_faults(own: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with settings of ``Method`` that stand in a group or under a method's name."""
    given = [name for name in ("name", "group") if name in own]
    found = [Fault(name, " is said by the place in the file; leave it out") for name in given]
    return found + settings.faults(Method, {k: v for k, v in own.items() if k not in given}, complete=False)
