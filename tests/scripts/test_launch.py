"""Links to Colab and Binder: from one setting, for notebooks only, and none where the setting is empty."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from jupyter_book.config import get_final_config
from sphinx_book_theme.header_buttons.launch import add_launch_buttons

from _ext import downloads, surroundings

ROOT = Path(__file__).parents[2]


def buttons(folder, url, page="notebooks/01_inside_a_vlm", kernel=True):
    """The links of a page, text -> address, as the theme makes them from our settings."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    settings["html"]["repository_url"] = url
    (folder / "_config.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    made, _ = get_final_config(user_yaml=settings, cli_config={"latex_individualpages": False}, raise_on_invalid=True)
    config = SimpleNamespace(html_theme_options=made["html_theme_options"])
    surroundings.add_buttons(SimpleNamespace(confdir=folder), config)
    for chapter in ("01_inside_a_vlm", "02_measuring"):  # what has a student's edition
        (folder / "assets/student").mkdir(parents=True, exist_ok=True)
        (folder / "assets/student" / f"{chapter}.ipynb").touch()
    app = SimpleNamespace(
        srcdir=folder,
        config={"html_theme_options": config.html_theme_options},
        env=SimpleNamespace(
            doc2path=lambda name: f"{name}.ipynb", metadata={page: {"kernelspec": {}} if kernel else {}}
        ),
    )
    ending = ".ipynb" if kernel else ".md"
    context = {"pagename": page, "header_buttons": [], "sourcename": page + ending, "page_source_suffix": ending}
    if config.html_theme_options.get("repository_url"):
        user, repository = url.split("/")[-2:]
        context |= {"github_url": "https://github.com", "github_user": user, "github_repo": repository}
    add_launch_buttons(app, page, "page.html", context, None)
    downloads.students_notebook(app, page, "page.html", context, None)
    return {button["text"]: button["url"] for group in context["header_buttons"] for button in group["buttons"]}


def test_a_chapter_has_links_that_open_its_students_edition(tmp_path):
    found = buttons(tmp_path, "https://github.com/somebody/something")
    assert found == {
        "Binder": "https://mybinder.org/v2/gh/somebody/something/student?urlpath=lab/tree/student/01_inside_a_vlm.ipynb",
        "Colab": "https://colab.research.google.com/github/somebody/something/blob/student/student/01_inside_a_vlm.ipynb",
    }


def test_a_notebook_without_exercises_is_opened_as_it_is(tmp_path):
    found = buttons(tmp_path, "https://github.com/somebody/something", "notebooks/13_try_your_own")
    assert found["Colab"].endswith("/blob/main/notebooks/13_try_your_own.ipynb")


@pytest.mark.parametrize(("url", "kernel"), [("", True), ("https://github.com/somebody/something", False)])
def test_there_is_none_without_a_repository_nor_on_other_pages(tmp_path, url, kernel):
    assert buttons(tmp_path, url, kernel=kernel) == {}


def test_the_setting_is_empty_until_there_is_a_repository():
    assert not yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["repository_url"]
