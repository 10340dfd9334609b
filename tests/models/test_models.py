"""The pocket model as an ordinary LLaVA: loading, asking, and errors that say what to do."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaConfig, LlavaForConditionalGeneration

from povid_lib import models
from povid_lib.models import llava
from povid_lib.pocket.data import encode_chat, pixels
from povid_lib.world.captions import mentioned
from povid_lib.world.questions import Question
from povid_lib.world.scenes import draw, scenes
from tests.support import training

SCENES = list(scenes(6, split="validation"))
IMAGES = [s.image() for s in SCENES]
QUESTION = "Describe this image."


def test_loads_with_plain_transformers_and_gives_the_same_logits(vlm):
    model = AutoModelForImageTextToText.from_pretrained(llava.FOLDER, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(llava.FOLDER)
    batch = processor(images=IMAGES[:1], text=[models.chat(vlm, QUESTION)], return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, vlm.model(**batch).logits)


def test_size_and_files(vlm):
    assert 3e6 <= sum(p.numel() for p in vlm.model.parameters()) <= 8e6
    assert sum(f.stat().st_size for f in llava.FOLDER.iterdir()) <= 20 * 2**20
    assert {f.suffix for f in llava.FOLDER.iterdir()} <= {".json", ".safetensors", ".jinja", ".jsonl"}


def test_a_pocket_model_is_known_by_its_mark(vlm, tmp_path):
    """Not by its size: another LLaVA as small is none, and what is trained from the pocket model and saved is one."""
    assert vlm.is_pocket
    assert models.load_tuned().is_pocket
    with pytest.raises(ValueError, match="belongs to the pocket model, and not to 'llava-hf"):
        models.load_tuned("llava-hf/llava-1.5-7b-hf")
    vlm.model.config.save_pretrained(tmp_path)
    config = LlavaConfig.from_pretrained(tmp_path)
    small = models.VLM("small", LlavaForConditionalGeneration._from_config(config), vlm.processor)
    assert small.is_pocket
    del config.povid_pocket
    assert not small.is_pocket


def test_processor_sees_what_training_saw(vlm):
    batch = models.encode(vlm, IMAGES, [models.chat(vlm, QUESTION)] * 6)
    trained_on = pixels([draw(s)[0] for s in SCENES])
    assert torch.allclose(batch["pixel_values"], trained_on, atol=1e-6)


def test_template_equals_training_tokens(vlm):
    """Training wrote token rows by hand; the published template must give the same ids, question and answer."""
    tokenizer = vlm.processor.tokenizer
    answer = "There is a small red car at the top left."
    trained, answers = encode_chat(tokenizer, [Question("caption", QUESTION, answer)])
    batch = models.encode(vlm, IMAGES[:1], [models.chat(vlm, QUESTION) + f" {answer}</s>"])
    assert batch["input_ids"][0].tolist() == trained
    assert tokenizer.decode([t for t, a in zip(trained, answers, strict=True) if a]) == f" {answer}</s>"


def test_every_world_word_is_one_token(vlm):
    from povid_lib.world.captions import WORDS

    assert all(len(vlm.processor.tokenizer.encode(f" {word}")) == 1 for word in WORDS)
    assert vlm.processor.tokenizer.decode(vlm.processor.tokenizer.encode("A żółw, 2 ☕!")) == "A żółw, 2 ☕!"


def test_image_span(vlm):
    ids = models.encode(vlm, IMAGES[:1], [models.chat(vlm, QUESTION)])["input_ids"][0]
    span = models.image_span(vlm, ids)
    assert span.stop - span.start == 36
    assert (ids[span] == vlm.model.config.image_token_id).all()
    with pytest.raises(ValueError, match="no image tokens"):
        models.image_span(vlm, torch.tensor([1, 5, 6]))


@pytest.mark.slow
def test_batched_answers_equal_single_ones(vlm):
    together = models.generate(vlm, IMAGES, QUESTION, batch_size=6)
    alone = [models.generate(vlm, [image], QUESTION)[0] for image in IMAGES]
    assert [a.text for a in together] == [a.text for a in alone]
    for a, b in zip(together, alone, strict=True):
        assert np.allclose(a.logprobs, b.logprobs, atol=1e-4)


@pytest.mark.slow
def test_scores_are_the_teacher_forced_log_probabilities(vlm):
    answers = models.generate(vlm, IMAGES, QUESTION)
    forced = models.answer_logps(vlm, IMAGES, [QUESTION] * 6, [a.text for a in answers])
    for answer, logps in zip(answers, forced, strict=True):
        assert len(answer.tokens) == len(logps)
        assert np.allclose(answer.logprobs, logps, atol=1e-4)
        assert all(lp <= 0 for lp in answer.logprobs)


def test_next_token_probs_is_a_distribution_and_agrees_with_generation(vlm):
    answer = models.generate(vlm, IMAGES[:1], QUESTION)[0]
    probs = models.next_token_probs(vlm, IMAGES[0], QUESTION)
    assert float(probs.sum()) == pytest.approx(1, abs=1e-5)
    token, p = models.top_tokens(vlm, probs, 1)[0]
    assert token == answer.tokens[0]
    assert math.log(p) == pytest.approx(answer.logprobs[0], abs=1e-4)


def test_the_picture_matters(vlm):
    one, other = (models.next_token_probs(vlm, image, QUESTION, "There is a large") for image in IMAGES[:2])
    assert float((one - other).abs().sum()) > 0.05


def test_other_sizes_and_modes_are_accepted(vlm):
    odd = [Image.new("L", (50, 200), 240), Image.new("RGBA", (300, 40), (255, 0, 0, 128)).convert("RGB")]
    assert len(models.generate(vlm, [odd[1], odd[0].convert("RGB")], QUESTION, max_new_tokens=5)) == 2


def test_without_a_picture(vlm):
    assert len(models.generate(vlm, None, [QUESTION, "Is there a fork?"], max_new_tokens=8)) == 2


class TestErrors:
    def test_unknown_model(self):
        with pytest.raises(FileNotFoundError, match="neither a folder"):
            models.load("/nowhere/at/all")

    def test_other_family(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
        with pytest.raises(ValueError, match="type 'llama'"):
            models.load(tmp_path)

    def test_four_bit_needs_a_gpu(self):
        with pytest.raises(ValueError, match="needs a GPU"):
            models.load("pocket", device="cpu", four_bit=True)

    def test_pictures_and_prompts_must_match(self, vlm):
        with pytest.raises(ValueError, match="2 pictures for 1 prompts"):
            models.encode(vlm, IMAGES[:2], [models.chat(vlm, QUESTION)])

    def test_two_bos_tokens_are_refused(self, vlm):
        with pytest.raises(ValueError, match="BOS"):
            models.encode(vlm, IMAGES[:1], ["<s>" + models.chat(vlm, QUESTION)])


@pytest.mark.slow
def test_the_tuned_model_hallucinates_less_and_has_the_same_eyes(vlm):
    tuned = models.load_tuned()
    batch = list(scenes(24, split="validation"))
    texts = [[a.text for a in models.generate(m, [s.image() for s in batch], QUESTION)] for m in (vlm, tuned)]
    before, after = (
        sum(bool(set(mentioned(t)) - set(s.names)) for s, t in zip(batch, of, strict=True)) for of in texts
    )
    assert after < before / 2
    changed = {
        name
        for (name, old), (_, new) in zip(vlm.model.named_parameters(), tuned.model.named_parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert len(changed) == 4 * 7  # the linear layers of the language model, and nothing else
    assert all(".language_model.layers." in name and "proj" in name for name in changed)


def test_a_model_is_compared_with_what_a_training_made_of_it_only(vlm):
    models.check_tuned(vlm, models.load_tuned())
    other = copy.deepcopy(vlm.model)
    with torch.no_grad():
        next(other.model.vision_tower.parameters()).view(-1)[0] += 1
    small = training.tiny(vlm.processor)
    for foreign in (other, small):
        with pytest.raises(ValueError, match="'elsewhere' was not trained from"):
            models.check_tuned(vlm, models.VLM("elsewhere", foreign, vlm.processor))


@pytest.mark.parametrize("file", ["config.json", "processor_config.json"])
def test_code_in_a_models_folder_is_never_run_and_nobody_is_asked(tmp_path, monkeypatch, file):
    """The folder asks for its own classes; whoever loaded them would write a file."""
    for shipped in llava.FOLDER.iterdir():
        (tmp_path / shipped.name).write_bytes(shipped.read_bytes())
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass Own: ...\n", encoding="utf-8")
    told = json.loads((tmp_path / file).read_text(encoding="utf-8"))
    classes = ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor")
    told |= {"auto_map": dict.fromkeys(classes, "own.Own"), "model_type": "own", "processor_class": "Own"}
    (tmp_path / file).write_text(json.dumps(told), encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    with pytest.raises(ValueError, match="cannot be read"):
        models.load(tmp_path)
    assert not ran.exists()
