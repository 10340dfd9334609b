"""The journal of what was asked of a server: what was reserved, answered and paid, one JSON line each, on the disk before all else.

The journal is only ever appended to, and it is the only record: what is made of the answers is worked out from it. The events:

- ``reserved``: a request is about to be sent, and may cost so many dollars with all its tries.
- ``batch``: requests stand in a batch file, and may cost so many dollars each; they are not sent in any other way.
- ``answer``: the server's answer as it came, good or bad, and what it cost. Its key is never sent again.
- ``failed``: no answer after all tries, and why. Its key is sent again only if that is asked for.
- ``withdrawn``: the request ended unanswered through no fault of its own. Its key is still to be asked.

A request that was under way when its process was killed leaves a reservation without an end. The server may have answered and
charged for it, so the reservation counts as spent, and the key is asked again: that answer is lost, and may be paid twice.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from povid_lib.files import journal
from povid_lib.remote.reading import is_completion
from povid_lib.remote.server import Server

Event = dict[str, Any]
_ENDED = {"key": str, "dollars": float, "text": str, "time": str, "model": str, "prompt": str}
_FIELDS: dict[str, dict[str, type]] = {
    "reserved": {"key": str, "dollars": float},
    "batch": {"requests": dict},
    "answer": _ENDED,
    "failed": _ENDED,
    "withdrawn": _ENDED,
}
_FORM = journal.Form("event", b'{"event": ', lambda row: isinstance(row, dict) and row.get("event") in _FIELDS)


@dataclass
class Ledger:
    """What a journal says. ``in_batch``: key -> dollars reserved, of requests in batch files that are not read back yet;
    ``waiting``: the same of requests that were sent and have no end; ``settled``: dollars of those that have one; ``excess``: the
    most that an answer has cost, as a multiple of what was held possible, at least 1."""

    answers: dict[str, Event] = field(default_factory=dict)
    failures: dict[str, Event] = field(default_factory=dict)
    in_batch: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    settled: float = 0.0
    excess: float = 1.0

    @property
    def spent(self) -> float:
        """Dollars at most, with those of reservations that were never settled."""
        return self.settled + sum(self.waiting.values())

    @property
    def committed(self) -> float:
        """Dollars that are spent or may yet be."""
        return self.spent + sum(self.in_batch.values())

    def take(self, event: Event) -> None:
        """Add an event."""
        name = event["event"]
        for key, dollars in (event["requests"] if name == "batch" else {event["key"]: event["dollars"]}).items():
            if name in ("reserved", "batch"):
                self.settled += self.waiting.pop(key, 0.0)  # an earlier reservation of this key was never settled
                self.failures.pop(key, None)
                (self.waiting if name == "reserved" else self.in_batch)[key] = dollars
                continue
            self.waiting.pop(key, None)
            self.in_batch.pop(key, None)
            self.settled += dollars
            self.excess = max(self.excess, event.get("excess", 1.0))
            if name != "withdrawn":
                answered = name == "answer" and is_completion(event["text"])
                (self.answers if answered else self.failures)[key] = event


def read_journal(path: str | Path) -> Ledger:
    """Read a journal; one that does not exist is empty. A last line that a kill cut short is passed over.

    Raises ``ValueError`` that names file and line for any other line that is no event, and for a folder.
    """
    ledger = Ledger()
    for where, row in journal.read(path, _FORM):
        if fault := _fault(row):
            raise ValueError(f"{path}, {where}: {fault}.")
        ledger.take(row)
    return ledger


def _fault(row: Any) -> str:
    fields = _FIELDS.get(str(row.get("event"))) if isinstance(row, dict) else None
    if fields is None:
        return "no event of a journal of answers; give the file that was written as one"
    for name, kind in fields.items():
        value = row.get(name)
        if kind is dict:
            sound = isinstance(value, dict) and all(map(_is_money, value.values()))
        else:
            sound = isinstance(value, str) if kind is str else _is_money(value)
        if not sound:
            return f"{name} is {shown(value)}; mend the line, or bring the journal back from a copy"
    excess = row.get("excess", 1.0)
    return (
        "" if _is_money(excess) else f"excess is {shown(excess)}; mend the line, or bring the journal back from a copy"
    )


def _is_money(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


@contextmanager
def open_journal(path: str | Path) -> Iterator[tuple[Ledger, Callable[..., None]]]:
    """The ledger, and a function that appends events and returns once they are on the disk and in the ledger; safe to call from
    threads.

    Makes the file if there is none, and removes a torn last line. Raises ``ValueError`` as ``read_journal`` does, and if another
    run has the journal open, as two runs would pay for the same rows.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with journal.appending(path, _FORM, alone=True, durable=True) as append:
        ledger, lock = read_journal(path), threading.Lock()

        def write(*events: Event) -> None:
            with lock:
                append(*events)
                for event in events:
                    ledger.take(event)

        yield ledger, write


def new_event(server: Server, version: str, name: str, **fields: Any) -> Event:
    """One event, with model, version of the prompt, and the time: ISO 8601, UTC."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"event": name, "time": now, "model": server.model, "prompt": version} | fields
