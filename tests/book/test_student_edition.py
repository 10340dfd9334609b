"""The student's edition as a class gets it: it runs in plain Jupyter untouched, and with every solution written into its stub."""

from pathlib import Path

import nbclient
import nbformat
import pytest

from scripts.chapter_form import NOT_YET
from tests.book.conftest import HTML

ROOT = Path(__file__).resolve().parents[2]
STUDENT = ROOT / "_build" / "student"
CHAPTERS = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.stem not in NOT_YET]
ALWAYS = "06_dpo"  # the others are slow: `make student-tests`
RUN = [pytest.param(stem, marks=[] if stem == ALWAYS else pytest.mark.slow) for stem in CHAPTERS]


def run(path):
    """What each exercise of a notebook printed, when the notebook was run from top to bottom. Raises what a cell raises."""
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": "/"}}
    ).execute()
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and "exercise" in cell.metadata.get("tags", [])
    ]


@pytest.mark.parametrize("stem", RUN)
def test_untouched_it_runs_and_every_exercise_is_still_open(stem):
    told = run(STUDENT / f"{stem}.ipynb")
    assert told
    assert all("Not yet:" in text and "Right." not in text for text in told), told


@pytest.mark.parametrize("stem", RUN)
def test_with_all_solutions_it_runs_and_every_check_passes(stem):
    told = run(STUDENT / "solved" / f"{stem}.ipynb")
    assert told
    assert all(text.endswith("Right.\n") and "Not yet" not in text for text in told), told


@pytest.mark.parametrize("stem", CHAPTERS)
def test_the_download_button_gives_it(open_page, site, stem):
    page = open_page(f"notebooks/{stem}.html")
    link = page.locator(".btn-download-source-button").first.evaluate("a => a.href")
    assert link == f"{site[1]}_static/student/{stem}.ipynb"
    assert (HTML / "_static/student" / f"{stem}.ipynb").read_bytes() == (STUDENT / f"{stem}.ipynb").read_bytes()


@pytest.mark.parametrize("stem", CHAPTERS)
def test_it_holds_no_solution_and_nothing_of_the_builds_own(stem):
    cells = nbformat.read(STUDENT / f"{stem}.ipynb", 4).cells
    text = "\n".join(cell.source for cell in cells)
    assert not [
        word
        for word in ("_solved", "must_accept", "must_refuse", "glue(", "glue_many", "{glue:", "{doc}`")
        if word in text
    ]
    assert not [tag for cell in cells for tag in cell.metadata.get("tags", []) if tag in ("solution", "guard")]
