"""The rewriter's journal: cut short, shared, full, killed and gone on with."""

import os

import pytest

from povid_lib.data.rewrite.rewriter import rewrite
from povid_lib.files import journal
from povid_lib.remote.ledger import open_journal, read_journal
from tests.soak.rewriter import soak, truths
from tests.support.fault_server import FaultServer
from tests.support.rewriting import SECRET, at, lines, run


def test_a_torn_last_line_is_passed_over_and_removed(folder):
    with FaultServer() as server:
        config = at(server)
        run(folder, config, truths(3))
        whole = (folder / "journal").read_bytes()
        (folder / "journal").write_bytes(whole[:-30])  # the last answer never reached the disk
        (folder / "rejects").write_text('{"id": "row-9", "rea')
        assert read_journal(folder / "journal").spent > 3 * 0.0033  # its reservation stays
        assert len(run(folder, config, truths(3))) == 3
        assert len(server.log) == 4
    assert len(lines(folder / "journal")) == 7
    assert lines(folder / "rejects") == []


def test_a_last_line_that_only_lacks_its_end_is_kept(folder):
    with FaultServer() as server:
        config = at(server)
        run(folder, config, truths(1))
        (folder / "journal").write_bytes((folder / "journal").read_bytes()[:-1])
        run(folder, config, truths(2))
        assert len(server.log) == 2
    assert len(lines(folder / "journal")) == 4


def test_every_byte_where_a_kill_may_cut_the_journal(folder):
    with FaultServer() as server:
        run(folder, at(server), truths(2))
    whole = (folder / "journal").read_bytes()
    edges = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    for end in sorted({*range(0, len(whole), 50), *(edge + i for edge in edges for i in (-2, -1, 0, 1, 2, 9, 12))}):
        (folder / "cut").write_bytes(whole[:end])
        ledger = read_journal(folder / "cut")
        ends = whole[:end].count(b"\n") + (whole[end : end + 1] == b"\n")
        assert len(ledger.answers) == ends // 2


def test_a_full_disk_leaves_no_half_line_and_is_told(folder, monkeypatch):
    path, fsync = folder / "journal", os.fsync
    with open_journal(path) as (_, write):
        write({"event": "reserved", "key": "k", "dollars": 1.0})
        before = path.read_bytes()
        monkeypatch.setattr(journal.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            write({"event": "reserved", "key": "l", "dollars": 1.0})
        monkeypatch.setattr(journal.os, "fsync", fsync)
        assert path.read_bytes() == before


def test_two_runs_never_share_a_journal(folder):
    with FaultServer() as server:
        pairs = rewrite(at(server), truths(2), folder / "images", folder / "journal", folder / "rejects")
        next(pairs)
        with pytest.raises(ValueError, match="in use by another run"):
            run(folder, at(server), truths(2))
        assert len(server.log) <= 2


def test_rejects_of_other_rows_stay(folder):
    with FaultServer(("refusal", "empty", "")) as server:
        run(folder, at(server, concurrency=1), truths(2))
        run(folder, at(server), truths(3)[2:])
    assert [line["id"] for line in lines(folder / "rejects")] == ["row-0", "row-1"]


@pytest.mark.slow
def test_killed_and_resumed(tmp_path):
    report = soak(tmp_path, rows=60, rate=0.3, kills=3, seed=5, limit=0.15)
    assert report["faults_found"] == []
    assert report["kills"] == 3
    assert report["stops_at_the_limit"] >= 1
    assert report["pairs"] + sum(report["rejected"].values()) == 60
    assert report["pairs"] < 60 < report["requests"]
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
