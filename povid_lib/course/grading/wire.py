"""Values between the judge and a student's process: plain data as JSON, and nothing that could act.

What is no plain data arrives as an object without abilities, which only knows what it was; it equals nothing but itself.
"""

from __future__ import annotations

import builtins
import json
import numbers
import reprlib
from typing import Any

import numpy as np

MOST = 4_000_000  # characters of one message
_DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
_SEQUENCES = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_NAME = 40  # characters of a type's name
_TEXT = 300  # characters of what an exception or an object says


def encode(value: Any) -> Any:
    """A value as JSON takes it: None, truth values, numbers, texts, lists, tuples, sets, dicts and arrays; others by name."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return encode(value.item()) if value.dtype.name in _DTYPES or value.dtype.kind == "U" else _other(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _DTYPES:
            return _other(value)
        kept = {} if value.flags.writeable else {"frozen": True}  # so that writing into it fails there as it would here
        return {"array": value.tolist(), "dtype": value.dtype.name, **kept}
    for name, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            return {name: [encode(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(each)] for key, each in value.items()]}
    return _other(value)


def decode(value: Any) -> Any:
    """What ``encode`` made, as a value again. Raises ``ValueError`` for anything else."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a list without its kind")
        return value
    if value.keys() - {"frozen"} == {"array", "dtype"} and value["dtype"] in _DTYPES:
        array = np.array(value["array"], dtype=value["dtype"])
        array.flags.writeable = "frozen" not in value
        return array
    if value.keys() == {"type", "text"}:
        return _stands_for(str(value["type"]), str(value["text"]))
    if len(value) != 1:
        raise ValueError("no value of any kind")
    ((kind, members),) = value.items()
    try:
        if kind == "dict":
            return {decode(key): decode(each) for key, each in members}
        return _SEQUENCES[kind]([decode(each) for each in members])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no value of the kind {kind!r}") from error


def dumps(message: Any) -> bytes:
    """A message as one line. Raises ``ValueError`` if it is longer than ``MOST``."""
    line = json.dumps(message)
    if len(line) > MOST:
        raise ValueError(f"it takes {len(line):,} characters, and {MOST:,} are allowed")
    return line.encode() + b"\n"


def loads(line: bytes) -> dict[str, Any]:
    """A message from its line. Raises ``ValueError`` if it is none."""
    try:
        message = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message


def plain(text: str, most: int = _TEXT) -> str:
    """Text of others on one line, that every file and terminal takes: without control characters and halves of letters."""
    return "".join(c if c.isprintable() else " " for c in text[:most])


def told(fault: BaseException) -> dict[str, str]:
    """What an exception is, in words that travel."""
    try:
        text = str(fault)
    except BaseException:  # an exception of the student's whose own __str__ fails
        text = "(it cannot be shown)"
    return {"type": type(fault).__name__[:_NAME], "text": text[:_TEXT]}


def raised(kind: str, text: str, line: str = "") -> Exception:
    """An exception like the one that was raised in the student's process; ``line``: the student's own line, as its note."""
    known = vars(builtins).get(kind)
    base = known if isinstance(known, type) and issubclass(known, Exception) else Exception
    fault = type(_identifier(kind), (base,), {"__init__": lambda self: None, "__str__": lambda self: plain(text)})()
    fault.add_note(plain(line))  # empty too: the judge's own lines are none of the student's
    return fault


def _other(value: Any) -> dict[str, str]:
    try:
        text = reprlib.repr(value)
    except BaseException:  # a repr of the student's that fails
        text = "(it cannot be shown)"
    return {"type": type(value).__name__[:_NAME], "text": text[:_TEXT]}


def _stands_for(kind: str, text: str) -> Any:
    return type(_identifier(kind), (), {"__repr__": lambda self: plain(text)})()


def _identifier(name: str) -> str:
    name = name[:_NAME]
    return name if name.isidentifier() else "Unknown"
