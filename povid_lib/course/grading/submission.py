"""A submission's functions, found by name in the syntax tree: no cell counts, and of the rest only what the functions need is run.

This runs in the student's process. What is wrong with one cell or one statement is noted and harms no other.
"""

from __future__ import annotations

import ast
import json
import linecache
import re
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 10_000_000  # of a submission
_SHELL = re.compile(r"^(\s*)[%!].*$|^(\s*).*\?\s*$")  # lines that only IPython reads
_CELL = re.compile(r"^# ?%%.*$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a submission, and the names that it binds and reads."""

    tree: ast.stmt
    place: str
    binds: frozenset[str]
    reads: frozenset[str]


def functions(data: bytes, is_notebook: bool, wanted: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What the submission binds to the ``wanted`` names, and notes on what went wrong on the way.

    ``wanted``: name -> the untouched stub; a stub that stands beside an answer of its name is passed over, wherever it stands.
    Imports, helpers and constants come along where the functions read them, as far as they can be run.
    """
    notes: list[str] = []
    statements = [
        statement for place, text in _cells(data, is_notebook, notes) for statement in _statements(place, text, notes)
    ]
    space: dict[str, Any] = {"__name__": "submission", "__builtins__": __builtins__}
    pending = _needed(_without_stubs(statements, wanted), wanted)
    for last in (False, True):  # once more for what stands above the cell that it needs
        failed = []
        for statement in pending:
            try:
                exec(compile(ast.Module([statement.tree], []), statement.place, "exec"), space)
            except BaseException as fault:  # whatever it is, the next statement is run
                failed.append(statement)
                if last:
                    notes.append(f"{statement.place}: {type(fault).__name__} in the statement at {_bound(statement)}.")
        pending = failed
    return {name: space[name] for name in wanted if name in space}, notes


def line_of(fault: BaseException) -> str:
    """The last line of the submission that an exception came through."""
    own = [frame for frame in traceback.extract_tb(fault.__traceback__) if frame.filename.startswith("cell ")]
    return f"at `{own[-1].line}`" if own and own[-1].line else ""


def _cells(data: bytes, is_notebook: bool, notes: list[str]) -> list[tuple[str, str]]:
    """The texts of the code cells, each with its name."""
    if not data.strip():
        notes.append("The file is empty.")
        return []
    try:
        text = data.decode("utf-8-sig")
        if not is_notebook:
            return [(f"cell {at}", part) for at, part in enumerate(_CELL.split(text), 1)]
        cells = json.loads(text)["cells"]
        code = [(at, cell["source"]) for at, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
        return [(f"cell {at}", source if isinstance(source, str) else "".join(source)) for at, source in code]
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        notes.append(
            f"The file cannot be read as {'a notebook' if is_notebook else 'Python'} ({type(fault).__name__})."
        )
        return []


def _statements(place: str, text: str, notes: list[str]) -> list[Statement]:
    if text.lstrip().startswith("%%"):
        return []
    text = "\n".join(_SHELL.sub(lambda found: f"{found[1] or found[2] or ''}pass", line) for line in text.split("\n"))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as fault:
        line = f", line {fault.lineno}" if isinstance(fault, SyntaxError) else ""
        notes.append(f"{place}{line}: {type(fault).__name__}; this cell was left out.")
        return []
    linecache.cache[place] = (len(text), None, [f"{line}\n" for line in text.split("\n")], place)
    return [Statement(each, place, frozenset(_binds(each)), frozenset(_reads(each))) for each in tree.body]


def _without_stubs(statements: list[Statement], wanted: Mapping[str, str]) -> list[Statement]:
    stubs = {name: ast.dump(ast.parse(stub)) for name, stub in wanted.items()}
    is_stub = [
        isinstance(s.tree, ast.FunctionDef) and ast.dump(ast.Module([s.tree], [])) == stubs.get(s.tree.name)
        for s in statements
    ]
    answered = {name for s, stub in zip(statements, is_stub, strict=True) if not stub for name in s.binds}
    return [s for s, stub in zip(statements, is_stub, strict=True) if not stub or not s.binds & answered]


def _needed(statements: list[Statement], wanted: Collection[str]) -> list[Statement]:
    """The statements that the wanted names rest on, in their order."""
    names, taken, before = set(wanted), set[int](), -1
    while len(taken) != before:
        before = len(taken)
        for at, statement in enumerate(statements):
            if at not in taken and (statement.binds & names or "*" in statement.binds):
                taken.add(at)
                names |= statement.reads
    return [statements[at] for at in sorted(taken)]


def _binds(tree: ast.stmt) -> set[str]:
    """Names that a statement binds or changes in place; "*" for an import of everything."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {tree.name}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(node.id)
        elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            found |= _base(node)
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Call) and isinstance(tree.value.func, ast.Attribute):
        found |= _base(tree.value.func)  # table.update(...)
    return found


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _reads(tree: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _bound(statement: Statement) -> str:
    return ", ".join(f"`{name}`" for name in sorted(statement.binds)) or f"line {statement.tree.lineno}"
