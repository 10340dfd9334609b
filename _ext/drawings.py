"""The directive ``drawing``: a drawing of ``book/drawings`` as a numbered figure that takes the colours of the page.

```{drawing} chair_sets
:name: fig-chair-sets

The caption.
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path("book") / "drawings"
_TITLE = "{http://www.w3.org/2000/svg}title"


def read(path: Path) -> str:
    """A drawing's SVG. Raises ``ValueError`` if it cannot be read, has no title for those who cannot see it, or runs anything."""
    text = path.read_text(encoding="utf-8")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path.name} is no SVG ({error}); mend the file.") from error
    title = root.find(_TITLE)
    if title is None or not (title.text or "").strip():
        raise ValueError(f"{path.name} has no <title>; write one sentence for readers who cannot see it.")
    running = [
        e.tag for e in root.iter() if e.tag.endswith("script") or any(a.lower().startswith("on") for a in e.attrib)
    ]
    if running:
        raise ValueError(f"{path.name} holds what would run in the page ({running[0]}); take it out.")
    return text


class Drawing(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"name": str}

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / FOLDER / f"{self.arguments[0]}.svg"
        self.env.note_dependency(str(path))
        try:
            svg = read(path)
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from error
        figure = nodes.figure("", nodes.raw("", svg, format="html"), classes=["drawing"])
        words, messages = self.state.inline_text("\n".join(self.content), self.lineno)
        figure += nodes.caption("", "", *words)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure, *messages]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("drawing", Drawing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
