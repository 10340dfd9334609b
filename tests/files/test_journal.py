"""Journals: torn where a kill tore them and nowhere else, whoever writes."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from filelock import lock_descriptor, unlock_descriptor

from povid_lib.files import journal
from povid_lib.files.journal import Form, appending, mend, read

FORM = Form("note", b'{"note": ', lambda row: isinstance(row, dict) and "note" in row)

WRITER = """
import sys
import threading
import time
from tests.files.test_journal import FORM, appending, mend
path, name = sys.argv[1:]
with appending(path, FORM) as write:
    for i in range(400):
        write({"note": f"{name}-{i}", "more": "x" * (i % 97)})
        if i % 20 == 0:
            mend(path, FORM)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notes"


def rows(path):
    return [row for _, row in read(path, FORM)]


@pytest.mark.slow
def test_four_processes_that_append_and_mend_lose_nothing(path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abcd"]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    got = [row["note"] for row in rows(path)]
    assert len(got) == 1600
    for name in "abcd":
        assert [note for note in got if note[0] == name] == [f"{name}-{i}" for i in range(400)]


def test_every_byte_where_a_kill_may_cut(path):
    with appending(path, FORM) as write:
        write({"note": "one"}, {"note": "zwei é"})
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        kept = [json.loads(line) for line in lines if len(b"".join(lines[: lines.index(line) + 1])) - 1 <= end]
        assert rows(path) == kept
        with appending(path, FORM) as write:
            write({"note": "three"})
        assert rows(path) == [*kept, {"note": "three"}]


def test_one_that_wants_to_be_alone_is(path):
    with appending(path, FORM, alone=True) as write:
        write({"note": "mine"})
        with (
            pytest.raises(ValueError, match="notes is in use by another run; wait for it"),
            appending(path, FORM, alone=True),
        ):
            pass
    with appending(path, FORM, alone=True):
        pass
    assert rows(path) == [{"note": "mine"}]


@pytest.mark.parametrize("content", [b"my thoughts", b'{"other": 1}\n', b'{"note": 1}\nmy thoughts\n', b"[1]"])
def test_files_of_others_are_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no note and not the beginning of one; give a file of notes"):
        mend(path, FORM)
    assert path.read_bytes() == content


def test_lines_that_are_no_json_are_named(path):
    path.write_bytes(b'{"note": 1}\n{"note": \n{"note": 3}\n')
    with pytest.raises(ValueError, match="notes: 1 fault\n  line 2: no JSON"):
        rows(path)
    path.write_bytes(b'{"note": 1, "note": 2}\n')
    with pytest.raises(ValueError, match="key 'note' stands twice"):
        rows(path)
    assert list(read(path.with_name("none"), FORM)) == []


def test_a_full_disk_leaves_no_half_line(path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with appending(path, FORM, durable=True) as write:
        write({"note": 1})
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(journal.os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                write({"note": 2})
        assert path.read_bytes() == before
        write({"note": 3})
    assert rows(path) == [{"note": 1}, {"note": 3}]
    assert os.listdir(path.parent) == ["notes"]


def test_a_writer_waits_while_another_has_the_lock(path):
    """As a mending one has, which must not take a line for torn that is being written."""
    path.touch()
    with appending(path, FORM) as write, path.open("ab") as other:
        lock_descriptor(other.fileno())
        thread = threading.Thread(target=write, args=({"note": 1},))
        thread.start()
        time.sleep(0.3)
        assert path.read_bytes() == b""
        unlock_descriptor(other.fileno())
        thread.join(10)
    assert rows(path) == [{"note": 1}]
