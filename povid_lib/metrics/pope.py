"""POPE: yes/no questions about objects that are and are not in the picture. (Li et al., 2023)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from povid_lib.arguments import check_choice
from povid_lib.metrics.spellings import parse_yes_no
from povid_lib.metrics.stats import Estimate, ratio, share

SETTINGS = ("random", "popular", "adversarial")
WORDING = "Is there {} in the image?"  # the object with its article
YES_NO_HINT = "Answer the question using a single word or phrase."  # as LLaVA's evaluation asks it


# --- questions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PopeQuestion:
    """One question about an image; ``present``: whether the object is there, so whether yes is right."""

    question_id: str
    image: str
    text: str
    present: bool


def article(word: str) -> str:
    """ "an" before a vowel letter, else "a": the rule of POPE's questions, by letter and not by sound."""
    return "an" if word[0].lower() in "aeiou" else "a"


def question_text(name: str) -> str:
    """POPE's wording: "Is there a dog in the image?"."""
    return WORDING.format(f"{article(name)} {name}")


def frequencies(truth: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Object -> number of images that have it, most frequent first; ties in the order of first sight."""
    return dict(Counter(name for names in truth.values() for name in dict.fromkeys(names)).most_common())


def cooccurrences(truth: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """Object -> other object -> number of images that have both, most frequent first; ties in the order of first sight."""
    counts: dict[str, Counter[str]] = {}
    for names in truth.values():
        for a, b in permutations(dict.fromkeys(names), 2):
            counts.setdefault(a, Counter())[b] += 1
    return {name: dict(others.most_common()) for name, others in counts.items()}


def draw_present(truth: Mapping[str, Sequence[str]], n: int = 3, seed: int = 0) -> dict[str, list[str]]:
    """Up to ``n`` of each image's objects, to be asked about."""
    rng = np.random.default_rng(seed)
    listed = {image: list(dict.fromkeys(names)) for image, names in truth.items()}
    return {image: [names[i] for i in rng.permutation(len(names))[:n]] for image, names in listed.items()}


def build_questions(
    truth: Mapping[str, Sequence[str]], setting: str, present: Mapping[str, Sequence[str]], seed: int = 0
) -> list[PopeQuestion]:
    """POPE's questions for image id -> objects (sections 5.1, 5.2): about the ``present`` ones and as many absent ones each.

    The absent ones: ``random``, any; ``popular``, those in most images; ``adversarial``, for each present object asked about, the
    one that most often occurs with it, or any where all of those are in the image or asked about already. Counts are over the
    images of ``truth``; ties go to the object seen first, so the order of an image's objects matters, as in the authors' code.
    ``seed`` is for what is drawn.

    Raises ``ValueError`` for another setting, no image, or a present object that the image does not have.
    """
    check_choice("build_questions: setting", setting, SETTINGS)
    if not truth:
        raise ValueError("build_questions: no image to ask about.")
    rng = np.random.default_rng(seed)
    popular, together = list(frequencies(truth)), cooccurrences(truth)
    questions: list[PopeQuestion] = []
    for image, names in truth.items():
        absent = [name for name in popular if name not in names]
        if foreign := [name for name in present[image] if name not in names]:
            raise ValueError(
                f"build_questions: image {image} has no {foreign[0]!r}, so it cannot be asked about as present."
            )
        for name in present[image][: len(absent)]:
            if setting == "random":
                candidates = []
            elif setting == "popular":
                candidates = absent
            else:
                candidates = [other for other in together.get(name, {}) if other in absent]
            missing = candidates[0] if candidates else absent[rng.integers(len(absent))]
            absent.remove(missing)
            for about, is_there in ((name, True), (missing, False)):
                questions.append(PopeQuestion(str(len(questions) + 1), image, question_text(about), is_there))
    return questions


# --- answers -----------------------------------------------------------------------------------------------------


def parse_as_published(text: str) -> bool:
    """The authors' reading: False if No, no or not is a word before the first full stop, else True.

    Commas are taken out and words divided at spaces only, so "No!", "NO" and "" are yes. Report the share of answers that
    ``parse_yes_no`` finds neither beside it.
    """
    words = text.split(".")[0].replace(",", "").split(" ")
    return not {"No", "no", "not"} & set(words)


@dataclass(frozen=True)
class Confusion:
    """Numbers of answers: yes is positive; ``unclear`` ones are neither yes nor no."""

    tp: int
    fp: int
    tn: int
    fn: int
    unclear: int


@dataclass(frozen=True)
class Pope:
    """``yes_ratio``: share of questions answered "yes"; ``unclear``: share of answers that the strict reading finds neither."""

    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    yes_ratio: Estimate
    unclear: float
    confusion: Confusion


Parse = Callable[[str], bool | None]


def pope(
    answers: Sequence[Sequence[str]],
    truths: Sequence[Sequence[bool]],
    parse: Parse = parse_yes_no,
) -> Pope:
    """Score the answers to each picture's questions; an answer that is neither yes nor no counts as wrong.

    Intervals are clustered by picture. Precision is nan if nothing is answered yes, recall and F1 if there is nothing to find.
    Raises ``ValueError`` if there are no answers, or a picture's answers and truths differ in number.
    """
    counts = _counts(answers, truths, parse)
    sums = _sums(counts)
    texts = [text for row in answers for text in row]
    return Pope(
        accuracy=ratio(*sums["accuracy"]),
        precision=share(*sums["precision"]),
        recall=share(*sums["recall"]),
        f1=share(*sums["f1"]),
        yes_ratio=ratio(*sums["yes_ratio"]),
        unclear=sum(parse_yes_no(text) is None for text in texts) / len(texts),
        confusion=Confusion(*(sum(c[key] for c in counts) for key in ("tp", "fp", "tn", "fn", "unclear"))),
    )


def by_image(questions: Sequence[PopeQuestion], answers: Mapping[str, str]) -> tuple[list[list[str]], list[list[bool]]]:
    """Answers (question id -> text) and truths of each image in turn: what ``pope`` takes.

    Raises ``ValueError`` if a question has no answer, an answer no question, or two questions have one id.
    """
    ids = [q.question_id for q in questions]
    if repeated := [key for key, times in Counter(ids).items() if times > 1]:
        raise ValueError(f"{len(repeated)} question ids occur more than once; the first is {repeated[0]}.")
    if unanswered := [key for key in ids if key not in answers]:
        raise ValueError(f"{len(unanswered)} of {len(ids)} questions have no answer; the first is {unanswered[0]}.")
    if unasked := set(answers) - set(ids):
        raise ValueError(f"{len(unasked)} answers belong to no question; one is {min(unasked)}.")
    rows: dict[str, list[PopeQuestion]] = {}
    for question in questions:
        rows.setdefault(question.image, []).append(question)
    return [[answers[q.question_id] for q in row] for row in rows.values()], [
        [q.present for q in row] for row in rows.values()
    ]


def _counts(answers: Sequence[Sequence[str]], truths: Sequence[Sequence[bool]], parse: Parse) -> list[dict[str, int]]:
    """A picture's confusion counts, and how many of its questions ask about a present object."""
    if [len(row) for row in answers] != [len(row) for row in truths]:
        raise ValueError("pope: answers and truths must have the same pictures, and as many of each for every picture.")
    if not any(answers):
        raise ValueError("pope: there are no answers to score.")
    counts = []
    for row, truth in zip(answers, truths, strict=True):
        said = [(parse(text), present) for text, present in zip(row, truth, strict=True)]
        counts.append(
            {
                "tp": said.count((True, True)),
                "fp": said.count((True, False)),
                "tn": said.count((False, False)),
                "fn": said.count((False, True)),
                "unclear": sum(answer is None for answer, _ in said),
                "present": sum(present for _, present in said),
            }
        )
    return counts


def _sums(counts: Sequence[Mapping[str, int]]) -> dict[str, tuple[list[int], list[int]]]:
    """Numerator and denominator of each measure, a picture each; unclear answers about present objects are missed ones."""
    asked = [c["tp"] + c["fp"] + c["tn"] + c["fn"] + c["unclear"] for c in counts]
    yes = [c["tp"] + c["fp"] for c in counts]
    return {
        "accuracy": ([c["tp"] + c["tn"] for c in counts], asked),
        "precision": ([c["tp"] for c in counts], yes),
        "recall": ([c["tp"] for c in counts], [c["present"] for c in counts]),
        "f1": ([2 * c["tp"] for c in counts], [y + c["present"] for y, c in zip(yes, counts, strict=True)]),
        "yes_ratio": (yes, asked),
    }
