"""The book's pages on the library, one a package, from its docstrings: ``python scripts/api_pages.py scratch/book/api``."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

LIBRARY = Path(__file__).parent.parent / "povid_lib"
HEAD = """# The library

`povid_lib` is laid out as data flow through it: a package imports only from those above it, which a check holds. Each has a page.

"""


def packages() -> list[str]:
    """The packages in the order of the map in ``povid_lib/__init__.py``. Raises ``ValueError`` if the map lacks one."""
    text = ast.get_docstring(ast.parse((LIBRARY / "__init__.py").read_text(encoding="utf-8"))) or ""
    named = [line.split("``")[1] for line in text.splitlines() if line.startswith("``")]
    there = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    if set(named) != there:
        raise ValueError(
            f"povid_lib/__init__.py: its map and the packages differ in {set(named) ^ there}; mend the map."
        )
    return named


def modules(package: str) -> list[str]:
    """The modules of a package that have something public, sub-packages included, by their dotted names."""
    found = []
    for path in sorted((LIBRARY / package).rglob("*.py")):
        names = path.relative_to(LIBRARY.parent).with_suffix("").parts
        if not names[-1].startswith("__"):
            found.append(".".join(names))
    return found


def summary(package: str) -> str:
    """The first sentence of a package's docstring."""
    text = ast.get_docstring(ast.parse((LIBRARY / package / "__init__.py").read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"povid_lib/{package}/__init__.py has no docstring; say in one line what the package is for.")
    return text.split("\n\n")[0].replace("\n", " ").replace("``", "`")


def whole_lists(told: str) -> str:
    """Lists of commands with the first sentence of each, which Typer cuts off after 45 letters."""
    parts = re.split(r"(?m)^(#+ `[a-z -]+`)$", told)  # what is before, then title and text in turn
    names = [title.partition("`")[2].rstrip("`") for title in parts[1::2]]
    first = {
        name: " ".join(re.split(r"(?<=\.)\s", text.strip(), maxsplit=1)[0].split())
        for name, text in zip(names, parts[2::2], strict=True)
    }
    for at, name in enumerate(names):
        parts[2 + 2 * at] = re.sub(
            r"(?m)^\* `([a-z][a-z-]*)`: .*$",
            lambda row, name=name: f"* `{row[1]}`: {first[f'{name} {row[1]}']}",
            parts[2 + 2 * at],
        )
    return "".join(parts)


def commands() -> str:
    """The page of the command line: what every command's ``--help`` says."""
    tool = [sys.executable, "-m", "typer", "povid_lib.cli.main", "utils", "docs", "--name", "povid"]
    told = whole_lists(subprocess.run(tool, capture_output=True, text=True, check=True).stdout)
    return told.replace("# `povid`", f"# `povid_lib.cli`\n\n{summary('cli')}\n\n## `povid`", 1)


def page(package: str) -> str:
    """One package's page as Markdown."""
    parts = [f"# `povid_lib.{package}`\n\n{summary(package)}\n"]
    for name in modules(package):
        short = name.removeprefix(f"povid_lib.{package}.")
        parts.append(
            f"## `{short}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n   :member-order: bysource\n```\n"
        )
    return "\n".join(parts)


def main(folder: str) -> None:
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for package in packages():
        text = commands() if package == "cli" else page(package)
        (out / f"{package}.md").write_text(text, encoding="utf-8")
    rows = [f"| [`{package}`]({package}.md) | {summary(package)} |" for package in packages()]
    table = "\n".join(["| package | what it holds |", "|---|---|", *rows])
    (out / "index.md").write_text(f"{HEAD}{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
