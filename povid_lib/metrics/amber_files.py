"""AMBER's files (Wang et al., 2023, arXiv 2311.07397) as records, and the words of its table in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from povid_lib.files.jsonl import decode, read_members, read_rows, read_texts, words_of
from povid_lib.metrics.lemmas import pattern_singular

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

    id: str
    truth: tuple[str, ...]
    hallu: tuple[str, ...]


@dataclass(frozen=True)
class Poll:
    """A yes/no question: its type, a key of ``DIMENSIONS``, and its true answer."""

    id: str
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
    """Read ``relation.json`` ({object: [related words]}) and ``safe_words.txt`` (one a line), in lower case.

    Of an object that stands there twice the later list counts, as ``json.load`` has it. Raises ``ValueError`` with every fault of
    a file and its line.
    """
    members, faults = read_members(relation, "an object -> related words table")
    related: dict[str, tuple[str, ...]] = {}
    for where, (name, listed) in members:
        if (words := words_of(listed)) is None:
            faults.at(where).add(f"what is related to {name} is not a list of words", "related")
        else:
            related[name.lower()] = tuple(word.lower() for word in words)
    text, of_text = decode(safe_words)
    if of_text:
        of_text.fail()
    safe = frozenset(word.strip().lower() for word in text.splitlines() if word.strip())
    return WordTable(faults.sound(related), safe)


def read_annotations(path: Path) -> dict[str, Description | Poll]:
    """Read ``annotations.json`` as {id: annotation}.

    Raises ``ValueError`` with every fault and its line: no id or one that occurs twice, an unknown type, a truth of the wrong form.
    """
    rows, faults = read_rows(path)
    found: dict[str, Description | Poll] = {}
    for where, row in rows:
        at = faults.at(where)
        key = at.id_of(row, "id")
        if key is None or at.repeated("id", key):
            continue
        kind, truth, hallu = (row.get(field) for field in ("type", "truth", "hallu"))
        if kind == "generative":
            there, expected = words_of(truth), words_of(hallu)
            if there is None or expected is None:
                at.add("a generative row needs lists of words in truth and hallu")
            else:
                found[key] = Description(key, there, expected)
        elif not isinstance(kind, str) or kind not in DIMENSIONS:
            at.add(f"type {kind!r} is not generative or one of {', '.join(DIMENSIONS)}")
        elif truth not in ("yes", "no"):
            at.add(f'truth is {truth!r}; "yes" or "no" is needed')
        else:
            found[key] = Poll(key, kind, truth == "yes")
    return faults.sound(found)


def read_responses(path: Path) -> dict[str, str]:
    """Read a model's responses, rows ``{"id": 1, "response": "..."}``, as {id: response}. Raises as ``read_annotations`` does."""
    return read_texts(path, "id", ("response",))


@dataclass(frozen=True)
class Query:
    """What a model is asked about a photo."""

    id: str
    image: str
    text: str


def read_queries(path: Path) -> list[Query]:
    """Read AMBER's queries, rows ``{"id": 1, "image": "AMBER_1.jpg", "query": "..."}``. Raises as ``read_annotations`` does."""
    images, texts = read_texts(path, "id", ("image",)), read_texts(path, "id", ("query",))
    return [Query(key, image, texts[key]) for key, image in images.items()]


# --- reading nouns -----------------------------------------------------------------------------------------------

# where pattern's singular is not the table's word ("leaf", "neckty", "ty")


_SINGULARS = {"leaves": "leave", "neckties": "necktie", "ties": "tie"}
# in descriptions mostly verbs or adjectives ("we can see", "hot day"); their plurals ("leaves", "cans") are read
_BARE_NOT_NOUNS = frozenset({"can", "hot", "leave", "sailing"})


def noun_reader(table: WordTable) -> Nouns:
    """A function that reads the table's words out of a text, in order, repeated ones too.

    Plurals are read as singulars by ``pattern``'s rules. It needs no data, and no tagger either: words that are mostly verbs or
    adjectives are read in the plural only, others ("they watch") may be taken for nouns. The evaluator misses capitalised words
    and loses "leaves" (WordNet: "leaf"); this one does not.
    """
    words = table.words

    def read(text: str) -> list[str]:
        found = []
        for token in re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()):
            word = token if token in words else _SINGULARS.get(token) or pattern_singular(token)
            if word in words and token not in _BARE_NOT_NOUNS:
                found.append(word)
        return found

    return read
