"""Checkpoints of a training: which is the last whole one, and whether what it holds is what was saved."""

from __future__ import annotations

import errno
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor

from povid_lib.models import weights

_STATE = "trainer_state.json"  # what a checkpoint is given last
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_SAID = ("No space left", "quota exceeded", "File too large", "PytorchStreamWriter failed", "inline_container.cc")
_TORCH = ("optimizer.pt", "scheduler.pt")


def last(out: Path) -> Path | None:
    """The newest checkpoint of a run that is whole, or None."""
    return max(filter(_is_whole, _all(out)), key=lambda path: int(path.name.split("-")[1]), default=None)


def remove_broken(out: Path) -> None:
    """Take away what a killed run had begun to save."""
    for path in _all(out):
        if not _is_whole(path):
            shutil.rmtree(path)


def find(asked: str | Path | bool | None, out: Path) -> Path | None:
    """The checkpoint that ``Trainer.train`` means by its ``resume_from_checkpoint``: True is the last of the run's own.

    Raises ``ValueError`` if there is none.
    """
    if asked is None or asked is False:
        return None
    found = last(out) if asked is True else Path(asked)
    if found is None or not found.is_dir():
        raise ValueError(
            f"There is no checkpoint to go on from ({out if found is None else found}); leave it out, or give one."
        )
    return found


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Tell a full disk as such, whichever library met it. Raises ``OSError`` that says what to do."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if getattr(error, "errno", None) not in _FULL and not any(sign in str(error) for sign in _FULL_SAID):
            raise
        raise OSError(
            f"{out}: a file could not be written, the disk or your share of it is full ({str(error).splitlines()[0]}). Make room "
            "and start again; the run goes on from its last whole checkpoint."
        ) from error


def check(folder: Path, model: PeftModel, whole: bool = True) -> None:
    """A checkpoint must hold exactly this model's adapter, and a sound optimiser. ``whole``: one process has written it alone; what
    DeepSpeed and FSDP divide has other files, and only those are read that are there.

    Raises ``ValueError`` that names the file, if any is missing or damaged, or any tensor is missing, unexpected, of another shape,
    or holds impossible numbers.
    """
    remedy = "Delete the checkpoint; the run goes on from the one before."
    if not _is_whole(folder):
        raise ValueError(f"{folder / _STATE} is missing or damaged. {remedy}")
    if whole or (folder / weights.ADAPTER).exists():
        tensors, own = weights.read(folder / weights.ADAPTER), get_peft_model_state_dict(model)
        faults = weights.name_faults(own.keys() - tensors.keys(), tensors.keys() - own.keys())
        weights.refuse(folder / weights.ADAPTER, faults + weights.shape_faults(own, tensors), remedy)
    for name in _TORCH:
        if not (folder / name).is_file():
            if whole:
                raise ValueError(f"{folder} holds no {name}, so the optimiser would begin anew. {remedy}")
            continue
        content = _read_torch(folder / name, remedy)
        faults = weights.value_faults(dict(_tensors(content)), largest=float("inf"))
        weights.refuse(folder / name, faults, remedy)
    for path in folder.glob("rng_state*.pth"):  # their content is the random generators' own affair
        _check_zip(path, remedy)


def _all(out: Path) -> list[Path]:
    return [path for path in out.glob("checkpoint-*") if path.is_dir() and path.name.split("-")[1].isdigit()]


def epoch(checkpoint: Path) -> float:
    """How many epochs a whole checkpoint's training had done."""
    return float(json.loads((checkpoint / _STATE).read_text(encoding="utf-8")).get("epoch") or 0.0)


def _is_whole(checkpoint: Path) -> bool:
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # not there yet, or cut off in the middle
        return False
    return isinstance(state, dict) and isinstance(state.get("global_step"), int)


def _check_zip(path: Path, remedy: str) -> None:
    """PyTorch's files are archives with checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}). {remedy}") from error
    if broken is not None:
        raise ValueError(f"{path} is damaged (checksum of {broken}). {remedy}")


def _read_torch(path: Path, remedy: str) -> Any:
    _check_zip(path, remedy)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle raises whatever its bytes say
        raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}). {remedy}") from error


def _tensors(content: Any, at: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested mappings and lists, under its path."""
    if isinstance(content, Tensor):
        yield at, content
    elif isinstance(content, dict | list | tuple):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _tensors(value, f"{at}.{key}" if at else str(key))
