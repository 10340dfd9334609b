"""Every notebook with a dial, run on the pocket model and on a LLaVA-1.5 that is real in everything but its weights.

``make standin`` runs all of them, ``make standin NB=notebooks/05_image.ipynb`` one. Prints a table: notebook, and for the pocket,
the stand-in in float32 and in bfloat16, "ends" with the number of skipped cells, or where and why it stops; beside it what
LLaVA-1.5-7B would take at one row, by ``memory.needs``'s arithmetic. Writes it to ``_build/standin/table.md``. Stops with 1 if a
notebook did not end. It takes some minutes a notebook.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from povid_lib.models import memory

TOP = Path(__file__).resolve().parents[1]
OUT = TOP / "_build" / "standin"
DIAL = re.compile(r'^MODEL = "pocket"', re.MULTILINE)
SKIPPED = re.compile(r"^Skipped for MODEL = ", re.MULTILINE)
SECONDS = 1800  # for a cell
WORK: dict[str, tuple[str, ...]] = {  # what a notebook has its model do: kinds of work of `memory.needs`
    "01": ("answers", "reading"),
    "02": ("answers",),
    "03": ("answers", "reading"),
    "05": ("answers", "reading"),
    "06": ("answers", "reading"),
    "07": ("checkpointed",),
    "10": ("answers", "reading", "attention", "gradient"),
    "11": ("answers", "reading"),
    "12": ("answers",),
    "13": ("answers", "reading", "attention"),
}
WAYS: dict[str, dict[str, str]] = {
    "pocket": {},
    "stand-in, float32": {"POVID_DTYPE": "float32", "POVID_SCENES": "4"},
    "stand-in, bfloat16": {"POVID_DTYPE": "bfloat16", "POVID_SCENES": "4"},
}


def with_dial(paths: Sequence[Path]) -> list[Path]:
    """Those of the notebooks that have the line ``MODEL = "pocket"``."""
    return [path for path in paths if any(DIAL.search(cell.source) for cell in nbformat.read(path, 4).cells)]


def ends(path: Path, model: str, settings: Mapping[str, str]) -> str:
    """What became of a notebook that was run with a model: "ends", with the number of skipped cells, or where it stops and why."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        cell.source = DIAL.sub(f"MODEL = {model!r}", cell.source)
    own = {key: value for key, value in os.environ.items() if not key.startswith("POVID_")}
    env = {**own, **settings, "PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1"}
    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(path.parent)}})
    try:
        client.execute(env=env)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines() if line.strip()]
        return f"stops in code cell {_at(notebook)}: {lines[-1][:160].replace('|', '/')}"
    said = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if output.get("text")
    )
    skipped = len(SKIPPED.findall(said))
    return f"ends, {skipped} cells skipped" if skipped else "ends"


def _at(notebook: nbformat.NotebookNode) -> int:
    """The number of the code cell, from 1, that was the last to be begun."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return max((number for number, cell in enumerate(code, start=1) if cell.execution_count), default=1)


@cache
def _needs() -> tuple[Mapping[str, memory.Need], ...]:
    """What LLaVA-1.5-7B takes for each kind of work, in bfloat16 and with its layers in four bits."""
    config = memory.llava_7b()
    counted = memory.parameters(config)
    return tuple(memory.needs(config, torch.bfloat16, four_bit, counted=counted) for four_bit in (False, True))


def peaks(stem: str) -> list[float]:
    """GB that LLaVA-1.5-7B takes at most in a notebook with one row at once: in bfloat16, and with its layers in four bits.

    Raises ``KeyError`` for a notebook whose work is not in ``WORK``.
    """
    work = WORK[stem[:2]]
    return [max(needs[kind].fixed + needs[kind].row for kind in work) / memory.GB for needs in _needs()]


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """Notebook -> way -> what became of it, and what a real model would take, as Markdown."""
    ways = list(next(iter(found.values())))
    rows = [["notebook", *ways, "7B, one row: GB in bfloat16", "in four bits"], ["---"] * (len(ways) + 3)]
    rows += [[name, *(row[way] for way in ways), *(f"{gb:.1f}" for gb in peaks(name))] for name, row in found.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(named: Sequence[str]) -> int:
    """0 if every notebook ends on every model."""
    from tests.support.standin import write_standin

    paths = with_dial([Path(name).resolve() for name in named] or sorted((TOP / "notebooks").glob("*.ipynb")))
    if not paths:
        raise ValueError(f'None of {", ".join(named)} has a line MODEL = "pocket"; name a notebook that has a dial.')
    folder = OUT / "llava-1.5-standin"
    if not (folder / "config.json").is_file():
        write_standin(folder)
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        found[path.stem] = dict.fromkeys(WAYS, "")
        for way, settings in WAYS.items():
            found[path.stem][way] = ends(path, "pocket" if way == "pocket" else str(folder), settings)
            print(f"{path.stem}, {way}: {found[path.stem][way]}", flush=True)
    (OUT / "table.md").write_text(table(found) + "\n", encoding="utf-8")
    print(table(found))
    return int(any(not what.startswith("ends") for row in found.values() for what in row.values()))


if __name__ == "__main__":
    sys.path.insert(0, str(TOP))
    sys.exit(main(sys.argv[1:]))
