"""The book's prose against its rules in ``prose.toml``: long sentences, numbers, private words, British spelling, captions.

``python scripts/prose.py`` checks the pages that are held and fails if one has a fault; with names of pages it checks those;
``--all`` prints a table of counts for every page and fails for none.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

ROOT = Path(__file__).parent.parent
RULES = tomllib.loads((ROOT / "prose.toml").read_text(encoding="utf-8"))
WORDS = {re.compile(rf"\b(?:{said})\b", re.IGNORECASE): say for said, say in RULES["instead"].items()}

# Directives whose content is prose; all other fences are code, formulas or drawings' sources.
OF_PROSE = re.compile(
    r"\{(?:admonition|note|tip|hint|warning|important|seealso|dropdown|exercise|solution|drawing|figure|glue:figure|margin"
    r"|epigraph|topic|sidebar|card|grid-item-card|tab-item|list-table)\}"
)
# A number: digits that belong to no name, formula or version, with what makes them a range, a share or an amount.
NUMBER = re.compile(r"(?<![\w.\-/])[-+−±]?(?:\d[\d,]*)?\.?\d+%?(?![\w/]|-[A-Za-z]|\.\d)")
INTERVAL = re.compile(r"(?<=[\d%]) ?\[[^\[\]]*\]")
# Numbers that count nothing: names of parts of the book, of steps and years.
NAMED = re.compile(
    r"\b(?:chapters?|parts?|steps?|phases?|figures?|fig\.|tables?|sections?|exercises?|questions?|equations?|scenes?|seeds?|layers?"
    r"|heads?|version|python|trl)\s[\d.]+(?:(?:, | and | to | or )[\d.]+)*|\b(?:19|20)\d\d\b",
    re.IGNORECASE,
)

_punkt = PunktParameters()
_punkt.abbrev_types = {"e.g", "i.e", "fig", "figs", "eq", "eqs", "al", "vs", "approx", "resp", "cf", "no", "p", "pp"}
SPLITTER = PunktSentenceTokenizer(_punkt)
READER = MarkdownIt("commonmark").enable("table")
for plugin in (dollarmath_plugin, amsmath_plugin, front_matter_plugin, myst_role_plugin, myst_block_plugin):
    READER.use(plugin)


@dataclass(frozen=True)
class Piece:
    """One paragraph, list item, cell of a table, heading or caption."""

    kind: str  # "paragraph", "heading", "cell", "caption" or "alt", what a figure says to those who cannot see it
    text: str  # without markup; code and formulas are one word each
    bold: tuple[str, ...]  # what was printed bold and holds a digit


@dataclass(frozen=True)
class Page:
    name: str
    pieces: tuple[Piece, ...]
    without_caption: tuple[str, ...] = field(default=())  # figures' alternative texts

    @property
    def prose(self) -> list[Piece]:
        return [p for p in self.pieces if p.kind in ("paragraph", "caption")]

    @property
    def sentences(self) -> list[str]:
        return [s for p in self.prose for s in SPLITTER.tokenize(p.text) if words(s)]


def words(sentence: str) -> int:
    """How many words; a number is a word, a dash is none."""
    return sum(any(c.isalnum() for c in word) for word in sentence.split())


def numbers(text: str) -> list[str]:
    """The numbers of a paragraph that tell an amount. An interval in brackets is part of its number."""
    return NUMBER.findall(NAMED.sub(" ", INTERVAL.sub("", text)))


def _role(token: Token) -> str:
    name = token.meta["name"]
    if name.startswith("glue"):
        return "0"
    if name in ("cite", "cite:p"):
        return ""
    if name == "cite:t":
        return "Author"
    return token.content.split("<")[0].strip() if "<" in token.content else "Page"


def _words(token: Token) -> str:
    if token.type in ("text", "softbreak", "hardbreak"):
        return token.content if token.type == "text" else " "
    if token.type == "myst_role":
        return _role(token)
    return {"code_inline": "Code", "math_inline": "Formula", "math_single": "Formula"}.get(token.type, "")


def _inline(tokens: list[Token], kind: str) -> Piece:
    text, bold, inside = "", [], None
    for token in tokens:
        if token.type == "strong_open":
            inside = len(text)
        elif token.type == "strong_close" and inside is not None:
            bold += [text[inside:]] if NUMBER.search(text[inside:]) else []
            inside = None
        text += _words(token)
    return Piece(kind, re.sub(r"\s+", " ", text).strip(), tuple(bold))


def pieces(markdown: str) -> Iterator[Piece]:
    """The prose of a text in MyST Markdown, with that inside its directives."""
    kind = "paragraph"
    for token in READER.parse(markdown):
        if token.type in ("heading_open", "th_open", "td_open"):
            kind = "heading" if token.type == "heading_open" else "cell"
        elif token.type in ("heading_close", "th_close", "td_close"):
            kind = "paragraph"
        elif token.type == "inline":
            yield _inline(token.children or [], kind)
        elif token.type == "fence" and OF_PROSE.match(token.info):
            options = re.compile(r"\A(?:\s*:[\w-]+:.*\n?)+", re.MULTILINE)
            yield from pieces(options.sub("", token.content))


def read(path: Path) -> Page:
    """A page: a notebook's Markdown cells and its figures' captions, or a Markdown file."""
    name = str(path.resolve().relative_to(ROOT))
    if path.suffix == ".md":
        return Page(name, tuple(pieces(path.read_text(encoding="utf-8"))))
    found: list[Piece] = []
    without = []
    cells = nbformat.read(path, 4).cells
    glued = [f'glue("{name}"' for cell in cells for name in re.findall(r"\{glue:figure\} (\S+)", cell.source)]
    for cell in cells:
        if cell.cell_type == "markdown":
            found += pieces(cell.source)
            continue
        shown = cell.metadata.get("mystnb", {})
        caption = shown.get("figure", {}).get("caption", "")
        found += [Piece("caption", p.text, p.bold) for p in pieces(caption)]
        if "image" in shown:
            alt = shown["image"].get("alt", "")
            found.append(Piece("alt", alt, ()))
            if not caption and not any(name in cell.source for name in glued):
                without.append(alt)
    return Page(name, tuple(found), tuple(without))


def misspelt(page: Page) -> list[str]:
    """Words that are not British, by typos and the rules that it has for Markdown."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".prose-") as folder:
        text = Path(folder) / "page.md"
        text.write_text("\n\n".join(p.text for p in page.pieces), encoding="utf-8")
        tool = [str(Path(sys.executable).parent / "typos"), "--format", "brief", "--config", str(ROOT / "typos.toml")]
        told = subprocess.run([*tool, str(text)], capture_output=True, text=True, check=False)
    if told.returncode not in (0, 2):  # 2: words were found
        raise RuntimeError(f"typos stopped ({told.returncode}): {told.stderr.strip()}")
    return [line.split(": ", 1)[-1] for line in told.stdout.splitlines()]


def faults(page: Page) -> list[str]:
    """Every fault of a page, one line each."""
    found, all_of_it = [], page.sentences
    long = [s for s in all_of_it if words(s) > RULES["longest"]]
    if len(long) > RULES["longer_ones"] * len(all_of_it):
        head = f"{len(long)} of {len(all_of_it)} sentences have more than {RULES['longest']} words; one in ten may"
        found += [head, *(f"  {words(s)} words: {s}" for s in sorted(long, key=words, reverse=True))]
    for piece in page.prose:
        count = len(numbers(piece.text))
        if count > RULES["numbers"]:
            found.append(f"{count} numbers in a paragraph, {RULES['numbers']} may be; make a table: {piece.text[:90]}")
    for piece in page.pieces:
        found += [f"bold number {said!r}" for said in piece.bold if piece.kind != "cell"]
        for pattern, say in WORDS.items():
            found += [f"{m.group()!r} ({_around(piece.text, m)}): {say}" for m in pattern.finditer(piece.text)]
        if piece.kind == "alt" and (typed := re.findall(r"\d*\.\d+", piece.text)):
            found.append(f"measured numbers in an alternative text, where no build puts them: {', '.join(typed)}")
    found += [f"spelling: {word}" for word in misspelt(page)]
    return found + [f"a figure without a caption: {alt[:90]}" for alt in page.without_caption]


def _around(text: str, match: re.Match[str]) -> str:
    return "..." + text[max(0, match.start() - 30) : match.end() + 30] + "..."


def row(page: Page) -> str:
    """The counts of a page, as a row of a table."""
    lengths = sorted(map(words, page.sentences)) or [0]
    counts = [len(numbers(p.text)) for p in page.prose] or [0]
    private = sum(len(pattern.findall(p.text)) for p in page.pieces for pattern in WORDS)
    bold = sum(len(p.bold) for p in page.pieces if p.kind != "cell")
    cells = [
        page.name.split("/")[-1], len(lengths), f"{sum(lengths) / len(lengths):.1f}", lengths[-1],
        f"{sum(n > RULES['longest'] for n in lengths) / len(lengths):.0%}", bold, f"{sum(counts) / len(counts):.2f}",
        max(counts), sum(c > RULES["numbers"] for c in counts), private, len(page.without_caption),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD = (
    "| page | sentences | words, mean | longest | over 30 words | bold numbers | numbers a paragraph | most | paragraphs over 3"
    " | private words | figures without caption |\n|---|" + "--:|" * 10
)


def main() -> int:
    parser = argparse.ArgumentParser(description="The book's prose against prose.toml.")
    parser.add_argument("pages", nargs="*", type=Path, help="pages to check; those that are held, if none is named")
    parser.add_argument("--all", action="store_true", help="count every page's faults in a table, and fail for none")
    asked = parser.parse_args()
    if asked.all:
        every = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "book").glob("*.md"))]
        print("\n".join([HEAD, *(row(read(path)) for path in every)]))
        return 0
    bad = 0
    for path in asked.pages or [ROOT / name for name in RULES["held"]]:
        page = read(path)
        found = faults(page)
        bad += len(found)
        print("\n".join(f"{page.name}: {fault}" for fault in found) or f"{page.name}: nothing to mend")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
