"""Time and peak memory of ``povid grade`` on a class of generated submissions, broken ones of every kind among them:

python benchmarks/grading.py assignments/ps1_measuring 100 --jobs 2
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from povid_lib.course.grading import editions
from povid_lib.course.grading.assignment import Source, read_source
from povid_lib.course.grading.grade_class import grade

KINDS = (
    "solved", "stub", "half solved", "cells moved", "cells duplicated", "stubs below", "function renamed", "syntax error",
    "function missing", "infinite loop", "raises", "Python file", "no JSON", "empty", "memory", "kills itself", "cells that fail",
    "prints without end",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A generated submission: its file's name and bytes, and the points that it must get."""

    name: str
    data: bytes
    points: int


def submission(source: Source, kind: str, number: int) -> Made:
    """A submission of one of ``KINDS``."""
    draw = random.Random(f"{kind} {number}")
    tasks, stubs = source.assignment.tasks, editions.stubs(source)
    solved: list[Any] = json.loads(editions.notebook(source, True))["cells"]
    place = {task.function: _place(solved, task.function) for task in tasks}
    points = {task.function: task.points for task in tasks}
    alone = _alone(source)
    lost = draw.choice(alone)
    name, replaced = f"{kind} {number:03}.ipynb", None
    if kind == "stub":
        solved, points = json.loads(editions.notebook(source, False))["cells"], {}
    elif kind == "half solved":
        for function in draw.sample(alone, min(len(alone), len(tasks) // 2)):
            solved[place[function]]["source"] = stubs[function]
            points[function] = 0
    elif kind == "cells moved":
        draw.shuffle(solved)
    elif kind == "cells duplicated":
        solved += [dict(cell) for cell in solved[3:]]
    elif kind == "stubs below":
        solved += [{**solved[place[lost]], "source": stub} for stub in stubs.values()]
    elif kind == "function renamed":
        replaced = solved[place[lost]]["source"].replace(f"def {lost}(", f"def my_{lost}(")
    elif kind == "syntax error":
        replaced = solved[place[lost]]["source"].replace("return", "return return", 1)
    elif kind == "function missing":
        replaced = "# nothing"
    elif kind == "infinite loop":
        replaced = f"def {lost}(*args):\n    while True:\n        pass"
    elif kind == "raises":
        replaced = f"def {lost}(*args):\n    return args[0][None]"
    elif kind == "memory":
        replaced = f"def {lost}(*args):\n    return bytearray(10**11)"
    elif kind == "kills itself":
        replaced = f"import os\ndef {lost}(*args):\n    os.kill(os.getpid(), 9)"
    elif kind == "prints without end":
        replaced = f"def {lost}(*args):\n    while True:\n        print('x' * 1000)"
    elif kind == "cells that fail":
        solved = [each for cell in solved for each in (cell, {**cell, "cell_type": "code", "source": "1 / 0\nquit()"})]
    if replaced is not None:
        solved[place[lost]]["source"] = replaced
        points[lost] = 0
    data = json.dumps({"cells": solved, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    if kind == "Python file":
        name = name.replace(".ipynb", ".py")
        data = "\n\n".join(f"# %%\n{cell['source']}" for cell in solved if cell["cell_type"] == "code").encode()
    if kind in ("no JSON", "empty"):
        data, points = (b"" if kind == "empty" else data[:1000]), {}
    return Made(name, data, sum(points.values()))


def _alone(source: Source) -> list[str]:
    """The functions that no other one's solution calls, so that losing one costs no more than its own points."""
    functions = [task.function for task in source.assignment.tasks]
    bodies = [ast.parse(cell.text) for cell in editions.cells(source) if cell.kind == "task"]
    called = {node.id for body in bodies for node in ast.walk(body) if isinstance(node, ast.Name)}
    return [name for name in functions if name not in called]


def _place(cells: list[Any], function: str) -> int:
    return next(at for at, cell in enumerate(cells) if cell["source"].startswith(f"def {function}("))


def measure(source: Source, n: int, jobs: int) -> None:
    """Grade ``n`` submissions and print time, memory, and whose marks are not as they must be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder, out = Path(name) / "class", Path(name) / "out"
        folder.mkdir()
        made = [submission(source, KINDS[at % len(KINDS)], at) for at in range(n)]
        for each in made:
            (folder / each.name).write_bytes(each.data)
        start = time.monotonic()
        graded = grade(source, folder, out, jobs)
        seconds = time.monotonic() - start
        expected = {Path(each.name).stem: each.points for each in made}
        wrong = [one for one in graded if one.failed or one.marks.points != expected[one.submission.student]]
    processor = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = (
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    )  # Linux counts KiB; the largest of all processes
    print(
        f"{source.assignment.name}: {n} submissions, {jobs} at a time: {seconds:.0f} s, {processor:.0f} s of processor time,"
    )
    print(f"{peak:.0f} MiB at most in one process; {len(wrong)} with other marks than they must have.")
    for one in wrong:
        print(f"  {one.submission.student}: {one.marks.points}, {one.failed}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assignment")
    parser.add_argument("n", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    measure(read_source(given.assignment), given.n, given.jobs)
