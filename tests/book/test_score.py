"""The widget of chapter 02 in the static page: its numbers are those of ``povid_lib.metrics.chair``."""

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest

from povid_lib.evaluation.held_out import held_out
from povid_lib.metrics.chair import chair, score_caption
from povid_lib.world.captions import mentioned

PAGE = "notebooks/02_measuring.html"


@pytest.fixture
def score(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".score tbody tr")
    return page


def captions(page):
    """Every scene's names and caption, as the widget shows them."""
    select, found = page.locator(".score select"), []
    for i in range(select.locator("option").count()):
        select.select_option(str(i))
        names = page.locator(".score-picture").get_attribute("alt").removeprefix("Picture of: ").split(", ")
        found.append((names, page.locator(".score textarea").input_value()))
    return found


def shown(page):
    """CHAIR_s, CHAIR_i, recall and words over all scenes."""
    return page.locator(".score tbody tr").last.locator("td").all_inner_texts()


def expected(rows, read=mentioned):
    got = chair([score_caption(text, names, read) for names, text in rows])
    values = [got.chair_s.value, got.chair_i.value, got.recall.value]
    return [*("–" if v != v else fixed(v, "0.001") for v in values), fixed(got.length.value, "0.1")]


def fixed(value, step):
    """As the browser's ``toFixed``: of two that are as near, the larger one."""
    return str(Decimal(value).quantize(Decimal(step), ROUND_HALF_UP))


@pytest.mark.parametrize(
    "button", ["The model's", "First sentence only", "The truth", "Name everything", "Say nothing"]
)
def test_numbers_equal_the_librarys(score, button):
    score.get_by_role("button", name=button, exact=True).click()
    rows = captions(score)
    assert len(rows) == 5
    assert {frozenset(names) for names, _ in rows} <= {frozenset(s.names) for s in held_out("typical", 100)}
    assert shown(score) == expected(rows)


def test_editing_and_what_the_scorer_knows(score):
    rows = captions(score)
    names = rows[-1][0]
    text = f"There are two {names[0]}s and a unicorn. Knives."
    score.locator(".score textarea").fill(text)
    rows[-1] = (names, text)
    assert shown(score) == expected(rows)
    score.get_by_label("knows plurals").uncheck()
    score.get_by_label("knows synonyms").uncheck()
    singular = [name for name in re.findall(r"[a-z]+", text.lower()) if mentioned(name) == [name]]
    assert score.locator(".score mark").count() == len(singular)


def test_text_is_never_markup(score):
    score.locator(".score textarea").fill("<img src=x onerror=alert(1)> fork")
    assert score.locator(".score-read img").count() == 0
    assert score.errors == []
