"""What surrounds a page: repository, Colab and Binder from one setting, the way to cite, and pictures that open by a touch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

HOSTS = ("github.com", "gitlab.com", "bitbucket.org")  # whose buttons the theme can make
MADE = ("book/api/", "book/status", "genindex", "py-modindex", "search")  # pages without a source in the repository
PICTURE = re.compile(r'<img (?P<before>[^>]*?)src="(?P<src>(?:\.\./)*_images/[^"]+)"(?P<after>[^>]*?)/?>')


def repository_url(text: str) -> str:
    """``html.repository_url`` of a ``_config.yml``, or "" where it is not set.

    Raises ``ValueError`` if it is no address of a repository on a host whose buttons the theme can make.
    """
    url = str((yaml.safe_load(text).get("html") or {}).get("repository_url") or "").strip().removesuffix("/")
    host = "|".join(map(re.escape, HOSTS))
    if url and not re.fullmatch(rf"https://(?:{host})/[\w.-]+/[\w.-]+", url):
        raise ValueError(
            f"_config.yml: html.repository_url is {url!r}; give https://HOST/OWNER/NAME on {', '.join(HOSTS)}, or nothing."
        )
    return url


def add_buttons(app: Sphinx, config: Config) -> None:
    try:
        url = repository_url((Path(app.confdir) / "_config.yml").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    options = config.html_theme_options
    options |= dict.fromkeys(("use_repository_button", "use_issues_button", "use_edit_page_button"), bool(url))
    if url:
        options["repository_url"] = url
    else:  # jupyter-book's own default is its authors' repository: its notebooks would be opened
        options.pop("repository_url", None)
        kept = {"notebook_interface", "thebe"}
        options["launch_buttons"] = {k: v for k, v in options.get("launch_buttons", {}).items() if k in kept}


def take_buttons_off(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    # A page that the build writes cannot be edited there.
    if pagename.startswith(MADE):
        for group in context.get("header_buttons", []):
            if group.get("buttons"):
                group["buttons"] = [b for b in group["buttons"] if b.get("label") != "source-edit-button"]


def say_how_to_cite(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "theme_extra_footer" in context and "pathto" in context:
        here = context["pathto"]("book/references").removesuffix("#")  # which the page itself is called
        context["theme_extra_footer"] += f' <a href="{here}#how-to-cite">How to cite</a>.'


def open_pictures(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    # On a phone a figure is small: a touch opens the picture by itself. Pictures far below are fetched when they are scrolled to.
    if "body" in context:
        picture = r'<img loading="lazy" \g<before>src="\g<src>"\g<after>/>'
        context["body"] = PICTURE.sub(rf'<a class="enlarge" href="\g<src>">{picture}</a>', context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", add_buttons, priority=100)  # before the theme reads its options
    app.connect("html-page-context", say_how_to_cite, priority=900)
    app.connect("html-page-context", take_buttons_off, priority=950)
    app.connect("html-page-context", open_pictures, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
