"""A class of submissions against one set: marks, reports and tables in a folder; what is there already is not made again.

Each submission is judged in a process forked for it, so that nothing that one does reaches the next; this process alone writes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from urllib.parse import quote

from tqdm.auto import tqdm

from povid_lib.course.grading import process, reports
from povid_lib.course.grading.assignment import Source
from povid_lib.course.grading.judge import Marks, judge, nothing, plain, read_marks
from povid_lib.course.grading.submissions import Submission, find
from povid_lib.files.jsonl import replacing
from povid_lib.files.lock import locked

_LONGEST = 150  # characters of a file's name, before its ending
_MORE_SECONDS = 150.0  # beyond a submission's limits, for the judge's own work, and for starts and ends of processes


@dataclass(frozen=True)
class Graded:
    """A submission with its marks; ``failed``: why the judge itself could not finish, so that a teacher must look, or ""."""

    submission: Submission
    marks: Marks
    failed: str = ""


def grade(source: Source, folder: str | Path, out: str | Path, jobs: int = 1, way: str = "namespaces") -> list[Graded]:
    """Judge the submissions of a folder, ``jobs`` at a time, confined in this ``way`` (``process.WAYS``), and write under ``out``:

    ``marks/``, a JSON file a student; ``reports/``, a page a student; ``class.md``; ``marks.csv``, ``canvas.csv``, ``moodle.csv``.

    A submission that was judged by this source is not judged again. Raises ``ValueError`` if students' code cannot be confined
    here or would see the set or the submissions, there is nothing to judge, another run writes to ``out``, it lies in ``folder``,
    ``jobs`` is not positive, or there is no such way.
    """
    if jobs < 1:
        raise ValueError(f"grade: jobs is {jobs}; at least one submission must be judged at a time.")
    if way not in process.WAYS:
        raise ValueError(f"grade: way is {way!r}; choose one of {', '.join(process.WAYS)}.")
    process.WAYS[way].check_possible()
    process.WAYS[way].check_hidden(source.path, folder, out)
    if Path(out).resolve().is_relative_to(Path(folder).resolve()):
        raise ValueError(
            f"{out} lies among the submissions, and would be taken for one; give another folder for the marks."
        )
    with locked(out):
        return _grade(source, find(folder), Path(out), jobs, way)


def _grade(source: Source, submissions: list[Submission], out: Path, jobs: int, way: str) -> list[Graded]:
    for name in ("marks", "reports"):
        (out / name).mkdir(parents=True, exist_ok=True)
    done: dict[Submission, Graded] = {}
    todo = []
    for submission in submissions:
        kept = _kept(source, submission, out)
        if kept is not None:
            done[submission] = kept
        elif submission.fault:
            done[submission] = Graded(submission, nothing(source.assignment, submission.student, submission.fault))
        else:
            todo.append(submission)
    with tqdm(
        total=len(submissions), initial=len(done), desc=source.assignment.name, unit="submission", disable=None
    ) as bar:
        for graded in _judged(source, todo, jobs, way):
            done[graded.submission] = graded
            if not graded.failed:
                _write(_marks_file(out, graded.submission), json.dumps(_record(source, graded), indent=1) + "\n")
            bar.update()
    found = [done[submission] for submission in submissions]
    _write_reports(source, found, out)
    return found


def _write_reports(source: Source, found: list[Graded], out: Path) -> None:
    for graded in found:
        name = f"{_stem(graded.submission)}.md"
        _write(out / "reports" / name, reports.for_student(source.assignment, graded.marks, graded.failed))
    marks = [(graded.submission, graded.marks, graded.failed) for graded in found]
    _write(out / "class.md", reports.for_class(source.assignment, marks))
    for name, make in (("marks.csv", reports.table), ("canvas.csv", reports.canvas), ("moodle.csv", reports.moodle)):
        _write(out / name, make(source.assignment, marks))


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


# --- what is kept ------------------------------------------------------------------------------------------------


def _marks_file(out: Path, submission: Submission) -> Path:
    return out / "marks" / f"{_stem(submission)}.json"


def _stem(submission: Submission) -> str:
    """A file's name for a student: without what paths and patterns are made of, and not longer than file systems take."""
    stem = quote(submission.student, safe=" @+,")
    return stem if len(stem) <= _LONGEST else f"{stem[:_LONGEST]}-{sha256(stem.encode()).hexdigest()[:12]}"


def _origin(source: Source, data: bytes) -> dict[str, str]:
    """Of which file and of which source marks are."""
    return {"submission": sha256(data).hexdigest(), "source": sha256(source.text.encode()).hexdigest()}


def _record(source: Source, graded: Graded) -> dict[str, object]:
    return {**plain(graded.marks), "origin": _origin(source, graded.submission.read())}


def _kept(source: Source, submission: Submission, out: Path) -> Graded | None:
    """Marks of an earlier call, if file and source are as they were."""
    path = _marks_file(out, submission)
    if submission.fault or not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    try:
        marks = read_marks(text)
    except ValueError:  # not of this command, or changed since: judged again
        return None
    same = json.loads(text).get("origin") == _origin(source, submission.read())
    return Graded(submission, marks) if same else None


# --- judges ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judge:
    submission: Submission
    process: ForkProcess
    result: Connection
    end: float
    slot: int


def _judged(source: Source, todo: list[Submission], jobs: int, way: str) -> Iterator[Graded]:
    """The submissions in the order in which they are done."""
    waiting, running, slots = list(reversed(todo)), list[_Judge](), set(range(jobs))
    try:
        while waiting or running:
            while waiting and slots:
                running.append(_start(source, waiting.pop(), slots.pop(), way))
            wait([each.result for each in running], timeout=1.0)
            for each in list(running):
                graded = _result(source, each)
                if graded is not None:
                    running.remove(each)
                    slots.add(each.slot)
                    yield graded
    finally:
        for each in running:
            _end(each)


def _start(source: Source, submission: Submission, slot: int, way: str) -> _Judge:
    context = multiprocessing.get_context("fork")  # what the set and its checks have imported is there at once
    back, there = context.Pipe(duplex=False)
    judging = context.Process(target=_run, args=(source, submission, slot, way, there), daemon=True)
    judging.start()
    there.close()
    with suppress(ProcessLookupError, PermissionError):  # the process does it too; whoever comes first
        os.setpgid(judging.pid or 0, judging.pid or 0)
    limit = source.assignment.limits.seconds + _MORE_SECONDS
    return _Judge(submission, judging, back, time.monotonic() + limit, slot)


def _run(source: Source, submission: Submission, slot: int, way: str, there: Connection) -> None:
    """In the judge's own process, at the head of a group, so that all of it can be ended at once."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        data = submission.read()
        told = plain(judge(source, submission.student, data, submission.path.suffix == ".ipynb", slot, way))
    except BaseException as fault:  # told to the parent, which sets it beside the name
        told = {"failed": f"{type(fault).__name__}: {fault}"}
    there.send_bytes(json.dumps(told).encode())


def _result(source: Source, each: _Judge) -> Graded | None:
    """What a judge has found; None while it is at work."""
    if each.result.poll():
        try:
            told = each.result.recv_bytes().decode()
        except EOFError:
            told = json.dumps({"failed": "the judge's process ended"})
    elif time.monotonic() > each.end:
        told = json.dumps({"failed": "the judge took longer than its limit"})
    else:
        return None
    _end(each)
    failed = json.loads(told).get("failed", "")
    marks = nothing(source.assignment, each.submission.student, "this was not judged") if failed else read_marks(told)
    return Graded(each.submission, marks, failed)


def _end(each: _Judge) -> None:
    """End a judge and all that it has started."""
    with suppress(ProcessLookupError):  # nobody of the group is left
        os.killpg(each.process.pid or 0, signal.SIGKILL)
    each.process.join()
    each.result.close()
