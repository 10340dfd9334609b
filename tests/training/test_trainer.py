"""One training run, whatever the layout of its batches, its caches or its processes; and only the adapters move."""

import json
import re
from copy import copy

import pytest
import torch

from povid_lib.training import objectives, pair_scores
from povid_lib.training.logprobs import pair_logits
from povid_lib.training.losses import Logps
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training

pytestmark = pytest.mark.slow

VARIANTS = {
    "1 x 8": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    "4 x 2": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    "two rows a pair": {"shared_prefix": False},
    "no cache": {"cache_reference": False},
    "features cached": {"cache_features": True},
    "nothing cached, two rows": {"cache_reference": False, "shared_prefix": False},
    "checkpointing": {"gradient_checkpointing": True},
}
LOSSES = {
    "povid": {},
    "noised scoring": {"scored_under": "noised"},
    "noise on the image, own tokens": {"noise_place": "image", "noise_overflow": "wrap", "reference_tokens": "own"},
    "sampled": {"noised_tokens": "sample"},
    "mean of two": {"objective": "povid_mean"},
    "text": {"dispreference": "text"},
    "image": {"dispreference": "image", "objective": "povid_mean"},
    "mdpo": {"objective": "mdpo", "dispreference": "text"},
    "masking": {"weakening": "masking", "masked_share": 1.0},
    "ddpo": {"objective": "ddpo", "dispreference": "text", "cache_reference": False},
    "sft": {"objective": "sft", "dispreference": "text"},
    "with sft": {"objective": "dpo", "dispreference": "text", "sft_weight": 1.0},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.dataset(tmp_path_factory.mktemp("pairs"), 24)


def trained(vlm, data, folder, **settings):
    found = POVIDTrainer(
        training.tiny(vlm.processor),
        training.config(folder, **{"per_device_train_batch_size": 8} | settings),
        data,
        vlm.processor,
    )
    found.train()
    return found


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.fixture(scope="module")
def plain(vlm, data, tmp_path_factory):
    return trained(vlm, data, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_run_does_not_depend_on_how_it_is_computed(name, plain, vlm, data, tmp_path):
    other = trained(vlm, data, tmp_path, **VARIANTS[name])
    assert losses_of(other) == pytest.approx(losses_of(plain), abs=2e-5)
    for key, value in training.adapters(plain.model).items():
        torch.testing.assert_close(value, training.adapters(other.model)[key], rtol=0, atol=3e-4, msg=key)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_the_same_fast_and_plain(name, vlm, data, tmp_path):
    fast = trained(vlm, data, tmp_path / "fast", max_steps=6, **LOSSES[name])
    plain = {"shared_prefix": False, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    slow = trained(vlm, data, tmp_path / "slow", max_steps=6, **LOSSES[name] | plain | {"cache_reference": False})
    assert losses_of(slow) == pytest.approx(losses_of(fast), abs=2e-5)
    start, *later = losses_of(fast)
    assert min(later) < start, "the loss must fall on so few pairs, whatever the last step's noise"


def test_only_the_language_models_adapters_move_and_all_of_them(vlm, data, tmp_path):
    model = training.tiny(vlm.processor)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = POVIDTrainer(model, training.config(tmp_path), data, vlm.processor)
    first = training.adapters(trainer.model)
    assert len(first) == 2 * 7 * 2  # two matrices, seven layers, two blocks
    trainer.train()
    after = training.adapters(trainer.model)
    assert {name for name in first if not torch.equal(first[name], after[name])} == set(first)
    assert all(".language_model." in name for name in first)
    base = trainer.model.unload()
    for name, p in base.named_parameters():
        assert torch.equal(p, before[name]), f"{name} has moved"


def test_the_reference_is_the_model_as_it_was(vlm, data, tmp_path):
    trainer = trained(vlm, data, tmp_path, cache_reference=False)
    batch = trainer.data_collator([data[0], data[1]])
    start = training.tiny(vlm.processor)
    fresh = POVIDTrainer(start, training.config(tmp_path / "fresh", cache_reference=False), data, vlm.processor)
    _, of_trained, _ = trainer.logps(trainer.model, batch)
    policy, of_fresh, _ = fresh.logps(fresh.model, batch)
    for side in ("chosen", "rejected"):
        assert torch.equal(getattr(of_trained, side), getattr(of_fresh, side))
        torch.testing.assert_close(getattr(policy, side), getattr(of_fresh, side), rtol=0, atol=1e-5)


def test_noise_depends_on_seed_row_and_epoch_only(plain, data):
    """Whatever stands beside the row; and another seed, row or epoch draws anew."""

    def noised(numbers, epoch=0, seed=plain.args.seed):
        batch = plain.data_collator([data[at] for at in numbers])
        models = pair_scores.Models(plain.model, plain.model)
        given = copy(plain.args)
        given.seed = seed
        with torch.no_grad():
            policy, _, _ = pair_scores.pair_logps(models, batch, given, plain.processing_class, epoch)
        return policy.noised[-1]

    first = noised([0])
    torch.testing.assert_close(first, noised([1, 0]), rtol=0, atol=1e-4)
    for other in (noised([0], epoch=1), noised([0], seed=plain.args.seed + 1)):
        assert (other - first).abs() > 1e-3


def test_chance_depends_on_its_whole_key():
    def draw(*key):
        return torch.randn(4, generator=pair_scores.chance(*key)).tolist()

    keys = [(0, "a", 5), (1, "a", 5), (0, "b", 5), (0, "a", 6)]
    assert len({tuple(draw(*key)) for key in keys}) == 4
    assert draw(*keys[0]) == draw(*keys[0])
    assert (
        pair_scores.chance(0, "a", 5).initial_seed() == 6555238863941132897
    )  # as the trainings whose results are kept drew it
    assert pair_scores.chance(0, "a", digest_size=6).initial_seed() == 242344154104438


def test_what_is_logged(plain):
    entry = plain.state.log_history[0]
    for name in (
        "loss", "logps/chosen", "logps/rejected", "logps/noised", "noised/differing", "rewards/chosen", "rewards/rejected",
        "rewards/noised", "rewards/margins", "rewards/accuracies", "tokens_per_second",
    ):  # fmt: skip
        assert name in entry, name
    assert entry["loss"] == pytest.approx(0.693147, abs=1e-4)  # ln 2: policy equals reference
    assert 0 < entry["noised/differing"] <= 1


def test_logged_values_are_means_over_rows(vlm, data, tmp_path):
    trainer = trained(vlm, data, tmp_path, max_steps=1, per_device_train_batch_size=8, dispreference="text")
    rows = [data[at] for at in range(len(data))]
    fresh = POVIDTrainer(
        training.tiny(vlm.processor), training.config(tmp_path / "x", dispreference="text"), data, vlm.processor
    )
    order = next(iter(trainer.get_train_dataloader()))["row_ids"]
    batch = fresh.data_collator([row for row in rows if row["id"] in order])
    policy, _, _ = fresh.logps(fresh.model, batch)
    assert trainer.state.log_history[0]["logps/chosen"] == pytest.approx(float(policy.chosen.mean()), abs=1e-3)


def test_a_row_that_gives_nan_is_named(vlm, data, tmp_path):
    trainer = POVIDTrainer(
        training.tiny(vlm.processor), training.config(tmp_path, cache_reference=False), data, vlm.processor
    )
    batch = trainer.data_collator([data[0], data[1]])
    batch["pixel_values"][1] = float("nan")
    with pytest.raises(FloatingPointError, match=re.escape(data[1]["id"])) as error:
        trainer.compute_loss(trainer.model, batch)
    assert data[0]["id"] not in str(error.value)


def test_a_step_that_gives_nan_changes_nothing(vlm, data, tmp_path, monkeypatch):
    trainer = POVIDTrainer(training.tiny(vlm.processor), training.config(tmp_path), data, vlm.processor)
    seen = []

    def broken(*given):
        loss, metrics = real(*given)
        seen.append(training.adapters(trainer.model))
        return loss * (float("nan") if len(seen) == 3 else 1.0), metrics

    real = objectives.evaluate
    monkeypatch.setattr(objectives, "evaluate", broken)
    with pytest.raises(FloatingPointError, match="Step 2"):
        trainer.train()
    for name, value in training.adapters(trainer.model).items():
        assert torch.equal(value, seen[-1][name])


def test_settings_are_written_down(plain):
    from pathlib import Path

    record = json.loads((Path(plain.args.output_dir) / "povid_config.json").read_text())
    assert record["objective"] == "povid"
    assert record["rows_per_update"] == 8


def test_a_cache_is_of_the_reference(vlm, data, tmp_path):
    """Built while the adapters do something, it must hold what the model says without them."""
    plain = POVIDTrainer(
        training.tiny(vlm.processor), training.config(tmp_path / "a", cache_reference=False), data, vlm.processor
    )
    moved = POVIDTrainer(training.tiny(vlm.processor), training.config(tmp_path / "b"), data, vlm.processor)
    training.move_adapters(moved.model, 0.3)
    batch = plain.data_collator([data[0], data[1]])
    _, reference, _ = plain.logps(plain.model, batch)
    found = moved._caches.start().rows(batch)
    torch.testing.assert_close(found["chosen"], reference.chosen, rtol=0, atol=1e-4)
    torch.testing.assert_close(found["rejected"], reference.rejected, rtol=0, atol=1e-4)


def test_the_image_alone_does_without_the_rejected_answer(tmp_path):
    """POVID's ablation, and phase 1 without the image: each leaves the other dispreference out of the loss."""
    one = torch.ones(1, requires_grad=True)
    policy = Logps(*(one * at for at in (1, 2, 3)))
    reference = policy.map(torch.zeros_like)
    expected = {"text": 0.1 * 1 - 0.05 * 2, "image": 0.1 * 1 - 0.05 * 3, "both": 0.1 * 1 - 0.05 * 2 - 0.05 * 3}
    for about, margin in expected.items():
        settings = training.config(tmp_path, dispreference=about)
        loss, _ = objectives.evaluate(settings.row, settings.coefficients, policy, reference, torch.tensor([3]))
        assert float(loss) == pytest.approx(-float(torch.tensor(margin).sigmoid().log()), abs=1e-6), about


def test_segments_are_scored_as_rlhf_v_scores_them(vlm, data, tmp_path):
    settings = {"objective": "ddpo", "dispreference": "text", "cache_reference": False}
    trainer = POVIDTrainer(training.tiny(vlm.processor), training.config(tmp_path, **settings), data, vlm.processor)
    batch = trainer.data_collator([data[0], data[1]])
    policy, _, _ = trainer.logps(trainer.model, batch)
    plain = pair_logits(trainer.model, batch, shared_prefix=False)
    for at in range(2):
        for side, logits in zip(("chosen", "rejected"), plain, strict=True):
            n = int(batch[side]["mask"][at].sum())
            ids = batch[side]["ids"][at][:n].tolist()
            other = batch["rejected" if side == "chosen" else "chosen"]["ids"][at]
            logps = logits[at, :n].log_softmax(-1)[range(n), ids]
            assert n == int(batch["rejected"]["mask"][at].sum()), "these pairs differ in single tokens, place by place"
            weights = torch.tensor([5.0 if a != b else 1.0 for a, b in zip(ids, other[:n].tolist(), strict=True)])
            torch.testing.assert_close(
                getattr(policy, side)[at], (weights * logps).sum() / weights.sum(), rtol=0, atol=1e-4
            )
