"""What several test modules share: the shipped pocket model, loaded once, and the reference data where there is any."""

import functools
import gc
import os
import sys
from pathlib import Path

import pytest

from povid_lib import models
from tests.support.standin import write_standin


def pytest_configure() -> None:
    """A mutant is tried in a process in which all tests have run before: what was kept from then would hide it."""
    if "__mutmut_" in os.environ.get("MUTANT_UNDER_TEST", ""):
        _forget()
        for name in [name for name in sys.modules if name.startswith("tests.") and name != __name__]:
            del sys.modules[name]


@pytest.fixture(autouse=os.environ.get("MUTANT_UNDER_TEST") == "stats")
def _calls_anew() -> None:
    """While mutmut learns which test calls what, every test calls it: what is kept would be the first caller's alone."""
    _forget()


def _forget() -> None:
    for kept in gc.get_objects():
        if isinstance(kept, functools._lru_cache_wrapper):
            kept.cache_clear()


@pytest.fixture(scope="session")
def vlm() -> models.VLM:
    return models.load("pocket")


@pytest.fixture(scope="session")
def standin(tmp_path_factory) -> Path:
    """The folder of a LLaVA-1.5 that is real in everything but its weights."""
    return write_standin(tmp_path_factory.mktemp("standin") / "llava-1.5-standin")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with the field's reference numbers; they are not ours to commit."""
    folder = os.environ.get("POVID_REFERENCE")
    if not folder:
        pytest.skip("POVID_REFERENCE is unset: no check against the field's reference evaluators")
    path = Path(folder)
    assert (path / "expected").is_dir(), f"POVID_REFERENCE is {folder}, which has no folder `expected`"
    return path
