"""LLaVA-Bench: a judge scores a model's answer beside a reference, from 1 to 10 each (Liu et al., 2023, arXiv 2304.08485)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from povid_lib.metrics.llm_judge import Asked, Review, read_lines
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
class Answered(Asked):
    """A question with the reference's and the model's answer. ``category``: conv, detail or complex."""

    context: str
    question: str
    reference: str
    answer: str


def read_answers(questions: Path, context: Path, reference: Path, answers: Path) -> list[Answered]:
    """Join the benchmark's four JSONL files by question and image.

    Raises ``ValueError`` that names file and line, or the question that lacks an answer or a description.
    """
    captions = {row["image"]: row["caption"] for row in read_lines(context, ("image", "caption"))}
    first, second = (
        {str(row["question_id"]): row["text"] for row in read_lines(path, ("question_id", "text"))}
        for path in (reference, answers)
    )
    rows = []
    for row in read_lines(questions, ("question_id", "image", "category", "text")):
        key = str(row["question_id"])
        for path, table, needed in ((context, captions, row["image"]), (reference, first, key), (answers, second, key)):
            if needed not in table:
                raise ValueError(f"{path}: nothing for {needed}, which question {key} of {questions} needs.")
        caption = captions[row["image"]]
        text = caption if isinstance(caption, str) else "\n".join(caption)
        rows.append(Answered(key, row["image"], row["category"], text, row["text"], first[key], second[key]))
    return rows


def prompt(item: Answered) -> str:
    """What the judge is asked, in our own wording; the scale is the published one. The reference is assistant 1, always."""
    return _PROMPT.format(context=item.context, question=item.question, reference=item.reference, answer=item.answer)


def scores(text: str) -> tuple[float, float] | None:
    """The reference's and the model's score from a review's first line; None unless it holds exactly two numbers from 1 to 10.

    The released evaluator splits at single spaces, so it rejects "8, 7"; here that is two numbers.
    """
    words = text.split("\n")[0].replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None  # a word among them: counted as unparsed
    if len(numbers) != 2 or not all(math.isfinite(n) and 1 <= n <= 10 for n in numbers):
        return None
    return numbers[0], numbers[1]


@dataclass(frozen=True)
class Relative:
    """``relative``: 100 times the sum of the model's scores over the sum of the reference's; None if no review could be read.

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
            if (pair := scores(r.text)) is not None:
                pairs.setdefault(r.image, []).append(pair)
        relative = (
            ratio(
                [100 * sum(m for _, m in rows) for rows in pairs.values()],
                [sum(f for f, _ in rows) for rows in pairs.values()],
            )
            if pairs
            else None
        )
        table[category] = Relative(relative, mean([scores(r.text) is None for r in chosen]))
    return table
