"""The rewriter's batch files, and what comes back of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from povid_lib.data.rewrite.batch import drop_batch, read_batch, write_batch
from povid_lib.data.rewrite.request import prepare, request_of
from povid_lib.data.rewrite.rewriter import dry_run
from povid_lib.remote.client import most_dollars
from povid_lib.remote.ledger import read_journal
from tests.soak.rewriter import truths
from tests.support.fault_server import FaultServer, completion
from tests.support.rewriting import CONFIG, at, lines, run


def answered(path: Path, faults: dict[int, object]) -> str:
    """The output of a batch. ``faults``: place of a request -> fault, or an HTTP status, or None for one that never ran."""
    out = []
    for place, request in enumerate(lines(path)):
        truth = request["body"]["messages"][1]["content"][1]["text"].split("True answer:\n")[1]
        fault = faults.get(place, "")
        if fault is None:
            response, error = None, {"code": "batch_expired", "message": "too late"}
        elif isinstance(fault, int):
            response, error = {"status_code": fault, "body": {"error": {"message": "no"}}}, None
        else:
            response, error = {"status_code": 200, "body": json.loads(completion(fault, truth))}, None
        out.append(
            json.dumps({"id": "b", "custom_id": request["custom_id"], "response": response, "error": error}) + "\n"
        )
    return "".join(reversed(out))  # the order is the provider's


@pytest.mark.slow
def test_a_batch_from_end_to_end(folder):
    with FaultServer() as server:
        config = at(server)
        paths = write_batch(config, truths(9), folder / "images", folder / "batch", folder / "journal", 25_000)
        assert len(paths) > 1
        assert all(path.stat().st_size <= 25_000 for path in paths)
        requests = [request for path in paths for request in lines(path)]
        assert len({request["custom_id"] for request in requests}) == 9
        assert requests[0]["url"] == "/v1/chat/completions"
        assert write_batch(config, truths(9), folder / "images", folder / "batch", folder / "journal") == []
        assert run(folder, config, truths(9)) == []  # they are waited for
        found = dry_run(config, truths(9), folder / "images", folder / "journal")
        assert (found.in_batch, found.left) == (9, 0)
        most = most_dollars(config, request_of(config, prepare(config, truths(1), folder / "images")[0]))
        assert found.spent == pytest.approx(9 * most, rel=0.01)
        (folder / "out").write_text(answered(paths[0], {0: "refusal", 1: None, 2: 400, 3: 500}))
        assert read_batch(config, folder / "out", folder / "journal") == len(lines(paths[0]))
        assert read_batch(config, folder / "out", folder / "journal") == 0
        for path in paths[1:]:
            assert drop_batch(config, path, folder / "journal") == len(lines(path))
        found = dry_run(config, truths(9), folder / "images", folder / "journal")
        first = len(lines(paths[0]))
        assert (found.pairs, found.rejected, found.in_batch, found.left) == (first - 4, 3, 0, 9 - first + 1)
        assert found.spent == pytest.approx((first - 3) * 0.0033 + most, rel=0.01)  # 4xx is free, 5xx may not be
        pairs = run(folder, config, truths(9))
        assert len(pairs) == 6
        assert len(server.log) == 9 - first + 1
        assert {line["reason"].split(":")[0] for line in lines(folder / "rejects")} == {"refusal", "no answer"}


def test_a_batch_keeps_within_the_limit_and_is_the_same_after_a_kill(folder):
    config = replace(CONFIG, spending_limit=0.06)
    where = folder / "images", folder / "batch"
    (path,) = write_batch(config, truths(9), *where, folder / "journal")
    assert 0 < len(lines(path)) < 9
    assert read_journal(folder / "journal").committed <= 0.06
    assert write_batch(config, truths(9), *where, folder / "other") == [path]  # as if killed before the journal's line
    (folder / "out").write_text(answered(path, {}))
    (folder / "lost").touch()
    assert read_batch(config, str(folder / "out"), str(folder / "lost")) == len(
        lines(path)
    )  # paid for, so never thrown away
