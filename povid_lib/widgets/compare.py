"""The widget of chapter 09: every method of a study beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from povid_lib.evaluation.held_out import SPLITS
from povid_lib.study.report import BASE
from povid_lib.widgets.base import SpecWidget


class Compare(SpecWidget):
    """Choose a measure, a split and a method to compare with; all methods in order, with intervals and seeds."""

    asset = "compare"

    def __init__(
        self, data: Mapping[str, Any], names: Mapping[str, str], measures: Mapping[str, tuple[str, int]]
    ) -> None:
        super().__init__(spec=compare_spec(data, names, measures))


def compare_spec(
    data: Mapping[str, Any], names: Mapping[str, str], measures: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    """``data``: what ``report`` has written; ``names``: the methods to show and what they are called; ``measures``: each with
    its label, and 1 where more is better, -1 where less is. A measure that a method has none of is null."""
    rows = []
    for method, name in names.items():
        found = data["methods"][method]
        values = [[_cell(found[split][measure]) for measure in measures] for split in SPLITS]
        rows.append({"name": name, "group": BASE if method == BASE else found["group"], "values": values})
    listed = [{"label": label, "better": better} for label, better in measures.values()]
    return {"methods": rows, "measures": listed, "splits": list(SPLITS)}


def _cell(found: Mapping[str, Any]) -> dict[str, Any] | None:
    if found["value"] is None:
        return None
    rounded = {key: round(found[key], 4) for key in ("value", "low", "high")}
    return rounded | {"seeds": [round(value, 4) for value in found["seeds"] if value is not None]}
