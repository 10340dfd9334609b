"""One setting brings the repository's buttons; anything but a repository's address is refused."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).parents[2] / "_ext" / "surroundings.py"
spec = importlib.util.spec_from_file_location("surroundings", PATH)
surroundings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(surroundings)


def config(url):
    return f'html:\n  repository_url: "{url}"\n'


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("title: x\n", ""),
        ("html:\n", ""),
        (config(""), ""),
        (config("https://github.com/some-one/a.book"), "https://github.com/some-one/a.book"),
        (config("https://gitlab.com/one/book/"), "https://gitlab.com/one/book"),
    ],
)
def test_the_setting_is_read(text, url):
    assert surroundings.repository_url(text) == url


@pytest.mark.parametrize(
    "url",
    ["http://github.com/a/b", "https://github.com/a", "https://github.com/a/b/tree/main", "https://elsewhere.org/a/b", "a/b",
     "https://github.com.elsewhere.org/a/b", "javascript:alert(1)", "https://github.com/a/b?x=1"],
)  # fmt: skip
def test_what_is_no_repository_is_refused(url):
    with pytest.raises(ValueError, match=r"html\.repository_url is .*give https://HOST/OWNER/NAME"):
        surroundings.repository_url(config(url))


@pytest.mark.parametrize("url", ["", "https://github.com/one/book"])
def test_all_buttons_or_none(tmp_path, url):
    (tmp_path / "_config.yml").write_text(config(url))
    options = SimpleNamespace(html_theme_options={})
    surroundings.add_buttons(SimpleNamespace(confdir=tmp_path), options)
    found = options.html_theme_options
    assert {found[f"use_{what}_button"] for what in ("repository", "issues", "edit_page")} == {bool(url)}
    assert found.get("repository_url", "") == url


def test_the_books_own_setting_can_be_read():
    surroundings.repository_url((PATH.parents[1] / "_config.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("page", "left"), [("book/api/files", 1), ("book/how_to", 2)])
def test_a_page_that_the_build_writes_has_no_edit_button(page, left):
    buttons = [{"label": "source-edit-button"}, {"label": "source-issues-button"}]
    context = {"header_buttons": [{"buttons": buttons}]}
    surroundings.take_buttons_off(None, page, "page.html", context, None)
    assert len(context["header_buttons"][0]["buttons"]) == left


def test_a_picture_opens_by_a_touch():
    context = {
        "body": '<img alt="Bars." src="../_images/a.png" class="x" /><img src="data:image/png;base64,x" alt="b" />'
    }
    surroundings.open_pictures(None, "notebooks/x", "page.html", context, None)
    assert context["body"].startswith(
        '<a class="enlarge" href="../_images/a.png"><img loading="lazy" alt="Bars." src="../_images/a.png"'
    )
    assert context["body"].count("<a ") == 1
