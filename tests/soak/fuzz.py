"""Every reader and the command line against files, models and arguments of hypothesis. Run it from the top folder:

    python -m tests.soak.fuzz --inputs 26500 --models 300 --seed 29

Four things are tried, each of the seed that the report names. ``broken``: a sound file with something in it replaced, taken
away, doubled or cut; it is read, or refused by a ``raise`` of the library's own (an ``OSError`` may be the system's), and readers
of the metrics name the file. ``planted``: one fault of a kind that the reader, or a command with a model, must refuse. ``text``:
what short answers say, which must be a value that there is. ``command``: ``povid`` with such files and odd arguments, also with a
tiny model; it ends with 0, 1 or 2 and a word. Nothing may take ten seconds of the processor, or a minute.
"""

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer.testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from PIL import Image
from typer.main import get_command

from povid_lib.cli.main import is_meant
from povid_lib.data import images, others, trl_dataset
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.evaluation import benchmarks, evaluate
from povid_lib.metrics.pope import parse_as_published
from povid_lib.metrics.spellings import parse_yes_no, rating, two_scores
from povid_lib.metrics.vocabulary import read_vocabulary
from tests.soak import fuzz_commands
from tests.soak.fuzz_inputs import Reader, Told, broken, planted
from tests.soak.fuzz_readers import readers
from tests.support.helpers import povid

SECONDS, MINUTE = 10, 60
NAMES_ITS_FILE = ("files.", "amber_files.", "mmhal.", "llava_bench.", "vocabulary.")  # readers that do
GOOD = {"broken": ("read", "refused"), "planted": ("refused",), "text": ("read",), "command": ("ended",)}
SPOKEN = [
    "yes", "No", " ", "\n", "**", "8", "7/10", "Rating:", "rating: ", "(", "5", "。", "—", "'", "Answer:", "or", "0", "\ud800", "½",
    "٣", "<think>", "</think>", "```", "\\boxed{", "}", "A)", "is",
]  # fmt: skip


class TookTooLong(BaseException):
    """More than it may; no ``OSError``, as Python's own would be."""


class Report:
    """What was tried and what went wrong."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.slowest: dict[str, float] = {}
        self.failures: list[dict[str, str]] = []

    def try_(self, name: str, kind: str, data: str, call: Callable[[], object]) -> None:
        """Count one input; ``call`` raises for what is refused, and returns how else it ended, or None for "read"."""
        start, counts, at = time.process_time(), self.counts.setdefault(f"{name}, {kind}", Counter()), ""
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(MINUTE)
        try:
            how = call() or "read"
        except (ValueError, OSError) as error:
            how, at = _refused(name, error), str(traceback.extract_tb(error.__traceback__)[-1:])
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever else comes is what is looked for
            how, at = f"{type(error).__name__}: {error}"[:300], str(traceback.extract_tb(error.__traceback__)[-1:])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        counts["inputs"] += 1
        bad = how not in GOOD[kind]
        counts["failed" if bad else how] += 1
        self.slowest[name] = max(self.slowest.get(name, 0.0), time.process_time() - start)
        if bad and sum(failure["reader"] == name and failure["what"] == how for failure in self.failures) < 3:
            self.failures.append({"reader": name, "kind": kind, "what": how, "input": data[:400], "at": at})
            print(json.dumps(self.failures[-1]), file=sys.stderr, flush=True)


def _refused(name: str, error: ValueError | OSError) -> str:
    said = str(error)
    if not said.strip():
        return "refused without a word"
    if isinstance(error, ValueError) and not is_meant(error) and not isinstance(error, Told):
        return f"not foreseen: {type(error).__name__}: {said}"[:300]
    if name.startswith(NAMES_ITS_FILE) and not any(
        f"{file}." in said for file in ("input", "context", "reference", "template", "instances")
    ):
        return f"without the file's name: {said}"[:300]
    return "refused"


def run_command(arguments: list[str]) -> str:
    """How ``povid`` ended. Raises ``RuntimeError`` for a traceback, another exit status, or no word."""
    result = povid(*arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise RuntimeError(repr(result.exception)) from result.exception
    if result.exit_code not in (0, 1, 2) or not result.output.strip():
        raise RuntimeError(f"ended with {result.exit_code}: {result.output!r}")
    return "ended" if result.exit_code == 0 else "refused"


def short_answers(text: str) -> None:
    """What is read of a text must be a value that there is. Raises ``RuntimeError`` otherwise."""
    found = (parse_yes_no(text), parse_as_published(text), two_scores(text), rating(text))
    fine = found[0] in (True, False, None) and (found[2] is None or 0 <= min(found[2]) <= max(found[2]) <= 10)
    if not fine or found[3] not in (None, *range(7)):
        raise RuntimeError(f"read as {found}")


def _one(trial: Callable[[Any], None]) -> Callable[[Any], None]:
    def test(data: Any) -> None:
        trial(data)

    return test


def _tried(inputs: int, seed: int, made: st.SearchStrategy[Any], trial: Callable[[Any], None]) -> None:
    how = settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seeded(seed)(how(given(made)(_one(trial))))()


def of_readers(inputs: int, seed: int, folder: Path, report: Report) -> None:
    """So many inputs over all readers."""
    every = readers(folder)
    each, file = inputs // (sum(2 - reader.lenient for reader in every) + 5), folder / "input.jsonl"

    def run(kind: str, reader: Reader, data: bytes) -> None:
        file.write_bytes(data)

        def call() -> None:
            reader.read(file)

        report.try_(reader.name, kind, repr(data), call)

    for at, reader in enumerate(every):
        file.write_bytes(reader.write(reader.rows))
        reader.read(file)  # what is sound is read
        for kind, made in (("broken", broken), ("planted", planted))[: 1 if reader.lenient else 2]:
            _tried(each // (6 if reader.slow else 1), seed + at, made(reader), functools.partial(run, kind, reader))
    noisy = io.BytesIO()
    Image.effect_noise((24, 24), 60).save(noisy, "PNG")
    trl_dataset.write_trl(folder / "ours.parquet", pairs(3, Offline()))
    held = [{"image": {"bytes": noisy.getvalue(), "path": None}, "question": "?", "chosen": "A", "rejected": "B"}]
    pq.write_table(pa.Table.from_pylist(held), folder / "theirs.parquet")
    for name, data, read in (
        ("images.open_picture", noisy.getvalue(), images.open_picture),
        ("trl_dataset.read_trl", (folder / "ours.parquet").read_bytes(), lambda p: list(trl_dataset.read_trl(p))),
        ("others.read (Parquet)", (folder / "theirs.parquet").read_bytes(), lambda p: list(others.read(p, folder)[1])),
        ("vocabulary.read_vocabulary", b"person, man\ncat, kitten\nhot dog, hotdog\n", read_vocabulary),
    ):
        file = folder / ("input.parquet" if "arquet" in name or "trl" in name else "input.jsonl")
        cuts = st.tuples(st.integers(0, len(data)), st.binary(max_size=6), st.booleans())
        torn = cuts.map(lambda cut, data=data: data[: cut[0]] + cut[1] + data[cut[0] + len(cut[1]) :] * cut[2])
        _tried(each, seed, torn, functools.partial(run, "broken", Reader(name, read, [], {})))

    def text(said: str) -> None:
        report.try_("short answers", "text", repr(said), lambda: short_answers(said))

    _tried(
        each,
        seed,
        st.lists(st.sampled_from(SPOKEN), max_size=40).map("".join)
        | st.sampled_from(SPOKEN).map(lambda word: word * 3000),
        text,
    )


def of_commands(inputs: int, with_models: int, seed: int, folder: Path, report: Report) -> None:
    """So many argument lists of the command, and so many with a model."""
    files = fuzz_commands.files_of(folder)

    def command(arguments: list[str]) -> None:
        name = f"povid {' '.join(arguments[: 1 + (arguments[0] in ('pairs', 'pocket'))])}"
        report.try_(name, "command", repr(arguments), lambda: run_command(arguments) and "ended")

    def at_fault(arguments: list[str]) -> None:
        *given_, told = arguments
        report.try_(
            f"povid {given_[0]} with a fault", "planted", told, lambda: run_command(given_).replace("ended", "read")
        )

    _tried(inputs, seed, fuzz_commands.commands(files), command)
    if with_models:
        evaluate.CAPTION_TOKENS = benchmarks.CAPTION_TOKENS = 8  # an untrained model never ends
        fuzz_commands.tiny(folder)
        _tried(with_models // 2, seed, fuzz_commands.model_commands(folder), command)
        _tried(with_models // 2, seed, fuzz_commands.models_at_fault(folder), at_fault)


def main() -> None:
    """Print the report as JSON; the exit status is 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=23_500)
    parser.add_argument("--models", type=int, default=300, help="further inputs, to commands that load a model")
    parser.add_argument("--seed", type=int, default=27)
    asked = parser.parse_args()

    def alarm(*_: object) -> None:
        raise TookTooLong

    # the tree of commands is the same each time, and takes longer to make than most commands
    setattr(typer.testing, "_get_command", functools.cache(get_command))  # noqa: B010 it is not told to mypy
    signal.signal(signal.SIGALRM, alarm)
    signal.signal(signal.SIGPROF, alarm)
    report, start, here, commands = Report(), time.monotonic(), Path.cwd(), asked.inputs // 20
    with tempfile.TemporaryDirectory() as folder:
        (place := Path(folder) / "command").mkdir()
        os.chdir(place)
        of_commands(commands, asked.models, asked.seed, place, report)
        os.chdir(here)
        of_readers(asked.inputs - commands, asked.seed, Path(folder), report)
    total = sum(counts["inputs"] for counts in report.counts.values())
    slowest = sorted(report.slowest.items(), key=lambda item: -item[1])[:5]
    told = {
        "command": f"python -m tests.soak.fuzz --inputs {asked.inputs} --models {asked.models} --seed {asked.seed}",
        "inputs": total,
        "by_reader": {name: dict(counts) for name, counts in sorted(report.counts.items())},
        "slowest_seconds": {name: round(seconds, 2) for name, seconds in slowest},
        "failures": report.failures,
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(told, indent=1))
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
