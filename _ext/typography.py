"""Small type: a measure is not torn from its subscript, and a number below nought has a minus and not a hyphen."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

from povid_lib.course.glue import signed


def subscripts(app: Sphinx, doctree: nodes.document) -> None:
    """``CHAIR$_s$`` as one unbreakable word; a page that needs MathJax for nothing else is spared it."""
    for math in list(doctree.findall(nodes.math)):
        at = math.parent.index(math)
        before = math.parent[at - 1] if at else None
        if math.astext() not in ("_s", "_i") or before is None or not before.astext().endswith("CHAIR"):
            continue
        letter = nodes.emphasis("", math.astext()[1:])
        word = nodes.inline("", "", nodes.subscript("", "", letter), classes=["unbroken"])
        if isinstance(before, nodes.Text):
            word.insert(0, nodes.Text("CHAIR"))
            math.parent[at - 1 : at + 1] = [nodes.Text(before.removesuffix("CHAIR")), word]
        else:  # at its first use a link to the glossary
            word.insert(0, before)
            math.parent[at - 1 : at + 1] = [word]


def minuses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for glued in doctree.findall(lambda node: isinstance(node, nodes.inline) and "pasted-text" in node["classes"]):
        for text in list(glued.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(signed(str(text))))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", subscripts)
    app.connect("doctree-resolved", minuses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
