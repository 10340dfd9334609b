"""``povid evaluate``: one model (or one file of answers) against one truth, every measure with interval and n.

Three kinds of data: a split of the pocket world; a truth file (image id -> objects), against which captions are scored; a file of
POPE questions. Files and pictures are read before any model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from povid_lib import models
from povid_lib.data.images import open_picture
from povid_lib.evaluation.held_out import SPLITS, ask, captions, held_out
from povid_lib.metrics import files
from povid_lib.metrics import pope as pope_module
from povid_lib.metrics.chair import chair, score_captions
from povid_lib.metrics.pope import PopeQuestion, by_image, parse_as_published, pope
from povid_lib.metrics.stats import Estimate
from povid_lib.metrics.vocabulary import Vocabulary
from povid_lib.models.llava import VLM
from povid_lib.world import judge
from povid_lib.world.captions import PROMPT
from povid_lib.world.judge import pocket_vocabulary
from povid_lib.world.questions import attribute_questions, polls

ENDINGS = (".jpg", ".jpeg", ".png")
QUESTIONS = 3  # attribute questions to each scene


def evaluate_world(vlm: VLM, split: str, n: int, answers: Path) -> dict[str, Any]:
    """The first ``n`` held-out scenes of a split: CHAIR, POPE in three settings, the exact judge. Writes what was said.

    Raises ``ValueError`` for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"No split {split!r} of the pocket world; choose {' or '.join(SPLITS)}.")
    batch, rng = held_out(split, n), np.random.default_rng(5)
    texts = captions(vlm, batch)
    said = {str(i): text for i, text in enumerate(texts)}
    truth = {str(i): scene.names for i, scene in enumerate(batch)}
    files.write_captions(answers / "captions.jsonl", said)
    data = evaluate_captions(said, truth, pocket_vocabulary()) | {"pope": {}}
    for setting in ("random", "popular", "adversarial"):
        asked = [polls(scene, setting) for scene in batch]
        replies = ask(vlm, batch, asked)
        data["pope"][setting] = pope(replies, [[q.answer == "Yes." for q in row] for row in asked])
        flat = {f"{i}-{k}": text for i, row in enumerate(replies) for k, text in enumerate(row)}
        files.write_answers(answers / f"pope_{setting}.jsonl", flat)
    pools = [attribute_questions(scene, rng) for scene in batch]
    picked = [[pool[k] for k in rng.permutation(len(pool))[:QUESTIONS]] for pool in pools]
    judged = []
    for scene, text, row, given in zip(batch, texts, picked, ask(vlm, batch, picked), strict=True):
        verdicts = [judge.judge(scene, q, answer) for q, answer in zip(row, given, strict=True)]
        judged.append([judge.judge_description(scene, text), *verdicts])
    return data | {"judge": judge.summarise(judged)}


def holds_questions(path: Path) -> bool:
    """Whether a file holds POPE's questions, which have labels, rather than a truth."""
    return b'"label"' in path.read_bytes()[:2000]


def evaluate_truth_file(
    path: Path, vocabulary: Vocabulary, answers: Path | None, model: str | None, images: Path | None, said_in: Path
) -> dict[str, Any]:
    """CHAIR against a truth file. The captions: those in ``answers`` if given, else what ``model`` says about the pictures of the
    folder ``images``, kept in ``said_in``.

    Raises ``ValueError``, before a model is loaded, for faults of a file and for pictures that are missing or cannot be read.
    """
    truth = files.read_truth(path, vocabulary)
    if answers is not None:
        said = files.read_captions(answers, truth)
    else:
        pictures = read_pictures(images, list(truth))
        said = describe(ready(model, said_in), pictures, said_in)
    return evaluate_captions(said, truth, vocabulary)


def evaluate_question_file(
    path: Path, answers: Path | None, model: str | None, images: Path | None, said_in: Path
) -> dict[str, Any]:
    """POPE on a file of questions. Answers and pictures, and what is raised, as for ``evaluate_truth_file``."""
    questions = files.read_questions(path)
    if answers is not None:
        said = files.read_answers(answers, questions)
    else:
        pictures = read_pictures(images, list(dict.fromkeys(q.image for q in questions)))
        said = reply(ready(model, said_in), questions, pictures, said_in)
    return evaluate_questions(questions, said)


def ready(model: str | None, said_in: Path) -> VLM:
    """The model, loaded once the folder for what it says is there. Raises ``ValueError`` if no model is named."""
    if model is None:
        raise ValueError("Nothing answers; give a model, or a file of answers.")
    said_in.mkdir(parents=True, exist_ok=True)
    return models.load(model)


def evaluate_captions(
    said: Mapping[str, str], truth: Mapping[str, Sequence[str]], vocabulary: Vocabulary
) -> dict[str, Any]:
    """CHAIR of image id -> caption."""
    return {"chair": chair(score_captions(said, truth, vocabulary.mentioned))}


def evaluate_questions(questions: Sequence[PopeQuestion], said: Mapping[str, str]) -> dict[str, Any]:
    """POPE of question id -> answer, under the strict rule and under the one of the published evaluator."""
    answers, truths = by_image(questions, said)
    return {"pope": {"strict": pope(answers, truths), "as published": pope(answers, truths, parse_as_published)}}


def describe(vlm: VLM, pictures: Mapping[str, Image.Image], answers: Path) -> dict[str, str]:
    """The model's captions of image id -> picture, written to ``answers/captions.jsonl`` too."""
    images = list(pictures.values())
    texts = [a.text for a in models.generate(vlm, images, PROMPT, max_new_tokens=512, batch_size=16, progress=True)]
    said = dict(zip(pictures, texts, strict=True))
    files.write_captions(answers / "captions.jsonl", said)
    return said


def reply(
    vlm: VLM, questions: Sequence[PopeQuestion], pictures: Mapping[str, Image.Image], answers: Path
) -> dict[str, str]:
    """The model's answers to questions, written to ``answers/answers.jsonl`` too."""
    images = [pictures[q.image] for q in questions]
    prompts = [f"{q.text}\n{pope_module.YES_NO_HINT}" if not vlm.is_pocket else q.text for q in questions]
    texts = [a.text for a in models.generate(vlm, images, prompts, max_new_tokens=16, batch_size=16, progress=True)]
    said = {q.question_id: text for q, text in zip(questions, texts, strict=True)}
    files.write_answers(answers / "answers.jsonl", said)
    return said


def read_pictures(folder: Path | None, images: Sequence[str]) -> dict[str, Image.Image]:
    """Image id or file name -> RGB picture.

    Raises ``ValueError`` without a folder, as ``find_pictures`` does, and with the first ten pictures that cannot be read.
    """
    if folder is None:
        raise ValueError("A model needs the pictures; give their folder with --images.")
    pictures, broken = {}, []
    for image, path in find_pictures(folder, images).items():
        try:
            pictures[image] = open_picture(path).image
        except ValueError as error:
            broken.append(f"{path.name} ({error})")
    if broken:
        raise ValueError(
            f"{folder}: {len(broken)} of {len(images)} pictures cannot be read; replace them: {', '.join(broken[:10])}"
            f"{', ...' if len(broken) > 10 else ''}."
        )
    return pictures


def find_pictures(folder: Path, images: Sequence[str]) -> dict[str, Path]:
    """Image id or file name -> file: ``<id>``, ``<id>.jpg`` (.jpeg, .png), or COCO's ``..._<12 digits>.jpg``.

    Raises ``ValueError`` with the number of pictures that are missing and the first ten of them.
    """
    there = {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    by_number = {path.stem.rsplit("_", 1)[-1].lstrip("0"): path for path in there.values()}
    found: dict[str, Path] = {}
    for image in images:
        names = [image, *(f"{image}{ending}" for ending in ENDINGS)]
        path = next((there[name] for name in names if name in there), by_number.get(image))
        if path is not None:
            found[image] = path
    if missing := [image for image in images if image not in found]:
        raise ValueError(
            f"{folder} lacks {len(missing)} of {len(images)} pictures: {', '.join(missing[:10])}"
            f"{', ...' if len(missing) > 10 else ''}. Name them <id>.jpg, or give the folder that holds them with --images."
        )
    return found


def table(data: Any, path: str = "") -> list[tuple[str, Estimate]]:
    """Every ``Estimate`` in nested dictionaries and dataclasses, with its path, for printing."""
    if isinstance(data, Estimate):
        return [(path, data)]
    if is_dataclass(data) and not isinstance(data, type):
        data = {field.name: getattr(data, field.name) for field in fields(data)}
    if isinstance(data, Mapping):
        return [row for key, value in data.items() for row in table(value, f"{path} {key}".strip())]
    return []
