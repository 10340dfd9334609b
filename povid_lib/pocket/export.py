"""The pocket model as ONNX, so that a widget can run it in the reader's browser with no kernel and no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from povid_lib.models.llava import VLM
from povid_lib.pocket.architecture import IMAGE

TOLERANCE = 1e-3  # largest difference of a logit between PyTorch and ONNX that is accepted


class OnnxLlava(nn.Module):
    """``(pixel_values (1, 3, 96, 96), input_ids (1, length)) -> logits (1, length, vocabulary)``, the same weights."""

    def __init__(self, vlm: VLM) -> None:
        super().__init__()
        self.llava = vlm.model.model
        self.head = vlm.model.lm_head
        self.layer = vlm.model.config.vision_feature_layer

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """The logits (tokens, vocabulary) of one row: one picture (1, 3, height, width), one prompt (1, tokens)."""
        hidden = self.llava.vision_tower(pixel_values, output_hidden_states=True).hidden_states[self.layer]
        seen = self.llava.multi_modal_projector(hidden[:, 1:])[0]
        is_image = (input_ids == IMAGE)[0]
        which = (is_image.long().cumsum(0) - 1).clamp(0, seen.shape[0] - 1)
        embeds = torch.where(is_image[:, None], seen[which], self.llava.language_model.embed_tokens(input_ids)[0])[None]
        length = torch.arange(input_ids.shape[1])
        causal = torch.where(length[None, :] <= length[:, None], 0.0, -1e9)[None, None]
        out = self.llava.language_model(
            inputs_embeds=embeds, attention_mask=causal, position_ids=length[None], use_cache=False
        )
        return self.head(out.last_hidden_state)


def export(vlm: VLM, folder: Path) -> Path:
    """Write ``architecture.onnx`` and compare its logits with PyTorch's.

    Raises ``RuntimeError`` if any logit differs by more than ``TOLERANCE``: nothing wrong is ever published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pocket.onnx"
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(np.concatenate([[1], [IMAGE] * 36, rng.integers(4, len(vlm.processor.tokenizer), 20)]))[None]
    pixel_values = torch.from_numpy(rng.uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32))
    wrapper = OnnxLlava(vlm).eval()
    with torch.inference_mode():
        expected = wrapper(pixel_values, ids).numpy()
        reference = vlm.model(input_ids=ids, pixel_values=pixel_values).logits.numpy()
    torch.onnx.export(
        wrapper, (pixel_values, ids), path, input_names=["pixel_values", "input_ids"], output_names=["logits"],
        dynamic_shapes=({}, {1: torch.export.Dim("length", min=2, max=400)}), dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for length in (57, 45):
        (got,) = session.run(None, {"pixel_values": pixel_values.numpy(), "input_ids": ids[:, :length].numpy()})
        for name, want in (("the export's own module", expected), ("LlavaForConditionalGeneration", reference)):
            worst = float(np.abs(got - want[:, :length]).max())
            if not worst <= TOLERANCE:
                path.unlink()
                raise RuntimeError(
                    f"ONNX logits differ from {name} by {worst:.2g} (accepted: {TOLERANCE}); not written."
                )
    return path
