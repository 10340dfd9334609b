"""The widget of chapter 06 in the static page: beta moves the policy, by keyboard, and what is shown adds up."""

import re

PAGE = "notebooks/06_dpo.html"


def numbers(page):
    """Reward, divergence and share of lies as the page states them, and the probabilities listed."""
    status = page.locator(".beta [role=status]").inner_text()
    listed = page.locator(".beta tbody td:last-child").all_inner_texts()
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", status)], [float(p) for p in listed]


def test_beta_moves_the_policy_by_keyboard(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".beta tbody tr")
    slider, dot = page.locator(".beta input[type=range]"), page.locator(".beta-dot")
    (reward, divergence, lies), probs = numbers(page)
    assert divergence == 0
    assert lies > 40
    at = dot.get_attribute("cx")
    slider.focus()
    for _ in range(int(slider.get_attribute("max"))):
        page.keyboard.press("ArrowRight")
        (now, far, false), probs = numbers(page)
        assert now >= reward
        assert far >= divergence
        assert false <= lies
        assert abs(sum(probs) - 1) < 0.06  # rounded, ten of them
        reward, divergence, lies = now, far, false
    assert lies == 0
    assert divergence > 1
    assert float(dot.get_attribute("cx")) > float(at)
    assert f"divergence {divergence:.2f} and reward {reward:.2f}" in page.locator(".beta-plot").get_attribute(
        "aria-label"
    )
    assert page.errors == []


def test_bars_are_as_long_as_the_probabilities(open_page):
    page = open_page(PAGE)
    page.wait_for_selector(".beta tbody tr")
    page.locator(".beta input[type=range]").press("End")
    _, probs = numbers(page)
    shares = page.eval_on_selector_all(
        ".beta-bar",
        "all => all.map(b => b.getBoundingClientRect().width / b.parentElement.getBoundingClientRect().width)",
    )
    assert all(abs(a - b) < 0.02 for a, b in zip(shares, probs, strict=True))
