"""Estimates as error bars, looks that suffice, text that is no formula."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from povid_lib.figures import forests, policies, scenes, style, token_weights
from povid_lib.metrics.stats import Estimate
from povid_lib.world.scenes import sample_scene

HOSTILE = ("$\\foo$", "a $5 and $6 cup", "\\frac{", "$$", "100 $")


def test_an_estimate_its_record_and_what_was_not_measured():
    record = {"value": 0.5, "low": 0.4, "high": 0.7, "n": 9, "seeds": [0.5]}
    nothing = {"value": None, "low": None, "high": None, "n": 9}
    mid, error = style.mid_and_error([Estimate(0.25, 0.125, 0.5, 9), record, None, nothing])
    assert np.allclose(mid, [0.25, 0.5, np.nan, np.nan], equal_nan=True)
    assert np.allclose(error, [[0.125, 0.1, np.nan, np.nan], [0.25, 0.2, np.nan, np.nan]], equal_nan=True)


def test_no_series_is_left_out_in_silence():
    names = [str(n) for n in range(len(style.LOOKS))]
    assert list(style.looks(names, style.LOOKS).values()) == list(style.LOOKS)
    with pytest.raises(ValueError, match="8 series apart, not 9"):
        forests.forest({"x": {"row": {str(n): None for n in range(9)}}})


def test_what_comes_again_looks_the_same_in_every_figure():
    alone = style.series_looks(["two to one"])["two to one"]
    among = style.series_looks(["a", "seen", "two to one", "b"])
    assert among["two to one"] == alone == style.LASTING["two to one"]
    assert len(set(among.values())) == 4
    assert list(style.series_looks("abcdefgh").values()) == list(style.LOOKS)
    with pytest.raises(ValueError, match="two to one, trained look alike"):
        style.series_looks(["two to one", "trained"])


def drawn(fig):
    """Draw a figure, which is where Matplotlib reads formulas, and give its texts as they are read."""
    fig.canvas.draw()
    return [t.get_text().replace(r"\$", "$") for t in fig.findobj(plt.Text)]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_says_is_drawn_as_it_stands(text):
    image = sample_scene(0).image()
    for fig in (
        scenes.show_scenes([image], [text]),
        scenes.token_strip([text], [False], [True]),
        scenes.compare_probs([text], {"seen": [0.5]}, text),
        scenes.word_map(image, [text] * 36, [0.5] * 36),
        token_weights.weighted_words({"chosen": [(text, 0.1)]}),
        policies.answer_bars([text], [True], {"model": [0.5]}, "answers"),
    ):
        assert any(text in said for said in drawn(fig))
