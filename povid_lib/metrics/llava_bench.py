"""LLaVA-Bench: a judge scores a model's answer beside a reference, from 1 to 10 each (Liu et al., 2023, arXiv 2304.08485)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from povid_lib.files.jsonl import read_rows, read_texts, words_of
from povid_lib.metrics.llm_judge import Review, ToJudge
from povid_lib.metrics.spellings import two_scores
from povid_lib.metrics.stats import Estimate, mean, ratio

PROMPT_VERSION = "llava-bench-1"  # count up with every change of wording: it makes another instrument
_PROMPT = """Two assistants answered a question about a picture. You cannot see the picture; a true description of it stands \
below. Judge how helpful, relevant, accurate and detailed each answer is. What the description contradicts counts against it. \
The order of the answers must not matter, nor their length in itself.

Description: {context}

Question: {question}

Answer of assistant 1: {reference}

Answer of assistant 2: {answer}

Your first line must hold two numbers from 1 (worst) to 10 (best) and nothing else: the score of assistant 1 and the score of \
assistant 2, with a space between them. Give your reasons from the second line on."""


@dataclass(frozen=True)
class Question:
    """A question with what the judge is told. ``category``: conv, detail or complex; ``context``: a true description of the
    picture; ``reference``: the answer that others are held against."""

    id: str
    image: str
    category: str
    question: str
    context: str
    reference: str


def read_questions(questions: Path, context: Path, reference: Path) -> list[Question]:
    """Join three of the benchmark's JSONL files by question and picture.

    Raises ``ValueError`` with every fault of a file and its line, a question that lacks a description or a reference among them.
    """
    captions, first = _read_context(context), read_answers(reference)
    rows, faults = read_rows(questions)
    joined = []
    for where, row in rows:
        at = faults.at(where)
        key = at.id_of(row, "question_id")
        image, category, text = at.name_of(row, "image"), *(at.text_of(row, (field,)) for field in ("category", "text"))
        if key is None or at.repeated("question_id", key):
            continue
        for path, table, needed in ((context, captions, image), (reference, first, key)):
            if needed not in table:
                at.add(f"question {key} needs {needed}, which {path} lacks; use the files of one release")
        joined.append(Question(key, image, category, text, captions.get(image, ""), first.get(key, "")))
    return faults.sound(joined)


def _read_context(path: Path) -> dict[str, str]:
    rows, faults = read_rows(path)
    found = {}
    for where, row in rows:
        at = faults.at(where)
        image = at.name_of(row, "image")
        if image and at.repeated("image", image):
            continue
        captions = row.get("caption") if isinstance(row, dict) else None
        parts = [captions] if isinstance(captions, str) else words_of(captions)
        if not parts:
            at.add("no caption; give it as text, or as a list of texts")
        found[image] = "\n".join(parts or ())
    return faults.sound(found)


def read_answers(path: Path) -> dict[str, str]:
    """Question id -> answer, from rows ``{"question_id": 1, "text": "..."}``. Raises ``ValueError`` with all faults and lines."""
    return read_texts(path, "question_id", ("text",))


def to_judge(questions: Sequence[Question], answers: Mapping[str, str]) -> list[ToJudge]:
    """What the judge is asked about each answer, in our own wording; the scale is the published one. The reference is assistant 1,
    always."""
    return [
        ToJudge(
            q.id,
            q.image,
            q.category,
            _PROMPT.format(context=q.context, question=q.question, reference=q.reference, answer=answers[q.id]),
        )
        for q in questions
    ]


@dataclass(frozen=True)
class Relative:
    """``relative``: 100 times the sum of the model's scores over the sum of the reference's; None if no review could be read,
    or the reference got nothing.

    ``unparsed``: share of reviews without two scores. They are in neither sum; the released evaluator adds -1 to both.
    """

    relative: Estimate | None
    unparsed: Estimate


def llava_bench(reviews: Sequence[Review]) -> dict[str, Relative]:
    """Aggregate reviews by category and over "all"; intervals are over pictures. Raises ``ValueError`` if there are none."""
    table = {}
    for category in (*dict.fromkeys(r.category for r in reviews), "all"):
        chosen = [r for r in reviews if category in (r.category, "all")]
        pairs: dict[str, list[tuple[float, float]]] = {}
        for r in chosen:
            if (pair := two_scores(r.text)) is not None:
                pairs.setdefault(r.image, []).append(pair)
        relative = (
            ratio(
                [100 * sum(m for _, m in rows) for rows in pairs.values()],
                [sum(f for f, _ in rows) for rows in pairs.values()],
            )
            if any(first for rows in pairs.values() for first, _ in rows)
            else None
        )
        table[category] = Relative(relative, mean([two_scores(r.text) is None for r in chosen]))
    return table
