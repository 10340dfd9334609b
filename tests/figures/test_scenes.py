"""Pictures, patches, tokens and words stand where they belong."""

import numpy as np
import pytest
from matplotlib.text import Annotation

from povid_lib.figures import scenes
from povid_lib.figures.style import RED
from povid_lib.world.items import Item
from povid_lib.world.scenes import Scene, sample_scene

FORK = Scene(("test", "typical", 0), (Item("fork"), Item("cup", unseen=True)))


def test_patches_are_read_row_by_row():
    """The first two patches on the right are the picture's first two from the left."""
    image = sample_scene(0).image()
    fig = scenes.show_patches(image)
    sheet, pixels = fig.axes[1].images[0].get_array(), np.asarray(image)
    assert (sheet[:16, :16] == pixels[:16, :16]).all()
    assert (sheet[:16, 20:36] == pixels[:16, 16:32]).all()
    assert (sheet[:16, 6 * 20 : 6 * 20 + 16] == pixels[16:32, :16]).all()


def test_token_strip_labels_image_tokens():
    fig = scenes.token_strip(["<s>", "<image>", " A"], [False, True, False], [False, False, True])
    labels = [t.get_text() for t in fig.axes[0].texts if not t.get_text().isdigit()]
    assert labels == ["<s>", "img", "A"]


def test_scene_grid_and_probabilities_and_word_map():
    image = sample_scene(0).image()
    assert len(scenes.show_scenes([image] * 5, list("abcde")).axes) == 8
    fig = scenes.compare_probs(["knife", "cup"], {"seen": [0.7, 0.1], "blank": [0.6, 0.2]}, "x")
    assert [round(p.get_width(), 2) for p in fig.axes[0].patches] == [0.7, 0.1, 0.6, 0.2]
    words = scenes.word_map(image, [str(i) for i in range(36)], [0.5] * 36)
    assert [t.get_text() for t in words.axes[0].texts] == [str(i) for i in range(36)]


def test_only_words_for_what_is_not_there_are_red_and_every_word_keeps_its_place():
    """An unseen object is there; plurals and synonyms count; the two layers are the caption, letter by letter."""
    text = "There is a fork. There is a Knife at the top left, three ships and a cup $5. There is a thing."
    fig = scenes.captioned([FORK], [text], ["in it: a fork and a cup"])
    drawn = [t for t in fig.axes[0].texts if isinstance(t, Annotation)]
    black, red = drawn[::2], drawn[1::2]
    assert " ".join(" ".join(t.get_text() for t in red).split()) == "Knife ships"
    assert {t.get_color() for t in red} == {RED}
    assert {t.get_fontweight() for t in red} == {"bold"}
    lines = [
        "".join(max(pair) for pair in zip(b.get_text().replace("\\$", "$"), r.get_text(), strict=True))
        for b, r in zip(black, red, strict=True)
    ]
    assert " ".join(line.rstrip() for line in lines) == text
    assert max(map(len, lines)) <= 44


def test_a_scene_of_nothing_but_false_words_and_an_empty_caption_can_be_drawn():
    fig = scenes.captioned([FORK, FORK, FORK], ["", "A cow.", "word " * 40], list("abc"))
    assert len(fig.axes) == 4
    fig.canvas.draw()


def test_captions_that_are_not_as_many_as_scenes_are_refused():
    with pytest.raises(ValueError, match="2 scenes, 1 captions and 2 titles"):
        scenes.captioned([FORK, FORK], ["A fork."], ["a", "b"])
    with pytest.raises(ValueError, match="no scene to draw"):
        scenes.captioned([], [], [])


def test_five_views_can_be_told_apart():
    views = {str(k): [0.5] for k in range(5)}
    fig = scenes.compare_probs(["cup"], views, "x")
    assert len({p.get_facecolor() for p in fig.axes[0].patches}) == 5
