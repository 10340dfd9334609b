"""Argument lists of ``povid`` for ``fuzz``: of commands that only read, of commands that load a model, and of models at fault."""

# ruff: noqa: E501 - tables of cases

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file

from povid_lib import models
from povid_lib.data import trl_dataset
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS
from tests.soak.fuzz_readers import readers
from tests.support import training


@st.composite
def commands(draw: st.DrawFn, files: list[str]) -> list[str]:
    """An argument list of one of the commands that load no model and train nothing."""
    file = st.sampled_from(files)
    number = st.sampled_from(["-1", "0", "1", "3", "nan", "inf", "1e400", "x", "", "1,5", "9" * 40])
    word = st.sampled_from(["a/b", "..", "", "é", "x", "con", "a" * 300, "-", "\0x"])
    options = {
        ("pairs", "check"): {"": file, "--images": file},
        ("pairs", "convert"): {"": file, " ": file, "--images": file, "--skip-text-only": None},
        ("pairs", "make", "--n", "3"): {"--out": file, "--n": number, "--difficulty": number, "--objects": number, "--seed": number},
        ("pairs", "audit"): {"": file, "--images": file, "--name": word, "--seed": number, "--objects": file},
        ("pairs", "rewrite", "--dry-run", "--model", "m"): {
            "--truth": file, "--images": file, "--out": file, "--input-price": number, "--output-price": number, "--budget": number,
            "--first": number, "--kind": word, "--detail": word, "--base-url": word, "--key-variable": word, "--prompt": word,
        },
        ("evaluate", "--answers"): {"": file, "--data": file, "--captions": file, "--vocabulary": file, "--name": word, "--benchmark": word,
                                    "--judge": word, "--spending-limit": number, "--input-price": number},
        ("world",): {"--cooccurrence": number},
        ("merge",): {"": file, " ": file, "--model": st.sampled_from(["nowhere/none"])},
        ("study",): {"": file, "--part": word, "--only": word},
        ("train",): {"": file, "--out": file, "--seed": number},
    }  # fmt: skip
    command = draw(st.sampled_from(sorted(options)))
    found, needed = (
        list(command),
        {"", " ", "--truth", "--images", "--out", "--data", "--input-price", "--output-price", "--budget"},
    )
    for name, values in options[command].items():
        if draw(st.integers(0, 9)) < (9 if name in needed else 3):
            found += [name] * bool(name.strip()) + ([] if values is None else [draw(values)])
    return found


def files_of(folder: Path) -> list[str]:
    """Names of files, sound and odd ones, folders, a pipe, devices, and what is not there."""
    for reader in readers(folder):
        (folder / f"{reader.name.partition('.')[0]}.{'json' if reader.form == 'list' else 'jsonl'}").write_bytes(
            reader.write(reader.rows)
        )
    (folder / "torn.jsonl").write_bytes((folder / "pair_files.jsonl").read_bytes()[:-40])
    (folder / "coco.json").write_text(
        '{"images": [{"id": 5, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 5, "caption": "A"}]}'
    )
    trl_dataset.write_trl(folder / "ours.parquet", pairs(2, Offline()))
    pq.write_table(pa.table({"prompt": [1], "chosen": [b"x"]}), folder / "odd.parquet")
    (folder / "torn.parquet").write_bytes((folder / "ours.parquet").read_bytes()[:-9])
    (folder / "captions.jsonl").write_text('{"image_id": "5", "caption": "A cat."}\n')
    (folder / "truth.json").write_text('{"5": ["cat"]}')
    (folder / "bad.yaml").write_text("out: [\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    names = sorted(str(path) for path in folder.iterdir() if path.suffix not in (".part",))
    return [
        *names,
        str(folder),
        "/dev/null",
        "/dev/zero",
        str(folder / "none.jsonl"),
        str(folder / "no" / "x.jsonl"),
        "",
        "-",
        "\0",
        "~",
    ]


# --- commands that load a model ----------------------------------------------------------------------------------


def tiny(folder: Path) -> None:
    """A model of 0.2 M parameters, an adapter for it, two pictures, and what is asked about them."""
    processor = models.load().processor
    processor.save_pretrained(folder / "tiny")
    training.tiny(processor).save_pretrained(folder / "tiny")
    config = LoraConfig(r=2, lora_alpha=8, target_modules=LANGUAGE_MODEL_LAYERS, task_type="CAUSAL_LM")
    base = training.tiny(processor)
    base.config._name_or_path = "tiny"
    adapted = get_peft_model(base, config)
    training.move_adapters(adapted, 0.1)
    adapted.save_pretrained(folder / "adapter")
    (folder / "photos").mkdir()
    for name in ("5.jpg", "6.png"):
        Image.new("RGB", (24, 24), (200, 30, 30)).save(folder / "photos" / name)
    written = {
        "two.json": {"5": ["cat"], "6": ["dog", "bus"]},
        "asked.jsonl": {"question_id": 1, "image": "5.jpg", "text": "Is there a cat?", "label": "yes"},
        "queries.json": [{"id": 1, "image": "5.jpg", "query": "Describe this image."}],
        "annotations.json": [{"id": 1, "type": "generative", "truth": ["cat"], "hallu": []}],
        "relation.json": {"cat": ["kitten"]},
        "recipe.yaml": {"out": "run", "model": "tiny", "offline": {"n": 4}, "both": None, "text": {"max_steps": 1, "per_device_train_batch_size": 2, "lora_rank": 2}},
    }  # fmt: skip
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "safe_words.txt").write_text("sun\n")


@st.composite
def model_commands(draw: st.DrawFn, folder: Path) -> list[str]:
    """An argument list of one of the commands that load a model, which in most cases is there and whole."""
    mostly = draw(st.integers(0, 9)) < 7
    model = (
        "tiny"
        if mostly
        else draw(
            st.sampled_from(["pocket", "nowhere/none", "", "photos", "two.json", "adapter", "\0", "tiny/config.json"])
        )
    )
    shown = "photos" if mostly else draw(st.sampled_from(["tiny", "none", "", "two.json", "\0"]))
    data = draw(
        st.sampled_from(
            [
                "two.json",
                "asked.jsonl",
                "typical",
                "counter_typical",
                "queries.json",
                "recipe.yaml",
                "none.json",
                "safe_words.txt",
            ]
        )
    )
    n = draw(st.sampled_from(["-1", "0", "1", "2", "x", "1.5"]))
    name = draw(st.sampled_from(["r", "r", "a/b", "..", "\0", "a" * 300]))
    more = draw(
        st.sampled_from(
            [
                [],
                [],
                ["--benchmark", "amber"],
                ["--benchmark", "pope"],
                ["--benchmark", "x"],
                ["--lemmatiser", "none"],
                ["--captions", "two.json"],
            ]
        )
    )
    command = draw(st.sampled_from(["evaluate"] * 6 + ["merge"] * 3 + ["train"] + ["report"]))
    if command == "merge":
        adapter = "adapter" if mostly else draw(st.sampled_from(["tiny", "photos", "two.json", "none", "\0"]))
        target = draw(st.sampled_from(["merged", "merged", "tiny", "two.json", "no/such/merged", "\0", ""]))
        shutil.rmtree(folder / "merged", ignore_errors=True)
        return ["merge", adapter, target, "--model", model]
    if command == "train":
        shutil.rmtree(folder / "run", ignore_errors=True)
        seed = draw(st.sampled_from(["0", "-1", "9" * 20, "x"]))
        return ["train", draw(st.sampled_from(["recipe.yaml", "two.json", "asked.jsonl"])), "--seed", seed]
    if command == "report":
        return ["pocket", "report", "--model", model, "--n", draw(st.sampled_from(["-1", "0", "x"])), "--name", name]
    return ["evaluate", "--data", data, "--model", model, "--images", shown, "--n", n, "--name", name, *more]


Tensors = dict[str, torch.Tensor]


def _value(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        found = tensor.clone()
        found.view(-1)[0] = number
        return found

    return change


CHANGES: dict[str, Callable[[torch.Tensor], Any]] = {
    "nan": _value(float("nan")), "infinity": _value(float("-inf")), "1e30": _value(1e30), "zeros": torch.zeros_like,
    "int8": lambda t: t.to(torch.int8), "another shape": lambda t: t[..., :-1].contiguous(), "missing": lambda _: None,
}  # fmt: skip


@st.composite
def models_at_fault(draw: st.DrawFn, folder: Path) -> list[str]:
    """A command about a model, an adapter, a picture or a truth of which something is not as it must be; what it is stands last,
    and is no argument."""
    what = draw(st.sampled_from(["tiny", "adapter", "photos", "two.json"]))
    copy = folder / f"odd-{what}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(folder / "merged", ignore_errors=True)
    if what in ("tiny", "adapter"):
        shutil.copytree(folder / what, copy)
        told = _spoil(draw, copy)
        command = (
            ["merge", "adapter", "merged", "--model", copy.name]
            if what == "tiny"
            else ["merge", copy.name, "merged", "--model", "tiny"]
        )
        if what == "tiny" and draw(st.booleans()):
            command = ["evaluate", "--data", "two.json", "--images", "photos", "--model", copy.name]
        return [*command, f"{what}: {told}"]
    command = ["evaluate", "--data", "two.json", "--images", "photos", "--model", "tiny"]
    if what == "photos":
        shutil.copytree(folder / what, copy)
        path = copy / draw(st.sampled_from(["5.jpg", "6.png"]))
        data = path.read_bytes()
        told = draw(st.sampled_from(["gone", "empty", "cut", "text"]))
        path.write_bytes({"gone": b"", "empty": b"", "cut": data[: draw(st.integers(1, 60))], "text": b"<html>"}[told])
        if told == "gone":
            path.unlink()
        command[4] = copy.name
        return [*command, f"{path.name}: {told}"]
    fault = draw(
        st.sampled_from(
            [
                '{"5": ["unicorn"]}',
                '{"5": "cat"}',
                '{"5": ["cat"], "5": []}',
                '{"5": [3]}',
                '{"7": ["cat"]}',
                '{"5": ["cat"]',
                "[]",
                "",
            ]
        )
    )
    copy.unlink(missing_ok=True)
    copy.write_text(fault)
    command[2] = copy.name
    return [*command, fault]


def _spoil(draw: st.DrawFn, copy: Path) -> str:
    """One fault in the files of a model or adapter, and its name."""
    [path] = copy.glob("*.safetensors")
    how = draw(st.sampled_from([*CHANGES, "two names", "one more", "cut", "no config", "config cut", "no weights"]))
    if how == "cut":
        path.write_bytes(path.read_bytes()[: draw(st.integers(0, path.stat().st_size - 1))])
    elif how in ("no config", "config cut"):
        config = copy / ("config.json" if (copy / "config.json").exists() else "adapter_config.json")
        text = config.read_text()
        config.unlink()
        if how == "config cut":
            config.write_text(text[: draw(st.integers(0, len(text) - 3))])
    elif how == "no weights":
        path.unlink()
    else:
        tensors = load_file(path)
        matrices = sorted(name for name, tensor in tensors.items() if tensor.ndim > 1)
        name = draw(st.sampled_from(matrices))
        if how == "two names":
            other = (
                name.replace("language_model.", "language_model.model.", 1)
                if "language_model." in name
                else f"model.{name}"
            )
            tensors[other] = tensors[name] + 1
        elif how == "one more":
            tensors["more.weight"] = torch.ones(2, 2)
        else:
            tensors[name] = CHANGES[how](tensors[name])
        save_file(
            {name: tensor for name, tensor in tensors.items() if tensor is not None}, path, metadata={"format": "pt"}
        )
        how = f"{how}, {name}"
    return how
