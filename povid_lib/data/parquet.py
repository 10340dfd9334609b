"""Rows of Parquet files, with plain errors for what is none and for columns of other types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from povid_lib.files import jsonl
from povid_lib.files.faults import Faults, fail

ROWS = 64  # with their pictures in memory at once


def names_in(path: str | Path) -> list[str]:
    """The columns of a file. Raises ``ValueError`` for a file that is not there or no Parquet."""
    return list(_opened(path).schema_arrow.names)


def rows_of(path: str | Path, columns: pa.Schema | None = None) -> Iterator[dict[str, Any]]:
    """The rows, one after the other; memory stays flat. ``columns``: the only ones wanted, cast into these types.

    Raises ``ValueError`` for a file that is not there or no Parquet, and for columns of types that cannot be cast.
    """
    file = _opened(path)
    faults = Faults(path)
    for field in columns or ():
        found = file.schema_arrow.field(field.name).type
        try:
            pa.nulls(0, found).cast(field.type)
        except pa.ArrowException:
            faults.add(f"column {field.name} is of type {found}; it must be {field.type}", field.name)
    if faults:
        faults.fail()
    return _rows(path, file, columns)


def _rows(path: str | Path, file: pq.ParquetFile, columns: pa.Schema | None) -> Iterator[dict[str, Any]]:
    names = None if columns is None else columns.names
    try:
        for batch in file.iter_batches(ROWS, columns=names):
            yield from (
                batch if columns is None else pa.Table.from_batches([batch]).select(names).cast(columns)
            ).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        fail(path, f"the file cannot be read to its end ({_first_line(error)}); fetch it again, or write it anew")


def _opened(path: str | Path) -> pq.ParquetFile:
    jsonl.check_file(path)
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is no Parquet file ({_first_line(error)}); give one that was written whole."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
