"""The job that runs notebooks on other models: it takes the dial's line, and tells where a notebook stops."""

import nbformat
import pytest

from scripts import on_standin


def notebook(path, *cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, path)
    return path


@pytest.mark.slow
def test_it_says_how_a_notebook_ends(tmp_path):
    good = notebook(
        tmp_path / "good.ipynb", 'MODEL = "pocket"  # or another', "import os",
        "assert MODEL == 'there' and os.environ['POVID_SCENES'] == '2'",
        "print(\"Skipped for MODEL = 'there': this cell is\")",
    )  # fmt: skip
    bad = notebook(tmp_path / "bad.ipynb", 'MODEL = "pocket"', "x = 1", "1 / 0", "x = 2")
    plain = notebook(tmp_path / "plain.ipynb", "x = 1")
    assert on_standin.with_dial([good, bad, plain]) == [good, bad]
    assert on_standin.ends(good, "there", {"POVID_SCENES": "2"}) == "ends, 1 cells skipped"
    assert on_standin.ends(bad, "there", {}) == "stops in code cell 3: ZeroDivisionError: division by zero"


def test_the_table_has_a_row_a_notebook():
    found = {"02_a": {"pocket": "ends", "other": "stops"}, "07_b": {"pocket": "ends", "other": "ends"}}
    assert on_standin.table(found).splitlines()[2:] == [
        "| 02_a | ends | stops | 14.7 | 5.0 |",
        "| 07_b | ends | ends | 19.9 | 10.3 |",
    ]


def test_every_notebook_with_a_dial_has_its_memory_counted():
    dialled = on_standin.with_dial(sorted((on_standin.TOP / "notebooks").glob("*.ipynb")))
    assert sorted(on_standin.WORK) == sorted(path.stem[:2] for path in dialled)
    for path in dialled:
        whole, four_bit = on_standin.peaks(path.stem)
        assert 14 < whole < 24  # 7 billion weights of two bytes; a card of 24 GB runs every notebook
        assert 4 < four_bit < whole - 8
