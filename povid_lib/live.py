"""A training's curves: as a figure, redrawn while it runs, and two trainings side by side in the static page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import matplotlib.pyplot as plt
import traitlets
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from transformers import TrainerCallback

from povid_lib.plots import BLUE, GREEN, GREY, ORANGE
from povid_lib.widgets import STATIC, script

_SIDES = (("chosen", BLUE, "-"), ("rejected", ORANGE, "--"), ("noised", GREEN, ":"))
_LN2 = 0.6931


def training_curves(log: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss, rewards, log-probabilities and the share of noised tokens that differ, over the steps of a trainer's log.

    Rewards are ``beta`` times the log-ratio to the reference, in nats. Log-probabilities are sums over an answer, as changes since
    the first entry; every entry is about other pairs, which moves them more than a short training does.
    """
    rows = [entry for entry in log if "loss" in entry]
    steps = [entry["step"] for entry in rows]
    noised = "noised/differing" in rows[0]
    size, shape = ((8.4, 4.8), (2, 2)) if noised else ((8.4, 2.7), (1, 3))
    fig, grid = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    axes = grid.flat
    axes[0].plot(steps, [entry["loss"] for entry in rows], color=BLUE)
    axes[0].axhline(_LN2, color=GREY, lw=0.8, ls=":")
    axes[0].set_title("loss (dotted: ln 2)", fontsize=10)
    for axis, kind, title in (
        (axes[1], "rewards", "rewards (nats)"),
        (axes[2], "logps", "log-probability as logged,\nchange (nats)"),
    ):
        for side, colour, style in _SIDES:
            name = f"{kind}/{side}"
            if name in rows[0]:
                start = rows[0][name] if kind == "logps" else 0.0
                axis.plot(steps, [entry[name] - start for entry in rows], color=colour, ls=style, label=side)
        axis.axhline(0, color=GREY, lw=0.8)
        axis.set_title(title, fontsize=10)
    axes[1].legend(frameon=False, fontsize=9)
    if noised:
        axes[3].plot(steps, [entry["noised/differing"] for entry in rows], color=GREEN)
        axes[3].set_ylim(0)
        axes[3].set_title("share of noised tokens that differ", fontsize=10)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("step")
        axis.tick_params(labelsize=9)
    return fig


class LiveCurves(TrainerCallback):
    """Draws ``training_curves`` in a notebook, again at every fourth log and in the end; what stays is the last drawing."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = sum("loss" in entry for entry in state.log_history)
        if logs >= 2 and logs % 4 == 2:  # a drawing costs half a second
            self._draw(state.log_history)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._draw(state.log_history)

    def _draw(self, log: Sequence[Mapping[str, Any]]) -> None:
        figure = training_curves(log)
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)
        plt.close(figure)


def log_ratios(log: Sequence[Mapping[str, Any]], coefficients: Mapping[str, float]) -> dict[str, list[float]]:
    """For each side, how far the log-probability of its answers has moved from the reference's, in nats, log by log.

    A reward is a coefficient times that, so this divides it out. Unlike the log-probabilities as logged it compares the *same*
    answers under two models, so it does not jump with the pairs of a batch.
    """
    rows = [entry for entry in log if "loss" in entry]
    return {
        side: [entry[f"rewards/{side}"] / coefficient for entry in rows]
        for side, coefficient in coefficients.items()
        if f"rewards/{side}" in rows[0]
    }


class Curves(anywidget.AnyWidget):
    """Lay the logs of two trainings side by side, beside what each did to the captions. Computed beforehand."""

    _esm = script("curves.js")
    _css = STATIC / "curves.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(
        self, tuned: Mapping[str, Any], labels: Mapping[str, str], coefficients: Mapping[str, Mapping[str, float]]
    ) -> None:
        super().__init__(spec=curves_spec(tuned, labels, coefficients))


def curves_spec(
    tuned: Mapping[str, Any], labels: Mapping[str, str], coefficients: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """For each method in ``labels`` its logs by quantity, side and seed; the range to draw each quantity in, shared by all methods
    that have rewards and by all that have none; and CHAIR_s and recall on typical scenes, mean of the seeds.

    ``tuned``: ``results/tuning.json``. ``coefficients``: for each method with rewards, what a side's reward is divided by (see
    ``log_ratios``).
    """
    methods = []
    for name, label in labels.items():
        logs = [[entry for entry in log if "loss" in entry] for log in tuned["curves"][name]]
        ratios = [log_ratios(log, coefficients.get(name, {})) for log in logs]
        series = {
            "log-ratio to the reference (nats)": {side: [found[side] for found in ratios] for side in ratios[0]},
            "log-probability as logged (nats)": {
                side: [[entry[f"logps/{side}"] for entry in log] for log in logs]
                for side, *_ in _SIDES
                if f"logps/{side}" in logs[0][0]
            },
            "share of pairs in order": {"pairs": [[entry["rewards/accuracies"] for entry in log] for log in logs]}
            if ratios[0]
            else {},
            "loss": {"loss": [[entry["loss"] for entry in log] for log in logs]},
        }
        measured = [seed["typical"] for seed in tuned["seeds"][name]]
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
    before = {k: tuned["before"]["typical"][k]["value"] for k in ("chair_s", "recall")}
    return {"methods": methods, "quantities": quantities, "before": before}


def _range(methods: Sequence[Mapping[str, Any]], quantity: str) -> list[float]:
    values = [v for m in methods for seeds in m["series"][quantity].values() for seed in seeds for v in seed]
    return [min(values), max(values)]
