"""One submission against one set: each check calls the student's functions in their confined process, and marks what comes back."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from povid_lib.course.exercises import Check, Function, Outcome, run_check
from povid_lib.course.grading import wire
from povid_lib.course.grading.assignment import Assignment, Source, Task, draws
from povid_lib.course.grading.editions import imports, stubs
from povid_lib.course.grading.process import NotStarted, Process

_START_SECONDS = 30.0  # for Python, NumPy and what the set imports: the machine's part
_STARTS = 2  # tries, before the machine is held to be too busy
_READ_SECONDS = 30.0  # for the submission's own statements
_MESSAGE = 600  # characters of what a student is told of one check


@dataclass(frozen=True)
class Mark:
    """One check of one task: points got and to be had, what the student is told, and the misconception if the catalogue has it."""

    task: str
    check: str
    points: int
    out_of: int
    message: str = ""
    misconception: str = ""


@dataclass(frozen=True)
class Marks:
    """A submission's marks, with notes on what in it could not be read or run."""

    student: str
    assignment: str
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """The sum."""
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self) -> int:
        """What could be had."""
        return sum(mark.out_of for mark in self.marks)


def judge(
    source: Source, student: str, data: bytes, is_notebook: bool, slot: int = 0, way: str = "namespaces"
) -> Marks:
    """Mark a submission. ``data``: the file as handed in; ``slot``: a number of its own for each that is judged at a time; ``way``:
    how it is confined, of ``process.WAYS``.

    Whatever the submission does costs it marks and raises nothing. Raises what a check raises by itself: a fault of the set; and
    ``NotConfined`` and ``NotStarted``, which are the machine's.
    """
    found: list[Mark] = []
    with Answers(source, data, is_notebook, slot, way) as answers:
        for task in source.assignment.tasks:
            found += _marks(source.assignment, task, student, answers)
        return Marks(student, source.assignment.name, tuple(found), tuple(answers.notes))


def judge_locally(source: Source, student: str, functions: Mapping[str, Function]) -> Marks:
    """Mark functions of one's own in this process, such as a catalogue's. Only for functions that one trusts."""
    found: list[Mark] = []
    for task in source.assignment.tasks:
        found += _marks(source.assignment, task, student, functions)
    return Marks(student, source.assignment.name, tuple(found))


def judge_answer(source: Source, task: Task, student: str, answer: Function) -> list[Mark]:
    """The marks of one answer to one task, in this process. Only for functions that one trusts."""
    return _marks(source.assignment, task, student, {task.function: answer})


def nothing(assignment: Assignment, student: str, why: str) -> Marks:
    """The marks of a submission that there is no judging: none, and why."""
    missing = [
        Mark(task.function, check.__name__, 0, points, why)
        for task in assignment.tasks
        for check, points in (*task.visible, *task.hidden)
    ]
    return Marks(student, assignment.name, tuple(missing), (why,))


def _marks(assignment: Assignment, task: Task, student: str, answers: Mapping[str, Any] | Answers) -> list[Mark]:
    checks: list[tuple[str, int, Check]] = [(check.__name__, points, check) for check, points in task.visible]
    for hidden, points in task.hidden:
        checks.append((hidden.__name__, points, _drawn(hidden, draws(assignment.name, student, hidden.__name__))))
    found = []
    for name, points, check in checks:
        answer = answers.get(task.function)
        if answer is None:
            outcome = Outcome(False, f"there is no function `{task.function}`; write it under this name.")
        else:
            outcome = run_check(check, answer)
        mark = Mark(task.function, name, points if outcome.passed else 0, points, wire.plain(outcome.message, _MESSAGE))
        found.append(replace(mark, misconception=_misconception(task, outcome)))
    return found


def _drawn(hidden: Callable[..., None], draw: Any) -> Check:
    return lambda answer: hidden(answer, draw)


def _misconception(task: Task, outcome: Outcome) -> str:
    if outcome.passed:
        return ""
    return next((wrong.misconception for wrong in task.wrong if wrong.told in outcome.message), "")


def plain(marks: Marks) -> dict[str, Any]:
    """Marks as JSON keeps them."""
    rows = [vars(mark) for mark in marks.marks]
    return {
        "student": marks.student, "assignment": marks.assignment, "points": marks.points, "out_of": marks.out_of,
        "notes": list(marks.notes), "marks": rows,
    }  # fmt: skip


def read_marks(text: str) -> Marks:
    """Marks from the JSON that ``plain`` gave. Raises ``ValueError`` for another."""
    try:
        kept = json.loads(text)
        marks = tuple(Mark(**mark) for mark in kept["marks"])
        return Marks(kept["student"], kept["assignment"], marks, tuple(kept["notes"]))
    except (TypeError, KeyError) as error:
        raise ValueError(f"these are no marks: {error}") from error


# --- the student's process ---------------------------------------------------------------------------------------


class Answers:
    """A submission's functions by name, each a call into the confined process; a process that ended is started anew.

    Close it (``with``): nothing of the student's is left running then.
    """

    def __init__(self, source: Source, data: bytes, is_notebook: bool, slot: int, way: str) -> None:
        self.notes: list[str] = []
        self._wanted, self._imports = stubs(source), imports(source)
        self._data, self._is_notebook, self._slot, self._way = data, is_notebook, slot, way
        self._limits = source.assignment.limits
        self._end = time.monotonic() + self._limits.seconds
        self._process: Process | None = None
        self._found: dict[str, Any] | None = None
        self._given_up: dict[str, Exception] = {}  # functions that took too long: they are not asked again

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def get(self, name: str) -> Any:
        """The function, or whatever else stands under its name; None if nothing does, or the submission cannot be read."""
        if self._found is None:
            try:
                self._start()
            except (TimeoutError, ChildProcessError, ValueError) as fault:
                self.notes.append(f"The submission cannot be run: {fault}.")
                self._found = {}
        return (self._found or {}).get(name)

    def _start(self) -> Process:
        process = self._begun()
        first = {
            "data": base64.b64encode(self._data).decode(),
            "is_notebook": self._is_notebook,
            "wanted": self._wanted,
        }
        reply = process.ask(first, min(_READ_SECONDS, self._left()))
        if self._found is None:
            self.notes += [wire.plain(str(note), _MESSAGE) for note in reply.get("notes", [])][:50]
            self._found = {
                name: self._function(name) if kind is None else wire.decode(kind)
                for name, kind in reply.get("found", [])
                if name in self._wanted
            }
        return process

    def _begun(self) -> Process:
        """A process that is ready for the submission. The time that this takes is not the student's, and is not counted."""
        self._stop()
        began, why = time.monotonic(), ""
        for _ in range(_STARTS):
            self._process = process = Process(self._slot, self._limits, self._way)
            try:
                reply = process.ask({"imports": self._imports}, _START_SECONDS)
                if "raised" in reply:
                    raise ValueError(
                        f"what the set imports raises {reply['raised']['type']}: {reply['raised']['text']}"
                    )
            except TimeoutError:
                why = f"it was not ready within {_START_SECONDS:.0f} s; the machine is too busy"
            except (ChildProcessError, ValueError) as fault:
                why = str(fault)
            else:
                self._end += time.monotonic() - began
                return process
            self._stop()
        raise NotStarted(f"Python did not start, in {_STARTS} tries: {why}. Grade this submission again")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise wire.raised("TimeoutError", f"the {self._limits.seconds:.0f} s for the whole set are used up")
        return left

    def _function(self, name: str) -> Function:
        def answer(*args: Any) -> Any:
            if name in self._given_up:
                raise self._given_up[name]
            try:
                return self._ask(name, args)
            except TimeoutError as fault:
                if self._process is None:  # it was the judge who stopped it
                    self._given_up[name] = fault
                raise

        answer.__name__ = answer.__qualname__ = name
        return answer

    def _ask(self, name: str, args: tuple[Any, ...]) -> Any:
        try:
            process = self._process or self._start()
            call = {"call": name, "args": [wire.encode(arg) for arg in args]}
            reply = process.ask(call, min(self._limits.call_seconds, self._left()))
            if "raised" not in reply:
                return wire.decode(reply["value"])
            kind, text, line = str(reply["raised"]["type"]), str(reply["raised"]["text"]), str(reply["line"])
        except Exception as fault:
            self._stop()
            if isinstance(fault, KeyError | TypeError | ValueError):
                raise wire.raised("ValueError", "the process of your code sent what is no answer") from fault
            raise
        raise wire.raised(kind, text, line)
