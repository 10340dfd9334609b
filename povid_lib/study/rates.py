"""Which learning rate each method is tested at: one rule for all, on validation scenes.

Of a method's runs that write readable captions and whose recall of seen objects is at most 2 points below the untuned model's, on
both kinds of scenes, the one with the lowest CHAIR_s on counter-typical scenes. If there is none, of the readable ones the one that
keeps most recall, and the method counts as costly.

All of it but *readable* was declared before the grid ran. At the highest rate half a sentence in each caption of the preference
methods is none of the language, which no measure of hallucination counts: the rule as it was would have chosen such runs. It was
mended before any method had described a scene of the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from povid_lib.evaluation.held_out import SPLITS

LOSS = 0.02  # of recall of seen objects, at most
UNREADABLE = 0.05  # sentences a caption that the exact judge cannot read, at most, above the untuned model's


@dataclass(frozen=True)
class Choice:
    """A method's run that is tested. ``costly``: whether every readable run of it lost more recall than the rule allows."""

    run: str
    costly: bool


def choose(methods: Mapping[str, Any], base: str = "base", loss: float = LOSS) -> dict[str, Choice]:
    """One run of each group of a grid. ``methods``: as in the results of a study, name -> group and measures by kind of scene.

    Groups without a trained run are left out. Raises ``ValueError`` if the untuned model ``base`` is not among them, or no run of a
    group is readable.
    """
    if base not in methods:
        raise ValueError(
            f"choose: the grid has no {base!r}, which the runs are compared with; it has {', '.join(methods)}."
        )
    found: dict[str, Choice] = {}
    for group in dict.fromkeys(row["group"] for row in methods.values()):
        runs = {name: row for name, row in methods.items() if row["group"] == group and any(row["training"])}
        if not runs:
            continue
        runs = {name: row for name, row in runs.items() if _unreadable(methods[base], row) <= UNREADABLE}
        if not runs:
            raise ValueError(f"choose: every run of {group!r} writes what cannot be read; give it lower rates.")
        lost = {name: max(_lost(methods[base], row, kind) for kind in SPLITS) for name, row in runs.items()}
        kept = [name for name in runs if lost[name] <= loss]
        if kept:
            found[group] = Choice(min(kept, key=lambda name: runs[name]["counter_typical"]["chair_s"]["value"]), False)
        else:
            found[group] = Choice(min(runs, key=lost.__getitem__), True)
    return found


def _lost(base: Mapping[str, Any], run: Mapping[str, Any], kind: str) -> float:
    return float(base[kind]["recall_seen"]["value"] - run[kind]["recall_seen"]["value"])


def _unreadable(base: Mapping[str, Any], run: Mapping[str, Any]) -> float:
    return max(float(run[kind]["unreadable"]["value"] - base[kind]["unreadable"]["value"]) for kind in SPLITS)
