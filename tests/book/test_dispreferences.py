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


WITHOUT_MARKS = """place => {
    const copy = place.cloneNode(true);
    copy.querySelectorAll("mark").forEach(mark => mark.remove());
    return copy.textContent;
}"""


def test_pairs_are_covered_until_one_has_guessed_and_the_hits_are_counted(open_page):
    page = open_page("notebooks/04_text.html")
    page.wait_for_selector(".pairs-answer")
    verdict, hits = page.locator(".pairs-verdict"), page.locator(".pairs-hits")
    false, right, seen = [], 0, set()
    for number in range(12):
        assert page.locator(".pairs mark").count() == page.locator(".pairs-picture").count() == 0
        assert verdict.inner_text() == ""
        page.get_by_role("button", name="A is false").press("Enter")
        page.get_by_role("button", name="B is false").press("Enter")  # too late, and without effect
        assert page.locator(".pairs-picture").get_attribute("alt").startswith("Picture of: ")
        said = verdict.inner_text()
        false.append("B" if "B is the false one" in said else "A")
        assert said.startswith("Right: " if false[-1] == "A" else "Wrong: ")
        right += false[-1] == "A"
        assert f"{right} of {number + 1} (" in hits.inner_text()
        unmarked, found = [], set()
        for answer, place in zip("AB", page.locator(".pairs-answer").all(), strict=True):
            marks = place.locator("mark")
            kinds = {mark.get_attribute("data-verdict") for mark in marks.all()}
            assert kinds <= {"false" if answer == false[-1] else "true"}  # none where a sentence was only left out
            found |= kinds
            unmarked.append(place.evaluate(WITHOUT_MARKS).split())
        assert "false" in found, "a pair differs, and the false answer says how"
        assert unmarked[0] == unmarked[1], "what is not marked must be the same in both answers"
        seen.add(page.locator(".pairs-count").inner_text())
        page.get_by_role("button", name="Next").first.press("Enter")
    assert len(seen) == 12
    assert set(false) == {"A", "B"}
    assert verdict.inner_text() != ""  # back at the first pair, which stays open
    assert page.errors == []


def test_a_pair_that_is_revealed_without_a_guess_counts_neither_way(open_page):
    page = open_page("notebooks/04_text.html")
    page.wait_for_selector(".pairs-answer")
    page.get_by_role("button", name="Reveal").press("Enter")
    assert page.locator(".pairs-verdict").inner_text().split(" ")[1:5] == ["is", "the", "false", "one"]
    assert page.locator(".pairs mark").count() > 0
    assert page.locator(".pairs-hits").inner_text() == ""
    assert page.errors == []
