"""README's tree of the library, a module a line with the first sentence of its docstring: ``python scripts/file_tree.py``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent
BEGIN, END = "<!-- tree: python scripts/file_tree.py -->\n", "<!-- /tree -->\n"
WIDTH = 30  # of the column with the names


def first_sentence(path: Path) -> str:
    """What a module says of itself. Raises ``ValueError`` for one that says nothing."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{path.relative_to(TOP)} has no docstring; say in one line what it is for.")
    words = text.split("\n\n")[0].replace("\n", " ").replace("``", "")
    return words.split(". ")[0].rstrip(".")


def tree(folder: Path, depth: int = 0) -> list[str]:
    """Lines for a package, its modules in alphabetical order and its sub-packages after them."""
    lines = [_line(f"{folder.name}/", folder / "__init__.py", depth)]
    lines += [_line(path.name, path, depth + 1) for path in sorted(folder.glob("[a-z]*.py"))]
    for inner in sorted(folder.glob("*/__init__.py")):
        lines += tree(inner.parent, depth + 1)
    return lines


def _line(name: str, path: Path, depth: int) -> str:
    return f"{'  ' * depth + name:<{WIDTH}} # {first_sentence(path)}"


def library(packages: list[str]) -> str:
    """The tree of ``povid_lib``, its packages in the order of the data flow."""
    root = TOP / "povid_lib"
    lines = ["povid_lib/", *(_line(path.name, path, 1) for path in sorted(root.glob("[a-z]*.py")))]
    for package in packages:
        lines += tree(root / package, 1)
    return "\n".join(lines)


def readme(text: str, packages: list[str]) -> str:
    """README with the tree as it is now. Raises ``ValueError`` if README has no place for it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no lines {BEGIN.strip()} and {END.strip()}; the tree stands between them.")
    return f"{before}{BEGIN}```\n{library(packages)}\n```\n{END}{after}"


if __name__ == "__main__":
    sys.path.insert(0, str(TOP))
    from scripts.api_pages import packages

    path = TOP / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8"), packages()), encoding="utf-8")
