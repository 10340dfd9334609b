"""The command line teaches and refuses."""

import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from povid_lib import models
from povid_lib.arguments import check_choice
from povid_lib.data import pair_files
from povid_lib.evaluation import pocket_report
from povid_lib.files import jsonl
from povid_lib.models import llava
from povid_lib.remote import asking
from povid_lib.world import worlds
from tests.support.helpers import povid


def test_help_names_every_command():
    assert all(word in povid("--help").output for word in ("world", "pocket"))
    assert all(word in povid("pocket", "--help").output for word in ("train", "report", "export"))


def test_world_prints_the_table():
    output = povid("world", "--cooccurrence", "0.5").output
    assert "fork      knife     0.450" in output
    assert len(output.splitlines()) == 25


def test_bad_values_are_refused_before_anything_runs(tmp_path):
    result = povid("pocket", "train", "--annotator-error", "-3", "--insert", "-1", "--out", str(tmp_path / "x"))
    assert "insert" in result.output
    assert result.exit_code == 2
    assert "annotator_error" in result.output
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_what_a_command_does_not_expect_is_told_in_words():
    for command in (
        ("world", "--cooccurrence", "3"),
        ("world", "--cooccurrence", "nan"),
        ("pocket", "export", "--out", "/dev/null/x"),
    ):
        result = povid(*command)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit)


def refused(**_):
    check_choice("it", "x", ("a", "b"))


def refused_in_a_thread(**_):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(refused).result()


def refused_within(**_):
    """The error comes out of a library's frames, and was raised by ours."""
    return sorted([1, 2], key=lambda _: jsonl.parse('{"a": 1, "a": 2}'))


def refused_because_of_another(**_):
    jsonl.check_file("nowhere")


@pytest.mark.parametrize("how", [refused, refused_in_a_thread, refused_within, refused_because_of_another])
def test_what_the_library_refuses_is_told_in_its_words(monkeypatch, how):
    monkeypatch.setattr(worlds, "world", how)
    result = povid("world")
    assert result.exit_code == 2
    assert "Invalid value" in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "fault",
    [
        lambda *_, **__: np.zeros(2) + np.zeros(3),
        lambda *_, **__: int("a"),
        lambda *_, **__: [].index(1),
        lambda *_, **__: json.loads("{"),
        lambda *_, **__: b"\xff".decode(),
        lambda *_, **__: torch.zeros(2) + torch.zeros(3),
        lambda *_, **__: 1 / 0,
        lambda *_, **__: {}["a"],
    ],
)
def test_a_fault_of_the_program_does_not_look_like_wrong_input(monkeypatch, fault):
    monkeypatch.setattr(worlds, "world", fault)
    result = povid("world")
    assert isinstance(result.exception, ValueError | RuntimeError | ArithmeticError | KeyError)
    assert not isinstance(result.exception, SystemExit)
    assert "Invalid value" not in result.output


def test_what_went_wrong_on_the_way_is_no_wrong_input(monkeypatch):
    """A server that gives no answers; 2 is for what was typed."""

    def stopped(*_, **__):
        for _ in asking.asked(server, "1", [request], ledger, lambda event: event, lambda *_: "no rating"):
            pass

    request = asking.Request("k", 1, dict)
    server = SimpleNamespace(
        concurrency=1, retries=0, spending_limit=1.0, max_tokens=1, input_price=0.0, output_price=0.0
    )
    ledger = SimpleNamespace(committed=0.0, excess=1.0, answers={})
    told = {"event": "withdrawn", "text": "The server refused the key."}
    monkeypatch.setattr(asking, "asker", lambda *_: lambda _request: told)
    monkeypatch.setattr(asking, "new_event", lambda *_, **__: {})
    monkeypatch.setattr(worlds, "world", stopped)
    result = povid("world")
    assert result.exit_code == 1
    assert result.output.endswith("\nThe server refused the key.\n")


def test_unknown_model_is_named(tmp_path):
    result = povid("pocket", "report", "--model", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "cannot be had" in " ".join(result.output.replace("│", " ").split())


def test_a_report_of_no_scenes_is_refused_before_anything_is_measured(monkeypatch):
    def measured(*_, **__):
        raise AssertionError("measured")

    monkeypatch.setattr(pocket_report, "fit_probe", measured)
    result = povid("pocket", "report", "--n", "0")
    assert result.exit_code == 2
    assert "n is 0; ask for one scene or more" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "--data", "typical", "--model", "pocket", "--name", "a/b"),
        ("pocket", "report", "--name", "a/b"),
        ("pairs", "audit", "pairs.jsonl", "--name", "a/b"),
    ],
)
def test_the_results_name_is_checked_before_anything_is_loaded_or_read(command, monkeypatch, tmp_path):
    def load(*args, **kwargs):
        raise AssertionError(f"loaded or read: {args}")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text("[")
    monkeypatch.setattr(llava, "load", load)
    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(pair_files, "read", load)
    found = povid(*command)
    assert found.exit_code == 2, found.output
    assert "the result's name is 'a/b'" in " ".join(found.output.replace("│", " ").split()).lower()
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "runs").exists()
