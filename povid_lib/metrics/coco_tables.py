"""COCO's tables: images, annotations and categories in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.files.faults import Faults
from povid_lib.files.jsonl import decode, json_fault, parse
from povid_lib.metrics.vocabulary import Vocabulary

_IDS = ("id", "image_id", "category_id")


def coco_tables(path: str | Path, tables: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A JSON object that has these tables, and in each of their rows these fields; ids are texts or whole numbers, an ``id`` once.

    Raises ``ValueError`` with every fault.
    """
    text, faults = decode(path)
    try:
        data = {} if faults else parse(text)
    except json.JSONDecodeError as error:
        faults.at(f"line {error.lineno}").fail(json_fault(error))
    except (ValueError, RecursionError) as error:
        faults.fail(json_fault(error))
    for table, fields in () if faults else tables.items():
        rows = data.get(table) if isinstance(data, dict) else None
        if not isinstance(rows, list):
            there = f" (its tables: {', '.join(list(data)[:10])})" if isinstance(data, dict) and data else ""
            faults.add(f"the table `{table}` is missing{there}; give COCO's annotation file")
            continue
        seen = set[str]()
        for number, row in enumerate(rows, start=1):
            at = faults.at(f"`{table}`, row {number}")
            for name in fields:
                if not isinstance(row, dict) or name not in row:
                    at.add(f"no {name}; give it")
                elif name in _IDS and not _is_id(row[name]):
                    at.add(f"{name} is {shown(row[name])}; give a whole number or a text", "id")
                elif name == "id" and str(row[name]) in seen:
                    at.add(f"id {row[name]} occurs a second time", "id twice")
                elif name == "id":
                    seen.add(str(row[name]))
    return faults.sound(data)


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and bool(str(value).strip())


def check_category(name: object, vocabulary: Vocabulary, faults: Faults) -> None:
    """A fault more if the vocabulary has no category of that name."""
    if not isinstance(name, str):
        faults.add(f"{name!r} is no category; give its name")
    elif vocabulary.words.get(name) != name:
        hint = f"; say {vocabulary.words[name]!r}" if name in vocabulary.words else ""
        faults.add(f"{name!r} is no category of the vocabulary{hint}")
