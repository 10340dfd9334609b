"""Every reader of the library with sound content, for ``fuzz``: those of ``data``, ``files``, ``remote``, ``training``, ``study``,
and of ``metrics``."""

# ruff: noqa: E501 - tables of cases

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from povid_lib.data import others, pair_files, povid_json, true_answers
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.rewrite import outcomes, prompts
from povid_lib.data.rewrite.batch import _read_lines
from povid_lib.files import jsonl
from povid_lib.files import settings as yaml_settings
from povid_lib.metrics import amber_files, files, llava_bench, mmhal
from povid_lib.metrics.pope import PopeQuestion
from povid_lib.metrics.vocabulary import coco_vocabulary
from povid_lib.remote import ledger, reading
from povid_lib.study.methods import read_study
from povid_lib.training.recipe import read_recipe
from tests.soak.fuzz_inputs import EITHER, KEY, LIST, MONEY, NUMBER, ROW, TEXT, WORD, Path_, Reader, Told
from tests.support.fault_server import completion
from tests.support.helpers import povid


def _faulty(found: tuple[int, list[str]]) -> None:
    if found[1]:
        raise Told(found[1][0])


def _free(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def _ended(result: Any) -> None:
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise RuntimeError(repr(result.exception)) from result.exception
    if result.exit_code:
        raise Told(result.output)


def of_data(folder: Path) -> list[Reader]:
    """Those of pairs, journals and settings, with pictures in the folder."""
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    pair_files.write(folder / "sound.jsonl", pairs(4, Offline()))
    ours = [json.loads(line) for line in (folder / "sound.jsonl").read_bytes().splitlines()]
    texts = {("id",): TEXT, ("image",): TEXT, ("prompt",): TEXT, ("chosen",): TEXT, ("rejected",): TEXT}
    talk = [
        [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"A {name}."}]
        for name in ("cat", "dog")
    ]
    turn_places = {(name, at, "value"): TEXT for name in ("conversations", "rejected_conversations") for at in (0, 1)}
    public = [
        {"id": str(i), "image": "a.png", "conversations": talk[0], "rejected_conversations": talk[1]} for i in range(3)
    ]
    said = {
        side: [{"role": "assistant", "content": [{"type": "text", "text": f"A {side} cup."}]}]
        for side in ("chosen", "rejected")
    }
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    trl = [{"id": i, "images": ["a.png"], "prompt": asked, **said} for i in range(3)]
    parts: dict[Path_, str] = {(side, 0, "content", 0, "text"): TEXT for side in said}
    rlhf = [{"idx": i, "image": "a.png", "text": {"question": "?", "chosen": "A.", "rejected": "B."}} for i in range(3)]
    coco = [
        {"images": [{"id": 5, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 5, "caption": "A cat."}]}
    ]
    event = {
        "key": "k",
        "dollars": 0.5,
        "text": completion("", "A dog.").decode(),
        "time": "t",
        "model": "m",
        "prompt": "p",
    }
    events = [
        {"event": "reserved", "key": "k", "dollars": 1.0},
        {"event": "answer", **event},
        {"event": "failed", **event, "key": "j"},
    ]
    reject = {
        "id": "1",
        "reason": "none",
        "raw": "{}",
        "key": "k",
        "model": "m",
        "prompt": "p",
        "time": "t",
        "dollars": 0.0,
    }
    answer = {"answer": "A cat sits.", "changes": [{"kind": "object", "from": "dog", "to": "cat"}]}
    reply = json.loads(completion("", "A dog."))
    truth = true_answers.Truth("1", "a.png", "What?", "A dog sits.")
    dollars: dict[Path_, str] = {("key",): WORD, ("dollars",): MONEY}
    return [
        Reader("pair_files.read", lambda p: list(pair_files.read(p)), ours, texts | {("changes",): LIST}),
        Reader("pair_files.find_faults", lambda p: _faulty(pair_files.find_faults(p, folder)), ours, texts | {("hash",): TEXT}),
        Reader("povid pairs check", lambda p: _ended(povid("pairs", "check", p, "--images", folder)), ours, texts, slow=True),
        Reader("povid pairs convert", lambda p: _ended(povid("pairs", "convert", p, _free(folder / "converted.json"))), ours, texts, slow=True),
        Reader("povid_json.read_povid", povid_json.read_povid, public, {**turn_places, ("id",): TEXT, ("image",): TEXT}, "list"),
        Reader("true_answers.read_llava", true_answers.read_llava, [{k: v for k, v in row.items() if k[0] != "r"} for row in public],
               {("conversations", 0, "value"): TEXT, ("conversations", 1, "value"): TEXT, ("image",): TEXT, ("id",): KEY}, "list"),
        Reader("true_answers.read_truths", lambda p: true_answers.read_truths(p, "What?"), coco,
               {("images",): ROW, ("annotations",): LIST, ("annotations", 0, "caption"): TEXT, ("images", 0, "file_name"): TEXT}, "object"),
        Reader("others.read (TRL)", lambda p: list(others.read(p, folder)[1]), trl,
               {**parts, ("prompt",): LIST, ("prompt", 0): ROW, ("chosen",): LIST, ("images",): LIST}),
        Reader("others.read (RLHF-V)", lambda p: list(others.read(p, folder)[1]), rlhf,
               {("text", "question"): TEXT, ("text", "chosen"): TEXT, ("text",): ROW, ("image",): LIST}),
        Reader("ledger.read_journal", ledger.read_journal, events, dollars | {("event",): LIST}, torn=True),
        Reader("outcomes.read_rejects", outcomes.read_rejects, [reject] * 3, {(): ROW}, torn=True),
        Reader("batch._read_lines", _read_lines, [{"custom_id": f"{i:064x}", "response": {"status_code": 200}} for i in range(3)],
               {("custom_id",): TEXT}),
        Reader("jsonl.read_texts", lambda p: jsonl.read_texts(p, "image_id", ("caption", "text")),
               [{"image_id": i, "caption": "A cat."} for i in range(3)], {("image_id",): KEY}),
        Reader("jsonl.read_members", lambda p: jsonl.read_members(p, "a table")[1].sound([1]), [{"a": ["cat"], "b": []}], {}, "object", lenient=True),
        Reader("prompts.read_reply", lambda p: prompts.read_reply(p.read_text("utf-8", "surrogateescape"), ("object",)), [reply],
               {("choices",): LIST, ("choices", 0, "message"): ROW, ("choices", 0, "message", "content"): TEXT}, "object", lenient=True),
        Reader("reading.usage_of", lambda p: reading.usage_of(p.read_text("utf-8", "surrogateescape")), [reply], {}, "object", lenient=True),
        Reader("prompts.verify", lambda p: _verified(p, truth), [answer], {}, "object", lenient=True),
        Reader("settings.read_yaml", lambda p: yaml_settings.read_yaml(p, "a recipe", "x.yaml"), [{"out": "runs/x", "text": {"seed": 1}}],
               {(): LIST}, "object", lenient=True),
        Reader("recipe.read_recipe", read_recipe, [{"out": "runs/x", "offline": {"n": 4}, "text": {"learning_rate": 1e-4}}],
               {("out",): TEXT, ("text", "learning_rate"): NUMBER, ("offline", "n"): NUMBER}, "object", torn=True),
        Reader("methods.read_study", read_study, [{"out": "runs/x", "scenes": 4, "groups": {"g": {"methods": {"m": {"seeds": 1, "text": {}}}}}}],
               {("out",): TEXT, ("scenes",): NUMBER, ("groups",): LIST, ("groups", "g", "methods", "m", "seeds"): NUMBER}, "object", torn=True),
    ]  # fmt: skip


def _verified(path: Path, truth: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": path.read_text("utf-8", "surrogateescape")}}]})
    answer, changes = prompts.read_reply(body, ("object",))
    prompts.verify(truth, answer, changes)


def readers(folder: Path) -> list[Reader]:
    """All of them."""
    return [*of_data(folder), *of_metrics(folder)]


def of_metrics(folder: Path) -> list[Reader]:
    """Those of truths, captions, questions, answers and benchmarks; what belongs to a file lies in the folder."""

    def beside(name: str, data: Any) -> Path:
        (folder / name).write_text("\n".join(map(json.dumps, data)) if name.endswith("l") else json.dumps(data))
        return folder / name

    def rows(*keys: str) -> list[Any]:
        return [{key: i if key.endswith("id") else f"A dog and a cat {i}." for key in keys} for i in range(1, 5)]

    words = coco_vocabulary()
    asked = [PopeQuestion(str(i), f"{i}.jpg", "Is there a dog in the image?", i % 2 == 0) for i in range(1, 5)]
    listed = {"images": [{"id": i} for i in range(1, 4)]}
    coco = listed | {
        "annotations": [{"image_id": i, "category_id": 18} for i in range(1, 4)],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }
    told = listed | {"annotations": [{"image_id": i, "caption": "A cat."} for i in range(1, 4)]}
    photos = [
        {
            "image_id": f"i{i}",
            "question_type": "count",
            "image_content": ["Cat"],
            "question": f"How many {i}?",
            "gt_answer": "Two.",
            "model_answer": "Three.",
        }
        for i in range(4)
    ]
    questions = [{"question_id": i, "image": "1.jpg", "text": "Is there a dog?", "label": "yes"} for i in range(1, 5)]
    bench = [{"question_id": i, "image": f"{i}.jpg", "category": "conv", "text": "What?"} for i in range(1, 4)]
    context = [{"image": f"{i}.jpg", "caption": ["A cat."]} for i in range(1, 4)]
    amber = [
        {"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
        {"id": 2, "type": "discriminative-attribute-state", "truth": "yes"},
    ]
    instances, template = beside("instances.json", coco), mmhal.read_questions(beside("template.json", photos))
    of_bench = beside("context.jsonl", context), beside("reference.jsonl", rows("question_id", "text"))
    safe = folder / "safe_words.txt"
    safe.write_text("sun\n")
    image: dict[Path_, str] = {
        ("images",): ROW,
        ("annotations",): LIST,
        ("images", 0, "id"): KEY,
        ("annotations", 0, "image_id"): KEY,
    }
    ids: dict[Path_, str] = {("question_id",): KEY}
    return [
        Reader("files.read_captions", files.read_captions, rows("image_id", "caption"), {("image_id",): KEY, ("caption",): WORD}, unique=True),
        Reader("files.read_truth", lambda p: files.read_truth(p, words), [{"1": ["dog"], "2": []}], {("1",): LIST}, "object"),
        Reader("files.read_coco_truth", lambda p: files.read_coco_truth(p, None, words), [coco],
               image | {("categories", 1, "name"): TEXT, ("categories", 0, "id"): KEY}, "object"),
        Reader("files.read_coco_truth (captions)", lambda p: files.read_coco_truth(instances, p, words), [told],
               image | {("annotations", 0, "caption"): WORD}, "object"),
        Reader("files.read_questions", files.read_questions, questions, ids | {("image",): TEXT, ("text",): WORD, ("label",): TEXT}, unique=True),
        Reader("files.read_answers", lambda p: files.read_answers(p, asked), rows("question_id", "answer"), ids | {("answer",): WORD}, unique=True),
        Reader("amber_files.read_queries", amber_files.read_queries, [{"id": i, "image": "1.jpg", "query": "What?"} for i in range(1, 5)],
               {("id",): KEY, ("image",): WORD, ("query",): WORD}, "list", unique=True),
        Reader("amber_files.read_annotations", amber_files.read_annotations, amber, {("id",): KEY, ("type",): TEXT, ("truth",): EITHER}, "list", unique=True),
        Reader("amber_files.read_responses", amber_files.read_responses, rows("id", "response"), {("id",): KEY, ("response",): WORD}, "list", unique=True),
        Reader("amber_files.read_word_table", lambda p: amber_files.read_word_table(p, safe), [{"dog": ["puppy"], "cat": []}], {("dog",): LIST}, "object", lenient=True),
        Reader("mmhal.read_questions", mmhal.read_questions, photos,
               {("image_id",): TEXT, ("question",): WORD, ("gt_answer",): WORD, ("question_type",): WORD, ("image_content",): LIST}, "list"),
        Reader("mmhal.read_answers", lambda p: mmhal.read_answers(p, template), photos, {("model_answer",): WORD}, "list", unique=True),
        Reader("llava_bench.read_questions", lambda p: llava_bench.read_questions(p, *of_bench), bench,
               ids | {("image",): TEXT, ("category",): WORD, ("text",): WORD}, unique=True),
        Reader("llava_bench.read_answers", llava_bench.read_answers, rows("question_id", "text"), ids | {("text",): WORD}, unique=True),
        Reader("llava_bench._read_context", llava_bench._read_context, context, {("image",): TEXT, ("caption",): WORD}, unique=True),
    ]  # fmt: skip
