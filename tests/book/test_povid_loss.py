"""The widget of chapter 07 in the static page: the loss follows the sliders by keyboard, and the weights are its formula's."""

import math
import re

PAGE = "notebooks/07_povid_loss.html"


def number(text):
    return float(text.replace("−", "-"))


def state(page):
    """(rho of chosen, rejected, noised), z, sigmoid(-z), loss, tokens that weigh nothing, tokens."""
    rhos = [
        number(n)
        for n in re.findall(r"(?:chosen|rejected|noised) (−?\d+\.\d+)", page.locator(".weigh-sums").inner_text())
    ]
    said = page.locator(".weigh [role=status]").inner_text()
    z, slope, loss = (number(n) for n in re.findall(r"= (−?\d+\.\d+)", said))
    nothing, tokens = (int(n) for n in re.search(r"(\d+) of (\d+) chosen", said).groups())
    return rhos, z, slope, loss, nothing, tokens


def weights(page, side):
    """What stands under each word; None where the token is counted with the chosen answer."""
    found = page.locator(f".weigh-{side} .weigh-number").all_inner_texts()
    return [None if text == "=" else number(text) for text in found]


def test_the_loss_is_that_of_the_formula_wherever_the_sliders_stand(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".weigh-number")
    values = {"alpha": 0.1, "beta1": 0.05, "beta2": 0.05}
    for name, key, step in (
        ("alpha", "ArrowRight", 0.01),
        ("beta1", "ArrowLeft", -0.01),
        ("beta2", "ArrowRight", 0.01),
    ):
        page.locator(f".weigh input[data-name={name}]").focus()
        for _ in range(4):
            page.keyboard.press(key)
            values[name] += step
        (chosen, rejected, noised), z, slope, loss, _, tokens = state(page)
        want = values["alpha"] * chosen - values["beta1"] * rejected - values["beta2"] * noised
        assert abs(z - want) < 2e-3
        assert abs(slope - 1 / (1 + math.exp(z))) < 2e-3
        assert abs(loss - math.log1p(math.exp(-z))) < 2e-3
        below = weights(page, "rejected")
        assert any(w is not None for w in below)
        assert all(w is None or abs(w + values["beta1"] * slope) < 2e-3 for w in below)
        assert len(weights(page, "chosen")) == tokens
    assert page.errors == []


def test_what_all_answers_share_cancels_under_the_clean_picture_only(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".weigh-number")
    *_, under_noise, _ = state(page)
    page.locator(".weigh-scoring").select_option("clean")
    *_, nothing, _ = state(page)
    assert under_noise == 0 < nothing
    assert weights(page, "chosen").count(0) == nothing
    merged = weights(page, "noised").count(None)
    assert merged >= nothing
    page.get_by_role("button", name="text, equal weights").press("Enter")
    assert all(w in (None, 0) for w in weights(page, "noised"))
    *_, nothing, _ = state(page)
    assert nothing == weights(page, "rejected").count(None)  # the words before the change
    before = weights(page, "chosen")
    page.get_by_label("times 1 − p").check()
    assert all(abs(b) <= abs(a) + 1e-9 for a, b in zip(before, weights(page, "chosen"), strict=True))
    assert before != weights(page, "chosen")
    assert page.errors == []


def test_every_pair_can_be_chosen(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".weigh-number")
    select = page.locator(".weigh-left select").first
    words = set()
    for at in range(select.locator("option").count()):
        select.select_option(str(at))
        words.add(page.locator(".weigh-chosen").inner_text())
        assert "Picture of" in page.locator(".weigh-picture").get_attribute("alt")
    assert len(words) >= 4
    assert page.errors == []
