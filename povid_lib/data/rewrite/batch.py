"""The rewriter through OpenAI's Batch API: for thousands of rows, at the provider's batch prices, within a day.

``write_batch`` writes the input files. Upload them (the client's ``files.create(purpose="batch")`` and ``collator.create``, or the
provider's web page), and give both the output file and the error file that come back to ``read_batch``. ``rewriter.rewrite`` with
the same journal then yields the pairs. Set the prices of the config to those of batches.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from povid_lib.data.rewrite.config import RewriterConfig
from povid_lib.data.rewrite.prompts import PROMPT_VERSION
from povid_lib.data.rewrite.request import Row, prepare, request_body, request_of
from povid_lib.data.rewrite.rewriter import is_left
from povid_lib.data.true_answers import Truth
from povid_lib.files.jsonl import read_rows, replacing
from povid_lib.remote.client import most_dollars, settled
from povid_lib.remote.ledger import Event, Ledger, new_event, open_journal

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
    folder, paths = Path(folder), list[Path]()
    rows = {row.key: row for row in prepare(config, truths, images)}
    with open_journal(journal) as (ledger, write):
        left = deque(row for row in rows.values() if is_left(row, ledger))
        folder.mkdir(parents=True, exist_ok=True)
        fresh, free = folder / "batch.new", config.spending_limit - ledger.committed
        while left and _most(config, left[0], ledger) <= free:
            size, requests = 0, dict[str, float]()
            with replacing(fresh) as part, part.open("wb") as file:
                while left and len(requests) < BATCH_ROWS:
                    row, most = left[0], _most(config, left[0], ledger)
                    body = request_body(config, row)
                    request = {"custom_id": row.key, "method": "POST", "url": "/v1/chat/completions", "body": body}
                    line = f"{json.dumps(request)}\n".encode()
                    if most > free or (requests and size + len(line) > file_bytes):
                        break
                    file.write(line)
                    size, free, requests[left.popleft().key] = size + len(line), free - most, most
            name = hashlib.sha256("".join(requests).encode()).hexdigest()[:16]  # the same again after a kill
            paths.append(fresh.replace(folder / f"batch-{name}.jsonl"))
            write(new_event(config, PROMPT_VERSION, "batch", file=paths[-1].name, requests=requests))
    return paths


def _most(config: RewriterConfig, row: Row, ledger: Ledger) -> float:
    return most_dollars(config, request_of(config, row)) * ledger.excess


def read_batch(config: RewriterConfig, output: str | Path, journal: str | Path) -> int:
    """Take the answers of a batch's output or error file into the journal. Returns how many rows it settled.

    A row whose request the server could not do (status 4xx, 5xx) has failed; one that it never ran (expired, cancelled) is left
    again. What the journal has already is passed over, so that a file may be read twice. Raises ``ValueError`` with every fault of
    the file before anything is taken from it.
    """
    lines = _read_lines(output)
    with open_journal(journal) as (ledger, write):
        events = [found for key, line in lines.items() if (found := _event(config, ledger, key, line))]
        write(*events)
    return len(events)


def drop_batch(config: RewriterConfig, batch: str | Path, journal: str | Path) -> int:
    """Give up waiting for an input file that was never uploaded, or was cancelled and its outputs read: its rows are left again,
    and their reservations free. Returns how many. Raises ``ValueError`` with every fault of the file."""
    lines = _read_lines(batch)
    with open_journal(journal) as (ledger, write):
        keys = [key for key in lines if key in ledger.in_batch]
        write(
            *(
                new_event(config, PROMPT_VERSION, "withdrawn", key=key, dollars=0.0, text="the batch was dropped")
                for key in keys
            )
        )
    return len(keys)


def _read_lines(path: str | Path) -> dict[str, dict[str, Any]]:
    rows, faults = read_rows(path)
    found = dict[str, dict[str, Any]]()
    for where, row in rows:
        key = row.get("custom_id") if isinstance(row, dict) else None
        if not isinstance(key, str) or not re.fullmatch(r"[0-9a-f]{64}", key):
            faults.at(where).add(f"custom_id is {key!r}; give a file of `write_batch`, or what came back of one")
        elif not faults.at(where).repeated("custom_id", key):
            found[key] = row
    if faults:
        faults.fail()
    return found


def _event(config: RewriterConfig, ledger: Ledger, key: str, line: dict[str, Any]) -> Event | None:
    """The event that a line of an output or error file makes; None if its row is settled already."""
    response, reserved = line.get("response"), ledger.in_batch.get(key)
    response = response if isinstance(response, dict) else {}
    status = response.get("status_code")
    if status == 200 and key not in ledger.answers:  # kept even if the journal lost its reservation: it is paid for
        name, fields = settled(config, json.dumps(response.get("body")), reserved or 0.0)
        if name == "failed" and reserved is None:
            return None
        return new_event(config, PROMPT_VERSION, name, key=key, **fields)
    if reserved is None or status == 200:
        return None
    told = json.dumps({"response": response, "error": line.get("error")})
    if status is None:
        return new_event(config, PROMPT_VERSION, "withdrawn", key=key, dollars=0.0, text=told)
    paid = 0.0 if isinstance(status, int) and 400 <= status < 500 else reserved
    return new_event(config, PROMPT_VERSION, "failed", key=key, dollars=paid, text=told)
