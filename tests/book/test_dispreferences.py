"""The widgets of chapters 04 and 05 in the static page: they move, by keyboard, and text is never markup."""


def test_the_slider_moves_picture_words_and_count(open_page):
    page = open_page("notebooks/05_image.html")
    page.wait_for_selector(".noise tbody tr")
    slider, picture = page.locator(".noise input[type=range]"), page.locator(".noise-picture")
    clear, status = picture.get_attribute("src"), page.locator(".noise [role=status]")
    few = int(status.inner_text().split()[0])
    slider.focus()
    page.keyboard.press("End")
    assert picture.get_attribute("src") != clear
    assert "999" in picture.get_attribute("alt")
    assert int(status.inner_text().split()[0]) > few
    assert page.locator(".noise-word").count() == int(status.inner_text().split()[2])
    page.locator(".noise select").select_option("1")
    assert "999" in picture.get_attribute("alt")
    assert page.errors == []


def test_pairs_are_leafed_through_and_their_changes_marked(open_page):
    page = open_page("notebooks/04_text.html")
    page.wait_for_selector(".pairs-chosen")
    seen = set()
    for _ in range(12):
        chosen, rejected = (page.locator(f".pairs-{side}").inner_text().split() for side in ("chosen", "rejected"))
        marked = [page.locator(f".pairs-{side} mark").all_inner_texts() for side in ("chosen", "rejected")]
        differ = [(a, b) for a, b in zip(chosen, rejected, strict=True) if a != b]
        assert differ
        assert [" ".join(words).split() for words in marked] == [list(side) for side in zip(*differ, strict=True)]
        seen.add(page.locator(".pairs [role=status]").inner_text())
        page.get_by_role("button", name="Next").first.press("Enter")
    assert len(seen) == 12
    assert page.errors == []
