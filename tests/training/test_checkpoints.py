"""Damaged checkpoints and full disks: named, with what to do; and what is whole is gone on from."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from povid_lib.training import checkpoints
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training

pytestmark = pytest.mark.slow
SETTINGS = {
    "max_steps": 2,
    "save_strategy": "steps",
    "save_steps": 1,
    "dispreference": "text",
    "cache_reference": False,
}


@pytest.fixture(scope="module")
def run(vlm, tmp_path_factory):
    """A short run with checkpoints, and its trainer."""
    folder = tmp_path_factory.mktemp("run")
    data = training.dataset(folder, 8)
    trainer = POVIDTrainer(
        training.tiny(vlm.processor), training.config(folder / "run", **SETTINGS), data, vlm.processor
    )
    trainer.train()
    return trainer


def _bytes(name, change):
    def act(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return act


def _flip(content):
    """One bit, in the middle of the archive's content."""
    at = content.index(b"data/0") + 200
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _optimizer(folder):
    state = torch.load(folder / "optimizer.pt", weights_only=True)
    state["state"][3]["exp_avg"][0] = float("nan")
    torch.save(state, folder / "optimizer.pt")


def _adapter(change):
    def act(folder):
        path = folder / "adapter_model.safetensors"
        save_file(change(load_file(path)), path)

    return act


def _drop(name):
    return lambda folder: (folder / name).unlink()


CASES = {
    "state cut off": (_bytes("trainer_state.json", lambda b: b[:40]), "trainer_state.json is missing or damaged"),
    "state of another kind": (
        _bytes("trainer_state.json", lambda b: b"[]"),
        "trainer_state.json is missing or damaged",
    ),
    "no state": (_drop("trainer_state.json"), "trainer_state.json is missing or damaged"),
    "adapter cut off": (_bytes("adapter_model.safetensors", lambda b: b[:-50]), "adapter_model.safetensors is damaged"),
    "adapter empty": (_bytes("adapter_model.safetensors", lambda b: b""), "adapter_model.safetensors is damaged"),
    "no adapter": (_drop("adapter_model.safetensors"), "adapter_model.safetensors is not there"),
    "adapter's names": (_adapter(lambda t: {f"x.{name}": p for name, p in t.items()}), "28 tensors are missing"),
    "half an adapter": (_adapter(lambda t: dict(sorted(t.items())[::2])), "14 tensors are missing"),
    "NaN in the adapter": (_adapter(lambda t: {name: p * float("nan") for name, p in t.items()}), "not finite"),
    "adapter of 1e30": (_adapter(lambda t: {name: p * 0 + 1e30 for name, p in t.items()}), "numbers beyond"),
    "another rank": (_adapter(lambda t: {name: torch.zeros(1, 1) for name in t}), "another shape"),
    "optimiser cut off": (_bytes("optimizer.pt", lambda b: b[:-500]), "optimizer.pt is damaged"),
    "optimiser with a bit changed": (_bytes("optimizer.pt", _flip), "optimizer.pt is damaged"),
    "optimiser empty": (_bytes("optimizer.pt", lambda b: b""), "optimizer.pt is damaged"),
    "no optimiser": (_drop("optimizer.pt"), "holds no optimizer.pt, so the optimiser would begin anew"),
    "no scheduler": (_drop("scheduler.pt"), "holds no scheduler.pt"),
    "NaN in the optimiser": (_optimizer, "1 weights are not finite"),
    "scheduler cut off": (_bytes("scheduler.pt", lambda b: b[:-100]), "scheduler.pt is damaged"),
    "random states cut off": (_bytes("rng_state.pth", lambda b: b[:100]), "rng_state.pth is damaged"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_checkpoint_is_named(name, run, tmp_path):
    act, said = CASES[name]
    folder = tmp_path / "checkpoint-1"
    shutil.copytree(Path(run.args.output_dir) / "checkpoint-1", folder)
    act(folder)
    before = training.adapters(run.model)
    with pytest.raises(ValueError, match=said) as error:
        run.train(resume_from_checkpoint=str(folder))
    assert str(folder) in str(error.value)
    assert all(torch.equal(p, before[name]) for name, p in training.adapters(run.model).items())


def test_a_whole_one_passes(run):
    checkpoints.check(Path(run.args.output_dir) / "checkpoint-1", run.model)
    checkpoints.check(Path(run.args.output_dir) / "checkpoint-2", run.model)


def test_two_trainings_do_not_meet_in_one_folder(run):
    out = Path(run.args.output_dir)
    hold = "import sys, time; from povid_lib.files.lock import locked\n"
    hold += "with locked(sys.argv[1]): print(1, flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", hold, str(out)], stdout=subprocess.PIPE, text=True)
    try:
        other.stdout.readline()
        with pytest.raises(ValueError, match="is in use by another run; wait for its end, or give another folder"):
            run.train(resume_from_checkpoint=True)
    finally:
        other.kill()
        other.wait()


FULL = """
import resource, sys
from pathlib import Path
from povid_lib.training.trainer import POVIDTrainer
from povid_lib import models
from tests.support import training
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
processor = models.load("pocket").processor
settings = training.config(folder / "run", max_steps=1, save_strategy="steps", save_steps=1, **eval(sys.argv[3]))
trainer = POVIDTrainer(training.tiny(processor), settings, training.dataset(folder, 8), processor)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    trainer.train()
except OSError as error:
    print("told:", error)
"""


@pytest.mark.parametrize(
    ("limit", "settings"),
    [(50_000, {"cache_reference": False}), (8_000, {"cache_reference": False}), (20_000, {"scored_under": "clean"})],
    ids=["the optimiser", "the adapter", "the cache"],
)
def test_a_full_disk_is_told_as_such(limit, settings, tmp_path):
    """A process that may write no file beyond a size: the same errors as on a disk that fills up while a file is written."""
    given = [sys.executable, "-c", FULL, str(tmp_path), str(limit), repr(settings)]
    told = subprocess.run(given, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert "Traceback" not in told.stderr, told.stderr[-2000:]
    assert "the disk or your share of it is full" in told.stdout
    assert "Make room and start again" in told.stdout
    assert checkpoints.last(tmp_path / "run") is None


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path):
    for error in (
        RuntimeError("shapes differ"),
        PermissionError(13, "denied"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ):
        with pytest.raises(type(error)) as met, checkpoints.writing(tmp_path):
            raise error
        assert met.value is error


def test_the_record_of_a_run_that_is_damaged(vlm, run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "povid_config.json").write_text("[1")
    with pytest.raises(ValueError, match=r"povid_config.json is damaged; delete the folder"):
        POVIDTrainer(
            training.tiny(vlm.processor),
            training.config(tmp_path / "run", **SETTINGS),
            run.train_dataset,
            vlm.processor,
        )
    assert json.loads((Path(run.args.output_dir) / "povid_config.json").read_text())["max_steps"] == 2
