"""Two trainings' curves side by side, in the static page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from povid_lib.figures.training import SIDES, log_ratios
from povid_lib.widgets.base import SpecWidget


class Curves(SpecWidget):
    """Lay the logs of two trainings side by side, beside what each did to the captions. Computed beforehand."""

    asset = "curves"

    def __init__(
        self,
        tuned: Mapping[str, Any],
        labels: Mapping[str, str],
        coefficients: Mapping[str, Mapping[str, float]],
        split: str = "typical",
    ) -> None:
        super().__init__(spec=curves_spec(tuned, labels, coefficients, split))


def curves_spec(
    tuned: Mapping[str, Any],
    labels: Mapping[str, str],
    coefficients: Mapping[str, Mapping[str, float]],
    split: str = "typical",
) -> dict[str, Any]:
    """For each method in ``labels`` its logs by quantity, side and seed; the range to draw each quantity in, shared by all methods
    that have rewards and by all that have none; and CHAIR_s and recall on one ``split``'s scenes, mean of the seeds.

    ``tuned``: "curves", a list of logs (one a seed) by method; "seeds", as many records of "chair_s" and "recall" by split; and
    "before", one such record of the untrained model. ``coefficients``: for each method with rewards, what a side's reward is
    divided by (see ``log_ratios``).
    """
    methods = []
    for name, label in labels.items():
        logs = [[entry for entry in log if "loss" in entry] for log in tuned["curves"][name]]
        ratios = [log_ratios(log, coefficients.get(name, {})) for log in logs]
        series = {
            "log-ratio to the reference (nats)": {side: [found[side] for found in ratios] for side in ratios[0]},
            "log-probability as logged (nats)": {
                side: [[entry[f"logps/{side}"] for entry in log] for log in logs]
                for side, *_ in SIDES
                if f"logps/{side}" in logs[0][0]
            },
            "share of pairs in order": {"pairs": [[entry["rewards/accuracies"] for entry in log] for log in logs]}
            if ratios[0]
            else {},
            "loss": {"loss": [[entry["loss"] for entry in log] for log in logs]},
        }
        measured = [seed[split] for seed in tuned["seeds"][name]]
        methods.append(
            {
                "label": label,
                "steps": [entry["step"] for entry in logs[0]],
                "series": {
                    quantity: {side: [[round(v, 4) for v in seed] for seed in seeds] for side, seeds in sides.items()}
                    for quantity, sides in series.items()
                    if sides
                },
                "after": {k: sum(m[k]["value"] for m in measured) / len(measured) for k in ("chair_s", "recall")},
            }
        )
    quantities = list(dict.fromkeys(quantity for method in methods for quantity in method["series"]))
    for method in methods:
        alike = [m for m in methods if len(m["series"]) == len(method["series"])]
        method["ranges"] = {quantity: _range(alike, quantity) for quantity in method["series"]}
    before = {k: tuned["before"][split][k]["value"] for k in ("chair_s", "recall")}
    return {"methods": methods, "quantities": quantities, "before": before}


def _range(methods: Sequence[Mapping[str, Any]], quantity: str) -> list[float]:
    values = [v for m in methods for seeds in m["series"][quantity].values() for seed in seeds for v in seed]
    return [min(values), max(values)]
