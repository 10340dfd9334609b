"""The widget of chapter 09 in the static page: it orders, compares and draws what it states."""

import re

PAGE = "notebooks/09_does_it_work.html"


def choice(page, label):
    """A label's own words, not those of the options that it holds."""
    return page.locator(".compare label").filter(has_text=re.compile(f"^{label} ")).locator("select")


def rows(page):
    names = page.locator(".compare tbody th").all_inner_texts()
    values = [
        float(re.match(r"-?\d+\.\d+", text)[0])
        for text in page.locator(".compare tbody td:nth-child(3)").all_inner_texts()
    ]
    return names, values


def test_measures_are_ordered_best_first(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".compare tbody tr")
    measure = choice(page, "Measure")
    orders = []
    for at in range(measure.locator("option").count()):
        measure.select_option(index=at)
        names, values = rows(page)
        assert values in (sorted(values), sorted(values, reverse=True))
        assert page.locator(".compare [role=status]").inner_text().startswith(f"Best: {names[0]}.")
        orders.append(names)
    assert len({tuple(order) for order in orders}) > 2
    assert page.errors == []


def test_differences_are_to_the_chosen_method(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".compare tbody tr")
    choice(page, "Against").select_option(label="SFT")
    names, values = rows(page)
    reference = values[names.index("SFT")]
    shown = page.locator(".compare tbody td:nth-child(4)").all_inner_texts()
    for name, value, text in zip(names, values, shown, strict=True):
        if name == "SFT":
            assert text == ""
        else:
            assert abs(float(text.replace("\u2212", "-")) - (value - reference)) < 0.002


def test_scenes_change_what_is_shown_by_keyboard(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".compare tbody tr")
    _, before = rows(page)
    choice(page, "Scenes").focus()
    page.keyboard.press("ArrowDown")
    _, after = rows(page)
    assert before != after
    assert "counter-typical scenes" in page.locator(".compare caption").inner_text()
