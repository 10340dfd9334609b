"""JSON lines that are only ever appended to: whole lines or none, whoever is killed, however many write.

A line is handed to the system at once and under a lock, so that what stands unfinished at the end of a file while the lock is held
was left by a kill. That alone is taken off.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from filelock import lock_descriptor, unlock_descriptor

from povid_lib.files import jsonl
from povid_lib.files.faults import Faults, fail

_BLOCK = 65536  # bytes


@dataclass(frozen=True)
class Form:
    """What a file holds. ``name``: of one row, in faults; ``start``: the first bytes of every line that is written here; ``ours``:
    whether a row is one of these; ``plain``: texts are written as they are, and not in ASCII with escapes."""

    name: str
    start: bytes
    ours: Callable[[Any], bool]
    plain: bool = False


@contextmanager
def appending(
    path: str | Path, form: Form, alone: bool = False, durable: bool = False
) -> Iterator[Callable[..., None]]:
    """A function that appends rows, each as one whole line; safe to call from threads. Makes the file if there is none.

    ``alone``: nobody else appends meanwhile. ``durable``: the function returns once the rows are on the disk. A full disk leaves no
    half line. Raises ``ValueError`` as ``mend`` does, and if the file is in use by another process and ``alone`` is wanted.
    """
    jsonl.check_place(path)
    threads = threading.Lock()
    with open(path, "a+b", buffering=0) as file:
        number = file.fileno()
        if alone and not lock_descriptor(number, blocking=False):
            raise ValueError(f"{path} is in use by another run; wait for it, or give another file.")

        def write(*rows: Any) -> None:
            data = b"".join(line(row, form) for row in rows)
            with threads:
                if not alone:
                    lock_descriptor(number, poll_interval=0.001)
                try:
                    _mend(file, path, form, look=False)
                    _append(file, data, durable)
                finally:
                    if not alone:
                        unlock_descriptor(number)

        if alone:
            _mend(file, path, form, look=True)
        yield write


def line(row: Any, form: Form) -> bytes:
    """The line that holds a row."""
    return f"{json.dumps(row, ensure_ascii=not form.plain)}\n".encode()


def mend(path: str | Path, form: Form) -> bytes:
    """Take a torn last line off a file and return it, or ``b""``. A whole row that lacks only its line end gets it.

    Raises ``ValueError``, and leaves the file as it is, if its last line is neither a row of the form nor the beginning of one.
    """
    jsonl.check_file(path)
    with open(path, "a+b", buffering=0) as file:
        lock_descriptor(file.fileno(), poll_interval=0.001)  # freed when the file is closed
        return _mend(file, path, form, look=True)


def read(path: str | Path, form: Form) -> Iterator[tuple[str, Any]]:
    """Where each row stands, and the row; none of a file that does not exist. A last line that a kill cut short is passed over.

    Raises ``ValueError`` that names file and line for any other line that is no JSON.
    """
    if not Path(path).exists():
        return
    jsonl.check_file(path)
    with open(path, "rb") as file:
        for number, text in enumerate(file, start=1):
            faults = Faults(path)
            rows = jsonl.parse_line(jsonl.decode_line(text, faults.at(f"line {number}")), number, faults)
            if faults and not text.endswith(b"\n"):
                _check_beginning(path, form, text)
                return
            if faults:
                faults.fail()
            yield from rows


def _append(file: Any, data: bytes, durable: bool) -> None:
    end = os.fstat(file.fileno()).st_size
    try:
        while data:
            data = data[file.write(data) :]
        if durable:
            os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), end)  # a full disk must not leave half a line in the middle
        raise


def _mend(file: Any, path: str | Path, form: Form, look: bool) -> bytes:
    """``mend`` under the lock. ``look``: at the last line of a file that ends as it must, too."""
    at, tail = file.seek(0, os.SEEK_END), b""
    if not at or not (look or _last_byte(file, at) != b"\n"):
        return b""
    while at and b"\n" not in tail.rstrip():  # backwards, so that a long file costs no more than a short one
        start = max(0, at - _BLOCK)
        file.seek(start)
        tail, at = file.read(at - start) + tail, start
    cut = tail.rpartition(b"\n")[2]  # what no line end follows
    last = cut or tail.rstrip().rpartition(b"\n")[2]
    try:
        row = jsonl.parse(last.decode()) if last else None
    except (ValueError, RecursionError):
        _check_beginning(path, form, cut or last + b"\n")
        os.ftruncate(file.fileno(), file.seek(0, os.SEEK_END) - len(cut))
        return cut
    if last and not form.ours(row):
        _refuse(path, form, last)
    if cut:
        file.write(b"\n")
    return b""


def _last_byte(file: Any, size: int) -> bytes:
    file.seek(size - 1)
    return file.read(1)


def _check_beginning(path: str | Path, form: Form, cut: bytes) -> None:
    if not (cut.startswith(form.start) or form.start.startswith(cut)) or cut.endswith(b"\n"):
        _refuse(path, form, cut.rstrip(b"\n"))


def _refuse(path: str | Path, form: Form, last: bytes) -> None:
    told = f"the last line, {shown(last)}, is no {form.name} and not the beginning of one"
    fail(path, f"{told}; give a file of {form.name}s, or choose a new name")
