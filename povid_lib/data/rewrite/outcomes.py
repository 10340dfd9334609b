"""What an answer comes to: a pair, or a line of the rejects file with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from povid_lib.data.pairs import Pair, Provenance
from povid_lib.data.rewrite.prompts import read_reply, verify
from povid_lib.data.rewrite.request import Row
from povid_lib.files import journal
from povid_lib.files.jsonl import replacing
from povid_lib.remote.ledger import Event

_FIELDS = ("id", "reason", "raw")
_FORM = journal.Form("reject", b'{"id": ', lambda row: isinstance(row, dict) and row.keys() >= set(_FIELDS))


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


def reject(row: Row, ended: Event, reason: str) -> dict[str, Any]:
    """A row of the rejects file. ``raw``: the server's whole answer, or the last error."""
    line = {"id": row.truth.id, "reason": reason, "raw": ended["text"]}
    return line | {name: ended[name] for name in ("key", "model", "prompt", "time", "dollars")}


def renew_rejects(path: str | Path, rows: Sequence[Row], lines: Sequence[dict[str, Any]]) -> None:
    """Put the lines of these rows in place of those that the file has of them. Lines of other rows stay.

    The file is replaced in one step, so that a kill leaves the old or the new one.
    """
    ids = {row.truth.id for row in rows}
    kept = [line for line in read_rejects(path) if line["id"] not in ids]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(b"".join(journal.line(line, _FORM) for line in (*kept, *lines)))


def append_reject(path: str | Path, line: dict[str, Any]) -> None:
    """Append a line. A kill that cuts it short loses nothing: the journal has the answer, and the next run renews the file."""
    with journal.appending(path, _FORM, durable=True) as append:
        append(line)


def read_rejects(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a rejects file, without a torn last one. Raises ``ValueError`` for a file that is none."""
    found = []
    for where, row in journal.read(path, _FORM):
        if not _FORM.ours(row):
            raise ValueError(f"{path}, {where}: no {_FORM.name}; give the file that the rewriter wrote.")
        found.append(row)
    return found
