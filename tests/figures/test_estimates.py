"""Figures show the estimates that they are given."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from povid_lib.figures import estimates
from povid_lib.metrics.stats import Estimate


def e(value, low, high):
    return Estimate(value, low, high, 9)


def test_bars_have_the_values_and_intervals():
    fig = estimates.grouped_bars(["a", "b"], {"x": [e(0.2, 0.1, 0.4), e(0.5, 0.4, 0.6)]}, "share")
    heights = [p.get_height() for p in fig.axes[0].patches]
    assert heights == [0.2, 0.5]
    segments = fig.axes[0].collections[0].get_segments()
    assert np.allclose([s[:, 1] for s in segments], [[0.1, 0.4], [0.4, 0.6]])


def test_bars_above_show_both_measures_of_each_row():
    rows = {"before": (e(0.8, 0.7, 0.9), e(0.9, 0.8, 1.0)), "after": (e(0.3, 0.2, 0.4), e(0.7, 0.6, 0.8))}
    upper, lower = estimates.bars_above(rows, ("false", "recall"), quiet=["before"]).axes
    assert [p.get_height() for p in upper.patches] == [0.8, 0.3]
    assert [p.get_height() for p in lower.patches] == [0.9, 0.7]
    assert [t.get_text() for t in lower.get_xticklabels()] == ["before", "after"]
    assert upper.patches[0].get_facecolor() != upper.patches[1].get_facecolor()
    with pytest.raises(ValueError, match="no row 'untuned'"):
        estimates.bars_above(rows, ("false", "recall"), quiet=["untuned"])


def test_dose_response_keeps_the_order():
    fig = estimates.dose_response([1, 2], {"x": [e(0.1, 0, 0.2), e(0.6, 0.5, 0.7)]}, "dose", "rate")
    assert fig.axes[0].lines[0].get_ydata().tolist() == [0.1, 0.6]


def test_trade_off_and_odds_show_what_they_are_given():
    points = [(e(0.9, 0.8, 1.0), e(0.5, 0.4, 0.6)), (e(0.2, 0.1, 0.3), e(0.1, 0.0, 0.2))]
    (ax,) = estimates.trade_off({"a": points}, (e(0.6, 0.5, 0.7), e(0.8, 0.7, 0.9)), "x", "y").axes
    before, a = (container[0].get_xydata().tolist() for container in ax.containers)
    assert before == [[0.6, 0.8]]
    assert a == [[0.9, 0.5], [0.2, 0.1]]
    ways = [line.get_xydata().tolist() for line in ax.lines if len(line.get_xdata()) == 2 and line.get_ls() == "-"]
    assert ways == [[[0.6, 0.8], [0.9, 0.5]], [[0.6, 0.8], [0.2, 0.1]]]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["before", "a"]
    fig = estimates.odds({"position": (e(2.0, 1.5, 3.0), 40.0), "distance": (e(0.5, 0.4, 0.7), 90.0)}, "odds ratio")
    left, right = fig.axes
    assert left.containers[0][0].get_xdata().tolist() == [2.0, 0.5]
    assert [p.get_width() for p in right.patches] == [40, 90]
    assert left.get_xscale() == "log"


def test_dose_panels_show_values_levels_and_the_shaded_stretch():
    panels = {"a": {"x": ([1, 2], [e(0.1, 0, 0.2), e(0.6, 0.5, 0.7)])}, "b": {"x": ([3], [e(0.4, 0.3, 0.5)])}}
    fig = estimates.dose_panels(panels, "dose", "share", {"b": (2.5, 3.5)}, {"chance": 0.25})
    left, right = fig.axes
    assert left.containers[0][0].get_ydata().tolist() == [0.1, 0.6]
    assert right.containers[0][0].get_xdata().tolist() == [3]
    assert [line.get_ydata()[0] for line in left.lines if line.get_label() == "chance"] == [0.25]
    assert not left.patches
    stretch = right.patches[0].get_extents().transformed(right.transData.inverted()).intervalx
    assert stretch.tolist() == pytest.approx([2.5, 3.5])


def test_paths_keep_their_order_and_shade_what_lies_under_a_floor():
    points = [("clear", e(0.7, 0.6, 0.8), e(0.3, 0.2, 0.4)), ("half", e(0.2, 0.1, 0.3), e(0.5, 0.4, 0.6))]
    ax = estimates.paths({"noise": points}, "truth", "companion", 0.2).axes[0]
    line = next(line for line in ax.lines if line.get_label() == "noise")
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([0.7, 0.2], [0.3, 0.5])
    assert [text.get_text() for text in ax.texts] == ["clear", "half"]
    assert not ax.xaxis_inverted()
    assert not ax.collections[2:]  # the two sets of error bars and nothing else
    ax = estimates.paths(
        {"noise": points, "b": points[:1]}, "truth", "companion", better=True, floor={"noise": "no better"}
    ).axes[0]
    (shade,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    corners = shade.get_paths()[0].vertices
    assert {tuple(c) for c in corners} >= {(0.7, 0.3), (0.2, 0.5), (0.7, ax.get_ylim()[0]), (0.2, ax.get_ylim()[0])}
    assert {"better", "no better"} < {text.get_text() for text in ax.texts}
    with pytest.raises(ValueError, match="no series 'b'; the series are 'noise'"):
        estimates.paths({"noise": points}, "truth", "companion", floor={"b": ""})


def test_stacked_bars_lie_end_to_end():
    bars = {"clear": {"a": 0.25, "b": 0.7, "c": 0.05}, "noise": {"a": 0.5, "b": 0.25, "c": 0.25}}
    ax = estimates.stacked({"steps": bars}, "share").axes[0]
    assert [p.get_x() for p in ax.patches] == pytest.approx([0, 0, 0.25, 0.5, 0.95, 0.75])
    assert [p.get_width() for p in ax.patches] == pytest.approx([0.25, 0.5, 0.7, 0.25, 0.05, 0.25])
    assert [t.get_text() for t in ax.texts] == ["0.25", "0.50", "0.70", "0.25", "", "0.25"]


def test_levels_are_drawn_where_they_belong_and_named():
    for fig in (
        estimates.curves([1, 2], {"x": [0.1, 3.0]}, "dose", "rate", ylim=(0, 4), xscale="log", levels={"top": 2.5}),
        estimates.dose_response(
            [10, 1000], {"x": [e(0.1, 0, 0.2)] * 2}, "dose", "rate", xscale="log", levels={"top": 2.5}
        ),
    ):
        (ax,) = fig.axes
        assert list(ax.lines[-1].get_ydata()) == [2.5, 2.5]
        assert [t.get_text() for t in ax.texts] == ["top"]
        assert ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "1,000"]


def test_a_method_looks_the_same_in_every_sweep_and_what_was_not_run_is_not_drawn():
    sft = (["50", "200"], [e(0.3, 0.2, 0.4), None])
    text = (["50", "200"], [e(0.5, 0.4, 0.6), e(0.6, 0.5, 0.7)])
    fig = estimates.sweeps({"p": {"sft": sft}, "q": {"text": text, "sft": sft}}, "CHAIR_s")
    left, right = fig.axes
    (alone,), (second, again) = ([c[0] for c in ax.containers] for ax in fig.axes)
    assert (alone.get_color(), alone.get_marker()) == (again.get_color(), again.get_marker())
    assert again.get_color() != second.get_color()
    assert again.get_marker() != second.get_marker()
    assert np.isnan(again.get_ydata()[1])
    assert second.get_ydata().tolist() == [0.5, 0.6]
    assert np.allclose(right.collections[0].get_segments()[1][:, 1], [0.5, 0.7])
    assert left.get_ylim() == right.get_ylim()  # one axis, so that panels can be compared by eye
    legend = {
        t.get_text(): h.get_color() for t, h in zip(fig.legends[0].get_texts(), fig.legends[0].get_lines(), strict=True)
    }
    assert legend == {"sft": alone.get_color(), "text": second.get_color()}
    assert [t.get_text() for t in left.get_xticklabels()] == ["50", "200"]


def test_a_control_chart_rings_outside_the_band_on_either_side_and_marks_the_change():
    fig = estimates.control_chart([20, 26, 13, 25], 20.0, 5.0, 2, "change", "words")
    quiet, loud = (line for line in fig.axes[0].lines if line.get_label() in ("within the limits", "alarm"))
    assert list(quiet.get_xdata()) == [1, 4]  # 25 is on the limit, which is not outside
    assert list(loud.get_xdata()) == [2, 3]
    assert any(list(line.get_xdata()) == [2.5, 2.5] for line in fig.axes[0].lines)
