"""The arithmetic of memory, against what the stand-in really takes, and against what is known of LLaVA-1.5-7B."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from povid_lib import models
from povid_lib.models import memory
from povid_lib.world.captions import PROMPT
from povid_lib.world.scenes import scenes
from tests.support.standin import standin_config, standin_model, standin_processor


class Alive(TorchDispatchMode):
    """Bytes of the tensors that are made inside and still alive, at the worst moment."""

    def __init__(self):
        super().__init__()
        self.now, self.peak, self.known = 0, 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        before = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in before and storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return out

    def gone(self, which, size):
        self.known.discard(which)
        self.now -= size


@pytest.fixture(scope="module")
def llava():
    return models.VLM("standin", standin_model(), standin_processor(), rows=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_weights_and_cache_are_what_they_are(llava, dtype):
    config, found = llava.model.config, memory.parameters(llava.model.config)
    assert found.layers + found.rest == sum(p.numel() for p in llava.model.parameters())
    layers = llava.model.model.language_model.layers
    assert found.layers == sum(p.numel() for p in layers.parameters() if p.ndim > 1)
    held = sum(p.numel() * dtype.itemsize for p in llava.model.parameters())
    assert memory.weight_bytes(found, dtype) == held
    model, batch = llava.model.to(dtype), models.encode(llava, None, [models.chat(llava, PROMPT, image=False)])
    with torch.inference_mode():
        cache = model(input_ids=batch["input_ids"].long(), use_cache=True).past_key_values
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert memory.cache_bytes(config, dtype, batch["input_ids"].shape[1]) == kept
    llava.model.float()


def test_four_bits_are_a_little_over_half_a_byte():
    found = memory.parameters(standin_config())
    whole, four = memory.weight_bytes(found, torch.bfloat16), memory.weight_bytes(found, torch.bfloat16, True)
    assert whole - four == pytest.approx(found.layers * (2 - 0.5159), rel=1e-3)


@pytest.mark.slow
def test_what_is_alive_at_the_worst_moment_is_within_what_is_said(llava, monkeypatch):
    """Of reading and answering, a row and two: never more than is said, and not so much less that cards would stand half empty."""
    monkeypatch.setattr(memory, "ANSWER", 32)
    need = memory.needs(llava.model.config, torch.float32)
    pictures = [scene.image() for scene in scenes(2, split="validation")]
    answer = " ".join(["Yes, a person and one cow."] * 4)
    peaks = {}
    for rows in (1, 2):
        for work, call in (
            ("reading", lambda n: models.answer_logps(llava, pictures[:n], [PROMPT] * n, [answer] * n)),
            ("answers", lambda n: models.generate(llava, pictures[:n], PROMPT, min_new_tokens=32, max_new_tokens=32)),
        ):
            with Alive() as alive:
                call(rows)
            peaks[work, rows] = alive.peak
    for work in ("reading", "answers"):
        more = peaks[work, 2] - peaks[work, 1]
        assert 0.3 * need[work].row < more <= need[work].row, (work, more, need[work].row)


@pytest.mark.slow
def test_seven_billions():
    config = memory.llava_7b()
    found = memory.parameters(config)
    assert (found.layers + found.rest) / 1e9 == pytest.approx(7.06, abs=0.01)  # as the published files have
    assert found.sides * 128 / 1e6 == pytest.approx(320, abs=1)  # LoRA of rank 128 on all seven
    rows = {(row["card"], row["weights"]): row for row in memory.table(config)}
    assert rows[16, "bfloat16"]["GB"] == pytest.approx(14.1, abs=0.1)
    assert rows[16, "bfloat16"]["answers"] < 2
    assert rows[16, "4 bits"]["answers"] >= 8
    assert rows[24, "bfloat16"]["answers"] >= 8
    assert rows[24, "bfloat16"]["training"] == 0 < rows[24, "bfloat16"]["checkpointed"]
    assert rows[24, "4 bits"]["checkpointed"] >= 1
    assert rows[80, "bfloat16"]["training"] >= 4
    assert rows[80, "bfloat16"]["gradient"] == 1
