"""The widget of chapter 08 in the static page: two trainings side by side, by keyboard, with the numbers of the results."""

import re

from povid_lib.files import results

PAGE = "notebooks/08_training.html"
METHODS = ("text", "both", "sft", "dpo", "shuffled", "own")


def number(text):
    return float(text.replace("−", "-"))


def after(name):
    measured = [seed["typical"]["chair_s"]["value"] for seed in results.read("tuning")["seeds"][name]]
    return sum(measured) / len(measured)


def test_every_training_stands_beside_what_became_of_its_captions(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".curves svg")
    select, status = page.locator(".curves-panel select").first, page.locator(".curves-panel [role=status]").first
    assert select.locator("option").count() == len(METHODS)
    for at, name in enumerate(METHODS):
        select.select_option(str(at))
        said = re.search(r"false object: (\S+) before, (\S+) after", status.inner_text())
        assert abs(number(said[2]) - after(name)) < 0.0051
        assert page.locator(".curves-panel").first.locator("svg").count() == (name not in ("sft", "own"))
    page.locator(".curves-top select").select_option("1")  # SFT has log-probabilities, if no reference
    assert page.locator(".curves-panel").first.locator("svg").count() == 1
    assert page.errors == []


def test_the_slider_reads_the_log_and_both_panels_follow(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".curves svg")
    log = [e for e in results.read("tuning")["curves"]["dpo"][0] if "loss" in e]
    page.locator(".curves-top select").select_option("3")
    slider = page.locator(".curves input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    texts = page.locator(".curves-panel [role=status]").all_inner_texts()
    assert all(f"Step {log[0]['step']}: loss 0.693" in text for text in texts)
    page.keyboard.press("End")
    texts = page.locator(".curves-panel [role=status]").all_inner_texts()
    runs = [[e for e in run if "loss" in e][-1]["loss"] for run in results.read("tuning")["curves"]["dpo"]]
    assert f"loss {sum(runs) / len(runs):.3f}" in texts[1]
    label = page.locator(".curves-panel svg").nth(1).get_attribute("aria-label")
    assert "balanced DPO" in label
    assert page.errors == []
