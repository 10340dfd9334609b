"""The dial of a chapter: which model, which photographs, which machine. A chapter's first cells turn it, and all else follows.

The environment goes over what a cell says, so that a test can run a chapter with another model: POVID_MODEL, POVID_TUNED,
POVID_PHOTOS, POVID_MEMORY (GB), POVID_DTYPE, POVID_FOUR_BIT (0 or 1), POVID_SCENES.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import LlavaConfig

from povid_lib import models
from povid_lib.arguments import check_choice
from povid_lib.files import results
from povid_lib.metrics.pope import YES_NO_HINT
from povid_lib.models import memory
from povid_lib.models.llava import VLM, says_pocket

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FEW = 16  # scenes of a chapter for a model that is not the pocket one, if nothing else is said
_ENOUGH = 8  # rows at once, below which a model is loaded in four bits if it can be
_POCKET_ROWS = 64


@dataclass(frozen=True)
class Dial:
    """Where a chapter's dial stands. ``is_pocket``: whether the model reads and speaks the pocket world's language. ``memory``:
    bytes of the card, or of the computer without one; ``rows``: how many the model
    reads or answers at once; ``most``: scenes at most; ``needs``: see ``memory.needs``, empty for the pocket model."""

    model: str
    is_pocket: bool
    tuned: str | None
    photos: Path | None
    device: str
    memory: int
    dtype: torch.dtype
    four_bit: bool
    rows: int
    most: int | None
    needs: Mapping[str, memory.Need]

    def load(self) -> VLM:
        """The model. Raises as ``models.load`` does."""
        return models.load(self.model, self.device, self.dtype, self.four_bit, self.rows)

    def load_tuned(self) -> VLM:
        """The model after tuning: TUNED, or for the pocket model the shipped adapter.

        Raises ``ValueError`` if there is none, or it was not trained from MODEL, and else as ``models.load`` does.
        """
        if self.tuned is None:
            return models.load_tuned(self.model)
        return models.load(self.tuned, self.device, self.dtype, self.four_bit, self.rows)

    def has_tuned(self, because: str = "there is nothing to compare it with") -> bool:
        """Whether there is a tuned model; if not, says that the cell is skipped, and ``because`` of what."""
        if self.model == "pocket" or self.tuned is not None:
            return True
        print(f"Skipped for MODEL = {self.model!r} without TUNED: {because}.")
        return False

    def pocket_only(self, because: str) -> bool:
        """Whether a cell that is the pocket model's can run; if not, says that it is skipped, and ``because`` of what."""
        if not self.is_pocket:
            print(f"Skipped for MODEL = {self.model!r}: this cell is the pocket model's, because {because}.")
        return self.is_pocket

    def results(self, name: str) -> dict[str, Any]:
        """A result of ``results/``, with a sentence that it is the pocket model's where another one is asked for."""
        if self.model != "pocket":
            print(
                f"results/{name}.json was measured on the pocket model: what is made of it is not of MODEL = {self.model!r}."
            )
        return results.read(name)

    def scenes(self, n: int) -> int:
        """How many of ``n`` scenes to use: all of them on the pocket model, else ``FEW``; never more than POVID_SCENES."""
        few = n if self.is_pocket else min(n, FEW)
        return few if self.most is None else min(few, self.most)

    def asked(self, question: str) -> str:
        """A yes/no question as this model is asked it: with LLaVA's hint for a short answer, unless it is the pocket one."""
        return question if self.is_pocket else f"{question}\n{YES_NO_HINT}"

    @property
    def training_rows(self) -> int:
        """Pairs in a training step, from 1 to 16."""
        return 16 if self.is_pocket else max(1, min(16, self.needs[self._training].rows(self.memory)))

    @property
    def checkpointing(self) -> bool:
        """Whether a training step has to compute its activations twice to fit."""
        return not self.is_pocket and self._training == "checkpointed"

    @property
    def _training(self) -> str:
        return "training" if self.needs["training"].rows(self.memory) else "checkpointed"


def turn(model: str = "pocket", tuned: str | None = None, photos: str | Path | None = None) -> Dial:
    """Turn the dial: find out about the machine, and choose what fits it. Prints one line unless the pocket model is asked for.

    Raises ``ValueError`` for a setting of the environment that is none, photographs in no folder, and a model that does not fit;
    ``FileNotFoundError`` for one that cannot be had.
    """
    given = os.environ
    model, tuned = given.get("POVID_MODEL") or model, given.get("POVID_TUNED") or tuned
    album = given.get("POVID_PHOTOS") or photos
    if album is not None and not Path(album).is_dir():
        raise ValueError(f"PHOTOS is {str(album)!r}, which is no folder; name the one that holds your pictures.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bytes_ = round(_number("POVID_MEMORY") * memory.GB) or _found(device)
    most = int(_number("POVID_SCENES")) or None
    asked = given.get("POVID_DTYPE", "")
    if asked:
        check_choice("POVID_DTYPE", asked, DTYPES)
    config, place = models.read_config(model), Path(album) if album is not None else None
    if says_pocket(config):
        dtype = DTYPES[asked] if asked else torch.float32
        return Dial(model, True, tuned, place, "cpu", bytes_, dtype, False, _POCKET_ROWS, most, {})
    dtype = DTYPES[asked] if asked else torch.float32 if device == "cpu" else models.gpu_dtype()
    four_bit, needs = _chosen(model, config, device, bytes_, dtype)
    rows = min(needs["answers"].rows(bytes_), needs["reading"].rows(bytes_))
    dial = Dial(model, False, tuned, place, device, bytes_, dtype, four_bit, rows, most, needs)
    weights = "4 bits" if four_bit else str(dtype).removeprefix("torch.")
    machine = f"{device} with {bytes_ / memory.GB:.0f} GB"
    print(
        f"MODEL = {model!r} on {machine}: weights in {weights}, {rows} rows at once, {dial.scenes(FEW)} scenes at most."
    )
    return dial


def _chosen(
    model: str, config: LlavaConfig, device: str, bytes_: int, dtype: torch.dtype
) -> tuple[bool, Mapping[str, memory.Need]]:
    """Whether to load in four bits, and what the work then takes. Raises ``ValueError`` if the model does not fit."""
    whole = memory.needs(config, dtype)
    able = device == "cuda" and find_spec("bitsandbytes") is not None
    said = os.environ.get("POVID_FOUR_BIT", "")
    if said not in ("", "0", "1"):
        raise ValueError(f"POVID_FOUR_BIT is {said!r}; write 0 or 1.")
    if said == "1":
        models.check_four_bit(device)
    fits = min(whole["answers"].rows(bytes_), whole["reading"].rows(bytes_))
    four_bit = said == "1" or (said == "" and able and fits < _ENOUGH)
    needs = memory.needs(config, dtype, True) if four_bit else whole
    if min(needs["answers"].rows(bytes_), needs["reading"].rows(bytes_)) < 1:
        need = (needs["answers"].fixed + needs["answers"].row) / memory.ROOM / memory.GB
        remedy = "" if four_bit else "; in four bits it needs less, on a GPU with bitsandbytes"
        raise ValueError(
            f"MODEL = {model!r} needs {need:.1f} GB, and here are {bytes_ / memory.GB:.1f} (POVID_MEMORY sets it){remedy}."
        )
    return four_bit, needs


def _number(name: str) -> float:
    """A setting of the environment that is a number above 0; 0 if it is not set."""
    text = os.environ.get(name, "")
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if text and not 0 < value < float("inf"):
        raise ValueError(f"{name} is {text!r}; give a number above 0.")
    return value


def _found(device: str) -> int:
    """Bytes of the GPU, or those of the computer that are free."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
