"""The library without its checkout: the wheel holds what is needed, and works in an empty folder. And the README's code runs."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORT_ALL = """
import importlib, pathlib, pkgutil
import povid_lib
names = [m.name for m in pkgutil.walk_packages(povid_lib.__path__, "povid_lib.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names), pathlib.Path(povid_lib.__file__).parent)
"""


def run(*command: object, folder: Path, **environment: str) -> str:
    """What a command prints. It sees no checkout and no hub."""
    settings = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    settings |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def readme_code() -> str:
    """The README's only block of Python."""
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return code


@pytest.mark.slow
def test_the_readmes_code_runs(tmp_path):
    said = run(sys.executable, "-c", readme_code(), folder=tmp_path, PYTHONPATH=str(ROOT))
    assert re.search(r"\[?'\w+'.*\w+ .*\.", said), said  # the scene's names, and a sentence about them


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, so that neither old nor new files of a build lie in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "povid_lib", source / "povid_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source, folder=folder)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The programs of a new environment with the wheel in it. What it depends on is borrowed from this one, not installed again."""
    home = tmp_path_factory.mktemp("home")
    run(sys.executable, "-m", "venv", home / "env", folder=home)
    python = home / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, folder=home)
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=home).strip())
    # a path that a .pth file names is searched, but its own .pth files are not read: no editable install comes along
    (own / "borrowed.pth").write_text("".join(f"{sysconfig.get_path(kind)}\n" for kind in ("purelib", "platlib")))
    return python.parent


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_library(wheel):
    files = [file.relative_to(ROOT) for file in (ROOT / "povid_lib").rglob("*") if file.is_file()]
    wanted = {str(file) for file in files if "__pycache__" not in file.parts}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"povid_lib/py.typed", "povid_lib/recipes/pocket.yaml"} <= wanted
    assert not wanted - held
    [text] = [zipfile.ZipFile(wheel).read(name).decode() for name in held if name.endswith(".dist-info/METADATA")]
    assert "License-Expression: MIT" in text
    assert any(name.endswith("licenses/LICENSE") for name in held)


@pytest.mark.slow
def test_every_module_can_be_imported(installed, tmp_path):
    count, folder = run(installed / "python", "-c", IMPORT_ALL, folder=tmp_path).split()[-2:]
    assert Path(folder).is_relative_to(installed.parent)
    assert int(count) == len([f for f in (ROOT / "povid_lib").rglob("*.py") if f != ROOT / "povid_lib/__init__.py"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_works(installed, tmp_path):
    assert "evaluate" in run(installed / "povid", "--help", folder=tmp_path)
    assert "P(partner | object)" in run(installed / "povid", "world", folder=tmp_path)
    run(installed / "povid", "pairs", "make", "--out", "pairs.jsonl", "--n", "5", folder=tmp_path)
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 5
    with pytest.raises(AssertionError, match=r"no shipped recipe: .*pocket, .*study"):
        run(installed / "povid", "train", "nothing", folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.jsonl"]


@pytest.mark.slow
def test_the_pocket_model_answers(installed, tmp_path):
    said = run(installed / "python", "-c", readme_code(), folder=tmp_path)
    assert re.search(r"\[?'\w+'.*\w+ .*\.", said), said
