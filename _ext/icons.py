"""The theme's icons without their weight: drawn once, by fonts that hold the icons of this book and no others.

The theme brings 2,000 icons: 300 kB of fonts, 85 kB of rules, and a script of 1.5 MB that draws each icon a second time.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

NAME = re.compile(r"\bfa-[a-z0-9-]+")
RULE = re.compile(r'(?P<names>(?:\.fa-[a-z0-9-]+:{1,2}before,?)+)\{content:"(?P<sign>[^"]+)"\}')
SOURCE = re.compile(r"src:url\(\.\./vendor/fontawesome/webfonts/(?P<font>[\w-]+)\.woff2\)[^;}]*")


def used(folder: Path) -> set[str]:
    """The names of icons that any page or script of the site writes."""
    files = [*folder.rglob("*.html"), *(folder / "_static").rglob("*.js")]
    return {name for file in files for name in NAME.findall(file.read_text(encoding="utf-8"))}


def keep(css: str, names: set[str]) -> tuple[str, set[int]]:
    """The theme's style with the rules of the icons in ``names`` only, and those icons' characters."""
    signs: set[int] = set()

    def rule(match: re.Match[str]) -> str:
        if not names & set(NAME.findall(match["names"])):
            return ""
        written = match["sign"].removeprefix("\\")
        signs.add(int(written, 16) if len(written) > 1 else ord(written))
        return match[0]

    css = RULE.sub(rule, css)
    return SOURCE.sub(r'src:url(../vendor/fontawesome/webfonts/\g<font>.woff) format("woff")', css), signs


def cut(font: Path, signs: set[int]) -> bytes:
    """A font as WOFF with the characters ``signs`` alone."""
    small = TTFont(font)
    cutter = subset.Subsetter()
    cutter.populate(unicodes=signs)
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
    style = folder / "_static" / "styles" / "pydata-sphinx-theme.css"
    css, signs = keep(style.read_text(encoding="utf-8"), used(folder))
    for font in (folder / "_static" / "vendor" / "fontawesome" / "webfonts").glob("*.ttf"):
        font.with_suffix(".woff").write_bytes(cut(font, signs))
    style.write_text(css, encoding="utf-8")


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html":
        lighten(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
