"""All pairs in one row: the attention, the layout, and a training of it; and batches in parts."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from povid_lib.training import unpadded
from povid_lib.training.collator import PairCollator, parts
from povid_lib.training.logprobs import chosen_logits, pair_logits, response_logps, token_logps
from povid_lib.training.trainer import POVIDTrainer
from povid_lib.training.unpadded import by_sequence
from tests.support import training

DOUBLE = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.dataset(tmp_path_factory.mktemp("pairs"), 8)


@pytest.fixture(scope="module")
def batch(vlm, data):
    return PairCollator(vlm.processor)([data[at] for at in range(6)])


@pytest.mark.slow
@given(
    lengths=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 6)), min_size=1, max_size=4),
    causal=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_one_sequence_after_the_other_is_attention_by_its_definition(lengths, causal, seed):
    """Every query by hand: the keys up to as many before the last as the query itself stands before it."""
    generator = torch.Generator().manual_seed(seed)
    queries, keys = [q for q, _ in lengths], [q + more for q, more in lengths]
    q, k, v = (torch.randn(sum(n), 3, 4, generator=generator, dtype=torch.float64) for n in (queries, keys, keys))
    bounds = [torch.tensor([0, *n], dtype=torch.int32).cumsum(0, dtype=torch.int32) for n in (queries, keys)]
    found = by_sequence(q, k, v, *bounds, max(queries), max(keys), scale=0.3, window_size=(-1, 0 if causal else -1))
    at_q = at_k = 0
    for n, m in zip(queries, keys, strict=True):
        for i in range(n):
            last = at_k + (m - n + i + 1 if causal else m)
            for head in range(3):
                weights = (k[at_k:last, head] @ q[at_q + i, head] * 0.3).softmax(0)
                torch.testing.assert_close(found[at_q + i, head], weights @ v[at_k:last, head], **DOUBLE)
        at_q, at_k = at_q + n, at_k + m


def test_the_row_by_hand():
    """Two pairs: prompts of 2 and 1, chosen of 1 and 2, rejected of 2 and 1 tokens."""
    made = {
        "row_ids": ["a", "b"],
        "prompt": {"ids": torch.tensor([[1, 2], [0, 3]]), "mask": torch.tensor([[1, 1], [0, 1]])},
        "chosen": {"ids": torch.tensor([[4, 0], [7, 8]]), "mask": torch.tensor([[1, 0], [1, 1]])},
        "rejected": {"ids": torch.tensor([[5, 6], [9, 0]]), "mask": torch.tensor([[1, 1], [1, 0]])},
    }
    row = unpadded.row_of(made)
    assert row.ids.tolist() == [[1, 2, 4, 5, 6, 3, 7, 8, 9]]
    assert row.positions.tolist() == [[0, 1, 2, 2, 3, 0, 1, 2, 1]]
    assert row.kept.tolist() == [[1, 0, 1, 3], [5, 6, 5, 0]]
    assert row.segments.keys.tolist() == [0, 1, 2, 0, 1, 3, 4, 5, 6, 7, 5, 8]
    assert row.segments.cu_queries.tolist() == [0, 3, 5, 8, 9]
    assert row.segments.cu_keys.tolist() == [0, 3, 7, 10, 12]
    assert (row.segments.longest_queries, row.segments.longest_keys) == (3, 4)
    alone = unpadded.row_of(made, rejected=False)
    assert alone.ids.tolist() == [[1, 2, 4, 3, 7, 8]]
    assert alone.kept.tolist() == [[1, 0], [3, 4]]
    made["prompt"]["mask"][0, 1] = 0
    with pytest.raises(ValueError, match="mask has holes"):
        unpadded.row_of({**made, "prompt": {"ids": torch.ones(2, 3), "mask": torch.tensor([[1, 0, 1], [0, 1, 1]])}})


def test_other_attentions_are_refused_and_sdpa_stays_what_it_was(vlm, batch):
    model = training.tiny(vlm.processor)
    before = pair_logits(model, batch)
    plain = pair_logits(model, batch, shared_prefix=False)
    unpadded.prepare(model)
    unpadded.prepare(model)
    for one, other in ((before, pair_logits(model, batch)), (plain, pair_logits(model, batch, shared_prefix=False))):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    model.config.text_config._attn_implementation = "eager"
    with pytest.raises(ValueError, match="attention is 'eager', and unpadded pairs need 'sdpa'"):
        unpadded.prepare(model)


def test_a_pytorch_without_it_is_told(monkeypatch):
    assert callable(unpadded.variable_length())
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", lambda query, is_causal=False: query)
    with pytest.raises(ValueError, match=r"has no scale, window_size in torch\.nn\.attention\.varlen; install 2\.11"):
        unpadded.variable_length()
    monkeypatch.setattr(unpadded, "_MODULE", "torch.nn.attention.nowhere")
    with pytest.raises(ValueError, match="has no varlen_attn in"):
        unpadded.variable_length()


def test_bfloat16_is_as_near_as_the_padded_way(vlm, batch):
    """Its own rounding moves a token's log-probability by a few hundredths, whichever the layout."""
    model = training.tiny(vlm.processor)
    unpadded.prepare(model)
    with torch.no_grad():
        exact = pair_logits(model, batch)
        model.bfloat16()
        half = {**batch, "pixel_values": batch["pixel_values"].bfloat16()}
        for in_one_row in (False, True):
            for side, a, b in zip(
                ("chosen", "rejected"), pair_logits(model, half, unpadded=in_one_row), exact, strict=True
            ):
                text = batch[side]
                one, other = (token_logps(logits, text["ids"], text["mask"]) for logits in (a, b))
                assert (one - other).abs().max() < 0.15


def test_chosen_logits_in_one_row(vlm, batch):
    model = training.tiny(vlm.processor).double()
    unpadded.prepare(model)
    pixels = batch["pixel_values"].double()
    with torch.no_grad():
        ways = [chosen_logits(model, batch, pixels, unpadded=in_one_row) for in_one_row in (False, True)]
    one, other = (response_logps(logits, batch, "chosen") for logits in ways)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


# --- a batch in parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 150, 300, 10**6])
def test_parts_hold_every_row_once_within_the_budget(tokens, batch):
    found = parts(batch, tokens)
    assert sorted(row for part in found for row in part["row_ids"]) == sorted(batch["row_ids"])
    assert len(found) == {1: 6, 10**6: 1}.get(tokens, len(found))
    for part in found:
        size = sum(part[name]["ids"].numel() for name in ("prompt", "chosen", "rejected"))
        assert size <= tokens or len(part["row_ids"]) == 1
        assert all(bool(part[name]["mask"].any(0).all()) for name in ("prompt", "chosen", "rejected")), (
            "no column is empty"
        )
        for at, row_id in enumerate(part["row_ids"]):
            row = batch["row_ids"].index(row_id)
            for name in ("prompt", "chosen", "rejected"):
                one, other = part[name], batch[name]
                assert (
                    one["ids"][at][one["mask"][at].bool()].tolist()
                    == other["ids"][row][other["mask"][row].bool()].tolist()
                )
            assert torch.equal(part["pixel_values"][at], batch["pixel_values"][row])
            assert torch.equal(part["digests"][at], batch["digests"][row])
            assert part["images"][at] is batch["images"][row]
    assert parts(batch, None) == [batch]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [{"tokens_per_pass": 200}, {"unpadded": True}, {"unpadded": True, "tokens_per_pass": 1}]
)
@pytest.mark.parametrize("loss", [{"scored_under": "noised"}, {"objective": "sft", "dispreference": "text"}])
def test_the_gradient_of_a_step_is_that_of_one_pass(loss, how, vlm, data, tmp_path, monkeypatch):
    norm = "transformers.models.llama.modeling_llama.LlamaRMSNorm.forward"
    monkeypatch.setattr(  # which computes in float32 whatever the type
        norm, lambda self, x: torch.nn.functional.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)
    )
    found = {}
    for name, own in (("one", {}), ("other", how)):
        settings = training.config(tmp_path / name, **{"learning_rate": 0.0} | loss | own)
        trainer = POVIDTrainer(training.tiny(vlm.processor), settings, data, vlm.processor)
        trainer.model.double()
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for p in trainer.model.parameters():
                if p.requires_grad:
                    p += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        collator = trainer.data_collator

        def in_double(rows, collator=collator):
            made = collator(rows)
            return made | {"pixel_values": made["pixel_values"].double()}

        trainer.data_collator = in_double
        trainer._caches.start()
        trainer.current_gradient_accumulation_steps = 1  # set by Trainer where it begins
        loss_of = trainer.training_step(trainer.model, trainer.data_collator([data[at] for at in range(6)]))
        gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
        found[name] = loss_of, gradient, trainer._means.take()["logps/chosen"]
    assert found["one"][1].abs().max() > 1e-4
    assert math.isfinite(found["one"][2])
    for a, b in zip(found["one"][:2], found["other"][:2], strict=True):
        torch.testing.assert_close(a, b, **DOUBLE)
    assert found["other"][2] == pytest.approx(found["one"][2], rel=1e-5)
