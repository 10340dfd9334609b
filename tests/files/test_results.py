"""Results keep their origin."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import training
from povid_lib.files import results
from povid_lib.files.code_hash import code_hash
from povid_lib.metrics.stats import mean


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to stand in, without results above it."""
    monkeypatch.delenv(results.PLACE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_round_trip(place):
    path = results.save("x", {"rate": mean([0.0, 1.0, 1.0]), "rows": (1, 2)}, {"seed": 3}, 1.5)
    data = results.read("x")
    assert data["rate"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert data["rows"] == [1, 2]
    origin = data["provenance"]
    assert origin["config"] == {"seed": 3}
    assert {"commit", "config_hash", "versions", "device", "when", "seconds", "threads"} <= origin.keys()
    assert json.loads(path.read_text()) == data


def test_hash_follows_the_config():
    hashes = [results.provenance({"seed": s}, 0)["config_hash"] for s in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_config_keeps_every_digit_and_figures_nine(place):
    small, other = (results.provenance({"learning_rate": rate}, 0) for rate in (1e-7, 4e-7))
    assert small["config"] == {"learning_rate": 1e-7}
    assert small["config_hash"] != other["config_hash"]
    assert results.provenance({"share": 2 / 3}, 0)["config"] == {"share": 2 / 3}
    results.save("x", {"p": 1.23456789012e-9, "share": 2 / 3, "size": 123456.789}, {}, 0)
    found = results.read("x")
    assert (found["p"], found["share"], found["size"]) == (1.23456789e-9, 0.666666667, 123456.789)


def test_what_is_measured_is_saved_whatever_its_type(place):
    data = {
        "count": np.int64(3), "share": np.float32(0.5), "long": np.longdouble(0.25), "row": np.array([1.0, np.nan]),
        "tensor": torch.tensor([1, 2]), "place": Path("a/b"), "names": {"b", "a"}, "far": float("-inf"), 1: {"of": True},
    }  # fmt: skip
    results.save("x", data, {"rate": np.float64(1e-9)}, 0)
    text = Path("results/x.json").read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found.pop("provenance")["config"] == {"rate": 1e-9}
    assert found == {
        "count": 3, "share": 0.5, "long": 0.25, "row": [1.0, None], "tensor": [1, 2], "place": "a/b", "names": ["a", "b"],
        "far": "-inf", "1": {"of": True},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "error", "complaint"),
    [
        ({"provenance": 1}, ValueError, "key 'provenance'"),
        ({"a": {1: 2, "1": 3}}, ValueError, "data.a has two keys that JSON writes '1'"),
        ({"a": [1, object()]}, TypeError, r"data.a\[1\] is a object"),
    ],
)
def test_data_that_no_file_can_hold_is_refused(place, data, error, complaint):
    with pytest.raises(error, match=complaint):
        results.save("x", data, {}, 0)
    assert not Path("results/x.json").exists()


def test_missing_file_is_named(place):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        results.read("nothing")


def test_undefined_shares_are_null_in_json(place):
    path = results.save("x", {"share": float("nan"), "half": 0.5}, {}, 0)
    assert results.read("x")["share"] is None
    assert "NaN" not in path.read_text()


@pytest.mark.slow
def test_code_is_written_down_and_followed(place):
    results.save("x", {}, {}, 0, code=[mean, "experiments.ch04_shortcut"])
    assert results.read("x")["provenance"]["code"] == {
        "entries": ["experiments.ch04_shortcut", "povid_lib.metrics.stats:mean"],
        "hash": code_hash(["povid_lib.metrics.stats:mean", "experiments.ch04_shortcut"]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in Path("results").glob("*.json")))
def test_what_the_results_pages_show_comes_from_this_code(name):
    """Fails when code behind a committed result does something else: make the result again (results/README.md)."""
    found = results.read(name)["provenance"]["code"]
    assert code_hash(found["entries"]) == found["hash"]


def test_results_are_written_where_one_stands_and_read_from_above(place, monkeypatch):
    assert results.save("x", {"n": 1}, {}, 0) == Path("results/x.json")
    (place / "below" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(place / "below" / "deeper")
    assert results.read("x")["n"] == 1
    monkeypatch.setenv(results.PLACE, str(place / "other"))
    assert results.save("x", {"n": 2}, {}, 0) == place / "other" / "x.json"
    assert results.read("x")["n"] == 2


@pytest.mark.parametrize("name", ["", "sub/x", "..", "/x", "x" * 300, "ü" * 101, "a\nb", "a\x00b"])
def test_a_name_that_is_none_is_refused(place, name):
    with pytest.raises(ValueError, match="plain name"):
        results.check_name(name)
    assert list(place.iterdir()) == []


def test_a_name_that_a_folder_has_is_refused(place):
    (place / "results" / "x.json").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"x\.json is a folder"):
        results.check_name("x")


def test_a_place_that_cannot_be_written_to_is_refused(place):
    (place / "results").write_text("a file")
    with pytest.raises(ValueError, match="cannot be written"):
        results.check_name("x")


def test_without_git_there_is_no_commit(monkeypatch):
    assert results.provenance({}, 0)["commit"]
    monkeypatch.setenv("PATH", "")
    assert results.provenance({}, 0)["commit"] is None


def test_far_from_the_checkout_its_own_results_are_found(tmp_path, monkeypatch):
    monkeypatch.delenv(results.PLACE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert results.read("study")["provenance"]["config"]["scenes"] == 500
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "study.json").write_text('{"mine": 1}')
    assert results.read("study") == {"mine": 1}  # what lies nearer goes before


@pytest.mark.parametrize("model", ["pocket", "medium"])
def test_the_measured_speed_is_what_the_benchmark_measures_today(model):
    found = results.read(f"speed_{model}")
    for name in ("text_times", "released_times", "policy_tokens_times"):
        assert found[name].keys() == training.LAYOUTS.keys()
    assert found["clock"] == "cpu"
    assert max(found["gradient_difference"].values()) < 1e-4
