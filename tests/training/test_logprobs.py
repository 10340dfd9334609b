"""The fast ways to a pair's log-probabilities against the plain one, and both against TRL."""

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from trl import DPOConfig, DPOTrainer

from povid_lib import models
from povid_lib.training import losses
from povid_lib.training.collator import PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS
from povid_lib.training.logprobs import (
    chosen_logits,
    image_features,
    pair_logits,
    segment_logps,
    sequence_logps,
    token_logps,
)
from tests.support.training import dataset


def adapted(dtype):
    """The pocket model with adapters that do something already."""
    vlm = models.load("pocket", dtype=dtype)
    torch.manual_seed(3)
    settings = LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LAYERS, init_lora_weights=False)
    return vlm, get_peft_model(vlm.model, settings).to(dtype)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = dataset(tmp_path_factory.mktemp("pairs"), 6)
    return [found[at] for at in range(len(found))]


@pytest.fixture(scope="module")
def batch(rows, vlm):
    """Six pictures, prompts and answers of several lengths."""
    found = PairCollator(vlm.processor)(rows)
    for side in ("prompt", "chosen", "rejected"):
        assert len(set(found[f"{side}_mask"].sum(1).tolist())) > 1, "the rows must differ in length"
    return found


def loss_and_gradient(model, batch, shared_prefix, features=None):
    model.zero_grad()
    logps = [
        sequence_logps(token_logps(logits, batch[f"{side}_ids"], batch[f"{side}_mask"]), batch[f"{side}_mask"])
        for side, logits in zip(("chosen", "rejected"), pair_logits(model, batch, shared_prefix, features), strict=True)
    ]
    loss, _ = losses.dpo(*logps, *(torch.full_like(logps[0], -20.0) for _ in range(2)))
    loss.backward()
    return logps, torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_every_fast_way_gives_the_plain_gradients(batch, dtype, tolerance, monkeypatch):
    # transformers computes the norm in float32 whatever the model's type; to 1e-9 it must not
    monkeypatch.setattr(
        LlamaRMSNorm, "forward", lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)
    )
    vlm, model = adapted(dtype)
    batch = {**batch, "pixel_values": batch["pixel_values"].to(dtype)}
    plain, gradient = loss_and_gradient(model, batch, shared_prefix=False)
    assert gradient.abs().max() > 1e-3
    features = image_features(vlm.model, batch["pixel_values"])
    for shared_prefix, given in ((True, None), (False, features), (True, features)):
        logps, other = loss_and_gradient(model, batch, shared_prefix, given)
        for a, b in zip(plain, logps, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=tolerance * 100)  # sums of some 40 tokens
        torch.testing.assert_close(gradient, other, rtol=0, atol=tolerance)


def test_one_row_alone_gives_what_it_gives_in_a_batch(rows, batch, vlm):
    with torch.no_grad():
        together = pair_logits(vlm.model, batch)
        for at in (0, 3):
            alone = PairCollator(vlm.processor)(rows[at : at + 1])
            for side, one, many in zip(("chosen", "rejected"), pair_logits(vlm.model, alone), together, strict=True):
                length = alone[f"{side}_ids"].shape[1]
                torch.testing.assert_close(one[0], many[at, :length], rtol=0, atol=1e-4)


def test_the_branches_do_not_see_each_other(batch, vlm):
    with torch.no_grad():
        before = pair_logits(vlm.model, batch)
        other = {**batch, "chosen_ids": batch["chosen_ids"].flip(1)}
        after = pair_logits(vlm.model, other)
    torch.testing.assert_close(before[1], after[1], rtol=0, atol=1e-6)
    assert (before[0] - after[0]).abs().max() > 1


def test_chosen_logits_are_those_of_the_pair(batch, vlm):
    with torch.no_grad():
        alone = chosen_logits(vlm.model, batch, batch["pixel_values"])
        pair = pair_logits(vlm.model, batch)[0]
        blank = chosen_logits(vlm.model, batch, torch.ones_like(batch["pixel_values"]))
    mask = batch["chosen_mask"].bool()
    torch.testing.assert_close(alone[mask], pair[mask], rtol=0, atol=1e-4)
    assert (blank[mask] - pair[mask]).abs().max() > 1


def test_token_logps_by_hand():
    logits = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]]])
    ids, mask = torch.tensor([[0, 1, 0]]), torch.tensor([[1, 1, 0]])
    logps = token_logps(logits, ids, mask)
    # log 1/2; 0 - log(e + 1); padding
    torch.testing.assert_close(logps, torch.tensor([[-0.693147, -1.313262, 0.0]]), rtol=0, atol=1e-6)
    torch.testing.assert_close(sequence_logps(logps, mask), torch.tensor([-2.006409]), rtol=0, atol=1e-6)
    torch.testing.assert_close(sequence_logps(logps, mask, average=True), torch.tensor([-1.003204]), rtol=0, atol=1e-6)
    assert token_logps(logits.bfloat16(), ids, mask).dtype == torch.float32


def test_loss_and_gradients_are_those_of_trl(rows, vlm, tmp_path):
    """TRL's own code on its own collator's batch, and ours on ours: the same adapters, the same pairs."""
    plain, model = adapted(torch.float32)
    trainer = DPOTrainer(
        model=models.load("pocket").model,
        args=DPOConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False),
        train_dataset=dataset(tmp_path, 6),
        processing_class=plain.processor,
        peft_config=LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LAYERS),
    )
    ours = {name: p for name, p in model.named_parameters() if "lora_" in name}
    theirs = {name: p for name, p in trainer.model.named_parameters() if "lora_" in name}
    assert ours.keys() == theirs.keys()
    with torch.no_grad():
        for name, p in theirs.items():
            p.copy_(ours[name])
    trainer.model.train()
    kept = [{name: row[name] for name in ("images", "prompt", "chosen", "rejected")} for row in rows]
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(kept))
    loss.backward()

    batch = PairCollator(plain.processor)(rows)
    with torch.no_grad(), model.disable_adapter():
        ref = [
            sequence_logps(token_logps(logits, batch[f"{side}_ids"], batch[f"{side}_mask"]), batch[f"{side}_mask"])
            for side, logits in zip(("chosen", "rejected"), pair_logits(model, batch), strict=True)
        ]
    policy = [
        sequence_logps(token_logps(logits, batch[f"{side}_ids"], batch[f"{side}_mask"]), batch[f"{side}_mask"])
        for side, logits in zip(("chosen", "rejected"), pair_logits(model, batch), strict=True)
    ]
    own, metrics = losses.dpo(*policy, *ref)
    own.backward()
    assert float(metrics["rewards/margins"].abs().max()) > 0.1, "the adapters must do something"
    torch.testing.assert_close(own, loss, rtol=0, atol=1e-5)
    for name, p in theirs.items():
        torch.testing.assert_close(ours[name].grad, p.grad, rtol=0, atol=1e-5)


def test_segment_logps_by_hand():
    logps = torch.tensor([[-1.0, -2.0, -4.0, 0.0]])
    mask, changed = torch.tensor([[1, 1, 1, 0]]), torch.tensor([[0, 1, 0, 0]])
    assert segment_logps(logps, mask, changed, 5.0).item() == pytest.approx((-1 - 10 - 4) / 7)
    assert segment_logps(logps, mask, changed, 1.0).item() == pytest.approx(-7 / 3)
