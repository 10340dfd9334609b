"""A class: whose submission is which, marks kept and gone on with, tables for the platforms, and the pages."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from povid_lib.course.grading import assignment, grade_class, judge, process, reports, submissions
from povid_lib.course.grading.judge import Mark, Marks, read_marks
from tests.course.grading.test_attacks import HONEST, SET
from tests.support.helpers import povid

RIGHT = f"def half(x):\n    return x / 2\n{HONEST}"
DOUBLES = f"def half(x):\n    return 2 * x\n{HONEST}"


@pytest.fixture
def source(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "source.py").write_text(SET)
    return assignment.read_source(tmp_path / "set")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "class").mkdir()
    return tmp_path / "class"


def test_names_of_canvas_moodle_and_ones_own_are_read(folder):
    (folder / "lovelaceada_4711_99_ps1.ipynb").write_text("{}")
    (folder / "hoppergrace_LATE_4712_100_my_ps1-2.py").write_text("x")
    (folder / "Alan M. Turing_815_assignsubmission_file_").mkdir()
    (folder / "Alan M. Turing_815_assignsubmission_file_" / "ps1.ipynb").write_text("{}")
    (folder / "edsger" / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / "edsger" / ".ipynb_checkpoints" / "ps1-checkpoint.ipynb").write_text("{}")
    (folder / "edsger" / "ps1.ipynb").write_text("{}")
    (folder / "plain.py").write_text("x")
    (folder / "notes.txt").write_text("x")
    (folder / "__MACOSX").mkdir()
    found = [(each.student, each.number, each.path.name, each.fault) for each in submissions.find(folder)]
    assert found == [
        ("Alan M. Turing", "815", "ps1.ipynb", ""),
        ("edsger", "", "ps1.ipynb", ""),
        ("hoppergrace", "4712", "hoppergrace_LATE_4712_100_my_ps1-2.py", ""),
        ("lovelaceada", "4711", "lovelaceada_4711_99_ps1.ipynb", ""),
        ("plain", "", "plain.py", ""),
    ]


def test_what_cannot_be_judged_has_its_fault(folder, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_BYTES", 10)
    for name in ("empty", "two"):
        (folder / name).mkdir()
    for name in ("a.py", "b.ipynb"):
        (folder / "two" / name).write_text("x")
    (folder / "large.py").write_text("x" * 11)
    (folder / "link.py").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.py")
    (folder / "same_1_2_a.py").write_text("x")
    (folder / "same_1_3_b.py").write_text("x")
    found = {each.student: each.fault for each in submissions.find(folder)}
    assert found == {
        "empty": "there must be one .ipynb or .py file in the folder: none",
        "large": "the file has 11 bytes, and 10 are allowed",
        "link": "this is a link or no file at all",
        "pipe": "this is a link or no file at all",
        "same_1_2_a.py": "there are several submissions under this name; keep one of them",
        "same_1_3_b.py": "there are several submissions under this name; keep one of them",
        "two": "there must be one .ipynb or .py file in the folder: a.py, b.ipynb",
    }


def test_an_empty_folder_and_none_are_refused(folder):
    with pytest.raises(ValueError, match="holds no submissions"):
        submissions.find(folder)
    with pytest.raises(ValueError, match="is no folder"):
        submissions.find(folder / "x")


@pytest.mark.slow
def test_a_class_is_marked_and_gone_on_with(source, folder, tmp_path, monkeypatch):
    (folder / "ada.py").write_text(RIGHT)
    (folder / "bob.py").write_text(DOUBLES)
    (folder / "cy").mkdir()
    out = tmp_path / "out"
    first = grade_class.grade(source, folder, out, jobs=2)
    assert [(each.submission.student, each.marks.points) for each in first] == [("ada", 6), ("bob", 3), ("cy", 0)]
    told = json.loads((out / "marks" / "bob.json").read_text())
    assert told["marks"][0]["message"] == "half of 4 is 2, not 8"
    assert told["marks"][0]["misconception"] == "doubles"
    assert "half of 4 is 2, not 8" in (out / "reports" / "bob.md").read_text()
    assert "| 1 | `half` | doubles |" in (out / "class.md").read_text()
    assert "- cy: there must be one" in (out / "class.md").read_text()

    judged, run = [], grade_class._judged
    monkeypatch.setattr(
        grade_class, "_judged", lambda source, todo, *how: run(source, judged.extend(todo) or todo, *how)
    )
    again = grade_class.grade(source, folder, out)
    assert judged == []
    assert [each.marks for each in again] == [each.marks for each in first]
    (folder / "bob.py").write_text(RIGHT)  # handed in once more
    assert grade_class.grade(source, folder, out)[1].marks.points == 6
    assert [each.student for each in judged] == ["bob"]
    (tmp_path / "set" / "source.py").write_text(SET + "\n# mended\n")
    judged.clear()
    grade_class.grade(assignment.read_source(tmp_path / "set"), folder, out)
    assert [each.student for each in judged] == ["ada", "bob"]


@pytest.mark.slow
def test_a_check_that_fails_by_itself_is_told_to_the_teacher_and_costs_nobody_a_mark(folder, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "source.py").write_text(SET.replace("    found = answer(4)\n", "    1 / 0\n"))
    (folder / "ada.py").write_text(RIGHT)
    found = grade_class.grade(assignment.read_source(tmp_path / "set"), folder, tmp_path / "out")[0]
    assert found.failed == "ZeroDivisionError: division by zero"
    assert not list((tmp_path / "out" / "marks").iterdir())
    (row,) = csv.DictReader(
        io.StringIO((tmp_path / "out" / "canvas.csv").read_text().replace("    Points Possible,,,,,6\n", ""))
    )
    assert row["Attacked"] == ""
    result = povid("grade", str(folder), "--assignment", str(tmp_path / "set"), "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "To look at: ada: ZeroDivisionError" in result.output


@pytest.mark.slow
def test_a_python_that_does_not_start_at_once_is_started_again(source, monkeypatch):
    ask, starts = process.Process.ask, []

    def late(self, message, seconds):
        if "imports" in message:
            starts.append(seconds)
            if len(starts) == 1:
                raise TimeoutError("busy")
        return ask(self, message, seconds)

    monkeypatch.setattr(process.Process, "ask", late)
    assert judge.judge(source, "ada", RIGHT.encode(), is_notebook=False).points == 6
    assert starts == [judge._START_SECONDS] * 2


@pytest.mark.slow
def test_the_time_that_a_start_takes_is_not_the_students(source, tmp_path, monkeypatch):
    assert "seconds=30.0" in SET
    (tmp_path / "set" / "source.py").write_text(SET.replace("seconds=30.0", "seconds=5.0"))
    ask = process.Process.ask
    monkeypatch.setattr(
        process.Process, "ask", lambda self, m, s: ("imports" in m and time.sleep(6)) or ask(self, m, s)
    )
    found = judge.judge(assignment.read_source(tmp_path / "set"), "ada", RIGHT.encode(), is_notebook=False)
    assert (found.points, found.notes) == (6, ())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("_START_SECONDS", 0.0, "it was not ready within 0 s; the machine is too busy"),
        ("imports", lambda source: "raise SystemExit", "has ended"),
        (
            "imports",
            lambda source: "import no_such_module",
            "what the set imports raises ModuleNotFoundError: No module",
        ),
    ],
)
def test_where_python_does_not_start_the_marks_stay_empty(source, folder, tmp_path, monkeypatch, name, value, told):
    (folder / "ada.py").write_text(RIGHT)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(judge, name, value)
        (found,) = grade_class.grade(source, folder, out)
    assert found.failed.startswith("NotStarted: Python did not start, in 2 tries: ")
    assert told in found.failed
    assert not list((out / "marks").iterdir())
    (row,) = csv.DictReader(io.StringIO((out / "marks.csv").read_text()))
    assert (row["points"], row["half"], row["honest"], row["to look at"]) == ("", "", "", found.failed)
    assert [row[-1] for row in rows_of((out / "canvas.csv").read_text())] == ["Attacked", "6", ""]
    (row,) = csv.DictReader(io.StringIO((out / "moodle.csv").read_text()))
    assert row["Grade"] == ""
    page = (out / "reports" / "ada.md").read_text()
    assert "has not been judged yet" in page
    assert "0 of" not in page
    (again,) = grade_class.grade(source, folder, out)
    assert (again.marks.points, again.failed) == (6, "")


@pytest.mark.slow
def test_the_commands(folder, tmp_path, source):
    (folder / "ada.py").write_text(RIGHT)
    result = povid("grade", str(folder), "--assignment", str(tmp_path / "set"), "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "1 submissions, 1 judged" in result.output
    assert povid("assign", str(tmp_path / "set"), "--out", str(tmp_path / "handout")).exit_code == 0
    assert (tmp_path / "handout" / "student" / "attacked.ipynb").is_file()
    refused = povid("grade", str(folder), "--assignment", str(folder), "--out", str(tmp_path / "out"))
    assert refused.exit_code == 2


ROWS = [
    (submissions.Submission("Ada, L.", None, "7"), Marks("Ada, L.", "t", (Mark("half", "check_half", 1, 1),)), ""),
    (
        submissions.Submission("=cmd|'x'!A1", None),
        Marks("=cmd", "t", (Mark("half", "check_half", 0, 1, "a\n|<b>", "doubles"),)),
        "",
    ),
    (
        submissions.Submission("Bob", None),
        Marks("Bob", "t", (Mark("half", "check_half", 0, 1),)),
        "the judge's process ended",
    ),
]


def rows_of(text):
    return list(csv.reader(io.StringIO(text)))


def test_the_tables_have_the_platforms_columns_and_no_formula(source):
    found = rows_of(reports.canvas(source.assignment, ROWS))
    assert found[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Attacked"]
    assert found[1][-1] == "6"
    assert [(row[0], row[1], row[-1]) for row in found[2:]] == [
        ("Ada, L.", "7", "1"),
        ("'=cmd|'x'!A1", "", "0"),
        ("Bob", "", ""),
    ]
    found = rows_of(reports.moodle(source.assignment, ROWS))
    assert found[0] == [
        "Identifier",
        "Full name",
        "Grade",
        "Maximum Grade",
        "Last modified (grade)",
        "Feedback comments",
    ]
    assert found[1] == ["Participant 7", "Ada, L.", "1", "6", "", ""]
    # assignfeedback_offline_grade_importer::init refuses a file without these three
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(found[0])
    assert found[2][-1] == "half: a |<b>"
    found = rows_of(reports.table(source.assignment, ROWS))
    assert found[0] == ["student", "id", "points", "out of", "half", "honest", "to look at"]
    assert [row[2] for row in found[1:]] == ["1", "0", ""]
    assert found[3][-1] == "the judge's process ended"


def test_pages_show_text_of_others_as_text(source):
    page = reports.for_student(source.assignment, ROWS[1][1])
    assert "not yet: a  \\|&lt;b>" in page or "not yet: a \\|&lt;b>" in page
    page = reports.for_class(source.assignment, ROWS)
    assert "3 submissions, 2 judged" in page
    assert "| `half` | `check_half` | 1 of 2 |" in page
    assert "- Bob: the judge's process ended" in page


@pytest.mark.parametrize(
    "text", ['{"marks": []}', '{"marks": [{"task": 1}], "student": "a", "assignment": "b", "notes": []}']
)
def test_marks_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="these are no marks"):
        read_marks(text)


def test_the_marks_do_not_go_among_the_submissions_and_one_run_writes_them(source, folder, tmp_path):
    (folder / "ada.py").write_text(RIGHT)
    with pytest.raises(ValueError, match="lies among the submissions"):
        grade_class.grade(source, folder, folder / "marked")
    code = "import sys, time; from povid_lib.files.lock import locked\n"
    code += "with locked(sys.argv[1]): print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match="is in use by another run"):
            grade_class.grade(source, folder, tmp_path / "out")
        other.kill()


@pytest.mark.slow
def test_odd_names_and_odd_texts_stop_nobody(folder, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "source.py").write_text(
        SET.replace("half of 4 is 2, not {found}", "{found}").replace("abs(found - 2) < 1e-9", "found == 2")
    )
    for name in (
        b"\xff\xfe.py",
        b"a\nb.py",
        ("\u017b" * 120 + ".py").encode(),
        b"=1+1.py",
        b"..py",
        b"a b%2F.py",
        b"-rf.py",
    ):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text(
            f"def half(x):\n    return '\\ud800\\x1b[31m\\n# |'\n{HONEST}"
        )
    found = grade_class.grade(assignment.read_source(tmp_path / "set"), folder, tmp_path / "out", jobs=2)
    assert len(found) == 6  # what begins with a dot is none
    assert all(each.marks.points == 3 and not each.failed for each in found)
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*.*") if path.name != ".lock"]
    assert all(c.isprintable() or c == "\n" for text in texts for c in text)
    assert len(list((tmp_path / "out" / "marks").iterdir())) == len(list((tmp_path / "out" / "reports").iterdir())) == 6
    again = grade_class.grade(assignment.read_source(tmp_path / "set"), folder, tmp_path / "out")
    assert [each.marks for each in again] == [each.marks for each in found]


def test_kept_marks_that_somebody_has_spoiled_are_made_again(source, folder, tmp_path):
    (folder / "ada.py").write_text(RIGHT)
    (tmp_path / "marks").mkdir()
    (submission,) = submissions.find(folder)
    for text in ("", "[]", '{"points": 6}', "{"):
        (tmp_path / "marks" / "ada.json").write_text(text)
        assert grade_class._kept(source, submission, tmp_path) is None


def test_jobs_must_be_positive(source, folder, tmp_path):
    with pytest.raises(ValueError, match="jobs is 0"):
        grade_class.grade(source, folder, tmp_path / "out", jobs=0)
