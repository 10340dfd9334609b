"""Figures, tables, equations and exercises of a page that Sphinx does not number are counted from 1 under the page's own name.

Without this they count on from the last such page: "Fig. 7" on chapter 9's second page reads as chapter 7's.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

NAMES = {
    "notebooks/00_pocket_world": "0",
    "notebooks/09b_causes_and_pairs": "9b",
    "notebooks/13_try_your_own": "13",
}


def by_page(app: Sphinx, env: BuildEnvironment) -> list[str]:
    of_pages: dict[str, Any] = env.toc_fignumbers  # Sphinx joins their parts by full stops, whatever they are
    for page, name in NAMES.items():
        for numbers in of_pages.get(page, {}).values():
            for count, key in enumerate(sorted(numbers, key=numbers.__getitem__), start=1):
                numbers[key] = (name, count)
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-get-updated", by_page, priority=900)  # after the collector that counts on
    return {"parallel_read_safe": True, "parallel_write_safe": True}
