"""Every built page: whole without a network, readable, and reachable."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from scripts import prose
from tests.book.conftest import HTML, served, settle

ROOT = Path(__file__).resolve().parents[2]
BUILT = sorted(str(p.relative_to(HTML)) for d in ("book", "notebooks") for p in (HTML / d).rglob("*.html"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_page_of_the_contents_is_built():
    files = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())
    assert sorted(f"{f}.html" for f in files) == BUILT


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", BUILT)
def test_page_is_whole_offline(open_page, path, theme):
    page = open_page(path, color_scheme=theme)
    assert (page.outside, page.errors, page.missing) == ([], [], [])


@pytest.mark.parametrize("path", BUILT)
def test_page_fits_a_phone(open_page, path):
    page = open_page(path, viewport={"width": 390, "height": 800})
    too_wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
    assert not too_wide
    neighbours = ".prev-next-area a"
    assert (
        page.eval_on_selector_all(neighbours, "all => all.filter(a => a.scrollWidth > a.clientWidth + 1).length") == 0
    )


@pytest.mark.parametrize("path", BUILT)
def test_printed_output_fits_a_desktop(open_page, path):
    page = open_page(path, viewport={"width": 1400, "height": 1000})
    page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    cut = page.eval_on_selector_all(
        ".cell_output pre, .cell_output table",
        """all => all.filter(e => [e, e.parentElement].some(box => box.scrollWidth > box.clientWidth + 1))
                 .map(e => e.innerText.slice(0, 200))""",
    )
    assert not cut, cut


@pytest.mark.parametrize("path", BUILT)
def test_what_is_wider_than_a_phone_fades_and_nothing_else(open_page, path):
    page = open_page(path, viewport={"width": 390, "height": 800})
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_timeout(300)
    wrong = """() => [...document.querySelectorAll(".bd-article *")].filter(e => {
        if (e.closest("details:not([open]), textarea, select, .sd-tab-content")) return false;
        const scrolls = ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
        const more = scrolls && e.clientWidth > 0 && e.scrollWidth - e.clientWidth - e.scrollLeft > 4;
        return more !== (getComputedStyle(e).maskImage !== "none");
      }).map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 60)}`)"""
    assert page.evaluate(wrong) == []
    page.evaluate("document.querySelectorAll('.bd-article *').forEach(e => { e.scrollLeft = e.scrollWidth; })")
    page.wait_for_timeout(100)
    assert page.evaluate(wrong) == []


@pytest.mark.parametrize("path", BUILT)
def test_no_table_is_left_as_text_with_pipes(path):
    assert "<p>|" not in (HTML / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BUILT)
def test_pictures_have_words(open_page, path):
    alts = open_page(path).eval_on_selector_all(".bd-article img", "all => all.map(i => i.alt)")
    assert all(len(alt) > 20 and not alt.endswith(".png") for alt in alts), alts


@pytest.mark.parametrize("path", BUILT)
def test_no_picture_is_shown_twice(open_page, path):
    """A cell that ends with a figure and no semicolon shows it twice."""
    shown = open_page(path).eval_on_selector_all(".bd-article img", "all => all.map(i => i.src)")
    assert len(shown) == len(set(shown)), [src for src in shown if shown.count(src) > 1]


@pytest.mark.parametrize("name", [n for n in prose.RULES["held"] if n.startswith("notebooks/")])
def test_every_figure_of_a_held_chapter_has_a_number_and_a_caption(open_page, name):
    page = open_page(name.replace(".ipynb", ".html"))
    bare = page.eval_on_selector_all(
        ".bd-article .cell_output img, .bd-article figure",
        """all => all.filter(e => !e.closest(".povid-widget") && !e.closest("figure")?.querySelector("figcaption .caption-number"))
                 .map(e => e.outerHTML.slice(0, 200))""",
    )
    assert not bare, bare


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_and_exercises_are_counted_by_page(notebook):
    html = (HTML / "notebooks" / f"{notebook.stem}.html").read_text()
    own = notebook.stem.split("_")[0].lstrip("0") or "0"
    for kind, least in (("Fig.", 1), ("Exercise", 0)):
        counted = re.findall(rf'caption-number">{re.escape(kind)} ([^<]+?)\s*<', html)
        assert len(counted) >= least
        assert counted == [f"{own}.{n}" for n in range(1, len(counted) + 1)], counted


@pytest.mark.parametrize("width", [1400, 1024, 390])
@pytest.mark.parametrize("path", BUILT)
def test_no_equation_is_cut_off(open_page, path, width):
    """Formulas fit their place. On a phone one that is still too wide scrolls, and can be reached by the keyboard."""
    page = open_page(path, viewport={"width": width, "height": 900})
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_timeout(300)
    cut = page.eval_on_selector_all(
        ".bd-article .math mjx-math",
        """(all, phone) => all.filter(drawn => {
             const place = drawn.closest("div.math mjx-container") ?? drawn.closest(".math");
             const scrolls = phone && place.tabIndex === 0 && getComputedStyle(place).overflowX === "auto";
             return drawn.getBoundingClientRect().width > place.clientWidth + 2 && !scrolls;
           }).map(drawn => drawn.closest(".math").textContent.slice(0, 80))""",
        width == 390,
    )
    assert not cut, cut


def test_search_works_offline(open_page):
    page = open_page("search.html?q=hallucination")
    page.locator("#search-results li a").first.wait_for()
    assert (page.outside, page.errors) == ([], [])


# bytes before a click; rich: with formulas or widgets; reference: a package's documentation on one page
LIMITS = {"plain": 600_000, "rich": 2_500_000, "reference": 900_000}


@pytest.mark.parametrize("path", BUILT)
def test_a_page_is_light(open_page, path):
    page = open_page(path)
    rich = page.locator("mjx-container, .povid-widget, #laboratory").count() > 0
    size = page.evaluate(
        "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, entry) => sum + entry.encodedBodySize, 0)"
    )
    kind = "rich" if rich else "reference" if path.startswith("book/api/") else "plain"
    assert 0 < size <= LIMITS[kind], size


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", BUILT)
def test_axe_finds_nothing_serious(open_page, path, theme):
    """The article of each page; the theme's own furniture is not ours."""
    page = open_page(path, color_scheme=theme)
    page.add_script_tag(path=ROOT / "assets/vendor/axe.min.js")
    found = page.evaluate("axe.run('.bd-article').then(r => r.violations)")
    serious = [
        (v["id"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert not serious, json.dumps(serious, indent=1)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_numbers_in_prose_are_glued(notebook):
    """No measured decimal is typed into a text cell; set-up values such as a rate of 0.9 stand in code or maths."""
    for cell in nbformat.read(notebook, 4).cells:
        if cell.cell_type == "markdown":
            prose = re.sub(
                r"```.*?```|~~~.*?~~~|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\[.*?\]\(.*?\)|\(\d[^)]*\)",
                "",
                cell.source,
                flags=re.DOTALL,
            )
            typed = re.findall(r"(?<![\w.-])0\.\d+", prose)
            assert not typed, (typed, cell.source[:200])


def test_a_page_that_waits_for_ever_is_named(browser, tmp_path):
    (tmp_path / "index.html").write_text("<script>fetch('silent.json')</script>")
    with served(tmp_path) as address:
        page = browser.new_page()
        page.route("**/silent.json", lambda route: None)
        with pytest.raises(pytest.fail.Exception, match=r"no answer in 1 s from \['http.*silent.json'\]"):
            settle(page, lambda: page.goto(address), patience=1)
        page.close()
