"""MyST's Markdown as plain Markdown, which JupyterLab and Colab show: numbers filled in, roles and directives written out."""

from __future__ import annotations

import html
import re
from ast import literal_eval
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

Macros = Mapping[str, tuple[str, int]]  # of MathJax: what stands for a name, and how many arguments it takes
_FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,}|:{3,})(?:\{(?P<name>[\w:-]+)\} ?(?P<title>.*))?")
_TOKEN = re.compile(
    r"\{(?P<name>[a-z:]+)\}`(?P<text>[^`]+)`|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
)  # a role, or code
_EQUATION = re.compile(r"^\$\$(?P<tex>.*?)\$\$[ ]*\((?P<label>[\w:-]+)\)[ ]*$", re.DOTALL | re.MULTILINE)
_BOXES = ("note", "tip", "hint", "important", "warning", "caution", "seealso")


@dataclass(frozen=True)
class Book:
    """What a chapter's text refers to.

    ``values``: glued numbers and texts by name. ``titles``: of pages, by their paths without ending, such as ``book/notation``.
    ``equations``: numbers by label. ``citations``: as (textual, in brackets) by key. ``drawings``: where the drawings lie.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    equations: Mapping[str, str] = field(default_factory=dict)
    citations: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    macros: Macros = field(default_factory=dict)
    drawings: Path = Path("book/drawings")


def plain(text: str, book: Book) -> str:
    """A cell's text in plain Markdown. Raises ``ValueError`` that names what is unknown: a number, page, role or directive."""
    out: list[str] = []
    run: list[str] = []  # lines outside any fence
    lines = text.split("\n")
    at = 0

    def flush() -> None:
        if run:
            out.append(_prose("\n".join(run), book))
            run.clear()

    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if not opened:
            run.append(lines[at])
            at += 1
            continue
        flush()
        end = _closing(lines, at, opened["mark"])
        inside = lines[at + 1 : end]
        if opened["name"] is None:  # code, which stays as it is
            out.append("\n".join(lines[at : end + 1]))
        else:
            out.append(_directive(opened["name"], opened["title"].strip(), inside, book))
        at = end + 1
    flush()
    return "\n".join(out).strip("\n")


def equations(texts: list[str], chapter: int) -> dict[str, str]:
    """The numbers of a chapter's labelled equations, as the book counts them; (1), (2), ... in chapter 0."""
    labels = [found["label"] for text in texts for found in _EQUATION.finditer(text)]
    return {label: f"{chapter}.{n}" if chapter else str(n) for n, label in enumerate(labels, 1)}


def _closing(lines: list[str], at: int, mark: str) -> int:
    for end in range(at + 1, len(lines)):
        if re.fullmatch(re.escape(mark) + re.escape(mark[0]) + r"*\s*", lines[end]):
            return end
    raise ValueError(f"{lines[at]!r} is never closed.")


def _prose(text: str, book: Book) -> str:
    text = re.sub(r"^\([\w:-]+\)=\n?", "", text, flags=re.MULTILINE)  # targets of links
    text = _EQUATION.sub(
        lambda m: f"$${m['tex'].rstrip()} \\tag{{{_get(book.equations, m['label'], 'equation')}}}\n$$", text
    )
    text = expand(text, book.macros)
    text = _TOKEN.sub(lambda m: _role(m["name"], m["text"], book) if m["name"] else m[0], text)
    return re.sub(r"\[([^\]]+)\]\((?:\.\./|#)[^)]*\)", r"\1", text)  # links to pages of the book and to places in it


def _role(name: str, text: str, book: Book) -> str:
    if name == "glue:text":
        key, _, spec = text.rpartition(":") if ":" in text else (text, "", "")
        value = _get(book.values, key, "glued number")
        return format(value, spec) if spec else str(value)
    if name in ("cite", "cite:p", "cite:t"):
        cited = [_get(book.citations, key.strip(), "reference") for key in text.split(",")]
        if name == "cite:t":
            return ", ".join(textual for textual, _ in cited)
        return f"[{'; '.join(short for _, short in cited)}]"
    if name == "doc":
        words, target = _target(text)
        path = str(PurePosixPath("notebooks") / target).replace("notebooks/../", "")
        words = words or _get(book.titles, path, "page")
        return f"[{words}]({target}.ipynb)" if path.startswith("notebooks/") else f"{words} (in the book)"
    if name == "eq":
        return f"({_get(book.equations, text, 'equation')})"
    if name == "term":
        words, target = _target(text)
        return words or target
    if name.startswith("py:"):
        words, target = _target(text)
        return f"`{words or (target.rpartition('.')[2] if target.startswith('~') else target)}`"
    if name in ("ref", "numref"):
        words, target = _target(text)
        if words:
            return words
        raise ValueError(f"{{{name}}}`{text}` has no words; write {{{name}}}`words <{target}>`.")
    raise ValueError(f"the role {{{name}}} is not known to the student's edition (scripts/plain_markdown.py).")


def _target(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(?s)(.+?)\s*<([^>]+)>", text)
    return (found[1], found[2]) if found else ("", text.strip())


def _directive(name: str, title: str, inside: list[str], book: Book) -> str:
    options, content = _options(inside)
    body = plain("\n".join(content), book)
    if name == "admonition":
        return _fold(title, body, book) if "dropdown" in options.get("class", "") else _box(plain(title, book), body)
    if name in _BOXES:
        return (
            _fold(name.capitalize(), body, book)
            if "dropdown" in options.get("class", "")
            else _box(name.capitalize(), body)
        )
    if name == "exercise":
        name, _, effort = plain(title, book).partition("; ")
        return f"### Exercise: {name}{f' ({effort})' if effort else ''}\n\n{body}"
    if name == "solution":
        return f"**Solution**\n\n{body}"
    if name in ("solution-start", "solution-end"):
        return ""
    if name == "list-table":
        return _table(title, content, book)
    if name == "drawing":
        svg = book.drawings / f"{title}.svg"
        said = re.search(r"<title>(.*?)</title>", svg.read_text(encoding="utf-8"), re.DOTALL)
        return f"![{' '.join(said[1].split()) if said else title}](attachment:{svg.name})\n\n*{body}*"
    raise ValueError(f"the directive {{{name}}} is not known to the student's edition (scripts/plain_markdown.py).")


def _options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    at = 0
    while at < len(lines) and (found := re.fullmatch(r":([\w-]+):\s*(.*)", lines[at])):
        options[found[1]] = found[2]
        at += 1
    return options, lines[at:]


def _fold(title: str, body: str, book: Book) -> str:
    words = html.escape(plain(title, book), quote=False)
    for mark, tag in (("`", "code"), (r"\*\*", "b"), (r"\*", "em")):  # Markdown is not read inside <summary>
        words = re.sub(f"{mark}(.+?){mark}", rf"<{tag}>\1</{tag}>", words)
    return f"<details><summary>{words}</summary>\n\n{body}\n\n</details>"


def _box(title: str, body: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *body.split("\n")])


def _table(title: str, lines: list[str], book: Book) -> str:
    """A list-table's rows; a cell's further lines are joined to its first."""
    rows: list[list[str]] = []
    for line in filter(str.strip, lines):
        if line.startswith("* - "):
            rows.append([line[4:]])
        elif line.startswith("  - "):
            rows[-1].append(line[4:])
        elif line.strip() == "-" or line.rstrip() == "* -":
            rows.append([""]) if line.startswith("*") else rows[-1].append("")
        else:
            rows[-1][-1] += f" {line.strip()}"
    cells = [[plain(cell, book).replace("|", r"\|") for cell in row] for row in rows]
    made = ["| " + " | ".join(row) + " |" for row in cells]
    made.insert(1, "|" + " --- |" * len(cells[0]))
    return "\n".join([f"*{plain(title, book)}*", "", *made] if title else made)


def expand(text: str, macros: Macros) -> str:
    r"""The book's own macros of MathJax, such as ``\KL{p}{q}``, written out."""
    for name, (meaning, n) in macros.items():
        while found := re.search(rf"\\{name}(?![A-Za-z])", text):
            rest, arguments = text[found.end() :], []
            for _ in range(n):
                argument, rest = _braced(rest, name)
                arguments.append(argument)
            said = meaning
            for i, argument in enumerate(arguments, 1):
                said = said.replace(f"#{i}", argument)
            text = text[: found.start()] + said + rest
    return text


def _braced(text: str, name: str) -> tuple[str, str]:
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if sign == "}" and depth == 0:
            return text[1:at], text[at + 1 :]
        if at == 0 and sign != "{":
            break
    raise ValueError(f"\\{name} lacks an argument in braces: {text[:40]!r}.")


def _get(table: Mapping[str, Any], key: str, kind: str) -> Any:
    if key not in table:
        raise ValueError(f"there is no {kind} {key!r}.")
    return table[key]


def glued(outputs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers and texts that a cell glued, by name."""
    found = {}
    for output in outputs:
        name = output.get("metadata", {}).get("scrapbook", {}).get("name")
        if name is not None:
            found[name] = literal_eval("".join(output["data"]["application/papermill.record/text/plain"]))
    return found
