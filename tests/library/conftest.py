"""The shipped pocket model, loaded once."""

import pytest

from povid_lib import vlm as vlms


@pytest.fixture(scope="session")
def vlm() -> vlms.VLM:
    return vlms.load("pocket")
