"""One submission marked inside a platform's own machine, and its marks in the platform's own form: Gradescope, Classroom 50, otter.

The result is written by this process alone, in one piece, after the student's process has ended.
``python -m povid_lib.course.grading.single gradescope`` is what an archive's script calls (``archives``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from povid_lib.course.grading import as_user, process
from povid_lib.course.grading.assignment import Assignment, Source, read_source
from povid_lib.course.grading.judge import Mark, Marks, judge, nothing
from povid_lib.course.grading.submissions import Submission, handed_in
from povid_lib.files.jsonl import replacing

GRADESCOPE = Path("/autograder")


def way(*secret: str | Path) -> str:
    """The stronger way to confine that this machine allows. ``secret``: what students' code must not see.

    Raises ``ValueError``, with both reasons, if there is none.
    """
    said = []
    for name, confinement in process.WAYS.items():
        try:
            confinement.check_possible()
            confinement.check_hidden(*secret)
        except ValueError as fault:
            said.append(str(fault))
        else:
            return name
    raise ValueError(f"Students' code cannot be confined here. {' '.join(said)}")


def mark(source: Source, submission: Submission, student: str, confined: str) -> Marks:
    """The marks of one submission. ``student``: by whom its hidden cases are drawn; ``confined``: see ``way``.

    Ends the process with one sentence, and writes no marks, if the machine could not start or confine the submission.
    """
    if submission.fault:
        return nothing(source.assignment, student, submission.fault)
    try:
        return judge(source, student, submission.read(), submission.path.suffix == ".ipynb", way=confined)
    except (process.NotConfined, process.NotStarted) as fault:
        raise SystemExit(f"{submission.path.name} has not been marked: {str(fault).removesuffix('.')}.") from None


def gradescope(assignment: Assignment, marks: Marks, confined: str) -> dict[str, Any]:
    """Gradescope's ``results.json``. Hidden checks are shown after the deadline: their messages hold the student's own cases."""
    hidden = _hidden(assignment)
    tests = [
        {
            "name": f"{each.task}: {each.check}",
            "score": each.points,
            "max_score": each.out_of,
            "status": "passed" if _passed(each) else "failed",
            "output": each.message or "Right.",
            "output_format": "text",
            "visibility": "after_due_date" if each.check in hidden else "visible",
            "extra_data": {"misconception": each.misconception},
        }
        for each in marks.marks
    ]
    return {
        "score": marks.points,
        "output": "\n".join(marks.notes),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "extra_data": {"confined": confined},
        "tests": tests,
    }


def classroom50(marks: Marks, variables: Mapping[str, str]) -> dict[str, Any]:
    """Classroom 50's ``result.json`` (classroom50/result/v1). ``variables``: those that its runner sets."""
    tests = [
        {
            "test-name": f"{each.task}: {each.check}",
            "passed": _passed(each),
            "score": each.points,
            "max-score": each.out_of,
            "message": each.message,
        }
        for each in marks.marks
    ]
    return {
        "schema": "classroom50/result/v1",
        "classroom": variables["CLASSROOM"],
        "assignment": variables["ASSIGNMENT"],
        "assignment_type": variables.get("ASSIGNMENT_TYPE") or "individual",
        "owner": variables["OWNER"],
        "submission": variables["SUBMISSION_TAG"],
        "commit": variables["COMMIT_URL"],
        "release": variables["RELEASE_URL"],
        "review": variables.get("REVIEW_URL") or variables["COMMIT_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": marks.points,
        "max-score": marks.out_of,
        "tests": tests,
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result in one piece; a link that a submission has left in its place is replaced, not followed."""
    with replacing(path) as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def for_gradescope(source: Source, base: Path = GRADESCOPE) -> None:
    """Mark what lies in ``submission/`` and write ``results/results.json``, both under ``base``.

    The cases are drawn by the e-mail addresses of the group, which Gradescope gives.
    """
    users = json.loads((base / "submission_metadata.json").read_text(encoding="utf-8"))["users"]
    student = " ".join(sorted(str(user["email"]) for user in users))
    confined = way(source.path, base / "submission", base / "results")
    marks = mark(source, handed_in(base / "submission"), student, confined)
    write_result(base / "results" / "results.json", gradescope(source.assignment, marks, confined))
    if confined == "user":
        print(as_user.LOST)  # for the teacher: students do not see what is printed


def for_classroom50(source: Source, folder: Path, variables: Mapping[str, str]) -> None:
    """Mark the checkout in ``folder`` and write ``result.json`` there; the cases are drawn by the repository's owner."""
    confined = way(source.path, folder)
    marks = mark(source, handed_in(folder), variables["OWNER"], confined)
    write_result(folder / "result.json", classroom50(marks, variables))


class Otter:
    """A plugin of otter-grader: judges the submission, and has otter run a notebook of nothing but the marks in its place.

    So nothing of the student's runs in otter's own processes. Otter finds it by name, asks for these arguments, and calls
    ``before_execution``.
    """

    def __init__(self, submission_path: str, submission_metadata: Mapping[str, Any], plugin_config: Mapping[str, Any]):
        self.path = Path(submission_path)
        self.users = submission_metadata.get("users", [])

    def before_execution(self, submission: Any) -> Any:
        """The notebook that otter is to run: one cell, which binds ``POVID_MARKS`` (task -> check -> what is told)."""
        source = read_source(self.path.parent.parent / "source" / "set")
        student = " ".join(sorted(str(user["email"]) for user in self.users)) or self.path.stem
        marks = mark(source, Submission(student, self.path), student, way(source.path, self.path))
        told: dict[str, dict[str, str]] = {}
        for each in marks.marks:
            told.setdefault(each.task, {})[each.check] = "" if _passed(each) else each.message
        cell = {"cell_type": "code", "metadata": {}, "source": f"POVID_MARKS = {told!r}", "outputs": []}
        submission["cells"] = [type(submission)({**cell, "id": "povid-marks", "execution_count": None})]
        return submission


def _passed(each: Mark) -> bool:
    return each.points == each.out_of


def _hidden(assignment: Assignment) -> set[str]:
    return {check.__name__ for task in assignment.tasks for check, _ in task.hidden}


def main(arguments: list[str]) -> None:
    """``gradescope`` or ``classroom50``, and the set's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("platform", choices=("gradescope", "classroom50"))
    parser.add_argument("assignment", help="the set's folder")
    given = parser.parse_args(arguments)
    source = read_source(given.assignment)
    if given.platform == "gradescope":
        for_gradescope(source)
    else:
        for_classroom50(source, Path.cwd(), os.environ)


if __name__ == "__main__":
    main(sys.argv[1:])
