"""The download button of a chapter gives its student's edition, which `make book` lays into assets/student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def students_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    # The theme offers the page's source: for a chapter that is the build's own notebook, with roles, guards and open solutions.
    notebook = f"{pagename.removeprefix('notebooks/')}.ipynb"
    if (
        pagename == f"notebooks/{notebook.removesuffix('.ipynb')}"
        and (Path(app.srcdir) / "assets/student" / notebook).exists()
    ):
        for group in context.get("header_buttons", []):
            for button in group.get("buttons", []):
                if button["label"] == "download-source-button":
                    button["url"] = context["pathto"](f"_static/student/{notebook}", 1)
                    button["tooltip"] = "Download this chapter's notebook"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", students_notebook, priority=900)  # after the theme has made its buttons
    return {"parallel_read_safe": True, "parallel_write_safe": True}
