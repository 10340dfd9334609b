"""The forest plot shows every estimate where it lies, beside what it is to be compared with."""

import numpy as np
import pytest

from povid_lib.figures.forests import forest
from povid_lib.metrics.stats import Estimate


def e(value, low, high):
    return Estimate(value, low, high, 9)


ROWS = {"a": {"x": e(0.1, 0.0, 0.3), "y": e(0.2, 0.1, 0.4)}, "b": {"x": e(-0.1, -0.2, 0.1)}}


def points(ax):
    """(value, height, colour, marker) of each estimate drawn."""
    lines = [container[0] for container in ax.containers]
    return [(li.get_xdata()[0], li.get_ydata()[0], li.get_color(), li.get_marker()) for li in lines]


def test_each_estimate_stands_in_its_row_with_its_interval():
    fig = forest({"left": ROWS, "right": {"a": {"y": e(2, 1, 3)}, "b": {"x": None}}})
    left, right = fig.axes
    assert [value for value, *_ in points(left)] == [0.1, 0.2, -0.1]
    segments = [container[2][0].get_segments()[0][:, 0].tolist() for container in left.containers]
    assert np.allclose(segments, [[0.0, 0.3], [0.1, 0.4], [-0.2, 0.1]])
    heights = [y for _, y, *_ in points(left)]
    assert -0.5 < heights[0] < 0 < heights[1] < 0.5  # two series share a row, one stands in its middle
    assert heights[2] == 1
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first row is on top
    assert [value for value, *_ in points(right)] == [2, pytest.approx(np.nan, nan_ok=True)]
    assert [ax.get_title() for ax in fig.axes] == ["left", "right"]


def test_a_series_has_one_colour_and_marker_in_all_panels_and_the_legend():
    fig = forest({"left": ROWS, "right": {"a": {"y": e(2, 1, 3)}, "b": {"x": e(1, 0, 2)}}})
    (_, _, *x), (_, _, *y), (_, _, *again) = points(fig.axes[0])
    assert x == again
    assert x[0] != y[0]
    assert x[1] != y[1]
    assert [look for _, _, *look in points(fig.axes[1])] == [y, x]
    handles = fig.legends[0].legend_handles
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["x", "y"]
    assert [[h.get_color(), h.get_marker()] for h in handles] == [x, y]


def test_marks_and_chance_are_drawn_in_their_panel_and_named():
    fig = forest({"left": ROWS, "right": ROWS}, {"left": 0.3}, "before", {"right": (-0.02, 0.03)})
    assert [[line.get_xdata()[0] for line in ax.lines if line.get_ls() == ":"] for ax in fig.axes] == [[0.3], []]
    bands = [[p for p in ax.patches if p.get_alpha() == 0.25] for ax in fig.axes]
    assert [len(found) for found in bands] == [0, 1]
    assert (bands[1][0].get_x(), bands[1][0].get_width()) == (-0.02, pytest.approx(0.05))
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["x", "y", "before", "chance"]
    fig = forest({"left": ROWS}, chance={"left": (0, 1)}, band="noise alone")
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["x", "y", "noise alone"]


def test_values_are_printed_and_one_unnamed_series_needs_no_legend():
    fig = forest({"x": {"a": {"": e(0.5, 0.4, 0.6)}, "b": {"": e(0.981, 0.9, 1)}, "c": {"": None}}}, printed=True)
    assert [text.get_text() for text in fig.axes[0].texts] == ["0.50", "0.98"]
    assert not fig.legends
    assert not forest({"x": ROWS}).axes[0].texts


def test_axes_say_what_they_count_and_reach_as_far_as_asked():
    fig = forest({"left": ROWS, "right": ROWS}, labels={"right": "log-odds"}, limits=(-1, 2))
    assert [ax.get_xlabel() for ax in fig.axes] == ["", "log-odds"]
    assert [ax.get_xlim() for ax in fig.axes] == [(-1, 2)] * 2
    assert forest({"left": ROWS}).axes[0].get_xlim() != (-1, 2)
    (ax,) = forest({"left": ROWS}, labels={"left": ("falls", "log-odds", "rises")}).axes
    assert ax.get_xlabel() == "log-odds"
    assert [(t.get_text(), t.get_ha()) for t in ax.texts] == [("← falls", "left"), ("rises →", "right")]


def test_panels_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="the rows of panel 'right' are not the first panel's"):
        forest({"left": ROWS, "right": {"a": {}}})
    with pytest.raises(ValueError, match="no panel 'lft' to mark or label; the panels are 'left'"):
        forest({"left": ROWS}, {"lft": 1})
    with pytest.raises(ValueError, match="no panel 'top' to mark"):
        forest({"left": ROWS}, chance={"top": (0, 1)})
    with pytest.raises(ValueError, match="no panel 'top' to mark or label"):
        forest({"left": ROWS}, labels={"top": "share"})
