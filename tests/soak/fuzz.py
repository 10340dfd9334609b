"""Readers of ``data`` and ``files`` and the command line, against files and arguments of hypothesis. Run it from the top folder:

    python -m tests.soak.fuzz --inputs 12000 --seed 14

Three things are tried, each of the seeds that the report names. ``broken``: a sound file with something in it replaced, taken away,
doubled or cut; it is read, or refused with a ``ValueError`` or ``OSError``. ``planted``: one fault of a kind that the reader must
refuse. ``command``: ``povid`` with such files and odd arguments; it ends with 0, 1 or 2 and a word. Nothing may take ten seconds.
"""

# ruff: noqa: E501 - tables of cases

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from PIL import Image

from povid_lib.data import images, others, pair_files, povid_json, trl_dataset, true_answers
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.rewrite import outcomes, prompts
from povid_lib.data.rewrite.batch import _read_lines
from povid_lib.files import jsonl
from povid_lib.files import settings as yaml_settings
from povid_lib.remote import ledger, reading
from povid_lib.training.recipe import read_recipe
from tests.support.fault_server import completion
from tests.support.helpers import povid

SECONDS = 10
TEXT, ROW, LIST, KEY, WORD, NUMBER, MONEY = (
    "text",
    "row",
    "list",
    "key",
    "word",
    "number",
    "money",
)  # what must stand at a place
NAN = float("nan")
ODD: list[Any] = [
    None, True, 0, -1, 1e999, NAN, 10**400, 1.5, "", " ", "<image>", "\ud800", "\0", "a" * 70_000, "..", "/etc/passwd", "scene:test/x/1",
    "é雪", [], {}, [None], [[]], {"a": None}, ["<image>"], [{"from": "human", "value": 3}], "2026-13-99", "<image>\n<image>\n?",
]  # fmt: skip
WRONG = {
    TEXT: [None, True, 0, 1.5, [], {}, "", " "],
    KEY: [None, True, 1.5, "", " ", [], {}],
    LIST: [None, True, 0, "", "a", {}, [None], [3]],
    ROW: [None, True, 0, "a", [], [{}]],
    WORD: [None, True, 0, 1.5, [], {}],
    NUMBER: [None, True, "", "a", [], {}, NAN, -1],
    MONEY: [None, True, "", [], {}, -1, NAN],
}
Path_ = tuple[Any, ...]


@dataclass(frozen=True)
class Reader:
    """``read``: in full; ``rows``: sound content, each row by itself; ``needed``: place in a row -> what must stand there;
    ``form``: "list", "lines" or "object"; ``torn``: a last line that is cut is passed over, as is meant;
    ``lenient``: takes whatever a server sends, so that nothing can be planted."""

    name: str
    read: Callable[[Path], object]
    rows: list[Any]
    needed: dict[Path_, str]
    form: str = "lines"
    torn: bool = False
    lenient: bool = False

    def write(self, rows: Any) -> bytes:
        if self.form == "lines":
            return "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        return json.dumps(rows if self.form == "list" else rows[0]).encode()


def _faulty(found: tuple[int, list[str]]) -> None:
    if found[1]:
        raise ValueError(found[1][0])


def _free(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def _ended(result: Any) -> None:
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise RuntimeError(repr(result.exception)) from result.exception
    if result.exit_code:
        raise ValueError(result.output)


def readers(folder: Path) -> list[Reader]:
    """All of them, with pictures in the folder."""
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
        Reader("povid pairs check", lambda p: _ended(povid("pairs", "check", p, "--images", folder)), ours, texts),
        Reader("povid pairs convert", lambda p: _ended(povid("pairs", "convert", p, _free(folder / "converted.json"))), ours, texts),
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
    ]  # fmt: skip


def _verified(path: Path, truth: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": path.read_text("utf-8", "surrogateescape")}}]})
    answer, changes = prompts.read_reply(body, ("object",))
    prompts.verify(truth, answer, changes)


# --- what is broken ----------------------------------------------------------------------------------------------


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield from places(held, (*at, key))


def changed(value: Any, at: Path_, make: Callable[[Any], Any]) -> Any:
    """A copy of the value with what ``make`` makes of what stands at a place; ``...`` takes it out."""
    if not at:
        return make(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    held = changed(copy[at[0]], at[1:], make)
    if held is ...:
        del copy[at[0]]
    else:
        copy[at[0]] = held
    return copy


ANY = st.one_of(st.sampled_from(ODD), st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6))  # fmt: skip
CUTS = [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"]" * 9, b"[" * 5000, b"{", b'"', b"\\u", b'{"a":1,"a":2}', b"NaN", b"*a &a !!x",
        b"\xed\xa0\x80", b"- :", b"9" * 5000]  # fmt: skip


@st.composite
def broken(draw: st.DrawFn, reader: Reader) -> bytes:
    """A file of the reader's form, with changes in its values or its bytes."""
    rows = reader.rows
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.sampled_from(list(places(rows))[1:] or [()]))
        rows = changed(rows, at, lambda _: draw(st.one_of(ANY, st.just(...)))) or [None]
    data = reader.write(rows)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.integers(0, 2))
        part = draw(st.sampled_from(CUTS) | st.binary(max_size=4)) if how else b""
        data = data[:at] + part + data[at + (how == 2) * len(part) :] if how else data[:at]
    return data


@st.composite
def planted(draw: st.DrawFn, reader: Reader) -> bytes:
    """A file with one fault that the reader must refuse."""
    how = draw(st.integers(0, 4 if reader.needed else 3))
    row, data = draw(st.integers(0, len(reader.rows) - 1)), reader.write(reader.rows)
    if how == 0:
        return data + b"\n}{"
    if how == 1 and not reader.torn:
        begin = data.rfind(b"{", 0, len(data) - 4) + 1 if reader.form == "lines" else 1
        return data[: draw(st.integers(max(begin, len(data) - 40), len(data) - 3))]
    if how == 2:
        at = data.index(b'": ') if reader.form != "object" else 0
        return data[:at] + b"\xff" + data[at:] if at else b"\xff" + data
    if how == 3:
        key = data[data.index(b'{"') + 1 : data.index(b'": ') + 1]
        return data.replace(b'{"', b"{" + key + b': 1, "', 1)
    place, kind = draw(st.sampled_from(sorted(reader.needed.items(), key=str)))
    wrong = draw(st.sampled_from(WRONG[kind]))
    return reader.write(changed(reader.rows, (row % len(reader.rows), *place), lambda _: wrong))


# --- the runs ----------------------------------------------------------------------------------------------------


class Report:
    """What was tried and what went wrong."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.slowest: dict[str, float] = {}
        self.failures: list[dict[str, str]] = []

    def try_(self, name: str, kind: str, data: str, call: Callable[[], object]) -> None:
        start, counts = time.perf_counter(), self.counts.setdefault(f"{name}, {kind}", Counter())
        signal.alarm(SECONDS)
        try:
            call()
            how = "ended" if kind == "command" else "read"
        except (ValueError, OSError) as error:
            how = "refused" if str(error).strip() else "refused without a word"
        except BaseException as error:  # whatever else comes is what is looked for
            if isinstance(error, KeyboardInterrupt):
                raise
            how = f"{type(error).__name__}: {error}"[:300]
        finally:
            signal.alarm(0)
        counts["inputs"] += 1
        bad = how not in ("read", "refused", "ended") or (kind == "planted" and how == "read")
        counts["failed" if bad else how] += 1
        self.slowest[name] = max(self.slowest.get(name, 0.0), time.perf_counter() - start)
        if bad and sum(failure["reader"] == name and failure["what"] == how for failure in self.failures) < 3:
            last = traceback.extract_tb(sys.exc_info()[2])
            self.failures.append({"reader": name, "kind": kind, "what": how, "input": data[:400], "at": str(last[-1:])})


def command_of(draw: st.DrawFn, files: list[str]) -> list[str]:
    """An argument list of one of the commands that load no model and train nothing."""
    file = st.sampled_from(files)
    number = st.sampled_from(["-1", "0", "1", "3", "nan", "inf", "1e400", "x", "", "1,5", "9" * 40])
    word = st.sampled_from(["a/b", "..", "", "é", "x", "con", "a" * 300, "-", "\0x"])
    options = {
        ("pairs", "check"): {"": file, "--images": file},
        ("pairs", "convert"): {"": file, " ": file, "--images": file, "--skip-text-only": None},
        ("pairs", "make", "--n", "3"): {"--out": file, "--n": number, "--difficulty": number, "--objects": number, "--seed": number},
        ("pairs", "audit"): {"": file, "--images": file, "--name": word, "--seed": number, "--objects": file},
        ("pairs", "rewrite", "--dry-run", "--model", "m"): {
            "--truth": file, "--images": file, "--out": file, "--input-price": number, "--output-price": number, "--budget": number,
            "--first": number, "--kind": word, "--detail": word, "--base-url": word, "--key-variable": word, "--prompt": word,
        },
        ("evaluate", "--answers"): {"": file, "--data": file, "--captions": file, "--vocabulary": file, "--name": word, "--benchmark": word,
                                    "--judge": word, "--spending-limit": number, "--input-price": number},
        ("world",): {"--cooccurrence": number},
        ("merge",): {"": file, " ": file, "--model": st.sampled_from(["nowhere/none"])},
        ("study",): {"": file, "--part": word, "--only": word},
        ("train",): {"": file, "--out": file, "--seed": number},
    }  # fmt: skip
    command = draw(st.sampled_from(sorted(options)))
    found, needed = (
        list(command),
        {"", " ", "--truth", "--images", "--out", "--data", "--input-price", "--output-price", "--budget"},
    )
    for name, values in options[command].items():
        if draw(st.integers(0, 9)) < (9 if name in needed else 3):
            found += [name] * bool(name.strip()) + ([] if values is None else [draw(values)])
    return found


def files_of(folder: Path) -> list[str]:
    """Names of files, sound and odd ones, folders, a pipe, devices, and what is not there."""
    for reader in readers(folder):
        (folder / f"{reader.name.partition('.')[0]}.{'json' if reader.form == 'list' else 'jsonl'}").write_bytes(
            reader.write(reader.rows)
        )
    (folder / "torn.jsonl").write_bytes((folder / "pair_files.jsonl").read_bytes()[:-40])
    (folder / "coco.json").write_text(
        '{"images": [{"id": 5, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 5, "caption": "A"}]}'
    )
    trl_dataset.write_trl(folder / "ours.parquet", pairs(2, Offline()))
    pq.write_table(pa.table({"prompt": [1], "chosen": [b"x"]}), folder / "odd.parquet")
    (folder / "torn.parquet").write_bytes((folder / "ours.parquet").read_bytes()[:-9])
    (folder / "captions.jsonl").write_text('{"image_id": "5", "caption": "A cat."}\n')
    (folder / "truth.json").write_text('{"5": ["cat"]}')
    (folder / "bad.yaml").write_text("out: [\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    names = sorted(str(path) for path in folder.iterdir() if path.suffix not in (".part",))
    return [
        *names,
        str(folder),
        "/dev/null",
        "/dev/zero",
        str(folder / "none.jsonl"),
        str(folder / "no" / "x.jsonl"),
        "",
        "-",
        "\0",
        "~",
    ]


def _one(trial: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def test(data: bytes) -> None:
        trial(data)

    return test


def fuzz(inputs: int, seed: int, folder: Path, report: Report) -> None:
    """So many inputs, a third of them to the command line."""
    every = readers(folder)
    each, commands = inputs * 2 // 3 // (2 * len(every)), inputs // 3
    how = settings(
        max_examples=each,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    file = folder / "input.jsonl"

    def run(kind: str, reader: Reader, data: bytes) -> None:
        file.write_bytes(data)
        report.try_(reader.name, kind, repr(data), lambda: reader.read(file))

    for at, reader in enumerate(every):
        file.write_bytes(reader.write(reader.rows))
        reader.read(file)  # what is sound is read
        for kind, made in (("broken", broken), ("planted", planted))[: 1 if reader.lenient else 2]:
            trial = functools.partial(run, kind, reader)
            seeded(seed + at)(how(given(made(reader))(_one(trial))))()
    noisy = io.BytesIO()
    Image.effect_noise((24, 24), 60).save(noisy, "PNG")
    trl_dataset.write_trl(folder / "ours.parquet", pairs(3, Offline()))
    held = pa.Table.from_pylist(
        [{"image": {"bytes": noisy.getvalue(), "path": None}, "question": "?", "chosen": "A", "rejected": "B"}]
    )
    pq.write_table(held, folder / "theirs.parquet")
    for name, data, read in (
        ("images.open_picture", noisy.getvalue(), images.open_picture),
        ("trl_dataset.read_trl", (folder / "ours.parquet").read_bytes(), lambda p: list(trl_dataset.read_trl(p))),
        ("others.read (Parquet)", (folder / "theirs.parquet").read_bytes(), lambda p: list(others.read(p, folder)[1])),
    ):
        file = folder / ("input.parquet" if "arquet" in name else "input.jsonl")
        cuts = st.tuples(st.integers(0, len(data)), st.binary(max_size=6), st.booleans())
        torn = cuts.map(lambda cut, data=data: data[: cut[0]] + cut[1] + data[cut[0] + len(cut[1]) :] * cut[2])
        trial = functools.partial(run, "broken", Reader(name, read, [], {}))
        seeded(seed)(how(given(torn)(_one(trial))))()

    (world := folder / "command").mkdir()
    files, here = files_of(world), Path.cwd()
    os.chdir(world)

    def command(data: st.DataObject) -> None:
        arguments = data.draw(st.composite(lambda draw: command_of(draw, files))())

        def call() -> None:
            result = povid(*arguments)
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise RuntimeError(repr(result.exception)) from result.exception
            if result.exit_code not in (0, 1, 2) or not result.output.strip():
                raise RuntimeError(f"ended with {result.exit_code}: {result.output!r}")

        report.try_(f"povid {' '.join(arguments[: 1 + (arguments[0] == 'pairs')])}", "command", repr(arguments), call)

    seeded(seed)(settings(how, max_examples=commands)(given(st.data())(command)))()
    os.chdir(here)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=14)
    given_ = parser.parse_args()

    def alarm(*_: object) -> None:
        raise TimeoutError_

    signal.signal(signal.SIGALRM, alarm)
    report, start = Report(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fuzz(given_.inputs, given_.seed, Path(folder), report)
    total = sum(counts["inputs"] for counts in report.counts.values())
    print(json.dumps({
        "command": f"python -m tests.soak.fuzz --inputs {given_.inputs} --seed {given_.seed}", "inputs": total,
        "by_reader": {name: dict(counts) for name, counts in sorted(report.counts.items())},
        "slowest_seconds": {name: round(seconds, 2) for name, seconds in sorted(report.slowest.items(), key=lambda item: -item[1])[:5]},
        "failures": report.failures, "seconds": round(time.monotonic() - start, 1),
    }, indent=1))  # fmt: skip
    sys.exit(bool(report.failures))


class TimeoutError_(BaseException):
    """More than ten seconds; no ``OSError``, as Python's own would be."""


if __name__ == "__main__":
    main()
