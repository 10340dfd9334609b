"""Figures of chapters 07 and 08 show the numbers that they are given."""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from povid_lib.figures import token_weights


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_words_carry_their_weights_in_print():
    fig = token_weights.weighted_words({"chosen": [("a", 0.0), ("cup", 0.05)], "noised": [("fork", -0.025)]}, 5)
    said = [text.get_text() for text in fig.axes[0].texts]
    assert said == ["chosen", "a", "0", "cup", "+.050", "noised", "fork", "−.025"]
    hatched = [p.get_hatch() for p in fig.axes[0].patches]
    assert hatched.count("///") == 1


def test_long_answers_are_wrapped_under_their_name():
    fig = token_weights.weighted_words({"chosen": [(str(n), 0.1) for n in range(7)]}, 3)
    names = [text for text in fig.axes[0].texts if text.get_fontweight() == "bold"]
    assert [name.get_text() for name in names] == ["chosen", "", ""]
    assert len({name.get_position()[1] for name in names}) == 3


def test_the_mean_of_two_losses_lies_above_the_loss_of_the_mean():
    fig = token_weights.convexity([1.0, 0.0], [-1.0, 0.0], 0)
    left, right = fig.axes
    (middle,) = (line for line in left.lines if line.get_label() == "mean of two losses")
    (below,) = (line for line in left.lines if line.get_label() == "one sigmoid of the mean")
    losses = [math.log1p(math.exp(-1)), math.log1p(math.exp(1))]
    assert middle.get_ydata()[0] == pytest.approx(sum(losses) / 2)
    assert below.get_ydata()[0] == pytest.approx(math.log(2))
    assert np.allclose(right.lines[0].get_xdata(), [2, 0])
    assert np.allclose(right.lines[0].get_ydata(), [sum(losses) / 2 - math.log(2), 0])


def test_the_forest_stands_where_its_values_are():
    fig = token_weights.forest(
        ["x", "y"], {"start": [(1, 1, 1), (0.5, 0.4, 0.7)], "end": [(0, -1, 1), (0.2, 0.1, 0.3)]}, "cosine"
    )
    ax = fig.axes[0]
    found = [
        line.get_xdata().tolist() for line in ax.lines if line.get_marker() in ("o", "s") and len(line.get_xdata()) == 2
    ]
    assert found == [[1, 0.5], [0, 0.2]]
    assert np.allclose(ax.collections[0].get_segments()[1][:, 0], [0.4, 0.7])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]


def test_the_band_of_chance_is_shaded_where_it_lies():
    values = {"false": [(0.1, 0, 0.2)], "true": [(0, -0.1, 0.1)]}
    (band,) = token_weights.forest(["x"], values, "cosine", 0.0, (-0.02, 0.03)).axes[0].patches
    assert (band.get_x(), band.get_width()) == (-0.02, pytest.approx(0.05))
    assert not token_weights.forest(["x"], values, "cosine", 0.0).axes[0].patches


def test_panels_compare_with_their_first_line_and_print_each_value():
    fig = token_weights.forest_panels(
        ["before", "x"], {"a": [(0.5, 0.4, 0.6), (0.2, 0.1, 0.3)], "b": [(0.98, 0.97, 0.99), (0.96, 0.95, 0.97)]}
    )
    left, right = fig.axes
    assert left.containers[0][0].get_xdata().tolist() == [0.5, 0.2]
    assert [text.get_text() for text in right.texts] == ["0.98", "0.96"]
    assert [line.get_xdata()[0] for line in right.lines if line.get_ls() == "--"] == [0.98]
    assert [label.get_text() for label in left.get_yticklabels()] == ["before", "x"]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first line is on top


def test_shares_are_bars_in_print():
    rows = {
        "text": {"up": (0.7, 0.6, 0.8), "down": (0.3, 0.2, 0.4)},
        "image": {"up": (-0.1, -0.2, 0.0), "down": (1.1, 1, 1.2)},
    }
    fig = token_weights.shares(rows, "share")
    assert [[p.get_width() for p in ax.patches] for ax in fig.axes] == [[0.7, -0.1], [0.3, 1.1]]
    assert [ax.get_title() for ax in fig.axes] == ["up", "down"]
    assert [text.get_text() for text in fig.axes[0].texts] == ["0.70", "−0.10"]
