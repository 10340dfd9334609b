"""What every test of the rewriter starts from: a key in the environment, and a folder with pictures."""

from pathlib import Path

import pytest

from tests.soak.rewriter import pictures
from tests.support.rewriting import SECRET


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
def folder(tmp_path) -> Path:
    pictures(tmp_path / "images")
    return tmp_path
