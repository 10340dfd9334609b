"""The rewriter through OpenAI's Batch API: for thousands of rows, at the provider's batch prices, within a day.

``write_batch`` writes the input files. Upload them (the client's ``files.create(purpose="batch")`` and ``collator.create``, or the
provider's web page), and give both the output file and the error file that come back to ``read_batch``. ``rewriter.rewrite`` with
the same journal then yields the pairs. Set the prices of the config to those of batches.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from povid_lib.data.rewrite.client import usage_of
from povid_lib.data.rewrite.journal import Event, Ledger, new_event, open_journal
from povid_lib.data.rewrite.request import RewriterConfig, dollars, most_dollars, prepare, request_body
from povid_lib.data.rewrite.rewriter import is_left
from povid_lib.data.true_answers import Truth
from povid_lib.files.jsonl import fail, read_rows, repeated

BATCH_ROWS, BATCH_BYTES = 50_000, 200_000_000  # OpenAI's limits for one input file


def write_batch(
    config: RewriterConfig,
    truths: Iterable[Truth],
    images: str | Path,
    folder: str | Path,
    journal: str | Path,
    file_bytes: int = BATCH_BYTES,
) -> list[Path]:
    """Write input files for all rows that are left and that the spending limit can hold, and journal what they may cost.

    From then on these rows are waited for, and ``rewrite`` does not send them. Each file has at most 50,000 requests and
    ``file_bytes`` bytes, but one request at least; a request's custom_id is its key. Upload only files that this returns, each
    once. Rows that the limit cannot hold stay left (``rewriter.dry_run``). Raises ``ValueError`` as ``rewriter.rewrite`` does, and
    for ``file_bytes`` below 1.
    """
    if file_bytes < 1:
        raise ValueError(f"write_batch: file_bytes is {file_bytes}; give a number of bytes, 1 or more.")
    folder, rows, paths = Path(folder), {row.key: row for row in prepare(config, truths, images)}, []
    with open_journal(journal) as (ledger, write):
        committed, left = ledger.committed, deque(row for row in rows.values() if is_left(row, ledger))
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / "batch.new"
        while left and committed + most_dollars(config, left[0]) <= config.spending_limit:
            size, requests = 0, dict[str, float]()
            with fresh.open("wb") as file:
                while left and len(requests) < BATCH_ROWS:
                    row, most = left[0], most_dollars(config, left[0])
                    body = request_body(config, row)
                    request = {"custom_id": row.key, "method": "POST", "url": "/v1/chat/completions", "body": body}
                    line = f"{json.dumps(request)}\n".encode()
                    if committed + most > config.spending_limit or (requests and size + len(line) > file_bytes):
                        break
                    file.write(line)
                    size, committed, requests[left.popleft().key] = size + len(line), committed + most, most
                file.flush()
                os.fsync(file.fileno())
            name = hashlib.sha256("".join(requests).encode()).hexdigest()[:16]  # the same again after a kill
            paths.append(fresh.replace(folder / f"batch-{name}.jsonl"))
            write(new_event(config, "batch", file=paths[-1].name, requests=requests))
    return paths


def read_batch(config: RewriterConfig, output: str | Path, journal: str | Path) -> int:
    """Take the answers of a batch's output or error file into the journal. Returns how many rows it settled.

    A row whose request the server could not do (status 4xx, 5xx) has failed; one that it never ran (expired, cancelled) is left
    again. What the journal has already is passed over, so that a file may be read twice. Raises ``ValueError`` with every fault of
    the file before anything is taken from it.
    """
    lines = _read_lines(output)
    with open_journal(journal) as (ledger, write):
        events = [found for key, line in lines.items() if (found := _settled(config, ledger, key, line))]
        write(*events)
    return len(events)


def drop_batch(config: RewriterConfig, batch: str | Path, journal: str | Path) -> int:
    """Give up waiting for an input file that was never uploaded, or was cancelled and its outputs read: its rows are left again,
    and their reservations free. Returns how many. Raises ``ValueError`` with every fault of the file."""
    lines = _read_lines(batch)
    with open_journal(journal) as (ledger, write):
        keys = [key for key in lines if key in ledger.in_batch]
        write(*(new_event(config, "withdrawn", key=key, dollars=0.0, text="the batch was dropped") for key in keys))
    return len(keys)


def _read_lines(path: str | Path) -> dict[str, dict[str, Any]]:
    rows, faults = read_rows(path)
    found, seen = dict[str, dict[str, Any]](), dict[str, str]()
    for where, row in rows:
        key = row.get("custom_id") if isinstance(row, dict) else None
        if not isinstance(key, str) or not re.fullmatch(r"[0-9a-f]{64}", key):
            faults.append(f"{where}: custom_id is {key!r}; give a file of `write_batch`, or what came back of one")
        elif not repeated("custom_id", key, where, seen, faults):
            found[key] = row
    if faults:
        fail(path, faults)
    return found


def _settled(config: RewriterConfig, ledger: Ledger, key: str, line: dict[str, Any]) -> Event | None:
    """The event that a line of an output or error file makes; None if its row is settled already."""
    response, reserved = line.get("response"), ledger.in_batch.get(key)
    response = response if isinstance(response, dict) else {}
    status = response.get("status_code")
    if status == 200 and key not in ledger.answers:  # kept even if the journal lost its reservation: it is paid for
        text = json.dumps(response.get("body"))
        usage = usage_of(text)
        paid = dollars(config, *usage) if usage else reserved or 0.0
        return new_event(config, "answer", key=key, dollars=paid, usage=usage, text=text)
    if reserved is None or status == 200:
        return None
    told = json.dumps({"response": response, "error": line.get("error")})
    if status is None:
        return new_event(config, "withdrawn", key=key, dollars=0.0, text=told)
    refused = isinstance(status, int) and 400 <= status < 500
    return new_event(config, "failed", key=key, dollars=0.0 if refused else reserved, text=told)
