"""What CHAIR cannot see: nouns of a caption that nothing known about the image supports.

CHAIR knows 80 categories; the "riding boots" that POVID's own example adds to a picture are none of them. Here every content noun
counts, and it is supported if it occurs in a text known to be true (human captions, the true answer) or names an object of
the image's truth. The measure needs no model and no network. What it cannot do:

- It takes silence for absence: a true thing that no text mentions counts as unsupported. So it is an upper bound on invented
  things, tighter the more texts there are, and only differences between models on the same images and texts mean anything.
- Words outside the vocabulary have no synonyms ("footwear" is not supported by "boots"), and a word has one meaning.
- It sees nouns, so neither false colours, counts and actions nor false relations between things that are there.
- The tagger (Brill, 1992, with pattern's word lists) takes some verbs for nouns and the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from pattern.text import Parser

from povid_lib.metrics.lemmas import pattern_folder, pattern_singular
from povid_lib.metrics.vocabulary import Vocabulary, tokenise

# nouns that speak of the picture, of places in it or of amounts, and name nothing that could be there or not
_FRAME = """
    image picture photo photograph scene view shot frame moment background foreground middle center centre side left right top
    bottom edge corner front back part area place position direction distance end rest variety number couple pair group bunch lot
    set row series kind type sort piece total addition way thing something time day presence atmosphere focus
    one two three four five six seven eight nine ten
"""
FRAME_WORDS = frozenset(_FRAME.split())


@dataclass(frozen=True)
class NounScore:
    """One caption: its content nouns (singular, in order, each mention), and those that nothing supports."""

    nouns: tuple[str, ...]
    unsupported: tuple[str, ...]


@cache
def _tagger() -> Parser:
    files = {name: str(pattern_folder() / f"en-{name}.txt") for name in ("lexicon", "morphology", "context")}
    return Parser(**files, default=("NN", "NNP", "CD"), language="en")


def content_nouns(text: str) -> list[str]:
    """The text's common nouns in the singular (Penn tags NN and NNS), in order, repeats too, without ``FRAME_WORDS``."""
    tokens = tokenise(text)
    if not tokens:
        return []
    nouns = [
        pattern_singular(word) for word, tag in _tagger().find_tags(tokens) if tag in ("NN", "NNS") and word.isalpha()
    ]
    return [noun for noun in nouns if noun not in FRAME_WORDS]


def score_nouns(caption: str, texts: Sequence[str], objects: Collection[str], vocabulary: Vocabulary) -> NounScore:
    """Which nouns of a caption neither ``captions`` nor ``objects`` (categories of the vocabulary) support.

    A noun is supported if it is a word of the texts (singular, whatever its part of speech), or a word, or part of a double word,
    for an object of the truth or one that the texts mention.

    Raises ``ValueError`` if there is neither text nor object to hold the caption against.
    """
    if not texts and not objects:
        raise ValueError(
            "score_nouns: no text and no object to hold the caption against; every noun would count as false."
        )
    known = {pattern_singular(token) for text in texts for token in tokenise(text)}
    there = {*objects, *(name for text in texts for name in vocabulary.mentioned(text))}
    known |= {part for word, category in vocabulary.words.items() if category in there for part in word.split()}
    nouns = content_nouns(caption)
    return NounScore(tuple(nouns), tuple(noun for noun in nouns if noun not in known))
