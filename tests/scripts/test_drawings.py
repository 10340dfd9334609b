"""The drawings of the book, and the directive that sets them into a page."""

import re
from pathlib import Path

import pytest

from _ext import drawings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / drawings.FOLDER).glob("*.svg"))
STYLES = (ROOT / "assets/css/course.css").read_text(encoding="utf-8")


def test_there_are_drawings():
    assert len(FILES) >= 7


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_drawing_can_be_read_aloud_and_takes_its_colours_from_the_page(path):
    text = drawings.read(path)
    classes = {name for listed in re.findall(r'class="([^"]+)"', text) for name in listed.split()}
    unknown = {name for name in classes if not re.search(rf"\.drawing [^{{]*\.{name}\b", STYLES)}
    assert not unknown, "classes without a style"
    assert "stroke=" not in text
    assert "fill=" not in text, "colours belong to the style sheet, which has two themes"
    ids = re.findall(r'id="([^"]+)"', text)
    assert all(one.startswith(path.stem) for one in ids), "two drawings may stand on one page"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_drawing_is_in_a_chapter(path):
    pages = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "book").glob("*.md")]
    assert any(f"{{drawing}} {path.stem}" in page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize(
    ("svg", "said"),
    [
        ("<svg", "is no SVG"),
        ('<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>', "has no <title>"),
        ('<svg xmlns="http://www.w3.org/2000/svg"><title>a</title><script>1</script></svg>', "would run"),
        ('<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><title>a</title></svg>', "would run"),
    ],
)
def test_what_is_no_drawing_is_refused(tmp_path, svg, said):
    path = tmp_path / "a.svg"
    path.write_text(svg, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        drawings.read(path)
