"""A student's function is the student's: nothing in a chapter overwrites it, and nothing but its own cell depends on it."""

import ast
import json
from pathlib import Path

import pytest

from scripts.chapter_form import NOT_YET

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
WITH_CHECKS = [path for path in NOTEBOOKS if path.stem != "13_try_your_own" and path.stem not in NOT_YET]


def cells(path):
    """The syntax trees of a notebook's code cells, each with its tags."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        (ast.parse("".join(c["source"])), set(c["metadata"].get("tags", []))) for c in found if c["cell_type"] == "code"
    ]


def calls(tree, name):
    """The names that stand as second argument where ``name`` is called."""
    return {
        node.args[1].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }


def names(tree):
    """All that a cell binds or reads."""
    nodes = list(ast.walk(tree))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.name for n in nodes if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("path", WITH_CHECKS, ids=lambda p: p.stem)
def test_nothing_outside_its_cell_knows_a_students_function(path):
    trees = [tree for tree, _ in cells(path)]
    stubs = {name: tree for tree in trees for name in calls(tree, "attempt")}
    assert stubs
    for name, own in stubs.items():
        elsewhere = [ast.unparse(tree)[:80] for tree in trees if tree is not own and name in names(tree)]
        assert not elsewhere, (name, elsewhere)


@pytest.mark.parametrize("path", WITH_CHECKS, ids=lambda p: p.stem)
def test_every_exercise_has_a_solution_that_the_build_proves(path):
    trees = [tree for tree, _ in cells(path)]
    asked = set().union(*(calls(tree, "attempt") for tree in trees))
    solved = set().union(*(calls(tree, "must_accept") for tree in trees))
    assert {f"{name}_solved" for name in asked} == solved


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_one_folded_cell_imports_and_no_other(path):
    importing = [
        tags
        for tree, tags in cells(path)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))
    ]
    assert len(importing) == 1
    assert "hide-input" in importing[0]
