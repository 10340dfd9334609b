"""The widget of chapter 01 in the static page: no kernel, and the same numbers as PyTorch."""

import re

import numpy as np
import pytest
import torch

from povid_lib import models
from povid_lib.widgets.look import PROMPT

PAGE = "notebooks/01_inside_a_vlm.html"


@pytest.fixture
def look(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".look .look-words button")
    return page


def probabilities(page):
    return page.eval_on_selector_all(".look-words button", "all => all.map(b => Number(b.dataset.percent))")


def settle(page):
    page.wait_for_selector(".look-bars ol li", timeout=60_000)
    page.wait_for_function("document.querySelector('.look-status').textContent === ''")


def test_model_in_the_page_equals_pytorch(look):
    """Cover everything, and compare each word's probability with PyTorch's on the same pixels."""
    look.get_by_role("button", name="Cover all").click()
    settle(look)
    words = look.eval_on_selector_all(".look-words button span:first-child", "all => all.map(s => s.textContent)")
    rgba = look.evaluate(
        "(() => { const c = document.querySelector('.look-picture canvas');"
        " return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data) })()"
    )
    pixels = np.array(rgba, dtype=np.float32).reshape(96, 96, 4)[..., :3] / 127.5 - 1
    vlm = models.load("pocket")
    text = re.sub(r" ([.,])", r"\1", " ".join(words))
    row = f"{models.chat(vlm, PROMPT).replace('<image>', '<image>' * 36)} {text}"
    ids = vlm.processor.tokenizer(row, return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = vlm.model(input_ids=ids, pixel_values=torch.from_numpy(pixels).permute(2, 0, 1)[None]).logits[0]
    probs = logits[:-1].softmax(-1).gather(1, ids[0, 1:, None])[-len(words) :, 0]
    assert np.abs(probs.numpy() * 100 - probabilities(look)).max() <= 0.51


def test_covering_and_restoring(look):
    """True words lose probability when everything is covered, and get it back."""
    true_words = look.eval_on_selector_all(".look-words button", "all => all.map(b => b.dataset.verdict === 'true')")
    before = np.array(probabilities(look))[true_words]
    assert len(before) > 0
    look.get_by_role("button", name="Cover all").click()
    settle(look)
    look.wait_for_timeout(500)
    assert np.array(probabilities(look))[true_words].mean() < before.mean() - 10
    look.get_by_role("button", name="As it was").click()
    look.wait_for_timeout(2500)
    assert np.abs(np.array(probabilities(look))[true_words] - before).max() <= 1


def test_one_patch_is_one_patch(look):
    changed = """(before) => { const c = document.querySelector('.look-picture canvas');
        const now = Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data);
        return before ? now.flatMap((v, i) => v !== before[i] ? [Math.floor(i / 4)] : []) : now }"""
    original = look.evaluate(changed, None)
    look.get_by_role("button", name="Cover all").click()
    settle(look)
    inked = look.evaluate(changed, original)
    x, y = inked[len(inked) // 2] % 96 // 16, inked[len(inked) // 2] // 96 // 16
    look.get_by_role("button", name="As it was").click()
    look.locator(".look-patches button").nth(y * 6 + x).click()
    look.wait_for_timeout(1500)
    touched = look.evaluate(changed, original)
    assert touched
    assert {(i % 96 // 16, i // 96 // 16) for i in touched} == {(x, y)}


def test_it_answers_again(look):
    look.get_by_role("button", name="Another picture").click()
    settle(look)
    old = look.locator(".look-words").inner_text()
    look.get_by_role("button", name="Let it answer again").click()
    look.wait_for_function("old => document.querySelector('.look-words').innerText !== old", arg=old, timeout=60_000)
    settle(look)
    assert look.locator(".look-words button").count() > 3


def test_works_by_keyboard(look):
    patch = look.locator(".look-patches button").first
    patch.focus()
    look.keyboard.press("Enter")
    settle(look)
    assert patch.get_attribute("aria-pressed") == "true"


def test_every_scene_can_be_chosen(look):
    select = look.locator(".look select")
    titles = select.locator("option").all_inner_texts()
    assert len(titles) >= 5
    for i in range(len(titles)):
        select.select_option(str(i))
        look.wait_for_timeout(200)
        assert look.locator(".look-words button").count() > 3
