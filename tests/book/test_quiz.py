"""The quiz at the end of a chapter, in the static page: by keyboard, in words, and true to what its questions say."""

import json
from pathlib import Path

import pytest

from scripts.chapter_form import NOT_YET

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
PAGES = [f"notebooks/{path.stem}.html" for path in NOTEBOOKS if path.stem not in NOT_YET]


def questions(page):
    """What the page's quiz was given."""
    for text in page.locator('script[type="application/vnd.jupyter.widget-state+json"]').all_text_contents():
        for model in json.loads(text)["state"].values():
            spec = json.loads(model["state"].get("spec") or "{}")
            if "questions" in spec:  # a key, not a word of another widget's labels
                return spec["questions"]
    raise AssertionError("there is no quiz in the page")


@pytest.fixture(params=PAGES)
def quiz(request, open_page):
    page = open_page(request.param)
    page.wait_for_selector(".quiz-question")
    return page


def test_every_choice_gets_its_own_feedback_and_nothing_tells_before(quiz):
    asked = questions(quiz)
    boxes = quiz.locator(".quiz-question")
    assert boxes.count() == len(asked) >= 3
    for i, question in enumerate(asked):
        box = boxes.nth(i)
        assert box.locator("legend").inner_text() == f"{i + 1}. {question['text'].replace('`', '')}"
        assert box.get_by_role("radio").count() == len(question["choices"])
        assert box.get_by_role("button").is_disabled()
        for k, (words, feedback) in enumerate(question["choices"]):
            choice = box.get_by_role("radio").nth(k)
            assert choice.evaluate("e => e.labels[0].innerText.trim()") == words.replace("`", "")
            choice.check()
            assert box.get_by_role("status").inner_text() == ""  # until it is asked for
            box.get_by_role("button", name=f"Check question {i + 1}").click()
            told = "Right." if k == question["right"] else "Not this one."
            assert box.get_by_role("status").inner_text() == f"{told} {feedback}".replace("`", "")
    first = sum(question["right"] == 0 for question in asked)
    assert quiz.locator(".quiz-score").inner_text().startswith(f"{first} of {len(asked)} right at the first try")
    assert quiz.errors == []


def test_a_keyboard_is_enough(quiz):
    [question, *_] = questions(quiz)
    box = quiz.locator(".quiz-question").first
    box.get_by_role("radio").first.focus()
    for _ in range(question["right"]):
        quiz.keyboard.press("ArrowDown")
    if question["right"] == 0:
        quiz.keyboard.press("Space")
    quiz.keyboard.press("Tab")
    quiz.keyboard.press("Enter")
    assert box.get_by_role("status").inner_text().startswith("Right.")
    assert box.get_by_role("status").get_attribute("data-right") == "true"


def test_the_code_with_the_answers_is_not_in_the_page(quiz):
    assert "Question(" not in quiz.locator(".bd-article").inner_text()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_quiz_fits_a_phone_and_axe_finds_nothing_when_it_is_answered(open_page, path, theme):
    page = open_page(path, color_scheme=theme, viewport={"width": 390, "height": 800})
    page.wait_for_selector(".quiz-question")
    for box in page.locator(".quiz-question").all():
        box.get_by_role("radio").first.check()
        box.get_by_role("button").click()
    cut = page.eval_on_selector_all(
        ".quiz *", "all => all.filter(e => e.getBoundingClientRect().right > innerWidth).length"
    )
    assert cut == 0
    page.add_script_tag(path=Path(__file__).resolve().parents[2] / "assets/vendor/axe.min.js")
    found = page.evaluate("axe.run('.quiz').then(r => r.violations.map(v => [v.id, v.nodes[0].html]))")
    assert found == []
