"""Results keep their origin."""

import json

import pytest

from povid_lib import results
from povid_lib.code_hash import code_hash
from povid_lib.metrics.stats import mean


def test_round_trip(tmp_path):
    path = results.save("x", {"rate": mean([0.0, 1.0, 1.0]), "rows": (1, 2)}, {"seed": 3}, 1.5, tmp_path)
    data = results.read("x", tmp_path)
    assert data["rate"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert data["rows"] == [1, 2]
    origin = data["provenance"]
    assert origin["config"] == {"seed": 3}
    assert {"commit", "config_hash", "versions", "device", "when", "seconds", "threads"} <= origin.keys()
    assert json.loads(path.read_text()) == data


def test_hash_follows_the_config():
    hashes = [results.provenance({"seed": s}, 0)["config_hash"] for s in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        results.read("nothing", tmp_path)


def test_undefined_shares_are_null_in_json(tmp_path):
    path = results.save("x", {"share": float("nan"), "half": 0.5}, {}, 0, folder=tmp_path)
    assert results.read("x", tmp_path)["share"] is None
    assert "NaN" not in path.read_text()


def test_code_is_written_down_and_followed(tmp_path):
    results.save("x", {}, {}, 0, tmp_path, code=[mean, "tools.status"])
    assert results.read("x", tmp_path)["provenance"]["code"] == {
        "entries": ["povid_lib.metrics.stats:mean", "tools.status"],
        "hash": code_hash(["povid_lib.metrics.stats:mean", "tools.status"]),
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in results.FOLDER.glob("*.json")))
def test_what_the_results_pages_show_comes_from_this_code(name):
    """Fails when code behind a committed result does something else: make the result again (results/README.md)."""
    found = results.read(name)["provenance"]["code"]
    assert code_hash(found["entries"]) == found["hash"]
