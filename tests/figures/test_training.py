"""A training's curves say what its log says."""

from types import SimpleNamespace

import pytest

from povid_lib.figures import training


def entry(step, chosen, rejected, **more):
    row = {"step": step, "loss": 0.69 - 0.001 * step, "logps/chosen": -7.0 - step, "logps/rejected": -14.0 + step}
    return row | {"rewards/chosen": chosen, "rewards/rejected": rejected, "rewards/accuracies": 0.5} | more


LOG = [entry(2, 0.0, 0.0), entry(4, 0.02, -0.03), {"train_runtime": 3.0, "step": 4}]
NOISED = [row | {"rewards/noised": -0.01, "logps/noised": -5.0, "noised/differing": 0.2} for row in LOG[:2]]


def test_log_ratios_divide_each_reward_by_its_own_coefficient():
    found = training.log_ratios(LOG, {"chosen": 0.1, "rejected": 0.05, "noised": 0.05})
    assert found == {"chosen": [0, pytest.approx(0.2)], "rejected": [0, pytest.approx(-0.6)]}


def test_the_figure_has_a_panel_for_noised_tokens_only_where_there_are_some():
    plain, noised = training.training_curves(LOG), training.training_curves(NOISED)
    assert [len(fig.axes) for fig in (plain, noised)] == [3, 4]
    rewards, logps = plain.axes[1:]
    assert rewards.lines[1].get_ydata().tolist() == [0.0, -0.03]
    assert logps.lines[0].get_ydata().tolist() == [0, -2]  # a change since the first log
    assert noised.axes[3].lines[0].get_ydata().tolist() == [0.2, 0.2]


def test_the_live_figure_is_drawn_at_every_fourth_log_and_at_the_end(monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(len(figure.axes[0].lines[0].get_xdata()))

    monkeypatch.setattr(training, "display", lambda figure, display_id: Handle.update(Handle, figure) or Handle())
    callback, state = training.LiveCurves(), SimpleNamespace(log_history=[])
    for step in range(1, 10):
        state.log_history.append(entry(step, 0.0, 0.0))
        callback.on_log(None, state, None)
    callback.on_train_end(None, state, None)
    assert shown == [2, 6, 9]
