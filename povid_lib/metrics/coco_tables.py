"""COCO's tables: images, annotations and categories in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from povid_lib.files.jsonl import (
    decode,
    fail,
    json_fault,
    sound,
)
from povid_lib.metrics.vocabulary import Vocabulary


def coco_tables(path: str | Path, tables: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A JSON object that has these tables, and in each of their rows these fields."""
    text, faults = decode(path)
    try:
        data = {} if faults else json.loads(text)
    except json.JSONDecodeError as error:
        fail(path, [json_fault(error, error.lineno)])
    for table, fields in () if faults else tables.items():
        rows = data.get(table) if isinstance(data, dict) else None
        if not isinstance(rows, list):
            faults.append(f"the table `{table}` is missing; give COCO's annotation file")
            continue
        for at, row in enumerate(rows, start=1):
            faults += [
                f"`{table}`, row {at}: no {name}; give it"
                for name in fields
                if not isinstance(row, dict) or name not in row
            ]
    return sound(path, data, faults)


def _check_category(name: str, where: str, vocabulary: Vocabulary, faults: list[str]) -> None:
    if vocabulary.words.get(name) != name:
        hint = f"; say {vocabulary.words[name]!r}" if name in vocabulary.words else ""
        faults.append(f"{where}: {name!r} is no category of the vocabulary{hint}")
