"""What the pocket model's training reads: patch labels, conversations, token rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from povid_lib.pocket.architecture import BOS, EOS, IMAGE, IMAGE_TOKENS
from povid_lib.world.annotators import Annotator
from povid_lib.world.questions import Question, absent_objects, attribute_questions, exist_question, place_question
from povid_lib.world.scenes import Scene

_POLL_ODDS = {"adversarial": 0.6, "random": 0.25, "popular": 0.15}  # of POPE's settings, in the order of the draw


def pixels(arrays: Sequence[np.ndarray]) -> Tensor:
    """uint8 (96, 96, 3) pictures -> (n, 3, 96, 96) in [-1, 1], exactly as the processor does it."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float().div_(255).sub_(0.5).div_(0.5).contiguous()


def conversation(scene: Scene, annotator: Annotator, rng: np.random.Generator, turns: int = 6) -> list[Question]:
    """Questions with this annotator's answers, shuffled: half yes/no, each by a coin after a present or an absent object.

    A coin, because with as many present as absent objects the last answers could be guessed from the first. The other half are
    of different kinds; a question after a number asks for one, two or three equally often where the scene allows.
    """
    asked_for = turns // 2
    n_present = int(rng.binomial(asked_for, 0.5))
    present = [scene.names[i] for i in rng.permutation(len(scene.names))[:n_present]]
    setting = tuple(_POLL_ODDS)[rng.choice(3, p=tuple(_POLL_ODDS.values()))]
    absent = absent_objects(scene, setting, asked_for - n_present, rng)
    asked = [exist_question(name, annotator.answers_yes(name, scene, rng), rng) for name in (*present, *absent)]
    by_kind: dict[str, list[Question]] = {}
    for question in attribute_questions(scene, rng):
        by_kind.setdefault(question.kind, []).append(question)
    if (place := place_question(scene)) and rng.random() < 0.5:
        by_kind.setdefault("reason", []).insert(0, place)
    kinds = [tuple(by_kind)[i] for i in rng.permutation(len(by_kind))[: turns - len(asked)]]
    for kind in kinds:
        pool = by_kind[kind]
        if kind == "count":
            answers = sorted({q.answer for q in pool})
            wanted = answers[rng.integers(len(answers))]
            pool = [q for q in pool if q.answer == wanted]
        asked.append(pool[rng.integers(len(pool))])
    return [asked[i] for i in rng.permutation(len(asked))]


def encode_chat(
    tokenizer: PreTrainedTokenizerFast, questions: Sequence[Question], context: str | None = None
) -> tuple[list[int], list[int]]:
    """Token ids and, for each, which text to learn it belongs to (0: none; 1, 2, ...: the n-th answer with its ``</s>``).

    The chat opens with the image's tokens or, if there is a ``context``, with that text, which is learnt too, as one answer more.
    """
    ids, answers = [BOS], [0]

    def add(text: str, answer: int = 0, end: Sequence[int] = ()) -> None:
        tokens = [*tokenizer.encode(text), *end]
        ids.extend(tokens)
        answers.extend([answer] * len(tokens))

    for turn, question in enumerate(questions, 1):
        if turn == 1 and context is not None:
            add("USER:")
            add(f" {context}", len(questions) + 1)
            add(f" {question.prompt} ASSISTANT:")
        else:
            add(f"USER: <image>\n{question.prompt} ASSISTANT:" if turn == 1 else f" USER: {question.prompt} ASSISTANT:")
        add(f" {question.answer}", turn, (EOS,))
    if context is None:
        at = ids.index(IMAGE)
        ids[at : at + 1] = [IMAGE] * IMAGE_TOKENS
        answers[at : at + 1] = [0] * IMAGE_TOKENS
    return ids, answers


def answer_weights(answers: Tensor) -> Tensor:
    """(rows, length) answer numbers -> 1/sqrt(length of the answer) for its tokens, 0 for the prompt."""
    lengths = F.one_hot(answers).sum(1)  # (rows, answers + 1)
    return torch.where(answers > 0, lengths.gather(1, answers).float().rsqrt(), 0.0)


def pad(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Right-pad rows of ids. Returns ``(tokens, attention_mask)``, int64 (rows, longest)."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return tokens, mask


def by_length(rows: Sequence[Sequence[int]], parts: int) -> list[np.ndarray]:
    """Indices of the rows in ``parts`` chunks of similar length: less padding."""
    return [c for c in np.array_split(np.argsort([len(row) for row in rows], kind="stable"), parts) if len(c)]
