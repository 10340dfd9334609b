"""Widgets that stay alive in the static page: one specification, run by the kernel's model or by the browser's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from povid_lib import models
from povid_lib.models.llava import VLM
from povid_lib.widgets.base import SpecWidget, png
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.items import SIDE
from povid_lib.world.patches import PATCH
from povid_lib.world.scenes import Scene


class Look(SpecWidget):
    """Choose a scene, cover patches, and see how the probability of every word of the model's caption moves.

    In the book the page runs the model itself (``engine.js``); in Jupyter this object answers with the model that it was given.
    """

    asset = "look"

    def __init__(self, vlm: VLM, scenes: Sequence[Scene], titles: Sequence[str]) -> None:
        super().__init__(spec=look_spec(vlm, scenes, titles))
        self._vlm = vlm
        self.on_msg(self._reply)

    def _reply(self, _: Any, content: dict[str, Any], buffers: list[bytes]) -> None:
        pixels = torch.from_numpy(np.frombuffer(buffers[0], dtype=np.float32).copy()).reshape(1, 3, SIDE, SIDE)
        ids = torch.tensor([content["ids"]])
        with torch.inference_mode():
            logits = self._vlm.model(
                input_ids=ids.to(self._vlm.device), pixel_values=pixels.to(self._vlm.device, self._vlm.model.dtype)
            ).logits
        self.send({"request": content["request"]}, [logits.float().cpu().numpy().tobytes()])


def look_spec(vlm: VLM, scenes: Sequence[Scene], titles: Sequence[str]) -> dict[str, Any]:
    """Everything the widget needs to be drawn before any model runs: pictures, captions, probabilities.

    Raises ``ValueError`` for a model that is not the pocket one: only that one fits into a page.
    """
    if not vlm.is_pocket:
        raise ValueError(f"The Look widget runs the pocket model in the page; {vlm.name!r} is too large for that.")
    tokenizer = vlm.processor.tokenizer
    answers = models.generate(vlm, [s.image() for s in scenes], PROMPT)
    rows = []
    for scene, title, answer in zip(scenes, titles, answers, strict=True):
        prompt = models.encode(vlm, [scene.image()], [models.chat(vlm, PROMPT)])["input_ids"][0].tolist()
        ids = tokenizer.encode(f" {answer.text}", add_special_tokens=False)
        rows.append(
            {
                "title": title,
                "png": png(scene.image()),
                "paper": png(scene.blank()),
                "names": list(scene.names),
                "prompt": prompt,
                "answer": ids,
                "probs": [round(math.exp(lp), 4) for lp in answer.logprobs],
            }
        )
    return {
        "scenes": rows,
        "question": PROMPT,
        "vocabulary": [tokenizer.decode([i]) for i in range(len(tokenizer))],
        "objects": {str(i): kind for i in range(len(tokenizer)) for kind in mentioned(tokenizer.decode([i]))},
        "end": tokenizer.eos_token_id,
        "side": SIDE,
        "patch": PATCH,
    }
