"""Preference pairs to and from TRL's columns.

Nothing is lost without a word: what a pair cannot hold is a named fault. Of POVID's rows that is a conversation of several rounds,
because a pair is one question with two answers, and its other rounds would have nowhere to stand.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage

from povid_lib.data import conversations, pair_files, parquet
from povid_lib.data import images as images_module
from povid_lib.data import pairs as pairs_module
from povid_lib.data.pairs import Change, Pair, Provenance
from povid_lib.files import jsonl
from povid_lib.files.faults import EMPTY, Faults, fail

_SIDES = {"conversations": "chosen", "rejected_conversations": "rejected"}
_TEXT = Value("string")
_MESSAGES = List({"role": _TEXT, "content": _TEXT})
_COLUMNS = Features(
    {
        "images": List(_TEXT),  # names here, pictures where a row is read; a column `image` would be TRL's, too
        "prompt": _MESSAGES,
        "chosen": _MESSAGES,
        "rejected": _MESSAGES,
        "id": _TEXT,
        "changes": List({"kind": _TEXT, "chosen": _TEXT, "rejected": _TEXT}),
        "provenance": {"model": _TEXT, "prompt": _TEXT, "time": _TEXT, "cost": Value("float64")},
        "picture_last": Value("bool"),
    }
)


# --- TRL ---------------------------------------------------------------------------------------------------------


def to_trl(path: str | Path, images: str | Path | None = None, cache: str | Path | None = None) -> Dataset:
    """A file of pairs (see ``pairs``) as TRL's ``DPOTrainer`` takes them: ``images`` (a list of one picture), ``prompt``,
    ``chosen`` and ``rejected`` (lists of one message, TRL puts the picture first), and beside them, left alone by TRL, ``id``,
    ``changes``, ``provenance`` and ``picture_last``.

    Memory stays flat: texts lie in an Arrow file in ``cache`` (the default is that of ``datasets``), and a picture is opened or
    drawn when its row is read. ``Dataset.save_to_disk`` therefore refuses: what to keep is the file of pairs.

    Raises ``ValueError`` for a line that is no pair, a file without any, a picture's name that is none, a file or folder that is
    not there.
    """
    images_module.check_folder(images)
    digest = hashlib.sha256()
    pair = None
    for pair in pair_files.read(path):
        digest.update(repr(pair).encode())
        try:
            images_module.locate(pair.image, images)
        except ValueError as error:
            fail(path, f"pair {pair.id}: {error}; `validate` names every such pair")
    if pair is None:
        fail(path, EMPTY)
    # the cache goes by the arguments, so the digest keeps it from giving back what a file once held
    source = {"path": str(path), "digest": digest.hexdigest()}
    cache_dir = None if cache is None else str(cache)
    dataset = Dataset.from_generator(_trl_rows, features=_COLUMNS, cache_dir=cache_dir, gen_kwargs=source)
    return dataset.with_transform(functools.partial(_open_pictures, images=images))


def from_trl(dataset: Dataset) -> Iterator[Pair]:
    """The pairs of a dataset that ``to_trl`` made, whatever was selected, shuffled or sorted since; no picture is opened.

    Raises ``ValueError`` if columns are missing, pictures have no names, or a conversation has several turns.
    """
    _check_columns(dataset.column_names)
    return _from_trl(dataset.with_format(None), "the dataset")


def write_trl(path: str | Path, pairs: Iterable[Pair], images: str | Path | None = None) -> int:
    """Pairs as a Parquet file of the same columns, with the pictures themselves in it (scenes and 16-bit greys as PNG, other files
    as they are); how many they were. ``datasets.load_dataset("parquet", data_files=...)`` makes of it what TRL's ``DPOTrainer``
    takes, anywhere, and ``read_trl`` the pairs. Memory stays flat. The file is there, or replaced, once it is whole.

    Raises ``ValueError`` for a picture or folder that is not there, a picture that cannot be read, and what is no ``Pair``.
    """
    images_module.check_folder(images)
    features = _held_columns()
    written, left = 0, (pairs_module.checked("write_trl", pair) for pair in pairs)
    with jsonl.replacing(path) as part, pq.ParquetWriter(part, features.arrow_schema) as file:
        while some := list(itertools.islice(left, parquet.ROWS)):
            held = [
                {**_trl_row(pair), "images": [{"bytes": _picture(pair.image, images), "path": pair.image}]}
                for pair in some
            ]
            file.write_table(pa.Table.from_pylist(held, schema=features.arrow_schema))
            written += len(some)
    return written


def read_trl(path: str | Path) -> Iterator[Pair]:
    """The pairs of a file of ``write_trl``, whose pictures stay where they are: a pair has their names. Memory stays flat.

    Raises ``ValueError`` for a file that is not there or no Parquet, and as ``from_trl`` does.
    """
    _check_columns(parquet.names_in(path))
    return _from_trl(parquet.rows_of(path, _held_columns().arrow_schema), path)


def _held_columns() -> Features:
    """The columns with the pictures themselves in them."""
    return Features({**_COLUMNS, "images": List(Image())})


def _picture(image: str, images: str | Path | None) -> bytes:
    path = images_module.locate(image, images)
    if path is None:
        opened = images_module.picture(image, images)
    else:
        found = images_module.open_picture(data := path.read_bytes(), f"image {image!r}")
        if not found.deep:
            return data
        opened = found.image  # readers of the set would take 16 bits for 8
    drawn = io.BytesIO()
    opened.save(drawn, "PNG")
    return drawn.getvalue()


def _check_columns(names: Collection[str]) -> None:
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        told = "only what `to_trl` or `write_trl` made can be turned back"
        raise ValueError(f"The dataset lacks {', '.join(missing)}; {told}.")


def is_ours(names: Collection[str]) -> bool:
    """Whether columns are those of ``to_trl`` and ``write_trl``, and not only TRL's."""
    return {"changes", "provenance", "picture_last"} <= set(names)


def _from_trl(dataset: Iterable[Mapping[str, Any]], name: str | Path) -> Iterator[Pair]:
    """The pairs up to the first row that is none; all that are none are then told in one error."""
    faults = Faults(name)
    for at, row in enumerate(dataset, start=1):
        try:
            pair = _pair(row)
        except (KeyError, TypeError, ValueError) as error:
            faults.at(f"row {at} ({row['id']})").add(str(error).rstrip("."))
        if not faults:
            yield pair
    if faults:
        faults.fail()


def _pair(row: Mapping[str, Any]) -> Pair:
    names = [image["path"] if isinstance(image, dict) else image for image in conversations.pictures_of(row)]
    if wrong := conversations.row_faults(row):
        raise ValueError("; ".join(wrong))
    texts = {name: list(conversations.texts_of(row[name])) for name in conversations.TEXTS}
    if any(len(row[name]) != 1 or len(texts[name]) != 1 for name in texts) or not isinstance(names[0], str):
        raise ValueError("it is not one named picture, one question and two answers; leave it out, or split it")
    return Pair(
        id=row["id"],
        image=names[0],
        prompt=texts["prompt"][0],
        chosen=texts["chosen"][0],
        rejected=texts["rejected"][0],
        changes=tuple(Change(**change) for change in row["changes"] or ()),
        provenance=None if row["provenance"] is None else Provenance(**row["provenance"]),
        picture_last=row["picture_last"],
    )


def prepare_rows(dataset: Dataset) -> Dataset:
    """One's own data in TRL's columns (``prompt``, ``chosen``, ``rejected``, ``images`` or ``image``) as ``POVIDTrainer`` reads it:
    with an ``id``, the row's number, where there is none, and pictures opened as everywhere here (``images.open_picture``).

    A data set with a transform of its own, such as ``to_trl``'s, keeps it. What its rows hold is checked where it is used.
    """
    if "id" not in dataset.column_names:
        dataset = dataset.add_column("id", [str(at) for at in range(1, len(dataset) + 1)])
    elif dataset.features["id"].dtype.startswith(("int", "uint")):
        dataset = dataset.cast_column("id", _TEXT)
    if dataset.format["type"] == "custom":
        return dataset
    held = {"image": Image(decode=False), "images": List(Image(decode=False))}
    kinds = {name: dataset.features[name] for name in held if name in dataset.column_names}
    kinds = {name: kind for name, kind in kinds.items() if isinstance(getattr(kind, "feature", kind), Image)}
    for name in kinds:
        dataset = dataset.cast_column(name, held[name])
    return dataset.with_transform(functools.partial(_open_held, names=tuple(kinds))) if kinds else dataset


def contents(dataset: Dataset) -> Iterator[bytes]:
    """Of each row, in order, what is trained on: id, texts and pictures; where it names a file, also a digest of what that holds,
    which may change under one name. Scenes are what their names say, and are not drawn."""
    plain = dataset.with_format(None)
    wanted = [name for name in ("id", *conversations.TEXTS, "image", "images") if name in dataset.column_names]
    transform = dataset.format["format_kwargs"].get("transform")
    ours = transform.func if isinstance(transform, functools.partial) else transform
    folder = transform.keywords["images"] if ours is _open_pictures else None
    for number, row in enumerate(plain.select_columns(wanted)):
        pictures = conversations.pictures_of(row if ours in (None, _open_pictures, _open_held) else dataset[number])
        held = [found for each in pictures if (found := _held(each, folder)) is not None]
        yield json.dumps([row, *held] if held else row, sort_keys=True, default=_pixels).encode()


def _held(picture: Any, folder: str | Path | None) -> str | None:
    """What a picture is besides what its row says of it; None where that is all."""
    if isinstance(picture, dict):
        return None if picture.get("bytes") or not picture.get("path") else images_module.file_digest(picture["path"])
    if isinstance(picture, str):
        path = images_module.locate(picture, folder)
        return None if path is None else images_module.file_digest(path)
    return _pixels(picture)


def _pixels(value: Any) -> str:
    content = value.tobytes() + repr((value.mode, value.size)).encode() if isinstance(value, PILImage.Image) else value
    return hashlib.sha256(content).hexdigest()


def skip_text_only(dataset: Dataset) -> tuple[Dataset, int]:
    """The rows that have a picture, and how many others were left out."""
    names = [name for name in ("images", "image") if name in dataset.column_names]
    if not names:
        raise ValueError(
            f"The dataset has no column images and no image (its columns: {', '.join(dataset.column_names)})."
        )
    table = dataset.with_format("arrow").select_columns(names)[:]
    columns = zip(*(table.column(name) for name in names), strict=True)
    with_picture = [at for at, values in enumerate(columns) if any(map(_is_held, values))]
    return dataset.select(with_picture), len(dataset) - len(with_picture)


def _is_held(value: pa.Scalar) -> bool:
    """Whether a value of the column is a picture, or a list of some; none is opened."""
    if not value.is_valid or not (pa.types.is_list(value.type) or pa.types.is_large_list(value.type)):
        return bool(value.is_valid)
    return any(each.is_valid for each in value)


def _open_held(batch: dict[str, list[Any]], names: tuple[str, ...]) -> dict[str, list[Any]]:
    for name in names:
        if name in batch:
            batch[name] = [
                [_opened(each) for each in held or ()] if name == "images" else _opened(held) for held in batch[name]
            ]
    return batch


def _opened(held: Mapping[str, Any] | None) -> Any:
    if held is None:
        return None
    source, name = held.get("bytes") or held.get("path"), f"picture {shown(held.get('path'))}"
    if not source:
        raise ValueError(f"{name} has neither bytes nor path; give one of them, or leave the row out")
    return images_module.open_picture(source, name).image


def _trl_rows(path: str, digest: str) -> Iterator[dict[str, Any]]:
    return map(_trl_row, pair_files.read(path))


def _trl_row(pair: Pair) -> dict[str, Any]:
    row = asdict(pair)
    row["images"] = [row.pop("image")]
    for name, role in (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant")):
        row[name] = [{"role": role, "content": row[name]}]
    return row


def _open_pictures(batch: dict[str, list[Any]], images: str | Path | None) -> dict[str, list[Any]]:
    if "images" in batch:
        batch["images"] = [[images_module.picture(name, images) for name in names] for names in batch["images"]]
    return batch
