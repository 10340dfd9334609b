"""A constant in place of a training: on the end token, and on words that the picture does not support."""

import pytest

from povid_lib import models
from povid_lib.models import end_bias
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.scenes import scenes

BATCH = list(scenes(6))


@pytest.fixture(scope="module")
def vlm():
    return models.load(device="cpu")


@pytest.fixture(scope="module")
def shown():
    return [scene.image() for scene in BATCH], [scene.blank() for scene in BATCH], [PROMPT] * len(BATCH)


def texts(answers):
    return [answer.text for answer in answers]


@pytest.mark.slow
def test_no_constant_changes_nothing(vlm, shown):
    pictures, blanks, prompts = shown
    greedy = texts(models.generate(vlm, pictures, PROMPT))
    assert texts(end_bias.generate(vlm, pictures, prompts, 0.0)) == greedy
    assert texts(end_bias.unsupported(vlm, pictures, blanks, prompts, 0.0)) == greedy


@pytest.mark.slow
def test_a_constant_on_the_end_token_ends(vlm, shown):
    pictures, _, prompts = shown
    assert set(texts(end_bias.generate(vlm, pictures, prompts, 1000.0))) == {""}
    usual, longer = (texts(end_bias.generate(vlm, pictures, prompts, c)) for c in (0.0, -3.0))
    assert sum(map(len, longer)) > sum(map(len, usual))


@pytest.mark.slow
def test_words_that_a_blank_picture_supports_are_not_spoken(vlm, shown):
    pictures, _, prompts = shown
    same = texts(
        end_bias.unsupported(vlm, pictures, pictures, prompts, 1000.0)
    )  # nothing is likelier than it is itself
    assert not any(mentioned(text) for text in same)
