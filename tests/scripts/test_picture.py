"""What the front door says is what the shipped model says about the picture beside it."""

import re

import numpy as np
from PIL import Image

from povid_lib import models
from povid_lib.world.captions import PROMPT, mentioned
from scripts.picture import BOOK, front


def test_the_front_doors_caption_is_the_models_own_and_its_red_word_is_false(vlm):
    page = (BOOK / "preface.md").read_text(encoding="utf-8")
    said = re.search(r'<p class="front-said">“(.*?)”</p>', page)
    assert said is not None
    (answer,) = models.generate(vlm, [front().image()], PROMPT)
    assert re.sub(r"<[^>]+>", "", said[1]) == answer.text
    red = re.findall(r'<strong class="false-word">(\w+)</strong>', said[1])
    assert red == [name for name in mentioned(answer.text) if name not in front().names] != []


def test_the_front_doors_picture_is_the_scene():
    drawn = np.asarray(Image.open(BOOK / "front.png").convert("RGB"))
    assert np.array_equal(drawn, np.asarray(front().image().convert("RGB")))
