"""The table of all exercises in the instructors' page: ``python -m scripts.exercise_table scratch/book/instructors.md``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.chapter_form import STATEMENT, TITLE, source

MARK = "<!-- exercises: python -m scripts.exercise_table -->"


def table(notebooks: Path) -> str:
    """A row an exercise, in the order of the book. Raises ``ValueError`` for a folder without any."""
    rows = []
    for path in sorted(notebooks.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for told in STATEMENT.findall(source(cell)) if cell["cell_type"] == "markdown" else []:
                found = TITLE.fullmatch(told.strip())
                parts = (found["title"], found["difficulty"], found["minutes"]) if found else (told.strip(), "", "")
                rows.append(f"| {path.stem[:2]} | {' | '.join(parts)} |")
    if not rows:
        raise ValueError(f"{notebooks} holds no exercises.")
    return "\n".join(["| chapter | exercise | difficulty | minutes |", "|---|---|---|---|", *rows])


def fill(page: Path, notebooks: Path) -> None:
    """Put the table into the page. Raises ``ValueError`` if the page has no single place for it."""
    text = page.read_text(encoding="utf-8")
    if text.count(MARK) != 1:
        raise ValueError(f"{page}: {MARK} is to stand there once, and stands there {text.count(MARK)} times.")
    page.write_text(text.replace(MARK, table(notebooks)), encoding="utf-8")


if __name__ == "__main__":
    fill(Path(sys.argv[1]), Path(__file__).parent.parent / "notebooks")
