"""The connection to a server: OpenAI's client, with limits for the whole of an answer and without ways to anywhere else."""

from __future__ import annotations

import base64
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx2
import openai

from povid_lib.remote.server import Server

ANSWER_BYTES = 8_000_000  # a longer answer is not read to its end; headers end at 100 kB, by httpcore
OPENAI_HOST = "api.openai.com"
_SECRET = 16  # characters; a shorter key is a local server's dummy, which answers may well contain


class Tries(threading.local):
    """Of the request that a thread has under way. ``charged``: how many tries the server may charge; ``late``: whether the last one
    was cut off by the time-out; ``unread``: why its answer was not read to the end. The client's own time-out is between two pieces
    of an answer only, so a timer ends the try."""

    charged, late, unread = 0, False, ""
    stream: Any = None
    timer: threading.Timer | None = None

    def begin(self, seconds: float) -> None:
        """Another try, which must end in so many seconds."""
        self.end()
        self.late, self.unread, now = False, "", vars(self)  # the timer's thread would see another object
        self.timer = threading.Timer(seconds, _cut_off, (now,))
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        """The try is over; nothing is cut off any more."""
        if self.timer is not None:
            self.timer.cancel()


def _cut_off(tries: dict[str, Any]) -> None:
    tries["late"] = True
    if (stream := tries.get("stream")) is not None and (connected := stream.get_extra_info("socket")) is not None:
        with suppress(OSError):  # closed already
            connected.shutdown(socket.SHUT_RDWR)


def connect(server: Server, secret: str, tries: Tries) -> openai.OpenAI:
    """OpenAI's client for a server. A connection serves one try, follows no redirect, asks for answers that are not packed, and
    says an organisation's name to OpenAI alone. No more than ``ANSWER_BYTES`` of an answer are read."""

    def watch(name: str, info: dict[str, Any]) -> None:
        if name.endswith("send_request_headers.started"):
            tries.charged += 1
        elif name.endswith(("connect_tcp.complete", "start_tls.complete")):
            tries.stream = info["return_value"]

    def before(request: httpx2.Request) -> None:
        request.extensions["trace"] = watch
        request.headers["Accept-Encoding"] = "identity"
        if request.url.host != OPENAI_HOST:
            for name in ("OpenAI-Organization", "OpenAI-Project"):
                request.headers.pop(name, None)
        tries.begin(server.timeout)

    def after(response: httpx2.Response) -> None:
        if not response.is_success and not response.is_server_error:
            tries.charged -= 1
        if packed := response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            response.headers.pop("Content-Encoding")  # it is not unpacked: a small file may hold a large one
        response.stream = _Bounded(response.stream, packed, tries)

    limits = httpx2.Limits(max_connections=server.concurrency, max_keepalive_connections=0)
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [before], "response": [after]}
    return openai.OpenAI(
        api_key=secret,
        base_url=server.base_url,
        max_retries=server.retries,
        timeout=server.timeout,
        http_client=openai.DefaultHttpxClient(event_hooks=hooks, limits=limits, follow_redirects=False),
    )


class _Bounded(httpx2.SyncByteStream):
    """The body of an answer, up to so many bytes. An error here would make the client try again, and pay again."""

    def __init__(self, stream: Any, packed: bool, tries: Tries) -> None:
        self.stream, self.packed, self.tries = stream, packed, tries

    def __iter__(self) -> Iterator[bytes]:
        if self.packed:
            self.tries.unread = "the server packs its answers, though it was asked not to"
            return
        size = 0
        for piece in self.stream:
            size += len(piece)
            if size > ANSWER_BYTES:
                self.tries.unread = f"the answer has more than {ANSWER_BYTES:,} bytes"
                return
            yield piece

    def close(self) -> None:
        self.stream.close()


def masked(secret: str, text: str) -> str:
    """The text without the key, however a server writes it back: plain, with JSON's, a URL's or HTML's escapes, in base64."""
    if len(secret) < _SECRET:
        return text
    for coded in _base64(secret):
        text = text.replace(coded, "[key]")
    return re.sub("".join(map(_any_coding, secret)), "[key]", text)


def _any_coding(character: str) -> str:
    code = ord(character)
    digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{code:02x}")
    escapes = rf"\\{{1,4}}(?:u00|x){digits}|%(?:25)?{digits}|&#0{{0,3}}{code};|&#[xX]0{{0,3}}{digits};"
    return f"(?:{re.escape(character)}|{escapes})"


def _base64(secret: str) -> Iterator[str]:
    """The characters that every base64 of a text with the key has, for the three places where the key may begin."""
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret.encode())
        sure = whole[(shift * 8 + 5) // 6 : (shift + len(secret)) * 8 // 6].decode()
        yield sure
        yield sure.replace("+", "-").replace("/", "_")
