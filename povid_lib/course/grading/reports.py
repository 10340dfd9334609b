"""Marks for people and for learning platforms: a page a student, one for the class, and tables."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

from povid_lib.course.grading.assignment import Assignment
from povid_lib.course.grading.judge import Marks
from povid_lib.course.grading.submissions import Submission

Row = tuple[Submission, Marks, str]  # with why the judge failed, or ""
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")  # then a column with the assignment's name
MOODLE = ("Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)", "Feedback comments")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def for_student(assignment: Assignment, marks: Marks, failed: str = "") -> str:
    """A student's page, Markdown."""
    if failed:
        told = f"{_line(marks.student)}: this submission has not been judged yet; your teacher will look at it."
        return "\n".join([f"# {assignment.title}", "", told, ""])
    lines = [f"# {assignment.title}", "", f"{_line(marks.student)}: **{marks.points} of {marks.out_of} points**", ""]
    for task in assignment.tasks:
        own = [mark for mark in marks.marks if mark.task == task.function]
        got, out_of = sum(mark.points for mark in own), sum(mark.out_of for mark in own)
        lines += [f"## `{task.function}`: {task.title} ({got} of {out_of})", ""]
        for mark in own:
            told = "right." if mark.points == mark.out_of else f"not yet: {_line(mark.message)}"
            lines.append(f"- `{mark.check}` ({mark.points} of {mark.out_of}): {told}")
        lines.append("")
    if marks.notes:
        lines += ["## Notes on your file", "", *(f"- {_line(note)}" for note in marks.notes), ""]
    return "\n".join(lines)


def for_class(assignment: Assignment, rows: Sequence[Row]) -> str:
    """The class's page, Markdown: marks, each check's share, and which misconceptions, how often."""
    judged = [marks for _, marks, failed in rows if not failed]
    points = sorted(marks.points for marks in judged)
    lines = [f"# {assignment.title}: the class", "", f"{len(rows)} submissions, {len(judged)} judged."]
    if points:
        lines.append(
            f"Median {points[len(points) // 2]} of {assignment.points} points; from {points[0]} to {points[-1]}."
        )
    lines += ["", "## To look at", ""]
    look = [f"- {_line(sub.student)}: {_line(failed or sub.fault)}" for sub, _, failed in rows if failed or sub.fault]
    look += [f"- {_line(marks.student)}: {_line(note)}" for marks in judged for note in marks.notes[:3] if note]
    lines += list(dict.fromkeys(look)) or ["Nothing."]
    lines += ["", "## Checks", "", "| task | check | passed |", "|---|---|---|"]
    for task in assignment.tasks:
        for check, _ in (*task.visible, *task.hidden):
            passed = sum(
                m.points == m.out_of for marks in judged for m in marks.marks if _is(m, task.function, check.__name__)
            )
            lines.append(f"| `{task.function}` | `{check.__name__}` | {passed} of {len(judged)} |")
    lines += ["", "## Misconceptions", "", "| students | task | misconception |", "|---|---|---|"]
    counted = Counter(
        each
        for marks in judged
        for each in dict.fromkeys((mark.task, mark.misconception) for mark in marks.marks if mark.misconception)
    )
    lines += [f"| {count} | `{task}` | {_line(what)} |" for (task, what), count in counted.most_common()]
    other = sum(any(m.message and not m.misconception for m in marks.marks) for marks in judged)
    lines += ["", f"{other} students were told something that no catalogue has; their pages say what.", ""]
    return "\n".join(lines)


def table(assignment: Assignment, rows: Sequence[Row]) -> str:
    """All marks, CSV: a row a student, a column a task."""
    tasks = [task.function for task in assignment.tasks]
    head = ["student", "id", "points", "out of", *tasks, "to look at"]
    body = []
    for sub, marks, failed in rows:
        own = [sum(mark.points for mark in marks.marks if mark.task == task) for task in tasks]
        points = ["", "", *("" for _ in own)] if failed else [marks.points, marks.out_of, *own]
        body.append([sub.student, sub.number, *points, failed or sub.fault])
    return _csv(head, body)


def canvas(assignment: Assignment, rows: Sequence[Row]) -> str:
    """What Canvas's gradebook imports, CSV. Canvas finds a student by the ID that it put into the file's name; a row without one
    wants its ID, or the SIS columns, from the teacher. Marks of failed judges stay empty."""
    body = [[sub.student, sub.number, "", "", "", "" if failed else marks.points] for sub, marks, failed in rows]
    return _csv([*CANVAS, assignment.title], [["    Points Possible", "", "", "", "", assignment.points], *body])


def moodle(assignment: Assignment, rows: Sequence[Row]) -> str:
    """What Moodle's assignment takes as a grading worksheet, CSV. Its identifier is "Participant" and the number in the folder's
    name. Without a column "Last modified (grade)" the file is refused; left empty, a grade that Moodle has already is kept unless
    the teacher allows it to be updated. Marks of failed judges stay empty."""
    body = []
    for sub, marks, failed in rows:
        lost = [f"{mark.task}: {mark.message}" for mark in marks.marks if mark.message]
        identifier = f"Participant {sub.number}" if sub.number else ""
        body.append([identifier, sub.student, "" if failed else marks.points, assignment.points, "", " | ".join(lost)])
    return _csv(MOODLE, body)


def _is(mark: object, task: str, check: str) -> bool:
    return (vars(mark)["task"], vars(mark)["check"]) == (task, check)


def _csv(head: Iterable[object], body: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in body:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet does not take for a formula, on one line."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(text: str) -> str:
    """Text of others on one line of Markdown, without what would be a heading, a table's cell or HTML."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
