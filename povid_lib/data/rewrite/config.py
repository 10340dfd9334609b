"""The rewriter's settings, checked before anything is sent or paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from povid_lib.data.pairs import CORRUPTIONS
from povid_lib.files.settings import Remedy, Whole, one_of
from povid_lib.remote.server import Server


@dataclass(frozen=True)
class RewriterConfig(Server):
    """Which model rewrites, where, how, and for how much money at most: see ``Server``. The model must see.

    ``image_tokens``: what OpenAI's tile rule counts for a picture and for each tile of it; (85, 170) is published for GPT-4o,
    (2833, 5667) for GPT-4o mini. A model that counts otherwise needs numbers that are no less than its own. Raises ``ValueError``
    with every setting that cannot work.
    """

    kinds: Annotated[
        tuple[Annotated[str, one_of(CORRUPTIONS)], ...],
        Field(
            min_length=1,
            description="A kind of corruption: object, relation, attribute, step or result. Repeat it.",
        ),
        Remedy(f"give a tuple of {', '.join(CORRUPTIONS)}"),
    ] = CORRUPTIONS
    detail: Annotated[
        Literal["low", "high"],
        Field(description="low: the picture is seen in 512 x 512 pixels, and costs less."),
        Remedy("choose low or high (auto has no foreseeable price)"),
    ] = "high"
    image_tokens: Annotated[
        tuple[Whole, Whole],
        Field(description="Tokens of a picture and of each of its tiles; the default is that of GPT-4o."),
        Remedy("give two whole numbers, for the picture and for each tile"),
    ] = (85, 170)

    def _combined(self) -> Iterator[str]:
        if len(set(self.kinds)) < len(self.kinds):
            yield f"kinds is {self.kinds!r}; name each once"
        elif "step" in self.kinds and "result" not in self.kinds:
            yield "kinds has step without result; a false step with the true result makes no false answer; add result"
