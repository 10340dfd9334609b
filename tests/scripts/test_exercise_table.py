"""The instructors' table lists every exercise of the notebooks, and is put where the page says."""

import json
from pathlib import Path

import pytest

from scripts.exercise_table import MARK, fill, table

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def notebooks(tmp_path):
    def write(name, *texts):
        cells = [{"cell_type": "markdown", "metadata": {}, "source": [text]} for text in texts]
        (tmp_path / name).write_text(json.dumps({"cells": cells}))
        return tmp_path

    return write


def test_a_row_an_exercise(notebooks):
    notebooks("07_b.ipynb", "```{exercise} Two; hard, 40 minutes\n:label: b\n```")
    folder = notebooks(
        "06_a.ipynb", "# No\n", "```{exercise} One; easy, 5 minutes\n```", "~~~{exercise} Open question\n~~~"
    )
    assert table(folder).split("\n")[2:] == [
        "| 06 | One | easy | 5 |",
        "| 06 | Open question |  |  |",
        "| 07 | Two | hard | 40 |",
    ]


def test_no_exercises_is_a_fault(notebooks):
    with pytest.raises(ValueError, match="holds no exercises"):
        table(notebooks("06_a.ipynb", "# No"))


def test_the_page_is_filled_once(notebooks, tmp_path):
    folder = notebooks("06_a.ipynb", "```{exercise} One; easy, 5 minutes\n```")
    page = tmp_path / "page.md"
    page.write_text((ROOT / "book/instructors.md").read_text())
    fill(page, folder)
    assert MARK not in page.read_text()
    assert "| 06 | One | easy | 5 |" in page.read_text()
    with pytest.raises(ValueError, match="stands there 0 times"):
        fill(page, folder)
