"""What several test modules share: the shipped pocket model, loaded once, and the reference data where there is any."""

import os
from pathlib import Path

import pytest

from povid_lib import models


@pytest.fixture(scope="session")
def vlm() -> models.VLM:
    return models.load("pocket")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with the field's reference numbers; they are not ours to commit."""
    folder = os.environ.get("POVID_REFERENCE")
    if not folder:
        pytest.skip("POVID_REFERENCE is unset: no check against the field's reference evaluators")
    path = Path(folder)
    assert (path / "expected").is_dir(), f"POVID_REFERENCE is {folder}, which has no folder `expected`"
    return path
