"""The laboratory by mouse and keyboard: what is said is judged by the picture; it is useful before the model comes."""

import re

import numpy as np
import pytest

from povid_lib.pocket import export
from povid_lib.world.items import POSITIONS
from tests.book.conftest import ROOT, SCENES, served


@pytest.fixture
def lab(browser, lab_folder):
    with served(lab_folder) as address:
        context = browser.new_context()
        page = context.new_page()
        page.errors, page.asked = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url.rsplit("/", 1)[1]))
        page.goto(address)
        page.wait_for_selector(".lab-cells button")
        yield page
        assert page.errors == []
        context.close()


def answered(page):
    """Wait until a whole answer stands there; its words, and those marked as false."""
    page.wait_for_function("document.querySelector('.lab-status').textContent.includes('ms a token')", timeout=120_000)
    page.wait_for_function("!document.querySelector('.lab').hasAttribute('aria-busy')")
    return words(page)


def words(page):
    chips = page.eval_on_selector_all(
        ".lab-words button", "all => all.map(b => [b.firstChild.textContent, b.dataset.verdict, b.title])"
    )
    return [word for word, _, _ in chips], [(word, why) for word, verdict, why in chips if verdict == "false"]


def change(page, action):
    """Do something to the picture or a dial, and wait for the answer to it."""
    page.evaluate("document.querySelector('.lab-status').textContent = ''")
    action()
    return answered(page)


def put(page, name, cell, size="medium", colour=None):
    page.get_by_role("radio", name="Put", exact=True).check()
    page.get_by_role("combobox", name="Object", exact=True).select_option(name)
    page.get_by_role("combobox", name="Size", exact=True).select_option(size)
    if colour:
        page.get_by_role("combobox", name="Colour", exact=True).select_option(colour)
    page.locator(".lab-cells button").nth(cell).click()


def test_an_answer_stands_there_before_any_model_is_fetched(lab):
    said, _ = words(lab)
    assert len(said) > 3
    assert lab.locator(".lab-bars li").count() == 7
    assert "computed beforehand" in lab.inner_text(".lab-status")
    lab.get_by_role("switch").check()
    assert words(lab)[0]
    lab.wait_for_timeout(600)
    assert [name for name in lab.asked if name.endswith(".safetensors")] == []


def test_the_models_own_answer_is_the_one_computed_beforehand(lab):
    before = words(lab)
    lab.get_by_role("button", name="Answer", exact=True).click()
    assert answered(lab) == before
    assert export.DIFFERENCE not in lab.asked
    lab.wait_for_function("document.querySelector('.lab-equality').textContent")
    worst = float(re.search(r"at most (0\.\d+)", lab.inner_text(".lab-equality"))[1])
    assert 0 < worst <= export.TOLERANCE
    lab.get_by_role("switch").check()
    lab.wait_for_function("document.querySelector('.lab-status').textContent.includes('ms a token')", timeout=120_000)
    assert lab.asked.count(export.MODEL) == 1


def test_a_composed_scene_is_judged_by_what_was_put_there(lab):
    lab.get_by_role("combobox", name="Scene", exact=True).select_option("-1")
    put(lab, "fork", 4)
    assert lab.locator("canvas").get_attribute("aria-label") == "Picture of: fork. 0 of 36 patches covered."
    lab.get_by_role("button", name="Answer", exact=True).click()
    said, false = answered(lab)
    assert "fork" in said
    assert "fork" not in dict(false)
    said, false = change(lab, lambda: put(lab, "cow", 4))
    assert "cow" in said
    assert "fork" not in said or dict(false)["fork"] == "fork: not in the picture"
    lab.get_by_role("radio", name="Take away", exact=True).check()
    change(lab, lambda: lab.locator(".lab-cells button").nth(4).click())
    assert lab.locator("canvas").get_attribute("aria-label").startswith("Picture of: nothing")


def test_dials_change_the_answer(lab):
    lab.locator("select").first.select_option("4")  # counter-typical, with a long caption
    lab.get_by_role("button", name="Answer", exact=True).click()
    plain, _ = answered(lab)
    constant, noise = lab.locator("input[type=range]").nth(1), lab.locator("input[type=range]").nth(0)
    shorter, _ = change(lab, lambda: constant.fill("6"))
    assert len(shorter) < len(plain)
    assert constant.get_attribute("aria-valuetext") == "+6: ends sooner"
    change(lab, lambda: constant.fill("0"))
    pixels = "Array.from(document.querySelector('.lab canvas').getContext('2d').getImageData(0, 0, 96, 96).data)"
    clean = np.array(lab.evaluate(pixels))
    change(lab, lambda: noise.fill("500"))
    assert np.abs(np.array(lab.evaluate(pixels)) - clean).mean() > 10
    covered, _ = change(lab, lambda: lab.get_by_role("button", name="Cover all").click())
    assert "36 of 36 patches covered" in lab.locator("canvas").get_attribute("aria-label")
    assert covered != plain
    again, _ = change(lab, lambda: lab.get_by_role("button", name="As it was").click())
    assert again == plain
    drawn = {tuple(change(lab, lambda: lab.get_by_role("checkbox", name="draw words by chance").check())[0])}
    for _ in range(4):
        drawn.add(tuple(change(lab, lambda: lab.get_by_role("button", name="Answer", exact=True).click())[0]))
    assert len(drawn) > 1


def test_every_control_works_by_keyboard(lab):
    press = lab.keyboard.press
    lab.get_by_role("button", name="Answer", exact=True).focus()
    press("Enter")
    answered(lab)
    lab.get_by_role("radio", name="Cover", exact=True).check()
    first = lab.locator(".lab-cells button").first
    first.focus()
    for key, at in (("ArrowRight", 1), ("ArrowDown", 7), ("ArrowLeft", 6), ("ArrowUp", 0), ("End", 35), ("Home", 0)):
        press(key)
        assert lab.evaluate("[...document.activeElement.parentNode.children].indexOf(document.activeElement)") == at
    press("ArrowRight")
    change(lab, lambda: press("Enter"))
    cell = lab.locator(".lab-cells button").nth(1)
    assert cell.get_attribute("aria-pressed") == "true"
    assert cell.evaluate("node => node === document.activeElement")
    assert lab.locator(".lab-cells button[tabindex='0']").count() == 1
    chips = lab.locator(".lab-words button")
    lab.locator(".lab-words button[tabindex='0']").focus()
    press("Home")
    press("ArrowRight")
    press("Enter")
    assert chips.nth(1).get_attribute("aria-pressed") == "true"
    assert chips.nth(1).evaluate("node => node === document.activeElement")
    assert lab.inner_text(".lab-bars p").startswith(
        f"In place of {chips.nth(1).evaluate('b => b.firstChild.textContent')}"
    )
    lab.get_by_role("switch").focus()
    change(lab, lambda: press("Space"))
    assert lab.asked.count(export.DIFFERENCE) == 1


def test_after_a_failed_fetch_it_tries_again(lab):
    lab.route("**/*.safetensors", lambda route: route.abort())
    lab.get_by_role("button", name="Answer", exact=True).click()
    lab.wait_for_function("document.querySelector('.lab-status').textContent.includes('try again')")
    assert (
        lab.inner_text(".lab-status")
        == "The model could not be fetched; the connection failed. Press Answer to try again."
    )
    assert words(lab)[0]  # what stood there stays
    lab.unroute("**/*.safetensors")
    lab.get_by_role("button", name="Answer", exact=True).click()
    assert answered(lab)[0]
    lab.route("**/*.safetensors", lambda route: route.fulfill(status=404))
    lab.get_by_role("switch").check()
    lab.wait_for_function("document.querySelector('.lab-status').textContent.includes('is not on this server')")
    lab.unroute("**/*.safetensors")
    lab.get_by_role("button", name="Answer", exact=True).click()
    answered(lab)


def test_where_it_cannot_run_it_says_so(browser, lab_folder):
    page = browser.new_page()
    page.goto((lab_folder / "index.html").as_uri())
    page.wait_for_timeout(500)  # a page from disk may not load modules
    assert "A page opened as a file may not run it" in page.inner_text("#laboratory")
    page.close()
    with served(lab_folder) as address:
        page = browser.new_page()
        page.add_init_script("delete window.Worker")
        page.goto(address)
        page.wait_for_selector(".lab-cells button")
        assert "A page opened" not in page.inner_text("#laboratory")
        page.get_by_role("button", name="Answer", exact=True).click()
        page.wait_for_function("document.querySelector('.lab-status').textContent.includes('no workers')")
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_it_fits_a_phone(lab, theme):
    lab.set_viewport_size({"width": 390, "height": 800})
    lab.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    if theme == "dark":
        lab.add_style_tag(content="body { background: #121212; color: #ddd; color-scheme: dark; }")
    lab.get_by_role("button", name="Answer", exact=True).click()
    answered(lab)
    assert lab.evaluate("document.documentElement.scrollWidth") <= 391
    lab.add_script_tag(path=ROOT / "assets/vendor/axe.min.js")
    found = lab.evaluate(
        "axe.run('main', { rules: { 'page-has-heading-one': { enabled: false } } }).then(r => r.violations)"
    )
    assert [(v["id"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found] == []


JUDGE = """async ([text, items]) => { const { judged } = await import("./judge.js"), spec = await (await fetch("lab.json")).json();
    return judged(text, items, spec).map((f) => [text.slice(f.from, f.to), f.verdict]); }"""


def item(name, cells, size="medium", colour=""):
    return {"name": name, "cells": cells, "size": size, "colour": colour}


@pytest.mark.parametrize(
    ("text", "false", "true"),
    [
        ("There is a fork. There is a knife.", ["knife"], ["fork"]),
        ("There is a small red car at the top left.", [], ["small", "red", "car", "top left"]),
        ("There is a large blue car at the top.", ["large", "blue", "top"], ["car"]),
        ("There are three apples.", ["three"], ["apples"]),
        ("There are two large green apples.", ["large"], ["two", "green", "apples"]),
        ("The car is to the left of the fork.", [], ["car", "fork"]),  # relations are not judged
        ("A fork, a cow and two apples.", ["cow"], ["fork", "apples"]),
        ("A knife is at the top left.", ["knife"], []),  # what is not there has no place
        ("There is a constructor. There is a forklift.", [], []),
        ("", [], []),
    ],
)  # fmt: skip
def test_words_are_judged_by_the_scene(lab, text, false, true):
    items = [item("fork", [4]), item("car", [0], "small", "red"), item("apple", [7, 8], "medium", "green")]
    found = lab.evaluate(JUDGE, [text, items])
    assert [word for word, verdict in found if verdict == "false"] == false
    assert [word for word, verdict in found if verdict == "true"] == true


def test_a_true_caption_of_every_scene_has_no_false_word(lab):
    from povid_lib.world.captions import detailed_caption, short_caption

    for number, scene in enumerate(SCENES):
        rng = np.random.default_rng(number)
        items = [item(i.name, list(i.cells), i.size, i.colour or "") for i in scene.items]
        for text in (detailed_caption(scene.items, rng), short_caption(scene.items, rng)):
            found = lab.evaluate(JUDGE, [text, items])
            assert {verdict for _, verdict in found} == {"true"}, (text, found)
            assert {word for word, _ in found} <= set(re.findall(r"[a-z]+", text.lower())) | set(POSITIONS)


def test_the_four_tasks_end_as_the_page_says(site):
    """On the book's own page, with its own scenes: whoever makes the model anew reads here which sentences to write anew."""
    browser, address = site
    page = browser.new_page()
    page.goto(f"{address}/book/laboratory.html")
    page.wait_for_selector(".lab-cells button")
    scene, constant, noise = (
        page.locator("select").first,
        page.locator("input[type=range]").nth(1),
        page.locator("input[type=range]").nth(0),
    )
    cell, switch = page.locator(".lab-cells button"), page.get_by_role("switch")

    def said(action):
        found, false = change(page, action)
        return " ".join(found), [word for word, _ in false]

    def without(name):
        text, false = said(lambda: scene.select_option("4"))
        assert "suitcase" in false
        assert "scooter" in false
        page.get_by_role("radio", name="Take away", exact=True).check()
        for at in range(cell.count()):
            if name in cell.nth(at).get_attribute("aria-label").split(": ")[1].split(", "):
                text, false = said(lambda at=at: cell.nth(at).click())
        return text, false

    page.get_by_role("button", name="Answer", exact=True).click()
    words_, false = answered(page)
    assert [word for word, _ in false] == ["sign", "blue"]
    assert {"cars", "helmet", "scooter"} <= set(words_)

    page.get_by_role("radio", name="Cover", exact=True).check()
    for place in (0, 8):  # where the two cars are, of nine places of four patches each
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            at = (2 * (place // 3) + row) * 6 + 2 * (place % 3) + column
            text, false = said(lambda at=at: cell.nth(at).click())
    assert "car" not in text
    assert "sign" not in text
    text, false = said(lambda: page.get_by_role("button", name="Cover all").click())
    assert text == "A small yellow fish is on the left ."

    text, false = without("train")
    assert "suitcase" not in text
    assert "scooter" in false
    assert len(false) > 1  # another false word
    text, false = without("helmet")
    assert "scooter" not in text
    assert "suitcase" in false

    said(lambda: scene.select_option("0"))
    for value in range(1, 7):
        text, false = said(lambda value=value: constant.fill(str(value)))
        if "sign" not in text:
            break
    assert "cars" in text
    assert "helmet" not in text
    assert "scooter" not in text
    said(lambda: constant.fill("0"))
    text, false = said(switch.check)
    assert false == []
    assert text.count("helmet") == 2
    assert "scooter" not in text
    plain, _ = said(switch.uncheck)

    text, false = said(lambda: noise.fill("100"))
    assert false == ["sign", "blue"]
    text, false = said(lambda: noise.fill("600"))
    assert {"fish", "octopus"} <= set(false)
    text, false = said(lambda: noise.fill("800"))
    assert {"gifts", "balloon"} <= set(false)
    assert len(text.split()) >= len(plain.split())
    page.close()
