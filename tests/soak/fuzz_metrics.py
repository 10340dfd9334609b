"""Fuzz of what the metrics read: files of captions, truths, questions, answers, benchmarks, vocabularies; and short answers.

    python -m tests.soak.fuzz_metrics --inputs 10000 --seed 0

Valid files are broken at random, in their JSON and in their bytes. Wrong is every exception but a ``ValueError`` that names the file,
an input that takes over 10 seconds, and a planted fault (a lost key, an id given twice, an odd label) that is read without a word.
The same seed gives the same inputs; what is wrong is printed with its number, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from povid_lib.metrics import amber_files, files, llava_bench, mmhal
from povid_lib.metrics.pope import PopeQuestion, parse_as_published
from povid_lib.metrics.spellings import parse_yes_no, rating, two_scores
from povid_lib.metrics.vocabulary import coco_vocabulary, read_vocabulary

WORDS = coco_vocabulary()
ASKED = [PopeQuestion(str(i), f"{i}.jpg", "Is there a dog in the image?", i % 2 == 0) for i in range(1, 5)]
MMHAL = [
    {"image_id": f"i{i}", "question_type": "count", "image_content": ["Cat"], "question": f"How many {i}?", "gt_answer": "Two.",
     "model_answer": "Three."} for i in range(4)
]  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\u2028", "\ud800", "\x00", "nan", "yes ", "a" * 5000,
    [], {}, [[]], [None], {"a": None}, [1, "x"], {"": ""}, "\u202e", "</script>", "0", "٣",
)  # fmt: skip


def rows(*keys: str, n: int = 4) -> list[dict[str, Any]]:
    return [{key: i if key.endswith("id") else f"A dog and a cat {i}." for key in keys} for i in range(1, n + 1)]


COCO = {
    "images": [{"id": i} for i in range(1, 4)],
    "annotations": [{"image_id": i, "category_id": 18} for i in range(1, 4)],
    "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
}
TOLD = {
    "images": [{"id": i} for i in range(1, 4)],
    "annotations": [{"image_id": i, "caption": "A cat."} for i in range(1, 4)],
}
# name -> a valid file, how it is written, how it is read, the keys without which a row must be refused, the key of its id
Case = tuple[Any, bool, Callable[[Path], Any], tuple[str, ...], str | None]
READERS: dict[str, Case] = {
    "captions": (rows("image_id", "caption"), True, files.read_captions, ("image_id", "caption"), "image_id"),
    "truth": ({"1": ["dog"], "2": []}, False, lambda p: files.read_truth(p, WORDS), (), None),
    "coco": (COCO, False, lambda p: files.read_coco_truth(p, None, WORDS), (), None),
    "coco captions": (TOLD, False, lambda p: files.read_coco_truth(beside(p, COCO), p, WORDS), (), None),
    "questions": (
        [{"question_id": i, "image": "1.jpg", "text": "Is there a dog?", "label": "yes"} for i in range(1, 5)], True,
        files.read_questions, ("question_id", "image", "text", "label"), "question_id",
    ),
    "answers": (rows("question_id", "answer"), True, lambda p: files.read_answers(p, ASKED), ("question_id", "answer"), "question_id"),
    "amber queries": (
        [{"id": i, "image": "1.jpg", "query": "Describe this image."} for i in range(1, 5)], False, amber_files.read_queries,
        ("id", "image", "query"), "id",
    ),
    "amber annotations": (
        [{"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
         {"id": 2, "type": "discriminative-attribute-state", "truth": "yes"}], False, amber_files.read_annotations, ("id", "type", "truth"), "id",
    ),
    "amber responses": (rows("id", "response"), False, amber_files.read_responses, ("id", "response"), "id"),
    "mmhal questions": (MMHAL, False, mmhal.read_questions, ("image_id", "question", "gt_answer", "image_content"), None),
    "mmhal answers": (MMHAL, False, lambda p: mmhal.read_answers(p, mmhal.read_questions(beside(p, MMHAL))), ("model_answer",), None),
    "llava answers": (rows("question_id", "text"), True, llava_bench.read_answers, ("question_id", "text"), "question_id"),
    "llava context": (
        [{"image": f"{i}.jpg", "caption": ["A cat."]} for i in range(1, 4)], True, llava_bench._read_context, ("image", "caption"), "image",
    ),
}  # fmt: skip


def beside(path: Path, data: Any) -> Path:
    other = path.with_name("beside.json")
    other.write_text(json.dumps(data), encoding="utf-8")
    return other


def written(data: Any, lines: bool) -> bytes:
    text = "\n".join(json.dumps(row) for row in data) if lines else json.dumps(data)
    return text.encode("utf-8", "surrogatepass")


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = enumerate(data) if isinstance(data, list) else data.items() if isinstance(data, dict) else ()
    return [at] * bool(at) + [place for key, value in inner for place in places(value, (*at, key))]


def odd(data: Any, rng: random.Random) -> Any:
    """One value of the JSON exchanged for an odd one, or lost."""
    found = copy.deepcopy(data)
    *way, last = rng.choice(places(found))
    inner = found
    for key in way:
        inner = inner[key]
    if rng.random() < 0.2:
        del inner[last]
    else:
        inner[last] = rng.choice(ODD)
    return found


def torn(raw: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, lost, doubled or put in; or the file cut, nested deeply, in another coding, or with another end."""
    way = rng.randrange(8)
    at = rng.randrange(len(raw) + 1)
    if way == 0:
        return raw[:at]
    if way == 1:
        return raw[:at] + rng.choice((b"[", b"{", b'"', b",", b"\x00", b"\xff", b"NaN", b"-", b"\\u", b"\n")) + raw[at:]
    if way == 2:
        return raw[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9))) + raw[at + 3 :]
    if way == 3:
        return raw[:at] + b"[" * rng.choice((3, 1000, 200_000)) + raw[at:]
    if way == 4:
        return raw.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    if way == 5:
        return raw.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\x0b"))) + b"\n" * rng.randrange(3)
    if way == 6:
        return raw + raw[at:]
    return raw[:at] + rng.choice((b"9" * 6000, b" " * 100_000, b"1e" + b"9" * 30)) + raw[at:]


def planted(case: Case, rng: random.Random) -> bytes | None:
    """The file with one fault that no reader may let pass; None where there is no such fault."""
    data, lines, _, needed, key = copy.deepcopy(case[0]), *case[1:]
    if not needed:
        return None
    row = rng.choice(data)
    if key and rng.random() < 0.4:
        data.append(row)
    elif rng.random() < 0.5:
        del row[rng.choice(needed)]
    else:
        row[rng.choice(needed)] = rng.choice((None, {}, [[]], 1.5, True))
    return written(data, lines)


def text(rng: random.Random) -> str:
    parts = (
        "yes",
        "No",
        " ",
        "\n",
        "**",
        "8",
        "7/10",
        "Rating:",
        "rating: ",
        "(",
        "5",
        "。",
        "—",
        "'",
        "Answer:",
        "or",
        "0",
        "\ud800",
        "½",
        "٣",
    )
    return "".join(rng.choice(parts) for _ in range(rng.choice((1, 4, 12, 3000))))


def one(rng: random.Random, folder: Path) -> tuple[str, str]:
    """What was tried, and what is wrong with what came of it, "" for nothing."""
    name = rng.choice((*READERS, "vocabulary", "short answers"))
    if name == "short answers":
        said = text(rng)
        found = (parse_yes_no(said), parse_as_published(said), two_scores(said), rating(said))
        fine = found[0] in (True, False, None) and (found[2] is None or 0 <= min(found[2]) <= max(found[2]) <= 10)
        return name, "" if fine and found[3] in (None, *range(7)) else f"{said!r} is read as {found}"
    path = folder / "file.json"
    if name == "vocabulary":
        path.write_bytes(torn(b"person, man\ncat, kitten\nhot dog, hotdog\n", rng))
        kind, read = name, read_vocabulary
    else:
        case = READERS[name]
        bad = planted(case, rng) if rng.random() < 0.3 else None
        way = rng.random()
        path.write_bytes(
            bad or (torn(written(case[0], case[1]), rng) if way < 0.5 else written(odd(case[0], rng), case[1]))
        )
        kind, read = f"{name}, planted" if bad else name, case[2]
    try:
        read(path)
    except ValueError as error:
        plain = type(error) is ValueError and ("file.json" in str(error) or "beside.json" in str(error))
        return kind, "" if plain else f"{type(error).__name__} without the file's name: {error}"
    except Exception as error:  # what this script is for
        return kind, f"{type(error).__name__}: {str(error)[:200]}"
    return kind, "read without a word" if kind.endswith("planted") else ""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    tried, wrong = Counter[str](), 0
    with tempfile.TemporaryDirectory() as place:
        for number in range(asked.inputs):
            start = time.perf_counter()
            name, fault = one(random.Random(f"{asked.seed} {number}"), Path(place))
            if not fault and time.perf_counter() - start > 10:
                fault = f"{time.perf_counter() - start:.0f} s"
            tried[name] += 1
            if fault:
                wrong += 1
                print(f"input {number} (seed {asked.seed}), {name}: {fault}"[:400])
    print(", ".join(f"{name} {n}" for name, n in sorted(tried.items())))
    print(f"{asked.inputs} inputs, {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
