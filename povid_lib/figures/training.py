"""A training's curves: as a figure, and redrawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from transformers import TrainerCallback

from povid_lib.figures.style import BLUE, GREEN, GREY, ORANGE, plain

SIDES = (("chosen", BLUE, "-"), ("rejected", ORANGE, "--"), ("noised", GREEN, ":"))
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
        for side, colour, style in SIDES:
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
        plain(axis)
        axis.set_xlabel("step")
        axis.tick_params(labelsize=9)
    return fig


class LiveCurves(TrainerCallback):
    """Draws ``training_curves`` in a notebook, again at every fourth log and in the end; what stays is the last drawing."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draws at every fourth entry, from the second on."""
        logs = sum("loss" in entry for entry in state.log_history)
        if logs >= 2 and logs % 4 == 2:  # a drawing costs half a second
            self._draw(state.log_history)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draws the whole log."""
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
