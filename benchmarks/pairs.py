"""Time and peak memory of ``povid pairs make`` by number of pairs, each run in a process of its own:

python benchmarks/pairs.py 1000 10000 20000
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(n: int, folder: Path) -> tuple[float, float]:
    """Seconds and MiB (peak resident set, the interpreter's own included) that it takes to make ``n`` pairs, start-up and all."""
    out = folder / f"{n}.jsonl"
    command = [sys.executable, "-m", "povid_lib.cli", "pairs", "make", "--n", str(n), "--out", str(out)]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"povid pairs make --n {n} ended with {os.waitstatus_to_exitcode(status)}.")
    return time.monotonic() - start, used.ru_maxrss / 1024  # Linux counts KiB


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for rows in map(int, sys.argv[1:]):
            seconds, peak = measure(rows, Path(name))
            size = (Path(name) / f"{rows}.jsonl").stat().st_size / 2**20
            print(f"{rows:>7} pairs  {seconds:6.1f} s  {peak:6.1f} MiB at most  file of {size:.1f} MiB", flush=True)
