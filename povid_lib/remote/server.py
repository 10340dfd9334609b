"""Which model is asked, where, how, and for how much money at most."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Server:
    """Which model answers, where, how, and for how much money at most. Prices and limit are in US dollars.

    The key is read from the environment variable ``key_variable``, never from a file. Raises ``ValueError`` with every setting that
    cannot work.
    """

    model: str
    input_price: float  # dollars for a million input tokens
    output_price: float  # dollars for a million output tokens
    spending_limit: float  # dollars, of all that a journal records
    base_url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    temperature: float = 1.0  # the one temperature that every model takes
    max_tokens: int = 1024  # of an answer
    length_parameter: str = "max_completion_tokens"  # older servers know it as max_tokens
    concurrency: int = 4  # requests under way at once
    retries: int = 5  # of a request that failed for a passing reason; the client waits longer each time
    timeout: float = 120.0  # seconds for one whole answer

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise ValueError(f"{type(self).__name__}: {'; '.join(faults)}.")

    def _faults(self) -> Iterator[str]:
        if not isinstance(self.model, str) or not self.model.strip():
            yield "model is empty; name the model to ask"
        if not isinstance(self.base_url, str) or not _is_plain_url(self.base_url):
            yield "base_url must be http(s)://host[:port][/path], without user, password, query or fragment"
        if not isinstance(self.key_variable, str) or not re.fullmatch(
            r"[A-Za-z_][A-Za-z0-9_]{0,63}", self.key_variable
        ):
            # the value is not shown: it may be a key
            yield "key_variable must be the name of an environment variable, such as OPENAI_API_KEY, not the key itself"
        for name in ("input_price", "output_price"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                yield f"{name} is {getattr(self, name)!r}; give dollars for a million tokens, 0 or more"
        for name in ("spending_limit", "timeout"):
            if not _is_number(getattr(self, name)) or getattr(self, name) <= 0:
                yield f"{name} is {getattr(self, name)!r}; give a number above 0"
        if not _is_number(self.temperature) or not 0 <= self.temperature <= 2:
            yield f"temperature is {self.temperature!r}; give a number from 0 to 2"
        for name, least in (("max_tokens", 1), ("concurrency", 1), ("retries", 0)):
            if type(getattr(self, name)) is not int or getattr(self, name) < least:
                yield f"{name} is {getattr(self, name)!r}; give a whole number, {least} or more"
        if self.length_parameter not in ("max_completion_tokens", "max_tokens"):
            yield f"length_parameter is {self.length_parameter!r}; choose max_completion_tokens or max_tokens"


def key_of(server: Server) -> str:
    """The server's key from the environment. Raises ``ValueError`` if there is none, or none that can be sent."""
    secret = os.environ.get(server.key_variable, "")
    if not secret:
        raise ValueError(f"The environment variable {server.key_variable} is not set; put the server's key there.")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ValueError(f"The key in {server.key_variable} has spaces or odd characters in it; set it anew.")
    return secret


def dollars(server: Server, input_tokens: int, output_tokens: int) -> float:
    """The price of so many tokens."""
    return (input_tokens * server.input_price + output_tokens * server.output_price) / 1e6


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # a port that is no number raises
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password or re.search(r"\s", url))
    return parts.scheme in ("http", "https") and bool(host) and port != 0 and plain
