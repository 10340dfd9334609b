"""The file for the page: what it holds is the model to the accepted difference, and nothing else is ever written.

That the engine in the page reads it so is in ``tests/book/test_engine.py``.
"""

import pytest
import torch

from povid_lib.models import weights
from povid_lib.models.llava import TUNED, load_tuned
from povid_lib.pocket import export
from tests.support.page_files import read_back

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(vlm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    export.export(vlm, folder)
    export.export_adapter(TUNED, folder)
    return folder


def test_the_files_numbers_give_pytorchs_logits(vlm, folder):
    path = folder / export.MODEL
    assert path.stat().st_size <= 8_000_000
    kept, meta = read_back(path)
    worst = (export.logits(vlm, "test", kept) - export.logits(vlm, "test", {})).abs().max()
    assert 0 < float(worst) <= export.TOLERANCE
    assert float(worst) == meta["rounding"]


def test_the_adapters_file_gives_what_training_added(vlm, folder):
    found, meta = read_back(folder / export.DIFFERENCE)
    tuned = dict(load_tuned().model.named_parameters())
    for name, before in vlm.model.named_parameters():
        at = name.removeprefix("model.").removesuffix(".weight")
        if f"{at}.lora_A.weight" in found:
            added = meta["scale"] * found.pop(f"{at}.lora_B.weight") @ found.pop(f"{at}.lora_A.weight")
            assert torch.allclose(before + added, tuned[name], atol=1e-5)
        else:
            assert torch.equal(before, tuned[name])
    assert found == {}


@pytest.mark.parametrize("fine", [False, True])
def test_rounding_is_at_most_half_a_step_of_a_row(fine):
    matrix = torch.cat([torch.randn(5, 64, generator=torch.Generator().manual_seed(1)), torch.zeros(1, 64)])
    matrix[2] *= 1e-6
    coarse, scale, rest = export.stored(matrix, fine)
    assert (coarse.dtype, rest is not None) == (torch.int16, fine)
    step = matrix.abs().amax(1, keepdim=True) / (32767 * (256 if fine else 1))
    back = export.restored(coarse, scale, rest)
    assert ((back - matrix).abs() <= 0.5 * step + 2**-24 * matrix.abs()).all()
    assert (back[5] == 0).all()


def test_a_file_that_would_differ_is_never_written(vlm, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LARGEST", 0)  # sixteen bits for all
    monkeypatch.setattr(export, "TOLERANCE", 1e-4)
    with pytest.raises(RuntimeError, match=r"accepted: 0\.0001"):
        export.export(vlm, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "value"), [("use_dora", True), ("rank_pattern", {"q_proj": 4}), ("alpha_pattern", {"q_proj": 4})]
)
def test_an_adapter_that_is_more_than_two_matrices_is_refused(tmp_path, monkeypatch, setting, value):
    config = weights.read_config(TUNED)
    setattr(config, setting, value)
    monkeypatch.setattr(weights, "read_config", lambda folder: config)
    with pytest.raises(ValueError, match=f"{setting}.*plain LoRA matrices only"):
        export.export_adapter(TUNED, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_the_engine_does_not_compute_is_never_exported(vlm, tmp_path, monkeypatch):
    monkeypatch.setattr(vlm.model.config.text_config, "hidden_act", "gelu")
    with pytest.raises(ValueError, match=r"text_config\.hidden_act is 'gelu'"):
        export.export(vlm, tmp_path)
    assert list(tmp_path.iterdir()) == []
