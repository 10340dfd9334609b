"""Noise: a slider over the diffusion steps, and what the model says then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from povid_lib import models
from povid_lib.analysis.next_word import Dilemma
from povid_lib.analysis.token_changes import sort_of
from povid_lib.data.corrupt_image import noised
from povid_lib.models.llava import VLM
from povid_lib.training.dispreference import dispreferred_tokens
from povid_lib.widgets.base import SpecWidget, png
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import PROMPT, SHORT_PROMPTS, mentioned


class Noise(SpecWidget):
    """Slide the noise over a few scenes, and see the next word and the dispreferred tokens change. Computed beforehand."""

    asset = "noise"

    def __init__(self, vlm: VLM, asked: Sequence[Dilemma], steps: Sequence[int]) -> None:
        super().__init__(spec=noise_spec(vlm, asked, steps))


def noise_spec(vlm: VLM, asked: Sequence[Dilemma], steps: Sequence[int]) -> dict[str, Any]:
    """For each scene and step: the noised picture, the six likeliest next words after ``so_far``, and the argmax token at each
    place of the true caption with its sort (see ``next_word``). One draw of noise a scene, mixed in more and more.
    """
    rows, decode = [], vlm.processor.tokenizer.decode
    for number, d in enumerate(asked):
        caption = true_caption(d.scene, np.random.default_rng(number))
        pictures = [noised(d.scene.image(), step, torch.Generator().manual_seed(number)) for step in steps]
        read = models.answer_distributions(vlm, pictures, [PROMPT] * len(steps), [caption] * len(steps))
        labels: list[str] = []
        views = []
        for picture, (ids, logps) in zip(pictures, read, strict=True):
            labels = [decode([i]).strip() for i in ids.tolist()]
            tokens = [decode([i]).strip() for i in dispreferred_tokens(logps, ids, "argmax").tolist()]
            expected = models.top_tokens(vlm, models.next_token_probs(vlm, picture, SHORT_PROMPTS[0], d.so_far), 6)
            views.append(
                {
                    "png": png(picture),
                    "next": [[word.strip(), round(p, 4), _what(d, word)] for word, p in expected],
                    "tokens": [[token, sort_of(d.scene, labels, at, token)] for at, token in enumerate(tokens)],
                }
            )
        title = f"{number + 1}. {', '.join(d.scene.names)}"
        rows.append(
            {"title": title, "names": list(d.scene.names), "so_far": d.so_far, "labels": labels, "views": views}
        )
    return {"scenes": rows, "steps": list(steps)}


def _what(d: Dilemma, word: str) -> str:
    named = mentioned(word)
    if not named:
        return ""
    return {d.truth: "the truth", d.companion: "missing partner"}.get(
        named[0], "named already" if named[0] in d.scene.names else "not there"
    )
