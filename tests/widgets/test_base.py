"""What all widgets share: text that cannot leave its place in the page, files read the same way everywhere."""

import json
import os
import subprocess
import sys

import pytest
from ipywidgets.embed import embed_data

from povid_lib.widgets.base import SpecWidget, for_page

HOSTILE = ["</script>", "</SCRIPT >", "<!--<script>", "<img src=x onerror=alert(1)>", "\u2028", "constructor", "c++ ("]


class Any(SpecWidget):
    asset = "score"


def test_a_specification_is_text_in_the_page_that_no_caption_can_end():
    spec = {"captions": HOSTILE, "words": {word: [word] for word in HOSTILE}}
    widget = Any(spec=spec)
    state = embed_data(views=[widget], drop_defaults=False)["manager_state"]["state"][widget.model_id]["state"]
    assert "<" not in state["spec"]
    assert json.loads(state["spec"]) == spec


def test_what_json_does_not_have_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        for_page({"value": float("nan")})


def test_shared_script_and_style_go_before_the_widgets_own():
    widget = Any(spec={})
    for text, shared, own in (
        (widget._esm, "function element(", "Edit captions"),
        (widget._css, ".povid-widget {", ".score-left {"),
    ):
        assert 0 <= text.index(shared) < text.index(own)


@pytest.mark.slow
def test_widgets_are_read_in_any_locale():
    """The scripts hold signs that are not ASCII; a machine's locale may be."""
    code = "from povid_lib.widgets.score import Score; assert chr(0x2013) in Score._esm"
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
