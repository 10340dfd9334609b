"""The fast ways to a pair's log-probabilities against the plain one, and both against TRL."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from trl import DPOConfig, DPOTrainer

from povid_lib import models
from povid_lib.training import logprobs, losses, unpadded
from povid_lib.training.collator import SIDES, PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS
from povid_lib.training.logprobs import (
    chosen_logits,
    image_features,
    pair_logits,
    response_logps,
    segment_logps,
    sequence_logps,
    token_logps,
)
from povid_lib.training.losses import Logps
from tests.support import training
from tests.support.training import dataset


def adapted(dtype):
    """The pocket model with adapters that do something already."""
    vlm = models.load("pocket", dtype=dtype)
    torch.manual_seed(3)
    lora = LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LAYERS, init_lora_weights=False)
    return vlm, get_peft_model(vlm.model, lora).to(dtype)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = dataset(tmp_path_factory.mktemp("pairs"), 6)
    return [found[at] for at in range(len(found))]


@pytest.fixture(scope="module")
def batch(rows, vlm):
    """Six pictures, prompts and answers of several lengths."""
    found = PairCollator(vlm.processor)(rows)
    for side in ("prompt", "chosen", "rejected"):
        assert len(set(found[side]["mask"].sum(1).tolist())) > 1, "the rows must differ in length"
    return found


def logps_of(model, batch, shared_prefix=True, features=None, in_one_row=False):
    logits = pair_logits(model, batch, shared_prefix, features, in_one_row)
    return Logps(*(response_logps(of, batch, side) for side, of in zip(SIDES, logits, strict=True)))


def loss_and_gradient(model, batch, shared_prefix, features=None, in_one_row=False):
    model.zero_grad()
    logps = logps_of(model, batch, shared_prefix, features, in_one_row)
    loss, _ = losses.dpo(logps, logps.map(lambda t: torch.full_like(t, -20.0)))
    loss.backward()
    return logps, torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.slow
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
    ways = [
        (True, None, False),
        (False, features, False),
        (True, features, False),
        (True, None, True),
        (True, features, True),
    ]
    known = logprobs._TAKES_FEATURES  # transformers 5.15 does not take them; what is done then is tried everywhere
    unpadded.prepare(vlm.model)
    for way, taken in itertools.product(ways, {known, False}):
        monkeypatch.setattr(logprobs, "_TAKES_FEATURES", taken)
        logps, other = loss_and_gradient(model, batch, *way)
        for a, b in zip(plain[:2], logps[:2], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=tolerance * 100)  # sums of some 40 tokens
        torch.testing.assert_close(gradient, other, rtol=0, atol=tolerance)


def test_one_row_alone_gives_what_it_gives_in_a_batch(rows, batch, vlm):
    with torch.no_grad():
        together = pair_logits(vlm.model, batch)
        for at in (0, 3):
            alone = PairCollator(vlm.processor)(rows[at : at + 1])
            for side, one, many in zip(SIDES, pair_logits(vlm.model, alone), together, strict=True):
                length = alone[side]["ids"].shape[1]
                torch.testing.assert_close(one[0], many[at, :length], rtol=0, atol=1e-4)


@pytest.mark.parametrize("in_one_row", [False, True], ids=["padded", "unpadded"])
def test_the_branches_do_not_see_each_other(in_one_row, batch, vlm, monkeypatch):
    monkeypatch.setattr(vlm.model.config.text_config, "_attn_implementation", unpadded.NAME)
    with torch.no_grad():
        before = pair_logits(vlm.model, batch, unpadded=in_one_row)
        mask = batch["chosen"]["mask"]
        ids = torch.where(mask == 1, torch.where(batch["chosen"]["ids"] == 50, 51, 50), batch["chosen"]["ids"])
        after = pair_logits(vlm.model, {**batch, "chosen": {"ids": ids, "mask": mask}}, unpadded=in_one_row)
    torch.testing.assert_close(before[1], after[1], rtol=0, atol=1e-6)
    assert (before[0] - after[0]).abs().max() > 1


def test_chosen_logits_are_those_of_the_pair(batch, vlm):
    with torch.no_grad():
        alone = chosen_logits(vlm.model, batch, batch["pixel_values"])
        pair = pair_logits(vlm.model, batch)[0]
        blank = chosen_logits(vlm.model, batch, torch.ones_like(batch["pixel_values"]))
    mask = batch["chosen"]["mask"].bool()
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


def test_response_logps_by_hand():
    """Each side's own tokens and mask; sums, not means."""
    chosen = {"ids": torch.tensor([[0, 1, 0]]), "mask": torch.tensor([[1, 1, 0]])}
    rejected = {"ids": torch.tensor([[1, 0]]), "mask": torch.tensor([[1, 1]])}
    batch = {"chosen": chosen, "rejected": rejected}
    logits = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]]])
    torch.testing.assert_close(response_logps(logits, batch, "chosen"), torch.tensor([-2.006409]), rtol=0, atol=1e-6)
    # log 1/2; 1 - log(e + 1)
    found = response_logps(logits[:, :2], batch, "rejected")
    torch.testing.assert_close(found, torch.tensor([-0.693147 - 0.313262]), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def small(vlm):
    """A LLaVA of milliseconds, in float64, so that rounding hides nothing."""
    return training.tiny(vlm.processor).double()


@pytest.mark.slow
@given(lengths=st.lists(st.tuples(*[st.integers(1, 9)] * 3), min_size=1, max_size=4), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_shared_prefix_is_plain_for_any_lengths(small, vlm, lengths, seed):
    """Prompts, chosen and rejected answers of any lengths, any tokens: one row a pair gives what two rows give."""
    generator = torch.Generator().manual_seed(seed)
    image = vlm.processor.image_token_id

    def text(sizes, left=False):
        ids = torch.randint(5, 60, (len(sizes), max(sizes)), generator=generator)
        place, size = torch.arange(max(sizes)), torch.tensor(sizes)[:, None]
        return {"ids": ids, "mask": (place >= max(sizes) - size if left else place < size).long()}

    prompts, chosen, rejected = zip(*lengths, strict=True)
    prompt = text([36 + n for n in prompts], left=True)  # the picture's 36 places first
    for row, n in enumerate(prompts):
        prompt["ids"][row, -36 - n : -n] = image
        prompt["ids"][row, : -36 - n] = 0
    batch = {
        "prompt": prompt,
        "chosen": text(chosen),
        "rejected": text(rejected),
        "pixel_values": torch.randn(len(lengths), 3, 96, 96, generator=generator, dtype=torch.float64),
    }
    unpadded.prepare(small)
    batch["row_ids"] = [str(row) for row in range(len(lengths))]
    with torch.no_grad():
        plain = logps_of(small, batch, shared_prefix=False)
        for other in (logps_of(small, batch), logps_of(small, batch, in_one_row=True)):
            for side in SIDES:
                torch.testing.assert_close(getattr(other, side), getattr(plain, side), rtol=0, atol=1e-4)


@pytest.mark.slow
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
        reference = logps_of(model, batch)
    own, metrics = losses.dpo(logps_of(model, batch), reference)
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
