"""Break losses, log-probabilities, metrics and corrupted texts in many small ways, and print the changes that no test notices.

``python scripts/mutants.py`` (``make mutants``) takes hours on two cores; a name takes one module or package: ``... losses``,
and ``--sample 400`` takes so many of them, drawn at random. It stops with 1 when fewer than nine in ten are noticed. The
settings of mutmut, which does the work in ``mutants/``, are in ``pyproject.toml``.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

MUTMUT = Path(sys.executable).parent / "mutmut"
LEAST = 0.9  # of the mutants that tests reach


def statuses(text: str) -> dict[str, str]:
    """What ``mutmut results --all true`` prints: mutant to "killed", "survived", "timeout", "no tests", ..."""
    return dict(re.findall(r"^\s+(\S+__mutmut_\d+): (.+?)\s*$", text, re.MULTILINE))


def noticed(found: dict[str, str]) -> float:
    """The share of mutants that some test noticed. Raises ``ValueError`` if there are none, or any has not been tried."""
    count = Counter(found.values())
    if not found or count["not checked"]:
        raise ValueError(f"{len(found)} mutants, {count['not checked']} of them not tried; run it again, it goes on.")
    return (count["killed"] + count["timeout"]) / len(found)


def results(names: Sequence[str]) -> dict[str, str]:
    """What became of the mutants of these modules or packages; of all, if none is named."""
    told = subprocess.run([MUTMUT, "results", "--all", "true"], check=True, stdout=subprocess.PIPE, text=True).stdout
    wanted = set(names)
    return {name: how for name, how in statuses(told).items() if not wanted or wanted & set(name.split("."))}


def change(shown: str) -> str:
    """What a mutant changes, the lines that go and those that come, out of what ``mutmut show`` prints."""
    lines = [line for line in shown.splitlines() if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def listed(found: dict[str, str]) -> str:
    """Every mutant that no test noticed, with what it changes; ``found`` as ``statuses`` gives it."""
    rows = []
    for mutant, how in sorted(found.items()):
        if how not in ("killed", "timeout"):
            shown = subprocess.run([MUTMUT, "show", mutant], check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append(f"{how}: {mutant}\n{change(shown)}\n")
    return "\n".join(rows)


def main(names: Sequence[str], sample: int = 0, seed: int = 0, out: Path | None = None) -> int:
    """0 if enough are noticed. ``sample``: how many mutants to try of those named, drawn by ``seed``; 0 tries all. ``out``: a file
    for the list of those that no test noticed, in place of the screen."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    tried = [f"*.{name}.*" for name in names]
    if sample:
        # it makes the mutants, finds none of this name, and ends with 1
        subprocess.run([MUTMUT, "run", "no mutant has this name"], check=False, env=environment)
        tried = random.Random(seed).sample(sorted(results(names)), sample)
    subprocess.run([MUTMUT, "run", "--max-children", "2", *tried], check=True, env=environment)
    found = {mutant: how for mutant, how in results(names).items() if not sample or mutant in tried}
    share = noticed(found)
    told = f"{share:.1%} of {len(found)} mutants noticed: {dict(Counter(found.values()))}."
    if out is None:
        print(listed(found))
    else:
        out.write_text(f"{told}\n\n{listed(found)}", encoding="utf-8")
    print(told)
    return 0 if share >= LEAST else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="modules or packages; all, if none is named")
    parser.add_argument("--sample", type=int, default=0, help="try so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--out", type=Path, help="a file for those that no test noticed")
    given = parser.parse_args()
    sys.exit(main(given.names, given.sample, given.seed, given.out))
