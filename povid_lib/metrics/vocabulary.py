"""Which words name which objects, and how a text is read with them (the text side of CHAIR; Rohrbach et al., 2018).

The rules are those of the CHAIR authors' evaluator, in its order: lower case, words, singular forms, double words, silenced
words, objects. ``read_vocabulary`` with the authors' synonym file gives their numbers exactly; ``coco_vocabulary`` is this
project's own table of the same 80 categories, with the slips of the original repaired (``coco.txt`` says which).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer

from povid_lib.metrics.lemmas import Lemmatise, by_pattern, pattern_singular

COCO_FILE, COMPOUNDS_FILE = (Path(__file__).with_name(name) for name in ("coco.txt", "compounds.txt"))
_PAIRS = (
    *("motor bike", "motor cycle", "air plane", "street light", "traffic light", "traffic signal", "stop light"),
    *("stop sign", "fire hydrant", "parking meter", "suit case", "sports ball", "baseball bat", "baseball glove"),
    *("tennis racket", "wine glass", "hot dog", "cell phone", "mobile phone", "laptop computer", "teddy bear"),
    *("hair drier", "potted plant", "home plate", "train track", "stove top oven"),
)
_ANIMALS = (
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    *("animal", "cub"),
)
# two singular words -> the one word that they are read as; a "baby bird" is no person, a "bow tie" one tie
COCO_DOUBLE_WORDS: Mapping[str, str] = {
    **{pair: pair for pair in _PAIRS},
    **{f"{age} {animal}": animal for age in ("baby", "adult") for animal in _ANIMALS},
    **{f"passenger {vehicle}": vehicle for vehicle in ("jet", "train")},
    **{"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"},  # "glas": pattern's singular of "glass"
}
COCO_UNLESS: Mapping[str, str] = {"seat": "toilet"}  # "the seat of the toilet" is no chair


_BETWEEN = re.compile(r"(?<=\w)(?:/|\\|\.{2,}|…|[–—]|-{2,})(?=\w)")  # parts words that no space parts
_SENTENCES, _TOKENS = PunktSentenceTokenizer(), NLTKWordTokenizer()


def tokenise(text: str) -> list[str]:
    """Lower-case words and punctuation marks, as ``nltk.word_tokenize`` gives them.

    The sentence splitter has no list of abbreviations, because NLTK downloads its own; so "e.g." gives a full stop more here. No
    object's word is an abbreviation, and none is read differently.
    """
    return [token for sentence in _SENTENCES.tokenize(text.lower()) for token in _TOKENS.tokenize(sentence)]


@dataclass(frozen=True)
class ObjectWord:
    """One word of a text that names an object: the singular (or double) word, its category, and which token it is, from 0."""

    word: str
    object: str
    position: int


@dataclass(frozen=True)
class Vocabulary:
    """``words``: singular or double word, lower case -> category; ``double_words``: two singular words -> the word that they are
    read as; ``unless``: word -> the word beside which it names nothing; ``lemmatise``: see ``lemmas``; ``name``: what results call
    it; ``plurals``: plural -> singular, where the lemmatiser has another; ``parts``: whether "dog/cat" is two words, and "hot-dog"
    the double word."""

    words: Mapping[str, str]
    double_words: Mapping[str, str] = field(default_factory=dict)
    unless: Mapping[str, str] = field(default_factory=dict)
    lemmatise: Lemmatise = by_pattern
    name: str = ""
    plurals: Mapping[str, str] = field(default_factory=dict)
    parts: bool = False

    @property
    def record(self) -> dict[str, str | int]:
        """What a result says of it: its name, its lemmatiser, how many words of how many categories, and a digest of its tables."""
        own = [self.plurals] if self.parts else []
        tables = json.dumps([sorted(table.items()) for table in (self.words, self.double_words, self.unless, *own)])
        return {
            "name": self.name,
            "lemmatiser": self.lemmatise.__name__,
            "words": len(self.words),
            "categories": len(self.categories),
            "digest": hashlib.sha256(tables.encode()).hexdigest()[:12],
        }

    @property
    def categories(self) -> tuple[str, ...]:
        """Each category once, in the order of ``words``."""
        return tuple(dict.fromkeys(self.words.values()))

    def read(self, text: str) -> list[tuple[int, str]]:
        """The text's words with the position of their first token: singular, double words joined, silenced words left out."""
        singular = self._singular(tokenise(text))
        found, at = [], 0
        while at < len(singular):
            pair = " ".join(word for _, word in singular[at : at + 2])
            place, word = singular[at]
            found.append((place, self.double_words.get(pair, word)))
            at += 2 if pair in self.double_words else 1
        present = {word for _, word in found}
        return [(at, word) for at, word in found if self.unless.get(word) not in present]

    def _singular(self, tokens: list[str]) -> list[tuple[int, str]]:
        """Base forms with the position of their token; of a token of several words, each at its position."""
        if not self.parts:
            return list(enumerate(self.lemmatise(tokens)))
        pieces = [(at, piece) for at, token in enumerate(tokens) for piece in _BETWEEN.split(token)]
        forms = self.lemmatise([piece for _, piece in pieces])
        found = []
        for (at, piece), form in zip(pieces, forms, strict=True):
            halves = piece.split("-")
            pair = " ".join(
                self.plurals.get(half, base) for half, base in zip(halves, self.lemmatise(halves), strict=True)
            )
            joined = len(halves) == 2 and form not in self.words and pair in self.double_words
            found.append((at, self.double_words[pair] if joined else self.plurals.get(piece, form)))
        return found

    def mentions(self, text: str) -> list[ObjectWord]:
        """Every mention of an object, in order, repeated ones too."""
        return [ObjectWord(word, self.words[word], at) for at, word in self.read(text) if word in self.words]

    def mentioned(self, text: str) -> list[str]:
        """The objects of ``mentions``: what ``chair.score_caption`` takes."""
        return [mention.object for mention in self.mentions(text)]


def read_vocabulary(
    path: str | Path,
    double_words: Mapping[str, str] = COCO_DOUBLE_WORDS,
    unless: Mapping[str, str] = COCO_UNLESS,
    lemmatise: Lemmatise = by_pattern,
) -> Vocabulary:
    """Read a file in the CHAIR authors' format: one category a line, then its synonyms, divided by a comma and one space.

    Exactly one: the authors' file has ``cake,  cheesecake``, and their evaluator never finds " cheesecake" in a text. As there,
    a word of two categories names the later one, and a word with a capital letter is never found, since texts are read in lower
    case. Lines that start with # are comments; empty lines are skipped.

    Raises ``ValueError`` if the file is not UTF-8, names no category, gives a category two lines, or has a comma without its space.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    words: dict[str, str] = {}
    lines_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        category, *synonyms = line.strip().split(", ")
        for word in (category, *synonyms):
            if "," in word or not word.strip():
                raise ValueError(
                    f"{path}, line {number}: {word!r} is no word; write a comma and a space between words."
                )
        if category in lines_of:
            raise ValueError(
                f"{path}, line {number}: category {category!r} already stands in line {lines_of[category]}; join the two."
            )
        lines_of[category] = number
        words |= dict.fromkeys((category, *synonyms), category)
    if not words:
        raise ValueError(f"{path} names no category; write one a line, its synonyms after commas.")
    return Vocabulary(words, double_words, unless, lemmatise, Path(path).name)


def coco_vocabulary(lemmatise: Lemmatise = by_pattern) -> Vocabulary:
    """COCO's 80 categories with this project's own synonyms.

    Unlike with the authors' table, every word is also found in the form that the lemmatiser gives it ("bu" for "bus") and in the
    plurals that ``pattern`` takes for another word's ("ties", "canoes"), every two-word entry is a double word, and so are the
    compounds in which a word loses its meaning ("pedestrian crossing"); slashes part words, and "hot-dog" is "hot dog". For
    numbers that others can compare, read the authors' file with ``read_vocabulary``.
    """
    table = read_vocabulary(COCO_FILE, lemmatise=lemmatise)
    forms = {word: " ".join(lemmatise(word.split())) for word in table.words}
    words = {**{form: table.words[word] for word, form in forms.items()}, **table.words}
    plurals = {} if lemmatise is not by_pattern else _plurals(table.words, words)
    pairs = {form: word for word, form in forms.items() if word.count(" ") == 1}
    for first, second in [word.split() for word in pairs.values()]:
        for plural in _plural_spellings(second):
            pairs[" ".join(lemmatise([first, plural]))] = f"{first} {second}"
    return replace(
        table,
        words=words,
        double_words={**_compounds(words, lemmatise), **pairs, **COCO_DOUBLE_WORDS},
        name="COCO, this project's table",
        plurals=plurals,
        parts=True,
    )


def _plural_spellings(word: str) -> list[str]:
    """How the regular plural of a word may be written."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return [f"{word[:-1]}ies"]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return [f"{word}es"]
    return [f"{word}s", f"{word}es"] if word.endswith("o") else [f"{word}s"]


def _plurals(table: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """Plural -> word for the single words of a table whose plural ``pattern`` reads as a word of no or another category ("ty")."""
    return {
        plural: word
        for word, category in table.items()
        for plural in (_plural_spellings(word) if " " not in word else ())
        if plural not in table and words.get(pattern_singular(plural)) != category
    }


def _compounds(words: Mapping[str, str], lemmatise: Lemmatise) -> dict[str, str]:
    """Two singular words -> the second one, if it names an object, or else the two, which name none."""
    found = {}
    for line in COMPOUNDS_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        first, seconds = line.split(": ")
        for second in seconds.split(", "):
            pair = " ".join(lemmatise([first, second]))
            found[pair] = pair.split()[1] if second in words else pair
    return found
