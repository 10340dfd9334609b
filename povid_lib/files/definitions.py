"""The project's source as definitions: what a module defines and imports, and each definition in a form of its own.

That form does not depend on places, imports, docstrings, comments and type hints of functions; writing it tells what it uses.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOTS = ("povid_lib", "experiments", "benchmarks")
_DATA = {".safetensors", ".json", ".txt", ".jinja", ".yaml"}


@dataclass(frozen=True)
class Module:
    """One source file: its top-level definitions, what its imports call things of the project, and its other statements."""

    name: str
    path: Path
    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, str]
    others: list[ast.stmt]


@functools.cache
def module_of(name: str, base: Path) -> Module | None:
    """A project module by its dotted name, or None if there is none."""
    if name.split(".")[0] not in ROOTS:
        return None
    at = base.joinpath(*name.split("."))
    path = next((p for p in (at.with_suffix(".py"), at / "__init__.py") if p.is_file()), None)
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definitions: dict[str, list[ast.stmt]] = {}
    others: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) or _is_main(node):
            continue
        names = _defined(node)
        for each in names:
            definitions.setdefault(each, []).append(node)
        if not names:
            others.append(node)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = dict(_imports(tree, package))
    return Module(name, path, definitions, imports, others)


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.With):
        return names + [t.value.id for t in ast.walk(node) if _is_item_store(t)]  # type: ignore[attr-defined]
    return [n.name for n in getattr(node, "body", []) if isinstance(n, ast.FunctionDef | ast.ClassDef)] + names


def _is_item_store(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.dump(node.test)


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """(local name, dotted target) of every import of the project's own modules, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in ROOTS:
                    yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            if source.split(".")[0] in ROOTS:
                for alias in node.names:
                    yield alias.asname or alias.name, f"{source}.{alias.name}"


def _find(dotted: str, base: Path) -> tuple[str, str, int] | None:
    """(module, definition, parts used) for a dotted name; definition "" where it names a module. None if it is none of ours."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        where = ".".join(parts[:n])
        module = module_of(where, base)
        if module is None:
            continue
        if n == len(parts):
            return where, "", n
        if parts[n] in module.definitions:
            return where, parts[n], n + 1
        if parts[n] in module.imports:  # passed on by the module that is named
            again = _find(module.imports[parts[n]], base)
            return again and (again[0], again[1], n + 1)
        return None
    return None


def files_of(module: Module, node: ast.AST) -> Iterator[Path]:
    """Data of the package that a definition names: files and folders beside its module."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and 3 < len(part.value) < 60:
            if "/" in part.value or "\n" in part.value or "\0" in part.value:
                continue
            at = module.path.parent / part.value
            if at.is_file() and at.suffix in _DATA:
                yield at
            elif at.is_dir() and not (at / "__init__.py").is_file():
                yield from (p for p in at.iterdir() if p.suffix in _DATA)


def canonical(module: Module, name: str, base: Path) -> tuple[list[ast.AST], set[tuple[str, str]]]:
    """A definition's statements in their own form, and the (module, definition) pairs that they use; "" for ``name`` means the
    statements that define nothing."""
    writer = _Canonical(module, base)
    return [writer.visit(copy.deepcopy(node)) for node in statements(module, name)], writer.reached


def statements(module: Module, name: str) -> list[ast.stmt]:
    """A definition's statements as they stand; "" for ``name`` means those that define nothing."""
    return module.definitions[name] if name else module.others


class _Canonical(ast.NodeTransformer):
    """Writes a definition in a form that does not depend on places and imports, and collects what it reaches."""

    def __init__(self, module: Module, base: Path):
        self.module, self.base = module, base
        self.reached: set[tuple[str, str]] = set()
        self.bound: list[set[str]] = []

    def _is_bound(self, name: str) -> bool:
        return any(name in names for names in self.bound)

    def _target(self, dotted: str) -> tuple[str, str, int] | None:
        first, _, rest = dotted.partition(".")
        if self._is_bound(first):
            return None
        if first in self.module.definitions:
            return self.module.name, first, 1
        if first in self.module.imports:
            full = self.module.imports[first]
            found = _find(f"{full}.{rest}" if rest else full, self.base)
            return found and (found[0], found[1], max(1, found[2] - len(full.split(".")) + 1))
        return None

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = self._target(node.id)
        if found is None:
            return node
        self.reached.add(found[:2])
        return ast.Name(found[1] or found[0].rpartition(".")[2], node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        chain: list[str] = []
        at: ast.expr = node
        while isinstance(at, ast.Attribute):
            chain.insert(0, at.attr)
            at = at.value
        if not isinstance(at, ast.Name):
            return self.generic_visit(node)
        found = self._target(".".join([at.id, *chain]))
        if found is None:
            return self.generic_visit(node)
        self.reached.add(found[:2])
        plain: ast.expr = ast.Name(found[1] or found[0].rpartition(".")[2], ast.Load())
        for attribute in chain[found[2] - 1 :]:
            plain = ast.Attribute(plain, attribute, ast.Load())
        if isinstance(plain, ast.Attribute):
            plain.ctx = node.ctx
        return plain

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return None if all(a.name.split(".")[0] in ROOTS for a in node.names) else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        ours = node.level or (node.module or "").split(".")[0] in ROOTS
        return None if ours else node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self.generic_visit(self._without_docstring(node))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if not self.bound:  # of a class or a module: a dataclass reads it
            return self.generic_visit(node)
        self.visit(node.annotation)
        return None if node.value is None else ast.Assign([self.visit(node.target)], self.visit(node.value))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node = self._without_docstring(node)
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        for hint in (node.returns, *(a.annotation for a in _arguments(node.args))):
            if hint is not None:  # followed, but not part of what the code does
                self.visit(_unquoted(hint))
        node.returns = None
        for a in _arguments(node.args):
            a.annotation = None
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [d if d is None else self.visit(d) for d in node.args.kw_defaults]
        self.bound.append({a.arg for a in _arguments(node.args)} | _stored(node.body))
        body = [self.visit(s) for s in node.body]
        node.body = [s for s in body if s is not None] or [ast.Pass()]
        self.bound.pop()
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.bound.append({a.arg for a in _arguments(node.args)})
        self.generic_visit(node)
        self.bound.pop()
        return node

    def _comprehension(self, node: ast.AST) -> ast.AST:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        generators[0].iter = self.visit(generators[0].iter)  # read outside of the comprehension's own scope
        self.bound.append({n.id for g in generators for n in ast.walk(g.target) if isinstance(n, ast.Name)})
        done, generators[0].iter = generators[0].iter, ast.Constant(None)
        self.generic_visit(node)
        generators[0].iter = done
        self.bound.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _without_docstring(self, node: Any) -> Any:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node


def _arguments(args: ast.arguments) -> list[ast.arg]:
    more = [a for a in (args.vararg, args.kwarg) if a is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *more]


def _unquoted(hint: ast.expr) -> ast.expr:
    is_text = isinstance(hint, ast.Constant) and isinstance(hint.value, str)
    return ast.parse(hint.value, mode="eval").body if is_text else hint  # type: ignore[attr-defined]


def _stored(body: list[ast.stmt]) -> set[str]:
    """Names that a function binds itself, without those of scopes inside it and without its imports."""
    names: set[str] = set()
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        todo += ast.iter_child_nodes(node)
    return names
