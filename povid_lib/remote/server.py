"""Which model is asked, where, how, and for how much money at most."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from povid_lib.files.settings import Count, Positive, Remedy, Whole, check


def _plain_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # a port that is no number raises
    except ValueError:
        host, port = None, None
    odd = not host or port == 0 or parts.query or parts.fragment or parts.username or parts.password
    if odd or parts.scheme not in ("http", "https") or re.search(r"\s", url):
        raise ValueError("no plain address")
    return url


Price = Annotated[float, Field(ge=0, allow_inf_nan=False), Remedy("give dollars for a million tokens, 0 or more")]


Temperature = Annotated[float, Field(ge=0, le=2), Remedy("give a number from 0 to 2")]


@dataclass(frozen=True)
class Server:
    """Which model answers, where, how, and for how much money at most. Prices and limit are in US dollars.

    The key is read from the environment variable ``key_variable``, never from a file. Raises ``ValueError`` with every setting that
    cannot work.
    """

    model: Annotated[str, Field(pattern=r"\S", description="Model to ask."), Remedy("name the model to ask")]
    input_price: Annotated[Price, Field(description="Dollars for a million input tokens.")]
    output_price: Annotated[Price, Field(description="Dollars for a million output tokens.")]
    spending_limit: Annotated[
        Positive,
        Field(
            description="Dollars that all runs with one OUT may spend. Never passed: a request is sent only if the most that it "
            "can cost, retries and all, still fits."
        ),
    ]
    base_url: Annotated[
        str,
        AfterValidator(_plain_url),
        Field(description="Any server that speaks OpenAI's protocol."),
        Remedy("must be http(s)://host[:port][/path], without user, password, query or fragment", secret=True),
    ] = "https://api.openai.com/v1"
    key_variable: Annotated[
        str,
        Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,63}$", description="The environment variable that holds the key."),
        # it may be a key
        Remedy("must be the name of an environment variable, such as OPENAI_API_KEY, not the key itself", secret=True),
    ] = "OPENAI_API_KEY"
    temperature: Temperature = 1.0  # which every model takes
    max_tokens: Annotated[Count, Field(description="The longest answer, in tokens.")] = 1024
    length_parameter: Annotated[
        Literal["max_completion_tokens", "max_tokens"],
        Field(description="How the server calls the longest answer: older ones say max_tokens."),
        Remedy("choose max_completion_tokens or max_tokens"),
    ] = "max_completion_tokens"
    concurrency: Annotated[Count, Field(description="Requests under way at once.")] = 4
    retries: Whole = 5  # of a request that failed for a passing reason; the client waits longer each time
    timeout: Positive = 120.0  # seconds for one whole answer

    def __post_init__(self) -> None:
        check(self, self._combined())

    def _combined(self) -> Iterator[str]:
        """What no setting shows alone."""
        yield from ()


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
