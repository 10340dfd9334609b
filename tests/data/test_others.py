"""The data of others: RLHF-V and RLAIF-V in their published columns, one's own in TRL's, files and folders."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from povid_lib.data import others, pair_files
from tests.support.helpers import faults, povid


def held(colour) -> dict:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


RED, BLUE = held("red"), held("blue")
SAID = {"chosen": "A red cup.", "rejected": "A blue cup."}
META = {"origin_dataset": "LLaVA-Instruct-150K", "origin_split": "{}", "image_path": "images/1.jpg"}
RLAIF = [
    {"ds_name": "RLAIF-V", "image": RED, "question": "What is it?", **SAID, **META, "idx": 4},
    {"ds_name": "RLAIF-V", "image": RED, "question": "Who is it?", **SAID, **META, "idx": 4},
    {"ds_name": "RLAIF-V", "image": BLUE, "question": "Where?", **SAID, **META, "idx": 5},
]
RLHF = [
    {
        "ds_name": "RLHF-V",
        "image": row["image"],
        "text": json.dumps({"question": row["question"], **SAID}),
        **META,
        "idx": row["idx"],
    }
    for row in RLAIF
]


def turns(role: str, text: str, *before: dict) -> list[dict]:
    return [{"role": role, "content": [*before, {"type": "text", "text": text}]}]


TRL = [
    {
        "images": [row["image"]],
        "prompt": turns("user", row["question"], {"type": "image", "text": None}),
        "id": str(row["idx"]),
    }
    | {side: turns("assistant", SAID[side]) for side in SAID}
    for row in RLAIF
]
STRINGS = [{"image": row["image"], "prompt": f"<image>\n{row['question']}", **SAID, "id": row["idx"]} for row in RLAIF]


STRINGS_ONLY = {"prompt": "What is it?", **SAID}


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("rows", [RLAIF, RLHF, TRL, STRINGS], ids=["RLAIF-V", "RLHF-V", "TRL", "TRL, plain texts"])
def test_the_published_columns(tmp_path, rows):
    (images := tmp_path / "images").mkdir()
    skipped, pairs = others.read(parquet(tmp_path / "rows.parquet", rows), images)
    assert not list(images.iterdir())  # nothing is written before the pairs are asked for
    found = list(pairs)
    assert skipped == 0
    assert [(pair.id, pair.prompt, pair.chosen, pair.rejected) for pair in found] == [
        (name, question, *SAID.values())
        for name, question in (("4", "What is it?"), ("4#2", "Who is it?"), ("5", "Where?"))
    ]
    assert [(images / pair.image).read_bytes() for pair in found] == [RED["bytes"], RED["bytes"], BLUE["bytes"]]
    assert len(list(images.iterdir())) == 2
    assert all(pair.image.endswith(".png") for pair in found)


def test_a_folder_of_files_and_the_command(tmp_path):
    (folder := tmp_path / "data").mkdir()
    (images := tmp_path / "images").mkdir()
    parquet(folder / "RLAIF-V-Dataset_000.parquet", RLAIF[:2])
    parquet(folder / "RLAIF-V-Dataset_001.parquet", RLAIF[2:])
    result = povid("pairs", "convert", folder, tmp_path / "pairs.jsonl", "--images", images)
    assert result.exit_code == 0, result.output
    assert "3 pairs written" in result.output
    assert pair_files.find_faults(tmp_path / "pairs.jsonl", images) == (3, [])
    assert (
        povid("pairs", "convert", tmp_path / "pairs.jsonl", tmp_path / "a.parquet", "--images", images).exit_code == 0
    )
    assert povid("pairs", "convert", tmp_path / "a.parquet", tmp_path / "b.jsonl").exit_code == 0
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "pairs.jsonl").read_bytes()


def test_lines_of_trl_that_name_their_pictures_and_rows_without_one(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    asked = {"prompt": [{"role": "user", "content": "What?"}]} | {side: turns("assistant", SAID[side]) for side in SAID}
    rows = [{"images": ["a.png"], **asked}, {"images": [], **asked}, {"image": "a.png", **asked}, asked]
    (source := tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = povid("pairs", "convert", source, tmp_path / "pairs.jsonl", "--images", tmp_path)
    assert result.exit_code == 2
    assert "2 faults" in result.output
    assert not (tmp_path / "pairs.jsonl").exists()
    result = povid("pairs", "convert", source, tmp_path / "pairs.jsonl", "--images", tmp_path, "--skip-text-only")
    assert result.exit_code == 0, result.output
    assert "2 pairs written" in result.output
    assert "2 rows without a picture were left out" in result.output
    assert [(pair.id, pair.image) for pair in pair_files.read(tmp_path / "pairs.jsonl")] == [
        ("1", "a.png"),
        ("3", "a.png"),
    ]


def test_messages_in_json_are_read_and_pictures_in_either_column(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    written = {name: json.dumps(TRL[0][name]) for name in ("prompt", "chosen", "rejected")}
    rows = [{"image": "a.jpg", "images": None} | written, {"images": [], "image": "a.jpg"} | STRINGS_ONLY]
    (source := tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)).replace("a.jpg", "a.png"))
    skipped, pairs = others.read(source, tmp_path, skip_text_only=True)
    said = [(pair.image, pair.prompt, pair.chosen, pair.rejected) for pair in pairs]
    assert (skipped, said) == (0, [("a.png", "What is it?", *SAID.values())] * 2)


def test_messages_written_as_text_that_cannot_be_read_are_refused(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    asked = {"image": "a.png", **STRINGS_ONLY}
    rows = [
        asked | {"chosen": json.dumps(TRL[0]["chosen"])},
        asked | {name: str(TRL[0][name]) for name in ("prompt", "chosen", "rejected")},
    ]
    (source := tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = faults(lambda path: others.read(path, tmp_path), source)
    assert [line.partition("messages")[0] for line in told] == [
        "line 1: chosen: ",
        "line 2: prompt, chosen, rejected: ",
    ]


def test_all_faults_are_told_at_once_and_nothing_is_written(tmp_path):
    (images := tmp_path / "images").mkdir()
    torn = {"bytes": RED["bytes"][:30], "path": None}
    more = [{"role": "user", "content": [{"type": "text", "text": "And?", "image": None}]}]
    rows = [*TRL, TRL[0] | {"images": [torn]}, TRL[0] | {"images": []}, TRL[0] | {"images": [RED, BLUE]}]
    rows += [
        TRL[0] | {"chosen": [*TRL[0]["chosen"], *more, *TRL[0]["chosen"]]},
        TRL[0] | {"rejected": turns("assistant", "<image>")},
    ]
    told = faults(lambda path: others.read(path, images), parquet(tmp_path / "rows.parquet", rows))
    assert [line.partition(":")[0] for line in told] == ["row 4", "row 5", "row 6", "row 7", "row 8"]
    for line, words in zip(
        told,
        ("cannot be read", "0 pictures", "2 pictures", "chosen has 3 turns", "rejected holds <image>"),
        strict=True,
    ):
        assert words in line
    assert not list(images.iterdir())
    with pytest.raises(ValueError, match="row 1: the file holds its pictures; name a folder"):
        others.read(tmp_path / "rows.parquet")


TYPES = [
    pa.int64(), pa.float32(), pa.bool_(), pa.binary(), pa.timestamp("s"), pa.list_(pa.int64()), pa.list_(pa.string()),
    pa.struct([("role", pa.string())]), pa.map_(pa.string(), pa.string()), pa.dictionary(pa.int8(), pa.string()), pa.null(),
    pa.list_(pa.struct([("role", pa.string()), ("content", pa.int64())])), pa.large_string(), pa.decimal128(9, 2), pa.date32(),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_columns_of_other_types_are_refused_in_words(tmp_path, kind):
    """Each column of both forms as that type, once empty of values and once with those that pyarrow can make of it."""
    from povid_lib.data.corrupt_text import Offline, pairs
    from povid_lib.data.trl_dataset import read_trl, write_trl

    write_trl(tmp_path / "ours.parquet", pairs(2, Offline()))
    ours, theirs = pq.read_table(tmp_path / "ours.parquet"), pa.Table.from_pylist(RLAIF)
    for table, read in (
        (ours, lambda path: list(read_trl(path))),
        (theirs, lambda path: list(others.read(path, tmp_path)[1])),
    ):
        for at, name in enumerate(table.column_names):
            try:
                column = table.column(name).cast(kind)
            except (pa.ArrowException, NotImplementedError):
                column = pa.nulls(len(table), kind)
            pq.write_table(table.set_column(at, name, column), tmp_path / "other.parquet")
            try:
                found = read(tmp_path / "other.parquet")
            except ValueError as error:
                assert "other.parquet" in str(error)  # noqa: PT017 - both outcomes are right, a traceback is not
            else:
                assert [pair.chosen for pair in found] == table.column("chosen").to_pylist() or table is ours
