"""Pictures, patches, tokens and words stand where they belong."""

import numpy as np

from povid_lib.figures import scenes
from povid_lib.world.scenes import sample_scene


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
