"""No missing, unexpected, misshapen or impossible tensor comes in, by whatever way; and damaged files are named."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoProcessor

from povid_lib import models
from povid_lib.models import weights
from povid_lib.training import merging, reference_cache
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS
from tests.support import training
from tests.support.helpers import povid


@pytest.fixture(scope="module")
def saved(vlm, tmp_path_factory):
    """A small model with its processor, and an adapter for it that does something."""
    folder = tmp_path_factory.mktemp("saved")
    training.tiny(vlm.processor).save_pretrained(folder / "model")
    vlm.processor.save_pretrained(folder / "model")
    base = models.load(folder / "model", device="cpu").model
    config = LoraConfig(r=2, target_modules=LANGUAGE_MODEL_LAYERS, task_type="CAUSAL_LM")
    adapted = get_peft_model(base, config)
    training.move_adapters(adapted, 0.1)
    adapted.save_pretrained(folder / "adapter")
    return folder


def changed(source, out, change):
    """A copy of a folder whose tensors went through ``change``."""
    shutil.copytree(source, out)
    [path] = out.glob("*.safetensors")
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return out


def renamed(old, new, every=1):
    def change(tensors):
        names = sorted(name for name in tensors if old in name)[::every]
        return {name.replace(old, new) if name in names else name: value for name, value in tensors.items()}

    return change


def without(part):
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


def half(tensors):
    return dict(sorted(tensors.items())[::2])


def value(number):
    def change(tensors):
        name = max(tensors)
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = number
        return tensors

    return change


def zeros(part, every=1):
    def change(tensors):
        names = sorted(name for name in tensors if part in name)[::every]
        return {name: torch.zeros_like(value) if name in names else value for name, value in tensors.items()}

    return change


def typed(kind):
    def change(tensors):
        return {name: value.to(kind) if "q_proj.weight" in name else value for name, value in tensors.items()}

    return change


def cut(tensors):
    name = min(tensors)
    return {**tensors, name: tensors[name][:1].clone()}


def named_twice(one, other, into):
    """The tensors with such a name under another name too, with other numbers."""

    def change(tensors):
        assert any(one in name for name in tensors)
        return tensors | {name.replace(one, other): value + into for name, value in tensors.items() if one in name}

    return change


MODELS = {
    "another vision tower": (
        renamed("vision_tower", "eyes"),
        r"tensors are missing .*vision_tower.*have no place in the model",
    ),
    "no projector": (without("multi_modal_projector"), r"4 tensors are missing \(.*multi_modal_projector"),
    "no language model": (without("language_model"), r"tensors are missing"),
    "one more": (
        lambda t: t | {"model.more.weight": torch.zeros(2)},
        r"1 tensors have no place in the model \(model.more.weight\)",
    ),
    "another shape": (cut, r"1 tensors have another shape"),
    "NaN": (value(float("nan")), "1 weights are not finite"),
    "infinity": (value(float("-inf")), "1 weights are not finite"),
    "1e30": (value(1e30), r"1 weights hold numbers beyond 10000 \(.*1e\+30"),
    "-1e30": (value(-1e30), r"1 weights hold numbers beyond 10000 \(.*1e\+30"),
    "an empty projector": (zeros("multi_modal_projector"), r"2 of \d+ tensors are matrices of zeros"),
    "nothing but zeros": (zeros(""), r"tensors are matrices of zeros"),
    "a projector under two names": (
        named_twice("multi_modal_projector", "model.multi_modal_projector", 1.0),
        r"\d+ tensors are there for \d+ places, so that some have two names",
    ),
    "a layer under two names": (
        named_twice("language_model.model.layers.0", "model.language_model.layers.0", 1.0),
        "14 tensors are there|some have two names",
    ),
    "one tensor under two names": (
        lambda t: t | {"model.multi_modal_projector.linear_2.weight": t["multi_modal_projector.linear_2.weight"] + 1},
        r"\d+ tensors are there for \d+ places, so that some have two names",
    ),
    "int8": (typed(torch.int8), r"weights are no floating-point numbers \(.*q_proj.weight: I8"),
    "bool": (typed(torch.bool), r"weights are no floating-point numbers \(.*q_proj.weight: BOOL"),
}
ADAPTERS = {
    "renamed": (renamed("lora_A", "lora_X"), r"14 tensors are missing"),
    "a quarter renamed": (renamed(".lora_", ".lore_", 4), r"7 tensors that are no LoRA matrices"),
    "half": (half, r"14 tensors are missing"),
    "the model's own weights": (
        lambda t: t | {"base_model.model.lm_head.weight": torch.zeros(2, 2)},
        r"1 tensors that are no LoRA matrices have no place in the model \(base_model.model.lm_head.weight\)",
    ),
    "another layer": (renamed("layers.1", "layers.7"), r"14 tensors are missing"),
    "two names": (
        named_twice("language_model.layers.0", "language_model.model.layers.0", 1.0),
        "have no place|some have two names",
    ),
    "another width": (cut, r"does not fit the model \(.*size mismatch|does not fit the model"),
    "NaN": (value(float("nan")), "1 weights are not finite"),
    "1e30": (value(1e30), "1 weights hold numbers beyond 10000"),
    "nothing": (lambda t: {}, "28 tensors are missing"),
    "zeros": (zeros("lora_B"), "14 of 28 tensors are matrices of zeros"),
    "half of it zeros": (zeros("lora_B", 2), "7 of 28 tensors are matrices of zeros"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_not_whole(name, saved, tmp_path):
    change, said = MODELS[name]
    folder = changed(saved / "model", tmp_path / "m", change)
    with pytest.raises(ValueError, match=said):
        models.load(folder, device="cpu")


@pytest.mark.parametrize("more", [0, 1])
def test_a_head_that_stands_beside_its_embeddings_is_read(more, saved, tmp_path):
    embeddings, head = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"
    folder = changed(saved / "model", tmp_path / "m", lambda t: t | {head: t[embeddings] + more})
    found = models.load(folder, device="cpu").model
    assert torch.equal(found.lm_head.weight, load_file(folder / "model.safetensors")[head])


@pytest.mark.slow
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_that_does_not_fit(name, saved, tmp_path):
    change, said = ADAPTERS[name]
    adapter = changed(saved / "adapter", tmp_path / "a", change)
    with pytest.raises(ValueError, match=said):
        merging.merge(saved / "model", adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_whole_adapter_is_merged(saved, tmp_path):
    """Each of its layers is the base's and B A times alpha / r."""
    merging.merge(saved / "model", saved / "adapter", tmp_path / "merged")
    before, after = (load_file(folder / "model.safetensors") for folder in (saved / "model", tmp_path / "merged"))
    adapter = load_file(saved / "adapter" / weights.ADAPTER)
    layers = 0
    for name, found in after.items():
        key = f"base_model.model.{name.removesuffix('.weight')}"
        key = next((k for k in adapter if k.endswith(".lora_A.weight") and _plain(k) == _plain(key)), None)
        wanted = before[name.replace("vision_model.", "")]  # the hub's names of the eyes
        if key is not None:
            layers += 1
            wanted = wanted + adapter[key.replace("lora_A", "lora_B")] @ adapter[key] * (8 / 2)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5, msg=name)
    assert layers == 14


def _plain(name):
    """A layer's name, however this version of transformers nests it."""
    return ".".join(
        part for part in name.removesuffix(".lora_A.weight").split(".") if part not in ("base_model", "model")
    )


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("model.safetensors", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": "llava", "text_config": 3}'),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b""),
        ("processor_config.json", b"["),
    ],
)
def test_a_damaged_model_is_named(file, content, saved, tmp_path):
    shutil.copytree(saved / "model", tmp_path / "m")
    path = tmp_path / "m" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises((ValueError, FileNotFoundError), match=r"cannot be read|cannot be used|cannot be had|type "):
        models.load(tmp_path / "m", device="cpu")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\x00" * 64, None])
def test_the_command_names_a_damaged_adapter(name, content, saved, tmp_path):
    shutil.copytree(saved / "adapter", tmp_path / "a")
    path = tmp_path / "a" / name
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    told = povid("merge", tmp_path / "a", tmp_path / "out", "--model", saved / "model")
    assert told.exit_code == 2
    assert "Traceback" not in told.output
    assert f"{tmp_path / 'a'}" in told.output
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_names_another_base(saved, tmp_path):
    shutil.copytree(saved / "adapter", tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "llava-hf/llava-1.5-13b-hf"}))
    with pytest.raises(
        ValueError, match=r"names 'llava-hf/llava-1.5-13b-hf' as its base, not .*base_model_name_or_path"
    ):
        merging.merge(saved / "model", tmp_path / "a", tmp_path / "merged")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_model_name_or_path": None}, "names no base"),
        ({"base_model_name_or_path": ""}, "names no base"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"lora_alpha": -32}, "lora_alpha is -32"),
    ],
)
def test_an_adapter_whose_settings_cannot_be(change, said, saved, tmp_path):
    shutil.copytree(saved / "adapter", tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=said):
        merging.merge(saved / "model", tmp_path / "a", tmp_path / "merged")


@pytest.mark.parametrize("change", [{"lora_alpha": 16}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 3}}])
def test_settings_that_were_edited_after_a_training(change, saved, tmp_path):
    shutil.copytree(saved / "adapter", tmp_path / "a")
    key = reference_cache.key(
        models.load(saved / "model", device="cpu").model, AutoProcessor.from_pretrained(saved / "model")
    )
    held = key | {"adapter_config": weights.config_digest(tmp_path / "a")}
    (tmp_path / "a" / "povid_base.json").write_text(json.dumps(held))
    merging.merge(saved / "model", tmp_path / "a", tmp_path / "merged")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="is not as the training wrote it"):
        merging.merge(saved / "model", tmp_path / "a", tmp_path / "other")


def test_a_tensor_in_two_files(saved, tmp_path):
    shutil.copytree(saved / "model", tmp_path / "m")
    model = models.load(saved / "model", device="cpu").model
    (tmp_path / "m" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "m", max_shard_size="100KB")
    models.load(tmp_path / "m", device="cpu")
    first, second, *_ = sorted((tmp_path / "m").glob("model-*.safetensors"))
    held = load_file(first)
    save_file(load_file(second) | {min(held): held[min(held)]}, second, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="1 tensors stand in more than one file"):
        models.load(tmp_path / "m", device="cpu")


def test_filling_a_module_is_as_strict(tmp_path):
    module = nn.Linear(2, 2)
    good = {name: p.detach() + 1 for name, p in module.named_parameters()}
    for at, (tensors, said) in enumerate(
        [
            ({"weight": good["weight"]}, r"1 tensors are missing \(bias\)"),
            (good | {"more": torch.zeros(1)}, r"no place in the model \(more\)"),
            (good | {"bias": torch.zeros(3)}, r"another shape \(bias: \(3,\) for \(2,\)"),
            (good | {"bias": torch.full((2,), float("nan"))}, "not finite"),
        ]
    ):
        save_file(tensors, tmp_path / f"{at}.safetensors")
        with pytest.raises(ValueError, match=said):
            weights.fill(module, tmp_path / f"{at}.safetensors")
    save_file(good, tmp_path / "good.safetensors")
    weights.fill(module, tmp_path / "good.safetensors")
    assert all(torch.equal(p, good[name]) for name, p in module.named_parameters())
    save_file({"bias": good["bias"]}, tmp_path / "part.safetensors")
    weights.fill(module, tmp_path / "part.safetensors", ["bias"])


def test_the_bound_is_one_of_size():
    zero = torch.zeros(3)
    assert weights.value_faults({"a": zero, "b": torch.tensor([-weights.LARGEST]), "c": torch.tensor([2**40])}) == []
    assert weights.value_faults({"a": zero.half(), "empty": torch.zeros(0)}) == []
    assert (
        len(weights.value_faults({"a": torch.tensor([weights.LARGEST * 1.01]), "b": torch.tensor([float("inf")])})) == 2
    )
