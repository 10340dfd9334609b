"""What no page uses leaves the theme's styles and fonts; what a page or a script names stays."""

import importlib.util
import io
from pathlib import Path

import matplotlib
import pytest
from fontTools.ttLib import TTFont

PATH = Path(__file__).parents[2] / "_ext" / "lighter.py"
spec = importlib.util.spec_from_file_location("lighter", PATH)
lighter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lighter)

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.mark.parametrize(
    ("rule", "stays"),
    [
        (".used{a:b}", True),
        (".idle{a:b}", False),
        (".used .idle{a:b}", False),
        (".idle,.used{a:b}", True),
        (".idle,.idle2{a:b}", False),
        ("a:not(.idle){a:b}", True),
        (".used:is(.idle,.idle2) p{a:b}", True),
        ("p.idle:not(.used){a:b}", False),
        (".bs-tooltip-auto{a:b}", True),
        ("html[data-theme=dark]{--a:b}", True),
        ("@media (min-width:1px){.used{a:b}}", True),
        ("@font-face{font-family:X;src:url(x)}", True),
        ("@keyframes idle{0%{a:b}to{a:c}}", True),
    ],
)
def test_a_rule_stays_if_one_of_its_selectors_can_match(rule, stays):
    assert lighter.keep(rule, {"used"}) == (rule if stays else "")


def test_inside_a_media_query_only_the_idle_rule_goes():
    assert lighter.keep("@media print{.idle{a:b}.used{c:d}}", {"used"}) == "@media print{.used{c:d}}"


def test_signs_of_icons():
    css = r'.a:before{content:"\f002"}.b:before{content:"A"}.c:before{content:"\@"}.d{content:"\e43f "}'
    assert lighter.signs(css) == {0xF002, ord("A"), ord("@"), 0xE43F}


@pytest.mark.slow
def test_a_font_keeps_the_characters_that_are_named():
    small = lighter.cut(FONT, {ord("A"), ord("é")})
    assert len(small) < FONT.stat().st_size / 20
    assert set(TTFont(io.BytesIO(small)).getBestCmap()) == {ord("A"), ord("é")}


def test_a_site_is_made_lighter(tmp_path):
    static = tmp_path / "_static"
    for name in ("scripts", "styles", "vendor/fontawesome/webfonts"):
        (static / name).mkdir(parents=True)
    (tmp_path / "index.html").write_text(
        '<script src="_static/scripts/fontawesome.js?v=1"></script><i class="fa-a"></i>'
    )
    (static / "scripts" / "fontawesome.js").write_text("idle")
    (static / "scripts" / "theme.js").write_text('e.classList.add("shown")')
    font = static / "vendor/fontawesome/webfonts/fa-solid-900.ttf"
    font.write_bytes(FONT.read_bytes())
    face = '@font-face{src:url(../vendor/fontawesome/webfonts/fa-solid-900.woff2) format("woff2"),url(x.ttf)}'
    theme = static / lighter.THEME
    theme.write_text(face + '.fa-a:before{content:"A"}.fa-b:before{content:"B"}.shown{a:b}')
    others = [static / name.replace("*", "1f") for name in lighter.STYLES[1:]]
    for path in others:
        path.write_text(".gone{a:b}")
    lighter.lighten(tmp_path)
    assert (tmp_path / "index.html").read_text() == '<i class="fa-a"></i>'
    assert theme.read_text() == (
        '@font-face{src:url(../vendor/fontawesome/webfonts/fa-solid-900.woff) format("woff")}'
        '.fa-a:before{content:"A"}.shown{a:b}'
    )
    assert set(TTFont(font.with_suffix(".woff")).getBestCmap()) == {ord("A")}
    assert [path.read_text() for path in others] == [""] * 3
