"""Results as JSON files in ``results/``: every figure of the book comes from one of them, with its origin."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from povid_lib.files.code_hash import BASE, code_hash, entry_name
from povid_lib.files.jsonl import replacing

PLACE = "POVID_RESULTS"  # environment: another folder for results


def folder() -> Path:
    """Where results are written: the folder that ``$POVID_RESULTS`` names, else ``results`` where the user stands."""
    return Path(os.environ.get(PLACE) or "results")


def provenance(config: Any, seconds: float) -> dict[str, Any]:
    """Commit, config and its hash, versions, device, threads and time: what it takes to trace a figure."""
    text = json.dumps(_plain(config), sort_keys=True)
    return {
        "commit": _commit(),
        "config": _plain(config),
        "config_hash": hashlib.sha256(text.encode()).hexdigest()[:12],
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "pillow")},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seconds": round(seconds, 1),
    }


def _commit() -> str | None:
    """The checkout's commit; None where the library is installed from a wheel, or git cannot say."""
    if not (BASE / ".git").exists():
        return None
    try:
        git = subprocess.run(["git", "-C", str(BASE), "rev-parse", "HEAD"], capture_output=True, text=True)
    except FileNotFoundError:  # no git on this machine
        return None
    return git.stdout.strip() or None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)  # JSON has no nan: an undefined share is null
    return value


def check_name(name: str) -> Path:
    """Where a result of this name will be written. To be called before anything is measured.

    Raises ``ValueError`` for a name with a folder in it, and for a place that cannot be written to.
    """
    if not name or Path(name).name != name or name in (".", ".."):
        raise ValueError(f"The result's name is {name!r}; give a plain name such as 'study', without folders.")
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Results cannot be written to {place} ({error}); stand in another folder, or set {PLACE}."
        ) from error
    if not os.access(place, os.W_OK):
        raise ValueError(f"Results cannot be written to {place}: no right to; stand in another folder, or set {PLACE}.")
    return place / f"{name}.json"


def save(name: str, data: dict[str, Any], config: Any, seconds: float, code: Iterable[Any] = ()) -> Path:
    """Write ``<name>.json`` into ``folder()``: dataclasses become objects, floats six decimals, nan null.

    ``code``: the entry points that the figures come from (see ``code_hash``); a test then fails when anything behind them does
    something else. Raises ``ValueError`` as ``check_name`` does.
    """
    path = check_name(name)
    origin = provenance(config, seconds)
    if entries := sorted(map(entry_name, code)):
        origin["code"] = {"entries": entries, "hash": code_hash(entries)}
    with replacing(path) as part:
        part.write_text(json.dumps({"provenance": origin, **_plain(data)}, indent=1) + "\n", encoding="utf-8")
    return path


def read(name: str) -> dict[str, Any]:
    """Read a result from ``$POVID_RESULTS``, or from ``results`` in the working folder or the nearest one above that has it.

    Raises ``FileNotFoundError`` that says where results come from if it is not there.
    """
    places = [folder()] if os.environ.get(PLACE) else [at / "results" for at in (Path.cwd(), *Path.cwd().parents)]
    path = next((p / f"{name}.json" for p in places if (p / f"{name}.json").is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"There is no results/{name}.json here or above. The book's results come with its repository, where results/README.md "
            f"lists the commands that make them; stand there, or name the folder in {PLACE}."
        )
    return json.loads(path.read_text(encoding="utf-8"))
