"""The pages on the library: every package has one, in the order of the map."""

from pathlib import Path

import pytest
import yaml

from scripts import api_pages


def test_every_package_has_a_page_and_a_place_in_the_contents():
    contents = yaml.safe_load(Path("_toc.yml").read_text())
    (library,) = (c for part in contents["parts"] for c in part["chapters"] if c["file"] == "book/api/index")
    assert [section["file"] for section in library["sections"]] == [f"book/api/{p}" for p in api_pages.packages()]


def test_a_page_names_every_module():
    text = api_pages.page("data")
    assert ".. automodule:: povid_lib.data.rewrite.prompts\n" in text
    assert text.count("automodule") == len(list(Path("povid_lib/data").rglob("[a-z]*.py")))


def test_a_package_that_the_map_lacks_is_told(tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "__init__.py").write_text("")
    (tmp_path / "__init__.py").write_text('"""Map."""')
    monkeypatch.setattr(api_pages, "LIBRARY", tmp_path)
    with pytest.raises(ValueError, match="new"):
        api_pages.packages()
    with pytest.raises(ValueError, match="no docstring"):
        api_pages.summary("new")


def test_the_lists_of_commands_are_whole():
    told = (
        "# `t`\n\nA tool. Of mine.\n\n**Commands**:\n\n* `one`: Do a thing that takes...\n* `more`: Things of...\n\n"
        "## `t one`\n\nDo a thing that takes long to tell; and more. Yes.\n\n## `t more`\n\nThings of another kind: two.\n\n"
        "**Commands**:\n\n* `one`: Another...\n\n### `t more one`\n\nAnother one. Really.\n"
    )
    found = api_pages.whole_lists(told)
    assert "* `one`: Do a thing that takes long to tell; and more.\n* `more`: Things of another kind: two.\n" in found
    assert "* `one`: Another one.\n" in found
    assert found.count("\n") == told.count("\n")
    assert "..." not in found
