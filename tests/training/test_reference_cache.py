"""What the cache gives is what a pass would give, and it refuses what it was not built for."""

import shutil

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from povid_lib.training import reference_cache
from povid_lib.training.collator import PairCollator
from povid_lib.training.logprobs import image_features, pair_logits, response_logps, token_logps
from povid_lib.training.reference_cache import Cached
from tests.support import training


@pytest.fixture(scope="module")
def setup(vlm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    data = training.dataset(folder, 7)
    model, collator = training.tiny(vlm.processor), PairCollator(vlm.processor)
    key = reference_cache.key(model, vlm.processor)
    of_it, read = reference_cache.clear(key, hidden=True, features=True)
    reference_cache.build(folder / "c", of_it, model, collator, data, Accelerator(), read, batch_size=3)
    return folder / "c", of_it, model, collator, data


def sums_only(key):
    """Key and reader of the least cache, for the same model."""
    return reference_cache.clear(key, hidden=False, features=False)


def test_rows_are_what_a_pass_gives(setup):
    folder, key, model, collator, data = setup
    batch = collator([data[5], data[1], data[2]])
    found = Cached(**reference_cache.RowCache(folder, key).rows(batch))
    with torch.no_grad():
        logits = pair_logits(model, batch)
        for side, of in zip(("chosen", "rejected"), logits, strict=True):
            wanted = response_logps(of, batch, side)
            torch.testing.assert_close(getattr(found, side), wanted, rtol=0, atol=1e-4)
        # any token can be scored from the hidden states, not only those of the answer
        other, mask = batch["chosen"]["ids"].flip(1), batch["chosen"]["mask"]
        torch.testing.assert_close(
            token_logps(model.lm_head(found.hidden), other, mask),
            token_logps(logits[0], other, mask),
            rtol=0,
            atol=1e-4,
        )
        torch.testing.assert_close(found.features, image_features(model, batch["pixel_values"]), rtol=0, atol=1e-5)


def test_parts_that_were_not_asked_for_are_not_there(setup, vlm, tmp_path):
    _, key, model, collator, data = setup
    least, read = sums_only(key)
    made = reference_cache.build(tmp_path / "c", least, model, collator, data, Accelerator(), read, batch_size=4)
    found = Cached(**made.rows(collator([data[0]])))
    assert found.hidden is None
    assert found.features is None
    with pytest.raises(ValueError, match=r"stale.*hidden"):
        reference_cache.RowCache(tmp_path / "c", least | {"hidden": "True"})


def test_the_key_knows_weights_template_tokenizer_and_processor(setup, vlm, tmp_path):
    _, _, model, _, _ = setup
    key = reference_cache.key(model, vlm.processor)
    vlm.processor.tokenizer(
        ["a", "a cow"], padding=True
    )  # a call changes the tokenizer's state, but nothing that matters
    assert reference_cache.key(training.tiny(vlm.processor), vlm.processor) == key
    assert reference_cache.key(training.tiny(vlm.processor, seed=1), vlm.processor)["model"] != key["model"]
    with torch.no_grad():
        one = training.tiny(vlm.processor)
        one.model.language_model.layers[1].mlp.up_proj.weight[3, 3] += 1e-4
    assert reference_cache.key(one, vlm.processor)["model"] != key["model"]
    template, size = vlm.processor.chat_template, vlm.processor.image_processor.image_mean
    try:
        vlm.processor.chat_template = template + " "
        assert reference_cache.key(model, vlm.processor)["template"] != key["template"]
        vlm.processor.chat_template = template
        vlm.processor.image_processor.image_mean = [0.4, 0.5, 0.5]
        assert reference_cache.key(model, vlm.processor)["processor"] != key["processor"]
    finally:
        vlm.processor.chat_template, vlm.processor.image_processor.image_mean = template, size


@pytest.mark.parametrize("part", ["model", "adapter", "processor", "tokenizer", "template", "dtype"])
def test_a_stale_cache_is_refused(setup, part):
    folder, key, *_ = setup
    with pytest.raises(ValueError, match=rf"{folder} is stale: it was built with another {part}\. Delete"):
        reference_cache.RowCache(folder, key | {part: "other"})


def test_a_row_that_has_changed_is_refused(setup):
    folder, key, _, collator, data = setup
    opened = reference_cache.RowCache(folder, key)
    row = data[0]
    picture = row["images"][0].copy()
    picture.putpixel((3, 3), (0, 0, 0))
    for other in (
        {"chosen": [{"role": "assistant", "content": "There is a cow."}]},
        {"rejected": [{"role": "assistant", "content": "There is a cow."}]},
        {"prompt": [{"role": "user", "content": "Describe it."}]},
        {"images": [picture]},
    ):
        with pytest.raises(ValueError, match=rf"Row '{row['id']}' has changed.*delete the folder"):
            opened.rows(collator([{**row, **other}]))
    with pytest.raises(ValueError, match="has no row 'new'"):
        opened.rows(collator([{**row, "id": "new"}]))


def test_padding_does_not_change_a_digest(setup):
    *_, collator, data = setup
    alone, together = collator([data[0]]), collator([data[0], data[1], data[2]])
    assert torch.equal(alone["digests"][0], together["digests"][0])
    assert not torch.equal(together["digests"][0], together["digests"][1])


class Stopping:
    """A collator that is stopped before its last row, as a kill would stop it, and counts what it reads."""

    def __init__(self, collator, at=None):
        self.collator, self.at, self.read = collator, at, []

    def __call__(self, rows):
        self.read += [row["id"] for row in rows]
        if self.at in self.read:
            raise KeyboardInterrupt
        return self.collator(rows)


@pytest.mark.slow
def test_a_stopped_build_keeps_what_it_has(setup, tmp_path, monkeypatch):
    _, key, model, collator, data = setup
    monkeypatch.setattr(reference_cache, "_SHARD", 2)
    key, read = sums_only(key)
    how = {"read": read, "batch_size": 1}
    first, ids = Stopping(collator, data[5]["id"]), [data[at]["id"] for at in range(7)]
    with pytest.raises(KeyboardInterrupt):
        reference_cache.build(tmp_path / "c", key, model, first, data, Accelerator(), **how)
    assert not list(tmp_path.rglob("*.part"))
    second = Stopping(collator)
    reference_cache.build(tmp_path / "c", key, model, second, data, Accelerator(), **how)
    assert second.read == ids[4:], "the first two files were whole"
    third = Stopping(collator)
    reference_cache.build(tmp_path / "c", key, model, third, data, Accelerator(), **how)
    assert third.read == []
    reference_cache.build(tmp_path / "w", key, model, collator, data, Accelerator(), **how)
    batch = collator([data[at] for at in range(7)])
    found, whole = (reference_cache.RowCache(tmp_path / name, key).rows(batch) for name in "cw")
    for side in ("chosen", "rejected"):
        assert torch.equal(found[side], whole[side])


def test_files_without_a_key_are_not_taken_for_a_cache(setup, tmp_path):
    _, key, model, collator, data = setup
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "0000-00000.safetensors").write_bytes(b"half")
    key, read = sums_only(key)
    how = {"read": read, "batch_size": 4}
    reference_cache.build(tmp_path / "c", key, model, collator, data, Accelerator(), **how)
    assert sum(name.endswith("digest") for name in load_file(tmp_path / "c" / "0000-00000.safetensors")) == len(data)


@pytest.mark.parametrize("name", ["key.json", "0000-00000.safetensors"])
def test_a_damaged_file_is_named(setup, tmp_path, name):
    folder, key, *_ = setup
    shutil.copytree(folder, tmp_path / "c")
    (tmp_path / "c" / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(ValueError, match=rf"{name} is damaged .* delete the folder, it will be built again"):
        reference_cache.RowCache(tmp_path / "c", key)
