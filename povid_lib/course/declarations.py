"""Problem set 4: what a declaration has to say before anything is run, and the digest that a record keeps of it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

MEASURES = ("chair_s", "chair_i", "recall")
DIRECTIONS = ("lower", "higher")
KINDS = ("typical", "counter_typical")
PICTURES = (100, 600)  # fewest and most: fewer tell little, more take too long
CONSTANTS = (4, 8)  # fewest and most points of the curve
STEPS = (0.5, 3.0)  # from a constant to the next: nearer, captions are the same; farther apart, the curve has a gap
REACH = 4.0  # of the last constant, at least: its captions are very short


def faults(declaration: object) -> list[str]:
    """Everything that a declaration lacks, or cannot have; [] if it can be run."""
    if not isinstance(declaration, dict):
        return [f"it must be a dict, and is {type(declaration).__name__}"]
    found = []
    for name, (good, want) in _FIELDS.items():
        if name not in declaration:
            found.append(f"{name} is missing: {want}")
        elif not good(declaration[name]):
            found.append(f"{name} is {declaration[name]!r}: {want}")
    found += [f"there is no field {name!r}" for name in declaration if name not in _FIELDS]
    if not found:
        pictures = declaration["scenes"] * len(declaration["seeds"])
        if not PICTURES[0] <= pictures <= PICTURES[1]:
            found.append(f"scenes times seeds are {pictures} pictures: take from {PICTURES[0]} to {PICTURES[1]}")
        least = least_change(pictures)
        if pictures >= PICTURES[0] and declaration["smallest"] < least - 1e-9:
            shown = math.ceil(least * 1000 - 1e-6) / 1000
            found.append(
                f"{pictures} pictures cannot tell a change of {declaration['smallest']} from none: take more, or a smallest "
                f"change of {shown:.3f}"
            )
        found += _of_hypothesis(declaration)
        found += _of_constants(declaration["constants"])
    return found


def least_change(pictures: int) -> float:
    """The smallest change that may be declared: two standard errors of a share of one half, about half of a 95% interval."""
    return 1 / math.sqrt(pictures)


def _of_hypothesis(declaration: Mapping[str, Any]) -> list[str]:
    words = re.findall(r"\w+", declaration["hypothesis"].lower())
    direction, measure = declaration["direction"], declaration["measure"]
    other = next(each for each in DIRECTIONS if each != direction)
    found, named = [], [word for word in words if word in MEASURES]
    if direction not in words:
        found.append(f"the hypothesis does not say {direction!r} as a word of its own: it must name the direction")
    elif other in words:
        found.append(f"the hypothesis says {other!r} as well as {direction!r}: name the one direction")
    if not named:
        found.append(f"the hypothesis names no measure: say {measure} in it")
    elif named[0] != measure:
        found.append(f"the hypothesis is about {named[0]}, and measure is {measure!r}: name first the one that decides")
    return found


def _of_constants(constants: Sequence[float]) -> list[str]:
    steps = [b - a for a, b in pairwise(constants)]
    if min(steps) < STEPS[0] - 1e-9:
        return [f"constants are too close together: their captions are the same; take steps of {STEPS[0]} or more"]
    if max(steps) > STEPS[1] + 1e-9:
        return [
            f"constants are too far apart: between them the curve is not known; take steps of {STEPS[1]:.0f} or less"
        ]
    if constants[-1] < REACH:
        return [
            f"constants end at {constants[-1]}, where captions are not yet very short; the last is {REACH:.0f} or more"
        ]
    return []


def whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "hypothesis": (
        lambda v: isinstance(v, str) and 8 <= len(v.split()) <= 80,
        "a sentence of 8 to 80 words: what you expect, and why",
    ),
    "method": (lambda v: isinstance(v, str) and v.strip() != "", "the name of what you compare with the untuned model"),
    "measure": (lambda v: v in MEASURES, f"one of {', '.join(MEASURES)}"),
    "direction": (lambda v: v in DIRECTIONS, "lower or higher: where the measure goes if the hypothesis is right"),
    "smallest": (
        lambda v: _number(v) and 0 < v < 1,
        "the smallest change that would matter to a user, between 0 and 1",
    ),
    "kind": (lambda v: v in KINDS, f"one of {', '.join(KINDS)}"),
    "scenes": (lambda v: whole(v, 1, PICTURES[1]), "a number of scenes for each seed"),
    "seeds": (
        lambda v: isinstance(v, list) and 1 <= len(v) <= 5 and len(set(map(str, v))) == len(v)
        and all(whole(seed, 0, 9999) for seed in v),
        "a list of 1 to 5 different whole numbers from 0 to 9999: each draws scenes of its own",
    ),
    "constants": (
        lambda v: isinstance(v, list) and CONSTANTS[0] <= len(v) <= CONSTANTS[1] and all(map(_number, v))
        and v[0] == 0 and all(a < b for a, b in pairwise(v)),
        f"a list of {CONSTANTS[0]} to {CONSTANTS[1]} growing numbers that begins with 0, the curve's constants",
    ),
}  # fmt: skip


def digest(declaration: Mapping[str, Any]) -> str:
    """What a record keeps of its declaration: another one, however little it differs, has another."""
    text = json.dumps(dict(declaration), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
