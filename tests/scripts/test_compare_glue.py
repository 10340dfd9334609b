"""Glued numbers of two folders of notebooks: what differs, what is missing, what is there twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = "It was {glue:text}`same`, {glue:text}`gone:.2f` and {glue:text}`shown`.\n```{glue:figure} drawn\n```\n"
SCRIPT = Path(__file__).resolve().parents[2] / "scripts/compare_glue.py"


def notebook(path, *values):
    """An executed notebook that glues (name, text) pairs; hidden ones carry myst-nb's prefix, shown ones none."""
    outputs = [
        {"output_type": "display_data", "data": {prefix + kind: text}, "metadata": {"scrapbook": mark}}
        for name, text, prefix, kind in values
        for mark in [{"name": name, "mime_prefix": prefix}]
    ]
    cell = {"cell_type": "code", "outputs": [*outputs, {"output_type": "stream", "name": "stdout", "text": ["x"]}]}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": [TEXT]}, cell]}))


HIDDEN = "application/papermill.record/"


def plain(name, text, prefix=HIDDEN):
    return (name, text, prefix, "text/plain")


def run(old, new):
    done = subprocess.run([sys.executable, SCRIPT, old, new], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.fixture
def folders(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    notebook(old / "a.ipynb", plain("same", "1"), plain("moved", "2"), plain("gone", "3"), plain("shown", "4", ""),
             plain("gon", "5"), plain("drawn", "6"))  # fmt: skip
    notebook(old / "only_old.ipynb", plain("x", "1"))
    return old, new


def test_equal_values_pass_also_where_one_is_shown_and_one_is_not(folders):
    old, new = folders
    notebook(
        new / "a.ipynb",
        *(plain(k, v) for k, v in zip(("same", "moved", "gone", "shown", "drawn", "more"), "123467", strict=True)),
    )
    code, lines, _ = run(old, new)
    assert (code, lines[0]) == (0, "a.ipynb: 6 names before, 6 after, 1 that no text names gone, 0 to look at")


def test_what_moved_is_missing_or_twice_is_named(folders):
    old, new = folders
    notebook(new / "a.ipynb", plain("same", "1"), plain("same", "1"), plain("moved", "2.5"), plain("shown", "4"))
    code, lines, _ = run(old, new)
    assert code == 1
    assert lines == [
        "a.ipynb: 6 names before, 3 after, 1 that no text names gone, 4 to look at",
        "a.ipynb: 'gone' was 3, is missing",
        "a.ipynb: 'drawn' was 6, is missing",
        "a.ipynb: 'moved' was 2, is 2.5",
        "a.ipynb: 'same' is glued twice",
    ]


def test_a_picture_that_changes_is_seen(tmp_path):
    for folder, png in (("old", "AAAA"), ("new", "AAAB")):
        notebook(tmp_path / folder / "a.ipynb", ("figure", png, HIDDEN, "image/png"))
    code, lines, _ = run(tmp_path / "old", tmp_path / "new")
    assert code == 1
    assert "'figure' was image/png" in lines[1]


def test_folders_without_a_common_notebook_and_notebooks_not_run_are_refused(folders, tmp_path):
    old, _ = folders
    assert "no notebook in common" in run(old, tmp_path)[2]
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": []}]}))
    code, _, said = run(old, tmp_path / "bare")
    assert code == 1
    assert "has no outputs" in said
