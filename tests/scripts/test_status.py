"""The status page says what the book was built from, or is not made."""

import pytest

from scripts import status

TIMES = '<testsuites><testsuite><testcase name="{}" time="{}">{}</testcase></testsuite></testsuites>'


@pytest.fixture
def times(tmp_path):
    def write(name="01_a.ipynb", seconds="12.4", inside=""):
        file = tmp_path / "times.xml"
        file.write_text(TIMES.format(name, seconds, inside))
        return file

    return write


@pytest.fixture
def commit(monkeypatch):
    """Sets what git tells."""
    made = status.results.provenance({}, 0)
    return lambda value: monkeypatch.setattr(
        status.results, "provenance", lambda config, seconds: made | {"commit": value}
    )


def test_a_page(times, commit):
    commit("abc123")
    page = status.page(times())
    assert "| 01_a | 12 |" in page
    assert "from commit `abc123`" in page


def test_no_commit_no_page(times, commit):
    commit(None)
    with pytest.raises(ValueError, match=r"git tells no commit here; build from a clone"):
        status.page(times())


def test_a_notebook_that_failed_gives_no_page(times, commit):
    commit("abc123")
    with pytest.raises(ValueError, match="not all passed"):
        status.page(times(inside="<failure/>"))
