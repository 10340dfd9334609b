"""The widget of chapter 08 in the static page: two trainings side by side, by keyboard."""

import re

PAGE = "notebooks/08_training.html"
LABELS = ["right labels", "random labels"]


def number(text):
    return float(text.replace("−", "-"))


def test_both_trainings_are_shown_with_what_became_of_the_captions(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".curves svg")
    panels = page.locator(".curves-panel")
    select = panels.first.locator("select")
    assert select.locator("option").all_inner_texts() == LABELS
    after = []
    for at in range(len(LABELS)):
        select.select_option(str(at))
        said = re.search(r"false object: (\S+) before, (\S+) after", panels.first.locator("[role=status]").inner_text())
        before, now = (number(text) for text in said.groups())
        assert 0 <= now <= 1
        after.append(now)
    assert before > after[0] < after[1]
    assert page.errors == []


def test_the_slider_reads_the_log_and_both_panels_follow(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".curves svg")
    page.locator(".curves-top select").select_option("3")
    slider = page.locator(".curves input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    texts = page.locator(".curves-panel [role=status]").all_inner_texts()
    assert all("Step 2: loss 0.693" in text for text in texts)
    page.keyboard.press("End")
    texts = page.locator(".curves-panel [role=status]").all_inner_texts()
    assert all(re.match(r"Step 80: loss 0\.[56]\d\d", text) for text in texts)
    label = page.locator(".curves-panel svg").nth(1).get_attribute("aria-label")
    assert "random labels" in label
    assert page.errors == []
