"""One run a folder: another process is refused, the same one is not, and a kill leaves no lock behind."""

import subprocess
import sys

import pytest

from povid_lib.files.lock import LOCK, locked

TRY = "import sys; from povid_lib.files.lock import locked\nwith locked(sys.argv[1]): print('held', flush=True); {}"


def other(folder, then="pass"):
    return subprocess.Popen(
        [sys.executable, "-c", TRY.format(then), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_another_process_is_refused_and_the_same_one_is_not(tmp_path):
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        said = other(tmp_path / "run").communicate()[1]
    assert "run is in use by another run; wait for its end, or give another folder." in said
    assert other(tmp_path / "run").communicate()[0] == "held\n"
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {LOCK}


def test_a_kill_leaves_no_lock(tmp_path):
    process = other(tmp_path, "import time; time.sleep(600)")
    assert process.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="is in use by another run"), locked(tmp_path):
        pass
    process.kill()
    process.wait()
    with locked(tmp_path):
        pass


def test_another_process_is_waited_for(tmp_path):
    process = other(tmp_path, "import time; time.sleep(0.5); open(sys.argv[1] + '/end', 'w').close()")
    assert process.stdout.readline() == "held\n"
    with locked(tmp_path, wait=True):
        assert (tmp_path / "end").is_file()
    assert process.wait() == 0
