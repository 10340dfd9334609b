"""AMBER: descriptions and yes/no questions about 1,004 photos, scored without a language model (Wang et al., 2023, 2311.07397).

Scores follow the released evaluator, whose numbers the published tables hold; where the paper's formula differs, the docstring says
so. Two things of the evaluator are done otherwise, because they need models that must be downloaded first, so its CHAIR and cover
are not ours:

- It takes words tagged as nouns by NLTK and lemmatised by WordNet; here ``noun_reader`` reads them, without a tagger.
- It also lets words match whose spaCy vectors have a cosine above 0.8; here only equal words match, beside AMBER's own table of
  related words. Fewer words then find their object: CHAIR rises, cover falls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from povid_lib.metrics.amber_files import DIMENSIONS, Description, Poll, WordTable, noun_reader
from povid_lib.metrics.spellings import parse_yes_no
from povid_lib.metrics.stats import Estimate, compare, mean, ratio, share

# --- descriptions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DescriptionScore:
    """One description. ``objects``: each mention of a word of the table; ``hallucinated``: those that match nothing true;
    ``covered`` of ``truth`` objects are named; ``expected``: how many of ``hallu`` expected but absent objects are named."""

    objects: tuple[str, ...]
    hallucinated: tuple[str, ...]
    covered: int
    truth: int
    expected: int
    hallu: int


def score_description(description: Description, text: str, table: WordTable) -> DescriptionScore:
    """Score one description as the released evaluator does, with the words that ``noun_reader`` reads.

    A word is credited to the first object that it matches, tables of related words before the objects' own names: with a forest
    and a tree in the picture "tree" finds the forest. An object that is annotated twice can be found once.
    Raises ``ValueError`` for an annotated object that ``relation.json`` lacks.
    """
    truths, hallus = (_targets(description.id, words, table) for words in (description.truth, description.hallu))
    objects = tuple(noun_reader(table)(text))
    covered, expected, hallucinated = set(), set(), []
    for noun in objects:
        if noun in table.safe:
            continue
        if (i := _first(truths, noun)) is not None:
            covered.add(i)
            continue
        if (i := _first(hallus, noun)) is not None:
            expected.add(i)
        hallucinated.append(noun)
    sizes = len(description.truth), len(description.hallu)
    return DescriptionScore(objects, tuple(hallucinated), len(covered), sizes[0], len(expected), sizes[1])


def _targets(key: str, objects: Sequence[str], table: WordTable) -> list[tuple[str, int]]:
    """Words that match, each with the index of its object, in the evaluator's order."""
    if unknown := [name for name in objects if name not in table.related]:
        raise ValueError(f"Annotation {key}: {', '.join(unknown)} not in relation.json; use the files of one release.")
    related = [(word, i) for i, name in enumerate(objects) for word in table.related[name]]
    return related + [(name, i) for i, name in enumerate(objects)]


def _first(targets: Sequence[tuple[str, int]], noun: str) -> int | None:
    return next((i for word, i in targets if noun == word), None)


@dataclass(frozen=True)
class Generative:
    """All shares from 0 to 1, over mentions or objects of all descriptions together. Published numbers are percentages.

    ``chair``: mentions that are false (paper: of different objects). ``cover``: true objects that are named. ``hal``: descriptions
    with a false mention. ``cog``: expected but absent objects that are named, of all such objects, as released; the paper's
    formula divides by the objects of the response instead. A share of nothing (no mention, no expected object) is nan.
    """

    chair: Estimate
    cover: Estimate
    hal: Estimate
    cog: Estimate


def generative(scores: Sequence[DescriptionScore]) -> Generative:
    """Aggregate descriptions, one an image. Raises ``ValueError`` if there are none."""
    return Generative(
        chair=share([len(s.hallucinated) for s in scores], [len(s.objects) for s in scores]),
        cover=share([s.covered for s in scores], [s.truth for s in scores]),
        hal=mean([bool(s.hallucinated) for s in scores]),
        cog=share([s.expected for s in scores], [s.hallu for s in scores]),
    )


# --- yes/no questions --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Discriminative:
    """ "No" is the positive class: it takes a "no" to withstand a hallucination. nan: no such answer (or question) at all.

    ``unclear``: answers that are neither yes nor no, which count as wrong. The evaluator takes only "Yes" and "No" to the letter;
    here the first word decides. Its F1 comes from rounded figures and may differ by 0.1 points.
    """

    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    unclear: Estimate


def discriminative(polls: Sequence[Sequence[tuple[Poll, str]]]) -> Discriminative:
    """Score the answers to each image's questions. Raises ``ValueError`` if there are none."""
    said = [[parse_yes_no(text) for _, text in row] for row in polls]
    truth = [[poll.truth for poll, _ in row] for row in polls]
    pairs = [list(zip(s, t, strict=True)) for s, t in zip(said, truth, strict=True)]
    asked = [len(row) for row in pairs]
    hits = [row.count((False, False)) for row in pairs]
    said_no, truly_no = [row.count(False) for row in said], [row.count(False) for row in truth]
    both = [a + b for a, b in zip(said_no, truly_no, strict=True)]
    return Discriminative(
        accuracy=ratio([sum(s is t for s, t in row) for row in pairs], asked),
        precision=share(hits, said_no),
        recall=share(hits, truly_no),
        f1=share([2 * h for h in hits], both),
        unclear=ratio([row.count(None) for row in said], asked),
    )


# --- both --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Amber:
    """``discriminative``: by dimension ("all", "existence", "attribute", "relation", "state", "number", "action"), as far as
    asked. ``score``: ``((1 - CHAIR) + F1) / 2``, nan where one of them is. None: the task, or one of the two, was not done."""

    generative: Generative | None
    discriminative: dict[str, Discriminative]
    score: Estimate | None


def amber(
    annotations: Mapping[str, Description | Poll],
    responses: Mapping[str, str],
    images: Mapping[str, str],
    table: WordTable,
) -> Amber:
    """Score a model's responses to any part of AMBER; intervals are over images.

    Raises ``ValueError`` if there are no responses, or a response has no annotation or image.
    """
    if not responses:
        raise ValueError("amber: there are no responses.")
    for name, known in (("annotation", annotations), ("image", images)):
        if lost := [key for key in responses if key not in known]:
            raise ValueError(f"amber: the response with id {lost[0]} (and {len(lost) - 1} more) has no {name}.")
    described: dict[str, list[DescriptionScore]] = {}
    polled: dict[str, dict[str, list[tuple[Poll, str]]]] = {}
    for key, text in responses.items():
        row = annotations[key]
        if isinstance(row, Description):
            described.setdefault(images[key], []).append(score_description(row, text, table))
        else:
            for dimension in DIMENSIONS[row.type]:
                polled.setdefault(dimension, {}).setdefault(images[key], []).append((row, text))
    return Amber(
        generative=generative([s for scores in described.values() for s in scores]) if described else None,
        discriminative={dimension: discriminative(list(rows.values())) for dimension, rows in polled.items()},
        score=_score(described, polled["all"]) if described and polled else None,
    )


def _score(
    described: Mapping[str, Collection[DescriptionScore]], polled: Mapping[str, Collection[tuple[Poll, str]]]
) -> Estimate:
    """``((1 - CHAIR) + F1) / 2``, over images with all that belongs to each."""
    false, made, hits, no = [], [], [], []
    for image in dict.fromkeys([*described, *polled]):
        scores, answers = described.get(image, ()), [(p.truth, parse_yes_no(t)) for p, t in polled.get(image, ())]
        false.append(sum(len(s.hallucinated) for s in scores))
        made.append(sum(len(s.objects) for s in scores))
        hits.append(2 * answers.count((False, False)))
        no.append(sum(truth is False for truth, _ in answers) + sum(said is False for _, said in answers))
    if not (any(made) and any(no)):
        return Estimate(float("nan"), float("nan"), float("nan"), len(made))
    return compare((false, made), (hits, no)).difference.through(lambda f1_less_chair: (1 + f1_less_chair) / 2)
