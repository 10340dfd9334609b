"""Prints what each problem set gives to each answer it knows: the stub, its own solution, other right ones, each wrong one.

python scripts/catalogue.py [assignments/ps1_measuring ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from povid_lib.course.exercises import Function
from povid_lib.course.grading import editions
from povid_lib.course.grading.assignment import Source, Task, read_source
from povid_lib.course.grading.judge import judge_answer

STUDENT = "ada"


def answers(source: Source, task: Task) -> Iterator[tuple[str, Function]]:
    """All known answers to a task, each with what it is."""
    space: dict[str, Any] = {}
    exec(editions.stubs(source)[task.function], space)
    yield "the stub", space[task.function]
    yield "the solution", source.answers[task.function]
    yield from ((f"another right one: {each.__name__}", each) for each in task.right)
    yield from ((f"wrong: {wrong.misconception}", wrong.answer) for wrong in task.wrong)


def main(folders: list[str]) -> None:
    """One table a set, Markdown."""
    for folder in folders or sorted(str(path.parent) for path in Path("assignments").glob("*/source.py")):
        source = read_source(folder)
        print(f"\n## {source.assignment.title}\n\n| task | answer | marks | told first |\n|---|---|---|---|")
        for task in source.assignment.tasks:
            for what, answer in answers(source, task):
                marks = judge_answer(source, task, STUDENT, answer)
                told = next((mark.message for mark in marks if mark.message), "").replace("|", "\\|")
                got = sum(mark.points for mark in marks)
                print(f"| `{task.function}` | {what} | {got} of {task.points} | {told} |")


if __name__ == "__main__":
    main(sys.argv[1:])
