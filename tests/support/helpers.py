"""Small things that several test modules call."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from povid_lib.cli.main import app


def rows(path: Path) -> list[dict[str, Any]]:
    """A JSON-lines file of the reference data, packed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.decode("utf-8").splitlines()]


def faults(read, *args) -> list[str]:
    """What the error says of the file, a fault a line."""
    with pytest.raises(ValueError, match="fault") as error:
        read(*args)
    head, *lines = str(error.value).split("\n")
    assert str(args[0]) in head
    assert f": {len(lines)} fault" in head
    return [line.strip() for line in lines]


def povid(*arguments: object):
    """What the command ``povid`` does with these arguments, on a terminal so wide that it breaks no line."""
    return CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(a) for a in arguments])
