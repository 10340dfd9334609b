"""What does not change while a phase is trained, computed once: the reference's log-probabilities, its hidden states, the vision
features. Lies on disk as safetensors; memory stays flat.

A cache belongs to one model, processor and template (its ``key.json``) and each row to its tokens and pixels (a digest beside it).
Both are compared whenever the cache is used, so that nothing is taken from what was computed for something else.

``build`` writes what a reader gives of each batch: ``clear`` reads it under its own pictures; ``noised_cache`` has the reader for
noised ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from povid_lib.data import trl_dataset
from povid_lib.files.jsonl import replacing
from povid_lib.training.collator import SIDES, Batch, PairCollator, as_bytes
from povid_lib.training.logprobs import image_features, pair_logits, response_logps

_SHARD = 64  # rows a file: so many are read again after a kill
_KEY = "key.json"
_AGAIN = "delete the folder, it will be built again"


@dataclass(frozen=True)
class Cached:
    """What the cache holds of a batch, on its device. ``chosen``, ``rejected``: float32 (rows,), summed log-probabilities under the
    reference. ``hidden``: (rows, C, hidden size), the reference's last hidden states at the places that predict the chosen tokens.
    ``features``: (rows, image tokens, hidden size). None where the cache was built without."""

    chosen: Tensor
    rejected: Tensor
    hidden: Tensor | None = None
    features: Tensor | None = None


Read = Callable[[Any, Batch], Mapping[str, list[Tensor]]]  # model and batch -> name -> a tensor a row
_PADDED = ("hidden",)  # what is as long as an answer


def key(model: LlavaForConditionalGeneration, processor: LlavaProcessor, adapter: str = "disabled") -> dict[str, str]:
    """What a cache depends on beside its rows: hashes of the base model's weights, and of processor, tokenizer and template."""
    weights = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        if "lora_" not in name:
            weights.update(name.replace(".base_layer", "").encode())
            weights.update(as_bytes(tensor))
    of_processor = json.dumps(processor.to_dict(), sort_keys=True, default=str)
    tokenizer = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    of_tokenizer = json.dumps(
        tokenizer | {"padding": None, "truncation": None}
    )  # these are of its last call, not its own
    return {
        "model": weights.hexdigest(),
        "dtype": str(model.dtype),
        "adapter": adapter,
        "processor": _hash(of_processor),
        "tokenizer": _hash(of_tokenizer),
        "template": _hash(processor.chat_template),
    }


def versions(model: LlavaForConditionalGeneration) -> dict[str, int]:
    """How often each weight of the base model was written to: cheap to compare, where ``key`` reads them all."""
    return {name: tensor._version for name, tensor in model.named_parameters() if "lora_" not in name}


def build(
    folder: Path,
    key: dict[str, str],
    model: PeftModel | LlavaForConditionalGeneration,
    collator: PairCollator,
    dataset: Any,
    accelerator: Accelerator,
    read: Read,
    batch_size: int,
) -> RowCache:
    """Read every row that ``folder`` does not hold yet once, write what ``read`` gives of it, and open the folder.

    ``key``: what the cache depends on beside its rows, see ``key`` and ``clear``. Each process takes every n-th row. A run that
    stops in between keeps the files that it has written. Raises ``ValueError`` as ``RowCache`` does if the folder is of something
    else, and, before anything is read, if the text or the picture of any row has changed since it was written there.
    """
    main = accelerator.is_main_process
    if main and not (folder / _KEY).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.safetensors"):  # of what, nothing says
            left.unlink()
        with replacing(folder / _KEY) as part:
            part.write_text(json.dumps(key), encoding="utf-8")
    accelerator.wait_for_everyone()
    held = RowCache(folder, key)
    ids = list(dataset.with_format(None)["id"])
    contents = dict(zip(ids, (_hash(row) for row in trl_dataset.contents(dataset)), strict=True))
    held.check_contents(contents)
    missing = [at for at, row_id in enumerate(ids) if row_id not in held]
    accelerator.wait_for_everyone()  # all have looked before one writes
    mine = Subset(dataset, missing[accelerator.process_index :: accelerator.num_processes])
    if missing:
        _write_rows(folder, held.next_shard, model, collator, mine, contents, accelerator, read, batch_size)
    accelerator.wait_for_everyone()
    return RowCache(folder, key) if missing else held


def _write_rows(
    folder: Path,
    shard: int,
    model: PeftModel | LlavaForConditionalGeneration,
    collator: PairCollator,
    mine: Subset[Any],
    contents: Mapping[str, str],
    accelerator: Accelerator,
    read: Read,
    batch_size: int,
) -> None:
    loader: Iterable[Batch] = DataLoader(mine, batch_size=batch_size, collate_fn=collator)
    wait = tqdm(loader, desc="reference", disable=not accelerator.is_local_main_process)
    tensors: dict[str, Tensor] = {}
    ids: list[str] = []
    at = 0
    for batch in wait:
        found = read(model, send_to_device(batch, accelerator.device)) | {"digest": list(batch["digests"])}
        for row, row_id in enumerate(batch["row_ids"]):
            tensors |= {f"{len(ids)}.{name}": of[row].cpu().contiguous() for name, of in found.items()}
            ids.append(row_id)
        at += len(batch["row_ids"])
        if len(ids) >= _SHARD or at == len(mine):
            with replacing(folder / f"{accelerator.process_index:04d}-{shard:05d}.safetensors") as part:
                of_rows = {"ids": ids, "contents": [contents[row_id] for row_id in ids]}
                save_file(tensors, part, metadata={name: json.dumps(values) for name, values in of_rows.items()})
            shard, tensors, ids = shard + 1, {}, []


def clear(key: dict[str, str], hidden: bool, features: bool, shared_prefix: bool = True) -> tuple[dict[str, str], Read]:
    """The cache of what the reference gives to the answers under their own pictures: its key and its reader.

    ``hidden``, ``features``: whether it holds these beside the sums, see ``Cached``.
    """

    def read(model: Any, batch: Batch) -> dict[str, list[Tensor]]:
        with reference(model) as base, last_hidden(base) as last:
            pictures = image_features(base, batch["pixel_values"].to(base.dtype)) if features else None
            logits = pair_logits(base, batch, shared_prefix, pictures)
        found = {side: list(response_logps(of, batch, side)) for side, of in zip(SIDES, logits, strict=True)}
        if hidden:
            found["hidden"] = of_answers(last[0], batch)
        return found if pictures is None else found | {"features": list(pictures)}

    return key | {"hidden": str(hidden), "features": str(features)}, read


@contextmanager
def reference(model: Any) -> Iterator[LlavaForConditionalGeneration]:
    """A model at rest without its adapters, and nothing to be differentiated."""
    adapted = isinstance(model, PeftModel)
    base: LlavaForConditionalGeneration = model.get_base_model() if adapted else model
    training = base.training
    base.eval()
    try:
        with torch.no_grad(), model.disable_adapter() if adapted else nullcontext():
            yield base
    finally:
        base.train(training)


@contextmanager
def last_hidden(base: LlavaForConditionalGeneration) -> Iterator[list[Tensor]]:
    """Fills a list with the hidden states that go into ``lm_head``: taken there, so that no second pass is needed."""
    last: list[Tensor] = []
    hook = base.lm_head.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0]))
    try:
        yield last
    finally:
        hook.remove()


def of_answers(hidden: Tensor, batch: Batch) -> list[Tensor]:
    """Of hidden states (rows, C or more, hidden size) those of each chosen answer, (its length, hidden size)."""
    return [row[:length] for row, length in zip(hidden, batch["chosen"]["mask"].sum(1).tolist(), strict=True)]


class RowCache:
    """A folder that ``build`` wrote, opened for reading.

    ``key``: see ``build``. Raises ``ValueError`` if it was built for another model, processor or template, lacks what is wanted, or
    is damaged.
    """

    def __init__(self, folder: Path, key: dict[str, str]):
        self.folder = folder
        try:
            found = json.loads((folder / _KEY).read_text(encoding="utf-8"))
            other = [name for name in key if found.get(name) != key[name]]
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{folder / _KEY} is damaged ({error}); {_AGAIN}.") from error
        if other:
            raise ValueError(
                f"The cache {folder} is stale: it was built with another {', '.join(other)}. Delete the folder (it will be built "
                "again) or give another cache_dir."
            )
        self._where: dict[str, tuple[Path, int]] = {}
        self._contents: dict[str, str] = {}
        self.next_shard = 0  # a number that no file has yet
        for path in sorted(folder.glob("*.safetensors")):
            self.next_shard = max(self.next_shard, int(path.stem.split("-")[1]) + 1)
            told = self._open(path).metadata()
            ids = json.loads(told["ids"])
            self._where |= {row_id: (path, at) for at, row_id in enumerate(ids)}
            self._contents |= zip(ids, json.loads(told.get("contents", "[]")), strict=False)  # earlier ones have none

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._where

    def check_contents(self, contents: Mapping[str, str]) -> None:
        """Whether the rows are still those that were read for the cache, told by hashes of their contents (see
        ``trl_dataset.contents``). Raises ``ValueError`` with their number and the first of those that are not."""
        other = [row_id for row_id, now in contents.items() if self._contents.get(row_id, now) != now]
        if other:
            raise ValueError(
                f"Row {other[0]!r} has changed since the cache {self.folder} was built (text or picture), and {len(other) - 1} "
                f"others; {_AGAIN}."
            )

    def rows(self, batch: Batch) -> dict[str, Tensor]:
        """What it holds of the batch's rows, by name, on its device. Raises ``ValueError`` for a row that the cache does not hold,
        or holds for other tokens or pixels."""
        found: dict[str, list[Tensor]] = {}
        for row_id, now in zip(batch["row_ids"], batch["digests"].cpu(), strict=True):
            if row_id not in self._where:
                raise ValueError(
                    f"The cache {self.folder} has no row {row_id!r}; delete the folder, it will be built again."
                )
            path, at = self._where[row_id]
            file = self._open(path)
            if not torch.equal(file.get_tensor(f"{at}.digest"), now):
                raise ValueError(
                    f"Row {row_id!r} has changed since the cache {self.folder} was built (text, picture or preprocessing); delete "
                    "the folder, it will be built again."
                )
            for name in self._names(path):
                found.setdefault(name, []).append(file.get_tensor(f"{at}.{name}"))
        device = batch["chosen"]["ids"].device
        return {
            name: (pad_sequence(of, batch_first=True) if name in _PADDED else torch.stack(of)).to(device)
            for name, of in found.items()
        }

    @cache  # noqa: B019 one cache object a training
    def _open(self, path: Path) -> Any:
        try:
            return safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is damaged ({error}); {_AGAIN}.") from error

    @cache  # noqa: B019
    def _names(self, path: Path) -> tuple[str, ...]:
        """What a file holds of its rows beside the digests."""
        names = {name.partition(".")[2] for name in self._open(path).keys()}  # noqa: SIM118 it is no mapping
        return tuple(sorted(names - {"digest"}))


def _hash(text: str | bytes) -> str:
    return hashlib.blake2b(text.encode() if isinstance(text, str) else text, digest_size=16).hexdigest()
