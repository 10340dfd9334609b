"""The preference pair: a question about a picture, the true answer (chosen) and a corrupted one (rejected).

One record for every source of dispreferences and every file format (see ``preference_files``). Pairs on disk are JSON lines, one
pair each, only ever appended to, so that a killed run loses at most the line it was writing.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass

# object, relation, attribute: POVID's three corruptions of captions (section 3.1); step, result: of reasoning items
CORRUPTIONS = ("object", "relation", "attribute", "step", "result")


@dataclass(frozen=True)
class Change:
    """One corruption: its kind, and the words that stand in the chosen and in the rejected answer ("" where nothing does)."""

    kind: str
    chosen: str
    rejected: str

    def __post_init__(self) -> None:
        if self.kind not in CORRUPTIONS:
            raise ValueError(f"Change.kind is {self.kind!r}; choose one of {', '.join(CORRUPTIONS)}.")
        if self.chosen == self.rejected:
            raise ValueError(f"Change: {self.chosen!r} stands on both sides, so nothing changes.")


@dataclass(frozen=True)
class Provenance:
    """Where a rejected answer comes from. ``model``: "truth" for the offline rewriter, else the model asked; ``prompt``: the
    version of the prompt; ``time``: ISO 8601, UTC; ``cost``: US dollars."""

    model: str
    prompt: str
    time: str
    cost: float = 0.0


@dataclass(frozen=True)
class Truth:
    """A true answer to a question about a picture: what a rewriter makes a pair of. ``image``: as in ``Pair``."""

    id: str
    image: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Pair:
    """One preference pair. ``image``: a file name relative to the pictures' folder, or ``scene:split/kind/index`` of the pocket
    world. ``changes``: empty where a source does not tell them (POVID's public file).

    Raises ``ValueError`` for an empty id, image, prompt or answer, or if chosen and rejected are the same.
    """

    id: str
    image: str
    prompt: str
    chosen: str
    rejected: str
    changes: tuple[Change, ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        for name in ("id", "image", "prompt", "chosen", "rejected"):
            if not getattr(self, name).strip():
                raise ValueError(f"Pair {self.id!r}: {name} is empty.")
        if self.chosen.split() == self.rejected.split():
            raise ValueError(f"Pair {self.id!r}: chosen and rejected are the same; a preference needs two answers.")

    @property
    def hash(self) -> str:
        """SHA-256 of what is trained on: image, prompt, chosen, rejected."""
        parts = [self.image, self.prompt, self.chosen, self.rejected]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def differences(chosen: str, rejected: str) -> list[tuple[str, str]]:
    """Where two answers differ: the runs of words that stand in one and not in the other, in order ("" for nothing)."""
    a, b = (re.findall(r"\S+", text) for text in (chosen, rejected))
    blocks = difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes()
    return [(" ".join(a[i:j]), " ".join(b[k:m])) for tag, i, j, k, m in blocks if tag != "equal"]
