"""Results as JSON files in ``results/``: every figure of the book comes from one of them, with its origin."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from povid_lib.code_hash import code_hash, entry_name

FOLDER = Path(__file__).parent.parent / "results"


def provenance(config: Any, seconds: float) -> dict[str, Any]:
    """Commit, config and its hash, versions, device, threads and time: what it takes to trace a figure."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=FOLDER.parent)
    text = json.dumps(_plain(config), sort_keys=True)
    return {
        "commit": git.stdout.strip() or None,  # None: not run from a checkout
        "config": _plain(config),
        "config_hash": hashlib.sha256(text.encode()).hexdigest()[:12],
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "pillow")},
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "threads": torch.get_num_threads(),
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seconds": round(seconds, 1),
    }


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


def save(
    name: str, data: dict[str, Any], config: Any, seconds: float, folder: Path = FOLDER, code: Iterable[Any] = ()
) -> Path:
    """Write ``results/<name>.json``: dataclasses become objects, floats six decimals, nan null.

    ``code``: the entry points that the figures come from (see ``code_hash``); a test then fails when anything behind them does
    something else.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    origin = provenance(config, seconds)
    if entries := sorted(map(entry_name, code)):
        origin["code"] = {"entries": entries, "hash": code_hash(entries)}
    path.write_text(json.dumps({"provenance": origin, **_plain(data)}, indent=1) + "\n")
    return path


def read(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Read a result. Raises ``FileNotFoundError`` that names the command if it is not there."""
    path = folder / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; the commands that make results are listed in results/README.md.")
    return json.loads(path.read_text())
