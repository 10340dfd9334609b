"""Asking many requests: within the limit, a few at once, and no longer than there is hope."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from povid_lib.remote.client import Request, asker, most_dollars
from povid_lib.remote.ledger import Event, Ledger, new_event
from povid_lib.remote.server import Server

PATIENCE = 10  # requests one after another without an answer, after which the server is taken to be down
PROBE = 8  # first answers of which one must be of use
BARREN = 5 * PROBE  # answers one after another without use, after there were useful ones


class Stopped(RuntimeError):
    """No more was sent, and why."""


def asked(
    server: Server,
    version: str,
    requests: Iterable[Request],
    ledger: Ledger,
    write: Callable[..., None],
    useless: Callable[[str, Event], str],
    proven: bool = False,
) -> Generator[tuple[str, Event], None, None]:
    """Ask within limit and concurrency, and yield (key, event) of what ended with an answer or failed, as it comes.

    ``ledger``, ``write``: of ``open_journal``; ``version``: of the prompt; ``useless``: why an event is of no use, "" if it is of
    some; ``proven``: earlier answers were. Before a request is sent, the most that it can cost with all its retries must fit into
    ``spending_limit``; once that does not fit, it ends. Where an answer has cost more than was held possible, as much more is
    reserved from then on. The first request goes alone, to see that the server counts as was thought.

    Raises ``Stopped``, once what was under way has ended, after a refused key, a wrong address, too many tokens, ten requests in a
    row without an answer, eight answers of which none is of use, and forty useless ones in a row.
    """
    queue, flying = deque(requests), dict[Future[Event], Request]()
    if not queue:
        return
    ask, heard, silent, barren, stop = asker(server, version, write), False, 0, 0, ""
    with ThreadPoolExecutor(server.concurrency) as pool:  # leaving it waits for what is under way
        while True:
            while queue and not stop and len(flying) < (server.concurrency if heard else 1):
                most = reservation(server, queue[0], ledger)
                if ledger.committed + most > server.spending_limit:
                    break  # fits later, once what is under way is settled, or never
                request = queue.popleft()
                write(new_event(server, version, "reserved", key=request.key, dollars=most))
                flying[pool.submit(ask, request)] = request
            if not flying:
                break
            excess = ledger.excess
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                request, ended = flying.pop(future), future.result()
                if ended["event"] == "withdrawn":
                    stop = stop or ended["text"]
                    continue
                reason, answered = useless(request.key, ended), request.key in ledger.answers
                heard, proven = heard or answered, proven or not reason
                silent, barren = 0 if answered else silent + 1, barren + answered if reason else 0
                stop = stop or _counts_more(server, request, ended, excess) or _hopeless(silent, barren, proven, reason)
                yield request.key, ended
    if stop:
        raise Stopped(stop)


def reservation(server: Server, request: Request, ledger: Ledger) -> float:
    """Dollars that must be free in the limit before a request is sent, for it and all its retries."""
    return most_dollars(server, request) * (server.retries + 1) * ledger.excess


def _counts_more(server: Server, request: Request, ended: Event, excess: float) -> str:
    if ended.get("excess", 1.0) <= excess:
        return ""
    counted = "{} input and {} output tokens".format(*ended["usage"])
    return (
        f"The server counts {counted} where at most {request.most_tokens} and {server.max_tokens} were reserved. Check "
        "length_parameter, and raise image_tokens to what this model counts; called again as it is, as much more is reserved."
    )


def _hopeless(silent: int, barren: int, proven: bool, reason: str) -> str:
    if silent >= PATIENCE:
        return (
            f"The last {silent} rows got no answer (the last: {reason}); mend that, and call again with retry_failed."
        )
    if barren >= (BARREN if proven else PROBE):
        return f"The last {barren} answers are of no use (the last: {reason}); mend that, or call again to go on all the same."
    return ""
