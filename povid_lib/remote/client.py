"""One request and all its tries, ended by an event of the journal, with what it cost at most."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

from povid_lib.remote.connection import Tries, connect, masked
from povid_lib.remote.ledger import Event, new_event
from povid_lib.remote.reading import is_broken_off, is_completion, usage_of
from povid_lib.remote.server import Server, dollars, key_of


@dataclass(frozen=True)
class Request:
    """What is asked. ``key``: SHA-256 of all that its answer depends on; ``most_tokens``: of input, an upper bound; ``body``: makes
    the JSON of the chat completion when it is sent, and raises ``ValueError`` or ``OSError`` if it cannot be made any more."""

    key: str
    most_tokens: int
    body: Callable[[], dict[str, Any]]


def most_dollars(server: Server, request: Request) -> float:
    """The most that one try of a request can cost."""
    return dollars(server, request.most_tokens, server.max_tokens)


def asker(server: Server, version: str, write: Callable[[Event], None]) -> Callable[[Request], Event]:
    """A function that asks and returns the event that it has written; safe to call from threads. ``version``: of the prompt.

    The event is ``answer``, ``failed`` (also for a body that is no chat completion), or, where the fault is not the request's (a
    refused key, an unknown model or address, no credit), ``withdrawn``. Its dollars: the reported usage, and the full price of
    every try whose charge is not known, which is none that the server refused (4xx), none that did not get as far as being sent,
    and no body that is whole and no completion. Raises as ``key_of`` does.
    """
    secret, tries = key_of(server), Tries()
    client = connect(server, secret, tries)

    def ask(request: Request) -> Event:
        try:
            body = request.body()
        except (OSError, ValueError) as error:  # the picture went or changed
            ended = new_event(server, version, "failed", key=request.key, dollars=0.0, text=str(error))
        else:
            name, fields = _ended(server, client, tries, request, body, secret)
            ended = new_event(server, version, name, key=request.key, **fields)
        write(ended)
        return ended

    return ask


def settled(server: Server, text: str, most: float) -> tuple[str, dict[str, Any]]:
    """What a body of status 200 comes to: the event's name, and its fields. ``most``: dollars held possible for one try."""
    usage, whole = usage_of(text), is_completion(text)
    unknown = most if whole or is_broken_off(text) else 0.0
    paid = dollars(server, *usage) if usage else unknown
    fields: dict[str, Any] = {"dollars": paid, "usage": usage, "text": text}
    if most and paid > most:
        fields["excess"] = paid / most
    return "answer" if whole else "failed", fields


def _ended(
    server: Server, client: openai.OpenAI, tries: Tries, request: Request, body: dict[str, Any], secret: str
) -> tuple[str, dict[str, Any]]:
    most = most_dollars(server, request)
    tries.charged = 0
    try:
        response = client.chat.completions.with_raw_response.create(**body)
    except openai.OpenAIError as error:
        name = "withdrawn" if (ours := _not_the_requests(server, error)) else "failed"
        late = f" (the answer did not end within {server.timeout} s)" if tries.late else ""
        return name, {"dollars": most * tries.charged, "text": masked(secret, (ours or _told(error)) + late)}
    finally:
        tries.end()
    if tries.unread:
        return "failed", {"dollars": most * tries.charged, "text": tries.unread}
    content = response.http_response.content
    text = masked(secret, content.decode(json.detect_encoding(content), "backslashreplace"))
    name, fields = settled(server, text, most)
    fields["dollars"] += most * max(0, tries.charged - 1)
    return name, fields


def _not_the_requests(server: Server, error: openai.OpenAIError) -> str:
    """What is wrong if every other request would fail in the same way, else ""."""
    if isinstance(error, openai.AuthenticationError):  # the server's own words may hold part of the key
        return f"The server refused the key in {server.key_variable} (401); put a valid key there."
    if isinstance(error, openai.NotFoundError):
        return f"The server has no such model or address ({_told(error)}); check model and base_url."
    if isinstance(error, openai.APIStatusError) and error.code == "insufficient_quota":
        return f"The server's account has no credit left ({_told(error)}); add some."
    if isinstance(error, openai.APIStatusError) and error.response.is_redirect:
        there = error.response.headers["Location"]
        return f"The server sends requests on to {there} ({error.status_code}); give that address as base_url if you trust it."
    return ""


def _told(error: openai.OpenAIError) -> str:
    if isinstance(error, openai.APIStatusError):
        return f"{error.status_code} {error.response.text or error.message}"
    return f"{type(error).__name__}: {error}" + (f" {error.__cause__!r}" if error.__cause__ else "")
