"""An EPUB holds what its list says, its links lead somewhere, and what is not allowed there is taken out."""

import zipfile
from pathlib import PurePosixPath
from xml.etree import ElementTree

import pytest

from scripts.epub import Chapter, write_epub

BOOK = {"title": "A book & more", "author": "Its authors"}
ADDRESS = "http://127.0.0.1:1/"
HEAD = 'xmlns="http://www.w3.org/1999/xhtml"'
FORMULA = '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mi>x</mi></math>'


@pytest.fixture
def epub(tmp_path):
    """``epub(bodies) -> ZipFile``: one chapter from each body."""

    def write(*bodies):
        (tmp_path / "_images").mkdir(exist_ok=True)
        (tmp_path / "_images" / "a.png").write_bytes(b"png")
        chapters = [
            Chapter(f"c{i}", f"Chapter {i} < 3", f"Part {i // 2}", f"<article {HEAD}>{b}</article>")
            for i, b in enumerate(bodies)
        ]
        write_epub(tmp_path / "x.epub", chapters, BOOK, "p { color: red; }", ADDRESS, tmp_path)
        return zipfile.ZipFile(tmp_path / "x.epub")

    return write


def listed(file):
    package = ElementTree.fromstring(file.read("OEBPS/content.opf"))
    space = {"o": "http://www.idpf.org/2007/opf"}
    return {i.get("href"): i.get("properties") for i in package.findall(".//o:item", space)}, [
        i.get("idref") for i in package.findall(".//o:itemref", space)
    ]


def test_what_is_listed_is_there_and_nothing_else(epub):
    file = epub(
        f'<p id="a">One <img src="{ADDRESS}_images/a.png" alt="A picture."/></p>',
        FORMULA,
        '<a href="c0.xhtml#a">one</a>',
    )
    items, spine = listed(file)
    inside = {str(PurePosixPath(n).relative_to("OEBPS")) for n in file.namelist() if n.startswith("OEBPS/")}
    assert inside - {"content.opf"} == set(items)
    assert spine == ["nav", "c0", "c1", "c2"]
    assert items["c1.xhtml"] == "mathml"
    assert items["c0.xhtml"] is None
    assert file.read("OEBPS/images/a.png") == b"png"
    first = file.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    for name in items:
        if name.endswith("xhtml"):
            ElementTree.fromstring(file.read(f"OEBPS/{name}"))


def test_what_an_epub_may_not_hold_is_taken_out(epub):
    file = epub('<details open=""><p id="a" onclick="x()" data-x="1" tabindex="0">One</p><p id="a">Two</p></details>')
    page = file.read("OEBPS/c0.xhtml").decode()
    assert page.count('id="a"') == 1
    assert not any(word in page for word in ("onclick", "data-x", "tabindex", "open="))


def test_a_page_that_is_not_well_formed_and_a_missing_picture_are_errors(epub):
    with pytest.raises(ElementTree.ParseError):
        epub("<p>One")
    with pytest.raises(FileNotFoundError):
        epub(f'<img src="{ADDRESS}_images/b.png" alt="None."/>')
