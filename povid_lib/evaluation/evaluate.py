"""``povid evaluate``: one model (or one file of answers) against one truth, every measure with interval and n.

Three kinds of data: a split of the pocket world; a truth (image id -> objects), against which captions are scored; a file of
POPE questions. Files and pictures are read before any model is loaded. ``benchmarks`` has the published benchmarks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from povid_lib import models
from povid_lib.arguments import check_choice
from povid_lib.evaluation.answers import (
    ANSWERS,
    BATCH,
    CAPTIONS,
    Asked,
    Asking,
    Names,
    ask_all,
    find_pictures,
    pictures_of,
)
from povid_lib.evaluation.held_out import SPLITS, ask, held_out, listen
from povid_lib.files.jsonl import digest
from povid_lib.metrics import files
from povid_lib.metrics.chair import chair, score_captions
from povid_lib.metrics.pope import YES_NO_HINT, PopeQuestion, by_image, parse_as_published, pope
from povid_lib.metrics.stats import Estimate
from povid_lib.metrics.vocabulary import Vocabulary
from povid_lib.models import end_bias
from povid_lib.models.llava import VLM
from povid_lib.training import reference_cache
from povid_lib.world import judge
from povid_lib.world.captions import PROMPT
from povid_lib.world.judge import pocket_vocabulary
from povid_lib.world.questions import attribute_questions

QUESTIONS = 3  # attribute questions to each scene
CAPTION_TOKENS, ANSWER_TOKENS = 512, 16  # the longest caption and the longest answer after a photo
STRICT, PUBLISHED = "first word is yes or no", "as published"  # how answers to yes/no questions are read


@dataclass(frozen=True)
class Measured:
    """``data``: the measures. ``about``: what they are of, for the result's config: ``n`` pictures measured, ``vocabulary``,
    ``prompt``, ``parser``, what ``Answers.about`` has, and ``unclear``: of each kind of answer how many could not be read, and of
    how many. ``left_out``, where there is one: pictures of which there is no truth to ask about."""

    data: dict[str, Any]
    about: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Who answers: the file ``answers``, or else ``model`` about the pictures in the folder ``images``. What a model says is kept
    under ``said_in``, in a folder of its own for these weights and these questions. ``how``: see ``Asking``."""

    answers: Path | None
    model: str | None
    images: Path | None
    said_in: Path
    how: Asking = Asking()

    def ready(self) -> VLM:
        """The model. Raises ``ValueError`` if none is named."""
        if self.model is None:
            raise ValueError("Nothing answers; give a model, or a file of answers.")
        return models.load(self.model, **self.how.loading)


@dataclass(frozen=True)
class Answers:
    """``texts``: id -> answer, of what has one. ``about``: how many were ``asked``, ``answered`` and ``unanswered``, and
    ``weights``, a digest of the model's; None where a file holds the answers, which does not say."""

    texts: dict[str, str]
    about: dict[str, Any]


def _answers(texts: dict[str, str], asked: int, weights: str | None) -> Answers:
    counts = {"asked": asked, "answered": len(texts), "unanswered": asked - len(texts)}
    return Answers(texts, counts | {"weights": weights})


def kept_in(said_in: Path, vlm: VLM, asked: Any) -> tuple[Path, str]:
    """The folder for what this model says to this, and a digest of its weights as they are loaded: other weights or other questions
    have another folder, so that nothing is mixed."""
    key = reference_cache.key(vlm.model, vlm.processor)
    parts = json.dumps([key, asked], sort_keys=True, default=repr)
    return said_in / hashlib.sha256(parts.encode()).hexdigest()[:12], key["model"]


def answered(
    source: Source,
    asked: Sequence[Asked],
    names: Names,
    read: Callable[[Path], dict[str, str]],
    tokens: int,
    hint: str = "",
) -> Answers:
    """What the source answers. ``read``: how its file of answers is read; ``hint``: a line after each question for a model that
    is not the pocket one; it and ``tokens``, the most of an answer, are those of ``source.how`` where that says them.

    Raises ``ValueError``, before a model is loaded, for faults of a file and for pictures that are missing or cannot be read.
    """
    if source.answers is not None:
        return _answers(read(source.answers), len(asked), None)
    pictures = pictures_of(source.images, asked)
    vlm = source.ready()
    tokens, own = source.how.tokens or tokens, source.how.hint
    if hint and own is not None:
        hint = own
    elif vlm.is_pocket:
        hint = ""
    if hint:
        asked = [Asked(a.id, a.image, f"{a.prompt}\n{hint}") for a in asked]
    seen = {image: digest((source.images or Path()) / name) for image, name in pictures.items()}
    bias = source.how.end_bias
    said = [tokens, *((a.id, seen[a.image], a.prompt) for a in asked), *([bias] if bias else [])]
    folder, weights = kept_in(source.said_in, vlm, said)
    file = folder / ("captions.jsonl" if names == CAPTIONS else "answers.jsonl")
    rows = source.how.rows or BATCH
    texts = ask_all(vlm, asked, source.images or Path(), pictures, file, names, tokens, rows, bias)
    decoding = {"tokens": tokens, "dtype": str(vlm.model.dtype).removeprefix("torch."), "four_bit": vlm.four_bit}
    found = _answers(texts, len(asked), weights)
    return Answers(found.texts, found.about | {"decoding": decoding | {"hint": hint or None, "end_bias": bias}})


# --- the three kinds of data -------------------------------------------------------------------------------------


def evaluate_world(vlm: VLM, split: str, n: int, said_in: Path, constant: float = 0.0) -> Measured:
    """The first ``n`` held-out scenes of a split: CHAIR, POPE in three settings, the exact judge. What is said is kept.
    ``constant``: on the end token's logit, in captions and answers.

    Raises ``ValueError`` for an unknown split.
    """
    check_choice("The pocket world's split", split, SPLITS)
    batch, rng = held_out(split, n), np.random.default_rng(5)
    folder, weights = kept_in(said_in, vlm, [batch, constant] if constant else batch)

    def decode(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        return [a.text for a in end_bias.generate(vlm, pictures, prompts, constant)]

    heard = listen(vlm, batch, decode=decode, keep=folder)
    said = {str(i): text for i, text in enumerate(heard.captions)}
    truth = {str(i): scene.names for i, scene in enumerate(batch)}
    vocabulary = pocket_vocabulary()
    polls = {setting: pope(polled.answers, polled.truths) for setting, polled in heard.polls.items()}
    pools = [attribute_questions(scene, rng) for scene in batch]
    picked = [[pool[k] for k in rng.permutation(len(pool))[:QUESTIONS]] for pool in pools]
    replies = ask(vlm, batch, picked, decode, folder / "questions.jsonl")
    judged = []
    for scene, text, row, given in zip(batch, heard.captions, picked, replies, strict=True):
        verdicts = [judge.judge(scene, q, answer) for q, answer in zip(row, given, strict=True)]
        judged.append([judge.judge_description(scene, text), *verdicts])
    unclear = {
        f"pope {setting}": _share(polls[setting].confusion.unclear, polled.answers)
        for setting, polled in heard.polls.items()
    }
    unclear["judge"] = _share(sum(v.unreadable > 0 for row in judged for v in row), judged)
    data = {"chair": chair(score_captions(said, truth, vocabulary.mentioned)), "pope": polls}
    about = {"n": len(batch), "vocabulary": vocabulary.record, "prompt": PROMPT, "parser": STRICT, "unclear": unclear}
    about |= _answers(said, len(batch), weights).about | {"end_bias": constant}
    return Measured(data | {"judge": judge.summarise(judged)}, about)


def read_truth(path: Path, captions: Path | None, vocabulary: Vocabulary) -> tuple[dict[str, tuple[str, ...]], str]:
    """Image id -> objects, and what that was read from: our table, COCO's instances, or with ``captions`` both of COCO's files.

    Raises ``ValueError`` with every fault of a file.
    """
    if captions is not None:
        return files.read_coco_truth(path, captions, vocabulary), "COCO's instances and captions"
    if files.holds_coco(path):
        return files.read_coco_truth(path, None, vocabulary), "COCO's instances"
    return files.read_truth(path, vocabulary), "a table of objects"


def evaluate_truth_file(path: Path, captions: Path | None, vocabulary: Vocabulary, source: Source) -> Measured:
    """CHAIR of the source's captions against a truth file, see ``read_truth``. Raises as it and ``answered`` do."""
    truth, of = read_truth(path, captions, vocabulary)
    prompt = source.how.prompt or PROMPT
    asked = [Asked(image, image, prompt) for image in truth]
    said = answered(source, asked, CAPTIONS, lambda file: files.read_captions(file, truth), CAPTION_TOKENS)
    about = {
        "n": len(said.texts),
        **said.about,
        "truth": of,
        "vocabulary": vocabulary.record,
        **asked_with(source, prompt, truth),
        "parser": None,
        "unclear": {},
    }
    return Measured({"chair": chair(score_captions(said.texts, truth, vocabulary.mentioned))}, about)


def evaluate_question_file(path: Path, source: Source) -> Measured:
    """POPE on a file of questions. Raises as ``answered`` does."""
    questions = files.read_questions(path)
    said = answered_questions(questions, source)
    both, about = score_questions(questions, said.texts)
    asked = asked_with(source, "the question, with a hint unless pocket", [q.image for q in questions])
    return Measured({"pope": both}, about | said.about | asked)


def answered_questions(questions: Sequence[PopeQuestion], source: Source) -> Answers:
    """The source's answers to POPE's questions. Raises as ``answered`` does."""
    asked = [Asked(q.question_id, q.image, q.text) for q in questions]
    return answered(
        source, asked, ANSWERS, lambda file: files.read_answers(file, questions), ANSWER_TOKENS, YES_NO_HINT
    )


def score_questions(
    questions: Sequence[PopeQuestion], said: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """POPE under the strict rule and under the one of the published evaluator, and what ``Measured.about`` says of it."""
    answers, truths = by_image(questions, said)
    found = {"strict": pope(answers, truths), "as published": pope(answers, truths, parse_as_published)}
    unclear = {"pope": _share(found["strict"].confusion.unclear, answers)}
    about = {"n": len(answers), "vocabulary": None, "parser": {"strict": STRICT, "as published": PUBLISHED}}
    return found, about | {"unclear": unclear}


def asked_with(source: Source, prompt: str, images: Iterable[str]) -> dict[str, str | None]:
    """What the answers are to: ``prompt``, and a digest of the ``pictures``; None where a file holds them, which does not say."""
    if source.answers is not None or source.images is None:
        return {"prompt": None, "pictures": None}
    found = find_pictures(source.images, list(dict.fromkeys(images)))
    return {"prompt": prompt, "pictures": digest(*(source.images / name for name in found.values()))}


def _share(unclear: int, rows: Sequence[Sequence[Any]]) -> dict[str, int]:
    return {"unclear": unclear, "of": sum(map(len, rows))}


# --- for printing ------------------------------------------------------------------------------------------------


def table(data: Any, path: str = "") -> list[tuple[str, Estimate]]:
    """Every ``Estimate`` in nested dictionaries and dataclasses, with its path, for printing."""
    if isinstance(data, Estimate):
        return [(path, data)]
    if is_dataclass(data) and not isinstance(data, type):
        data = {field.name: getattr(data, field.name) for field in fields(data)}
    if isinstance(data, Mapping):
        return [row for key, value in data.items() for row in table(value, f"{path} {key}".strip())]
    return []


def lines(measured: Measured) -> list[str]:
    """The result as it is printed: every measure with its n, then how much of the benchmark was answered, and how many answers
    could not be read."""
    about = measured.about
    scores = [f"{label:<44} {estimate}   n = {estimate.n}" for label, estimate in table(measured.data)]
    answered = [f"{'answered':<44} {about['answered']} of {about['asked']}"]
    if about["unanswered"]:
        answered[0] += f": {about['unanswered']} have no answer, and are in no figure"
    if about.get("left_out"):
        answered.append(f"{'pictures without a truth, left out':<44} {about['left_out']}")
    unclear = [f"{f'unclear answers, {what}':<44} {s['unclear']} of {s['of']}" for what, s in about["unclear"].items()]
    return scores + answered + unclear
