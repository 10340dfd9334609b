"""A problem set as its source declares it: tasks, what each is checked for, and the wrong answers that a check must know.

The source is one Python file in the percent format (``editions`` says how its cells are told apart). It binds ``ASSIGNMENT``.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from povid_lib.course.exercises import Check, Function

Hidden = Callable[[Function, np.random.Generator], None]  # a check on draws of its own


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: the ``misconception`` behind it in a teacher's words, words of what it is ``told``, and the answer."""

    misconception: str
    told: str
    answer: Function


@dataclass(frozen=True)
class Task:
    """One function that a student writes.

    ``visible`` checks stand in the student's notebook; ``hidden`` ones draw their cases from the student's seed. Both are given
    with their points. ``right``: other right answers than the source's own; ``wrong``: its catalogue.
    """

    function: str
    title: str
    minutes: int
    visible: tuple[tuple[Check, int], ...]
    hidden: tuple[tuple[Hidden, int], ...]
    right: tuple[Function, ...]
    wrong: tuple[Wrong, ...]

    @property
    def points(self) -> int:
        """What the task is worth."""
        return sum(points for _, points in (*self.visible, *self.hidden))


@dataclass(frozen=True)
class Limits:
    """What a submission may use. ``call_seconds``: for one answer; ``seconds``: for all of them; ``megabytes``: address space of
    the student's process; ``disk_megabytes``: of its folder, which is emptied afterwards."""

    call_seconds: float = 10.0
    seconds: float = 110.0
    megabytes: int = 512
    disk_megabytes: int = 4


@dataclass(frozen=True)
class Assignment:
    """A problem set. ``name``: such as "ps1"; its files and the seeds of its students are named by it."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    limits: Limits = Limits()

    @property
    def points(self) -> int:
        """What the whole set is worth."""
        return sum(task.points for task in self.tasks)


@dataclass(frozen=True)
class Source:
    """A set as it was read: its ``text`` as well, and the ``answers`` that it gives itself, by the name of the function."""

    path: Path
    text: str
    assignment: Assignment
    answers: dict[str, Function]


def find_source(place: str | Path) -> Path:
    """The source in a set's folder, or the file itself. Raises ``ValueError`` if there is none."""
    path = Path(place)
    path = path / "source.py" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(
            f"{place} is no problem set: there is no file {path}. Name a folder such as assignments/ps1_measuring."
        )
    return path


def read_source(place: str | Path) -> Source:
    """Read a set and run its source, which is the teacher's own code.

    Raises ``ValueError`` if there is no source, it binds no ``ASSIGNMENT``, or a task has no answer or no check.
    """
    path = find_source(place)
    text = path.read_text(encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"assignment_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; a set's source ends in .py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = vars(module).get("ASSIGNMENT")
    if not isinstance(found, Assignment):
        raise ValueError(f"{path} binds no ASSIGNMENT; end it with `ASSIGNMENT = Assignment(...)`.")
    if not found.tasks:
        raise ValueError(f"{path}: ASSIGNMENT has no tasks.")
    for task in found.tasks:
        if not callable(vars(module).get(task.function)):
            raise ValueError(f"{path}: the task {task.function!r} has no function of that name; write its solution.")
        if not task.visible or not task.hidden:
            raise ValueError(f"{path}: the task {task.function!r} needs a visible check and a hidden one.")
    return Source(path, text, found, {task.function: vars(module)[task.function] for task in found.tasks})


def draws(assignment: str, student: str, check: str) -> np.random.Generator:
    """The random numbers that one check of one student is made with; the same at every grading."""
    name = "\0".join((assignment, student, check))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]))
