"""The built book, or a folder of its scripts, in Debian's Chromium, with every request off this machine refused and counted."""

import functools
import http.server
import os
import re
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from povid_lib.models.llava import TUNED, load_tuned
from povid_lib.pocket import export
from povid_lib.widgets.lab import write_lab
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World, world

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
SCENES = [  # of the laboratory that `lab_folder` holds
    *scenes(3, split="validation"),
    *scenes(2, World("counter_typical"), "test"),
    *scenes(2, World("mixed"), "test"),
    *scenes(3, world(edition="second"), "test"),  # with marks, faded and unseen objects
]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; CI must run the browser tests (make browser installs it).")
        pytest.skip("LEFT OUT: Chromium is missing; `make browser` installs it where root can.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(folder):
    """The address at which a folder is served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # five, its default, is less than a page asks for at once

    server = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def lab_folder(vlm, tmp_path_factory):
    """What `povid pocket export` writes, and a page with nothing but the laboratory."""
    folder = tmp_path_factory.mktemp("lab")
    export.export(vlm, folder)
    export.export_adapter(TUNED, folder)
    write_lab(vlm, load_tuned(), SCENES, folder)
    [block] = re.findall(r"```{raw} html\n(.*?)```", (ROOT / "book" / "laboratory.md").read_text(), re.DOTALL)
    head = '<!doctype html><html lang="en"><title>The laboratory</title><meta name="viewport" content="width=device-width">'
    (folder / "index.html").write_text(f"{head}<main>{block.replace('../_static/models/', '')}</main>")
    return folder


@pytest.fixture(scope="session")
def site(browser):
    """``(browser, address)`` of the book, served on this machine."""
    if not (HTML / "index.html").exists():
        pytest.fail("The book is not built; run `make book` first.")
    with served(HTML) as address:
        yield browser, address


@pytest.fixture
def open_page(site):
    """``open_page(path, **context options) -> page``; the page collects ``outside``, ``errors`` and ``missing``."""
    browser, address = site
    contexts = []

    def open_(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.outside, page.errors, page.missing = [], [], []

        def gate(route):
            if route.request.url.startswith((address, "data:", "blob:")):
                route.continue_()
            else:
                page.outside.append(route.request.url)
                route.abort()

        page.route("**/*", gate)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on(
            "response", lambda r: page.missing.append(r.url) if r.status >= 400 and "favicon" not in r.url else None
        )
        settle(page, lambda: page.goto(address + path))
        return page

    yield open_
    for context in contexts:
        context.close()


def settle(page, action, quiet=0.5, patience=60.0):
    """Wait after an action until every request of a page was answered and none came for ``quiet`` seconds.

    Playwright's own "networkidle" can wait for ever on a busy machine, and does not say for what.
    """
    waiting, last = {}, [time.monotonic()]

    def asked(request):
        waiting[request] = request.url
        last[0] = time.monotonic()

    def answered(request):
        waiting.pop(request, None)
        last[0] = time.monotonic()

    listeners = {"request": asked, "requestfailed": answered, "response": lambda response: answered(response.request)}
    for event, listener in listeners.items():
        page.on(event, listener)
    action()
    end = time.monotonic() + patience
    while waiting or time.monotonic() - last[0] < quiet:
        if time.monotonic() > end:
            pytest.fail(f"{page.url}: no answer in {patience:g} s from {sorted(waiting.values())}")
        page.wait_for_timeout(50)
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
