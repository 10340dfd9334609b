"""The numbers that two sets of executed notebooks glue into the text: which differ, and which are missing.

    python scripts/compare_glue.py OLD NEW

OLD and NEW are folders of executed notebooks (``scratch/notebooks``); those that are in both are compared. Prints one line for
every name whose value differs, that the new notebook's text names and does not get, or that it glues twice; names that are gone and
that no text names are counted. Exits with 1 if such a line was printed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any


def glued(notebook: Path) -> tuple[dict[str, str], list[str]]:
    """All glued values of an executed notebook by name, and the names that are glued twice.

    A picture is told by a digest. Raises ``ValueError`` if no cell has been run.
    """
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    if not any(cell["outputs"] for cell in cells):
        raise ValueError(f"{notebook} has no outputs; compare executed notebooks, such as those in scratch/notebooks.")
    values: dict[str, str] = {}
    twice: list[str] = []
    for output in (output for cell in cells for output in cell["outputs"]):
        mark = output.get("metadata", {}).get("scrapbook")
        if mark is None:
            continue
        if mark["name"] in values:
            twice.append(mark["name"])
        data = {kind.removeprefix(mark["mime_prefix"]): content for kind, content in output["data"].items()}
        values[mark["name"]] = " ".join(_shown(kind, content) for kind, content in sorted(data.items()))
    return values, twice


def printed(notebook: Path, name: str) -> bool:
    """Whether the notebook's text prints a glued name, in a role (with or without a format) or in a directive."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.search(rf"\{{glue(:\w+)?\}}(`{re.escape(name)}[`:]| *{re.escape(name)}$)", text, re.MULTILINE) is not None


def _shown(kind: str, content: Any) -> str:
    text = content if isinstance(content, str) else "".join(content)
    return text if kind == "text/plain" else f"{kind} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def compare(old: Path, new: Path) -> list[str]:
    """One line for each name that differs, is missing or is glued twice in the notebooks that both folders have.

    Raises ``ValueError`` if they have none in common.
    """
    names = sorted({p.name for p in old.glob("*.ipynb")} & {p.name for p in new.glob("*.ipynb")})
    if not names:
        raise ValueError(f"{old} and {new} have no notebook in common.")
    lines: list[str] = []
    for name in names:
        before, _ = glued(old / name)
        after, twice = glued(new / name)
        gone = [key for key in before if key not in after]
        faults = [f"{name}: {key!r} was {before[key]}, is missing" for key in gone if printed(new / name, key)]
        idle = len(gone) - len(faults)
        faults += [
            f"{name}: {key!r} was {before[key]}, is {after[key]}"
            for key in before
            if key in after and before[key] != after[key]
        ]
        faults += [f"{name}: {key!r} is glued twice" for key in twice]
        print(
            f"{name}: {len(before)} names before, {len(after)} after, {idle} that no text names gone, {len(faults)} to look at"
        )
        lines += faults
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/compare_glue.py OLD NEW")
    found = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    print(*found, sep="\n")
    sys.exit(1 if found else 0)
