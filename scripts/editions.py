"""The whole book as a PDF and as an EPUB, from the built pages: ``python -m scripts.editions _build/html _build/editions``.

Chromium opens every page as a reader does; what stands there, formulas and widgets included, goes into the editions. A widget
becomes its picture, a link to another page a link inside the edition. The library's reference stays in the web edition.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, Page, sync_playwright

from scripts.epub import Chapter, write_epub

ROOT = Path(__file__).parent.parent
LEFT_OUT = ("book/api/", "book/status")  # the library's reference and the build's own record
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PAPER = 665  # pixels: A4 less the margins
PATIENCE = 300_000  # milliseconds for one step; a busy machine is slow, and not wrong

STARTED = "!document.querySelector('#laboratory') || document.querySelector('#laboratory canvas')"

EXPECTED = """() => {
  const states = [...document.querySelectorAll("script[type='application/vnd.jupyter.widget-state+json']")];
  const all = Object.assign({}, ...states.map((s) => JSON.parse(s.textContent).state));
  const views = [...document.querySelectorAll("script[type='application/vnd.jupyter.widget-view+json']")];
  return views.filter((v) => all[JSON.parse(v.textContent).model_id].model_module === "anywidget").length;
}"""

# What belongs to the web alone goes, cells of code that the page folds among it; other folds open; the widgets' marks tell Python
# what to take pictures of.
TIDY = """async () => {
  await window.MathJax?.startup?.promise;
  const body = document.querySelector(".bd-article");
  body.querySelectorAll("script, .headerlink, .copybtn, .noprint, button.toggle-button").forEach((e) => e.remove());
  body.querySelectorAll("details.hide").forEach((e) => e.remove());
  body.querySelectorAll("details").forEach((e) => { e.open = true; });
  body.querySelectorAll(".toggle-hidden").forEach((e) => e.classList.remove("toggle-hidden"));
  const images = [...body.querySelectorAll("img[loading]")];
  images.forEach((i) => i.removeAttribute("loading"));
  await Promise.all(images.map((i) => i.decode()));
  const kind = ".povid-widget, #laboratory";
  const alive = [...body.querySelectorAll(kind)].filter((e) => !e.parentElement.closest(kind));
  alive.forEach((e, i) => e.setAttribute("data-picture", i));
  return alive.length;
}"""

# The page twice: for the EPUB with MathML, for the PDF with what MathJax has drawn. Links lead to pages of the edition by `pages`,
# a map from addresses to names; a link to a page that is left out keeps its words only.
TAKE = """([name, pages, pictures]) => {
  const root = new URL(document.documentElement.dataset.content_root ?? "./", document.baseURI).href;
  const copy = (edition) => {
    const body = document.querySelector(".bd-article").cloneNode(true);
    body.querySelectorAll("[data-picture]").forEach((e) => {
      const [figure, image, words] = ["figure", "img", "figcaption"].map((tag) => document.createElement(tag));
      image.src = pictures[Number(e.dataset.picture)];
      image.alt = "A picture of the widget in this place.";
      words.textContent = "A widget, as it starts. In the web edition it answers.";
      figure.append(image, words);
      e.replaceWith(figure);
    });
    body.querySelectorAll("style").forEach((e) => e.remove());
    body.querySelectorAll("a[href]").forEach((a) => {
      const url = new URL(a.getAttribute("href"), document.baseURI), [page, at] = url.href.split("#");
      if (!page.startsWith(root) || a.classList.contains("enlarge")) {
        if (a.classList.contains("enlarge")) a.replaceWith(...a.childNodes);
        return;
      }
      const to = pages[page.slice(root.length)];
      if (to === undefined) a.replaceWith(...a.childNodes);
      else if (edition === "pdf") a.setAttribute("href", at ? `#${to}--${at}` : `#${to}`);
      else a.setAttribute("href", `${to}.xhtml${at ? `#${at}` : ""}`);
    });
    body.querySelectorAll("img").forEach((i) => { if (!i.src.startsWith("data:")) i.setAttribute("src", i.src); });
    if (edition === "pdf") body.querySelectorAll("[id]").forEach((e) => { e.id = `${name}--${e.id}`; });
    else body.querySelectorAll("mjx-container").forEach((e) => {
      const math = e.querySelector("math");
      math.setAttribute("display", e.getAttribute("display") === "true" ? "block" : "inline");
      e.replaceWith(math);
    });
    return body;
  };
  const xhtml = new XMLSerializer().serializeToString(copy("epub"));
  const own = [...document.querySelectorAll("style")].filter((s) => !s.closest(".bd-article"));
  const styles = own.flatMap((s) => [...s.sheet.cssRules].map((r) => r.cssText));
  const heading = document.querySelector(".bd-article h1").cloneNode(true);
  heading.querySelectorAll(".headerlink").forEach((e) => e.remove());
  return { title: heading.textContent.trim(), xhtml, html: copy("pdf").innerHTML, styles };
}"""


@dataclass(frozen=True)
class Taken:
    """One page as the editions need it."""

    name: str
    title: str
    part: str
    html: str
    xhtml: str
    styles: list[str]


def contents(toc: dict[str, Any]) -> list[tuple[str, str]]:
    """``(page, caption of its part)`` of ``_toc.yml`` in reading order, without those that are left out."""
    found = [(toc["root"], "")]
    for part in toc["parts"]:
        for entry in part["chapters"]:
            found += [(e["file"], part.get("caption", "")) for e in (entry, *entry.get("sections", []))]
    return [(page, part) for page, part in found if not page.startswith(LEFT_OUT)]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder is served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def take(page: Page, address: str, doc: str, part: str, names: dict[str, str], out: Path) -> Taken:
    """Open a page, take its widgets' pictures into ``out``, and read it. Raises ``RuntimeError`` if a widget did not start."""
    page.goto(f"{address}{doc}.html")
    page.wait_for_function(STARTED)
    expected = page.evaluate(EXPECTED)
    for i in range(expected):
        page.locator("script[data-alive]").nth(i).wait_for(state="attached")
    count = page.evaluate(TIDY)
    if count < expected:
        raise RuntimeError(f"{doc}: {count} of {expected} widgets are alive; open the page in a browser and look.")
    pictures = []
    for i in range(count):
        picture = out / f"{names[f'{doc}.html']}-{i}.png"
        page.locator(f"[data-picture='{i}']").screenshot(path=picture)
        pictures.append(f"{address}_editions/{picture.name}")
    found = page.evaluate(TAKE, [names[f"{doc}.html"], names, pictures])
    return Taken(names[f"{doc}.html"], found["title"], part, found["html"], found["xhtml"], found["styles"])


def single_page(taken: list[Taken], book: dict[str, Any]) -> str:
    """All pages as one, with a title page and contents, for printing."""
    listed, part = [], None
    for one in taken[1:]:
        if one.part != part:
            listed.append(f"<h2>{one.part}</h2>")
            part = one.part
        listed.append(f'<p><a href="#{one.name}">{one.title}</a></p>')
    sheets = "".join(
        f'<link rel="stylesheet" href="_static/{name}">'
        for name in ("styles/pydata-sphinx-theme.css", "pygments.css", "styles/sphinx-book-theme.css", "exercise.css",
                     "sphinx-design.min.css", "css/course.css")
    )  # fmt: skip
    styles = "\n".join(dict.fromkeys(rule for one in taken for rule in one.styles))
    pages = "".join(f'<section class="edition-page" id="{one.name}">{one.html}</section>' for one in taken)
    return (
        '<!doctype html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
        f"<title>{book['title']}</title>"
        f'{sheets}<link rel="stylesheet" href="_static/css/edition.css"><style>{styles}</style>'
        '<script src="_static/js/equations.js"></script></head>'
        '<body class="bd-content">'
        f'<section class="edition-title"><h1>{book["title"]}</h1><p>{book["author"]}, {book["copyright"]}</p>'
        f"<p>{book['html']['extra_footer']}</p></section>"
        f'<nav class="edition-contents"><h1>Contents</h1>{"".join(listed)}</nav>'
        f'<article class="bd-article">{pages}</article></body></html>'
    )


def print_pdf(page: Page, address: str, html: str, pdf: Path) -> None:
    """Print ``html``, as if it were a page of the site at ``address``, to ``pdf``: A4, page numbers, an outline."""
    page.set_viewport_size({"width": PAPER, "height": 960})
    page.emulate_media(media="print")
    page.route("**/_edition.html", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    page.goto(f"{address}_edition.html")
    page.evaluate("document.fonts.ready")  # by then equations.js has made what is too wide for the paper smaller
    foot = '<div style="width: 100%; text-align: center; font: 8pt sans-serif"><span class="pageNumber"></span></div>'
    margins: Any = {"top": "18mm", "bottom": "18mm", "left": "17mm", "right": "17mm"}
    page.pdf(
        path=pdf, format="A4", margin=margins, print_background=True, outline=True, tagged=True,
        display_header_footer=True, header_template="<div></div>", footer_template=foot,
    )  # fmt: skip


def make(site: Path, out: Path, browser: Browser, only: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """Both editions of the built book in ``site``, of the pages ``only`` if some are named: the PDF's and the EPUB's path."""
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [(doc, part) for doc, part in contents(toc) if not only or doc in only]
    names = {f"{doc}.html": doc.replace("/", "-") for doc, _ in listed}
    pictures = site / "_editions"
    pictures.mkdir(exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    pdf, epub = out / "seeing-or-guessing.pdf", out / "seeing-or-guessing.epub"
    try:
        with served(site) as address:
            page = browser.new_page(
                viewport={"width": 1100, "height": 1400}, color_scheme="light", device_scale_factor=2
            )
            page.set_default_timeout(PATIENCE)
            taken = [take(page, address, doc, part, names, pictures) for doc, part in listed]
            print_pdf(page, address, single_page(taken, book), pdf)
            page.close()
            style = "\n".join(
                (ROOT / "assets" / "css" / name).read_text(encoding="utf-8") for name in ("course.css", "epub.css")
            )
            chapters = [Chapter(one.name, one.title, one.part, one.xhtml) for one in taken]
            write_epub(epub, chapters, book, style, address, site)
    finally:
        shutil.rmtree(pictures)
    return pdf, epub


def main(site: str, out: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium is missing; `make browser` installs it where root can.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for path in make(Path(site), Path(out), browser):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
