"""Writing whole or not at all: what a kill leaves stands in nobody's way, and two writers do not mix."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from povid_lib.files import jsonl
from povid_lib.files.jsonl import part_of, replacing


@pytest.mark.parametrize("folder", [False, True])
def test_whole_or_not_at_all(tmp_path, folder):
    target = tmp_path / "made"

    def make(part, text):
        (part / "sub").mkdir() if folder else None
        (part / "sub" / "a" if folder else part).write_text(text)

    def read():
        return (target / "sub" / "a" if folder else target).read_text()

    def fail():
        with replacing(target, folder) as part:
            make(part, "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with replacing(target, folder) as part:
        assert not target.exists()
        make(part, "whole")
    assert read() == "whole"
    assert list(tmp_path.iterdir()) == [target]
    if folder:
        with pytest.raises(ValueError, match="made is a folder"), replacing(target, folder):
            pass
    else:
        with replacing(target) as part:
            make(part, "again")
        assert read() == "again"


KILLED = """
import os, signal, sys
from povid_lib.files.jsonl import replacing
folder = sys.argv[2] == "folder"
with replacing(sys.argv[1], folder) as part:
    (part / "a" if folder else part).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_kill_leaves_is_cleared(tmp_path, kind):
    target = tmp_path / "made"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target), kind])
    assert ended.returncode == -signal.SIGKILL
    assert part_of(target).exists()
    with replacing(target, kind == "folder") as part:
        assert (list(part.iterdir()) if kind == "folder" else part.read_bytes()) in ([], b"")
    assert list(tmp_path.iterdir()) == [target]
    part_of(target).mkdir() if kind == "file" else part_of(target).touch()  # what something else left
    if kind == "file":
        with replacing(target) as part:
            part.write_text("whole")
        assert target.read_text() == "whole"


def test_a_second_writer_waits_for_the_first(tmp_path):
    target, seen = tmp_path / "made", []

    def second():
        with replacing(target) as part:
            seen.append(target.read_text())
            part.write_text("second")

    with replacing(target) as part:
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.3)
        assert seen == []
        part.write_text("first")
    other.join(10)
    assert seen == ["first"]
    assert target.read_text() == "second"
    assert os.listdir(tmp_path) == ["made"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b'"a"', b'{"a": "\xff"}', b"[" * 100_000])
def test_a_damaged_record_of_our_own_is_named(tmp_path, content):
    path = tmp_path / "record.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"record\.json is damaged \(.*\); delete the folder\."):
        jsonl.read_record(path, "delete the folder")
    path.write_text('{"a": 1}')
    assert jsonl.read_record(path, "delete the folder") == {"a": 1}
