"""The faults of a file: gathered place by place, and told in one error."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from reprlib import repr as shown
from typing import Any, NoReturn, TypeVar

EMPTY = "the file holds nothing; give one that has rows"
_ALIKE, _SHOWN = 5, 100  # lines of an error: about one cause, and in all
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")  # in two faults of one cause
T = TypeVar("T")


class Faults:
    """What is wrong with a file, gathered so that one error can name it all. ``at`` gives the same faults from the point of view of
    one place, with which those that are added there begin."""

    def __init__(self, path: str | Path, where: str = "", whole: Faults | None = None) -> None:
        self.path, self.where = path, where
        self.found: list[str] = [] if whole is None else whole.found
        self._causes: list[str] = [] if whole is None else whole._causes
        self._seen: dict[tuple[str, str], str] = {} if whole is None else whole._seen

    def __len__(self) -> int:
        return len(self.found)

    def at(self, where: str) -> Faults:
        """The same faults, to which those of one place ("line 3") can be added."""
        return Faults(self.path, where, self)

    def add(self, fault: str, cause: str = "") -> None:
        """One fault more. ``cause``: what it shares with others, where their words differ by more than numbers and quotations."""
        self.found.append(f"{self.where}: {fault}" if self.where else fault)
        self._causes.append(cause or _VARYING.sub("_", fault))

    def id_of(self, row: Any, key: str) -> str | None:
        """The row's id under the key; None, and a fault more, if there is none."""
        value = row.get(key) if isinstance(row, dict) else None
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
        if value in (None, ""):
            self.add(f"no {key}{_instead(row)}; give the row one", f"no {key}")
        else:
            self.add(f"{key} is {value!r}, neither number nor name; give it one of them", f"odd {key}")
        return None

    def text_of(self, row: Any, keys: tuple[str, ...]) -> str:
        """The row's text under the first of the keys that it has; "" is a text. "", and a fault more, if there is none, or what
        stands there is no text: another key may hold the question."""
        found = next((key for key in keys if key in row), None) if isinstance(row, dict) else None
        if found is not None and isinstance(row[found], str):
            return str(row[found])
        if found is None:
            self.add(f"no {' or '.join(keys)}{_instead(row)}; give it as text", f"no {keys}")
        else:
            self.add(f"{found} is {shown(row[found])}; give it as text", f"no {keys}")
        return ""

    def name_of(self, row: Any, key: str) -> str:
        """As ``text_of`` for the name of a picture, which may not be empty."""
        name = self.text_of(row, (key,))
        if isinstance(row, dict) and isinstance(row.get(key), str) and not name.strip():
            self.add(f"{key} is {name!r}; give the picture's name", f"empty {key}")
        return name

    def repeated(self, key: str, value: str) -> bool:
        """Whether a value of the key stood at an earlier place, and then a fault more."""
        if earlier := self._seen.get((key, value)):
            self.add(f"{key} {value} already stands in {earlier}; take one out, or change it", f"{key} repeated")
            return True
        self._seen[key, value] = self.where
        return False

    def sound(self, result: T) -> T:
        """The result if it holds anything and nothing is at fault, else ``fail``."""
        if not self and not result:
            self.add(EMPTY)
        if self:
            self.fail()
        return result

    def fail(self, *faults: str) -> NoReturn:
        """Raise the ``ValueError`` that names the file, counts its faults, these too, and spells them out, one a line; of one cause
        in five lines at most."""
        for fault in faults:
            self.add(fault)
        count = "1 fault" if len(self) == 1 else f"{len(self)} faults"
        raise ValueError(f"{self.path}: {count}\n  " + "\n  ".join(self.lines()))

    def lines(self) -> list[str]:
        """The faults spelt out, of one cause in five lines at most, and a hundred in all."""
        total, met, lines = Counter(self._causes), Counter[str](), list[str]()
        for fault, cause in zip(self.found, self._causes, strict=True):
            met[cause] += 1
            if met[cause] < _ALIKE or met[cause] == total[cause] == _ALIKE:
                lines.append(fault)
            elif met[cause] == _ALIKE:
                lines.append(f"... and {total[cause] - _ALIKE + 1} more like it")
        return lines[:_SHOWN] + [f"... and {len(lines) - _SHOWN} more lines"] * (len(lines) > _SHOWN)


def fail(path: str | Path, *faults: str) -> NoReturn:
    """Raise the ``ValueError`` about a file that has these faults."""
    Faults(path).fail(*faults)


def _instead(row: Any) -> str:
    """The keys that a row has, for a fault about one that it lacks."""
    if not isinstance(row, dict):
        return f" ({shown(row)} is no object)"
    return f" (its keys: {', '.join(map(str, list(row)[:10]))})" if row else ""
