"""The student's edition: no guards, no solutions, numbers in place, and code that runs without what was taken out."""

import ast
import copy
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from scripts import student_edition
from scripts.chapter_form import NOT_YET
from scripts.plain_markdown import Book
from scripts.student_edition import citations, edition, macros, needed, titles, without_plumbing
from tests.scripts.test_chapter_form import CHAPTER, cell, tags, text

ROOT = Path(__file__).resolve().parents[2]
BOOK = Book(values={"n": 84}, titles={}, equations={}, citations={})


def chapter(*changes):
    cells = copy.deepcopy(CHAPTER)
    cells[11] = cell("markdown", "With {glue:text}`n` answers.")
    for change in changes:
        cells = change(cells)
    return cells


def sources(cells, kind="code"):
    return ["".join(c["source"]) for c in cells if c["cell_type"] == kind]


def test_the_students_has_stubs_and_hints_and_nothing_more():
    made = edition(chapter(), BOOK)
    assert sources(made) == [
        "import math",
        "Quiz(one, two, three)",
        "def half(x):\n    # your code\n\n    return None\n\n\nattempt(check_half, half)",
    ]
    prose = "\n".join(sources(made, "markdown"))
    assert "With 84 answers." in prose
    assert "<summary>Hint</summary>" in prose
    assert "olution" not in prose
    assert not any("{" in found for found in sources(made, "markdown"))


def test_with_a_repository_the_first_cell_fetches_the_course_on_colab_and_does_nothing_elsewhere(tmp_path, monkeypatch):
    first, *others = sources(edition(chapter(), BOOK, url="https://github.com/somebody/something"))
    assert others == sources(edition(chapter(), BOOK))
    monkeypatch.setenv("POVID_RESULTS", "")  # so that it is as before when the test is over
    monkeypatch.delenv("POVID_RESULTS")
    ran = []
    monkeypatch.setattr("subprocess.run", lambda command, check: ran.append(command))
    exec(first, {})
    assert (ran, "POVID_RESULTS" in os.environ) == ([], False)
    monkeypatch.setitem(sys.modules, "google.colab", None)
    monkeypatch.chdir(tmp_path)
    exec(first, {})
    assert ran[0] == ["git", "clone", "--quiet", "--depth", "1", "https://github.com/somebody/something", "course"]
    assert ran[1][1:] == ["-m", "pip", "install", "--quiet", "./course[colab]"]
    assert os.environ["POVID_RESULTS"] == str(tmp_path / "course/results")


def test_the_solved_one_has_each_solution_in_its_stub_under_the_students_name():
    made = edition(
        chapter(text(8, "return x / 2", "return half_solved(0) if not x else x / 2\n\n\nprint(half_solved(3))")),
        BOOK,
        solved=True,
    )
    [solved] = [code for code in sources(made) if "attempt" in code]
    assert "half_solved" not in solved
    assert "your code" not in solved
    tree = ast.parse(solved)
    assert [type(node).__name__ for node in tree.body] == ["FunctionDef", "Expr", "Expr"]
    assert ast.unparse(tree.body[-1]) == "attempt(check_half, half)"
    assert not any("must_accept" in code for code in sources(made))


def test_a_solutions_words_stand_below_it_in_the_solved_one_alone():
    words = chapter(text(9, "```{solution-end}", "It is {glue:text}`n`.\n\n```{solution-end}"))
    assert "It is 84." in sources(edition(words, BOOK, solved=True), "markdown")
    assert "It is 84." not in sources(edition(words, BOOK), "markdown")


def test_what_the_page_does_not_show_is_folded():
    by_source = {"".join(c["source"]): c["metadata"] for c in edition(chapter(), BOOK) if c["cell_type"] == "code"}
    hidden = {code for code, metadata in by_source.items() if metadata.get("jupyter", {}).get("source_hidden")}
    assert hidden == {"import math", "Quiz(one, two, three)"}


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("glue_many({'a': 1})\nx = 2", "x = 2"),
        ("x = 2\nglue('a', x)  # why\n", "x = 2"),
        ("for k in d:\n    glue_record(d[k], prefix=k)", ""),
        ("for k in d:\n    x = 2 * k\n    glue_many({k: x})\nprint(x)", "for k in d:\n    x = 2 * k\nprint(x)"),
        ("if a:\n    glue('a', 1)\nelse:\n    b = 2", "if a:\n    pass\nelse:\n    b = 2"),
        ("with a:\n    glue('a', 1)\nx = 1", "x = 1"),
        ("def f():\n    glue('a', 1)", "def f():\n    pass"),
        ("x = 1  # as it was", "x = 1  # as it was"),
    ],
)
def test_glue_goes_and_nothing_else(code, left):
    assert without_plumbing(code) == left


def hidden(code):
    return cell("code", code, "remove-cell")


@pytest.mark.parametrize(
    ("code", "later", "kept"),
    [
        ("x = 1\nassert x", "print(y)", None),
        ("x = 1\nassert x", "print(x)", "x = 1"),
        ("x, (y, z) = f()", "print(z)", "x, (y, z) = f()"),
        ("def f():\n    return 1", "f()", "def f():\n    return 1"),
        ("found.append(1)", "print(found)", "found.append(1)"),
        ("table['a'][0] = 1", "print(table)", "table['a'][0] = 1"),
        ("model.config.size = 1", "print(model)", "model.config.size = 1"),
        ("x += 1", "print(x)", "x += 1"),
        ("for k in d:\n    x = k", "print(x)", "for k in d:\n    x = k"),
        ("assert x", "print(x)", None),
        ("glue_many({'a': 1})", "print(1)", None),
    ],
)
def test_a_hidden_cell_stays_only_if_a_later_one_reads_what_it_binds(code, later, kept):
    made = sources(edition([cell("markdown", "# A"), hidden(code), cell("code", later)], BOOK))
    assert made == ([kept] if kept else []) + [later]


def test_what_a_kept_hidden_cell_reads_is_kept_as_well():
    cells = [hidden("a = 1"), hidden("b = a"), hidden("c = 2"), cell("code", "print(b)")]
    assert sources(edition([cell("markdown", "# A"), *cells], BOOK)) == ["a = 1", "b = a", "print(b)"]


def test_a_figures_caption_stands_below_it():
    figure = cell("code", "draw()")
    figure["metadata"]["mystnb"] = {"figure": {"name": "fig-a", "caption": "**One.** With {glue:text}`n`."}}
    made = edition([cell("markdown", "# A"), figure], replace(BOOK, figures={"fig-a": "6.1"}))
    assert sources(made, "markdown")[-1] == "**Fig. 6.1.** **One.** With 84."


def test_an_empty_cell_goes():
    assert needed([]) == []
    assert sources(edition([cell("markdown", "# A"), cell("code", "glue('a', 1)")], BOOK)) == []


@pytest.fixture
def folder(tmp_path):
    """A small book: one executed notebook, a page, a bibliography, the settings."""
    for name in ("notebooks", "book/drawings", "scratch"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "book/drawings/two.svg").write_text("<svg><title>Two.</title></svg>")
    (tmp_path / "book/notation.md").write_text("(a)=\n# Notation\n")
    (tmp_path / "book/references.bib").write_text("@misc{a, author={Lin, A and Wu, B}, year={2020}}")
    (tmp_path / "_config.yml").write_text((ROOT / "_config.yml").read_text())
    code = nbformat.v4.new_code_cell("glue('n', 84)\nfrom math import pi, tau\nprint(pi)", execution_count=1)
    code.metadata["tags"] = ["hide-input"]
    mark = {"scrapbook": {"name": "n", "mime_prefix": "application/papermill.record/"}}
    code.outputs = [
        nbformat.v4.new_output("display_data", {"application/papermill.record/text/plain": "84"}, metadata=mark)
    ]
    drawing = "```{drawing} two\nThe two.\n```"
    prose = (
        f"# Six\n\n$$ x $$ (eq-x)\n\n{drawing}\n\n" + "{glue:text}`n`, {eq}`eq-x`, {cite}`a`, {doc}`../book/notation`"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose), code])
    nbformat.write(notebook, tmp_path / "scratch/06_six.ipynb")
    return tmp_path


def test_a_folder_of_notebooks(folder):
    [path] = student_edition.make(folder / "scratch", folder / "out", folder)
    made = json.loads(path.read_text())
    assert json.loads((folder / "out/solved/06_six.ipynb").read_text())["cells"] == made["cells"]
    assert sources(made["cells"]) == ["from math import pi\n\nprint(pi)"]  # what nothing uses any more is not imported
    [first, *_] = made["cells"]
    assert "84, (6.1), [Lin and Wu, 2020], Notation (in the book)" in "".join(first["source"])
    assert list(first["attachments"]) == ["two.svg"]
    assert all(c.get("outputs", []) == [] for c in made["cells"])
    nbformat.validate(nbformat.read(path, 4))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda nb: nb.cells[1].update(execution_count=None), "06_six.ipynb: it was not executed to its end"),
        (lambda nb: nb.cells[1].update(outputs=[]), "06_six.ipynb: there is no glued number 'n'"),
        (lambda nb: nb.cells[0].update(source="{doc}`07_no`"), "06_six.ipynb: there is no page 'notebooks/07_no'"),
    ],
)
def test_a_notebook_that_is_not_whole_is_named(folder, spoil, told):
    notebook = nbformat.read(folder / "scratch/06_six.ipynb", 4)
    spoil(notebook)
    nbformat.write(notebook, folder / "scratch/06_six.ipynb")
    with pytest.raises(ValueError, match=told):
        student_edition.make(folder / "scratch", folder / "out", folder)


def test_no_notebooks_is_a_fault(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `make book` first"):
        student_edition.make(tmp_path, tmp_path / "out")


def test_a_chapter_not_in_the_form_is_a_fault():
    with pytest.raises(ValueError, match="in this order"):
        edition(chapter(tags(5)), BOOK)


def test_the_books_own_settings_are_read():
    assert {"E", "KL"} <= set(macros(ROOT / "_config.yml"))
    assert titles(ROOT)["notebooks/06_dpo"] == "Deriving DPO"
    textual, short = citations(ROOT / "book/references.bib")["rafailov2023dpo"]
    assert (textual, short) == ("Rafailov et al. (2023)", "Rafailov et al., 2023")


def test_chapters_that_are_left_out_exist():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} >= NOT_YET
