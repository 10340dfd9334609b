"""Break losses, log-probabilities, metrics and corrupted texts in many small ways, and print the changes that no test notices.

``python scripts/mutants.py`` (``make mutants``) takes hours on two cores; a name takes one module: ``... losses``. It stops with 1
when fewer than nine in ten are noticed. The settings of mutmut, which does the work in ``mutants/``, are in ``pyproject.toml``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
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


def main(names: list[str]) -> int:
    patterns = [f"*.{name}.*" for name in names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([MUTMUT, "run", "--max-children", "2", *patterns], check=True, env=environment)
    told = subprocess.run([MUTMUT, "results", "--all", "true"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {mutant: how for mutant, how in statuses(told).items() if not names or set(names) & set(mutant.split("."))}
    share = noticed(found)
    for mutant, how in sorted(found.items()):
        if how not in ("killed", "timeout"):
            print(f"{how}: {mutant}")
            subprocess.run([MUTMUT, "show", mutant], check=True)
    print(f"{share:.1%} of {len(found)} mutants noticed: {dict(Counter(found.values()))}.")
    return 0 if share >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
