"""What a loss does to words is drawn and printed as it was given."""

import math

import numpy as np
import pytest

from povid_lib.figures import token_weights
from povid_lib.metrics.stats import Estimate


def e(value, low, high):
    return Estimate(value, low, high, 9)


def test_words_carry_their_weights_in_print():
    fig = token_weights.weighted_words({"chosen": [("a", 0.0), ("cup", 0.05)], "noised": [("fork", -0.025)]})
    said = [text.get_text() for text in fig.axes[0].texts]
    assert said == ["chosen", "a", "0", "cup", "+.050", "noised", "fork", "−.025"]
    hatched = [p.get_hatch() for p in fig.axes[0].patches]
    assert hatched.count("///") == 1


def test_long_answers_are_wrapped_under_their_name():
    fig = token_weights.weighted_words({"chosen": [(str(n), 0.1) for n in range(17)]})
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


def test_shares_are_bars_in_print():
    rows = {
        "text": {"up": e(0.7, 0.6, 0.8), "down": e(0.3, 0.2, 0.4)},
        "image": {"up": e(-0.1, -0.2, 0.0), "down": e(1.1, 1, 1.2)},
    }
    fig = token_weights.shares(rows, "share")
    assert [[p.get_width() for p in ax.patches] for ax in fig.axes] == [[0.7, -0.1], [0.3, 1.1]]
    assert [ax.get_title() for ax in fig.axes] == ["up", "down"]
    assert [text.get_text() for text in fig.axes[0].texts] == ["0.70", "−0.10"]
