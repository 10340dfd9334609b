"""False answers by a model that sees: POVID's dispreferences (section 3.1) from any OpenAI-compatible server, within a budget.

``dry_run`` tells the cost before anything is sent, and how far a journal has got; ``rewrite`` asks, and yields the pairs as they
come. For thousands of rows see ``batch``. All of them work on one journal (``journal``), so that a
killed run goes on where it was.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from povid_lib.data.pairs import Pair
from povid_lib.data.rewrite.client import asker, key_of
from povid_lib.data.rewrite.journal import (
    Event,
    Ledger,
    append_reject,
    new_event,
    open_journal,
    outcome,
    read_journal,
    read_rejects,
    reject,
    renew_rejects,
)
from povid_lib.data.rewrite.request import RewriterConfig, Row, dollars, most_dollars, prepare
from povid_lib.data.true_answers import Truth

PATIENCE = 10  # rows one after another without an answer, after which the server is taken to be down


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
    asked = {row.key: row for row in rows if is_left(row, ledger)}.values()
    each = [most_dollars(config, row) for row in asked]
    return DryRun(
        pairs=pairs,
        rejected=len(ended) - pairs,
        in_batch=in_batch,
        left=len(rows) - len(ended) - in_batch,
        spent=ledger.committed,
        requests=len(asked),
        input_tokens=sum(row.input_tokens for row in asked),
        input_tokens_most=sum(row.most_tokens for row in asked),
        output_tokens_most=config.max_tokens * len(asked),
        dollars=sum(dollars(config, row.input_tokens, config.max_tokens) for row in asked),
        dollars_most=sum(each),
        reservation=max(each, default=0.0) * (config.retries + 1),
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

    Before a request is sent, the most that it can cost with all its retries must fit into ``config.spending_limit``; once that
    does not fit, the run ends, and the rows that are left are counted on stderr. Tries whose charge is not known (time-out,
    connection cut, 5xx) count as charged in full. The first request goes alone, to see that the server counts no more tokens than
    were reserved. No more is sent after a refused key, a wrong address, too many tokens, or ten rows in a row without an answer.

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


@dataclass
class _State:
    """Of a run: dollars that are spent or may yet be, and why no more is sent ("" while it is)."""

    committed: float
    stop: str = ""


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
        lines = [result for result in results if isinstance(result, str)]
        renew_rejects(rejects, rows, lines)
        rejected, pairs = len(lines), len(rows) - sum(map(len, groups.values())) + len(results) - len(lines)
        bar.update(rejected + pairs)
        yield from (result for result in results if isinstance(result, Pair))
        left = {key: group[0] for key, group in groups.items() if send and is_left(group[0], ledger, retry_failed)}
        state = _State(ledger.committed)
        # closed before the journal is, so that a consumer that leaves early loses no answer that is under way
        with closing(_asked(config, left, state, write)) as asked:
            for key, ended in asked:
                for result in _results(groups[key], ended):
                    bar.update()
                    bar.set_postfix_str(f"${state.committed:.4f}")
                    if isinstance(result, str):
                        rejected += 1
                        append_reject(rejects, result)
                    else:
                        pairs += 1
                        yield result
        in_batch = sum(len(group) for key, group in groups.items() if key in ledger.in_batch)
        rest = len(rows) - pairs - rejected - in_batch
        told = f"{pairs} pairs, {rejected} rejected (see {rejects}), {in_batch} in batch files, {rest} left; "
        told += f"${state.committed:.6f} of ${config.spending_limit} spent at most."
        if state.stop:
            raise RuntimeError(f"{state.stop} {told}")
        if rest and send:
            told += " The next request might pass the limit; to go on, raise spending_limit and call again."
        bar.write(told, file=sys.stderr)


def _results(group: Sequence[Row], ended: Event) -> list[Pair | str]:
    """Of rows that share one answer: the pair of each, or its line of the rejects file. The first carries the cost."""
    found: list[Pair | str] = []
    for at, row in enumerate(group):
        own = ended if at == 0 else ended | {"dollars": 0.0}
        result = outcome(row, own)
        found.append(reject(row, own, result) if isinstance(result, str) else result)
    return found


def _asked(
    config: RewriterConfig, left: Mapping[str, Row], state: _State, write: Callable[[Event], None]
) -> Generator[tuple[str, Event], None, None]:
    """Ask within limit and concurrency, and yield (key, event) of what ended with an answer or failed, as it comes."""
    if not left:
        return
    queue, flying = deque(left.values()), dict[Future[Event], tuple[Row, float]]()
    ask, heard, silent = asker(config, write), False, 0
    with ThreadPoolExecutor(config.concurrency) as pool:  # leaving it waits for what is under way
        while True:
            while queue and not state.stop and len(flying) < (config.concurrency if heard else 1):
                most = most_dollars(config, queue[0]) * (config.retries + 1)
                if state.committed + most > config.spending_limit:
                    break  # fits later, once what is under way is settled, or never
                row = queue.popleft()
                write(new_event(config, "reserved", key=row.key, dollars=most))
                state.committed += most
                flying[pool.submit(ask, row)] = row, most
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                row, most = flying.pop(future)
                ended = future.result()
                state.committed += ended["dollars"] - most
                if ended["event"] == "withdrawn":
                    state.stop = state.stop or ended["text"]
                    continue
                heard = heard or ended["event"] == "answer"
                reason = outcome(row, ended)
                none = isinstance(reason, str) and reason.startswith(("no answer", "no chat completion"))
                silent = silent + 1 if none else 0
                state.stop = state.stop or _why_stop(config, row, ended, silent, reason)
                yield row.key, ended


def _why_stop(config: RewriterConfig, row: Row, ended: Event, silent: int, reason: Pair | str) -> str:
    used = ended.get("usage")
    if used and dollars(config, *used) and (used[0] > row.most_tokens or used[1] > config.max_tokens):
        return (
            f"The server counts {used[0]} input and {used[1]} output tokens where at most {row.most_tokens} and "
            f"{config.max_tokens} were reserved; raise image_tokens to what this model counts, or check length_parameter."
        )
    if silent >= PATIENCE:
        return (
            f"The last {silent} rows got no answer (the last: {reason}); mend that, and call again with retry_failed."
        )
    return ""
