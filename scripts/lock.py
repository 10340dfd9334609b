"""Make ``requirements.txt`` and ``constraints.txt`` from ``pyproject.toml``, the only list of dependencies.

``python scripts/lock.py`` keeps every version that pyproject still allows; ``--upgrade`` takes the newest that it allows.
Run with the Python that the book is made with (``make lock``); pip resolves, nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
EXTRAS = ("notebook", "judge")  # not gpu (a CPU makes the book) and not colab (other versions, on purpose)
GROUPS = ("numbers", "book", "test", "dev")
ON_GPU_ONLY = (
    "nvidia-",
    "cuda-",
    "triton",
)  # what a CUDA build of torch brings along; a CPU build must not be held to it
_LINE = re.compile(r'^\s*"(?P<requirement>[^"]+)",?\s*(#\s*(?P<reason>.*\S))?\s*$')

HEAD = """\
# Direct dependencies at the versions that the book is made with, each with its reason. Made from pyproject.toml by `make lock`;
# do not edit. constraints.txt pins everything beneath them.
"""
NEWER = {"pyyaml-ft": "8.0.0"}  # pip resolves for the Python that runs it; libcst asks for this one on 3.13 alone
HEAD_CONSTRAINTS = "# Every version that the book is made with. Made from pyproject.toml by `make lock`; do not edit.\n"


def sections(text: str) -> dict[str, list[str]]:
    """The lists of ``pyproject.toml`` that are locked: name to requirements as they are written there, in the file's order."""
    content = tomllib.loads(text)
    project, groups = content["project"], content["dependency-groups"]
    lists = {"the library": project["dependencies"]}
    lists |= {f"extra: {name}": project["optional-dependencies"][name] for name in EXTRAS}
    return lists | {f"group: {name}": groups[name] for name in GROUPS}


def reasons(text: str) -> dict[str, str]:
    """Requirement, as it is written in ``pyproject.toml``, to the comment beside it, in every list, locked or not.

    Raises ``ValueError`` that names the requirements without a reason.
    """
    content = tomllib.loads(text)
    lists = [content["project"]["dependencies"], *content["project"]["optional-dependencies"].values()]
    listed = {line for one in [*lists, *content["dependency-groups"].values()] for line in one}
    matches = [match for match in map(_LINE.match, text.splitlines()) if match]
    found = {match["requirement"]: match["reason"] or "" for match in matches if match["requirement"] in listed}
    lacking = sorted(requirement for requirement in listed if not found.get(requirement))
    if lacking:
        raise ValueError(
            f"pyproject.toml: {', '.join(lacking)}: put each on a line of its own, with its reason beside it."
        )
    return found


def read_pins(text: str) -> dict[str, str]:
    """``constraints.txt``: canonical name to version."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def requirements(text: str, pins: dict[str, str]) -> str:
    """What ``requirements.txt`` holds. Raises ``ValueError`` for a pin that is missing or that pyproject does not allow."""
    why, done, faults = reasons(text), set(), []
    named = {canonicalize_name(Requirement(line).name): why[line] for line in sections(text)["group: numbers"]}
    lines = [HEAD]
    for section, listed in sections(text).items():
        rows = []
        for line in listed:
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            version = pins.get(name)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                faults.append(f"{requirement} (locked: {version})")
            elif name not in done:
                done.add(name)
                reason = why[line]
                if name in named and named[name] != reason:
                    reason += f"; {named[name]}"
                rows.append(f"{requirement.name}=={version}  # {reason}")
        if rows:
            lines.append("\n".join([f"# {section}", *rows, ""]))
    if faults:
        raise ValueError(f"constraints.txt does not fit pyproject.toml; run make lock: {', '.join(faults)}.")
    return "\n".join(lines)


def resolve(text: str, pins: dict[str, str], upgrade: bool) -> dict[str, str]:
    """Canonical name to version of everything that pip would install."""
    wanted = [Requirement(line) for listed in sections(text).values() for line in listed]
    direct: dict[str, list[Requirement]] = {}
    for requirement in wanted:
        direct.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    kept = {
        name: version
        for name, version in pins.items()
        if not upgrade and all(r.specifier.contains(version, prereleases=True) for r in direct.get(name, []))
    }
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = Path(folder) / "constraints.txt", Path(folder) / "report.json"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()))
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report),
             "-c", str(constraints), *map(str, wanted)],
            check=True,
        )  # fmt: skip
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    locked = {canonicalize_name(item["name"]): item["version"].partition("+")[0] for item in found}
    return {name: version for name, version in sorted((NEWER | locked).items()) if not name.startswith(ON_GPU_ONLY)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    upgrade = parser.parse_args(argv).upgrade
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    file = ROOT / "constraints.txt"
    reasons(text)
    pins = resolve(text, read_pins(file.read_text(encoding="utf-8")), upgrade)
    (ROOT / "requirements.txt").write_text(requirements(text, pins), encoding="utf-8")
    file.write_text(
        HEAD_CONSTRAINTS + "".join(f"{name}=={version}\n" for name, version in pins.items()), encoding="utf-8"
    )
    print(f"{len(pins)} versions locked.")


if __name__ == "__main__":
    main()
