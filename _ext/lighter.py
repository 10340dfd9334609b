"""The theme without what no page uses: styles of classes that no page has, and all but a few of its 2,000 icons.

The icons alone weigh 300 kB of fonts, 85 kB of rules, and a script of 1.5 MB that draws each a second time.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

WORD = re.compile(r"[A-Za-z_][\w-]*")
STYLE = re.compile(r"(?P<selectors>[^{}@;]+)\{(?P<body>[^{}]*)\}")
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
GROUP = re.compile(r":[\w-]+\([^()]*(?:\([^()]*\)[^()]*)*\)")  # :not(.a), :is(.a, .b): what is in it, need not be there
COMPOSED = ("bs-",)  # classes that Bootstrap's script puts together
SIGN = re.compile(r'content:"(?P<sign>\\?[^"]+)"')
SOURCE = re.compile(r"src:url\(\.\./vendor/fontawesome/webfonts/(?P<font>[\w-]+)\.woff2\)[^;}]*")
THEME = "styles/pydata-sphinx-theme.css"
STYLES = (THEME, "styles/sphinx-book-theme.css", "sphinx-design.min.css", "mystnb.*.css")


def used(folder: Path) -> set[str]:
    """Every word that any page or script of the site writes: among them, all classes that there can be."""
    files = [*folder.rglob("*.html"), *(folder / "_static").rglob("*.js")]
    return {word for file in files for word in WORD.findall(file.read_text(encoding="utf-8"))}


def keep(css: str, words: set[str]) -> str:
    """A style without the rules of which every selector asks for a class that is not in ``words``."""

    def idle(selector: str) -> bool:
        asked = CLASS.findall(GROUP.sub("", selector))
        return any(name not in words and not name.startswith(COMPOSED) for name in asked)

    def rule(match: re.Match[str]) -> str:
        selectors = GROUP.sub(lambda m: m[0].replace(",", "\0"), match["selectors"]).split(",")
        return "" if all(map(idle, selectors)) else match[0]

    return STYLE.sub(rule, css)


def signs(css: str) -> set[int]:
    """The characters that a style writes, icons among them."""
    found = [match["sign"] for match in SIGN.finditer(css)]
    escaped = {int(s[1:], 16) for s in found if re.fullmatch(r"\\[0-9a-fA-F]{2,6} ?", s)}
    return (
        escaped
        | {ord(c) for s in found if not s.startswith("\\") for c in s}
        | {ord(s[1]) for s in found if len(s) == 2}
    )


def cut(font: Path, characters: set[int]) -> bytes:
    """A font as WOFF with some of its characters."""
    small = TTFont(font)
    cutter = subset.Subsetter()
    cutter.populate(unicodes=characters)
    cutter.subset(small)
    small.flavor = "woff"
    out = io.BytesIO()
    small.save(out)
    return out.getvalue()


def lighten(folder: Path) -> None:
    """Do all this to a built site."""
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(
            re.sub(r'<script src="[^"]*/scripts/fontawesome\.js[^"]*"></script>', "", text), encoding="utf-8"
        )
    (folder / "_static" / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    words = used(folder)
    for path in (path for name in STYLES for path in (folder / "_static").glob(name)):
        path.write_text(keep(path.read_text(encoding="utf-8"), words), encoding="utf-8")
    theme = folder / "_static" / THEME
    css = theme.read_text(encoding="utf-8")
    for font in (folder / "_static" / "vendor" / "fontawesome" / "webfonts").glob("*.ttf"):
        font.with_suffix(".woff").write_bytes(cut(font, signs(css)))
    drawn = r'src:url(../vendor/fontawesome/webfonts/\g<font>.woff) format("woff")'
    theme.write_text(SOURCE.sub(drawn, css), encoding="utf-8")


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html":
        lighten(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
