"""Results as JSON files in ``results/``: every figure of the book comes from one of them, with its origin."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from povid_lib.files.code_hash import BASE, code_hash, entry_name
from povid_lib.files.jsonl import check_place, replacing

PLACE = "POVID_RESULTS"  # environment: another folder for results
_DIGITS = 9  # significant ones of a figure; a config is kept as it is
_LONGEST = 200  # bytes of a name: file systems take 255, with what is put behind it


def folder() -> Path:
    """Where results are written: the folder that ``$POVID_RESULTS`` names, else ``results`` where the user stands."""
    return Path(os.environ.get(PLACE) or "results")


def provenance(config: Any, seconds: float) -> dict[str, Any]:
    """Commit, config and its hash, versions, device, threads and time: what it takes to trace a figure."""
    plain = _plain(config, "config")
    text = json.dumps(plain, sort_keys=True)
    return {
        "commit": _commit(),
        "config": plain,
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


def _plain(value: Any, at: str, digits: int | None = None) -> Any:
    """As JSON holds it, floats to so many significant digits. ``at``: where it stands, for what is said of a fault."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in fields(value)}, at, digits)
    if isinstance(value, Mapping):
        names = Counter(map(str, value))
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"{at} has two keys that JSON writes {twice[0]!r}; give one of them another name.")
        return {str(k): _plain(v, f"{at}.{k}", digits) for k, v in value.items()}
    if isinstance(value, np.floating):
        value = float(value)
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return _plain(value.tolist(), at, digits)
    if isinstance(value, set | frozenset):
        return [_plain(v, at, digits) for v in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_plain(v, f"{at}[{k}]", digits) for k, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):  # JSON has neither: an undefined share is null
        return None if math.isnan(value) else str(value)
    if isinstance(value, float) and digits is not None:
        return float(f"{value:.{digits}g}")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{at} is a {type(value).__name__}, which JSON does not hold; give a number, a text or a list.")


def check_name(name: str) -> Path:
    """Where a result of this name will be written. To be called before anything is measured.

    Raises ``ValueError`` for a name with a folder or a line break in it or of more than 200 bytes, and for a place that cannot be
    written to.
    """
    plain = name.isprintable() and Path(name).name == name and name not in ("", ".", "..")
    if not plain or len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        raise ValueError(
            f"The result's name is {name!r}; give a plain name such as 'study', without folders, of {_LONGEST} bytes at most."
        )
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Results cannot be written to {place} ({error}); stand in another folder, or set {PLACE}."
        ) from error
    if not os.access(place, os.W_OK):
        raise ValueError(f"Results cannot be written to {place}: no right to; stand in another folder, or set {PLACE}.")
    check_place(place / f"{name}.json")
    return place / f"{name}.json"


def save(name: str, data: dict[str, Any], config: Any, seconds: float, code: Iterable[Any] = ()) -> Path:
    """Write ``<name>.json`` into ``folder()``: dataclasses become objects, floats nine significant digits, nan null, an
    infinite number "inf", numpy's and torch's numbers plain ones; the config keeps all digits.

    ``code``: the entry points that the figures come from (see ``code_hash``); a test then fails when anything behind them does
    something else. Raises ``ValueError`` as ``check_name`` does and for keys that cannot stand beside each other, ``TypeError`` for
    what JSON does not hold.
    """
    path = check_name(name)
    if "provenance" in data:
        raise ValueError("The data have a key 'provenance', where the result's origin stands; give it another name.")
    origin = provenance(config, seconds)
    if entries := sorted(map(entry_name, code)):
        origin["code"] = {"entries": entries, "hash": code_hash(entries)}
    with replacing(path) as part:
        part.write_text(
            json.dumps({"provenance": origin, **_plain(data, "data", _DIGITS)}, indent=1) + "\n", encoding="utf-8"
        )
    return path


def read(name: str) -> dict[str, Any]:
    """Read a result from ``$POVID_RESULTS``, or from ``results`` in the working folder or the nearest one above that has it.

    Where there is none, the checkout that the library is installed from is looked at.
    Raises ``FileNotFoundError`` that says where results come from if it is not there.
    """
    places = [folder()] if os.environ.get(PLACE) else [at / "results" for at in (Path.cwd(), *Path.cwd().parents, BASE)]
    path = next((p / f"{name}.json" for p in places if (p / f"{name}.json").is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"There is no results/{name}.json here or above. The book's results come with its repository, where results/README.md "
            f"lists the commands that make them; stand there, or name the folder in {PLACE}."
        )
    return json.loads(path.read_text(encoding="utf-8"))
