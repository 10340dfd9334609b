"""The widget of chapter 10 in the static page: scene, word, map and model by keyboard, and what is said is what is drawn."""

import re

PAGE = "notebooks/10_where.html"


def weights(page):
    return [
        float(w)
        for w in page.eval_on_selector_all(
            ".where-grid span", "all => all.map(s => s.style.getPropertyValue('--weight'))"
        )
    ]


def place(page):
    """Row and column of the largest value, as the status says it."""
    row, column = re.search(r"row (\d), column (\d)", page.locator(".where [role=status]").inner_text()).groups()
    return 6 * (int(row) - 1) + int(column) - 1


def test_model_and_map_change_by_keyboard_and_the_status_names_the_largest_patch(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".where tbody tr")
    start = weights(page)
    assert len(start) == 36
    assert start.index(max(start)) == place(page)
    page.locator(".where input[type=radio]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".where input[type=radio]").nth(1).is_checked()
    after = weights(page)
    assert after != start
    assert after.index(max(after)) == place(page)
    assert max(start + after) == 0.85  # one scale for both
    kinds = page.locator(".where-kind option").all_inner_texts()
    assert len(kinds) == 8
    seen = []
    for kind in kinds:
        page.locator(".where-kind").select_option(label=kind)
        now = weights(page)
        assert now.index(max(now)) == place(page)
        seen.append(tuple(now))
    assert len(set(seen)) == 8
    assert page.errors == []


def in_one_place(page):
    """Of the first scene that has them a true and a false word behind the same beginning, as numbers of options, and all titles."""
    for scene in range(page.locator(".where-scene option").count()):
        page.locator(".where-scene").select_option(str(scene))
        titles, begun = page.locator(".where-word option").all_inner_texts(), {}
        for i, title in enumerate(titles):
            page.locator(".where-word").select_option(str(i))
            before = page.locator(".where-answer").evaluate("answer => answer.childNodes[1].textContent")
            begun.setdefault(before, {})["false" in title] = i
        for found in begun.values():
            if len(found) == 2:
                return found[False], found[True], titles
    raise AssertionError("no scene has a true and a false word behind the same beginning")


def test_the_false_word_has_the_raw_map_of_the_true_one_and_another_gradient(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".where tbody tr")
    true, false, titles = in_one_place(page)
    found = {}
    for kind in ("all layers", "rollout", "gradient"):
        page.locator(".where-kind").select_option(kind)
        for word in (true, false):
            page.locator(".where-word").select_option(str(word))
            found[kind, word] = weights(page)
            assert page.locator(".where-answer strong").inner_text() in titles[word]
    for kind in ("all layers", "rollout", "gradient"):
        assert (found[kind, true] == found[kind, false]) == (kind != "gradient")
    hidden = page.locator(".where tbody tr:nth-child(4) td").first
    kept = {}
    for word in (true, false):
        page.locator(".where-word").select_option(str(word))
        kept[word] = hidden.inner_text()
    assert all(re.fullmatch(r"[+−]\d+\.\d\d", text) for text in kept.values())
    assert kept[true] != kept[false]
    assert page.errors == []


def test_the_grid_lies_on_the_picture_in_both_themes(open_page):
    for theme in ("light", "dark"):
        page = open_page(PAGE, color_scheme=theme)
        page.wait_for_selector(".where tbody tr")
        places = page.evaluate(
            """['.where-picture img', '.where-grid'].map(of => {
            const box = document.querySelector(of), at = box.getBoundingClientRect();
            const edge = parseFloat(getComputedStyle(box).paddingLeft);
            return [at.left + edge, at.top + edge, at.right - edge, at.bottom - edge].map(Math.round); })"""
        )
        assert places[0] == places[1]


def test_dashed_patches_are_the_objects_and_hold_the_share_that_is_stated(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".where tbody tr")
    for scene in range(page.locator(".where-scene option").count()):
        page.locator(".where-scene").select_option(str(scene))
        own = page.eval_on_selector_all(".where-grid span", "all => all.map(s => s.dataset.own === '1')")
        drawn = weights(page)
        stated = float(page.locator(".where tbody tr:nth-child(2) td").first.inner_text().rstrip("%"))
        share = 100 * sum(w for w, mine in zip(drawn, own, strict=True) if mine) / sum(drawn)
        assert abs(share - stated) < 2  # drawn in 8 bits and three digits
        assert page.locator(".where img").get_attribute("alt").startswith("Picture of: ")
    assert page.errors == []
