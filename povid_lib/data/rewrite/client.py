"""The rewriter's client: one request and all its tries, ended by an event of the journal, with what it cost at most."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai

from povid_lib.data.rewrite.journal import Event, new_event
from povid_lib.data.rewrite.request import RewriterConfig, Row, dollars, most_dollars, request_body

_SECRET = 16  # characters; a shorter key is a local server's dummy, which answers may well contain


def key_of(config: RewriterConfig) -> str:
    """The server's key from the environment. Raises ``ValueError`` if there is none, or none that can be sent."""
    secret = os.environ.get(config.key_variable, "")
    if not secret:
        raise ValueError(f"The environment variable {config.key_variable} is not set; put the server's key there.")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ValueError(f"The key in {config.key_variable} has spaces or odd characters in it; set it anew.")
    return secret


def asker(config: RewriterConfig, write: Callable[[Event], None]) -> Callable[[Row], Event]:
    """A function that asks about a row and returns the event that it has written; safe to call from threads.

    The event is ``answer``, ``failed``, or, where the fault is not the row's (a refused key, an unknown model or address, no
    credit), ``withdrawn``. Its dollars: the reported usage, and the full price of every try whose charge is not known, which is
    none that the server refused (4xx) and none that did not get as far as being sent. Raises as ``key_of`` does.
    """
    secret = key_of(config)
    tries = threading.local()  # of the request that this thread has under way: how many may be charged
    client = _client(config, secret, tries)

    def ask(row: Row) -> Event:
        try:
            body = request_body(config, row)
        except (OSError, ValueError) as error:  # the picture went or changed
            ended = new_event(config, "failed", key=row.key, dollars=0.0, text=str(error))
        else:
            ended = _ended(config, client, tries, row, body, secret)
        write(ended)
        return ended

    return ask


def usage_of(text: str) -> tuple[int, int] | None:
    """Input and output tokens as a chat completion reports them, or None."""
    try:
        usage = json.loads(text)["usage"]
        counts = usage["prompt_tokens"], usage["completion_tokens"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return counts if all(type(count) is int and count >= 0 for count in counts) else None


def _ended(
    config: RewriterConfig, client: openai.OpenAI, tries: threading.local, row: Row, body: dict[str, Any], secret: str
) -> Event:
    most = most_dollars(config, row)
    tries.charged = 0
    try:
        response = client.chat.completions.with_raw_response.create(**body)
    except openai.OpenAIError as error:
        name = "withdrawn" if (ours := _not_the_rows(config, error)) else "failed"
        text = _without(secret, ours or _told(error))
        return new_event(config, name, key=row.key, dollars=most * tries.charged, text=text)
    text = _without(secret, response.http_response.content.decode("utf-8", "backslashreplace"))
    usage = usage_of(text)
    paid = (dollars(config, *usage) if usage else most) + most * max(0, tries.charged - 1)
    return new_event(config, "answer", key=row.key, dollars=paid, usage=usage, text=text)


def _not_the_rows(config: RewriterConfig, error: openai.OpenAIError) -> str:
    """What is wrong if every other row would fail in the same way, else ""."""
    if isinstance(error, openai.AuthenticationError):  # the server's own words may hold part of the key
        return f"The server refused the key in {config.key_variable} (401); put a valid key there."
    if isinstance(error, openai.NotFoundError):
        return f"The server has no such model or address ({_told(error)}); check model and base_url."
    if isinstance(error, openai.APIStatusError) and error.code == "insufficient_quota":
        return f"The server's account has no credit left ({_told(error)}); add some."
    return ""


def _told(error: openai.OpenAIError) -> str:
    if isinstance(error, openai.APIStatusError):
        return f"{error.status_code} {error.response.text or error.message}"
    return (
        f"{type(error).__name__}: {error} {error.__cause__!r}"
        if error.__cause__
        else f"{type(error).__name__}: {error}"
    )


def _without(secret: str, text: str) -> str:
    """A server may send the key back; it is never written down."""
    return text.replace(secret, "[key]") if len(secret) >= _SECRET else text


# --- the connection ----------------------------------------------------------------------------------------------


def _client(config: RewriterConfig, secret: str, tries: threading.local) -> openai.OpenAI:
    def count(name: str, _info: dict[str, Any]) -> None:
        if name.endswith("send_request_headers.started"):
            tries.charged += 1

    def before(request: httpx2.Request) -> None:
        request.extensions["trace"] = count
        tries.end = time.monotonic() + config.timeout

    def after(response: httpx2.Response) -> None:
        if not response.is_success and not response.is_server_error:
            tries.charged -= 1
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Timed(response.stream, tries.end)

    return openai.OpenAI(
        api_key=secret,
        base_url=config.base_url,
        max_retries=config.retries,
        timeout=config.timeout,
        http_client=openai.DefaultHttpxClient(event_hooks={"request": [before], "response": [after]}),
    )


class _Timed(httpx2.SyncByteStream):
    """The body of an answer, which must end in time: the client's own time-out is between two pieces of it only."""

    def __init__(self, stream: httpx2.SyncByteStream, end: float) -> None:
        self.stream, self.end = stream, end

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.stream:
            if time.monotonic() > self.end:
                raise httpx2.ReadTimeout("the answer did not end within the time-out")
            yield piece

    def close(self) -> None:
        self.stream.close()
