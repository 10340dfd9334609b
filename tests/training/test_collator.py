"""Batches: left and right padding, EOS, and the boundary between prompt and response."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from povid_lib.models.chat_template import prompt_text, response_ids
from povid_lib.training import collator as collator_module
from povid_lib.training.collator import SIDES, PairCollator, changed_tokens
from povid_lib.training.config import POVIDConfig
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.dataset(tmp_path_factory.mktemp("pairs"), 5)


def test_layout(vlm, data):
    rows = [data[at] for at in range(5)]
    batch = PairCollator(vlm.processor)(rows)
    tokenizer = vlm.processor.tokenizer
    for side, first in (("prompt", -1), ("chosen", 0), ("rejected", 0)):
        assert bool((batch[side]["mask"][:, first] == 1).all())  # padded on the other side
        padding = batch[side]["ids"][batch[side]["mask"] == 0]
        assert bool((padding == tokenizer.pad_token_id).all())
    assert (batch["prompt"]["ids"] == vlm.model.config.image_token_id).sum(1).tolist() == [36] * 5
    assert (batch["prompt"]["ids"] == tokenizer.bos_token_id).sum(1).tolist() == [1] * 5
    for row, ids, mask in zip(rows, batch["chosen"]["ids"], batch["chosen"]["mask"], strict=True):
        answer = ids[mask.bool()]
        assert answer[-1] == tokenizer.eos_token_id
        assert int((answer == tokenizer.eos_token_id).sum()) == 1
        assert tokenizer.decode(answer[:-1]).strip() == row["chosen"][0]["content"]
    assert batch["pixel_values"].shape == (5, 3, 96, 96)
    assert torch.equal(
        batch["pixel_values"][0],
        vlm.processor.image_processor(rows[0]["images"], return_tensors="pt")["pixel_values"][0],
    )


@given(order=st.permutations(range(5)), n=st.integers(1, 5))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_a_row_is_the_same_wherever_it_stands_and_beside_whom(vlm, data, order, n):
    """Any choice of rows in any order: each keeps its tokens, its pixels and its digest; only the padding is its neighbours'."""
    collator = PairCollator(vlm.processor)
    whole, part = collator([data[at] for at in range(5)]), collator([data[at] for at in order[:n]])
    assert part["row_ids"] == [whole["row_ids"][at] for at in order[:n]]
    for row, at in enumerate(order[:n]):
        for name in ("digests", "pixel_values"):
            assert torch.equal(part[name][row], whole[name][at])
        assert part["images"][row].tobytes() == whole["images"][at].tobytes()
        for text in ("prompt", "chosen", "rejected"):
            ids = [of[text]["ids"][i][of[text]["mask"][i].bool()] for of, i in ((part, row), (whole, at))]
            assert torch.equal(*ids)
    for text in ("prompt", "chosen", "rejected"):  # no wider than the longest
        assert part[text]["ids"].shape == part[text]["mask"].shape == (n, int(part[text]["mask"].sum(1).max()))


def llama_tokenizer(*more: tuple[str, str]):
    """A tokenizer of Llama's kind: it writes a space before every text, so a text tokenised apart begins otherwise."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "A": 4, ":": 5, "▁A": 6, "▁cow": 7, "c": 8, "o": 9, "w": 10}
    merges = [("▁", "A"), ("o", "w"), ("c", "ow"), ("▁", "cow")]
    vocabulary |= {"ow": 11, "cow": 12, ":▁": 13}
    merges = [*more, *merges]
    found = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    found.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    found.decoder = decoders.Sequence([decoders.Replace("▁", " ")])
    return PreTrainedTokenizerFast(tokenizer_object=found, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


class OnlyTokenizer:
    tokenizer = llama_tokenizer()


def test_a_response_is_tokenised_where_it_stands():
    tokenizer = OnlyTokenizer.tokenizer
    apart = tokenizer(" cow")["input_ids"]
    assert apart == [3, 7]  # a space of its own, which the model never meets after "A:"
    assert response_ids(OnlyTokenizer, "A:", "cow") == [7, 2]


def test_a_boundary_inside_a_token_is_refused():
    class Melting:
        tokenizer = llama_tokenizer((":", "▁"))  # the colon takes the space after it

    with pytest.raises(ValueError, match="melt into one token"):
        response_ids(Melting, "A:", "cow")


def test_prompt_is_the_models_own_template(vlm):
    assert prompt_text(vlm.processor, "What?") == "<s>USER: <image>\nWhat? ASSISTANT:"
    assert prompt_text(vlm.processor, "What?", image=False) == "<s>USER: What? ASSISTANT:"


def test_refusals(vlm, data):
    collator, row = PairCollator(vlm.processor, max_length=60), data[0]
    with pytest.raises(ValueError, match=rf"Row {row['id']}: \d+ tokens, the limit is 60.*raise max_length"):
        collator([row])
    with pytest.raises(ValueError, match=f"Row {row['id']}: 0 pictures"):
        collator([{**row, "images": []}])
    with pytest.raises(ValueError, match=f"Row {row['id']}: chosen: the text is empty"):
        PairCollator(vlm.processor)([{**row, "chosen": [{"role": "assistant", "content": " "}]}])


def test_without_the_end_token_an_answer_is_one_token_shorter(vlm, data):
    whole, cut = (PairCollator(vlm.processor, end_token=end)(data.select(range(3))) for end in (True, False))
    eos = vlm.processor.tokenizer.eos_token_id
    for side in SIDES:
        for row in range(3):
            ids, kept = (batch[side]["ids"][row][batch[side]["mask"][row].bool()].tolist() for batch in (whole, cut))
            assert kept == ids[:-1]
            assert ids[-1] == eos
            assert eos not in kept


def test_a_collator_and_settings_that_differ_about_the_end_are_refused(vlm, data, tmp_path):
    args = POVIDConfig.preset("pocket", output_dir=str(tmp_path), end_token=False, per_device_train_batch_size=2)
    assert POVIDTrainer(training.tiny(vlm.processor), args, data, vlm.processor).data_collator.end_token is False
    with pytest.raises(ValueError, match="data_collator has end_token True, the settings have False"):
        POVIDTrainer(training.tiny(vlm.processor), args, data, vlm.processor, data_collator=PairCollator(vlm.processor))


def test_changed_tokens():
    batch = {
        "chosen": {
            "ids": torch.tensor([[5, 6, 7, 8, 2], [5, 2, 0, 0, 0]]),
            "mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]),
        },
        "rejected": {
            "ids": torch.tensor([[5, 9, 7, 2], [5, 4, 4, 2]]),
            "mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1]]),
        },
    }
    chosen, rejected = changed_tokens(batch)
    assert chosen.tolist() == [[0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]
    assert rejected.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0]]


def test_a_row_is_read_once_and_its_faults_every_time(vlm, data, monkeypatch):
    monkeypatch.setattr(collator_module, "_KNOWN", 2)
    seen, real = [], collator_module.read
    monkeypatch.setattr(collator_module, "read", lambda *given: seen.append(given[1]["id"]) or real(*given))
    collator = PairCollator(vlm.processor)
    first = collator.read(data[0])
    assert collator.read({**data[0], "id": "another"}) == first
    assert [collator.read(data[at]) for at in (1, 0, 2, 0)][1] == first
    assert seen == [data[at]["id"] for at in (0, 1, 2)]
    collator.read(data[1])
    assert seen[3:] == [data[1]["id"]], "two rows are kept, those that were asked for last"
    assert collator.read({**data[1], "chosen": data[0]["chosen"]}).chosen == first.chosen
    for _ in range(2):
        with pytest.raises(ValueError, match="chosen and rejected are equal"):
            collator.read({**data[1], "rejected": data[1]["chosen"]})
        with pytest.raises(ValueError, match="2 pictures"):
            collator.read({**data[1], "images": data[1]["images"] * 2})
