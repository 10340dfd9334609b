"""What a teacher gives to a platform that marks by itself: an archive for Gradescope, one for otter, a folder for Classroom 50.

An archive holds the set, the modules of this library that marking it takes, and the pinned packages that these import; both are
found by importing them in a process of their own. Sources: gradescope-autograders.readthedocs.io/en/latest/specs; otter-grader 7.0
(``otter run``, ``otter.plugins``); the wiki of foundation50/classroom50 (Advanced-Autograding).
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from povid_lib import __version__
from povid_lib.course.grading.assignment import Source
from povid_lib.files.jsonl import replacing

_LIBRARY = Path(__file__).resolve().parents[2]
_JUDGE = ("single", "worker", "confine", "as_user")  # of the grading package: where processes begin
_PYTHONS = "python3.13 python3.12 python3.11"  # that the library runs on
_SETUP = f"""#!/usr/bin/env bash
# Run once, when Gradescope builds the image: a Python that the library runs on, and the packages of the judge.
set -e
apt-get update
for python in {_PYTHONS}; do
  if apt-get install -y "$python" "$python-venv"; then break; fi
done
"$python" -m venv /autograder/env
/autograder/env/bin/pip install -r /autograder/source/requirements.txt
"""
_RUN = """#!/usr/bin/env bash
# Run for each submission. What students' code must not see is root's alone, before any of it runs.
set -e
chmod 700 /autograder/source/set /autograder/submission /autograder/results
chmod 600 /autograder/submission_metadata.json
export PYTHONPATH=/autograder/source OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
exec /autograder/env/bin/python -P -m povid_lib.course.grading.single gradescope /autograder/source/set
"""
_CLASSROOM50 = '''"""Classroom 50 runs this in the student's checkout: the judge, with packages of its own, as root if it can."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = [
    "CLASSROOM", "ASSIGNMENT", "ASSIGNMENT_TYPE", "OWNER", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL", "REVIEW_URL",
]

with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = f"{folder}/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")], check=True)
    (HERE / "set").chmod(0o700)
    given = {name: os.environ[name] for name in NAMES if name in os.environ}
    given["OWNER"] = given.get("OWNER") or os.environ["USERNAME"]
    given |= {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [python, "-P", "-m", "povid_lib.course.grading.single", "classroom50", str(HERE / "set")]
    root = os.geteuid() == 0 or subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode != 0
    variables = ["env", *(f"{name}={value}" for name, value in given.items())]
    sys.exit(subprocess.run([*([] if root else ["sudo", "-n"]), *variables, *command]).returncode)
'''
_OTTER_TEST = """OK_FORMAT = False

from otter.test_files import test_case

name = {task!r}
points = None
"""
_OTTER_CASE = """

@test_case(name={check!r}, points={points}, hidden={hidden})
def {function}(env):
    told = env["POVID_MARKS"][{task!r}][{check!r}]
    assert not told, told
"""


@dataclass(frozen=True)
class Needed:
    """What marking a set takes: ``files`` of the library, by their place in the archive, and ``requirements``, a line a package."""

    files: dict[str, str]
    requirements: tuple[str, ...]


def needed(source: Source) -> Needed:
    """What the judge and this set import, in a process of their own. Raises ``ValueError`` if the set cannot be imported there."""
    code = (
        "import sys, importlib\n"
        "before = set(sys.modules)\n"  # of this machine's own start-up
        f"for name in {_JUDGE}: importlib.import_module('povid_lib.course.grading.' + name)\n"
        "from povid_lib.course.grading.assignment import read_source\n"
        "read_source(sys.argv[1])\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code, str(source.path)], capture_output=True, text=True)
    if ran.returncode:
        raise ValueError(f"{source.path} cannot be imported: {ran.stderr.strip().splitlines()[-1]}")
    modules = ran.stdout.split()
    files = {"povid_lib/__init__.py": f'"""Of povid_lib {__version__}: what marking a set takes."""\n'}
    for name in modules:
        place = name.removeprefix("povid_lib.").replace(".", "/")
        for path in (_LIBRARY / f"{place}.py", _LIBRARY / place / "__init__.py"):
            if name.startswith("povid_lib.") and path.is_file():
                files[f"povid_lib/{path.relative_to(_LIBRARY)}"] = path.read_text(encoding="utf-8")
    owners = metadata.packages_distributions()
    packages = {owner for name in modules for owner in owners.get(name, []) if owner != "povid-lib"}
    return Needed(files, tuple(f"{package}=={metadata.version(package)}" for package in sorted(packages)))


def _common(source: Source) -> dict[str, str]:
    own = needed(source)
    return {**own.files, "requirements.txt": "\n".join([*own.requirements, ""]), "set/source.py": source.text}


def gradescope(source: Source) -> dict[str, str]:
    """The files of Gradescope's archive."""
    return {"setup.sh": _SETUP, "run_autograder": _RUN, **_common(source)}


def otter(source: Source) -> dict[str, str]:
    """The files of the archive for ``otter run``, in an environment that has this library and otter-grader."""
    tests = {}
    for task in source.assignment.tasks:
        text = _OTTER_TEST.format(task=task.function)
        for checks, hidden in ((task.visible, False), (task.hidden, True)):
            for check, points in checks:
                name = check.__name__
                text += _OTTER_CASE.format(
                    check=name, points=points, hidden=hidden, function=f"test_{name}", task=task.function
                )
        tests[f"tests/{task.function}.py"] = text
    config = {"plugins": ["povid_lib.course.grading.single.Otter"], "show_hidden": True, "logo": False}
    return {"otter_config.json": json.dumps(config, indent=1) + "\n", "set/source.py": source.text, **tests}


def classroom50(source: Source) -> dict[str, str]:
    """The files of an assignment's folder in Classroom 50's repository, ``autograders/ASSIGNMENT/``."""
    return {"autograder.py": _CLASSROOM50, **_common(source)}


PLATFORMS: dict[str, Callable[[Source], dict[str, str]]] = {
    "gradescope": gradescope,
    "otter": otter,
    "classroom50": classroom50,
}


def write(source: Source, platform: str, out: str | Path) -> Path:
    """Write a platform's archive, or for Classroom 50 the folder. Raises ``ValueError`` for an unknown platform, or if ``out``
    exists, or ends in anything but .zip where an archive is written."""
    path = Path(out)
    if platform not in PLATFORMS:
        raise ValueError(f"There is no archive for {platform!r}; choose one of {', '.join(PLATFORMS)}.")
    if path.exists():
        raise ValueError(f"{path} exists; choose another name.")
    if platform != "classroom50" and path.suffix != ".zip":
        raise ValueError(f"{path} must end in .zip: {platform} takes an archive.")
    files = PLATFORMS[platform](source)
    if platform == "classroom50":
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
        return path
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the same files give the same archive
            entry.external_attr = (0o755 if text.startswith("#!") else 0o644) << 16
            archive.writestr(entry, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(data.getvalue())
    return path
