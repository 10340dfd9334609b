"""The command line teaches and refuses."""

import pytest

from povid_lib import models
from povid_lib.data import pair_files
from povid_lib.models import llava
from tests.support.helpers import povid


def test_help_names_every_command():
    assert all(word in povid("--help").output for word in ("world", "pocket"))
    assert all(word in povid("pocket", "--help").output for word in ("train", "report", "export"))


def test_world_prints_the_table():
    output = povid("world", "--cooccurrence", "0.5").output
    assert "fork      knife     0.450" in output
    assert len(output.splitlines()) == 25


def test_bad_values_are_refused_before_anything_runs(tmp_path):
    result = povid("pocket", "train", "--annotator-error", "-3", "--out", str(tmp_path / "x"))
    assert result.exit_code == 2
    assert "annotator_error" in result.output
    assert not (tmp_path / "x").exists()


def test_what_a_command_does_not_expect_is_told_in_words():
    for command in (
        ("world", "--cooccurrence", "3"),
        ("world", "--cooccurrence", "nan"),
        ("pocket", "export", "--out", "/dev/null/x"),
    ):
        result = povid(*command)
        assert result.exit_code == 2, result.output
        assert isinstance(result.exception, SystemExit)


def test_unknown_model_is_named(tmp_path):
    result = povid("pocket", "report", "--model", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "cannot be had" in " ".join(result.output.replace("│", " ").split())


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
