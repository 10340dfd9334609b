"""Figures show the numbers that they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from povid_lib.figures import estimates, policies, scenes, style
from povid_lib.world.scenes import sample_scene


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_bars_have_the_values_and_intervals():
    fig = estimates.grouped_bars(["a", "b"], {"x": [(0.2, 0.1, 0.4), (0.5, 0.4, 0.6)]}, "share")
    heights = [p.get_height() for p in fig.axes[0].patches]
    assert heights == [0.2, 0.5]
    segments = fig.axes[0].collections[0].get_segments()
    assert np.allclose([s[:, 1] for s in segments], [[0.1, 0.4], [0.4, 0.6]])


def test_interval_reads_a_result():
    assert style.interval({"value": 0.5, "low": 0.4, "high": 0.7, "n": 9}) == (0.5, 0.4, 0.7)


def test_dose_response_keeps_the_order():
    fig = estimates.dose_response([1, 2], {"x": [(0.1, 0, 0.2), (0.6, 0.5, 0.7)]}, "dose", "rate")
    assert fig.axes[0].lines[0].get_ydata().tolist() == [0.1, 0.6]


def test_trade_off_and_odds_show_what_they_are_given():
    fig = estimates.trade_off({"a": [((0.9, 0.8, 1.0), (0.5, 0.4, 0.6)), ((0.2, 0.1, 0.3), (0.1, 0.0, 0.2))]}, "x", "y")
    line = fig.axes[0].containers[0][0]
    assert line.get_xdata().tolist() == [0.9, 0.2]
    assert line.get_ydata().tolist() == [0.5, 0.1]
    fig = estimates.odds({"position": ((2.0, 1.5, 3.0), 40.0), "distance": ((0.5, 0.4, 0.7), 90.0)}, "odds ratio")
    left, right = fig.axes
    assert left.containers[0][0].get_xdata().tolist() == [2.0, 0.5]
    assert [p.get_width() for p in right.patches] == [40, 90]
    assert left.get_xscale() == "log"


def test_dose_panels_show_values_levels_and_the_shaded_stretch():
    panels = {"a": {"x": ([1, 2], [(0.1, 0, 0.2), (0.6, 0.5, 0.7)])}, "b": {"x": ([3], [(0.4, 0.3, 0.5)])}}
    fig = estimates.dose_panels(panels, "dose", "share", {"b": (2.5, 3.5)}, {"chance": 0.25})
    left, right = fig.axes
    assert left.containers[0][0].get_ydata().tolist() == [0.1, 0.6]
    assert right.containers[0][0].get_xdata().tolist() == [3]
    assert [line.get_ydata()[0] for line in left.lines if line.get_label() == "chance"] == [0.25]
    assert not left.patches
    stretch = right.patches[0].get_extents().transformed(right.transData.inverted()).intervalx
    assert stretch.tolist() == pytest.approx([2.5, 3.5])


def test_paths_keep_the_order_and_fall_to_the_right():
    points = [("clear", (0.7, 0.6, 0.8), (0.3, 0.2, 0.4)), ("half", (0.2, 0.1, 0.3), (0.5, 0.4, 0.6))]
    ax = estimates.paths({"noise": points}, "truth", "companion", 0.2).axes[0]
    line = next(line for line in ax.lines if line.get_label() == "noise")
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([0.7, 0.2], [0.3, 0.5])
    assert [text.get_text() for text in ax.texts] == ["clear", "half"]
    assert ax.xaxis_inverted()


def test_stacked_bars_lie_end_to_end():
    bars = {"clear": {"a": 0.25, "b": 0.7, "c": 0.05}, "noise": {"a": 0.5, "b": 0.25, "c": 0.25}}
    ax = estimates.stacked({"steps": bars}, "share").axes[0]
    assert [p.get_x() for p in ax.patches] == pytest.approx([0, 0, 0.25, 0.5, 0.95, 0.75])
    assert [p.get_width() for p in ax.patches] == pytest.approx([0.25, 0.5, 0.7, 0.25, 0.05, 0.25])
    assert [t.get_text() for t in ax.texts] == ["0.25", "0.50", "0.70", "0.25", "", "0.25"]


def test_patches_are_read_row_by_row():
    """The first two patches on the right are the picture's first two from the left."""
    image = sample_scene(0).image()
    fig = scenes.show_patches(image)
    sheet, pixels = fig.axes[1].images[0].get_array(), np.asarray(image)
    assert (sheet[:16, :16] == pixels[:16, :16]).all()
    assert (sheet[:16, 20:36] == pixels[:16, 16:32]).all()
    assert (sheet[:16, 6 * 20 : 6 * 20 + 16] == pixels[16:32, :16]).all()


def test_token_strip_labels_image_tokens():
    fig = estimates.token_strip(["<s>", "<image>", " A"], [False, True, False], [False, False, True])
    labels = [t.get_text() for t in fig.axes[0].texts if not t.get_text().isdigit()]
    assert labels == ["<s>", "img", "A"]


def test_scene_grid_and_probabilities_and_word_map():
    image = sample_scene(0).image()
    assert len(scenes.show_scenes([image] * 5, list("abcde")).axes) == 8
    fig = estimates.compare_probs(["knife", "cup"], {"seen": [0.7, 0.1], "blank": [0.6, 0.2]}, "x")
    assert [round(p.get_width(), 2) for p in fig.axes[0].patches] == [0.7, 0.1, 0.6, 0.2]
    words = scenes.word_map(image, [str(i) for i in range(36)], [0.5] * 36)
    assert [t.get_text() for t in words.axes[0].texts] == [str(i) for i in range(36)]


def test_levels_are_drawn_where_they_belong_and_named():
    for fig in (
        estimates.curves([1, 2], {"x": [0.1, 3.0]}, "dose", "rate", ylim=(0, 4), xscale="log", levels={"top": 2.5}),
        estimates.dose_response(
            [10, 1000], {"x": [(0.1, 0, 0.2)] * 2}, "dose", "rate", xscale="log", levels={"top": 2.5}
        ),
    ):
        (ax,) = fig.axes
        assert list(ax.lines[-1].get_ydata()) == [2.5, 2.5]
        assert [t.get_text() for t in ax.texts] == ["top"]
        assert ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "1,000"]


def test_frontier_and_recovery_show_what_they_are_given():
    fig = policies.frontier([(0, 1), (1, 2)], {"b": (1, 2)}, {"other": (1, 1)}, [(0.5, 0.5), (2, 0.1)], "x", "y")
    cloud, curve, *points = (list(zip(*line.get_data(), strict=True)) for line in fig.axes[0].lines)
    assert (cloud, curve, points) == ([(0.5, 0.5), (2, 0.1)], [(0, 1), (1, 2)], [[(1, 2)], [(1, 1)]])
    assert [t.get_text() for t in fig.axes[0].texts] == ["b", "other"]
    found = {"few": ([0.5, 2.5, 0.0], [0.9, 0.1, 0.0]), "many": ([1, 2, 3], [0.5, 0.4, 0.1])}
    fig = policies.recovered([1, 2, 3], found, "true", "found", "never drawn")
    few, many = (ax.collections[0] for ax in fig.axes)
    assert few.get_offsets().tolist() == [[1, 0.5], [2, 2.5]]
    assert few.get_sizes()[0] > few.get_sizes()[1]
    assert many.get_offsets().tolist() == [[1, 1], [2, 2], [3, 3]]
    assert [ax.lines[1].get_xydata().tolist() for ax in fig.axes] == [[[3, 0]], []]


def test_answer_bars_tell_false_from_true():
    fig = policies.answer_bars(["A cup.", "A fork."], [False, True], {"model": [0.7, 0.2]}, "x")
    (ax,) = fig.axes
    assert [round(bar.get_width(), 2) for bar in ax.patches] == [0.7, 0.2]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2
    assert [t.get_text() for t in ax.get_yticklabels()] == ["A cup.  true", "A fork.  false"]
    fig = policies.answer_bars(["A cup."], [False], {"one": [0.7], "two": [0.2]}, "x")
    assert [round(bar.get_width(), 2) for bar in fig.axes[0].patches] == [0.7, 0.2]
    assert [t.get_text() for t in fig.axes[0].get_legend().get_texts()] == ["one", "two"]
