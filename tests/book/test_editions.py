"""The PDF and the EPUB of the built book: whole, with pictures for widgets, and with links that lead somewhere."""

import re
import zipfile
from xml.etree import ElementTree

import pytest
import yaml

from scripts import editions
from tests.book.conftest import HTML, ROOT

SOME = ("book/preface", "book/laboratory", "notebooks/02_measuring", "book/references")
XHTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def made(site, tmp_path_factory):
    """The PDF and the EPUB of four pages: plain, the laboratory, a chapter with formulas and a widget, the references."""
    browser, _ = site
    return editions.make(HTML, tmp_path_factory.mktemp("editions"), browser, SOME)


def test_every_page_but_the_reference_of_the_library_is_in_them():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [page for page, _ in editions.contents(toc)]
    files = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())
    assert pages == [f for f in files if not f.startswith(("book/api/", "book/status"))]
    assert pages[0] == "book/preface"


def test_the_epub_is_whole(made):
    with zipfile.ZipFile(made[1]) as file:
        names = set(file.namelist())
        pages = {n.split("/")[-1]: ElementTree.fromstring(file.read(n)) for n in names if n.endswith(".xhtml")}
    assert {f"{page.replace('/', '-')}.xhtml" for page in SOME} < set(pages)
    ids = {name: {e.get("id") for e in root.iter()} for name, root in pages.items()}
    for name, root in pages.items():
        assert not list(root.iter(f"{XHTML}script")), name
        for link in root.iter(f"{XHTML}a"):
            page, _, at = link.get("href", "").partition("#")
            if "://" not in page and not page.startswith("mailto:"):
                assert not page or page in pages, (name, link.attrib)
                assert not at or at in ids[page or name], (name, link.attrib)
        for image in root.iter(f"{XHTML}img"):
            assert f"OEBPS/{image.get('src')}" in names or image.get("src").startswith("data:"), (name, image.attrib)
            assert len(image.get("alt", "")) > 10, (name, image.attrib)
    chapter = ElementTree.tostring(pages["notebooks-02_measuring.xhtml"], encoding="unicode")
    assert chapter.count("Math/MathML") == 1
    assert len(list(pages["notebooks-02_measuring.xhtml"].iter("{http://www.w3.org/1998/Math/MathML}math"))) > 30
    assert "OEBPS/images/notebooks-02_measuring-0.png" in names
    assert "OEBPS/images/book-laboratory-0.png" in names


def test_the_pdf_has_pages_an_outline_and_links(made):
    pdf = made[0].read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) > 15
    assert b"/Outlines" in pdf
    assert len(re.findall(rb"/Subtype\s*/Link", pdf)) > 20


def test_a_widget_keeps_its_own_style_until_its_picture_is_taken(site):
    browser, address = site
    page = browser.new_page()
    page.goto(f"{address}notebooks/03_why.html")
    page.locator("script[data-alive]").first.wait_for(state="attached")
    page.locator(".povid-spoken").first.wait_for(state="attached")
    hidden = (
        "e => e.getBoundingClientRect().width"  # words for a screen reader, clipped to a pixel by the widget's style
    )
    before = page.locator(".povid-spoken").first.evaluate(hidden)
    page.evaluate(editions.TIDY)
    assert page.locator(".povid-spoken").first.evaluate(hidden) == before <= 1
    page.close()


def test_the_site_is_left_as_it_was(made):
    assert not (HTML / "_editions").exists()
