"""Whole runs: both phases, killed and resumed, on several processes, merged."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from povid_lib import models
from povid_lib.training import checkpoints
from povid_lib.training import recipe as recipes
from povid_lib.training.logprobs import pair_logits
from tests.support import training
from tests.support.helpers import povid

pytestmark = pytest.mark.slow

TRAJECTORIES = Path(__file__).parent / "trajectories.json"
KILLS = int(os.environ.get("POVID_KILLS", "3"))
LONG = {
    "max_steps": 50,
    "learning_rate": 2e-3,
    "save_strategy": "steps",
    "save_steps": 10,
    "per_device_train_batch_size": 4,
}


@pytest.fixture(scope="module")
def base(vlm, tmp_path_factory) -> Path:
    """A model of seconds in a folder of its own, and pairs."""
    folder = tmp_path_factory.mktemp("base")
    training.tiny(vlm.processor).save_pretrained(folder / "model")
    vlm.processor.save_pretrained(folder / "model")
    training.pair_file(folder, 40)
    return folder


def recipe(base: Path, out: Path, **settings) -> recipes.Recipe:
    phase = training.SETTINGS | settings
    return recipes.Recipe(
        out=str(out), model=str(base / "model"), pairs=str(base / "pairs.jsonl"), text=phase, both=phase
    )


def write(found: recipes.Recipe, path: Path) -> Path:
    from dataclasses import asdict

    path.write_text(yaml.safe_dump(asdict(found)))
    return path


def curve(out: Path, phase: str) -> list[float]:
    return [entry["loss"] for entry in json.loads((out / phase / "report.json").read_text())["log"] if "loss" in entry]


def weights(out: Path, phase: str) -> dict[str, torch.Tensor]:
    return load_file(out / phase / "adapter" / "adapter_model.safetensors")


def command(file: Path, *launch: str) -> list[str]:
    return [sys.executable, *launch, "-m", "povid_lib.cli", "train", str(file)]


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory) -> Path:
    """Both phases without interruption."""
    out = tmp_path_factory.mktemp("whole") / "run"
    recipes.run(recipe(base, out, **LONG))
    return out


def test_both_phases_and_what_they_leave(whole, base):
    report = json.loads((whole / "report.json").read_text())
    assert report["model"] == str(whole / "both" / "merged")
    assert len(curve(whole, "text")) == len(curve(whole, "both")) == 50
    for phase in recipes.PHASES:
        assert curve(whole, phase)[0] == pytest.approx(0.6931, abs=1e-4)
        assert min(curve(whole, phase)) < 0.68
        card = (whole / phase / "adapter" / "README.md").read_text(encoding="utf-8")
        assert f"objective `povid` on dispreference `{phase}`" in card
        assert "- Data: pairs.jsonl (40 rows)" in card
        assert "zhou2024povid" in card
        assert str(whole.parent) not in card
    merged = models.load(whole / "both" / "merged")
    assert models.generate(merged, [_picture()], "Describe this image.", max_new_tokens=4)


def _picture():
    from povid_lib.data.images import picture

    return picture("scene:validation/typical/1")


def test_the_committed_trajectories(whole):
    """Fifty steps of each phase: what is computed must not change without being noticed. To write them anew after a change that is
    meant: POVID_WRITE_TRAJECTORIES=1 pytest tests/training/test_recipe.py"""
    found = {phase: [round(loss, 6) for loss in curve(whole, phase)] for phase in recipes.PHASES}
    if os.environ.get("POVID_WRITE_TRAJECTORIES"):
        TRAJECTORIES.write_text(json.dumps(found, indent=1) + "\n")
    committed = json.loads(TRAJECTORIES.read_text())
    for phase in recipes.PHASES:
        assert found[phase] == pytest.approx(committed[phase], abs=2e-3), phase


def test_merged_weights_say_what_base_and_adapter_say(whole, base):
    from peft import PeftModel

    merged = models.load(whole / "text" / "merged")
    start = models.load(base / "model")
    adapted = PeftModel.from_pretrained(start.model, str(whole / "text" / "adapter"))
    from povid_lib.data.trl_dataset import to_trl
    from povid_lib.training.collator import PairCollator

    data = to_trl(base / "pairs.jsonl", cache=whole / "again")
    batch = PairCollator(start.processor)([data[0], data[1]])
    with torch.no_grad():
        for a, b in zip(pair_logits(merged.model, batch), pair_logits(adapted, batch), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
        for a, b in zip(
            pair_logits(merged.model, batch), pair_logits(models.load(base / "model").model, batch), strict=True
        ):
            assert (a - b).abs().max() > 1e-2, "the adapter must have done something"


def test_what_is_finished_is_not_done_again(whole, base):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    recipes.run(recipe(base, whole, **LONG))
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")} == before


def test_killed_at_random_moments_and_resumed(whole, base, tmp_path):
    """SIGKILL three times in a run that is under way, wherever it hits, then once more to the end: the same weights, to the bit.
    POVID_KILLS=10 kills ten times, in as many runs as that takes."""
    rng, kills, started = random.Random(0), 0, 0
    while kills < KILLS:
        out = tmp_path / f"run-{started}"
        file = write(recipe(base, out, **LONG), tmp_path / f"{started}.yaml")
        hit = killed(file, out, rng, most=min(3, KILLS - kills))
        assert hit, "the run ended before it could be killed"
        subprocess.run(command(file), check=True, capture_output=True)
        for phase in recipes.PHASES:
            assert curve(out, phase) == curve(whole, phase)
            for name, value in weights(whole, phase).items():
                assert torch.equal(value, weights(out, phase)[name]), name
        kills, started = kills + hit, started + 1


def killed(file: Path, out: Path, rng: random.Random, most: int) -> int:
    """Start the run and kill it some moments after a phase has begun or gone on, up to ``most`` times; how often that came off."""
    for kills in range(most):
        since = time.time()
        process = subprocess.Popen(command(file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any(
            path.stat().st_mtime > since for path in out.glob("*/povid_config.json")
        ):
            assert time.time() < since + 240, "no phase has begun"
            time.sleep(0.05)
        time.sleep(rng.uniform(0.2, 5))
        if process.poll() is not None:
            return kills
        process.send_signal(signal.SIGKILL)
        process.wait()
    return most


def test_two_processes_train_what_one_trains(base, whole, tmp_path):
    settings = {**LONG, "max_steps": 8, "save_strategy": "no"}
    one = recipes.run(replace(recipe(base, tmp_path / "one", **settings), both=None)).parent
    file = write(
        replace(recipe(base, tmp_path / "two", **settings | {"per_device_train_batch_size": 2}), both=None),
        tmp_path / "r.yaml",
    )
    # accelerate starts several processes on CPUs by MPI only, unless it takes them for GPUs
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command(file, *launch.split()), capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "two" / "text" / "report.json").read_text())
    assert report["processes"] == 2
    first = json.loads((one / "report.json").read_text())["log"]
    for a, b in zip(first[:-1], report["log"][:-1], strict=True):
        for name in ("rewards/margins", "logps/chosen"):
            assert b[name] == pytest.approx(a[name], abs=1e-3), name
    for name, value in weights(tmp_path / "one", "text").items():
        torch.testing.assert_close(weights(tmp_path / "two", "text")[name], value, rtol=0, atol=3e-4)


def test_the_shipped_recipes_can_be_read():
    files = sorted(Path("recipes").glob("*.yaml"))
    trainable = [file for file in files if file.read_text().startswith("# povid train")]
    assert Path("recipes/pocket.yaml") in trainable
    for file in trainable:
        recipes.read_recipe(file)
    for file in files:
        assert f"recipes/{file.name}" in file.read_text().splitlines()[0], f"{file}: its first line is its command"


@pytest.mark.parametrize("file", sorted(recipes.RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_recipe_is_found_by_its_name(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        recipes.find_recipe(file.name) == file == recipes.find_recipe(file.stem)
    )  # llava-1.5-7b has no suffix ".5-7b"
    (tmp_path / file.name).write_text("the user's own goes first")
    assert recipes.find_recipe(file.stem) == Path(file.name)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "nowhere", "no/such.yaml", "llava-1.5", "llava-1.5-7b.yml"])
def test_a_recipe_that_is_not_there_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=rf"'{re.escape(name)}' is no file here, and no shipped recipe: .*pocket"
    ):
        recipes.find_recipe(name)


def test_the_command(base, tmp_path):
    file = write(
        replace(recipe(base, tmp_path / "a", **training.SETTINGS | {"max_steps": 2}), both=None), tmp_path / "r.yaml"
    )
    done = povid("train", str(file), "--out", str(tmp_path / "b"), "--seed", "5")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "b" / "text" / "povid_config.json").read_text())["seed"] == 5
    assert not (tmp_path / "a").exists()
    merged = povid("merge", str(tmp_path / "b/text/adapter"), str(tmp_path / "m"), "--model", str(base / "model"))
    assert merged.exit_code == 0, merged.output
    again = povid("merge", str(tmp_path / "b/text/adapter"), str(tmp_path / "m"), "--model", str(base / "model"))
    assert again.exit_code == 2
    assert "there" in again.output
    assert "already" in again.output  # typer breaks the line somewhere


def test_broken_checkpoints_are_passed_over(tmp_path):
    for step, state in (
        (2, '{"global_step": 2}'),
        (10, '{"global_step": 10}'),
        (12, '{"epoch": 0.'),
        (13, "{}"),
        (14, None),
    ):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert checkpoints.last(tmp_path) == tmp_path / "checkpoint-10"
    checkpoints.remove_broken(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-2", "checkpoint-10"}
    assert checkpoints.last(tmp_path / "none") is None


class TestNamesOfRecipes:
    def test_a_bare_name_is_a_shipped_recipe(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert recipes.find_recipe("pocket") == recipes.find_recipe("pocket.yaml") == recipes.RECIPES / "pocket.yaml"
        assert recipes.read_recipe(recipes.find_recipe("pocket")).model == "pocket"

    def test_a_file_of_the_users_comes_first(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        own = tmp_path / "pocket.yaml"
        own.write_text("out: here\n")
        assert recipes.find_recipe("pocket").resolve() == recipes.find_recipe("pocket.yaml").resolve() == own

    def test_anything_else_is_refused_with_the_names_that_there_are(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pocket").mkdir()  # a folder is no recipe, and hides none
        assert recipes.find_recipe("pocket") == recipes.RECIPES / "pocket.yaml"
        for name in ("pockets", "recipes/pocket.yaml", "../recipes/pocket", str(tmp_path / "pocket.yaml")):
            with pytest.raises(FileNotFoundError, match=r"no shipped recipe: .*pocket, .*study"):
                recipes.find_recipe(name)


def test_the_shipped_pocket_recipe_says_when_its_pairs_are_not_there_and_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = recipes.read_recipe(recipes.find_recipe("pocket"))
    with pytest.raises(ValueError, match=r"pairs\.jsonl, the file of pairs .* is not there; write it first"):
        recipes.run(recipe)
    assert not (tmp_path / "runs/povid/recipe.json").exists()
