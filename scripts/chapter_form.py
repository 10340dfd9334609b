"""The one form of a chapter: ``python -m scripts.chapter_form notebooks/06_dpo.ipynb`` tells where it is not kept.

An exercise is a text cell with the directive ``exercise``, a stub (code, tag ``exercise``), a hint (text, tag ``hint``), the
solution (one or more cells, tag ``solution``) and a guard (code, tags ``guard`` and ``remove-cell``) that proves the solution
in the build. A chapter has the box *Previously*, a quiz, and at its end a summary sheet.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
NOT_YET = {  # chapters still in the old form, which have no student's edition; one that is rewritten leaves this list
    "13_try_your_own",  # a page to work on, not a chapter: it has no quiz and no summary sheet
}
PURPOSES = ("exercise", "hint", "solution", "guard", "quiz")
STATEMENT = re.compile(r"^[`~:]{3,}\{exercise\} ?(.*)$", re.MULTILINE)
TITLE = re.compile(r"(?P<title>.+); (?P<difficulty>easy|medium|hard), (?P<minutes>\d+) minutes")
SHEET = ("Question", "Answer", "Formulas", "Numbers", "Terms", "Watch out", "Next")
WORDS_OF_A_SHEET = 250
PRIVATE = {  # of the book's first edition: what to write instead
    r"cur(?:e|es|ed|ing)": "reduces hallucination",
    r"habits?": "language prior",
    r"dealt": "random labels",
    r"foret(?:ell|ells|old)": "predict",
    r"companions?": "partner",
}
_LABEL = re.compile(r"^:label: ([\w-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """One exercise. ``stub`` and ``solution`` are indices of cells; ``function`` is what the student writes."""

    title: str
    label: str
    difficulty: str
    minutes: int
    function: str
    stub: int
    solution: tuple[int, ...]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def purpose(cell: Cell) -> str:
    """What the cell is for: one of ``PURPOSES``, or ''. Raises ``ValueError`` for two purposes at once."""
    found = [tag for tag in cell["metadata"].get("tags", []) if tag in PURPOSES]
    if len(found) > 1:
        raise ValueError(f"a cell has the tags {', '.join(found)}; give it one of them.")
    return found[0] if found else ""


def exercises(cells: list[Cell]) -> list[Exercise]:
    """A notebook's exercises, in order. Raises ``ValueError`` that names the exercise and what its form lacks."""
    starts = [i for i, cell in enumerate(cells) if cell["cell_type"] == "markdown" and STATEMENT.search(source(cell))]
    found = [_exercise(cells, at, nxt) for at, nxt in pairwise([*starts, len(cells)])]
    stubs = {exercise.stub for exercise in found}
    stray = [i for i, cell in enumerate(cells) if purpose(cell) == "exercise" and i not in stubs]
    if stray:
        raise ValueError(f"cell {stray[0]} has the tag `exercise` and no exercise above it.")
    return found


def _exercise(cells: list[Cell], at: int, nxt: int) -> Exercise:
    statement = source(cells[at])
    titles = STATEMENT.findall(statement)
    told = titles[0].strip()
    if len(titles) > 1:
        raise ValueError(f"exercise {told!r}: another exercise stands in the same cell.")
    title, label = TITLE.fullmatch(told), _LABEL.search(statement)
    if not title or not label:
        raise ValueError(
            f"exercise {told!r}: write `{{exercise}} Title; easy, 10 minutes` (or medium, hard) and a `:label:` below it."
        )
    after = [(i, purpose(cells[i])) for i in range(at + 1, nxt)]
    order = [kind for _, kind in after]
    solution: list[int] = []
    for i, kind in after[2:]:
        if kind != "solution":
            break
        solution.append(i)
    guard = 2 + len(solution)
    if order[:2] != ["exercise", "hint"] or not solution or order[guard : guard + 1] != ["guard"]:
        raise ValueError(
            f"exercise {told!r}: its cells are to be tagged exercise, hint, solution (one or more) and guard, in this order; "
            f"they are {', '.join(kind or 'untagged' for kind in order[: guard + 1])}."
        )
    for i, kind in after[: guard + 1]:
        wanted = {"exercise": "code", "hint": "markdown", "guard": "code"}.get(kind, cells[i]["cell_type"])
        if cells[i]["cell_type"] != wanted:
            raise ValueError(f"exercise {told!r}: its {kind} is a {cells[i]['cell_type']} cell.")
    if "remove-cell" not in cells[at + 1 + guard]["metadata"]["tags"]:
        raise ValueError(f"exercise {told!r}: its guard lacks the tag `remove-cell`, and the page would show it.")
    function = _function(source(cells[at + 1]), told)
    code = "\n".join(source(cells[i]) for i in solution if cells[i]["cell_type"] == "code")
    defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)}
    if f"{function}_solved" not in defined or function in defined:
        raise ValueError(f"exercise {told!r}: its solution is to define `{function}_solved`, and never `{function}`.")
    if f"{function}_solved" not in source(cells[at + 1 + guard]):
        raise ValueError(f"exercise {told!r}: its guard does not try `{function}_solved`.")
    return Exercise(
        title["title"], label[1], title["difficulty"], int(title["minutes"]), function, at + 1, tuple(solution)
    )


def _function(stub: str, told: str) -> str:
    """The function that a stub asks for."""
    tree = ast.parse(stub)
    asked = {
        node.args[1].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "attempt"
        and len(node.args) == 2 and isinstance(node.args[1], ast.Name)
    }  # fmt: skip
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if len(asked) != 1 or not asked <= defined:
        raise ValueError(
            f"exercise {told!r}: its stub is to define one function and try it by `attempt(check, function)`."
        )
    return asked.pop()


def faults(cells: list[Cell], chapter: int) -> list[str]:
    """Where a chapter's notebook is not in the form, a sentence each; none if it is. Chapter 0 has nothing before it."""
    found: list[str] = []
    try:
        asked = exercises(cells)
    except ValueError as fault:
        found.append(str(fault))
        asked = []
    prose = {i: source(cell) for i, cell in enumerate(cells) if cell["cell_type"] == "markdown"}
    code = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    before = [i for i, text in prose.items() if ":class: previously" in text]
    if len(before) != (chapter > 0) or any(i > code[0] for i in before):
        found.append(
            "the box `{admonition} Previously` (class previously) stands once, above the first code; not in chapter 0."
        )
    quiz = [i for i in code if "quiz" in cells[i]["metadata"].get("tags", [])]
    if (
        len(quiz) != 1
        or "Quiz(" not in source(cells[quiz[0]])
        or "remove-input" not in cells[quiz[0]]["metadata"]["tags"]
    ):
        found.append("one code cell with the tags quiz and remove-input ends in `Quiz(...)`.")
    sheets = [i for i, text in prose.items() if ":class: summary" in text]
    if len(sheets) != 1 or "## Summary sheet" not in prose[sheets[0]]:
        found.append("`## Summary sheet` with one `{admonition}` of class summary ends the chapter.")
    else:
        found += _sheet(prose[sheets[0]])
        if quiz and not quiz[0] < min([e.stub for e in asked], default=sheets[0]) <= sheets[0]:
            found.append("the order is quiz, exercises, summary sheet.")
    shown = "\n".join(re.sub(r"(?<!`)`[^`\n]+`(?!`)", "", text) for text in prose.values())
    for word, better in PRIVATE.items():
        used = list(re.finditer(rf"\b{word}\b", shown, re.IGNORECASE))
        if used:
            at = " ".join(shown[max(0, used[0].start() - 40) : used[0].end() + 20].split())
            found.append(f"{used[0][0]!r} is a private word ({len(used)} times); write {better!r}. The first: {at!r}")
    return found


def _sheet(text: str) -> list[str]:
    box = text.split(":class: summary", 1)[1].split("```", 1)[0]
    leads = [lead for lead in re.findall(r"^\*\*([^*]+?)\.?\*\*", box, re.MULTILINE) if lead in SHEET]
    found = []
    if leads != [lead for lead in SHEET if lead in leads] or not set(leads) >= set(SHEET) - {"Formulas"}:
        found.append(
            f"the summary sheet's paragraphs begin with {', '.join(f'**{lead}.**' for lead in SHEET)}; Formulas may lack."
        )
    if len(box.split()) > WORDS_OF_A_SHEET:
        found.append(f"the summary sheet has {len(box.split())} words; it fits its page with {WORDS_OF_A_SHEET}.")
    if len(re.findall(r"\{term\}`", box)) < 3:
        found.append("the summary sheet links at least three terms to the glossary by {term}.")
    return found


if __name__ == "__main__":
    told = False
    for path in map(Path, sys.argv[1:]):
        for fault in faults(json.loads(path.read_text(encoding="utf-8"))["cells"], int(path.stem[:2])):
            print(f"{path.name}: {fault}")
            told = True
    sys.exit(told)
