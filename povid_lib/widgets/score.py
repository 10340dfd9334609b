"""Score: change a caption, see CHAIR move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from povid_lib.widgets.base import SpecWidget, png
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import WORDS, enumerate_phrases
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene


class Score(SpecWidget):
    """Edit the captions of a few scenes and see CHAIR, recall and length move. Needs no model and no kernel."""

    asset = "score"

    def __init__(self, scenes: Sequence[Scene], titles: Sequence[str], captions: Sequence[str]) -> None:
        super().__init__(spec=score_spec(scenes, titles, captions))


def score_spec(scenes: Sequence[Scene], titles: Sequence[str], captions: Sequence[str]) -> dict[str, Any]:
    """Pictures, truths and captions, and every word for an object with its kind and form ("name", "plural", "synonym")."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "title": title,
            "png": png(scene.image()),
            "names": list(scene.names),
            "caption": caption,
            "truth": true_caption(scene, rng),
        }
        for scene, title, caption in zip(scenes, titles, captions, strict=True)
    ]
    words = {
        word: [kind, "name" if word == kind else "plural" if word == KINDS[kind].plural else "synonym"]
        for word, kind in WORDS.items()
    }
    return {"scenes": rows, "words": words, "everything": f"{enumerate_phrases(NAMES).capitalize()}."}
