"""Quiz: questions with a few choices, and for each choice the words that a reader who picks it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from povid_lib.widgets.base import SpecWidget

Choice = tuple[str, str]  # what can be chosen, and what is said to the reader who chooses it


@dataclass(frozen=True)
class Question:
    """A question with three to six ``choices``, of which that at the index ``right`` is right.

    Every choice has its own feedback: what is wrong with it, or why it is right. Texts are plain, with `` `code` `` and no other
    mark-up: write β for $\\beta$. Raises ``ValueError`` that quotes the question and says what it lacks.
    """

    text: str
    choices: tuple[Choice, ...]
    right: int

    def __post_init__(self) -> None:
        for fault in _faults(self):
            raise ValueError(f"Question {self.text[:60]!r}: {fault}.")


class Quiz(SpecWidget):
    """Questions at the end of a chapter, with feedback. Needs no kernel; where no widget runs, the questions stand as text."""

    asset = "quiz"

    def __init__(self, *questions: Question) -> None:
        super().__init__(spec=quiz_spec(questions))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/markdown"] = quiz_text(self.spec)
        return bundle


def quiz_spec(questions: Sequence[Question]) -> dict[str, Any]:
    """The questions as the page has them. Raises ``ValueError`` unless there are three to five, all different, whose right
    choices do not all stand at the same place."""
    texts = [question.text for question in questions]
    if not 3 <= len(texts) <= 5:
        raise ValueError(f"A quiz has three to five questions, and this one has {len(texts)}.")
    if len(set(texts)) < len(texts):
        raise ValueError("The same question is asked twice in one quiz.")
    if len({question.right for question in questions}) == 1:
        raise ValueError(f"The right choice is number {questions[0].right + 1} in every question; move some of them.")
    return {
        "questions": [{"text": q.text, "choices": [list(c) for c in q.choices], "right": q.right} for q in questions]
    }


def quiz_text(spec: dict[str, Any]) -> str:
    """The questions in Markdown, for print and wherever no widget runs: choices by letter, the right ones at the end."""
    lines, right = [], []
    for number, question in enumerate(spec["questions"], 1):
        lines += [f"**Question {number}.** {question['text']}", ""]
        lines += [f"- ({_letter(i)}) {words}" for i, (words, _) in enumerate(question["choices"])] + [""]
        right.append(f"{number} ({_letter(question['right'])})")
    return "\n".join([*lines, f"*Right: {', '.join(right)}.*"])


def _letter(index: int) -> str:
    return "abcdef"[index]


def _faults(question: Question) -> Iterator[str]:
    if not isinstance(question.choices, tuple) or not all(
        isinstance(c, tuple) and len(c) == 2 and all(isinstance(part, str) for part in c) for c in question.choices
    ):
        yield "its choices are pairs of texts, (choice, feedback), in a tuple"
        return
    if not 3 <= len(question.choices) <= 6:
        yield f"it has {len(question.choices)} choices; give three to six"
    if isinstance(question.right, bool) or not isinstance(question.right, int):
        yield f"`right` is the index of the right choice, not {question.right!r}"
    elif not 0 <= question.right < len(question.choices):
        yield f"there is no choice {question.right}; count from 0"
    words = [choice for choice, _ in question.choices]
    for text in (question.text, *words, *(feedback for _, feedback in question.choices)):
        if not text.strip():
            yield "one of its texts is empty; every choice has words and feedback"
        elif "$" in text or text.count("`") % 2:
            yield f"{text[:60]!r} holds mark-up that is not shown: no $, and backticks in pairs"
    twice = {choice for choice in words if words.count(choice) > 1}
    if twice:
        yield f"{min(twice)!r} stands there twice; two numbers may round to the same text"
