"""Captions, truths, questions and answers on disk: read with every fault of a file in one error, written as plain JSON lines.

Ids are strings in memory, whether a file writes 42 or "42".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from povid_lib.metrics.pope import PopeQuestion
from povid_lib.metrics.vocabulary import Vocabulary

_SHOWN = 100  # faults that an error spells out
_DECODER = json.JSONDecoder()
T = TypeVar("T")
Row = tuple[str, Any]  # where it stands ("line 3"), and what stands there


def read_captions(path: str | Path, images: Collection[str] | None = None) -> dict[str, str]:
    """Image id -> caption, in the file's order, from ``{"image_id", "caption"}`` as JSON lines or, like COCO's results, in a list.

    Raises ``ValueError`` with every fault and its line: no id or caption, an id that occurs twice or is not in ``images``, a line
    that is no JSON or not UTF-8, an empty file.
    """
    captions: dict[str, str] = {}
    rows, faults = read_rows(path)
    seen: dict[str, str] = {}
    for where, row in rows:
        image = identifier(row, "image_id", where, faults)
        caption = _text(row, ("caption",), where, faults)
        if image is None or repeated("image_id", image, where, seen, faults):
            continue
        if images is not None and image not in images:
            faults.append(f"{where}: image {image} is not among the {len(images)} images of the truth")
        captions[image] = caption
    return sound(path, captions, faults)


def read_truth(path: str | Path, vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Image id -> objects, from a JSON object of that shape; an image without objects has an empty list.

    Raises ``ValueError`` with every fault and its line, also for an object that is no category of the vocabulary.
    """
    text, faults = _decode(path)
    truth: dict[str, tuple[str, ...]] = {}
    members = [] if faults or not text.strip() else _members(path, text, "{", "an image id -> objects table")
    for where, (image, names) in members:
        if image in truth:
            faults.append(f"{where}: image {image} occurs a second time")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            faults.append(f"{where}: the objects of image {image} are not a list of words")
            continue
        for name in names:
            _check_category(name, f"{where}: image {image}", vocabulary, faults)
        truth[image] = tuple(names)
    return sound(path, truth, faults)


def read_coco_truth(instances: str | Path, captions: str | Path, vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Image id -> objects from COCO's two annotation files: categories of the instances, then objects that the human captions name
    (CHAIR's truth; Rohrbach et al., 2018, section 2.1), each once, in the order of the files.

    Raises ``ValueError`` with every fault of a file: a missing table, a category that the vocabulary lacks, an annotation about an
    image that is not listed, or an image that only one of the two files lists.
    """
    objects = coco_tables(
        instances, {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
    )
    texts = coco_tables(captions, {"images": ("id",), "annotations": ("image_id", "caption")})
    found: dict[str, dict[str, None]] = {str(image["id"]): {} for image in objects["images"]}
    faults: list[str] = []
    categories = {category["id"]: category["name"] for category in objects["categories"]}
    for name in categories.values():
        _check_category(name, "categories", vocabulary, faults)
    for at, row in enumerate(objects["annotations"], start=1):
        if str(row["image_id"]) not in found:
            faults.append(f"annotation {at}: image {row['image_id']} is not in the table `images`")
        elif row["category_id"] not in categories:
            faults.append(f"annotation {at}: category {row['category_id']} is not in the table `categories`")
        else:
            found[str(row["image_id"])][categories[row["category_id"]]] = None
    sound(instances, found, faults)
    listed = {str(image["id"]) for image in texts["images"]}
    faults = [f"image {image} is in only one of this file and {instances}" for image in sorted(listed ^ set(found))]
    for at, row in enumerate(texts["annotations"], start=1):
        if str(row["image_id"]) not in listed:
            faults.append(f"annotation {at}: image {row['image_id']} is not in the table `images`")
        elif not faults:
            found[str(row["image_id"])] |= dict.fromkeys(vocabulary.mentioned(row["caption"]))
    return sound(captions, {image: tuple(names) for image, names in found.items()}, faults)


def read_questions(path: str | Path) -> list[PopeQuestion]:
    """POPE's published question files: JSON lines of ``{"question_id", "image", "text", "label": "yes" or "no"}``.

    Raises ``ValueError`` with every fault and its line.
    """
    rows, faults = read_rows(path)
    questions: list[PopeQuestion] = []
    seen: dict[str, str] = {}
    for where, row in rows:
        key = identifier(row, "question_id", where, faults)
        image, text, label = (_text(row, (name,), where, faults) for name in ("image", "text", "label"))
        if label not in ("yes", "no", ""):
            faults.append(f"{where}: label is {label!r}; it must be yes or no")
        if key is not None and not repeated("question_id", key, where, seen, faults):
            questions.append(PopeQuestion(key, image, text, label == "yes"))
    return sound(path, questions, faults)


def read_answers(path: str | Path, questions: Iterable[PopeQuestion] | None = None) -> dict[str, str]:
    """Question id -> answer, from JSON lines or a JSON list of ``{"question_id", "answer"}``; LLaVA's key ``text`` will do too.

    Raises ``ValueError`` with every fault and its line, also for a question that is not among ``questions``.
    """
    known = None if questions is None else {q.question_id for q in questions}
    rows, faults = read_rows(path)
    answers: dict[str, str] = {}
    seen: dict[str, str] = {}
    for where, row in rows:
        key = identifier(row, "question_id", where, faults)
        text = _text(row, ("answer", "text"), where, faults)
        if key is None or repeated("question_id", key, where, seen, faults):
            continue
        if known is not None and key not in known:
            faults.append(f"{where}: question {key} was not asked")
        answers[key] = text
    return sound(path, answers, faults)


def write_captions(path: str | Path, captions: Mapping[str, str]) -> None:
    """Image id -> caption as JSON lines that ``read_captions`` reads."""
    _write(path, ({"image_id": image, "caption": caption} for image, caption in captions.items()))


def write_answers(path: str | Path, answers: Mapping[str, str]) -> None:
    """Question id -> answer as JSON lines that ``read_answers`` reads."""
    _write(path, ({"question_id": key, "answer": answer} for key, answer in answers.items()))


def _write(path: str | Path, rows: Iterable[Mapping[str, str]]) -> None:
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    Path(path).write_text(text, encoding="utf-8")


# --- rows and faults ---------------------------------------------------------------------------------------------


def _decode(path: str | Path) -> tuple[str, list[str]]:
    """The file's text, and a fault for every line that is not UTF-8 (those lines come back empty)."""
    data = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "", ["the file is UTF-16; save it as UTF-8"]
    faults: list[str] = []
    lines = [decode_line(line, number, faults) for number, line in enumerate(data.split(b"\n"), start=1)]
    return "\n".join(lines), faults


def decode_line(line: bytes, number: int, faults: list[str]) -> str:
    """The line's text; "" with a fault if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} ({line[error.start]:#04x})"
        faults.append(f"line {number}: {where} is not UTF-8; save the file as UTF-8")
        return ""


def read_rows(path: str | Path) -> tuple[list[Row], list[str]]:
    """The rows of JSON lines, or the items of one JSON list, and the faults so far."""
    text, faults = _decode(path)
    if text.lstrip().startswith("["):
        return ([], faults) if faults else (_members(path, text, "[", "a list"), faults)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        rows += parse_line(line, number, faults)
    return rows, faults


def parse_line(line: str, number: int, faults: list[str]) -> list[Row]:
    """The row that a line of JSON lines holds; none for a blank line, and none with a fault if it is no JSON."""
    try:
        return [(f"line {number}", json.loads(line))] if line.strip() else []
    except json.JSONDecodeError as error:
        faults.append(f"line {number}: no JSON ({error.msg} at column {error.colno})")
        return []


def _members(path: str | Path, text: str, opening: str, what: str) -> list[Row]:
    """The items of the JSON list, or (key, value) pairs of the JSON object, that the text is; each with its line."""
    members: list[Row] = []
    at = _skip(text, 0)
    if text[at : at + 1] != opening:
        fail(path, [f"line {text.count(chr(10), 0, at) + 1}: {what} must begin with {opening}"])
    closing, line, at = {"[": "]", "{": "}"}[opening], 1, _skip(text, at + 1)
    counted = 0
    try:
        while text[at : at + 1] != closing or members:
            line, counted = line + text.count("\n", counted, at), at
            value, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            if opening == "{":
                if not isinstance(value, str) or text[at : at + 1] != ":":
                    raise json.JSONDecodeError("Expecting a key and ':'", text, at)
                inner, at = _DECODER.raw_decode(text, _skip(text, at + 1))
                value, at = (value, inner), _skip(text, at)
            members.append((f"line {line}, entry {len(members) + 1}", value))
            if text[at : at + 1] == closing:
                break
            if text[at : at + 1] != ",":
                raise json.JSONDecodeError("Expecting ','", text, at)
            at = _skip(text, at + 1)
        if _skip(text, at + 1) != len(text):
            raise json.JSONDecodeError("Extra data", text, at + 1)
    except json.JSONDecodeError as error:
        fail(path, [f"line {error.lineno}: no JSON ({error.msg} at column {error.colno})"])
    return members


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def coco_tables(path: str | Path, tables: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A JSON object that has these tables, and in each of their rows these fields."""
    text, faults = _decode(path)
    try:
        data = {} if faults else json.loads(text)
    except json.JSONDecodeError as error:
        fail(path, [f"line {error.lineno}: no JSON ({error.msg} at column {error.colno})"])
    for table, fields in () if faults else tables.items():
        rows = data.get(table) if isinstance(data, dict) else None
        if not isinstance(rows, list):
            faults.append(f"the table `{table}` is missing")
            continue
        for at, row in enumerate(rows, start=1):
            faults += [
                f"`{table}`, row {at}: no {name}" for name in fields if not isinstance(row, dict) or name not in row
            ]
    return sound(path, data, faults)


def identifier(row: Any, key: str, where: str, faults: list[str]) -> str | None:
    value = row.get(key) if isinstance(row, dict) else None
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    faults.append(
        f"{where}: no {key}" if value in (None, "") else f"{where}: {key} is {value!r}, neither number nor name"
    )
    return None


def _text(row: Any, keys: tuple[str, ...], where: str, faults: list[str]) -> str:
    """The first of the keys that the row has; "" is a text."""
    for key in keys if isinstance(row, dict) else ():
        if isinstance(row.get(key), str):
            return str(row[key])
    faults.append(f"{where}: no {' or '.join(keys)}")
    return ""


def repeated(key: str, value: str, where: str, seen: dict[str, str], faults: list[str]) -> bool:
    if value in seen:
        faults.append(f"{where}: {key} {value} already stands in {seen[value]}")
        return True
    seen[value] = where
    return False


def _check_category(name: str, where: str, vocabulary: Vocabulary, faults: list[str]) -> None:
    if vocabulary.words.get(name) != name:
        hint = f"; say {vocabulary.words[name]!r}" if name in vocabulary.words else ""
        faults.append(f"{where}: {name!r} is no category of the vocabulary{hint}")


def sound(path: str | Path, result: T, faults: list[str]) -> T:
    """The result if it holds anything and nothing is at fault."""
    if not faults and not result:
        faults = ["the file holds nothing"]
    if faults:
        fail(path, faults)
    return result


def fail(path: str | Path, faults: list[str]) -> NoReturn:
    more = f"\n  ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    raise ValueError(f"{path}: {count}\n  " + "\n  ".join(faults[:_SHOWN]) + more)
