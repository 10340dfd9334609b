"""Archives for Gradescope, otter and Classroom 50: complete, run as the platform runs them, and results in the platform's form."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from povid_lib.course.grading import archives, as_user, assignment, confine, editions, process, single
from povid_lib.course.grading.judge import Mark, Marks, judge_locally
from povid_lib.course.grading.submissions import Submission

TOP = Path(__file__).resolve().parents[3]
SET = TOP / "assignments" / "ps1_measuring"
VARIABLES = {
    "CLASSROOM": "vision", "ASSIGNMENT": "ps1", "OWNER": "ada", "SUBMISSION_TAG": "submit/2026-11-27T12-00-00Z-abc",
    "COMMIT_URL": "https://example.org/c", "RELEASE_URL": "https://example.org/r",
}  # fmt: skip


@pytest.fixture(scope="module")
def source():
    return assignment.read_source(SET)


@pytest.fixture(scope="module")
def solution(source):
    return editions.notebook(source, solved=True)


MARKS = Marks(
    "ada",
    "ps1",
    (Mark("f", "check_f", 2, 2), Mark("f", "hidden_f", 0, 3, "not 5", "adds where it multiplies")),
    ("a note",),
)


def test_gradescopes_results_hold_what_its_specification_names(source):
    found = single.gradescope(source.assignment, judge_locally(source, "ada", source.answers), "user")
    assert set(found) <= {"score", "execution_time", "output", "output_format", "test_output_format", "test_name_format",
                          "visibility", "stdout_visibility", "extra_data", "tests", "leaderboard"}  # fmt: skip
    assert found["score"] == source.assignment.points
    for test in found["tests"]:
        assert set(test) <= {"score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "tags",
                             "visibility", "extra_data"}  # fmt: skip
        assert test["status"] in ("passed", "failed")
        assert test["visibility"] == ("after_due_date" if "hidden" in test["name"] else "visible")
    assert sum(test["score"] for test in found["tests"]) == found["score"]
    assert sum(test["max_score"] for test in found["tests"]) == source.assignment.points


def test_classroom50s_result_holds_what_its_contract_names():
    found = single.classroom50(MARKS, VARIABLES)
    assert found["schema"] == "classroom50/result/v1"
    assert (found["classroom"], found["assignment"], found["owner"]) == ("vision", "ps1", "ada")
    assert found["submission"].startswith("submit/")
    assert all(found[name] for name in ("commit", "release", "review", "datetime"))
    assert (found["score"], found["max-score"]) == (2, 5)
    assert [(t["test-name"], t["passed"], t["score"], t["max-score"]) for t in found["tests"]] == [
        ("f: check_f", True, 2, 2), ("f: hidden_f", False, 0, 3),
    ]  # fmt: skip


def test_a_result_replaces_a_link_that_the_submission_has_left(tmp_path):
    (tmp_path / "other").write_text("kept")
    (tmp_path / "result.json").symlink_to(tmp_path / "other")
    single.write_result(tmp_path / "result.json", {"score": 1})
    assert (tmp_path / "other").read_text() == "kept"
    assert json.loads((tmp_path / "result.json").read_text()) == {"score": 1}


def test_the_stronger_way_is_taken_where_there_is_one(monkeypatch, tmp_path):
    def never(*paths):
        raise ValueError("not here.")

    for module in (confine, as_user):
        monkeypatch.setattr(module, "check_hidden", lambda *paths: None)
        monkeypatch.setattr(module, "check_possible", lambda: None)
    assert single.way(tmp_path) == "namespaces"
    monkeypatch.setattr(confine, "check_possible", never)
    assert single.way(tmp_path) == "user"
    monkeypatch.setattr(as_user, "check_hidden", never)
    with pytest.raises(ValueError, match=r"cannot be confined here. not here. not here"):
        single.way(tmp_path)


@pytest.mark.slow
def test_an_archive_holds_all_that_marking_takes_and_neither_torch_nor_transformers(source):
    found = archives.needed(source)
    names = {line.partition("==")[0] for line in found.requirements}
    assert "numpy" in names
    assert not names & {"torch", "transformers", "povid-lib", "setuptools", "pip"}
    for name in (
        "course/grading/single.py",
        "course/grading/worker.py",
        "course/grading/confine.py",
        "course/exercises.py",
    ):
        assert f"povid_lib/{name}" in found.files


def test_what_is_no_archive_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="choose one of gradescope, otter, classroom50"):
        archives.write(source, "nbgrader", tmp_path / "x.zip")
    with pytest.raises(ValueError, match=r"must end in .zip"):
        archives.write(source, "gradescope", tmp_path / "x")
    with pytest.raises(ValueError, match="exists"):
        archives.write(source, "classroom50", tmp_path)


def test_the_same_set_gives_the_same_archive(source, tmp_path):
    made = [archives.write(source, "otter", tmp_path / f"{name}.zip").read_bytes() for name in "ab"]
    assert made[0] == made[1]


@pytest.fixture
def autograder(source, solution, tmp_path):
    """Gradescope's folders after its set-up, elsewhere than in /autograder: the archive's files, a submission, its metadata."""
    base = tmp_path / "autograder"
    with zipfile.ZipFile(archives.write(source, "gradescope", tmp_path / "gradescope.zip")) as archive:
        assert {"setup.sh", "run_autograder"} <= {name for name in archive.namelist() if "/" not in name}
        archive.extractall(base / "source")
    for name in ("submission", "results", "env/bin"):
        (base / name).mkdir(parents=True)
    (base / "submission" / "ps1.ipynb").write_text(solution)
    (base / "submission_metadata.json").write_text(json.dumps({"users": [{"email": "ada@example.org", "name": "Ada"}]}))
    python = base / "env" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return base


def run_autograder(base, *before):
    script = (base / "source" / "run_autograder").read_text().replace("/autograder/", f"{base}/")
    (base / "run_autograder").write_text(script)
    code = (base / "source" / "povid_lib" / "course" / "grading" / "single.py").read_text()
    (base / "source" / "povid_lib" / "course" / "grading" / "single.py").write_text(
        code.replace('Path("/autograder")', f"Path({str(base)!r})")
    )
    return subprocess.run([*before, "bash", str(base / "run_autograder")], capture_output=True, text=True, cwd=base)


@pytest.mark.slow
def test_gradescopes_script_marks_the_solution_with_nothing_but_the_archives_files(autograder, source):
    ran = run_autograder(autograder)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((autograder / "results" / "results.json").read_text())
    assert found["score"] == source.assignment.points
    assert found["extra_data"] == {"confined": "namespaces"}


@pytest.mark.slow
def test_gradescopes_script_writes_nothing_where_the_judge_fails(autograder):
    (autograder / "submission_metadata.json").write_text("{}")
    ran = run_autograder(autograder)
    assert ran.returncode != 0
    assert not list((autograder / "results").iterdir())


@pytest.mark.slow
def test_without_namespaces_the_script_goes_the_weaker_way_or_refuses(autograder, source):
    """As in a container: root, without the right to make namespaces. Where Python is root's own, the judge refuses."""
    if os.geteuid() != 0:
        pytest.fail("run the tests of grading as root, or in a user namespace (unshare -r)")
    ran = run_autograder(autograder, shutil.which("setpriv"), "--bounding-set", "-sys_admin")
    results = autograder / "results" / "results.json"
    closed = any(not place.stat().st_mode & 0o001 for place in Path(sys.executable).resolve().parents)
    if not closed:
        assert ran.returncode == 0, ran.stderr
        assert json.loads(results.read_text())["score"] == source.assignment.points
        assert as_user.LOST in ran.stdout
    else:
        assert "cannot be confined" in ran.stderr
        assert "install Python where all can read it" in ran.stderr
        assert not results.exists()


@pytest.mark.slow
def test_otters_plugin_hands_otter_a_notebook_of_marks_and_the_archives_tests_read_them(source, solution, tmp_path):
    folder = tmp_path / "autograder"
    with zipfile.ZipFile(archives.write(source, "otter", tmp_path / "otter.zip")) as archive:
        archive.extractall(folder / "source")
    (folder / "submission").mkdir()
    book = json.loads(solution)
    book["cells"] = [cell for cell in book["cells"] if "def price(" not in cell["source"]]
    (folder / "submission" / "ada.ipynb").write_text(json.dumps(book))
    given = single.Otter(str(folder / "submission" / "ada.ipynb"), {}, {}).before_execution(book)
    assert len(given["cells"]) == 1
    space = {}
    exec(given["cells"][0]["source"], space)
    assert set(space) - {"__builtins__"} == {"POVID_MARKS"}
    total = lost = 0
    for task in source.assignment.tasks:
        text = (folder / "source" / "tests" / f"{task.function}.py").read_text()
        cases = otter_cases(text)
        assert len(cases) == len(task.visible) + len(task.hidden)
        for points, case in cases:
            total += points
            if task.function == "price":
                lost += points
                with pytest.raises(AssertionError, match="there is no function `price`"):
                    case(space)
            else:
                case(space)
    assert total == source.assignment.points
    assert lost == next(task.points for task in source.assignment.tasks if task.function == "price")


def otter_cases(text):
    """(points, function) of an exception-based test file, read as otter reads it but without otter."""
    found = []

    def test_case(name, points, hidden):
        return lambda function: found.append((points, function)) or function

    exec(text.replace("from otter.test_files import test_case\n", ""), {"test_case": test_case})
    return found


@pytest.mark.slow
def test_classroom50s_folder_marks_a_checkout(source, solution, tmp_path, monkeypatch):
    folder = archives.write(source, "classroom50", tmp_path / "ps1")
    assert (folder / "autograder.py").is_file()
    compile((folder / "autograder.py").read_text(), "autograder.py", "exec")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "ps1.ipynb").write_text(solution)
    (checkout / "result.json").write_text('{"score": 99}')
    env = {**os.environ, **VARIABLES, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", "-m", "povid_lib.course.grading.single", "classroom50", str(folder / "set")]
    ran = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((checkout / "result.json").read_text())
    assert (found["score"], found["max-score"]) == (source.assignment.points,) * 2


def test_a_fault_of_the_hand_in_costs_the_marks_and_says_why(source, tmp_path):
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("")
    submission = single.handed_in(tmp_path)
    found = single.mark(source, submission, "ada", "namespaces")
    assert found.points == 0
    assert "there must be one" in found.marks[0].message
    assert Submission("ada", tmp_path, fault=submission.fault).fault == submission.fault


@pytest.mark.parametrize("fault", [process.NotStarted, process.NotConfined])
def test_what_the_machine_could_not_do_is_one_sentence_and_no_marks(source, tmp_path, monkeypatch, fault):
    def judge(*_args, **_more):
        raise fault("the machine is too busy")

    monkeypatch.setattr(single, "judge", judge)
    (tmp_path / "a.py").write_text("")
    with pytest.raises(SystemExit, match=r"^a\.py has not been marked: the machine is too busy\.$"):
        single.for_classroom50(source, tmp_path, VARIABLES)
    assert not (tmp_path / "result.json").exists()


def test_there_are_two_ways():
    assert list(process.WAYS) == ["namespaces", "user"]
