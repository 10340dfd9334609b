"""False answers by a model that sees: POVID's dispreferences (section 3.1) from any OpenAI-compatible server, within a budget.

``dry_run`` tells the cost before anything is sent, and how far a journal has got; ``rewrite`` asks, and yields the pairs as they
come. For thousands of rows see ``batch``. All of them work on one journal (``remote.ledger``), so that
a killed run goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from povid_lib.data.pairs import Pair
from povid_lib.data.rewrite.config import RewriterConfig
from povid_lib.data.rewrite.outcomes import append_reject, outcome, read_rejects, reject, renew_rejects
from povid_lib.data.rewrite.prompts import PROMPT_VERSION
from povid_lib.data.rewrite.request import Row, prepare, request_of
from povid_lib.data.true_answers import Truth
from povid_lib.remote.asking import Stopped, asked, reservation
from povid_lib.remote.client import most_dollars
from povid_lib.remote.ledger import Event, Ledger, open_journal, read_journal
from povid_lib.remote.server import dollars, key_of


@dataclass(frozen=True)
class DryRun:
    """How far a journal has got with some truths, and what is left to pay.

    ``pairs``, ``rejected``, ``in_batch``, ``left``: the rows of each kind. ``spent``: dollars at most, with the reservations of
    requests that a kill cut off, and of batch files that are not read back. ``requests``: left to send, one for rows that are
    alike. ``input_tokens``: four bytes of text to a token, pictures by the tile rule; ``input_tokens_most``: a byte to a token.
    ``dollars`` and ``dollars_most``: for these, with answers of ``max_tokens`` all through and each request charged once.
    ``reservation``: dollars that must be free in the limit before the dearest request is sent, for it and all its retries."""

    pairs: int
    rejected: int
    in_batch: int
    left: int
    spent: float
    requests: int
    input_tokens: int
    input_tokens_most: int
    output_tokens_most: int
    dollars: float
    dollars_most: float
    reservation: float


def dry_run(
    config: RewriterConfig, truths: Iterable[Truth], images: str | Path, journal: str | Path | None = None
) -> DryRun:
    """What ``rewrite`` has done by its journal, would still ask, and pay at most. Sends nothing and needs no key.

    Raises ``ValueError`` as ``rewrite`` does for faults of rows, pictures and journal.
    """
    rows, ledger = prepare(config, truths, images), read_journal(journal) if journal else Ledger()
    ended = [outcome(row, event) for row in rows if (event := _ended(row, ledger))]
    pairs, in_batch = sum(isinstance(found, Pair) for found in ended), sum(row.key in ledger.in_batch for row in rows)
    left = {row.key: row for row in rows if is_left(row, ledger)}.values()
    requests = [request_of(config, row) for row in left]
    each = [most_dollars(config, request) for request in requests]
    return DryRun(
        pairs=pairs,
        rejected=len(ended) - pairs,
        in_batch=in_batch,
        left=len(rows) - len(ended) - in_batch,
        spent=ledger.committed,
        requests=len(left),
        input_tokens=sum(row.input_tokens for row in left),
        input_tokens_most=sum(row.most_tokens for row in left),
        output_tokens_most=config.max_tokens * len(left),
        dollars=sum(dollars(config, row.input_tokens, config.max_tokens) for row in left),
        dollars_most=sum(each),
        reservation=max((reservation(config, request, ledger) for request in requests), default=0.0),
    )


def rewrite(
    config: RewriterConfig,
    truths: Iterable[Truth],
    images: str | Path,
    journal: str | Path,
    rejects: str | Path,
    done: Collection[str] = (),
    retry_failed: bool = False,
    send: bool = True,
) -> Iterator[Pair]:
    """Ask the model about every truth, and yield the pairs: those of the journal first, then new ones as they come.

    ``images``: the folder of the pictures. ``journal``: JSONL; what it has is never sent again. ``rejects``: JSONL of the rows
    without a usable answer, with reason and raw answer. ``done``: ids whose pairs are kept already; they are neither asked nor
    yielded. ``retry_failed``: ask rows again that got no answer at all (never those whose answer was bad). ``send``: False to yield
    what the journal has and ask nothing, as after a batch.

    What may be spent, and when no more is sent, is told in ``remote.asking.asked``; the rows that are left are counted on stderr.
    Tries whose charge is not known (time-out, connection cut, 5xx) count as charged in full.

    Raises ``ValueError`` before anything is sent for faults of settings, key, rows, pictures, journal or rejects file, and
    ``RuntimeError`` once what was under way has ended if the run cannot go on. Raised or killed, call it again to go on.
    """
    if Path(journal).resolve() == Path(rejects).resolve():
        raise ValueError(f"{journal} is given both as journal and as rejects file; give two files.")
    if isinstance(done, str):
        raise ValueError(f"done is {done!r}; give a set or list of ids, not one text.")
    rows, ledger, kept = prepare(config, truths, images), read_journal(journal), set(done)
    read_rejects(rejects)
    if send and any(row.truth.id not in kept and is_left(row, ledger, retry_failed) for row in rows):
        key_of(config)  # a run that has all its answers needs no key
    return _run(config, rows, kept, journal, rejects, retry_failed, send)


def is_left(row: Row, ledger: Ledger, retry_failed: bool = False) -> bool:
    """Whether a row is still to be asked."""
    return row.key not in ledger.in_batch and _ended(row, ledger, retry_failed) is None


def _ended(row: Row, ledger: Ledger, retry_failed: bool = False) -> Event | None:
    return ledger.answers.get(row.key) or (None if retry_failed else ledger.failures.get(row.key))


def _run(
    config: RewriterConfig,
    rows: Sequence[Row],
    done: set[str],
    journal: str | Path,
    rejects: str | Path,
    retry_failed: bool,
    send: bool,
) -> Iterator[Pair]:
    groups: dict[str, list[Row]] = {}  # rows that are alike but for their ids are asked once
    for row in rows:
        if row.truth.id not in done:
            groups.setdefault(row.key, []).append(row)
    with open_journal(journal) as (ledger, write), tqdm(total=len(rows), desc="rewriting", disable=None) as bar:
        known = [(group, ended) for group in groups.values() if (ended := _ended(group[0], ledger, retry_failed))]
        results = [result for group, ended in known for result in _results(group, ended)]
        lines = [result for result in results if not isinstance(result, Pair)]
        renew_rejects(rejects, rows, lines)
        rejected, pairs = len(lines), len(rows) - sum(map(len, groups.values())) + len(results) - len(lines)
        bar.update(rejected + pairs)
        yield from (result for result in results if isinstance(result, Pair))
        left = [group[0] for group in groups.values() if send and is_left(group[0], ledger, retry_failed)]
        requests, stop = [request_of(config, row) for row in left], ""

        def useless(key: str, ended: Event) -> str:
            found = outcome(groups[key][0], ended)
            return found if isinstance(found, str) else ""

        # closed before the journal is, so that a consumer that leaves early loses no answer that is under way
        with closing(asked(config, PROMPT_VERSION, requests, ledger, write, useless, proven=pairs > 0)) as answers:
            while True:
                try:
                    key, ended = next(answers)
                except StopIteration:
                    break
                except Stopped as error:
                    stop = f"{error} "
                    break
                for result in _results(groups[key], ended):
                    bar.update()
                    bar.set_postfix_str(f"${ledger.committed:.4f}")
                    if isinstance(result, Pair):
                        pairs += 1
                        yield result
                    else:
                        rejected += 1
                        append_reject(rejects, result)
        in_batch = sum(len(group) for key, group in groups.items() if key in ledger.in_batch)
        rest = len(rows) - pairs - rejected - in_batch
        told = f"{pairs} pairs, {rejected} rejected (see {rejects}), {in_batch} in batch files, {rest} left; "
        told += f"${ledger.committed:.6f} of ${config.spending_limit} spent at most."
        if stop:
            raise RuntimeError(stop + told)
        if rest and send:
            told += " The next request might pass the limit; to go on, raise spending_limit and call again."
        bar.write(told, file=sys.stderr)


def _results(group: Sequence[Row], ended: Event) -> list[Pair | dict[str, Any]]:
    """Of rows that share one answer: the pair of each, or its line of the rejects file. The first carries the cost."""
    found: list[Pair | dict[str, Any]] = []
    for at, row in enumerate(group):
        own = ended if at == 0 else ended | {"dollars": 0.0}
        result = outcome(row, own)
        found.append(reject(row, own, result) if isinstance(result, str) else result)
    return found
