"""Compare: every method's estimates, rounded, and null where there is none."""

import pytest

from povid_lib.widgets.compare import compare_spec


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
