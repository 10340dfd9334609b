"""Words of several tokens: under a tokenizer of Llama's kind, and against plain passes of the pocket model."""

from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers
from tokenizers import models as tokenizer_models
from transformers import PreTrainedTokenizerFast

from povid_lib import models
from povid_lib.analysis import language_prior, next_word, token_changes
from povid_lib.analysis.mentions import sums_of, token_at, token_ends, word_end
from povid_lib.metrics.vocabulary import coco_vocabulary
from povid_lib.world.captions import PROMPT
from povid_lib.world.captions import WORDS as WORLD
from povid_lib.world.scenes import World, scenes
from tests.support.llama_tokenizer import llama_tokenizer, pieces

BATCH = list(scenes(3, World(), "validation"))
WORDS = ("a", "and", "fork", "cup", "the", "ke", "tt", "le")


def llama_like():
    """ "▁" for a space and before a text, as in Llama's tokenizer: " fork" alone is "▁", "▁fork"; "kettle" is three tokens."""
    merges, vocab = [], {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3}
    vocab |= {letter: len(vocab) + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    for word in WORDS:
        whole = word if word in ("tt", "le") else f"▁{word}"
        for k in range(1, len(whole)):
            if whole[: k + 1] not in vocab:
                merges.append((whole[:k], whole[k]))
                vocab[whole[: k + 1]] = len(vocab)
    made = Tokenizer(tokenizer_models.BPE(vocab=vocab, merges=merges, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def test_words_inside_a_sentence_under_a_tokenizer_of_llamas_kind():
    tokenizer = llama_like()
    vlm = SimpleNamespace(processor=SimpleNamespace(tokenizer=tokenizer))
    parts = tokenizer.convert_ids_to_tokens
    assert parts(tokenizer.encode(" fork", add_special_tokens=False)) == [
        "▁",
        "▁fork",
    ]  # what is wrong with taking the first
    assert parts(models.word_tokens(vlm, "fork")) == ["▁fork"]
    assert parts(models.word_tokens(vlm, "cup")) == ["▁cup"]
    assert parts(models.word_tokens(vlm, "kettle")) == ["▁ke", "tt", "le"]
    with pytest.raises(ValueError, match="the word is empty"):
        models.word_tokens(vlm, " ")
    caption = "the kettle and a fork"
    ids = tokenizer.encode(caption, add_special_tokens=False)
    ends = token_ends(vlm, ids, caption)
    first, last = token_at(ends, 4), token_at(ends, word_end(caption, 4) - 1)
    assert parts(ids[first : last + 1]) == ["▁ke", "tt", "le"]


@pytest.fixture(scope="module")
def llama():
    return llama_tokenizer("<image>", "<pad>")


@pytest.mark.parametrize(
    ("text", "ids"),
    [  # the package's own tests, which are of the tokenizer that was released with LLaMA
        ("grabbed", [1, 2646, 1327, 287]),
        (" grabbed", [1, 29871, 2646, 1327, 287]),
        ("           grabbed", [1, 9651, 2646, 1327, 287]),
        ("\n", [1, 29871, 13]),
        ("\ttabs\t\t\t\tout here", [1, 29871, 12, 21175, 12, 12, 12, 12, 449, 1244]),
        ("ax\n####\nboo", [1, 4853, 13, 4136, 13, 833, 29877]),
        ("镇", [1, 29871, 30411]),
        ("Ꙋ🦙", [1, 29871, 237, 156, 141, 243, 162, 169, 156]),
        (
            "The llama (/ˈlɑːmə/; 🦙Spanish",
            [1, 450, 11148, 3304, 20374, 30176, 29880, 30426, 30215, 29885, 30184, 29914, 29936, 29871,
             243, 162, 169, 156, 15495, 728],
        ),
    ],
)  # fmt: skip
def test_llamas_tokenizer_is_the_released_one(llama, text, ids):
    assert len(pieces()[0]) == 32_000
    assert llama.encode(text) == ids
    assert llama.decode(ids, skip_special_tokens=True) == text
    assert llama.convert_tokens_to_ids(["<unk>", "<s>", "</s>", "<image>", "<pad>"]) == [0, 1, 2, 32_000, 32_001]


@pytest.mark.slow
def test_words_under_llamas_vocabulary(llama):
    """Every word of the pocket world and of COCO's table, within a sentence and found again in it."""
    vlm, parts = SimpleNamespace(processor=SimpleNamespace(tokenizer=llama)), llama.convert_ids_to_tokens
    assert llama.encode(" fork", add_special_tokens=False)[0] == 29871  # which all words would share
    assert parts(models.word_tokens(vlm, "dog")) == ["▁dog"]
    assert parts(models.word_tokens(vlm, "teapots")) == ["▁te", "ap", "ots"]
    assert sum(len(models.word_tokens(vlm, word)) > 1 for word in WORLD) == 57  # of 97
    for word in (*WORLD, *sorted(coco_vocabulary().words), "café", "T-shirt"):
        tokens = models.word_tokens(vlm, word)
        for before in ("There is a", "I can see two forks and a", "On the left, the"):
            caption = f"{before} {word} near it."
            ids = llama.encode(caption, add_special_tokens=False)
            at = len(llama.encode(before, add_special_tokens=False))
            assert ids[at : at + len(tokens)] == tokens, (word, parts(ids), parts(tokens))
            ends = token_ends(vlm, ids, caption)
            start = len(before) + 1
            assert token_at(ends, start) == at
            assert token_at(ends, start + len(word) - 1) == at + len(tokens) - 1
            assert llama.decode(tokens).strip() == word


def test_a_word_behind_letters_that_are_spelt_in_bytes_is_found(llama):
    vlm = SimpleNamespace(processor=SimpleNamespace(tokenizer=llama))
    caption = "A 🦙🦙 and Ꙋ by a teapot."
    ids = llama.encode(caption, add_special_tokens=False)
    ends = token_ends(vlm, ids, caption)
    assert ends == sorted(ends)
    for letter, tokens in (("🦙", 4), ("Ꙋ", 3)):
        at = token_at(ends, caption.index(letter))
        assert llama.decode(ids[at - tokens + 1 : at + 1]) == letter
    start = caption.index("teapot")
    word = ids[token_at(ends, start) : token_at(ends, start + 5) + 1]
    assert llama.convert_ids_to_tokens(word) == ["▁te", "ap", "ot"]


def test_words_of_the_pocket_world_are_one_token(vlm):
    for word in ("fork", "Yes", "presents"):
        assert models.word_tokens(vlm, word) == vlm.processor.tokenizer.encode(f" {word}", add_special_tokens=False)


@pytest.mark.slow
def test_a_words_log_probability_is_that_of_its_tokens_one_after_the_other(vlm):
    tokens = [models.word_tokens(vlm, w)[0] for w in ("fork", "cup", "the", "left")]
    words = [tokens[:1], tokens[:2], tokens[:3], [tokens[3], tokens[0]]]
    batch = models.encode(
        vlm, [s.image() for s in BATCH], [models.chat(vlm, q) for q in (PROMPT, "What is it?", PROMPT)]
    )
    found = models.rest_logps(vlm, batch, words)
    assert found.shape == (3, 4)
    assert found[:, 0].tolist() == [0, 0, 0]
    for row in range(3):
        for column, ids in enumerate(words):
            more = torch.tensor(ids)[None]
            one = {key: value[row : row + 1] for key, value in batch.items()}
            one["input_ids"] = torch.cat([one["input_ids"], more], 1)
            one["attention_mask"] = torch.cat([one["attention_mask"], torch.ones_like(more)], 1)
            with torch.inference_mode():
                logps = vlm.model(**one).logits[0, -len(ids) - 1 : -1].log_softmax(-1)
            plain = sum(float(logps[k, ids[k]]) for k in range(1, len(ids)))
            assert float(found[row, column]) == pytest.approx(plain, abs=1e-4)


def test_word_probs_of_whole_words_are_the_next_tokens(vlm):
    picture, so_far, words = BATCH[0].image(), "A fork and a", ["cup", "fork"]
    probs = models.next_token_probs(vlm, picture, PROMPT, so_far)
    assert models.word_probs(vlm, picture, PROMPT, so_far, words).tolist() == [
        float(probs[models.word_tokens(vlm, w)[0]]) for w in words
    ]


def split_in_two(monkeypatch, vlm, *words):
    """As if each of the words were two tokens, "the" and its own: likelier words then come in through a less likely door."""
    whole, the = models.word_tokens, models.word_tokens(vlm, "the")
    monkeypatch.setattr(models, "word_tokens", lambda vlm, word: the * (word in words) + whole(vlm, word))
    return the[0]


def test_probabilities_over_next_words_sum_to_one_with_words_of_several_tokens(vlm, monkeypatch):
    asked = next_word.dilemmas(list(scenes(60, World(), "validation")))[:3]
    split_in_two(monkeypatch, vlm, *(d.truth for d in asked))
    found = next_word.next_words(vlm, asked, lambda s: s.image())
    assert sum(found.probability.values()) == pytest.approx([1] * 3)
    texts = [f"{models.chat(vlm, next_word.SHORT_PROMPTS[0])} {d.so_far}" for d in asked]
    batch = models.encode(vlm, [d.scene.image() for d in asked], texts)
    first = vlm.model(**batch, logits_to_keep=1).logits[:, -1].softmax(-1)
    for row, d in enumerate(asked):
        ids = [models.word_tokens(vlm, word) for word, kind in next_word.WORDS.items() if kind == d.truth]
        whole = first[row, [w[0] for w in ids]] * models.rest_logps(vlm, batch, ids)[row].exp()
        assert found.probability["truth"][row] == pytest.approx(float(whole.sum()), rel=1e-4)


def test_yes_and_no_of_several_tokens(vlm, monkeypatch):
    pictures, prompts = [BATCH[0].image()], ["Is there a fork?"]
    words = [models.word_tokens(vlm, w) for w in ("Yes", "No")]
    longer = [words[0] + words[1], words[1]]
    plain, more = (language_prior.word_logits(vlm, pictures, prompts, of)[0] for of in (words, longer))
    batch = models.encode(vlm, pictures, [models.chat(vlm, prompts[0])])
    assert float(more[0] - plain[0]) == pytest.approx(float(models.rest_logps(vlm, batch, longer)[0, 0]), abs=1e-5)
    assert more[1] == plain[1]


def test_sorting_tokens_is_refused_where_words_are_parted(vlm, monkeypatch):
    split_in_two(monkeypatch, vlm, "fork")
    with pytest.raises(ValueError, match="writes 1 words of the pocket world in several tokens, 'fork' first"):
        token_changes.sorts(vlm, BATCH[:1], ["There is a fork."], lambda s: s.image())


def test_sums_of_parts():
    values = torch.tensor([1.0, 2.0, 4.0])
    assert sums_of(values, [slice(0, 1), slice(1, 3)]).tolist() == [1, 6]
    assert sums_of(values, []).tolist() == []
    assert word_end("a fork.", 2) == 6
