"""The library reads and writes UTF-8, whatever the machine's locale says, and the command speaks in any."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import povid_lib
from povid_lib.data import pair_files
from povid_lib.data.pairs import Pair

TEXT = {"read_text": 0, "write_text": 1, "open": 1}  # and where their encoding would stand without its name


def without_encoding(source: str) -> list[int]:
    """Lines that open a file as text in the locale's encoding."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        if name not in TEXT or (
            isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in ("os", "Image")
        ):
            continue
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if any("b" in mode and len(mode) <= 3 for mode in modes) or any(k.arg == "encoding" for k in node.keywords):
            continue
        found.append(node.lineno)
    return found


def test_the_search_finds_them():
    assert without_encoding("open(p)\np.read_text()\np.write_text(x)\np.open('a')") == [1, 2, 3, 4]
    assert (
        without_encoding("open(p, 'rb')\np.read_text(encoding='utf-8')\np.open('wb')\nos.open(p, 1)\nImage.open(p)")
        == []
    )


@pytest.mark.parametrize("path", sorted(Path(povid_lib.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_every_text_file_has_its_encoding(path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_the_command_in_a_locale_without_letters(tmp_path):
    pair_files.write(tmp_path / "pärchen.jsonl", [Pair("é", "scene:test/mixed/1", "¿Qué?", "Käse.", "雪。")])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in (("check", "pärchen.jsonl"), ("convert", "pärchen.jsonl", "ä.json"), ("check", "ä.json")):
        found = subprocess.run(
            [sys.executable, "-m", "povid_lib.cli", "pairs", *command], cwd=tmp_path, env=env, capture_output=True
        )
        assert b"Traceback" not in found.stderr
        assert found.returncode == (command[-1] == "ä.json" and command[0] == "check"), found.stderr
