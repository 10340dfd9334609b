"""The problem sets, proven by mutation: stubs fail, right answers pass, each wrong answer is told its own fault and loses marks."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest

from benchmarks import grading
from povid_lib.course import experiment
from povid_lib.course.grading import assignment, editions, submission
from povid_lib.course.grading.grade_class import grade
from povid_lib.course.grading.judge import judge, judge_answer

TOP = Path(__file__).resolve().parents[3]
SETS = sorted(path.parent.name for path in (TOP / "assignments").glob("*/source.py"))
STUDENTS = ("ada", "grace", "alan", "Łucja Ω")


@cache
def source(name):
    return assignment.read_source(TOP / "assignments" / name)


TASKS = [
    pytest.param(name, at, id=f"{name}-{task.function}")
    for name in SETS
    for at, task in enumerate(source(name).assignment.tasks)
]


NUMBERS = {  # how many an answer has, at least
    "chair": 3, "pope": 5, "wilson": 2, "ratio_interval": 3, "price": 1, "edits": 1, "alpha_bar": 1, "noised": 1, "shortcut": 1,
    "answer_logps": 1, "dpo": 4, "dpo_gradient": 3, "povid": 1, "logits_gradient": 1, "kl": 1, "implied_reward": 1, "step": 3,
    "train": 3, "paired": 3, "margin": 3,
}  # fmt: skip


def minutes_of_headings(name):
    """What the headings say, in order: of each task, and after them of what is no function."""
    return [int(minutes) for minutes in re.findall(r"^# ## \d+\. .*\((\d+) minutes\)$", source(name).text, re.M)]


def marks_of(name, task, answer, student):
    """Points got of the task's, and what was told of each check that failed."""
    found = judge_answer(source(name), task, student, answer)
    return sum(m.points for m in found), [m for m in found if m.message]


def test_there_are_sets():
    assert SETS == ["ps1_measuring", "ps2_dispreferences", "ps3_training", "ps4_experiment"]


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_of_the_size_that_was_asked_for(name):
    found = source(name).assignment
    assert 90 <= sum(task.minutes for task in found.tasks) <= 180
    assert sum(len(task.wrong) for task in found.tasks) >= 12
    assert all(len(task.right) >= 2 and len(task.wrong) >= 4 for task in found.tasks)


def test_the_teachers_page_names_each_set_with_its_minutes_tasks_and_points():
    page = (TOP / "assignments" / "README.md").read_text()
    for name in SETS:
        found = source(name).assignment
        row = next(line for line in page.split("\n") if line.startswith(f"| `{name}` |"))
        minutes = sum(minutes_of_headings(name))
        assert row.endswith(f"| {minutes} minutes | {len(found.tasks)} | {found.points} |")


def test_the_instructors_page_names_each_set_with_its_minutes_and_wrong_answers():
    page = (TOP / "book" / "instructors.md").read_text()
    for number, name in enumerate(SETS, 1):
        tasks = source(name).assignment.tasks
        minutes, wrong = sum(minutes_of_headings(name)), sum(len(task.wrong) for task in tasks)
        assert f"| PS{number} | {len(tasks)} | {minutes} | {wrong} |" in page


@pytest.mark.parametrize("name", SETS)
def test_each_heading_of_a_task_says_its_minutes(name):
    tasks, said = source(name).assignment.tasks, minutes_of_headings(name)
    assert said[: len(tasks)] == [task.minutes for task in tasks]
    assert said[len(tasks) :] == {"ps4_experiment": [35]}.get(name, [])  # the page of judgement, which is no function


@pytest.mark.slow
@pytest.mark.parametrize(("name", "at"), TASKS)
@pytest.mark.parametrize("student", STUDENTS)
def test_right_answers_get_every_mark(name, at, student):
    task = source(name).assignment.tasks[at]
    for answer in (source(name).answers[task.function], *task.right):
        assert marks_of(name, task, answer, student) == (task.points, [])


@pytest.mark.parametrize(("name", "at"), TASKS)
def test_the_stub_gets_none(name, at):
    task = source(name).assignment.tasks[at]
    space = {}
    exec(editions.stubs(source(name))[task.function], space)
    points, told = marks_of(name, task, space[task.function], "ada")
    assert points == 0
    assert all("returns nothing (None)" in mark.message for mark in told)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "at"), TASKS)
@pytest.mark.parametrize("student", STUDENTS)
def test_each_wrong_answer_loses_marks_and_is_told_its_own_fault(name, at, student):
    task = source(name).assignment.tasks[at]
    for wrong in task.wrong:
        points, told = marks_of(name, task, wrong.answer, student)
        assert points < task.points, wrong.misconception
        assert wrong.told in told[0].message, (wrong.misconception, told[0].message)
        assert told[0].misconception == wrong.misconception


def with_nan(value):
    """The value with nan in the place of each of its numbers, one at a time and then all."""
    if isinstance(value, dict):
        parts = [{**value, key: other} for key in value for other in with_nan(value[key])]
        return [*parts, {key: float("nan") for key in value}] if parts else []
    if isinstance(value, list | tuple):
        parts = [[*value[:at], other, *value[at + 1 :]] for at in range(len(value)) for other in with_nan(value[at])]
        return [*parts, [float("nan")] * len(value)] if parts else []
    if isinstance(value, np.ndarray) and value.ndim:
        return [np.full(value.shape, np.nan)] if value.dtype.kind == "f" else []
    return [float("nan")] if isinstance(value, int | float | np.number) and not isinstance(value, bool) else []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "at"), TASKS)
def test_an_answer_that_is_not_a_number_is_told_so_and_no_other_fault(name, at):
    """nan compares as false with everything, so a comparison that is written the wrong way round takes it for a wrong number."""
    task = source(name).assignment.tasks[at]
    right, tried = source(name).answers[task.function], set()
    for place in range(6):  # POPE's five numbers, and all of them

        def answer(*args, place=place):
            value = right(*args)
            if place >= len(others := with_nan(value)):
                return value
            tried.add(place)
            return others[place]

        _, told = marks_of(name, task, answer, "ada")
        assert place not in tried or "nan" in told[0].message, told[0].message
    assert len(tried) >= NUMBERS.get(task.function, 0)


@pytest.mark.parametrize("name", SETS)
def test_misconceptions_have_words_and_messages_of_their_own(name):
    for task in source(name).assignment.tasks:
        by_message = {}
        for wrong in task.wrong:
            by_message.setdefault(wrong.told, set()).add(wrong.misconception)
        assert all(len(names) == 1 for names in by_message.values()), by_message


@pytest.mark.parametrize("name", SETS)
def test_the_student_sees_no_solution_and_no_hidden_check(name):
    text = editions.notebook(source(name), solved=False)
    cells = editions.cells(source(name))
    hidden = "\n".join(cell.text for cell in cells if cell.kind == "hidden")
    lines = {line.strip() for line in hidden.split("\n") if len(line.strip()) > 25}
    for cell in cells:
        if cell.kind == "task":
            solution = cell.text.partition("# BEGIN SOLUTION")[2].partition("# END SOLUTION")[0]
            lines |= {line.strip() for line in solution.split("\n") if len(line.strip()) > 25}
    lines -= {line.strip() for cell in cells if cell.kind not in ("task", "hidden") for line in cell.text.split("\n")}
    lines -= {line.strip() for stub in editions.stubs(source(name)).values() for line in stub.split("\n")}
    assert len(lines) > 200
    shown = {line.strip() for cell in json.loads(text)["cells"] for line in cell["source"].split("\n")}
    assert not lines & shown
    assert "SOLUTION" not in text


@pytest.mark.parametrize("name", SETS)
def test_visible_checks_lean_on_no_function_of_the_student(name):
    functions = set(source(name).answers)
    for cell in editions.cells(source(name)):
        if cell.kind == "visible":
            for node in ast.parse(cell.text).body:
                given = {arg.arg for arg in node.args.args} if isinstance(node, ast.FunctionDef) else set()
                used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                assert not (used & functions) - given


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_both_notebooks_are_valid_and_the_solved_one_says_right_throughout(name, tmp_path):
    """The student's side: nothing but the library and what it depends on, and one file."""
    for solved, said in ((True, "Right."), (False, "Not yet")):
        text = editions.notebook(source(name), solved)
        book = nbformat.reads(text, as_version=4)
        nbformat.validate(book)
        code = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        lines = [line for line in ran.stdout.split("\n") if line and not line.startswith(" ")]
        assert len(lines) == len(source(name).assignment.tasks)
        assert all(line.startswith(said) for line in lines)


def test_the_small_world_of_the_first_set_has_a_price_and_no_judge_looks_at_it(tmp_path):
    text = editions.notebook(source("ps1_measuring"), solved=True)
    text = text.replace("LOOK = False", "LOOK = True")
    code = "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    before, after, price = ran.stdout.split("\n")[-4:-1]
    assert before == "before {'chair_s': 0.875, 'chair_i': 0.375, 'recall': 0.833}"
    assert after == "after {'chair_s': 0.0, 'chair_i': 0.0, 'recall': 0.333}"
    assert price == "price: 1.33 of recall for each unit of chair_i"


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        ("ps1_measuring", "LOOK"),
        ("ps2_dispreferences", "TOGETHER"),
        ("ps3_training", "POCKET"),
        ("ps4_experiment", "RUN"),
    ],
)
def test_what_a_student_has_left_turned_on_is_not_run_by_the_judge(name, switch, monkeypatch):
    """The model would not fit into the judge's limits, and reading the submission would fail with it."""
    text = editions.notebook(source(name), solved=True)
    assert f"{switch} = False" in text
    text = text.replace(f"{switch} = False", f"{switch} = True")
    monkeypatch.setitem(sys.modules, "povid_lib.course.head", None)
    monkeypatch.setattr(experiment, "run", None)
    found, notes = submission.functions(text.encode(), True, editions.stubs(source(name)))
    assert set(found) == set(source(name).answers)
    assert notes == []


@pytest.mark.slow
def test_the_judge_sees_a_step_that_writes_into_what_it_was_given():
    found = source("ps3_training")
    text = editions.notebook(found, solved=True)
    old = "return weights - lr * change, "
    assert old in text
    data = text.replace(old, "weights -= lr * change\\n    return weights, ").encode()
    marks = {mark.check: mark for mark in judge(found, "ada", data, is_notebook=True).marks}
    for check, who in (("check_step", "step"), ("check_train", "train, or the step that it calls,")):
        assert marks[check].points == 0
        assert marks[check].message.startswith(f"{who} writes into an array that it was given")
        assert marks[check].misconception == "writes into its arguments"


def test_what_assign_writes_is_not_written_over(tmp_path):
    made = editions.write(source(SETS[0]), tmp_path)
    assert [path.name for path in made] == ["ps1.ipynb", "AGENTS.md", "ps1_solution.ipynb"]
    with pytest.raises(ValueError, match="exists; choose another folder"):
        editions.write(source(SETS[0]), tmp_path)


def test_seeds_differ_by_student_set_and_check_and_stay():
    def first(*names):
        return assignment.draws(*names).random()

    assert first("ps1", "ada", "hidden_chair") == first("ps1", "ada", "hidden_chair")
    others = {
        first(*names) for names in (("ps1", "ada", "a"), ("ps2", "ada", "a"), ("ps1", "bob", "a"), ("ps1", "ada", "b"))
    }
    assert len(others) == 4


FORM = '''# %% task
def half(x):
    """Half."""
    # BEGIN SOLUTION
    return x / 2
    # END SOLUTION

# %% hidden
from povid_lib.course.grading.assignment import Assignment, Task
def check_half(half):
    assert half(4) == 2
def hidden_half(half, draw):
    assert half(6) == 3
ASSIGNMENT = Assignment("t", "T", (Task("half", "half", 5, ((check_half, 1),), ((hidden_half, 1),), (), ()),))
'''


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("# %% task", "# %% tusk", "a cell of the kind 'tusk'"),
        ("    # END SOLUTION\n", "", "needs its solution between"),
        ('    """Half."""\n', "", "one function with a docstring"),
        ("def half(x)", "more = 1\ndef half(x)", "one function with a docstring"),
        ('Task("half"', 'Task("third"', "no function of that name"),
        ("ASSIGNMENT =", "SET =", "binds no ASSIGNMENT"),
        ("((hidden_half, 1),)", "()", "a visible check and a hidden one"),
        ('(Task("half", "half", 5, ((check_half, 1),), ((hidden_half, 1),), (), ()),)', "()", "has no tasks"),
    ],
)
def test_a_source_that_is_not_in_form_is_refused(old, new, told, tmp_path):
    (tmp_path / "source.py").write_text(FORM)
    editions.cells(assignment.read_source(tmp_path))
    assert old in FORM
    (tmp_path / "source.py").write_text(FORM.replace(old, new))
    with pytest.raises(ValueError, match=told):
        editions.cells(assignment.read_source(tmp_path))


def test_a_folder_without_a_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no problem set"):
        assignment.read_source(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_class_with_every_kind_of_broken_notebook_gets_its_marks(name, tmp_path):
    (tmp_path / "class").mkdir()
    made = [grading.submission(source(name), kind, at) for at, kind in enumerate(grading.KINDS)]
    for each in made:
        (tmp_path / "class" / each.name).write_bytes(each.data)
    graded = grade(source(name), tmp_path / "class", tmp_path / "out", jobs=2)
    found = {each.submission.path.name: (each.marks.points, each.failed) for each in graded}
    assert found == {each.name: (each.points, "") for each in made}
