"""What the pocket model's training reads: patch labels, conversations, token rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from povid_lib.annotators import Annotator
from povid_lib.kinds import NAMES
from povid_lib.pocket import BOS, EOS, IMAGE, IMAGE_TOKENS, PATCH
from povid_lib.scenes import COLOURS, SIDE, SIZES, Scene, draw
from povid_lib.texts import Question, absent_objects, attribute_questions, exist_question, place_question

IGNORE = -100  # a label that cross-entropy skips


def patch_labels(scene: Scene, owner: np.ndarray) -> dict[str, np.ndarray]:
    """For each of the 36 patches, int64: kind (0: background), colour (0: none), size, count and cell of what owns most of it.

    Patches of which an object covers fewer than 20 of 256 pixels are ignored (-100), as is all but the kind of background and
    the cell of objects that are there more than once.
    """
    side = owner.shape[0] // PATCH
    tiles = owner.reshape(side, PATCH, side, PATCH).swapaxes(1, 2).reshape(side * side, -1)
    areas = np.stack([(tiles == i).sum(1) for i in range(len(scene.items))], 1)
    best, area = areas.argmax(1), areas.max(1)
    kinds = np.array([NAMES.index(item.name) + 1 for item in scene.items])
    colours = np.array([tuple(COLOURS).index(item.colour) + 1 if item.colour else 0 for item in scene.items])
    sizes = np.array([tuple(SIZES).index(item.size) for item in scene.items])
    counts = np.array([item.count - 1 for item in scene.items])
    cells = np.array([item.cells[0] if item.count == 1 else IGNORE for item in scene.items])
    held = area >= 20
    return {
        "kind": np.where(held, kinds[best], np.where(area == 0, 0, IGNORE)),
        "colour": np.where(held, colours[best], IGNORE),
        "size": np.where(held, sizes[best], IGNORE),
        "count": np.where(held, counts[best], IGNORE),
        "cell": np.where(held, cells[best], IGNORE),
    }


def own_patches(scene: Scene, name: str) -> Tensor:
    """The patches in which any of an object can be seen: bool (6, 6), rows from the top. Without them it is gone."""
    side = SIDE // PATCH
    seen = draw(scene)[1] == scene.names.index(name)
    return torch.from_numpy(seen.reshape(side, PATCH, side, PATCH).any((1, 3)))


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
    setting = ("adversarial", "random", "popular")[rng.choice(3, p=(0.6, 0.25, 0.15))]
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
