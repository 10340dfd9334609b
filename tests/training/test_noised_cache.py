"""The reference's noised passes from the cache are the passes themselves: log-probabilities, loss and gradients."""

import pytest
import torch
import torch.nn.functional as F
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from povid_lib.training import pair_scores
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training

IMAGE = {"noise_place": "image", "noise_overflow": "wrap"}
WAYS = {
    "noised, policy's": {"scored_under": "noised"},
    "noised, own": {"scored_under": "noised", "reference_tokens": "own"},
    "released": {"objective": "povid_mean", "scored_under": "clean", "reference_tokens": "own", **IMAGE},
    "clean, policy's": {"scored_under": "clean"},
    "sampled, own": {"noised_tokens": "sample", "reference_tokens": "own", "scored_under": "clean"},
    "sampled, policy's": {"noised_tokens": "sample", "scored_under": "noised"},
    "masking": {"weakening": "masking", "masked_share": 0.5, "scored_under": "noised"},
    "masking, own": {"weakening": "masking", "masked_share": 0.5, "reference_tokens": "own", "scored_under": "clean"},
    "image alone": {"dispreference": "image", "scored_under": "noised"},
    "cropped": {"objective": "mdpo", "dispreference": "text"},
}
FAST = {"cache_features": True, "unpadded": True, "tokens_per_pass": 200}
DOUBLE = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.dataset(tmp_path_factory.mktemp("pairs"), 6)


def made(vlm, data, folder, **settings):
    """A trainer in float64 whose adapters do something."""
    found = POVIDTrainer(
        training.tiny(vlm.processor), training.config(folder, **settings), data, vlm.processor
    )  # fmt: skip
    found.model.double()
    collator = found.data_collator

    def in_double(rows):
        batch = collator(rows)
        return batch | {"pixel_values": batch["pixel_values"].double()}

    found.data_collator = in_double
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in found.model.parameters():
            if p.requires_grad:
                p += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return found


def found_by(trainer, data, epoch):
    """Log-probabilities of policy and reference, and the loss's gradient."""
    trainer.state.epoch = epoch
    batch = trainer.data_collator([data[at] for at in (4, 1, 3)])
    policy, reference, _ = trainer.logps(trainer.model, batch)
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    return torch.stack([*policy.given().values(), *reference.given().values()]).detach(), loss.detach(), gradient


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, FAST], ids=["plain", "fast"])
@pytest.mark.parametrize("name", WAYS)
def test_cached_passes_are_the_passes(name, how, vlm, data, tmp_path, monkeypatch):
    # transformers computes the norm in float32 whatever the model's type; to 1e-9 it must not
    monkeypatch.setattr(
        LlamaRMSNorm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)
    )
    plain = made(vlm, data, tmp_path / "plain", cache_reference=False, **WAYS[name])
    cached = made(vlm, data, tmp_path / "cached", **WAYS[name], **how)
    cached._caches.start()
    logps = []
    for epoch in (0.5, 1.0):
        one, other = found_by(plain, data, epoch), found_by(cached, data, epoch)
        assert one[2].abs().max() > 1e-4
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, **DOUBLE)
        logps.append(one[0])
    folders = {path.name for path in (tmp_path / "cached" / "cache").iterdir() if path.is_dir()}
    assert folders == ({"noised-0", "noised-1"} if name != "clean, policy's" else set())
    assert not torch.equal(*logps), "every epoch has noise of its own"


def counted(monkeypatch):
    """Counts the passes through a language model's head."""
    seen, real = [], pair_scores.chosen_logits
    monkeypatch.setattr(pair_scores, "chosen_logits", lambda *given: seen.append(1) or real(*given))
    return seen


@pytest.mark.slow
def test_a_cached_step_does_without_the_references_pass(vlm, data, tmp_path, monkeypatch):
    passes = {}
    for name, caches in (("plain", False), ("cached", True)):
        trainer = made(vlm, data, tmp_path / name, cache_reference=caches, **WAYS["released"])
        if caches:
            trainer._caches.start()
        batch = trainer.data_collator([data[0], data[1]])
        trainer.logps(trainer.model, batch)  # the first one builds
        seen = counted(monkeypatch)
        trainer.logps(trainer.model, batch)
        passes[name] = len(seen)
    assert passes == {"plain": 2, "cached": 1}


def opened(vlm, data, folder, cache, **settings):
    settings = {"scored_under": "noised", "cache_dir": str(cache)} | settings
    trainer = made(vlm, data, folder, **settings)
    trainer._caches.start()
    trainer.logps(trainer.model, trainer.data_collator([data[0], data[1]]))
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"seed": 1}, {"noise_step": 400}, {"masked_share": 0.5}, {"noise_place": "image"}])
def test_other_noise_is_refused(other, vlm, data, tmp_path):
    opened(vlm, data, tmp_path / "one", tmp_path / "c")
    with pytest.raises(ValueError, match=r"noised-0 is stale: it was built with another (seed|noise)\. Delete"):
        opened(vlm, data, tmp_path / "two", tmp_path / "c", **other)


@pytest.mark.slow
def test_a_row_that_has_changed_is_refused(vlm, data, tmp_path):
    trainer = opened(vlm, data, tmp_path / "one", tmp_path / "c")
    trainer._caches._clear.rows = lambda _: {
        "chosen": torch.zeros(1),
        "rejected": torch.zeros(1),
    }  # the first cache is not asked
    changed = {**data[0], "chosen": [{"role": "assistant", "content": "There is a cow."}]}
    with pytest.raises(ValueError, match=r"has changed since the cache .*noised-0 was built"):
        trainer.logps(trainer.model, trainer.data_collator([changed]))


@pytest.mark.slow
def test_runs_with_the_same_noise_share_the_cache(vlm, data, tmp_path, monkeypatch):
    opened(vlm, data, tmp_path / "one", tmp_path / "c")
    seen = counted(monkeypatch)
    opened(vlm, data, tmp_path / "two", tmp_path / "c", learning_rate=1e-3, objective="povid_mean")
    assert len(seen) == 1, "the policy's pass alone"


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_noise_of_its_epoch(vlm, data, tmp_path):
    """Two epochs in one go, and stopped in the second: the same losses."""
    how = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 2, "scored_under": "noised"}
    how |= {"save_strategy": "steps", "save_steps": 4, "learning_rate": 1e-3}

    def run(folder, resume=False):
        trainer = POVIDTrainer(training.tiny(vlm.processor), training.config(folder, **how), data, vlm.processor)
        trainer.train(resume_from_checkpoint=str(tmp_path / "one" / "checkpoint-4") if resume else None)
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    whole, rest = run(tmp_path / "one"), run(tmp_path / "two", resume=True)
    assert len(whole) == 6
    assert rest[4:] == pytest.approx(whole[4:], abs=1e-6)
    built = {path.name for path in (tmp_path / "two" / "cache").iterdir() if path.is_dir()}
    assert built == {"noised-1"}, "the epoch that was done needs none"
