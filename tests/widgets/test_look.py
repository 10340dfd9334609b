"""Look: its specification holds the model's own answer, and a kernel answers with the model's own numbers."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from povid_lib import models
from povid_lib.pocket.data import pixels
from povid_lib.widgets.look import Look, look_spec
from povid_lib.world.scenes import draw, scenes

SCENES = list(scenes(2, split="validation"))


@pytest.mark.slow
def test_spec_holds_the_models_own_answer(vlm):
    spec = look_spec(vlm, SCENES, ["one", "two"])
    for row, scene in zip(spec["scenes"], SCENES, strict=True):
        [answer] = models.generate(vlm, [scene.image()], spec["question"])
        assert "".join(spec["vocabulary"][i] for i in row["answer"]).strip() == answer.text
        assert np.allclose(row["probs"], np.exp(answer.logprobs), atol=1e-3)
        picture = Image.open(io.BytesIO(base64.b64decode(row["png"].split(",")[1])))
        assert (np.asarray(picture) == draw(scene)[0]).all()
    assert set(spec["objects"].values()) >= {"fork", "knife"}


@pytest.mark.slow
def test_kernel_answers_with_the_models_logits(vlm, monkeypatch):
    widget, sent = Look(vlm, SCENES, ["one", "two"]), []
    monkeypatch.setattr(widget, "send", lambda content, buffers: sent.append((content, buffers)))
    row = widget.spec["scenes"][0]
    ids = row["prompt"] + row["answer"]
    array = pixels([draw(SCENES[0])[0]])
    widget._reply(None, {"request": 3, "ids": ids}, [array.numpy().tobytes()])
    [(content, [buffer])] = sent
    with torch.inference_mode():
        want = vlm.model(input_ids=torch.tensor([ids]), pixel_values=array).logits
    assert content == {"request": 3}
    assert np.allclose(np.frombuffer(buffer, np.float32), want.numpy().ravel(), atol=1e-5)


def test_large_models_are_refused(vlm):
    big = models.VLM("big", vlm.model, vlm.processor)
    config = vlm.model.config
    config.povid_pocket = False
    try:
        with pytest.raises(ValueError, match="too large"):
            look_spec(big, SCENES, ["one", "two"])
    finally:
        config.povid_pocket = True
