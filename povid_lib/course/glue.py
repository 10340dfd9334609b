"""Numbers for a chapter's text: the notebook glues them, and the page's ``{glue:text}`` roles print them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from povid_lib.metrics.stats import Estimate

Record = Mapping[str, Any]  # as `results.read` gives it: numbers, texts, lists, and records of these

_SIGNED = re.compile(r"[-+]\d[\d.,]*")


def written(record: Record, digits: int = 2, sign: str = "", scale: float = 1.0) -> str:
    """A value with its interval, such as ``0.31 [0.26, 0.36]``. ``sign``: "+" for differences. ``scale``: 100 for points."""
    value, low, high = (signed(f"{scale * record[key]:{sign}.{digits}f}") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def signed(text: str) -> str:
    """A number's text with a true minus in place of a hyphen; what rounds to nought has no sign. Other texts stay as they are."""
    if not _SIGNED.fullmatch(text):
        return text
    return text.replace("-", "\N{MINUS SIGN}") if any(digit in text for digit in "123456789") else text[1:]


def shown_p(p: float) -> str:
    """A p-value to three digits; what is smaller is only said to be so."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(record: Record, path: str) -> Any:
    """What stands in a record at ``path``: keys joined by ``/``, which may hold spaces but no ``/`` of their own.

    Raises ``KeyError`` that names the key that is missing and those that are there.
    """
    value: Any = record
    for key in path.split("/"):
        parts = _parts(value)
        if key not in parts:
            raise KeyError(f"{path}: there is no {key!r}; there is {', '.join(map(str, parts)) or 'a single value'}.")
        value = parts[key]
    return value


def glue_record(record: Record, *paths: str, prefix: str = "", sep: str = "/") -> None:
    """Glue every number below each path of a record (of all of it, if none is named) under its own path.

    ``prefix`` goes before each name, and ``sep`` stands between its parts. An ``Estimate`` counts as a record of its parts.
    Texts, lists, truth values and None are left out. Raises ``KeyError`` for a path that is not there, and ``ValueError`` for one
    with no number below it; nothing is glued then.
    """
    found: dict[str, Any] = {}
    for path in paths or ("",):
        keys = [*filter(None, [prefix]), *filter(None, path.split("/"))]
        below = dict(_numbers(number(record, path) if path else record, keys, sep))
        if not below:
            raise ValueError(f"glue_record: there is no number at {path or 'the top of the record'!r}.")
        found |= below
    glue_many(found)


def glue_many(values: Mapping[str, Any]) -> None:
    """Glue numbers and texts under their names. NumPy's and torch's numbers become Python's.

    Raises ``TypeError`` that names what is neither a number nor a text; nothing is glued then.
    """
    from myst_nb import glue  # a notebook's own: the library does without

    plain = {name: _plain(name, value) for name, value in values.items()}
    for name, value in plain.items():
        glue(name, value, display=False)


def _plain(name: str, value: Any) -> int | float | str:
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1):
        value = value.item()
    if not isinstance(value, int | float | str):
        raise TypeError(f"glue_many: {name!r} is a {type(value).__name__}; give a number or a text.")
    return value


def _numbers(value: Any, keys: list[str], sep: str) -> Iterator[tuple[str, Any]]:
    for key, part in _parts(value).items():
        yield from _numbers(part, [*keys, str(key)], sep)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield sep.join(keys), value


def _parts(value: Any) -> Record:
    """What a record or an estimate is made of; nothing for all else."""
    if isinstance(value, Estimate):
        return asdict(value)
    return value if isinstance(value, Mapping) else {}
