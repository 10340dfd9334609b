"""README's tree of the library is the tree that is there."""

from pathlib import Path

import pytest

from scripts import api_pages, file_tree


@pytest.mark.slow
def test_readme_shows_the_tree_as_it_is():
    text = Path("README.md").read_text(encoding="utf-8")
    assert text == file_tree.readme(text, api_pages.packages()), "run: python scripts/file_tree.py"


@pytest.mark.slow
def test_every_module_has_its_line():
    lines = file_tree.library(api_pages.packages()).splitlines()
    names = [line.split("#")[0].strip() for line in lines]
    assert names.count("training/") == 1
    assert "  rewrite/" in [line.split("#")[0].rstrip()[2:] for line in lines]
    modules = list(Path("povid_lib").rglob("[a-z]*.py"))
    assert sum(name.endswith(".py") for name in names) == len(modules)


def test_a_module_that_says_nothing_and_a_readme_without_a_place_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(file_tree, "TOP", tmp_path)
    (tmp_path / "x.py").write_text("X = 1\n")
    with pytest.raises(ValueError, match=r"x\.py has no docstring"):
        file_tree.first_sentence(tmp_path / "x.py")
    with pytest.raises(ValueError, match="no lines"):
        file_tree.readme("# Title\n", [])
