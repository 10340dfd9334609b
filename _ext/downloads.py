"""A chapter's buttons give its student's edition: download, Colab and Binder. `make book` lays the editions into assets/student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ELSEWHERE = {  # Colab's and Binder's addresses of a notebook: the source's, and that of its student's edition
    "/blob/main/notebooks/": "/blob/student/student/",
    "/main?urlpath=lab/tree/notebooks/": "/student?urlpath=lab/tree/student/",
}


def students_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    # The theme offers the page's source: for a chapter that is the build's own notebook, with roles, guards and open solutions.
    # Colab and Binder find what students get on the branch `student`, which the build writes.
    notebook = f"{pagename.removeprefix('notebooks/')}.ipynb"
    if (
        pagename == f"notebooks/{notebook.removesuffix('.ipynb')}"
        and (Path(app.srcdir) / "assets/student" / notebook).exists()
    ):
        for group in context.get("header_buttons", []):
            for button in group.get("buttons", []):
                if button.get("label") == "download-source-button":
                    button["url"] = context["pathto"](f"_static/student/{notebook}", 1)
                    button["tooltip"] = "Download this chapter's notebook"
                for theirs, ours in ELSEWHERE.items():
                    if theirs in button.get("url", ""):
                        button["url"] = button["url"].replace(theirs, ours)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", students_notebook, priority=900)  # after the theme has made its buttons
    return {"parallel_read_safe": True, "parallel_write_safe": True}
