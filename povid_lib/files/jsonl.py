"""Rows of JSON files: each with the line where it stands, and every fault of a file in one error.

A reader takes rows and faults from here, adds what it finds at fault itself, and gives both to ``sound``. Ids are strings in
memory, whether a file writes 42 or "42".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

EMPTY = "the file holds nothing; give one that has rows"
_SHOWN = 100  # faults that an error spells out
_DECODER = json.JSONDecoder()
T = TypeVar("T")
Row = tuple[str, Any]  # where it stands ("line 3"), and what stands there


def check_file(path: str | Path) -> None:
    """Raises ``ValueError`` if there is nothing to read under that name, or a folder."""
    if not Path(path).exists():
        raise ValueError(f"{path} is not there; give the name of a file that is.")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it.")


def check_place(path: str | Path) -> None:
    """Raises ``ValueError`` if no file of that name can be written, because it is a folder, or in none."""
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it.")
    if not Path(path).parent.is_dir():
        raise ValueError(f"{path} cannot be written, as {Path(path).parent} is no folder; make it first.")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file beside ``path``, which takes its place once it is whole, and goes if it never is. Raises as ``check_place`` does."""
    check_place(path)
    part = Path(f"{path}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def decode(path: str | Path) -> tuple[str, list[str]]:
    """The file's text, and a fault for every line that is not UTF-8 (those lines come back empty).

    Raises ``ValueError`` if there is no such file.
    """
    check_file(path)
    data = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "", ["the file is UTF-16; save it as UTF-8"]
    faults: list[str] = []
    lines = [decode_line(line, number, faults) for number, line in enumerate(data.split(b"\n"), start=1)]
    return "\n".join(lines), faults


def decode_line(line: bytes, number: int, faults: list[str]) -> str:
    """The line's text; "" with a fault if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} ({line[error.start]:#04x})"
        faults.append(f"line {number}: {where} is not UTF-8; save the file as UTF-8")
        return ""


def read_rows(path: str | Path) -> tuple[list[Row], list[str]]:
    """The rows of JSON lines, or the items of one JSON list, and the faults so far."""
    text, faults = decode(path)
    if text.lstrip().startswith("["):
        return ([], faults) if faults else (_members(path, text, "[", "a list"), faults)
    lines = enumerate(text.split("\n"), start=1)
    return [row for number, line in lines for row in parse_line(line, number, faults)], faults


def parse_line(line: str, number: int, faults: list[str]) -> list[Row]:
    """The row that a line of JSON lines holds; none for a blank line, and none with a fault if it is no JSON."""
    try:
        return [(f"line {number}", json.loads(line))] if line.strip() else []
    except (ValueError, RecursionError) as error:
        faults.append(json_fault(error, number))
        return []


def stream(path: str | Path) -> Iterator[tuple[str, Any, list[str]]]:
    """The lines of JSON lines that are not blank, one at a time: where each stands, what it holds, and the faults that kept it from
    being read. Raises ``ValueError`` if there is no such file."""
    check_file(path)
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            faults: list[str] = []
            text = decode_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, number, faults)
            row = parse_line(text, number, faults)
            if faults and not line.endswith(b"\n"):
                torn = f"torn after {len(line)} bytes by what ended its writing"
                faults = [f"line {number}: {torn}; take it off, as `mend` does with a file of pairs"]
            if row or faults:
                yield f"line {number}", row[0][1] if row else None, faults


def json_fault(error: ValueError | RecursionError, line: int) -> str:
    """The fault that an error of ``json`` tells: its grammar, nesting too deep, or a number of too many digits."""
    told = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return f"line {line}: no JSON ({told}); mend it there"


def read_texts(
    path: str | Path, key: str, fields: tuple[str, ...], known: Collection[str] | None = None, stranger: str = ""
) -> dict[str, str]:
    """Id -> text, each row's under the first of ``fields`` that it has. ``stranger``: the fault of an id that ``known`` lacks, with
    ``{id}`` and ``{count}``, the number of known ones.

    Raises ``ValueError`` with every fault and its line.
    """
    rows, faults = read_rows(path)
    texts: dict[str, str] = {}
    seen: dict[str, str] = {}
    for where, row in rows:
        name = id_of(row, key, where, faults)
        text = text_of(row, fields, where, faults)
        if name is None or repeated(key, name, where, seen, faults):
            continue
        if known is not None and name not in known:
            faults.append(f"{where}: {stranger.format(id=name, count=len(known))}")
        texts[name] = text
    return sound(path, texts, faults)


def read_members(path: str | Path, what: str) -> tuple[list[Row], list[str]]:
    """The members of one JSON object, each a pair (key, value), and the faults so far. ``what``: the object's name in a fault."""
    text, faults = decode(path)
    return ([] if faults or not text.strip() else _members(path, text, "{", what)), faults


def _members(path: str | Path, text: str, opening: str, what: str) -> list[Row]:
    """The items of the JSON list, or (key, value) pairs of the JSON object, that the text is; each with its line."""
    members: list[Row] = []
    at = _skip(text, 0)
    if text[at : at + 1] != opening:
        fail(path, [f"line {text.count(chr(10), 0, at) + 1}: {what} must begin with {opening}"])
    closing, line, at = {"[": "]", "{": "}"}[opening], 1, _skip(text, at + 1)
    counted = 0
    try:
        while text[at : at + 1] != closing or members:
            line, counted = line + text.count("\n", counted, at), at
            value, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            if opening == "{":
                if not isinstance(value, str) or text[at : at + 1] != ":":
                    raise json.JSONDecodeError("Expecting a key and ':'", text, at)
                inner, at = _DECODER.raw_decode(text, _skip(text, at + 1))
                value, at = (value, inner), _skip(text, at)
            members.append((f"line {line}, entry {len(members) + 1}", value))
            if text[at : at + 1] == closing:
                break
            if text[at : at + 1] != ",":
                raise json.JSONDecodeError("Expecting ','", text, at)
            at = _skip(text, at + 1)
        if _skip(text, at + 1) != len(text):
            raise json.JSONDecodeError("Extra data", text, at + 1)
    except json.JSONDecodeError as error:
        fail(path, [json_fault(error, error.lineno)])
    except (ValueError, RecursionError) as error:
        fail(path, [json_fault(error, line)])
    return members


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def id_of(row: Any, key: str, where: str, faults: list[str]) -> str | None:
    """The row's id under the key; None, and a fault more, if there is none."""
    value = row.get(key) if isinstance(row, dict) else None
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    faults.append(
        f"{where}: no {key}; give the row one"
        if value in (None, "")
        else f"{where}: {key} is {value!r}, neither number nor name; give it one of them"
    )
    return None


def text_of(row: Any, keys: tuple[str, ...], where: str, faults: list[str]) -> str:
    """The row's text under the first of the keys that it has; "" is a text. "", and a fault more, if there is none."""
    for key in keys if isinstance(row, dict) else ():
        if isinstance(row.get(key), str):
            return str(row[key])
    faults.append(f"{where}: no {' or '.join(keys)}; give it as text")
    return ""


def words_of(value: Any) -> tuple[str, ...] | None:
    """The value as words; None if it is no list of strings."""
    return tuple(value) if isinstance(value, list) and all(isinstance(word, str) for word in value) else None


def repeated(key: str, value: str, where: str, seen: dict[str, str], faults: list[str]) -> bool:
    """Whether an id stood in an earlier row, and then a fault more. ``seen``: id -> where, to which a new one is added."""
    if value in seen:
        faults.append(f"{where}: {key} {value} already stands in {seen[value]}; take one out, or change it")
        return True
    seen[value] = where
    return False


def sound(path: str | Path, result: T, faults: list[str]) -> T:
    """The result if it holds anything and nothing is at fault, else ``fail``."""
    if not faults and not result:
        faults = [EMPTY]
    if faults:
        fail(path, faults)
    return result


def fail(path: str | Path, faults: list[str]) -> NoReturn:
    """Raise the ``ValueError`` that names the file, counts its faults and spells them out, one a line."""
    more = f"\n  ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise ValueError(f"{path}: {count}\n  " + "\n  ".join(faults[:_SHOWN]) + more)
