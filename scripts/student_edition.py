"""The student's edition of the notebooks: ``python scripts/student_edition.py scratch/notebooks _build/student``.

From each executed notebook two are made that run in plain Jupyter: the student's (numbers filled in, no guards, no solutions), and
in ``solved/`` the same with every solution written into its stub, for teachers and for the tests.
"""

from __future__ import annotations

import ast
import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import yaml
from pybtex.database import Entry, parse_file

from _ext.surroundings import repository_url
from scripts.chapter_form import NOT_YET, Cell, Exercise, exercises, purpose, source
from scripts.plain_markdown import Book, Macros, equations, figures, glued, plain

ROOT = Path(__file__).parent.parent
PLUMBING = ("glue", "glue_many", "glue_record")  # what fills in the book's numbers, which a student has already
HEAD = """> The student's edition of a chapter of *Seeing or Guessing?* Numbers in the text are those of the book's own run. Each
> exercise has a stub to fill in; run its cell to check your answer. It needs `povid_lib`: the book's page *How to use this
> book* tells how to install it."""
COLAB = """# On Colab, run this cell first: it fetches the course, its results and its library.
import os
import subprocess
import sys

if "google.colab" in sys.modules:
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{url}", "course"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "./course[colab]"], check=True)
    os.environ["POVID_RESULTS"] = os.path.abspath("course/results")"""


def edition(cells: list[Cell], book: Book, solved: bool = False, url: str = "") -> list[Cell]:
    """The cells of a chapter's student's edition; with ``solved``, the solutions stand in the stubs.

    ``url``: the repository's address, from which Colab fetches the course; without one there is no cell for it. Raises
    ``ValueError`` for what is not in the book's form.
    """
    by_stub = {exercise.stub: exercise for exercise in exercises(cells)}
    made: list[Cell] = []
    for i, cell in enumerate(cells):
        kind = purpose(cell)
        if kind == "guard" or (kind == "solution" and (not solved or cell["cell_type"] == "code")):
            continue
        if cell["cell_type"] == "markdown":
            made += _text(cell, book)
        elif cell["cell_type"] == "code":
            code = _solved(cells, by_stub[i]) if solved and i in by_stub else without_plumbing(source(cell))
            hidden = {"hide-input", "remove-input", "remove-cell"} & set(cell["metadata"].get("tags", []))
            made.append(_code(code, kind, bool(hidden), droppable="remove-cell" in cell["metadata"].get("tags", [])))
            figure = cell["metadata"].get("mystnb", {}).get("figure", {})
            if "caption" in figure:
                number = f"**Fig. {book.figures[figure['name']]}.** " if "name" in figure else ""
                made.append(_markdown(number + plain(figure["caption"].strip(), book)))
        else:
            raise ValueError(f"cell {i} is neither text nor code.")
    kept = needed(made)
    kept.insert(1, _markdown(HEAD))
    if url:
        kept.insert(2, nbformat.v4.new_code_cell(COLAB.format(url=url)))
    return kept


def without_plumbing(code: str) -> str:
    """The code less the calls that glue, also those in loops. What remains of a statement is laid out anew."""
    tree = ast.parse(code)
    lines = code.split("\n")
    for node in reversed(tree.body):
        if any(_glues(n) for n in ast.walk(node)):
            left = _NoGlue().visit(node)
            lines[node.lineno - 1 : node.end_lineno] = [] if left is None else [ast.unparse(left)]
    return "\n".join(lines).strip("\n")


class _NoGlue(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Expr) and _glues(node.value):
            return None
        self.generic_visit(node)
        if isinstance(node, ast.For | ast.While | ast.If | ast.With | ast.Try | ast.FunctionDef) and not node.body:
            if isinstance(node, ast.For | ast.If | ast.With) and not getattr(node, "orelse", []):
                return None
            node.body = [ast.Pass()]
        return node


def _glues(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLUMBING


def needed(cells: list[Cell]) -> list[Cell]:
    """The cells without those that the page does not show either, unless a later cell that is kept reads what they bind.

    Of the code that is dropped nothing else is lost: their assertions hold the prose to the numbers, which are now fixed.
    """
    wanted: set[str] = set()
    kept: list[Cell] = []
    for cell in reversed(cells):
        if cell["cell_type"] == "code":
            droppable = cell["metadata"].pop("droppable")
            tree = ast.parse(source(cell))
            if droppable:
                tree.body = [node for node in tree.body if not isinstance(node, ast.Assert)]
                if not _bound(tree) & wanted:
                    continue
                cell["source"] = ast.unparse(tree)
            if not tree.body:
                continue
            wanted |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        kept.append(cell)
    return kept[::-1]


def _bound(tree: ast.Module) -> set[str]:
    """The names that code binds, or whose values it changes in place as far as can be seen."""
    names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        at: ast.AST = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else node
        if isinstance(at, ast.Name | ast.Attribute | ast.Subscript) and (
            at is not node or isinstance(at.ctx, ast.Store)
        ):
            while isinstance(at, ast.Attribute | ast.Subscript | ast.Call):
                at = at.func if isinstance(at, ast.Call) else at.value
            if isinstance(at, ast.Name):
                names.add(at.id)
    return names


def _solved(cells: list[Cell], exercise: Exercise) -> str:
    """The solution under the name that the student's function has, and then the stub's own check."""
    parts = [without_plumbing(source(cells[i])) for i in exercise.solution if cells[i]["cell_type"] == "code"]
    code = re.sub(rf"\b{exercise.function}_solved\b", exercise.function, "\n\n\n".join(parts))
    stub = source(cells[exercise.stub])
    [start] = [n.lineno for n in ast.parse(stub).body if isinstance(n, ast.FunctionDef) and n.name == exercise.function]
    ends = [
        n.lineno for n in ast.parse(stub).body if n.lineno > start
    ]  # with what stands below the function, comments are its own
    lines = stub.split("\n")
    del lines[start - 1 : ends[0] - 1]
    return code + "\n\n\n" + "\n".join(lines).strip("\n")


def _text(cell: Cell, book: Book) -> Iterator[Cell]:
    text = plain(source(cell), book)
    if not text:
        return
    made = _markdown(text)
    for name in re.findall(r"\(attachment:([\w.-]+)\)", text):
        picture = base64.b64encode((book.drawings / name).read_bytes()).decode()
        made.setdefault("attachments", {})[name] = {"image/svg+xml": picture}
    if purpose(cell):
        made["metadata"]["tags"] = [purpose(cell)]
    yield made


def _markdown(text: str) -> Cell:
    return nbformat.v4.new_markdown_cell(text)


def _code(code: str, kind: str, hidden: bool, droppable: bool) -> Cell:
    metadata: dict[str, Any] = {"droppable": droppable}
    if kind:
        metadata["tags"] = [kind]
    if hidden:
        metadata["jupyter"] = {"source_hidden": True}
    return nbformat.v4.new_code_cell(code, metadata=metadata)


def titles(root: Path) -> dict[str, str]:
    """The title of every page of the book, by its path without ending."""
    found = {}
    for path in sorted([*root.glob("notebooks/*.ipynb"), *root.glob("book/**/*.md")]):
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
        else:
            text = "\n".join(source(c) for c in nbformat.read(path, 4).cells if c["cell_type"] == "markdown")
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        if title:
            found[str(path.relative_to(root).with_suffix(""))] = title[1].strip()
    return found


def citations(bibliography: Path) -> dict[str, tuple[str, str]]:
    """Every reference as it stands in the text: ``Zhou et al. (2024)``, and in brackets ``Zhou et al., 2024``."""
    found = {}
    for key, entry in parse_file(str(bibliography)).entries.items():
        names, year = _names(entry), entry.fields.get("year", "n.d.")
        found[key] = (f"{names} ({year})", f"{names}, {year}")
    return found


def _names(entry: Entry) -> str:
    last = [
        " ".join([*p.prelast_names, *p.last_names]).replace("{", "").replace("}", "") for p in entry.persons["author"]
    ]
    return last[0] if len(last) == 1 else " and ".join(last) if len(last) == 2 else f"{last[0]} et al."


def macros(config: Path) -> Macros:
    """The book's own macros of MathJax."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))["sphinx"]["config"]["mathjax3_config"]["tex"][
        "macros"
    ]
    return {name: (m, 0) if isinstance(m, str) else (m[0], m[1]) for name, m in settings.items()}


def make(executed: Path, out: Path, root: Path = ROOT) -> list[Path]:
    """Write the editions of a folder's executed notebooks, but those of ``NOT_YET``; returns the paths of the students'.

    Raises ``FileNotFoundError`` if there are none, and ``ValueError`` that names the notebook and what is wrong in it.
    """
    notebooks = sorted(path for path in executed.glob("*.ipynb") if path.stem not in NOT_YET)
    if not notebooks:
        raise FileNotFoundError(f"{executed} holds no executed notebooks; run `make book` first.")
    (out / "solved").mkdir(parents=True, exist_ok=True)
    url = repository_url((root / "_config.yml").read_text(encoding="utf-8"))
    named, cited, expanded = titles(root), citations(root / "book/references.bib"), macros(root / "_config.yml")
    drawn, counted = dict[str, str](), dict[str, str]()  # a chapter may refer to another one's
    read = {path: nbformat.read(path, 4) for path in sorted(executed.glob("*.ipynb"))}
    for path, notebook in read.items():
        chapter = int(path.stem[:2])
        drawn |= figures(notebook.cells, chapter)
        counted |= equations([source(cell) for cell in notebook.cells if cell["cell_type"] == "markdown"], chapter)
    shared = Book({}, named, counted, figures=drawn, citations=cited, macros=expanded, drawings=root / "book/drawings")
    for path in notebooks:
        notebook = read[path]
        try:
            book = replace(shared, values=values_of(notebook.cells))
            for folder, solved in ((out, False), (out / "solved", True)):
                made = nbformat.v4.new_notebook(cells=edition(notebook.cells, book, solved, url))
                made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
                for number, cell in enumerate(made.cells):
                    cell["id"] = str(number)
                nbformat.write(made, folder / path.name)
        except ValueError as fault:
            raise ValueError(f"{path.name}: {fault}") from fault
    _unused_imports(out)
    return [out / path.name for path in notebooks]


def values_of(cells: list[Cell]) -> dict[str, object]:
    """What one chapter has glued, by name. Raises ``ValueError`` if the notebook was not executed."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if any(cell.get("execution_count") is None for cell in code if source(cell).strip()):
        raise ValueError("it was not executed to its end; run `make book` first.")
    return {name: value for cell in code for name, value in glued(cell["outputs"]).items()}


def _unused_imports(folder: Path) -> None:
    """Take out what was imported for guards and glue alone, and lay the code out as in the book."""
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "notebooks/ruff.toml"), "--quiet", str(folder)]
    subprocess.run([*ruff, "check", "--select", "F401", "--fix", *config], check=True)
    subprocess.run([*ruff, "format", *config], check=True)


if __name__ == "__main__":
    made = make(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{len(made)} notebooks in {sys.argv[2]}, and with solutions in {sys.argv[2]}/solved.")
    if NOT_YET:
        print(f"LEFT OUT, not in the form yet: {', '.join(sorted(NOT_YET))}.")
