"""Texts that a model or a file may hold, in widgets on a page written as the book's are: they are shown, and do nothing."""

import base64
import json

import pytest
from ipywidgets import FloatProgress, HBox, IntSlider
from ipywidgets.embed import embed_data
from myst_nb.core.render import sanitize_script_content

from povid_lib.data.pairs import Pair
from povid_lib.widgets.base import SpecWidget, png
from povid_lib.widgets.pairs import Pairs
from povid_lib.widgets.score import Score
from povid_lib.world.scenes import sample_scene

RUN = "<script>window.ran = true</SCRIPT >"  # the renderer spoils the lower-case end
HOSTILE = [
    f"A cup. </SCRIPT >{RUN}",
    f"A cup. </script>{RUN}",
    f"<!-- <script> {RUN} -->",
    "<img src=x onerror='window.ran = true'>",
    "A constructor, a toString and a __proto__.",
    "c++ ( [ \\ $& $1",
]
SCENE = sample_scene(0)


class Where(SpecWidget):
    asset = "where"


def where_spec(words):
    flat = [1.0, base64.b64encode(bytes(range(36))).decode()]
    view = {"maps": {"all layers": flat}, "share": [0.5], "on": {"all layers": 0.1}, "odds": [0.5, -0.4, -1.3]}
    rows = [
        {"word": w, "answer": f"Here is {w}, then.", "name": w, "true": True, "own": [0] * 36, "models": {"one": view}}
        for w in words
    ]
    scene = {"title": words[0], "png": png(SCENE.image()), "names": words, "words": rows}
    return {"scenes": [scene], "side": 6, "labels": ["one"]}


@pytest.fixture
def open_widgets(open_page):
    """``open_widgets(widgets, change) -> page``: a page of widgets; ``change``: what is done to each widget's state before."""

    def open_(widgets, change=lambda state: None):
        page = open_page("genindex.html")
        data = embed_data(views=widgets, drop_defaults=False)
        for widget in widgets:
            change(data["manager_state"]["state"][widget.model_id]["state"])
        state = sanitize_script_content(json.dumps(data["manager_state"]))
        views = [sanitize_script_content(json.dumps(view)) for view in data["view_specs"]]
        body = '<script src="_static/js/widgets.js"></script>'
        body += f'<script type="application/vnd.jupyter.widget-state+json">{state}</script>'
        body += "".join(f'<script type="application/vnd.jupyter.widget-view+json">{view}</script>' for view in views)
        html = f"<!doctype html><meta charset=utf-8><title>x</title><body>{body}"
        page.route("**/hostile.html", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
        page.goto(page.url.replace("genindex.html", "hostile.html"))
        return page

    return open_


def test_no_text_runs_in_the_page_and_none_stops_a_widget(open_widgets):
    n = len(HOSTILE)
    score = Score([SCENE] * n, HOSTILE, HOSTILE)
    pairs = Pairs([Pair("1", "x.png", t, f"{t} x", f"{t} y") for t in HOSTILE], [SCENE] * n, HOSTILE)
    page = open_widgets([score, pairs, Where(spec=where_spec(HOSTILE))])
    page.wait_for_selector(".score tbody tr")
    page.wait_for_selector(".where tbody tr")
    for at, text in enumerate(HOSTILE):
        page.locator(".score select").select_option(str(at))
        assert page.locator(".score-read").text_content().startswith(text.split(" ")[0])
        assert page.locator(".score textarea").input_value() == text
        page.locator(".where-word").select_option(str(at))
        assert page.locator(".where-answer").text_content() == f"Answer read to the model: Here is {text}, then."
        assert page.locator(".where-answer strong").text_content() == text
        page.get_by_role("button", name="Reveal").click()
        assert "is the false one" in page.locator(".pairs-verdict").inner_text()
        page.get_by_role("button", name="Next").click()
    assert page.evaluate("window.ran") is None
    assert (page.errors, page.outside) == ([], [])


def test_without_the_escape_the_same_page_would_have_run_it(open_widgets):
    """The control: what is tested above is the escape, and not a browser that is careful."""

    def bare(state):
        state["spec"] = state["spec"].replace("\\u003c", "<")

    page = open_widgets([Score([SCENE], ["x"], HOSTILE[:1])], bare)
    assert page.evaluate("window.ran") is True


def test_a_widget_that_cannot_start_says_so_and_stops_no_other(open_widgets):
    """A script that throws leaves a sentence in its place; the next widget is alive."""
    broken, whole = Score([SCENE], ["x"], ["x"]), Score([SCENE], ["y"], ["y"])

    def spoil(state):
        if '"x"' in state["spec"]:
            state["spec"] = "no JSON"

    page = open_widgets([broken, whole], spoil)
    page.get_by_text("This widget could not be started.").wait_for()
    page.wait_for_selector(".score tbody tr")
    assert page.locator(".score").count() == 1
    assert len(page.errors) == 1


def test_a_bar_of_a_finished_run_is_left_out_and_another_projects_widget_is_an_error(open_widgets):
    page = open_widgets([HBox([FloatProgress()]), Score([SCENE], ["y"], ["y"])])
    page.wait_for_selector(".score tbody tr")
    assert page.errors == []
    page = open_widgets([IntSlider()])
    page.wait_for_timeout(500)
    assert "does not bring to life" in page.errors[0]
