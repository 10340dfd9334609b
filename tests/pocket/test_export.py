"""The model in the browser is the model."""

import numpy as np
import onnxruntime
import pytest
import torch

from povid_lib import models
from povid_lib.pocket import export
from povid_lib.world.scenes import scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(vlm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    export.export(vlm, folder)
    return folder


def test_logits_equal_pytorch_on_real_rows(vlm, folder):
    session = onnxruntime.InferenceSession(folder / "pocket.onnx", providers=["CPUExecutionProvider"])
    for scene, text in zip(
        scenes(3, split="validation"), ("There is a", "I can see a large fork. There", ""), strict=True
    ):
        batch = models.encode(vlm, [scene.image()], [f"{models.chat(vlm, 'Describe this image.')} {text}".strip()])
        with torch.inference_mode():
            want = vlm.model(**batch).logits.numpy()
        (got,) = session.run(
            None, {"pixel_values": batch["pixel_values"].numpy(), "input_ids": batch["input_ids"].numpy()}
        )
        assert np.abs(got - want).max() < export.TOLERANCE


def test_a_wrong_export_is_never_written(vlm, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="not written"):
        export.export(vlm, tmp_path)
    assert not (tmp_path / "pocket.onnx").exists()
