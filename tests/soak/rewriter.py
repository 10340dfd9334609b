"""The rewriter against a server that fails, killed and resumed: every row must end once, nothing may be sent that was answered,
and the money must keep within the limit. Prints a JSON report. Run it from the top folder:

    python -m tests.soak.rewriter --rows 1000 --rate 0.3 --kills 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from povid_lib.data.rewrite.request import prepare
from povid_lib.data.rewrite.rewriter import RewriterConfig, dry_run, rewrite
from povid_lib.data.true_answers import Truth
from povid_lib.remote.ledger import read_journal
from tests.support.fault_server import FaultServer

PRICES = {"input_price": 2.5, "output_price": 10.0}  # of the server of these tests
STOPPED = 3  # exit status of a run that gave up on the server
KEY = "sk-soak-0123456789abcdefghij"


def truths(n: int) -> list[Truth]:
    """Captions, each different, of four pictures."""
    text = "A dog sits beside the red car number {}. It is near a tree."
    return [Truth(f"row-{i}", f"{i % 4}.png", "Describe the picture.", text.format(i)) for i in range(n)]


def pictures(folder: Path) -> None:
    """Four pictures of 600 x 400 pixels, named 0.png to 3.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(4):
        Image.new("RGB", (600, 400), (60 * i, 100, 200)).save(folder / f"{i}.png")


def work(folder: Path) -> None:
    """What is killed: rewrite all rows of folder/job.json, and append the pairs to folder/pairs.jsonl."""
    job, kept = json.loads((folder / "job.json").read_text()), folder / "pairs.jsonl"
    config = RewriterConfig(**job["config"])
    with kept.open("ab") as file:
        file.truncate(kept.read_bytes().rfind(b"\n") + 1)  # a line that the kill cut short
        done = [json.loads(line)["id"] for line in kept.read_bytes().splitlines()]
        files = folder / "journal.jsonl", folder / "rejects.jsonl"
        try:
            for pair in rewrite(config, truths(job["rows"]), folder / "images", *files, done=done):
                file.write(f"{json.dumps(asdict(pair))}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except RuntimeError as error:
            print(error, file=sys.stderr)
            sys.exit(STOPPED)


def soak(folder: Path, rows: int, rate: float, kills: int, seed: int = 0, limit: float = 1.0) -> dict[str, Any]:
    """Run to the end with so many kills at random moments. The limit starts at ``limit`` dollars and is doubled each time that a
    run stops at it. Returns what happened; ``faults_found`` is empty if all went as it must."""
    rng, start, found = random.Random(seed), time.monotonic(), list[str]()
    pictures(folder / "images")
    rows_of, killed, runs, stops, gave_up = truths(rows), 0, 0, 0, 0
    journal = folder / "journal.jsonl"
    moments = sorted(rng.sample(range(1, max(2 * kills, int(0.8 * rows))), kills))
    answered: set[str] = set()
    with FaultServer(rate=rate, seed=seed, too_late=4.0) as server:
        settings = {
            "model": "soak",
            "base_url": server.url,
            "concurrency": 8,
            "retries": 3,
            "timeout": 2.0,
            "max_tokens": 512,
        } | PRICES
        while True:
            config = RewriterConfig(**settings, spending_limit=limit)
            names = {row.key: row.truth.answer for row in prepare(config, rows_of, folder / "images")}
            (folder / "job.json").write_text(json.dumps({"rows": rows, "config": settings | {"spending_limit": limit}}))
            first, runs = len(server.log), runs + 1
            command = [sys.executable, "-m", "tests.soak.rewriter", "--work", str(folder)]
            with (folder / "stderr.txt").open("ab") as errors:
                process = subprocess.Popen(command, stderr=errors, env=os.environ | {"OPENAI_API_KEY": KEY})
                while process.poll() is None and (not moments or len(server.log) < moments[0]):
                    time.sleep(0.005)
                if process.poll() is None:
                    time.sleep(rng.random() / 10)
                    process.send_signal(signal.SIGKILL)
                process.wait()
            again = answered & set(server.log[first:])
            found += [f"sent again after it was answered: {truth}" for truth in sorted(again)]
            ledger = read_journal(journal)
            answered = {names[key] for key in (*ledger.answers, *ledger.failures)}
            if ledger.committed > limit:
                found.append(f"run {runs}: ${ledger.committed} committed of ${limit}")
            if process.returncode == -signal.SIGKILL:
                killed, moments = killed + 1, moments[1:]
                continue
            if process.returncode == STOPPED:
                gave_up += 1
                continue
            if process.returncode:
                raise RuntimeError((folder / "stderr.txt").read_text())
            at = dry_run(config, rows_of, folder / "images", journal)
            if not at.left:
                break
            limit, stops = 2 * limit, stops + 1
        charged = server.charge(**PRICES)
    pairs = Counter(json.loads(line)["id"] for line in (folder / "pairs.jsonl").read_text().splitlines())
    rejects = [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]
    ended = pairs + Counter(row["id"] for row in rejects)
    found += [f"{truth.id} ended {ended[truth.id]} times" for truth in rows_of if ended[truth.id] != 1]
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    answers = Counter(event["key"] for event in events if event["event"] == "answer")
    found += [f"{names[key]} was answered {times} times" for key, times in answers.items() if times > 1]
    if charged > at.spent:
        found.append(f"the server charged ${charged}, the journal counts ${at.spent}")
    return {
        "rows": rows,
        "rate": rate,
        "kills": killed,
        "runs": runs,
        "stops_at_the_limit": stops,
        "gave_up_on_the_server": gave_up,
        "requests": len(server.log),
        "charged_answers": sum(server.charged.values()),
        "charged_more_than_once": sum(times > 1 for times in server.charged.values()),
        "faults_met": dict(server.met.most_common()),
        "pairs": len(pairs),
        "rejected": dict(Counter(row["reason"].split(":")[0] for row in rejects)),
        "left": at.left,
        "dollars_charged": round(charged, 6),
        "dollars_counted": round(at.spent, 6),
        "last_limit": limit,
        "seconds": round(time.monotonic() - start, 1),
        "faults_found": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="used by the tool itself: the folder of a run to go on with")
    given = parser.parse_args()
    if given.work:
        work(given.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        report = soak(Path(folder), given.rows, given.rate, given.kills, given.seed)
    print(json.dumps(report, indent=1))
    sys.exit(bool(report["faults_found"]))


if __name__ == "__main__":
    main()
