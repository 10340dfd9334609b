"""The rewriter's journal: what was reserved, answered and paid, one JSON line each, on the disk before all else.

The journal is only ever appended to, and it is the only record: pairs and rejects are worked out from it. The events:

- ``reserved``: a request is about to be sent, and may cost so many dollars with all its tries.
- ``batch``: requests stand in a batch file, and may cost so many dollars each; they are not sent in any other way.
- ``answer``: the server's answer as it came, good or bad, and what it cost. Its key is never sent again.
- ``failed``: no answer after all tries, and why. Its key is sent again only if that is asked for.
- ``withdrawn``: the request ended unanswered through no fault of its own. Its key is still to be asked.

A request that was under way when its process was killed leaves a reservation without an end. The server may have answered and
charged for it, so the reservation counts as spent, and the key is asked again: that answer is lost, and may be paid twice.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from povid_lib.data.pairs import Pair, Provenance
from povid_lib.data.rewrite.prompts import PROMPT_VERSION, read_reply, verify
from povid_lib.data.rewrite.request import RewriterConfig, Row
from povid_lib.files.jsonl import check_file, check_place

Event = dict[str, Any]
_ENDED = {"key": str, "dollars": float, "text": str, "time": str, "model": str, "prompt": str}
_FIELDS: dict[str, dict[str, type]] = {
    "reserved": {"key": str, "dollars": float},
    "batch": {"requests": dict},
    "answer": _ENDED,
    "failed": _ENDED,
    "withdrawn": _ENDED,
}


@dataclass
class Ledger:
    """What a journal says. ``spent``: dollars at most, with those of reservations that were never settled; ``in_batch``: key ->
    dollars reserved, of requests in batch files that are not read back yet."""

    answers: dict[str, Event] = field(default_factory=dict)
    failures: dict[str, Event] = field(default_factory=dict)
    in_batch: dict[str, float] = field(default_factory=dict)
    spent: float = 0.0

    @property
    def committed(self) -> float:
        """Dollars that are spent or may yet be."""
        return self.spent + sum(self.in_batch.values())


def read_journal(path: str | Path) -> Ledger:
    """Read a journal; one that does not exist is empty. A last line that a kill cut short is passed over.

    Raises ``ValueError`` that names file and line for any other line that is no event, and for a folder.
    """
    ledger, waiting = Ledger(), dict[str, float]()
    data = _read(path)
    for number, line in enumerate(data[: _whole(path, data)].split(b"\n"), start=1):
        if not line:
            continue
        found = _read_event(line, f"{path}, line {number}")
        requests = found["requests"] if found["event"] == "batch" else {found["key"]: found["dollars"]}
        for key, dollars in requests.items():
            if found["event"] in ("reserved", "batch"):
                ledger.spent += waiting.pop(key, 0.0)  # an earlier reservation of this key was never settled
                ledger.failures.pop(key, None)
                (waiting if found["event"] == "reserved" else ledger.in_batch)[key] = dollars
                continue
            waiting.pop(key, None)
            ledger.in_batch.pop(key, None)
            ledger.spent += dollars
            if found["event"] != "withdrawn":
                (ledger.answers if found["event"] == "answer" else ledger.failures)[key] = found
    ledger.spent += sum(waiting.values())
    return ledger


def _read(path: str | Path) -> bytes:
    """What a file holds: nothing, if there is none yet."""
    if not Path(path).exists():
        return b""
    check_file(path)
    return Path(path).read_bytes()


def _whole(path: str | Path, data: bytes) -> int:
    """The length of a journal's bytes without a last line that was cut short. Raises ``ValueError`` if that line is not ours."""
    end = data.rfind(b"\n") + 1
    torn, ours = data[end:], b'{"event": '
    if not torn.startswith(ours[: len(torn)]):
        raise ValueError(f"{path}: the last line is no event of the rewriter's journal; give the file that it wrote.")
    try:
        json.loads(torn)  # an object that is cut short is no JSON; a whole one may lack its line end
    except ValueError:
        return end
    return len(data)


def _read_event(line: bytes, where: str) -> Event:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: not JSON ({error}); mend the line, or bring the journal back from a copy."
        ) from error
    fields = _FIELDS.get(str(found.get("event"))) if isinstance(found, dict) else None
    if fields is None:
        raise ValueError(f"{where}: no event of the rewriter's journal; give the file that the rewriter wrote.")
    for name, kind in fields.items():
        value = found.get(name)
        if kind is dict:
            sound = isinstance(value, dict) and all(map(_is_money, value.values()))
        else:
            sound = isinstance(value, str) if kind is str else _is_money(value)
        if not sound:
            raise ValueError(f"{where}: {name} is {value!r}; mend the line, or bring the journal back from a copy.")
    return found


def _is_money(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


@contextmanager
def open_journal(path: str | Path) -> Iterator[tuple[Ledger, Callable[..., None]]]:
    """The ledger so far, and a function that appends events and returns once they are on the disk; safe to call from threads.

    Makes the file if there is none, and removes a torn last line. Raises ``ValueError`` as ``read_journal`` does, and if another
    run has the journal open, as two runs would pay for the same rows.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_place(path)
    with path.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system, however the process ends
        except BlockingIOError as error:
            raise ValueError(f"{path} is in use by another run; wait for it, or give another journal.") from error
        ledger, lock = read_journal(path), threading.Lock()
        data = path.read_bytes()
        whole = data[: _whole(path, data)]
        file.truncate(len(whole))
        if whole and not whole.endswith(b"\n"):
            file.write(b"\n")

        def write(*events: Event) -> None:
            data = "".join(f"{json.dumps(event)}\n" for event in events).encode()
            with lock:
                end = os.fstat(file.fileno()).st_size
                try:
                    while data:
                        data = data[file.write(data) :]
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), end)  # a full disk must not leave half a line in the middle
                    raise

        yield ledger, write


def new_event(config: RewriterConfig, name: str, **fields: Any) -> Event:
    """One event, with model, version of the prompt, and the time: ISO 8601, UTC."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"event": name, "time": now, "model": config.model, "prompt": PROMPT_VERSION} | fields


def outcome(row: Row, ended: Event) -> Pair | str:
    """The pair that an ``answer`` makes, or why a row has none."""
    if ended["event"] == "failed":
        return f"no answer: {ended['text']}"
    try:
        answer, changes = read_reply(ended["text"], row.kinds)
    except ValueError as error:
        return str(error)
    if faults := verify(row.truth, answer, changes):
        return f"failed verification: {'; '.join(faults)}"
    provenance = Provenance(ended["model"], ended["prompt"], ended["time"], ended["dollars"])
    truth = row.truth
    try:
        return Pair(truth.id, truth.image, truth.prompt, truth.answer, answer, changes, provenance)
    except ValueError as error:  # an answer may hold what no pair can
        return f"no pair: {error}"


# --- the rejects file --------------------------------------------------------------------------------------------


def reject(row: Row, ended: Event, reason: str) -> str:
    """A line of the rejects file. ``raw``: the server's whole answer, or the last error."""
    line = {"id": row.truth.id, "reason": reason, "raw": ended["text"]}
    return json.dumps(line | {name: ended[name] for name in ("key", "model", "prompt", "time", "dollars")}) + "\n"


def renew_rejects(path: str | Path, rows: Sequence[Row], lines: Sequence[str]) -> None:
    """Put the lines of these rows in place of those that the file has of them. Lines of other rows stay.

    The file is replaced in one step, so that a kill leaves the old or the new one.
    """
    ids = {row.truth.id for row in rows}
    kept = [line for of, line in read_rejects(path) if of not in ids]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.writelines([*kept, *lines])
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def append_reject(path: str | Path, line: str) -> None:
    """Append a line. A kill that cuts it short loses nothing: the journal has the answer, and the next run renews the file."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_rejects(path: str | Path) -> list[tuple[str, str]]:
    """(id, line) of a rejects file, without a torn last line. Raises ``ValueError`` for a file that is none."""
    try:
        text = _read(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no rejects file ({error}); give the file that the rewriter wrote.") from error
    found = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            row = json.loads(line)
            found.append((row["id"], f"{line}\n"))
            sound = {"reason", "raw"} <= set(row)
        except (ValueError, LookupError, TypeError):
            sound = False
        if not sound:
            raise ValueError(
                f"{path}, line {number}: no line of a rejects file; give the file that the rewriter wrote."
            )
    if text and not text.startswith('{"id": '[: len(text)]):  # a file without one line end
        raise ValueError(f"{path} is no rejects file; give the file that the rewriter wrote.")
    return found
