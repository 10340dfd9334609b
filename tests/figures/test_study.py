"""Figures and widget of the study show the numbers that they were given."""

import pytest

from povid_lib.figures import study
from povid_lib.widgets.compare import compare_spec


def test_forest_has_a_point_for_each_row_and_panel():
    rows = {"a": {"x": (0.5, 0.4, 0.6), "y": (2.0, 1.0, 4.0)}, "b": {"x": (0.1, 0.0, 0.2), "y": (3.0, 2.5, 3.5)}}
    fig = study.forest_panels(rows, {"x": 0.3, "y": 2.2}, {"a": "one", "b": "two"})
    left, right = fig.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b"]
    assert [line.get_xdata()[0] for line in left.lines if line.get_ls() == ":"] == [0.3]
    points = [line for line in right.lines if line.get_marker() in "os"]
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [(2.0, 0), (3.0, 1)]
    assert points[0].get_color() != points[1].get_color()
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["one", "two", "before"]


def test_paths_begin_where_the_model_was():
    fig = study.plane({"m": [((0.2, 0.1, 0.3), (0.9, 0.8, 1.0))]}, (0.5, 0.95), "x", "y")
    joined = [line for line in fig.axes[0].lines if len(line.get_xdata()) == 2]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in joined] == [([0.5, 0.2], [0.95, 0.9])]


def test_small_multiples_share_colours_and_levels():
    series = {"sft": (["50", "200"], [(0.3, 0.2, 0.4), (0.1, 0.0, 0.2)])}
    fig = study.small_multiples({"p": series, "q": {**series, "text": series["sft"]}}, {"before": 0.5}, "CHAIR_s")
    assert [len(ax.lines) >= 2 for ax in fig.axes] == [True, True]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["sft", "text", "before"]
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["50", "200"]


@pytest.fixture
def data():
    def cell(value):
        if value is None:
            return {"value": None, "low": None, "high": None, "seeds": []}
        return {"value": value, "low": value - 0.123456, "high": value + 0.1, "seeds": [value, None]}

    splits = {split: {"chair_s": cell(0.5), "counts": cell(None)} for split in ("typical", "counter_typical")}
    return {"methods": {name: {"group": "main", **splits} for name in ("base", "text")}}


def test_compare_spec(data):
    spec = compare_spec(
        data, {"base": "before", "text": "POVID"}, {"chair_s": ("CHAIR_s", -1), "counts": ("counts", 1)}
    )
    assert [m["name"] for m in spec["methods"]] == ["before", "POVID"]
    assert [m["group"] for m in spec["methods"]] == ["base", "main"]
    first, second = spec["methods"][1]["values"][0]
    assert first == {"value": 0.5, "low": 0.3765, "high": 0.6, "seeds": [0.5]}
    assert second is None
    assert spec["measures"] == [{"label": "CHAIR_s", "better": -1}, {"label": "counts", "better": 1}]
