"""An EPUB 3 of pages that are XHTML already: the files, their list, and the way from one to the next."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

XHTML, SVG, MATHML = "http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml", ".gif": "image/gif", ".webp": "image/webp"}
CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
for prefix, name in (("", XHTML), ("svg", SVG), ("m", MATHML)):
    ElementTree.register_namespace(prefix, name)


@dataclass(frozen=True)
class Chapter:
    """``xhtml``: one element, its pictures by full addresses, its links as ``name.xhtml#id``."""

    name: str
    title: str
    part: str
    xhtml: str


def _pictures(root: ElementTree.Element, address: str, site: Path) -> dict[str, Path]:
    """Point each picture of the site to its place in the EPUB. Returns those places with the files that belong there."""
    found = {}
    for image in root.iter(f"{{{XHTML}}}img"):
        source = image.get("src", "")
        if source.startswith(address):
            file = site / source.removeprefix(address)
            image.set("src", f"images/{file.name}")
            found[f"images/{file.name}"] = file
    return found


def _clean(root: ElementTree.Element) -> None:
    """Take away what an EPUB may not hold: attributes of scripts and of the site's own, and ids that come twice."""
    seen: set[str] = set()
    for element in root.iter():
        for name in list(element.attrib):
            if name.startswith(("data-", "on")) or name in ("tabindex", "open", "autoplay"):
                del element.attrib[name]
        at = element.get("id")
        if at is not None and (at in seen or not at):
            del element.attrib["id"]
        seen.add(at or "")


def _page(title: str, body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>'
        f'<html xmlns="{XHTML}" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">'
        f'<head><title>{escape(title)}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>'
        f"<body>{body}</body></html>"
    )


def _navigation(chapters: Iterable[Chapter]) -> str:
    rows = []
    for part, listed in groupby(chapters, key=lambda c: c.part):
        links = "".join(f'<li><a href="{c.name}.xhtml">{escape(c.title)}</a></li>' for c in listed)
        rows.append(f"<li><span>{escape(part)}</span><ol>{links}</ol></li>" if part else links)
    return _page("Contents", f'<nav epub:type="toc"><h1>Contents</h1><ol>{"".join(rows)}</ol></nav>')


def _package(
    chapters: list[Chapter], book: Mapping[str, Any], properties: Mapping[str, str], pictures: Iterable[str]
) -> str:
    items = ['<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
             '<item id="style" href="style.css" media-type="text/css"/>']  # fmt: skip
    for c in chapters:
        held = f' properties="{properties[c.name]}"' if properties[c.name] else ""
        items.append(f'<item id="{c.name}" href="{c.name}.xhtml" media-type="application/xhtml+xml"{held}/>')
    for i, place in enumerate(sorted(pictures)):
        items.append(f'<item id="image{i}" href="{place}" media-type="{TYPES[Path(place).suffix.lower()]}"/>')
    spine = "".join(f'<itemref idref="{c.name}"/>' for c in chapters)
    return (
        '<?xml version="1.0" encoding="utf-8"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, str(book["title"]))}</dc:identifier>'
        f"<dc:title>{escape(book['title'])}</dc:title><dc:language>en-GB</dc:language><dc:creator>{escape(book['author'])}</dc:creator>"
        "<dc:rights>Text CC BY 4.0, code MIT</dc:rights>"
        f'<meta property="dcterms:modified">{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</meta></metadata>'
        f'<manifest>{"".join(items)}</manifest><spine><itemref idref="nav"/>{spine}</spine></package>'
    )


def write_epub(
    path: Path, chapters: list[Chapter], book: Mapping[str, Any], style: str, address: str, site: Path
) -> None:
    """Write ``path``. ``book``: title and author. ``address``: where ``site``, which holds the pictures, was served.

    Raises ``ElementTree.ParseError`` for a chapter that is not well-formed, ``FileNotFoundError`` for a picture that is missing.
    """
    pictures: dict[str, Path] = {}
    pages, properties = {}, {}
    for chapter in chapters:
        root = ElementTree.fromstring(chapter.xhtml)
        pictures |= _pictures(root, address, site)
        _clean(root)
        held = {"mathml": MATHML, "svg": SVG}
        properties[chapter.name] = " ".join(
            k for k, space in held.items() if any(e.tag.startswith(f"{{{space}}}") for e in root.iter())
        )
        pages[f"{chapter.name}.xhtml"] = _page(chapter.title, ElementTree.tostring(root, encoding="unicode"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(
            "mimetype", "application/epub+zip", zipfile.ZIP_STORED
        )  # first, and as it is: so readers tell an EPUB
        file.writestr("META-INF/container.xml", CONTAINER)
        file.writestr("OEBPS/content.opf", _package(chapters, book, properties, pictures))
        file.writestr("OEBPS/nav.xhtml", _navigation(chapters))
        file.writestr("OEBPS/style.css", style)
        for name, text in pages.items():
            file.writestr(f"OEBPS/{name}", text)
        for place, source in pictures.items():
            file.write(source, f"OEBPS/{place}")
