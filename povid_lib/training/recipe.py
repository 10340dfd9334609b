"""A whole run: pairs, phase 1 (text), merged weights, phase 2 (text and image), merged weights. ``povid train`` calls it.

A run that was stopped goes on where it was, from the last whole checkpoint, when it is started again with the same recipe.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import torch
from accelerate import PartialState
from pydantic import Field

from povid_lib import models
from povid_lib.data import pair_files
from povid_lib.data.corrupt_text import MOST, Offline, pairs
from povid_lib.data.trl_dataset import to_trl
from povid_lib.files import jsonl, settings
from povid_lib.files.lock import locked
from povid_lib.files.settings import Fault, Name, Remedy, one_of
from povid_lib.models.llava import VLM
from povid_lib.training import checkpoints, config, merging, reference_cache, run_folder
from povid_lib.training.config import PRESETS, POVIDConfig
from povid_lib.training.trainer import POVIDTrainer

PHASES = ("text", "both")
RECIPES = Path(str(resources.files("povid_lib"))) / "recipes"  # they travel with the library
Pairs = Annotated[int, Field(ge=1, le=MOST), Remedy(f"give the number of pairs, from 1 to {MOST:,}")]
_Phase = Annotated[dict[str, Any] | None, Remedy("give a mapping of settings, or null to leave the phase out")]


@dataclass(frozen=True)
class Recipe:
    """What ``povid train`` reads from a YAML file.

    ``model``: "pocket", a folder or a hub id. ``out``: the run's folder. The pairs are a file (``pairs``, with its pictures in
    ``images``), or are made from pocket scenes with the settings ``offline`` (``n`` and those of ``corrupt_text.Offline``).
    ``preset``: see ``config.PRESETS``. ``text`` and ``both``: settings of the two phases, put over the preset; a phase that is
    null is left out. ``four_bit``: QLoRA.

    Raises ``ValueError`` with every setting that does not exist, cannot have its value, or means nothing beside another.
    """

    out: Name
    model: Name = "pocket"
    pairs: str | None = None
    images: str | None = None
    offline: dict[str, Any] = field(default_factory=dict)
    preset: Annotated[str, one_of(PRESETS)] = "pocket"
    text: _Phase = field(default_factory=dict)
    both: _Phase = field(default_factory=dict)
    four_bit: bool = False

    def __post_init__(self) -> None:
        settings.refuse_made(self, faults(vars(self)))

    def phase(self, name: str) -> POVIDConfig:
        """The settings of the phase "text" or "both"."""
        own = {"output_dir": str(Path(self.out) / name), "dispreference": name} | (getattr(self, name) or {})
        return POVIDConfig.preset(self.preset, **own)


def faults(values: Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with the settings of a recipe, those of its pairs and phases included. Nothing is loaded."""
    found, offline = settings.faults(Recipe, values), values.get("offline", {})
    if (values.get("pairs") is None) == (not offline):
        said = "give either `pairs`, a file, or `offline`, the settings for pairs from pocket scenes"
        found.append(Fault("", f": {said}"))
    if isinstance(offline, dict) and offline:
        found += offline_faults(offline, "offline")
    for name in PHASES:
        if isinstance(own := values.get(name, {}), dict):
            found += phase_faults(name, own, values.get("preset", "pocket"), name)
    if all(values.get(name, {}) is None for name in PHASES):
        found.append(Fault("", ": both phases are null; there is nothing to train"))
    return found


def offline_faults(values: Mapping[str, Any], at: str) -> list[Fault]:
    """What is wrong with the settings of pairs from pocket scenes: their number ``n``, and those of ``corrupt_text.Offline``."""
    found = settings.faults(Offline, values, {"n": Pairs})
    if "n" not in values:
        found.append(Fault("n", " is missing; give the number of pairs"))
    own = {name: value for name, value in values.items() if name != "n"}
    return [fault.under(at) for fault in found] or refused(at, lambda: Offline(**own))


def phase_faults(name: str, own: Mapping[str, Any], preset: str, at: str) -> list[Fault]:
    """What is wrong with a phase's own settings, each for itself, or else with them and the preset's together."""
    found = config.faults(own)
    found += [
        Fault(key, f" is not a phase's own; {config.NOT_IN_A_RECIPE[key]}")
        for key, value in own.items()
        if key in config.NOT_IN_A_RECIPE and value not in (None, False, "no")
    ]
    if "output_dir" in own:
        found.append(Fault("output_dir", " is not a phase's own; leave it out, the recipe's `out` holds both phases"))
    if found or preset not in list(PRESETS):
        return [fault.under(at) for fault in found]
    return refused(at, lambda: POVIDConfig.preset(preset, **{"output_dir": "runs", "dispreference": name, **own}))


def refused(at: str, make: Callable[[], object]) -> list[Fault]:
    """The faults for which settings cannot be made."""
    try:
        make()
    except settings.SettingsError as error:
        return [fault.under(at) for fault in error.faults]
    except (TypeError, ValueError) as error:  # from TRL or transformers
        return [Fault(at, f": {str(error).rstrip('.')}")]
    return []


def find_recipe(name: str | Path) -> Path:
    """The file that ``name`` means: a file of the user's, or else the shipped recipe of that name ("pocket", "pocket.yaml").

    Raises ``FileNotFoundError`` that lists the shipped ones.
    """
    path = Path(name)
    own = path if path.suffix == ".yaml" or not path.name else path.with_name(f"{path.name}.yaml")
    shipped = RECIPES / own
    for file in (path, own, *([shipped] if shipped.parent == RECIPES else [])):
        if file.is_file():
            return file
    known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.yaml")))
    raise FileNotFoundError(f"{str(name)!r} is no file here, and no shipped recipe: {known}.")


def read_recipe(path: str | Path) -> Recipe:
    """A recipe from YAML. Raises ``ValueError`` that names the file, with everything that is wrong in it."""
    found = settings.read_yaml(path, "a recipe", "recipes/pocket.yaml")
    settings.refuse(faults(found), path)
    return Recipe(**found)


def run(recipe: Recipe, callbacks: Sequence[Any] = ()) -> Path:
    """Both phases; the folder with the merged model. What is finished is not done again.

    Raises ``ValueError`` if the folder holds a run of another recipe, other pairs or another model, another process is at work
    there, or four bits are asked for where there are none (see ``models.check_four_bit``).
    """
    with alone(recipe.out):
        return _run(recipe, callbacks)


def alone(out: str | Path) -> AbstractContextManager[None]:
    """Hold a run's folder for the processes of this training. Raises ``ValueError`` if another training is at work there."""
    return locked(out) if PartialState().is_main_process else nullcontext()


def _run(recipe: Recipe, callbacks: Sequence[Any]) -> Path:
    start, model, out = time.time(), recipe.model, Path(recipe.out)
    if recipe.four_bit:
        models.check_four_bit()
    dataset = prepare(recipe)
    phases = [name for name in PHASES if getattr(recipe, name) is not None]
    for name in phases:
        model = str(run_phase(recipe, name, model, dataset, callbacks))
    if PartialState().is_main_process:
        reports = {name: _read_json(out / name / "report.json") for name in phases}
        _write_json(out / "report.json", reports | {"seconds": time.time() - start, "model": model})
    return Path(model)


def prepare(recipe: Recipe) -> Any:
    """The run's folder with its recipe, and its pairs as TRL takes them. Raises as ``run`` does."""
    state, out = PartialState(), Path(recipe.out)
    if recipe.pairs is not None and not Path(recipe.pairs).is_file():
        raise ValueError(
            f"{recipe.pairs}, the file of pairs that the recipe names, is not there; write it first (povid pairs --help says how), "
            "or name another in `pairs`."
        )
    record = out / "recipe.json"
    before = _read_json(record) if record.is_file() else asdict(recipe)
    if {key: before[key] for key in before if key != "inputs"} != asdict(recipe):
        raise ValueError(f"{out} holds a run of another recipe; give another `out`, or delete the folder.")
    data = recipe.pairs or str(out / "pairs.jsonl")
    with state.main_process_first():
        if state.is_main_process:
            out.mkdir(parents=True, exist_ok=True)
            _write_json(record, before)
            if recipe.offline and not Path(data).is_file():
                settings = dict(recipe.offline)
                pair_files.write(data, pairs(settings.pop("n"), Offline(**settings)))
        dataset = to_trl(data, recipe.images, cache=out / "datasets")
        inputs = {"pairs": run_folder.data_digest(dataset), "model": run_folder.files_digest(recipe.model)}
        known = before.get("inputs") or inputs
        if other := [name for name in inputs if known.get(name) != inputs[name]]:
            said = f"holds a run with another content of {' and '.join(other)}"
            raise ValueError(f"{out} {said}; give another `out`, or delete the folder.")
        if state.is_main_process:
            _write_json(record, asdict(recipe) | {"inputs": inputs})
        return dataset


def run_phase(recipe: Recipe, name: str, model: str, dataset: Any, callbacks: Sequence[Any] = ()) -> Path:
    """Train one phase from the weights ``model``, unless that is done, and merge; the folder with the merged model."""
    state, folder = PartialState(), Path(recipe.out) / name
    if not (folder / "merged").is_dir():
        given = Path(recipe.pairs).name if recipe.pairs else f"pairs from pocket scenes {json.dumps(recipe.offline)}"
        trainer = train_phase(_load(model, recipe.four_bit), recipe.phase(name), dataset, callbacks, given)
        if state.is_main_process:
            _write_json(folder / "report.json", summary(trainer))
            merging.merge(model, folder / "adapter", folder / "merged")
        state.wait_for_everyone()
    return folder / "merged"


def train_phase(
    vlm: VLM, phase: POVIDConfig, dataset: Any, callbacks: Sequence[Any] = (), data: str = "pairs"
) -> POVIDTrainer:
    """One phase, from its last whole checkpoint if there is one; the adapter is then in ``output_dir/adapter``, with a card that
    calls its pairs ``data``."""
    out = Path(str(phase.output_dir))  # TRL's type allows None, which transformers replaces
    trainer = POVIDTrainer(vlm.model, phase, dataset, vlm.processor, callbacks=list(callbacks))
    main = trainer.accelerator.is_main_process
    with alone(out):
        if main:
            checkpoints.remove_broken(out)
        trainer.accelerator.wait_for_everyone()
        last = checkpoints.last(out)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        trainer.save_model(str(out / "adapter"))
        trainer.create_model_card(out.resolve().parent.name + "-" + out.name, data)
        if main:
            shutil.copy(out / "README.md", out / "adapter")  # in place of PEFT's, which says nothing of the run
        if main and not vlm.four_bit:  # four bits say nothing of the weights they came from
            base = trainer.accelerator.unwrap_model(trainer.model).get_base_model()
            key = reference_cache.key(base, vlm.processor)
            merging.write_base(out / "adapter", key)
    return trainer


def summary(trainer: POVIDTrainer) -> dict[str, Any]:
    """What to report of a phase: its curves (the trainer's log), settings, time and thread count."""
    return {
        "log": trainer.state.log_history,
        "steps": trainer.state.global_step,
        "rows": len(trainer.train_dataset),
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "processes": trainer.accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "device": str(trainer.accelerator.device),
    }


def _load(model: str, four_bit: bool) -> VLM:
    device = f"cuda:{PartialState().local_process_index}" if four_bit else "cpu"  # else the trainer moves it
    dtype = models.gpu_dtype() if torch.cuda.is_available() else torch.float32
    return models.load(model, device=device, dtype=dtype, four_bit=four_bit)


def _read_json(path: Path) -> dict[str, Any]:
    return jsonl.read_record(path, "delete the run's folder, or give another `out`")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with jsonl.replacing(path) as part:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
