"""All that the library does with a model, on a LLaVA-1.5 that is real in everything but its weights, in float32 and bfloat16."""

import json
from dataclasses import replace

import pytest
import torch
from transformers.quantizers.quantizers_utils import should_convert_module

from povid_lib import models
from povid_lib.analysis import attention, occlusion
from povid_lib.analysis.factors import captions_naming
from povid_lib.analysis.mentions import mention_rows
from povid_lib.data.trl_dataset import to_trl
from povid_lib.evaluation import evaluate
from povid_lib.evaluation.answers import Asking
from povid_lib.metrics.vocabulary import coco_vocabulary
from povid_lib.models.chat_template import response_ids
from povid_lib.training import recipe
from povid_lib.training.collator import PairCollator
from povid_lib.training.config import POVIDConfig
from povid_lib.training.trainer import POVIDTrainer
from povid_lib.world.captions import PROMPT
from povid_lib.world.scenes import scenes
from tests.support import standin as made
from tests.support.training import pair_file

pytestmark = pytest.mark.slow
BATCH = list(scenes(2, split="validation"))
PICTURES = [scene.image() for scene in BATCH]
TYPES = (torch.float32, torch.bfloat16)


@pytest.fixture(scope="module", params=TYPES, ids=str)
def llava(request, standin):
    return models.load(standin, dtype=request.param, rows=2)


def test_it_is_as_published(llava):
    config, tokenizer = llava.model.config, llava.processor.tokenizer
    assert tokenizer.convert_tokens_to_ids(["<unk>", "<s>", "</s>", "<image>", "<pad>"]) == [0, 1, 2, 32000, 32001]
    assert len(tokenizer) == 32002
    assert config.text_config.vocab_size == llava.model.get_input_embeddings().weight.shape[0] == 32064
    assert (config.vision_feature_layer, config.vision_feature_select_strategy) == (-2, "default")
    assert (llava.side, llava.image_tokens, llava.is_pocket) == (24, 576, False)
    prompt = models.chat(llava, PROMPT)
    assert prompt == "USER: <image>\nDescribe this image. ASSISTANT:"
    row = models.encode(llava, PICTURES[:1], [prompt])
    assert row["pixel_values"].shape == (1, 3, 336, 336)
    span = models.image_span(llava, row["input_ids"][0])
    assert span.stop - span.start == 576
    assert tokenizer.decode(row["input_ids"][0, span.stop :]) == "\nDescribe this image. ASSISTANT:"


def test_its_answers_are_sentences_that_end(llava):
    answers = models.generate(llava, PICTURES, PROMPT)
    for answer in answers:
        assert answer.text.split(",")[0] in ("Yes", "No")
        assert answer.text.endswith(".")
        assert len(answer.tokens) < 20
    alone = models.generate(llava, PICTURES, PROMPT, batch_size=1)
    if llava.model.dtype == torch.float32:
        assert [a.text for a in alone] == [a.text for a in answers]
        read = models.answer_logps(llava, PICTURES, [PROMPT] * 2, [a.text for a in answers])
        for answer, logps in zip(answers, read, strict=True):
            assert len(logps) == len(answer.tokens)
            torch.testing.assert_close(torch.tensor(answer.logprobs), logps, atol=2e-4, rtol=0)


def test_logits_are_kept_at_the_answers_only_and_say_what_all_of_them_say(llava):
    texts = ["Yes, a person and one kettle.", "No."]
    rows = list(models.answer_distributions(llava, PICTURES, [PROMPT] * 2, texts))
    prompt = models.chat(llava, PROMPT)
    batch = models.encode(llava, PICTURES, [f"{prompt} {text}" for text in texts])
    with torch.inference_mode():
        whole = llava.model(**batch).logits.float()
    for number, (text, (ids, logps)) in enumerate(zip(texts, rows, strict=True)):
        wanted = response_ids(llava.processor, prompt, text)[:-1]
        assert ids.tolist() == wanted
        own = whole[number, -len(wanted) - 1 : -1].log_softmax(-1)
        torch.testing.assert_close(logps, own, atol=1e-4 if llava.model.dtype == torch.float32 else 0.1, rtol=0)


def test_single_passes_keep_no_cache_and_few_logits(llava, monkeypatch):
    kept, forward = [], llava.model.forward

    def watched(*args, **inputs):
        out = forward(*args, **inputs)
        kept.append((out.logits.shape[1], out.past_key_values))
        return out

    monkeypatch.setitem(vars(llava.model), "forward", watched)
    answer = "Yes, a person and one kettle."
    models.next_token_probs(llava, PICTURES[0], PROMPT)
    models.word_probs(llava, PICTURES[0], PROMPT, "Yes, a", ["kettle", "dog"])
    models.answer_logps(llava, PICTURES, [PROMPT] * 2, [answer] * 2)
    attention.read(llava, PICTURES[0], PROMPT, answer)
    attention.word_map(llava, PICTURES[0], PROMPT, answer, "kettle", "gradient")
    hidden = torch.zeros(3, 24, 24, dtype=torch.bool)
    occlusion.logps_without(llava, PICTURES[0], PROMPT, answer, "kettle", hidden)
    assert len(kept) > 6
    assert all(cache is None for _, cache in kept)
    assert max(count for count, _ in kept) < 20


def test_attention_and_occlusion_of_a_word_of_several_tokens(llava):
    answer, word = "Yes, a person and one kettle.", "kettle"
    assert len(models.word_tokens(llava, word)) > 1
    reading = attention.read(llava, PICTURES[0], PROMPT, answer)
    assert reading.rows.shape[:2] == (2, 4)
    torch.testing.assert_close(reading.rows.sum(-1), torch.ones(reading.rows.shape[:-1]), atol=0.02, rtol=0)
    for kind in ("raw", "rollout", "gradient"):
        found = attention.word_map(llava, PICTURES[0], PROMPT, answer, word, kind)
        assert found.shape == (24, 24)
        assert bool(found.isfinite().all())
    hidden = torch.stack([torch.zeros(24, 24, dtype=torch.bool), torch.ones(24, 24, dtype=torch.bool)])
    with_it, without = occlusion.logps_without(llava, PICTURES[0], PROMPT, answer, word, hidden).tolist()
    assert with_it != without


def test_mentions_are_read(llava):
    words = coco_vocabulary()
    captions = ["Yes, a person and one traffic light.", "No, a dog and one cat."]
    naming = captions_naming([words.mentioned(caption) for caption in captions])
    found = mention_rows(llava, PICTURES, None, PROMPT, captions, [("person",), ("dog",)], words, naming)
    assert [row.name for row in found] == ["person", "traffic light", "dog", "cat"]
    assert all(row.logp < 0 <= row.distance <= 1 for row in found)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("phase", ["text", "both"])
def test_a_step_of_either_phase(standin, tmp_path, dtype, phase):
    llava = models.load(standin, dtype=dtype)
    data = to_trl(pair_file(tmp_path, 2), cache=tmp_path / "datasets")
    batch = PairCollator(llava.processor)([data[0], data[1]])
    assert all(bool((row == 32000).sum() == 576) for row in batch["prompt"]["ids"])
    settings = POVIDConfig.preset(
        "paper", output_dir=str(tmp_path / "run"), dispreference=phase, per_device_train_batch_size=2, max_steps=1, lora_rank=4,
        lora_alpha=8, save_strategy="no", disable_tqdm=True, logging_steps=1, use_cpu=True, bf16=False,
    )  # fmt: skip
    trainer = POVIDTrainer(llava.model, settings, data, llava.processor)
    trainer.train()
    [logged] = [row for row in trainer.state.log_history if "loss" in row]
    assert 0 < logged["loss"] < 1
    assert logged["grad_norm"] > 0


def test_it_is_evaluated_on_files(standin, tmp_path):
    for number, picture in enumerate(PICTURES):
        picture.save(tmp_path / f"{number}.png")
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"0": ["person"], "1": ["dog", "cat"]}))
    how = Asking(rows=1, dtype="bfloat16", prompt="What is here?", tokens=9)
    source = evaluate.Source(None, str(standin), tmp_path, tmp_path / "said", how)
    found = evaluate.evaluate_truth_file(truth, None, coco_vocabulary(), source)
    assert found.about["prompt"] == "What is here?"
    assert found.about["decoding"] == {
        "tokens": 9,
        "dtype": "bfloat16",
        "four_bit": False,
        "hint": None,
        "end_bias": 0.0,
    }
    assert found.data["chair"].chair_s.n == 2
    ended = evaluate.evaluate_truth_file(
        truth, None, coco_vocabulary(), replace(source, how=replace(how, end_bias=1e4))
    )
    assert ended.about["decoding"]["end_bias"] == 1e4
    assert ended.data["chair"].length.value == 0  # nothing but the end, and not what was kept of the run before
    assert found.data["chair"].length.value > 0
    polls = [evaluate.PopeQuestion("a", "0", "Is there a dog in the image?", False)]
    for hint, told in ((None, evaluate.YES_NO_HINT), ("Yes or no?", "Yes or no?"), ("", None)):
        said = evaluate.answered_questions(polls, replace(source, how=Asking(hint=hint)))
        assert said.about["decoding"]["hint"] == told
        assert said.texts["a"].startswith(("Yes", "No"))


def test_four_bits_change_the_language_models_layers_alone():
    told = models.llava.four_bit_settings(torch.float16)
    assert told["bnb_4bit_compute_dtype"] == torch.float16
    model = made.standin_config()
    with torch.device("meta"):
        whole = made.LlavaForConditionalGeneration(model)
    linear = [name for name, module in whole.named_modules() if isinstance(module, torch.nn.Linear)]
    changed = [name for name in linear if should_convert_module(name, told["llm_int8_skip_modules"])]
    assert len(changed) == 7 * model.text_config.num_hidden_layers
    assert all(name.startswith("model.language_model.layers.") for name in changed)


def test_qlora_without_a_gpu_is_refused_before_anything_is_made(standin, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "run"
    wanted = recipe.Recipe(out=str(out), model=str(standin), offline={"n": 2}, four_bit=True)
    with pytest.raises(ValueError, match=r"four_bit needs a GPU, and there is none here"):
        recipe.run(wanted)
    assert not (out / "pairs.jsonl").exists()
    with pytest.raises(ValueError, match="four_bit needs a GPU"):
        models.load(standin, device="cuda", four_bit=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="four_bit needs bitsandbytes, which is not installed"):
        models.check_four_bit()
