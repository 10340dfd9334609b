"""A training's curves: as a figure, and redrawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from transformers import TrainerCallback

from povid_lib.plots import BLUE, GREEN, GREY, ORANGE

_SIDES = (("chosen", BLUE, "-"), ("rejected", ORANGE, "--"), ("noised", GREEN, ":"))
_LN2 = 0.6931


def training_curves(log: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss, rewards, log-probabilities and the share of noised tokens that differ, over the steps of a trainer's log.

    Rewards are ``beta`` times the log-ratio to the reference, in nats; log-probabilities are sums over an answer, as changes since
    the first entry, so that one can see whether the chosen answers have become likelier or not.
    """
    rows = [entry for entry in log if "loss" in entry]
    steps = [entry["step"] for entry in rows]
    fig, axes = plt.subplots(1, 4 if "noised/differing" in rows[0] else 3, figsize=(10, 2.7), layout="constrained")
    axes[0].plot(steps, [entry["loss"] for entry in rows], color=BLUE)
    axes[0].axhline(_LN2, color=GREY, lw=0.8, ls=":")
    axes[0].set_title("loss (dotted: ln 2)", fontsize=9)
    for axis, kind, title in (
        (axes[1], "rewards", "rewards (nats)"),
        (axes[2], "logps", "log-probability, change (nats)"),
    ):
        for side, colour, style in _SIDES:
            name = f"{kind}/{side}"
            if name in rows[0]:
                start = rows[0][name] if kind == "logps" else 0.0
                axis.plot(steps, [entry[name] - start for entry in rows], color=colour, ls=style, label=side)
        axis.axhline(0, color=GREY, lw=0.8)
        axis.set_title(title, fontsize=9)
    axes[1].legend(frameon=False, fontsize=8)
    if "noised/differing" in rows[0]:
        axes[3].plot(steps, [entry["noised/differing"] for entry in rows], color=GREEN)
        axes[3].set_ylim(0)
        axes[3].set_title("noised tokens that differ", fontsize=9)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("step")
        axis.tick_params(labelsize=8)
    return fig


class LiveCurves(TrainerCallback):
    """Draws ``training_curves`` in a notebook, again at every log; what stays is the last drawing."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if sum("loss" in entry for entry in state.log_history) < 2:
            return
        figure = training_curves(state.log_history)
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)
        plt.close(figure)
