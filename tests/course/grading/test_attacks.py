"""Submissions that attack the judge instead of answering: none gains a mark, none sees what it should not, none stops the class."""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from povid_lib.course.grading import as_user, assignment, confine, process, wire
from povid_lib.course.grading.grade_class import grade
from povid_lib.course.grading.judge import judge

SET = '''# %% task
def half(x):
    """Half."""
    # BEGIN SOLUTION
    return x / 2
    # END SOLUTION

# %% task
def honest(x):
    """One more."""
    # BEGIN SOLUTION
    return x + 1
    # END SOLUTION

# %% hidden
from povid_lib.course.grading.assignment import Assignment, Limits, Task, Wrong

def check_half(answer):
    found = answer(4)
    assert abs(found - 2) < 1e-9, f"half of 4 is 2, not {found}"
def hidden_half(answer, draw):
    number = float(draw.random())
    found = answer(number)
    assert abs(found - half(number)) < 1e-9, f"half of {number} is something else than {found}"
    assert found == half(number)
def check_honest(answer):
    assert answer(1) == 2, "one and one"
def hidden_honest(answer, draw):
    number = int(draw.integers(100))
    assert answer(number) == honest(number), f"one more than {number}"

SECRET = "swordfish-31415"
TASKS = (
    Task("half", "half", 5, ((check_half, 1),), ((hidden_half, 2),), (), (Wrong("doubles", "not 8", lambda x: 2 * x),)),
    Task("honest", "one more", 5, ((check_honest, 1),), ((hidden_honest, 2),), (), ()),
)
ASSIGNMENT = Assignment("attacked", "Attacked", TASKS, Limits(call_seconds=3.0, seconds=30.0, megabytes=300))
'''
HONEST = "def honest(x):\n    return x + 1\n"

# name -> (body of half(x), words of what is told, or "" where nothing is promised)
ATTACKS = {
    "searches the disk for the checks": ("""
        import os
        import sys
        hits = 0
        for place, folders, names in os.walk("/"):
            folders[:] = [f for f in folders if os.path.join(place, f) not in ("/usr", sys.prefix, sys.base_prefix)]
            hits += sum(name in ("source.py", "secret.txt") for name in names)
        raise ValueError(f"{hits} hits")""", "ValueError: 0 hits"),
    "opens the source where it lies": ("return open(PLACE).read()", "FileNotFoundError"),
    "reads the class's other submissions": ("import os; return os.listdir(FOLDER)", "FileNotFoundError"),
    "imports from the checks": ("import source", "ModuleNotFoundError"),
    "looks for checks among the objects in memory": ("""
        import gc, types
        names = [f.__name__ for f in gc.get_objects() if isinstance(f, types.FunctionType)]
        raise ValueError(str([name for name in names if name.startswith("hidden_")]))""", "ValueError: []"),
    "looks for the secret in its own memory by frames": ("""
        import sys
        frame, seen = sys._getframe(), ""
        while frame:
            seen += repr(frame.f_locals) + repr(frame.f_globals)
            frame = frame.f_back
        raise ValueError("found" if "sword" + "fish" in seen else "nothing")""", "ValueError: nothing"),
    "reads other processes": ("import os; return os.listdir('/proc/1')", "FileNotFoundError"),
    "reads the judge's environment": ("import os; raise ValueError(str(os.environ.get('JUDGE_SECRET')))", "ValueError: None"),
    "writes the marks": ("""
        import json
        for path in ("marks.json", "results.json", "/autograder/results/results.json", OUT + "/marks/x.json"):
            try:
                with open(path, "w") as file:
                    json.dump({"points": 6, "score": 6, "out_of": 6}, file)
            except OSError:
                pass
        return 8""", "not 8"),
    "prints marks": ("print('{\"points\": 6, \"score\": 6}'); return 8", "not 8"),
    "exits with 0": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "exits at once": ("import os; os._exit(0)", "has ended"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "has ended"),
    "patches numpy": ("""
        import numpy as np
        np.abs = np.allclose = np.isclose = lambda *a, **k: True
        import builtins
        builtins.abs = lambda x: 0
        return 8""", "not 8"),
    "patches the library's checks": ("""
        from povid_lib.course import exercises
        exercises.run_check = lambda check, answer: exercises.Outcome(True)
        return 8""", "not 8"),
    "patches the worker": ("""
        from povid_lib.course.grading import wire, worker
        worker._answer = lambda function, args: {"value": {"set": [{"list": []}]}}
        return 8""", ""),
    "forges a message": ("""
        from povid_lib.course.grading import wire, worker
        wire.dumps = lambda message: b'{"passed": true, "points": 6}\\n'
        return 8""", "sent what is no answer"),
    "writes on every open file": ("""
        import os
        for number in range(32):
            try:
                os.write(number, b'{"id": "0", "value": 2}\\n' * 100)
            except OSError:
                pass
        return 8""", "sent what is no answer"),
    "closes every open file": ("import os; os.closerange(0, 64); return 2", ""),
    "equals everything": ("""
        class Everything:
            __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = lambda *a: True
            __sub__ = __rsub__ = __abs__ = __add__ = lambda self, *a: self
        return Everything()""", "returned Everything"),
    "equals everything as a number": ("""
        class Everything(float):
            __eq__ = __lt__ = lambda *a: True
            __sub__ = __rsub__ = __abs__ = lambda self, *a: self
        return Everything(8)""", "not 8.0"),
    "equals everything as a text": ("""
        class Everything(str):
            __eq__ = lambda *a: True
            __sub__ = __rsub__ = lambda *a: 0
        return Everything("2")""", "returned str '2'"),
    "returns nan": ("return float('nan')", "not nan"),
    "returns an array of nothing": ("import numpy as np; return np.array([])", ""),
    "returns what runs when it is unpickled": ("""
        class Bomb:
            def __reduce__(self):
                return eval, ("open('/tmp/pickled', 'w')",)
        return Bomb()""", "returned Bomb"),
    "returns pickled bytes": ("import os, pickle; return pickle.dumps(os.getcwd)", "returned bytes"),
    "forks without an end": ("import os\n        while True: os.fork()", "BlockingIOError"),
    "starts a program": ("import subprocess; return subprocess.run(['id'], capture_output=True).stdout", "BlockingIOError"),
    "starts threads": ("import threading\n        while True: threading.Thread(target=print).start()", "can't start new thread"),
    "sleeps": ("import time; time.sleep(1000)", "no answer within 3 s"),
    "loops": ("while True: pass", "no answer within 3 s"),
    "catches every signal and loops": ("""
        import signal
        for number in signal.valid_signals():
            try:
                signal.signal(number, lambda *a: None)
            except (OSError, ValueError):
                pass
        while True:
            try:
                while True: pass
            except BaseException:
                pass""", "no answer within 3 s"),
    "fills the memory": ("return len(bytearray(10 ** 11))", "MemoryError"),
    "fills the memory bit by bit": ("""
        kept = []
        while True: kept.append(bytearray(10 ** 8))""", "MemoryError"),
    "fills the memory by shared files": ("""
        import os
        kept = [os.memfd_create(str(n)) for n in range(20)]
        for number in kept:
            while True: os.write(number, bytes(10 ** 6))""", "OSError"),
    "fills the memory by shared segments": ("""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.shmget(0, ctypes.c_size_t(10 ** 9), 0o1600) < 0: raise OSError(ctypes.get_errno(), "shmget")
        return 8""", "shmget"),
    "fills the disk": ("""
        for n in range(100):
            with open(str(n), "wb") as file:
                file.write(bytes(3 * 10 ** 6))""", "OSError"),
    "floods the output": ("""
        import sys
        for _ in range(10 ** 5):
            print("x" * 1000)
            sys.stderr.write("y" * 1000)
        return 8""", "not 8"),
    "gives an answer without an end": ("return 'x' * 10 ** 7", "characters"),
    "gives an answer that holds itself": ("a = []; a.append(a); return a", "RecursionError"),
    "gives a number of many digits": ("return 10 ** 10000", ""),
    "recurs without an end": ("return half(x)", "RecursionError"),
    "deletes files": ("""
        import json, os, shutil
        for place in (os.path.dirname(PLACE), OUT, os.path.dirname(json.__file__)):
            shutil.rmtree(place, ignore_errors=True)
        os.remove(os.__file__)""", "Read-only file system"),
    "opens a socket": ("""
        import socket
        socket.create_connection(("127.0.0.1", PORT), timeout=1)""", "OSError"),
    "opens a unix socket": ("""
        import socket
        s = socket.socket(socket.AF_UNIX)
        s.connect(FOLDER + "/sock")""", "FileNotFoundError"),
    "becomes root": ("import os; os.setuid(0)", ""),
    "leaves its root": ("import os; os.chroot('.')", "PermissionError"),
    "mounts": ("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"none", b"/answer", b"tmpfs", 0, None): raise OSError(ctypes.get_errno(), "mount")""", "PermissionError"),
    "makes a user namespace": ("""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x10000000): raise OSError(ctypes.get_errno(), "unshare")""", "PermissionError"),
    "kills what it can": ("""
        import os
        os.kill(-1, 9)""", ""),
    "kills the first process": ("""
        import os
        os.kill(1, 9)
        return 8""", ""),
    "raises what cannot be shown": ("""
        class Odd(Exception):
            def __str__(self): raise SystemExit
        raise Odd""", "cannot be shown"),
    "raises a fault with a name of many letters": ("raise type('X' * 10 ** 6, (Exception,), {})('y' * 10 ** 6)", "raises XXX"),
    "writes control characters and HTML": ("raise ValueError('\\x1b[31m<script>|\\n\\n# 6 of 6')", "ValueError"),
    "raises a fault like the judge's own": ("raise ChildProcessError('x' * 900)", "ChildProcessError"),
    "leaves a thread of exit behind": ("import atexit; atexit.register(lambda: print('6')); return 8", "not 8"),
}  # fmt: skip

# what is told by the weaker way, where it is something else; "" where that way has lost a protection, and no mark is gained
AS_USER = {
    "searches the disk for the checks": "",
    "opens the source where it lies": "PermissionError",
    "reads the class's other submissions": "PermissionError",
    "reads other processes": "",
    "forks without an end": "PermissionError",
    "starts a program": "PermissionError",
    "fills the memory by shared files": "PermissionError",
    "fills the disk": "",
    "deletes files": "PermissionError",
    "opens a socket": "PermissionError",
    "opens a unix socket": "PermissionError",
}


@pytest.fixture(autouse=True)
def users(monkeypatch):
    """Users of this module's own: another class may be marked on this machine meanwhile."""
    monkeypatch.setattr(confine, "FIRST_UID", 64_700)


@pytest.fixture(scope="module")
def python_for_all():
    """A Python that other users can run: this one may lie in root's own folder. Its files are links to this one's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        names = {"bin", "lib"} & set(os.listdir(sys.base_prefix))
        link = (
            ["cp", "-a", "--reflink=auto"] if os.stat(name).st_dev != os.stat(sys.base_prefix).st_dev else ["cp", "-al"]
        )
        subprocess.run([*link, *(f"{sys.base_prefix}/{each}" for each in names), name], check=True)
        yield Path(name)


@pytest.fixture
def as_another_user(monkeypatch, python_for_all):
    """The weaker way, as in a container that is root and has no namespaces. Elsewhere it must be refused."""
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    plain = confine.environment
    home = {"PYTHONHOME": str(python_for_all)}

    def environment(*where):
        found = plain(*where)
        return {**found, **home, "PYTHONPATH": f"{found['PYTHONPATH']}{os.pathsep}{packages}"}

    monkeypatch.setattr(confine, "environment", environment)
    monkeypatch.setattr(sys, "executable", str(python_for_all / "bin" / Path(sys.executable).resolve().name))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A set, a class's folder, and a server on this machine that a submission might reach."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "set").mkdir()
    (folder / "class").mkdir()
    (folder / "set" / "source.py").write_text(SET)
    (folder / "class" / "secret.txt").write_text("swordfish-31415")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield folder, server


def submission(place, body):
    folder, server = place
    names = {"PLACE": folder / "set" / "source.py", "FOLDER": folder / "class", "OUT": folder / "out"}
    head = "".join(f"{name} = {str(path)!r}\n" for name, path in names.items())
    return f"{head}PORT = {server.getsockname()[1]}\n\ndef half(x):\n        {body.strip()}\n\n{HONEST}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gains_nothing_and_is_told(name, place, monkeypatch):
    gains_nothing(name, place, monkeypatch, ATTACKS[name][1], "namespaces")


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gains_nothing_the_weaker_way(name, place, monkeypatch, as_another_user):
    as_user.check_possible()
    as_user.check_hidden(place[0] / "set" / "source.py", place[0] / "class")
    gains_nothing(name, place, monkeypatch, AS_USER.get(name, ATTACKS[name][1]), "user")


def gains_nothing(name, place, monkeypatch, told, way):
    monkeypatch.setenv("JUDGE_SECRET", "swordfish-31415")
    body, _ = ATTACKS[name]
    source = assignment.read_source(place[0] / "set")
    before = sorted(path for path in place[0].rglob("*"))
    found = judge(source, "mallory", submission(place, body).encode(), is_notebook=False, way=way)
    own = [mark for mark in found.marks if mark.task == "half"]
    assert sum(mark.points for mark in own) == 0
    assert all(mark.message for mark in own)
    assert told in own[0].message
    assert "swordfish" not in "".join(mark.message for mark in own)
    assert len("".join(mark.message for mark in own)) < 2000
    assert sorted(path for path in place[0].rglob("*")) == before
    assert not processes_left()


def processes_left():
    """Processes of the users that submissions run as."""
    return [
        pid for pid in os.listdir("/proc") if pid.isdigit() and Path(f"/proc/{pid}").exists()
        and confine.FIRST_UID <= os.stat(f"/proc/{pid}").st_uid < confine.FIRST_UID + 64
    ]  # fmt: skip


def test_nobody_has_called_on_the_server(place):
    with pytest.raises(TimeoutError):
        place[1].accept()


@pytest.mark.slow
def test_an_attack_does_not_spoil_the_other_answers_of_its_submission(place):
    source = assignment.read_source(place[0] / "set")
    for name in ("exits at once", "loops", "fills the memory", "patches the worker", "closes every open file"):
        found = judge(source, "mallory", submission(place, ATTACKS[name][0]).encode(), is_notebook=False)
        assert sum(mark.points for mark in found.marks if mark.task == "honest") == 3


@pytest.mark.slow
def test_a_function_that_took_too_long_is_not_waited_for_again(place, monkeypatch):
    asked, ask = [], process.Process.ask
    monkeypatch.setattr(
        process.Process, "ask", lambda self, message, s: asked.append(message.get("call")) or ask(self, message, s)
    )
    found = judge(
        assignment.read_source(place[0] / "set"), "mallory", submission(place, "while True: pass").encode(), False
    )
    assert asked == [None, None, "half", None, None, "honest", "honest"]  # each start: the imports, the submission
    (first, given), (second, other) = (mark.message.split(" was given ") for mark in found.marks[:2])
    assert first == second
    assert given != other  # each names its own number


@pytest.mark.slow
def test_a_class_of_attackers_is_marked_to_its_end_and_the_honest_get_their_marks(place, tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    chosen = list(ATTACKS.values())[::3]
    for at, (body, _) in enumerate(chosen):
        (folder / f"attack {at:02}.py").write_text(submission(place, body))
    for at in range(5):
        (folder / f"honest {at:02}.py").write_text(f"def half(x):\n    return x / 2\n{HONEST}")
    graded = grade(assignment.read_source(place[0] / "set"), folder, tmp_path / "out", jobs=2)
    assert len(graded) == len(chosen) + 5
    for each in graded:
        assert not each.failed
        assert each.marks.points == 6 if each.submission.student.startswith("honest") else each.marks.points <= 3
    kept = [json.loads(path.read_text())["points"] for path in sorted((tmp_path / "out" / "marks").iterdir())]
    assert kept == [each.marks.points for each in graded]
    assert not processes_left()


def test_what_the_disk_holds_for_everybody_is_refused(tmp_path):
    with pytest.raises(ValueError, match="which students' code can read"):
        confine.check_hidden(Path(os.__file__))
    confine.check_hidden(tmp_path)


def test_a_machine_that_cannot_confine_is_told_and_no_student_is_blamed(place, monkeypatch):
    source = assignment.read_source(place[0] / "set")
    monkeypatch.setattr(confine, "visible", lambda: ["/usr", "/nowhere/at/all"])
    with pytest.raises(process.NotConfined):
        judge(source, "ada", HONEST.encode(), is_notebook=False)
    monkeypatch.setattr(confine, "_unshare", lambda: ["false"])
    with pytest.raises(ValueError, match="cannot be confined"):
        confine.check_possible()


@pytest.mark.slow
def test_an_honest_submission_gets_its_marks_the_weaker_way(place, as_another_user):
    source = assignment.read_source(place[0] / "set")
    found = judge(source, "ada", f"def half(x):\n    return x / 2\n{HONEST}".encode(), False, way="user")
    assert found.points == 6
    assert not processes_left()


def test_the_weaker_way_is_refused_where_it_cannot_keep_its_word(tmp_path, monkeypatch):
    (tmp_path / "source.py").write_text("")
    as_user.check_hidden(tmp_path / "source.py")  # pytest's folders are closed to others
    with pytest.raises(ValueError, match="can be read by everybody"):
        as_user.check_hidden("/etc/passwd")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="must be root"):
        as_user.check_possible()


def test_a_python_that_others_cannot_run_is_told(monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError("closed")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for run in (lambda *a, **k: subprocess.CompletedProcess(a, 1, "", "closed"), refused):
        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(ValueError, match=r"cannot run .*closed"):
            as_user.check_possible()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_denies_what_it_names_and_nothing_else(machine):
    """The program is run here as the kernel runs it, over every number and another architecture."""
    lines = [struct.unpack("HBBI", each) for each in batched(as_user._program(machine), 8)]
    arch, column = (as_user._X86, 0) if machine == "x86_64" else (as_user._ARM, 1)
    denied = {each[column] for each in as_user._DENIED.values()} - {None}
    for number in [*range(600), 2**30 + 41, 2**31]:
        found = run_filter(lines, number, arch)
        foreign = machine == "x86_64" and number >= 2**30
        assert found == (as_user._DENY if number in denied or foreign else as_user._ALLOW)
    assert run_filter(lines, 0, 0x40000003) == as_user._KILL


def batched(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def run_filter(lines, number, arch):
    at = held = 0
    while True:
        code, then, otherwise, k = lines[at]
        at += 1
        if code == as_user._RETURN:
            return k
        if code == as_user._LOAD:
            held = {0: number, 4: arch}[k]
        else:
            at += then if (held == k if code == as_user._EQUAL else held >= k) else otherwise


def test_a_users_number_that_is_taken_is_refused(monkeypatch):
    monkeypatch.setattr(confine, "FIRST_UID", 0)
    with pytest.raises(ValueError, match="belongs to somebody"):
        confine.command("/tmp/x", 0, assignment.Limits(), 0)


@pytest.mark.parametrize(
    "message", [b"[]", b"3", b"{", b"[" * 100_000, b'{"a": ' * 100_000, b'{"value": 1' + b"0" * 5000 + b"}"]
)
def test_messages_that_are_none_are_refused(message):
    with pytest.raises(ValueError, match=r"\w"):
        wire.loads(message)


@pytest.mark.parametrize(
    "value",
    [
        [1],
        {},
        {"list": 3},
        {"array": [1, [2]], "dtype": "int64"},
        {"array": [1], "dtype": "object"},
        {"dict": [[1]]},
        {"eval": ["1"]},
    ],
)
def test_values_that_are_none_are_refused(value):
    with pytest.raises(ValueError, match=r"\w"):
        wire.decode(value)
