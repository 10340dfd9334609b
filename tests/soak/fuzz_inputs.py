"""What a reader is, and the files that hypothesis makes for it: broken ones, and ones with a planted fault."""

# ruff: noqa: E501 - tables of cases

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# what must stand at a place; EITHER: a list of words in one row, yes or no in the next
TEXT, ROW, LIST, KEY, WORD, NUMBER, MONEY, EITHER = "text", "row", "list", "key", "word", "number", "money", "either"
NAN = float("nan")
ODD: list[Any] = [
    None, True, 0, -1, 1e999, NAN, 10**400, 1.5, "", " ", "<image>", "\ud800", "\0", "a" * 70_000, "..", "/etc/passwd", "scene:test/x/1",
    "é雪", [], {}, [None], [[]], {"a": None}, ["<image>"], [{"from": "human", "value": 3}], "2026-13-99", "<image>\n<image>\n?",
]  # fmt: skip
WRONG = {
    TEXT: [None, True, 0, 1.5, [], {}, "", " "],
    KEY: [None, True, 1.5, "", " ", [], {}],
    LIST: [None, True, 0, "", "a", {}, [None], [3]],
    ROW: [None, True, 0, "a", [], [{}]],
    WORD: [None, True, 0, 1.5, [], {}],
    NUMBER: [None, True, "", "a", [], {}, NAN, -1],
    MONEY: [None, True, "", [], {}, -1, NAN],
    EITHER: [None, True, 0, 1.5, {}, "a", [None]],
}
Path_ = tuple[Any, ...]


class Told(ValueError):
    """What a reader has said in words where it raises nothing itself."""


@dataclass(frozen=True)
class Reader:
    """``read``: in full; ``rows``: sound content, each row by itself; ``needed``: place in a row -> what must stand there;
    ``form``: "list", "lines" or "object"; ``torn``: a last line that is cut is passed over, as is meant;
    ``lenient``: takes whatever a server sends, so that nothing can be planted; ``unique``: no row may stand there twice;
    ``slow``: a whole command, which gets a sixth of the inputs."""

    name: str
    read: Callable[[Path], object]
    rows: list[Any]
    needed: dict[Path_, str]
    form: str = "lines"
    torn: bool = False
    lenient: bool = False
    unique: bool = False
    slow: bool = False

    def write(self, rows: Any) -> bytes:
        if self.form == "lines":
            return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        return json.dumps(rows if self.form == "list" else rows[0]).encode()


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield from places(held, (*at, key))


def changed(value: Any, at: Path_, make: Callable[[Any], Any]) -> Any:
    """A copy of the value with what ``make`` makes of what stands at a place; ``...`` takes it out."""
    if not at:
        return make(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    held = changed(copy[at[0]], at[1:], make)
    if held is ...:
        del copy[at[0]]
    else:
        copy[at[0]] = held
    return copy


ANY = st.one_of(st.sampled_from(ODD), st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6))  # fmt: skip
CUTS = [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"]" * 9, b"[" * 5000, b"{", b'"', b"\\u", b'{"a":1,"a":2}', b"NaN", b"*a &a !!x",
        b"\xed\xa0\x80", b"- :", b"9" * 5000]  # fmt: skip


@st.composite
def broken(draw: st.DrawFn, reader: Reader) -> bytes:
    """A file of the reader's form, with changes in its values or its bytes."""
    rows = reader.rows
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.sampled_from(list(places(rows))[1:] or [()]))
        rows = changed(rows, at, lambda _: draw(st.one_of(ANY, st.just(...)))) or [None]
    data = reader.write(rows)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.integers(0, 2))
        part = draw(st.sampled_from(CUTS) | st.binary(max_size=4)) if how else b""
        data = data[:at] + part + data[at + (how == 2) * len(part) :] if how else data[:at]
    return data


@st.composite
def planted(draw: st.DrawFn, reader: Reader) -> bytes:
    """A file with one fault that the reader must refuse."""
    how = draw(st.integers(0, 4 if reader.needed else 3) | (st.just(5) if reader.unique else st.nothing()))
    row, data = draw(st.integers(0, len(reader.rows) - 1)), reader.write(reader.rows)
    if how == 0:
        return data + b"\n}{"
    if how == 1 and not reader.torn:
        begin = data.rfind(b"{", 0, len(data) - 4) + 1 if reader.form == "lines" else 1
        return data[: draw(st.integers(max(begin, len(data) - 40), len(data) - 3))]
    if how == 2:
        at = data.index(b'": ') if reader.form != "object" else 0
        return data[:at] + b"\xff" + data[at:] if at else b"\xff" + data
    if how == 3:
        key = data[data.index(b'{"') + 1 : data.index(b'": ') + 1]
        return data.replace(b'{"', b"{" + key + b': 1, "', 1)
    if how == 5:
        return reader.write([*reader.rows, reader.rows[row]])
    place, kind = draw(st.sampled_from(sorted(reader.needed.items(), key=str)))
    wrong = draw(st.sampled_from(WRONG[kind]))
    return reader.write(changed(reader.rows, (row % len(reader.rows), *place), lambda _: wrong))
