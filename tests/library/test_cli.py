"""The command line teaches and refuses."""

from typer.testing import CliRunner

from povid_lib.cli import app

run = CliRunner(env={"COLUMNS": "1000"}).invoke


def test_help_names_every_command():
    assert all(word in run(app, ["--help"]).output for word in ("world", "pocket"))
    assert all(word in run(app, ["pocket", "--help"]).output for word in ("train", "report", "export"))


def test_world_prints_the_table():
    output = run(app, ["world", "--cooccurrence", "0.5"]).output
    assert "fork      knife     0.450" in output
    assert len(output.splitlines()) == 25


def test_bad_values_are_refused_before_anything_runs(tmp_path):
    result = run(app, ["pocket", "train", "--annotator-error", "-3", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "annotator_error" in result.output
    assert not (tmp_path / "x").exists()


def test_unknown_model_is_named(tmp_path):
    result = run(app, ["pocket", "report", "--model", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "cannot be had" in " ".join(result.output.replace("│", " ").split())
