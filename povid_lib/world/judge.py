"""A judge that knows the truth: scores answers about a scene of the pocket world, as a GPT-4 judge scores answers about a photo.

Answers fall into LLaVA-Bench's three categories (Liu et al., 2023, arXiv 2304.08485): conversation, detailed description, complex
reasoning. A text is read into claims, and each claim is checked against the scene. The sentence forms that
``povid_lib.world.captions`` writes can be read, in any mixture; what cannot be read is counted, and never as right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from povid_lib.metrics.lemmas import as_written
from povid_lib.metrics.spellings import parse_yes_no
from povid_lib.metrics.stats import Estimate, ratio
from povid_lib.metrics.vocabulary import Vocabulary
from povid_lib.world.captions import NUMBERS, WORDS
from povid_lib.world.drawing import COLOURS, SIZES
from povid_lib.world.items import POSITIONS, Item
from povid_lib.world.objects import KINDS
from povid_lib.world.questions import Question
from povid_lib.world.scenes import Scene

SIDES = ("left", "right", "above", "below")
CATEGORIES = ("conversation", "detailed description", "complex reasoning")
# which kind of error a false claim is (POVID, section 3.1: objects, attributes, relations); a position is a spatial relation
ERRORS = {
    "object": "objects", "count": "attributes", "colour": "attributes", "size": "attributes",
    "position": "relations", "relation": "relations",
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One thing said about one kind of object.

    ``kind``, ``value``: object, "present" or "absent"; count, "one" to "three"; colour; size; position, a name of ``POSITIONS``;
    relation, one of ``SIDES`` with ``other`` as the object it is relative to.
    """

    kind: str
    subject: str
    value: str
    other: str = ""


@dataclass(frozen=True)
class Verdict:
    """What an answer claims and what it is worth.

    ``score``: from 0 to 1, by category (see ``judge`` and ``judge_description``). ``unreadable``: sentences, steps or whole
    answers that could not be read. ``follows``: whether the result follows from the answer's own reasons; None outside reasoning.
    """

    category: str
    score: float
    true: tuple[Claim, ...]
    false: tuple[Claim, ...]
    unreadable: int = 0
    follows: bool | None = None


# --- reading -----------------------------------------------------------------------------------------------------


def _one_of(words: Sequence[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))  # longest first: "top left" before "top"


_SIDE = {"to the left of": "left", "to the right of": "right", "above": "above", "below": "below"}
_PLACE = rf"(?:at|on|in) the (?P<position>{_one_of(POSITIONS)})"
_NOUNS, _SIZES, _COLOURS = _one_of(list(WORDS)), _one_of(list(SIZES)), _one_of(list(COLOURS))
_PHRASE = (
    rf"(?:(?P<first>a|an|some|the|{_one_of(NUMBERS)}) )?"
    rf"(?:(?P<size>{_SIZES}) )?(?:(?P<colour>{_COLOURS}) )?(?P<noun>{_NOUNS})"
)
_MEMBER = re.compile(rf"{_PHRASE}(?: {_PLACE})?")
_CLAUSE = re.compile(
    rf"{_PHRASE} (?:is|are) "
    rf"(?:{_PLACE}|(?P<is_size>{_SIZES})|(?P<is_colour>{_COLOURS})|(?P<side>{_one_of(list(_SIDE))}) the (?P<other>{_NOUNS}))"
)


def _claims_of(match: re.Match[str]) -> list[Claim]:
    found = match.groupdict()
    name = WORDS[found["noun"]]
    claims = [Claim("object", name, "present")]
    if found["first"] in ("a", "an", *NUMBERS):  # "the" and "some" leave the number open
        claims.append(Claim("count", name, found["first"] if found["first"] in NUMBERS else "one"))
    for kind in ("size", "colour", "position"):
        claims += [Claim(kind, name, value) for key in (kind, f"is_{kind}") if (value := found.get(key))]
    if found.get("side"):
        other = WORDS[found["other"]]
        claims += [Claim("object", other, "present"), Claim("relation", name, _SIDE[found["side"]], other)]
    return claims


def _read_sentence(sentence: str) -> list[Claim]:
    """The claims of one sentence without its full stop; empty if any part of it cannot be read."""
    text = sentence.lower()
    parts = [_CLAUSE.fullmatch(part) for part in text.split(" and ")]
    if not all(parts):
        listed = re.sub(r"^(there is|there are|i can see) ", "", text)
        parts = [_MEMBER.fullmatch(part) for part in re.split(r", | and ", listed)]
    return [claim for match in parts if match for claim in _claims_of(match)] if all(parts) else []


def read_claims(text: str) -> tuple[tuple[Claim, ...], int]:
    """All different claims of a text in order, and the number of sentences that could not be read.

    A sentence is read whole or not at all. A claim made twice is one claim, so that repetition earns nothing. A text without
    any sentence counts as one unreadable.
    """
    sentences = [s.strip() for s in text.split(".") if s.strip()]
    read = [_read_sentence(sentence) for sentence in sentences]
    return tuple(dict.fromkeys(c for claims in read for c in claims)), read.count([]) if sentences else 1


# --- truth -------------------------------------------------------------------------------------------------------


def holds(claim: Claim, scene: Scene) -> bool | None:
    """Whether a claim is true of a scene; None for a property of an object that is not there, which is neither.

    A colour said of a kind that has none in this world is false. A position is true if one of the objects lies there. A relation
    is true if every one of the first lies at least a column (or row) beyond every one of the second, on that side.
    """
    if claim.kind == "object":
        return (claim.subject in scene.names) == (claim.value == "present")
    if claim.subject not in scene.names or (claim.other and claim.other not in scene.names):
        return None
    item = scene[claim.subject]
    if claim.kind == "relation":
        return _lies(item, claim.value, scene[claim.other])
    if claim.kind == "position":
        return claim.value in [POSITIONS[cell] for cell in item.cells]
    if claim.kind == "count":
        return claim.value == NUMBERS[item.count - 1]
    if claim.kind == "colour":
        return claim.value == item.colour
    if claim.kind == "size":
        return claim.value == item.size
    raise ValueError(f"Unknown kind of claim {claim.kind!r}; kinds are {', '.join(ERRORS)}.")


def _lies(a: Item, side: str, b: Item) -> bool:
    if side in ("left", "right"):
        first, second = [c % 3 for c in a.cells], [c % 3 for c in b.cells]
    else:
        first, second = [c // 3 for c in a.cells], [c // 3 for c in b.cells]
    return max(first) < min(second) if side in ("left", "above") else min(first) > max(second)


# --- judging -----------------------------------------------------------------------------------------------------


def judge_description(scene: Scene, text: str) -> Verdict:
    """Judge a description: ``score`` is the share of true claims; an unreadable sentence counts as one claim that is not true.

    Claims about properties of an absent object are left out: the object itself is the one error. The score says nothing about
    what is left unsaid: read it beside CHAIR's recall.
    """
    claims, unreadable = read_claims(text)
    true, false = _split(scene, claims)
    share = len(true) / (len(true) + len(false) + unreadable)
    return Verdict("detailed description", share, true, false, unreadable)


def judge(scene: Scene, question: Question, answer: str) -> Verdict:
    """Judge an answer to one of the questions of ``povid_lib.world.captions``.

    Conversation (exist, count, colour, size, position, relation): 1 if the one thing said is true. An answer that names no value
    of the kind asked for, or several different ones, or denies one, is unreadable and scores 0.
    Reasoning: 1 if every step after "Reason:" is true and what stands after "Result:" follows from those steps.

    Raises ``ValueError`` for a question of another kind or wording.
    """
    if question.kind == "reason":
        return _judge_reasoning(scene, question.prompt, answer)
    claim = _read_answer(question, answer)
    if claim is None:
        return Verdict("conversation", 0.0, (), (), unreadable=1)
    right = bool(holds(claim, scene))  # None, a property of an absent object, is not right
    return Verdict("conversation", float(right), (claim,) if right else (), () if right else (claim,))


def _split(scene: Scene, claims: Sequence[Claim]) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    truth = [(claim, holds(claim, scene)) for claim in claims]
    return tuple(c for c, t in truth if t), tuple(c for c, t in truth if t is False)


_VALUES = {"count": NUMBERS, "colour": tuple(COLOURS), "size": tuple(SIZES), "position": POSITIONS, "relation": SIDES}


def _read_answer(question: Question, answer: str) -> Claim | None:
    """The claim that an answer to a conversation question makes; None if it cannot be told."""
    if question.kind == "exist":
        said = parse_yes_no(answer)
        return None if said is None else Claim("object", question.about, "present" if said else "absent")
    if question.kind not in _VALUES:
        raise ValueError(f"Unknown kind of question {question.kind!r}; kinds are exist, {', '.join(_VALUES)}, reason.")
    text = answer.lower()
    values = set(re.findall(rf"\b(?:{_one_of(_VALUES[question.kind])})\b", text))
    if len(values) != 1 or re.search(r"\b(?:no|not|never)\b|n't\b", text):
        return None
    (value,) = values
    if question.kind != "relation":
        return Claim(question.kind, question.about, value)
    subject, other = _two_objects(question.prompt, rf"Is the ({_NOUNS}) .* the ({_NOUNS})\?")
    return Claim("relation", subject, value, other)


def _two_objects(prompt: str, pattern: str) -> tuple[str, str]:
    match = re.match(pattern, prompt)
    if match is None:
        raise ValueError(
            f"The question {prompt!r} is not worded as in povid_lib.world.captions; its two objects cannot be told."
        )
    return WORDS[match[1]], WORDS[match[2]]


def _judge_reasoning(scene: Scene, prompt: str, answer: str) -> Verdict:
    match = re.fullmatch(r"Reason: (.+?)\s*Result: (.+?)\.?\s*", answer, re.DOTALL)
    if match is None:
        return Verdict("complex reasoning", 0.0, (), (), unreadable=1, follows=False)
    claims, unreadable = read_claims(match[1])
    true, false = _split(scene, claims)
    result = " ".join(WORDS.get(word, word) for word in match[2].lower().split())
    follows = result == _conclusion(prompt, claims)
    sound = follows and not false and not unreadable
    return Verdict("complex reasoning", float(sound), true, false, unreadable, follows)


def _conclusion(prompt: str, claims: Sequence[Claim]) -> str | None:
    """What follows from the claims for the question asked, in lower case; None if they do not settle it."""
    said = {(c.kind, c.subject): c.value for c in claims}
    if prompt.startswith("Which is larger"):
        a, b = _two_objects(prompt, rf"Which is larger, the ({_NOUNS}) or the ({_NOUNS})\?")
        sizes = [SIZES[said["size", n]] for n in (a, b) if ("size", n) in said]
        if len(sizes) < 2 or sizes[0] == sizes[1]:
            return None
        return f"the {a if sizes[0] > sizes[1] else b}"
    if prompt.startswith("Are there more"):
        names = _two_objects(prompt, rf"Are there more ({_NOUNS}) than ({_NOUNS})\?")
        counts = [NUMBERS.index(said["count", n]) for n in names if ("count", n) in said]
        return None if len(counts) < 2 else "yes" if counts[0] > counts[1] else "no"
    if prompt.startswith("What kind of scene"):
        contexts = {KINDS[c.subject].context for c in claims if c.kind == "object"}
        return contexts.pop() if len(contexts) == 1 else None
    raise ValueError(f"The reasoning question {prompt!r} is not worded as in povid_lib.world.captions.")


# --- report ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """One category. ``score``: mean over answers. ``objects``, ``attributes`` (count, colour, size), ``relations`` (position,
    relation): share of such claims that are false; None: none was made. ``unreadable``: share of everything said that could not
    be read. ``follows``: share of results that follow from their reasons; None outside reasoning."""

    score: Estimate
    objects: Estimate | None
    attributes: Estimate | None
    relations: Estimate | None
    unreadable: Estimate
    follows: Estimate | None


def summarise(verdicts: Sequence[Sequence[Verdict]]) -> dict[str, Judged]:
    """Aggregate the verdicts of each scene (one list a scene) by category; categories that were not asked are left out.

    Raises ``ValueError`` if there is no verdict at all.
    """
    if not any(verdicts):
        raise ValueError("summarise: there are no verdicts; judge at least one answer first.")
    table = {}
    for category in CATEGORIES:
        rows = [[v for v in row if v.category == category] for row in verdicts]
        if rows := [row for row in rows if row]:
            wrong = {error: _share_wrong(rows, error) for error in dict.fromkeys(ERRORS.values())}
            table[category] = Judged(
                score=ratio([sum(v.score for v in row) for row in rows], [len(row) for row in rows]),
                unreadable=ratio(
                    [sum(v.unreadable for v in row) for row in rows],
                    [sum(len(v.true) + len(v.false) + v.unreadable for v in row) for row in rows],
                ),
                follows=ratio([sum(bool(v.follows) for v in row) for row in rows], [len(row) for row in rows])
                if category == "complex reasoning"
                else None,
                **wrong,
            )
    return table


def _share_wrong(rows: Sequence[Sequence[Verdict]], error: str) -> Estimate | None:
    false = [sum(ERRORS[c.kind] == error for v in row for c in v.false) for row in rows]
    true = [sum(ERRORS[c.kind] == error for v in row for c in v.true) for row in rows]
    made = [f + t for f, t in zip(false, true, strict=True)]
    return ratio(false, made) if any(made) else None


def pocket_vocabulary() -> Vocabulary:
    """The pocket world's 48 kinds with their plurals and synonyms, read as they stand."""
    return Vocabulary(WORDS, lemmatise=as_written, name="pocket world")
