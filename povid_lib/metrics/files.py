"""Captions, truths, questions and answers on disk: read with every fault of a file in one error, written as plain JSON lines.

Ids are strings in memory, whether a file writes 42 or "42".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from povid_lib.files.faults import Faults
from povid_lib.files.jsonl import decode, read_members, read_rows, read_texts, replacing, words_of
from povid_lib.metrics.coco_tables import check_category, coco_tables
from povid_lib.metrics.pope import PopeQuestion
from povid_lib.metrics.vocabulary import Vocabulary


def read_captions(path: str | Path, images: Collection[str] | None = None) -> dict[str, str]:
    """Image id -> caption, in the file's order, from ``{"image_id", "caption"}`` as JSON lines or, like COCO's results, in a list.

    Raises ``ValueError`` with every fault and its line: no id or caption, an id that occurs twice or is not in ``images``, a line
    that is no JSON or not UTF-8, an empty file.
    """
    stranger = "image {id} is not among the {count} images of the truth"
    return read_texts(path, "image_id", ("caption",), images, stranger)


def read_truth(path: str | Path, vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Image id -> objects, from a JSON object of that shape; an image without objects has an empty list.

    Raises ``ValueError`` with every fault and its line, also for an object that is no category of the vocabulary.
    """
    members, faults = read_members(path, "an image id -> objects table")
    truth: dict[str, tuple[str, ...]] = {}
    for where, (image, objects) in members:
        if image in truth:
            faults.at(where).add(f"image {image} occurs a second time", "image twice")
        if (names := words_of(objects)) is None:
            faults.at(where).add(f"the objects of image {image} are not a list of words", "objects")
            continue
        for name in names:
            check_category(name, vocabulary, faults.at(f"{where}: image {image}"))
        truth[image] = names
    return faults.sound(truth)


def read_coco_truth(
    instances: str | Path, captions: str | Path | None, vocabulary: Vocabulary
) -> dict[str, tuple[str, ...]]:
    """Image id -> objects from COCO's annotation files: categories of the instances (POPE's truth), then objects that the human
    captions name, if given (CHAIR's truth; Rohrbach et al., 2018, section 2.1), each once, in the order of the files.

    Raises ``ValueError`` with every fault of a file: a missing table, a category that the vocabulary lacks, an annotation about an
    image that is not listed, or an image that only one of the two files lists.
    """
    objects = coco_tables(
        instances, {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
    )
    found: dict[str, dict[str, None]] = {str(image["id"]): {} for image in objects["images"]}
    faults = Faults(instances)
    categories = {str(category["id"]): category["name"] for category in objects["categories"]}
    for name in categories.values():
        check_category(name, vocabulary, faults.at("categories"))
    for number, row in enumerate(objects["annotations"], start=1):
        at, image, category = faults.at(f"annotation {number}"), str(row["image_id"]), str(row["category_id"])
        if image not in found:
            at.add(f"image {image} is not in the table `images`", "image not listed")
        elif category not in categories:
            at.add(f"category {category} is not in the table `categories`", "category not listed")
        elif not faults:
            found[image][categories[category]] = None
    faults.sound(found)
    if captions is None:
        return {image: tuple(names) for image, names in found.items()}
    texts = coco_tables(captions, {"images": ("id",), "annotations": ("image_id", "caption")})
    faults, listed = Faults(captions), {str(image["id"]) for image in texts["images"]}
    for image in sorted(listed ^ set(found)):
        faults.add(f"image {image} is in only one of this file and {instances}", "image in one file")
    for number, row in enumerate(texts["annotations"], start=1):
        at, image = faults.at(f"annotation {number}"), str(row["image_id"])
        if image not in listed:
            at.add(f"image {image} is not in the table `images`", "image not listed")
        elif not isinstance(row["caption"], str):
            at.add(f"caption is {row['caption']!r}; a text is needed", "caption no text")
        elif not faults:
            found[image] |= dict.fromkeys(vocabulary.mentioned(row["caption"]))
    return faults.sound({image: tuple(names) for image, names in found.items()})


def holds_coco(path: str | Path) -> bool:
    """Whether a file is one of COCO's annotation files, and no image id -> objects table."""
    text, _ = decode(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):  # whoever reads it next says what is wrong with it
        return False
    return isinstance(data, dict) and {"images", "annotations"} <= set(data)


def holds_questions(path: str | Path) -> bool:
    """Whether a file holds POPE's questions, which have labels, rather than a truth."""
    return b'"label"' in Path(path).read_bytes()[:2000]


def read_questions(path: str | Path) -> list[PopeQuestion]:
    """POPE's published question files: JSON lines of ``{"question_id", "image", "text", "label": "yes" or "no"}``.

    Raises ``ValueError`` with every fault and its line.
    """
    rows, faults = read_rows(path)
    questions: list[PopeQuestion] = []
    for where, row in rows:
        at = faults.at(where)
        key = at.id_of(row, "question_id")
        image, text, label = at.name_of(row, "image"), *(at.text_of(row, (name,)) for name in ("text", "label"))
        if isinstance(row, dict) and isinstance(row.get("label"), str) and label not in ("yes", "no"):
            at.add(f"label is {label!r}; it must be yes or no")
        if key is not None and not at.repeated("question_id", key):
            questions.append(PopeQuestion(key, image, text, label == "yes"))
    return faults.sound(questions)


def read_answers(path: str | Path, questions: Iterable[PopeQuestion] | None = None) -> dict[str, str]:
    """Question id -> answer, from JSON lines or a JSON list of ``{"question_id", "answer"}``; LLaVA's key ``text`` will do too.

    Raises ``ValueError`` with every fault and its line, also for a question that is not among ``questions``.
    """
    known = None if questions is None else {q.question_id for q in questions}
    return read_texts(path, "question_id", ("answer", "text"), known, "question {id} was not asked")


def write_captions(path: str | Path, captions: Mapping[str, str]) -> None:
    """Image id -> caption as JSON lines that ``read_captions`` reads."""
    _write(path, ({"image_id": image, "caption": caption} for image, caption in captions.items()))


def write_questions(path: str | Path, questions: Iterable[PopeQuestion]) -> None:
    """POPE's questions as JSON lines that ``read_questions`` reads."""
    _write(
        path,
        (
            {"question_id": q.question_id, "image": q.image, "text": q.text, "label": "yes" if q.present else "no"}
            for q in questions
        ),
    )


def write_answers(path: str | Path, answers: Mapping[str, str]) -> None:
    """Question id -> answer as JSON lines that ``read_answers`` reads."""
    _write(path, ({"question_id": key, "answer": answer} for key, answer in answers.items()))


def _write(path: str | Path, rows: Iterable[Mapping[str, str]]) -> None:
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
