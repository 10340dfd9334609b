"""The book's status page: how long each notebook ran when this book was built, on what, from which commit.

Called by ``make book``: ``python scripts/status.py scratch/times.xml scratch/book/status.md``.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from povid_lib.files import results

HEAD = """# Status

This page is written by the build. Every notebook of this book was run from its first cell to its last before the pages were made,
two at a time with one thread each; a cell that fails stops the build.

| notebook | seconds |
|---|---|
"""


def page(times: Path) -> str:
    """The page as Markdown, from pytest's JUnit file. Raises ``ValueError`` if no notebook ran, one did not pass, or git tells no
    commit: a page that is published says what it was built from."""
    cases = list(ET.parse(times).getroot().iter("testcase"))
    if not cases or any(len(case) for case in cases):
        raise ValueError(f"{times} holds {len(cases)} notebooks, and not all passed; run make book again.")
    rows = sorted((case.get("name", "").removesuffix(".ipynb"), float(case.get("time", 0))) for case in cases)
    origin = results.provenance({}, 0)
    if not origin["commit"]:
        raise ValueError(
            "git tells no commit here; build from a clone that belongs to you, or name it in git's safe.directory."
        )
    lines = [f"| {name} | {seconds:.0f} |" for name, seconds in rows]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    lines.append(f"| **all together** | {sum(seconds for _, seconds in rows):.0f} |")
    built = f"Built on {origin['when']} from commit `{origin['commit']}`, with Python {origin['python']}, {versions}"
    return HEAD + "\n".join(lines) + f"\n\n{built}, on {origin['device']}.\n"


def main(times: str, out: str) -> None:
    Path(out).write_text(page(Path(times)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
