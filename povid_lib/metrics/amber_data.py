"""AMBER's files (Wang et al., 2023, arXiv 2311.07397) as records, and the words of its table in a text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Nouns = Callable[[str], Sequence[str]]

# the released files call a part of the relation questions "relation" and the existence questions "hallucination"
DIMENSIONS = {
    "discriminative-hallucination": ("all", "existence"),
    "discriminative-attribute-state": ("all", "attribute", "state"),
    "discriminative-attribute-number": ("all", "attribute", "number"),
    "discriminative-attribute-action": ("all", "attribute", "action"),
    "discriminative-relation": ("all", "relation"),
    "relation": ("all", "relation"),
}


@dataclass(frozen=True)
class Description:
    """What AMBER knows of a photo: objects that are there (``truth``) and objects that people would expect there (``hallu``)."""

    id: int
    truth: tuple[str, ...]
    hallu: tuple[str, ...]


@dataclass(frozen=True)
class Poll:
    """A yes/no question: its type, a key of ``DIMENSIONS``, and its true answer."""

    id: int
    type: str
    truth: bool


@dataclass(frozen=True)
class WordTable:
    """``related``: for every object, other words that count as it; ``safe``: words that are never held against a model."""

    related: Mapping[str, tuple[str, ...]]
    safe: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """Every word that is looked for in a response."""
        return frozenset(self.related) | {word for words in self.related.values() for word in words}


# --- files -------------------------------------------------------------------------------------------------------


def read_word_table(relation: Path, safe_words: Path) -> WordTable:
    """Read ``relation.json`` ({object: [related words]}) and ``safe_words.txt`` (one a line), in lower case."""
    lists = json.loads(relation.read_text())
    if not isinstance(lists, dict) or not all(isinstance(words, list) for words in lists.values()):
        raise ValueError(f"{relation}: an object of word lists is needed, as in AMBER's relation.json.")
    related = {name.lower(): tuple(word.lower() for word in words) for name, words in lists.items()}
    return WordTable(related, frozenset(w.strip().lower() for w in safe_words.read_text().splitlines() if w.strip()))


def read_annotations(path: Path) -> dict[int, Description | Poll]:
    """Read ``annotations.json``. Raises ``ValueError`` that names the row for an unknown type or a truth of the wrong form."""
    found: dict[int, Description | Poll] = {}
    for key, row in _rows(path, ("type", "truth")).items():
        if row["type"] == "generative":
            lists = [row["truth"], row.get("hallu")]
            if not all(isinstance(words, list) and all(isinstance(w, str) for w in words) for words in lists):
                raise ValueError(f"{path}, id {key}: a generative row needs lists of words in truth and hallu.")
            found[key] = Description(key, tuple(row["truth"]), tuple(row["hallu"]))
        elif row["type"] not in DIMENSIONS:
            raise ValueError(
                f"{path}, id {key}: type {row['type']!r} is not generative or one of {', '.join(DIMENSIONS)}."
            )
        elif row["truth"] not in ("yes", "no"):
            raise ValueError(f'{path}, id {key}: truth is {row["truth"]!r}; "yes" or "no" is needed.')
        else:
            found[key] = Poll(key, row["type"], row["truth"] == "yes")
    return found


def read_responses(path: Path) -> dict[int, str]:
    """Read a model's responses, rows ``{"id": 1, "response": "..."}``, as {id: response}."""
    return {key: str(row["response"]) for key, row in _rows(path, ("response",)).items()}


def read_images(path: Path) -> dict[int, str]:
    """Read AMBER's queries, rows ``{"id": 1, "image": "AMBER_1.jpg", "query": "..."}``, as {id: image}."""
    return {key: str(row["image"]) for key, row in _rows(path, ("image",)).items()}


def _rows(path: Path, fields: Sequence[str]) -> dict[int, dict[str, Any]]:
    rows = json.loads(path.read_text())
    if not isinstance(rows, list):
        raise ValueError(f"{path}: a JSON list of rows is needed.")
    found: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or (lacking := [f for f in ("id", *fields) if f not in row]):
            raise ValueError(
                f"{path}, row {number}: {', '.join(lacking) if isinstance(row, dict) else 'an object'} is missing."
            )
        if row["id"] in found:
            raise ValueError(f"{path}, row {number}: id {row['id']} appears twice.")
        found[row["id"]] = row
    return found


# --- reading nouns -----------------------------------------------------------------------------------------------

_IRREGULAR = {"child": "children", "man": "men", "woman": "women", "mouse": "mice", "goose": "geese"}
# in descriptions mostly verbs or adjectives ("we can see", "hot day"); their plurals ("leaves", "cans") are read
_BARE_NOT_NOUNS = frozenset({"can", "hot", "leave", "sailing"})


def noun_reader(table: WordTable) -> Nouns:
    """A function that reads the table's words out of a text, in order, repeated ones too, plurals as singulars.

    It needs no data, and no tagger either: words that are mostly verbs or adjectives are read in the plural only, others ("they
    watch") may be taken for nouns. The evaluator misses capitalised words and loses "leaves" (WordNet: "leaf"); this one does not.
    """
    forms = {plural: word for word in sorted(table.words) for plural in _plurals(word)}
    forms |= {word: word for word in table.words - _BARE_NOT_NOUNS}
    return lambda text: [forms[t] for t in re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()) if t in forms]


def _plurals(word: str) -> list[str]:
    if word in _IRREGULAR:
        return [_IRREGULAR[word]]
    found = [f"{word}s", f"{word}es"]  # in a closed vocabulary a form too many does no harm
    if word.endswith("y"):
        found.append(f"{word[:-1]}ies")
    if word.endswith(("f", "fe")):
        found.append(f"{word.removesuffix('e').removesuffix('f')}ves")
    return found
