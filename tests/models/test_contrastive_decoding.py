"""Contrastive decoding: equal to the usual one without contrast, and to a slow computation with it."""

import pytest
import torch

from povid_lib import models
from povid_lib.data.corrupt_image import diffuse
from povid_lib.models import contrastive_decoding
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World

QUESTIONS = ["Describe this image.", "What can you see in this picture?", "Describe this image in detail."]


@pytest.fixture(scope="module")
def shown():
    return [s.image() for s in scenes(3, World(), "validation")]


@pytest.mark.slow
def test_without_contrast_it_is_greedy(vlm, shown):
    plain = models.generate(vlm, shown, QUESTIONS)
    found = contrastive_decoding.generate(vlm, shown, QUESTIONS, alpha=0.0)
    assert [a.text for a in found] == [a.text for a in plain]


@pytest.mark.slow
@torch.inference_mode()
def test_every_token_is_the_one_that_a_slow_computation_gives(vlm, shown):
    """Each token anew from whole passes over both pictures, without any cache."""
    alpha, beta, step = 1.0, 0.1, 700
    found = contrastive_decoding.generate(vlm, shown, QUESTIONS, alpha=alpha, beta=beta, step=step, max_new_tokens=12)
    batch = models.encode(vlm, shown, [models.chat(vlm, q) for q in QUESTIONS])
    noised = diffuse(batch["pixel_values"], step, torch.Generator().manual_seed(0))
    assert [a.text for a in found] != [a.text for a in models.generate(vlm, shown, QUESTIONS, max_new_tokens=12)]
    ids, mask = batch["input_ids"], batch["attention_mask"]
    end = vlm.processor.tokenizer.eos_token_id
    texts: list[list[int]] = [[], [], []]
    for _ in range(12):
        logps = [
            vlm.model(input_ids=ids, attention_mask=mask, pixel_values=p).logits[:, -1].log_softmax(-1)
            for p in (batch["pixel_values"], noised)
        ]
        score = 2 * logps[0] - logps[1]
        score[logps[0].exp() < beta * logps[0].exp().max(-1, keepdim=True).values] = -torch.inf
        new = score.argmax(-1)
        for row, token in zip(texts, new.tolist(), strict=True):
            if end not in row:
                row.append(token)
        ids, mask = torch.cat([ids, new[:, None]], 1), torch.cat([mask, mask.new_ones(3, 1)], 1)
    slow = [vlm.processor.tokenizer.decode([t for t in row if t != end]).strip() for row in texts]
    assert [a.text for a in found] == slow


def test_refusals(vlm, shown):
    for settings in ({"alpha": -1.0}, {"beta": 0.0}, {"beta": 1.5}):
        with pytest.raises(ValueError, match="alpha must not be negative, beta lies in"):
            contrastive_decoding.generate(vlm, shown, QUESTIONS, **settings)
    with pytest.raises(ValueError, match="step is 1000"):
        contrastive_decoding.generate(vlm, shown, QUESTIONS, step=1000)
