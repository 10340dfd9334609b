"""Rows of JSON files: each with the line where it stands, and every fault of a file in one error.

A reader takes rows and faults from here, adds what it finds at fault itself, and gives both to ``sound``. Ids are strings in
memory, whether a file writes 42 or "42".
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from filelock import lock_descriptor

from povid_lib.files.faults import Faults

Row = tuple[str, Any]  # where it stands ("line 3"), and what stands there


def check_file(path: str | Path) -> None:
    """Raises ``ValueError`` if there is nothing to read under that name, or a folder, or what may never end: a pipe, a device."""
    if not Path(path).exists():
        raise ValueError(f"{path} is not there; give the name of a file that is.")
    _check_kind(path)


def digest(*paths: str | Path) -> str:
    """Twelve hexadecimal digits that change with what the files hold, or their order, and not with their names."""
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]


def check_place(path: str | Path) -> None:
    """Raises ``ValueError`` if no file of that name can be written, because it is a folder, a pipe or a device, or in no folder."""
    if Path(path).exists():
        _check_kind(path)
    if not Path(path).parent.is_dir():
        raise ValueError(f"{path} cannot be written, as {Path(path).parent} is no folder; make it first.")


def _check_kind(path: str | Path) -> None:
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it.")
    if not Path(path).is_file():
        raise ValueError(f"{path} is a pipe or a device; give the name of a file.")


def part_of(path: str | Path) -> Path:
    """Where ``replacing`` lets a file or folder be made."""
    return Path(f"{path}.part")


@contextmanager
def replacing(path: str | Path, folder: bool = False) -> Iterator[Path]:
    """An empty file (``folder``: a folder) beside ``path``, which takes its place once it is whole, and goes if it never is. What a
    killed run has left of it goes first; one that is being made by another process is waited for.

    Raises ``ValueError`` as ``check_place`` does, for a folder too if one of that name is there already.
    """
    check_place(path)
    part = part_of(path)
    held = _hold(part, folder)
    try:
        yield part
        for made in (part, *part.rglob("*")) if folder else (part,):
            _to_disk(made)
        part.replace(path)
        _to_disk(part.parent)
    finally:
        _remove(part)
        os.close(held)


def _hold(part: Path, folder: bool) -> int:
    """Make the part, or empty the one that is there, once no other process holds it; the open descriptor that holds it."""
    while True:
        if part.is_dir() != folder:
            _remove(part)
        if folder:
            part.mkdir(exist_ok=True)
        held = os.open(part, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT, 0o666)
        lock_descriptor(held)
        if part.exists() and os.path.samestat(os.fstat(held), part.stat()):
            break
        os.close(held)  # the other one has put it in its place, or taken it away
    if folder:
        for left in part.iterdir():
            _remove(left)
    else:
        os.ftruncate(held, 0)
    return held


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def decode(path: str | Path) -> tuple[str, Faults]:
    """The file's text, and a fault for every line that is not UTF-8 (those lines come back empty).

    Raises ``ValueError`` if there is no such file.
    """
    check_file(path)
    faults, data = Faults(path), Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        faults.add("the file is UTF-16; save it as UTF-8")
        return "", faults
    return "\n".join(decode_line(line, faults.at(f"line {n}")) for n, line in enumerate(data.split(b"\n"), 1)), faults


def decode_line(line: bytes, faults: Faults) -> str:
    """The line's text; "" with a fault if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        faults.add(
            f"byte {error.start + 1} ({line[error.start]:#04x}) is not UTF-8; save the file as UTF-8", "encoding"
        )
        return ""


def parse(text: str) -> Any:
    """The JSON value that a text is. Raises ``ValueError`` for what is none and for a key that stands twice in one object, of which
    Python's own would keep the last without a word; ``RecursionError`` if it is nested too deep."""
    return _DECODER.decode(text)


def parse_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at a place, and where it ends. Raises as ``parse`` does."""
    return _DECODER.raw_decode(text, at)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        twice = Counter(key for key, _ in members).most_common(1)[0][0]
        raise ValueError(f"key {shown(twice)} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def read_record(path: str | Path, remedy: str) -> dict[str, Any]:
    """The object of a file that the library has written. Raises ``ValueError`` with the remedy if it is not there, or damaged."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged (it holds {shown(found)}, no object); {remedy}.")
    return found


def read_rows(path: str | Path) -> tuple[list[Row], Faults]:
    """The rows of JSON lines, or the items of one JSON list, and the faults so far."""
    text, faults = decode(path)
    if text.lstrip().startswith("["):
        return ([] if faults else _members(faults, text, "[", "a list")), faults
    lines = enumerate(text.split("\n"), start=1)
    return [row for number, line in lines for row in parse_line(line, number, faults)], faults


def parse_line(line: str, number: int, faults: Faults) -> list[Row]:
    """The row that a line of JSON lines holds; none for a blank line, and none with a fault if it is no JSON."""
    try:
        return [(f"line {number}", parse(line))] if line.strip() else []
    except (ValueError, RecursionError) as error:
        faults.at(f"line {number}").add(json_fault(error), "JSON")
        return []


def stream(path: str | Path) -> Iterator[tuple[str, Any, Faults]]:
    """The lines of JSON lines that are not blank, one at a time: where each stands, what it holds, and the faults that kept it from
    being read. Raises ``ValueError`` if there is no such file."""
    check_file(path)
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            where, faults = f"line {number}", Faults(path)
            text = decode_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, faults.at(where))
            row = parse_line(text, number, faults)
            if faults and not line.endswith(b"\n"):
                faults = Faults(path)
                torn = f"torn after {len(line)} bytes by what ended its writing"
                faults.at(where).add(f"{torn}; take it off, as `mend` does with a file of pairs")
            if row or faults:
                yield where, row[0][1] if row else None, faults


def json_fault(error: ValueError | RecursionError) -> str:
    """The fault that an error of ``parse`` tells: its grammar, nesting too deep, or a number of too many digits."""
    told = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return f"no JSON ({told}); mend it there"


def read_texts(
    path: str | Path, key: str, fields: tuple[str, ...], known: Collection[str] | None = None, stranger: str = ""
) -> dict[str, str]:
    """Id -> text, each row's under the first of ``fields`` that it has. ``stranger``: the fault of an id that ``known`` lacks, with
    ``{id}`` and ``{count}``, the number of known ones.

    Raises ``ValueError`` with every fault and its line.
    """
    rows, faults = read_rows(path)
    texts: dict[str, str] = {}
    for where, row in rows:
        at = faults.at(where)
        name, text = at.id_of(row, key), at.text_of(row, fields)
        if name is None or at.repeated(key, name):
            continue
        if known is not None and name not in known:
            at.add(stranger.format(id=name, count=len(known)), stranger)
        texts[name] = text
    return faults.sound(texts)


def read_members(path: str | Path, what: str) -> tuple[list[Row], Faults]:
    """The members of one JSON object, each a pair (key, value), and the faults so far. ``what``: the object's name in a fault."""
    text, faults = decode(path)
    return ([] if faults or not text.strip() else _members(faults, text, "{", what)), faults


def _members(faults: Faults, text: str, opening: str, what: str) -> list[Row]:
    """The items of the JSON list, or (key, value) pairs of the JSON object, that the text is; each with its line."""
    members: list[Row] = []
    at = _skip(text, 0)
    if text[at : at + 1] != opening:
        faults.at(f"line {text.count(chr(10), 0, at) + 1}").fail(f"{what} must begin with {opening}")
    closing, line, at = {"[": "]", "{": "}"}[opening], 1, _skip(text, at + 1)
    counted = 0
    try:
        while text[at : at + 1] != closing or members:
            line, counted = line + text.count("\n", counted, at), at
            value, at = parse_at(text, at)
            at = _skip(text, at)
            if opening == "{":
                if not isinstance(value, str) or text[at : at + 1] != ":":
                    raise json.JSONDecodeError("Expecting a key and ':'", text, at)
                inner, at = parse_at(text, _skip(text, at + 1))
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
        faults.at(f"line {error.lineno}").fail(json_fault(error))
    except (ValueError, RecursionError) as error:
        faults.at(f"line {line}").fail(json_fault(error))
    return members


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def words_of(value: Any) -> tuple[str, ...] | None:
    """The value as words; None if it is no list of strings."""
    return tuple(value) if isinstance(value, list) and all(isinstance(word, str) for word in value) else None
