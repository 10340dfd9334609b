"""Merged weights and joined adapters: what they say, what is written, and what is refused."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoProcessor

from povid_lib import models
from povid_lib.metrics.stats import Estimate
from povid_lib.models import hub_files
from povid_lib.training import merging, model_card, reference_cache
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS
from tests.support import training
from tests.support.helpers import povid


def adapter_of(where, folder, seed, base_file=True, **settings):
    """An adapter of chance, trained on the model in ``where``, as a training leaves it."""
    vlm = models.load(where, device="cpu")
    torch.manual_seed(seed)
    config = LoraConfig(**({"r": 2, "lora_alpha": 8, "target_modules": LANGUAGE_MODEL_LAYERS} | settings))
    key = reference_cache.key(vlm.model, vlm.processor)
    adapted = get_peft_model(vlm.model, config)
    for name, parameter in adapted.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(where)}))
    if base_file:
        merging.write_base(folder, key)
    return folder


@pytest.fixture(scope="module")
def base(vlm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merging") / "model"
    training.tiny(vlm.processor).save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def phases(base, tmp_path_factory):
    """Two phases: adapter, merged, adapter of that, merged."""
    run = tmp_path_factory.mktemp("phases")
    adapter_of(base, run / "text" / "adapter", 1)
    merging.merge(base, run / "text" / "adapter", run / "text" / "merged")
    adapter_of(run / "text" / "merged", run / "both" / "adapter", 2, r=3)
    merging.merge(run / "text" / "merged", run / "both" / "adapter", run / "both" / "merged")
    return run


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def farthest(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_one_adapter_says_what_two_merges_say(base, phases, tmp_path):
    chain = [phases / "text" / "adapter", phases / "both" / "adapter"]
    told = povid("join", *map(str, chain), "--out", str(tmp_path / "one"), "--model", str(base))
    assert told.exit_code == 0, told.output
    config = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (5, 5, str(base))
    assert config["target_modules"] == LANGUAGE_MODEL_LAYERS
    merging.merge(base, tmp_path / "one", tmp_path / "merged")
    two_steps, start = weights_of(phases / "both" / "merged"), weights_of(phases / "text" / "merged")
    assert farthest(weights_of(tmp_path / "merged"), two_steps) < 1e-5
    assert farthest(start, two_steps) > 0.01  # the second phase has changed something


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},  # the factor is alpha / sqrt(r)
        {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {"q_proj": 1}},
        {"target_modules": r".*language_model.*\.(q_proj|v_proj)"},  # other layers than the first phase's
    ],
    ids=["rslora", "ranks", "layers"],
)
def test_whatever_its_factor_rank_and_layers(settings, base, phases, tmp_path):
    adapter_of(phases / "text" / "merged", tmp_path / "second", 3, **settings)
    merging.merge(phases / "text" / "merged", tmp_path / "second", tmp_path / "two_steps")
    merging.join(base, [phases / "text" / "adapter", tmp_path / "second"], tmp_path / "one")
    merging.merge(base, tmp_path / "one", tmp_path / "merged")
    assert farthest(weights_of(tmp_path / "merged"), weights_of(tmp_path / "two_steps")) < 1e-5


def test_side_by_side_is_the_sum():
    a, b = torch.randn(2, 5), torch.randn(4, 2)
    c, d = torch.randn(3, 5), torch.randn(4, 3)
    found = merging.side_by_side([{"x": (a, b), "y": (a, b)}, {"x": (c, d)}])
    torch.testing.assert_close(found["x"][1] @ found["x"][0], b @ a + d @ c)
    torch.testing.assert_close(found["y"][1] @ found["y"][0], b @ a)


def test_the_order_counts_and_an_adapter_of_other_weights_is_refused(base, phases, tmp_path):
    first, second = phases / "text" / "adapter", phases / "both" / "adapter"
    for chain in ([second, first], [first, first]):
        with pytest.raises(ValueError, match="was trained on other weights"):
            merging.join(base, chain, tmp_path / "one")
    with pytest.raises(ValueError, match="1 adapters are given; give two or more"):
        merging.join(base, [first], tmp_path / "one")
    with pytest.raises(ValueError, match="is there already"):
        merging.join(base, [first, second], phases)
    assert not (tmp_path / "one").exists()


def test_without_a_hash_the_second_names_what_the_first_became(base, phases, tmp_path):
    """As QLoRA leaves it."""
    second = adapter_of(phases / "text" / "merged", tmp_path / "second", 2, base_file=False)
    merging.join(base, [phases / "text" / "adapter", second], tmp_path / "one")
    path = second / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(base)}))
    with pytest.raises(ValueError, match="does not say that it was trained after"):
        merging.join(base, [phases / "text" / "adapter", second], tmp_path / "other")


def test_what_two_matrices_do_not_hold_is_refused(base, phases, tmp_path):
    adapter_of(phases / "text" / "merged", tmp_path / "second", 3, use_dora=True)
    with pytest.raises(ValueError, match=r"two matrices do not hold \(use_dora\)"):
        merging.join(base, [phases / "text" / "adapter", tmp_path / "second"], tmp_path / "one")


def test_a_merged_folder_is_written_as_the_hub_writes_it(phases):
    """What transformers 4.57 lacked when it was tried by hand on a folder of version 5."""
    folder = phases / "both" / "merged"
    assert {"preprocessor_config.json", "chat_template.jinja", "README.md"} <= {path.name for path in folder.iterdir()}
    names = [name for name in weights_of(folder) if name.startswith("vision_tower")]
    assert names
    assert all(name.startswith("vision_tower.vision_model.") for name in names)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]
    assert not isinstance(tokenizer.get("extra_special_tokens"), list)
    text = json.loads((folder / "config.json").read_text())["text_config"]
    assert text["rope_theta"] == text["rope_parameters"]["rope_theta"]


def test_shards_and_their_index_have_the_hubs_names(base, tmp_path, monkeypatch):
    vlm = models.load(base, device="cpu")
    whole = type(vlm.model).save_pretrained
    monkeypatch.setattr(type(vlm.model), "save_pretrained", lambda self, to: whole(self, to, max_shard_size="200KB"))
    hub_files.save(vlm.model, vlm.processor, tmp_path / "m")
    index = json.loads((tmp_path / "m" / hub_files.INDEX).read_text())["weight_map"]
    held = {name: path.name for path in (tmp_path / "m").glob("*.safetensors") for name in load_file(path)}
    assert len(set(held.values())) > 1
    assert index == held
    assert any(name.startswith("vision_tower.vision_model.") for name in held)
    again = models.load(tmp_path / "m", device="cpu").model.state_dict()
    assert farthest(vlm.model.state_dict(), again) == 0


def test_the_cards(base, phases, tmp_path):
    shutil.copytree(phases / "text" / "adapter", tmp_path / "first")
    (tmp_path / "first" / "README.md").write_text(
        "---\ntags: [x]\n---\n\n# run-text\n\n- Data: pairs.jsonl (40 rows)\n"
    )
    merging.join(base, [tmp_path / "first", phases / "both" / "adapter"], tmp_path / "one")
    card = (tmp_path / "one" / "README.md").read_text()
    assert "library_name: peft" in card
    assert "## Training 1\n\n### run-text\n\n- Data: pairs.jsonl (40 rows)" in card
    assert "## Training 2\n\nNo card came with this adapter" in card
    assert "Nothing yet." in card
    assert str(tmp_path) not in card
    model_card.add_measured(tmp_path / "one", "500 scenes", {"CHAIR_s": Estimate(0.25, 0.2, 0.3, 500)})
    model_card.add_measured(tmp_path / "one", "500 other scenes", {"CHAIR_s": Estimate(0.35, 0.3, 0.4, 500)})
    card = (tmp_path / "one" / "README.md").read_text()
    assert "On 500 other scenes.\n" in card
    assert "| CHAIR_s | 0.350 | 0.300 to 0.400 | 500 |" in card
    assert "0.250" not in card
    assert "Nothing yet." not in card
    assert "## Training 1" in card
    with pytest.raises(ValueError, match="is no card of povid-lib"):
        model_card.add_measured(base, "x", {"CHAIR_s": Estimate(0.25, 0.2, 0.3, 500)})
    with pytest.raises(ValueError, match="values is empty"):
        model_card.add_measured(tmp_path / "one", "x", {})
    assert AutoProcessor.from_pretrained(phases / "both" / "merged")


def test_the_pocket_model_is_no_name_on_the_hub():
    for name in ("pocket", str(models.llava.FOLDER)):
        assert model_card.base_of(name) == ("the pocket model of povid-lib", False)
    card = str(model_card.derived("pocket", "merged", [models.llava.TUNED], merged=True))
    assert "base_model" not in card
    assert "The weights of the pocket model of povid-lib: with the adapter below added." in card
    assert "## Training 1\n\n### The tuned pocket model" in card  # a card without a head is taken over whole
