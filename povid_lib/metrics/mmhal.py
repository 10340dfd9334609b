"""MMHal-Bench: 96 questions about photos, rated 0 to 6 by a judge who reads the facts (Sun et al., 2023, arXiv 2309.14525)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from povid_lib.files.jsonl import read_rows, words_of
from povid_lib.metrics.llm_judge import Review, ToJudge
from povid_lib.metrics.spellings import rating
from povid_lib.metrics.stats import Estimate, mean

PROMPT_VERSION = "mmhal-1"  # count up with every change of wording: it makes another instrument
_PROMPT = """You are judging an answer that a vision-language model gave to a question about a photo. You cannot see the photo. \
You know the objects in it and an answer written by a person; both are true, but neither is complete.

A hallucination is a statement about the photo that the facts below contradict or give no ground for: a false object, property, \
number, action or relation. General knowledge and sensible inference are not hallucination. Nor is an answer that leaves things \
out or admits that something cannot be seen.

Objects in the photo: {objects}
Question: {question}
Answer written by a person: {reference}
Answer to judge: {answer}

First say in a few sentences what is right and what is wrong. Then end with one line of the form "Rating: N", where N is
6 if there is no hallucination, and the answer is very informative with good analysis or reasoning;
5 if there is no hallucination, and the answer is very informative;
4 if there is no hallucination, and the answer is somewhat informative;
3 if there is no hallucination, but the answer is not informative;
2 if there is hallucination, though the answer is very informative;
1 if there is hallucination, and the answer is somewhat informative;
0 if there is hallucination, and the answer is not informative."""


@dataclass(frozen=True)
class Question:
    """A question with what the judge is told. ``id``: its place in the file, from 1; ``category``: one of the eight types:
    attribute, adversarial, comparison, ...; ``reference``: an answer written by a person."""

    id: str
    image: str
    category: str
    objects: tuple[str, ...]
    question: str
    reference: str


def read_questions(path: Path) -> list[Question]:
    """Read the benchmark's ``response_template.json``. Raises ``ValueError`` with every fault and its line."""
    rows, faults = read_rows(path)
    questions = []
    for number, (where, row) in enumerate(rows, start=1):
        at, fields = faults.at(where), ("question_type", "question", "gt_answer")
        image = at.name_of(row, "image_id")
        category, question, reference = (at.text_of(row, (field,)) for field in fields)
        objects = words_of(row.get("image_content")) if isinstance(row, dict) else None
        if objects is None:
            at.add("no image_content; give it as a list of words")
        questions.append(Question(str(number), image, category, objects or (), question, reference))
    return faults.sound(questions)


def read_answers(path: Path, questions: Sequence[Question]) -> dict[str, str]:
    """Question's id -> answer, from the response file: the template, in its order, with every ``model_answer`` filled in.

    Raises ``ValueError`` with every fault and its line: no answer as text, a row about another question or photo, too few rows or
    too many.
    """
    rows, faults = read_rows(path)
    if rows and len(rows) != len(questions):
        faults.add(f"{len(rows)} rows for {len(questions)} questions; give an answer to each, in their order")
    answers = {}
    for (where, row), question in zip(rows, questions, strict=False):  # their number is checked above
        answers[question.id] = faults.at(where).text_of(row, ("model_answer",))
        if isinstance(row, dict) and row.get("question", question.question) != question.question:
            faults.at(where).add("not the question that stands there in the template; keep its order")
        elif isinstance(row, dict) and row.get("image_id", question.image) != question.image:
            faults.at(where).add(f"image_id is {row['image_id']!r}, in the template {question.image!r}; keep its order")
    return faults.sound(answers)


def to_judge(questions: Sequence[Question], answers: Mapping[str, str]) -> list[ToJudge]:
    """What the judge is asked about each answer, in our own wording; the scale is the published one."""
    return [
        ToJudge(
            q.id,
            q.image,
            q.category,
            _PROMPT.format(
                objects=", ".join(q.objects), question=q.question, reference=q.reference, answer=answers[q.id]
            ),
        )
        for q in questions
    ]


@dataclass(frozen=True)
class MMHal:
    """``score``: mean rating, 0 to 6; ``hallucination``: share of answers rated below 3; ``by_kind``: mean rating by type of
    question; ``unparsed``: share of reviews without one clear rating, which count as 0, as in the released evaluator."""

    score: Estimate
    hallucination: Estimate
    by_kind: dict[str, Estimate]
    unparsed: Estimate


def mmhal(reviews: Sequence[Review]) -> MMHal:
    """Aggregate reviews; every question has a photo of its own. Raises ``ValueError`` if there are none."""
    read = [rating(r.text) for r in reviews]
    ratings = [r or 0 for r in read]
    kinds = dict.fromkeys(r.category for r in reviews)
    return MMHal(
        score=mean(ratings),
        hallucination=mean([r < 3 for r in ratings]),
        by_kind={k: mean([s for s, r in zip(ratings, reviews, strict=True) if r.category == k]) for k in kinds},
        unparsed=mean([r is None for r in read]),
    )
