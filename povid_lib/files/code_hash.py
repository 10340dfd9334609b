"""A digest of what code does: of all definitions that an entry point reaches, wherever they stand.

From an entry (a function, or a whole script) the names it uses are followed through the project's imports, definition by
definition. What counts is each definition's syntax tree without docstrings, comments and type hints of functions, with every
project name written as the definition's own name. So a moved module or another import leaves the digest as it is, and a change of
anything that the entry goes through, data files of the package included, gives another one.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from povid_lib.files.definitions import canonical, files_of, module_of, statements

BASE = Path(__file__).parent.parent.parent  # holds the package and, in a checkout, the scripts
# they write down what was found, they find nothing
_WRITING = ("povid_lib.files.code_hash", "povid_lib.files.definitions", "povid_lib.files.results")


def entry_name(entry: str | Callable[..., Any]) -> str:
    """An entry as it is written down: "module:definition" for a function or a class, "folder.script" for a script's file."""
    if not isinstance(entry, str):
        return f"{entry.__module__}:{entry.__qualname__}"
    return ".".join(Path(entry).resolve().relative_to(BASE).with_suffix("").parts) if entry.endswith(".py") else entry


def code_hash(entries: Iterable[str], base: Path = BASE) -> str:
    """Twelve digits for what the entries (see ``entry_name``) reach. Raises ``ValueError`` for one that does not exist."""
    digest = hashlib.sha256()
    for part in sorted({piece for pieces in _closure(entries, base).values() for piece in pieces}):
        digest.update(part)
    return digest.hexdigest()[:12]


def reached(entries: Iterable[str], base: Path = BASE) -> list[str]:
    """The definitions behind a digest, as "module:name", sorted: to see what it covers. Raises as ``code_hash``."""
    return sorted(f"{module}:{name}" for module, name in _closure(entries, base))


def _closure(entries: Iterable[str], base: Path) -> dict[tuple[str, str], frozenset[bytes]]:
    """Every (module, definition) that is reached, with its pieces; "" stands for a module's statements that define nothing."""
    found: dict[tuple[str, str], frozenset[bytes]] = {}
    todo: list[tuple[str, str]] = []
    for entry in entries:
        where, _, name = entry.partition(":")
        module = module_of(where, base)
        if module is None or (name and name not in module.definitions):
            raise ValueError(f"code_hash: there is no {entry!r}; give module:definition or a script's module.")
        todo += [(where, name)] if name else [(where, every) for every in module.definitions]
    while todo:
        where, name = todo.pop()
        if (where, name) in found or where in _WRITING:
            continue
        found[where, name], uses = _piece(where, name, base)
        todo.append((where, ""))
        for target, definition in uses:
            of = module_of(target, base)
            assert of is not None  # it was found when the name was resolved
            todo += [(target, definition)] if definition else [(target, every) for every in of.definitions]
    return found


@functools.cache
def _piece(where: str, name: str, base: Path) -> tuple[frozenset[bytes], frozenset[tuple[str, str]]]:
    """Digests of one definition and of the data files that it names, and what it uses."""
    module = module_of(where, base)
    assert module is not None
    plain, uses = canonical(module, name, base)
    digests = {hashlib.sha256(_dump(node).encode()).digest() for node in plain}
    for node in statements(module, name):
        digests |= {hashlib.sha256(path.name.encode() + path.read_bytes()).digest() for path in files_of(module, node)}
    return frozenset(digests), frozenset(uses)


def _dump(node: ast.AST) -> str:
    """The tree as Python 3.11 writes it: 3.12 added a list of type parameters, 3.13 leaves empty lists out."""
    said = ast.dump(node, **({"show_empty": True} if sys.version_info >= (3, 13) else {}))
    return said.replace(", type_params=[]", "")
