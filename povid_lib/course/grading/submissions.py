"""The submissions of a class: which file is whose. Folders as Canvas and Moodle give them, or a file or folder a student."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from povid_lib.course.grading.submission import MOST_BYTES
from povid_lib.course.grading.wire import plain

SUFFIXES = (".ipynb", ".py")
_CANVAS = re.compile(r"^(?P<name>[^_]+)_(LATE_)?(?P<id>\d+)_\d+_.+$")  # of a file in Canvas's archive
_MOODLE = re.compile(r"^(?P<name>.+)_(?P<id>\d+)_assignsubmission_[a-z]+(_.*)?$")  # of a folder in Moodle's


@dataclass(frozen=True)
class Submission:
    """What one student handed in. ``student``: as the file or folder says; ``number``: the id that Canvas or Moodle has put into
    the name, or ""; ``fault``: why there is nothing to judge, or ""."""

    student: str
    path: Path
    number: str = ""
    fault: str = ""

    def read(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()


def find(folder: str | Path) -> list[Submission]:
    """The submissions in a folder, by student: a file each, or a folder each with one file.

    What cannot be judged comes with its fault: no file or several in a student's folder, a link, a file too large, two of one
    student. Raises ``ValueError`` if this is no folder, or there is nothing in it.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"{folder} is no folder; give the one with the submissions.")
    found = sorted(filter(None, map(_submission, place.iterdir())), key=lambda each: (each.student, each.path.name))
    if not found:
        raise ValueError(f"{folder} holds no submissions: no {' or '.join(SUFFIXES)} files, and no folders with them.")
    count = Counter(each.student for each in found)
    twice = "there are several submissions under this name; keep one of them"
    return [
        replace(each, fault=twice, student=plain(each.path.name)) if count[each.student] > 1 else each for each in found
    ]


def handed_in(folder: Path) -> Submission:
    """The one file in a student's folder, or the fault that there is none, or several."""
    name = plain(folder.name)
    known = _MOODLE.match(name)
    student, number = (known["name"], known["id"]) if known else (name, "")
    files = list(_files(folder))
    if len(files) != 1:
        names = ", ".join(sorted(plain(file.name) for file in files[:9])) or "none"
        return Submission(
            student, folder, number, f"there must be one {' or '.join(SUFFIXES)} file in the folder: {names}"
        )
    return Submission(student, files[0], number, _fault(files[0]))


def _submission(path: Path) -> Submission | None:
    if path.name.startswith((".", "__MACOSX")):
        return None
    name = plain(path.name)
    if not path.is_symlink() and path.is_dir():
        return handed_in(path)
    if path.suffix not in SUFFIXES:
        return None
    known = _CANVAS.match(name)
    return Submission(
        known["name"] if known else name.removesuffix(path.suffix), path, known["id"] if known else "", _fault(path)
    )


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.suffix in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in inside):
            yield path


def _fault(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "this is a link or no file at all"
    if not os.access(path, os.R_OK):
        return "the file cannot be read; give yourself the right to"
    size = path.stat().st_size
    return f"the file has {size:,} bytes, and {MOST_BYTES:,} are allowed" if size > MOST_BYTES else ""
