"""Formats: what goes out comes back, and TRL trains on what it is given."""

import json
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from datasets import List, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from povid_lib.data.pair_files import append, read, validate, write
from povid_lib.data.pairs import Change, Pair, Provenance
from povid_lib.data.povid_json import read_povid, write_povid
from povid_lib.data.trl_dataset import from_trl, read_trl, to_trl, write_trl
from povid_lib.data.true_answers import Truth, read_coco_captions, read_llava, read_truths
from povid_lib.models import llava
from povid_lib.pocket import architecture
from povid_lib.world.annotators import Annotator
from povid_lib.world.scenes import scenes
from tests.training.test_trl import LANGUAGE_MODEL_ONLY


def talk(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def row(key, question, chosen, rejected, image="./data/coco/a.jpg"):
    return {
        "id": key,
        "image": image,
        "conversations": talk(question, chosen),
        "rejected_conversations": talk(question, rejected),
    }


ROWS = [
    row("000000000001", "<image>\nDescribe the picture.", "A red bus.\n\nIt waits.", "A red van.\n\nIt waits. "),
    row("000000000002", "Qui est là ?\n<image>", "Une femme.", "Un homme."),
    row("000000000001", "<image>\nWhy does it wait?\n", "At a red light.", "At a kerb.", "scene:test/mixed/3"),
    row("a#1", "<image>\n \nWhat?", " Yes", "No"),
    row("000000000001", "Again?\n\n<image>", "Yes.", "No."),
]


@pytest.fixture
def save(tmp_path):
    def to(data, name="rows.json"):
        path = tmp_path / name
        path.write_text(json.dumps(data))
        return path

    return to


@pytest.fixture(scope="module")
def pocket_pairs():
    """The truth against a caption that claims every missing partner."""
    rng, pairs = np.random.default_rng(0), []
    for scene in scenes(30, split="validation"):
        chosen, rejected = Annotator().caption(scene, rng), Annotator(error=1.0).caption(scene, rng)
        if chosen.split() != rejected.split():
            image = "scene:{}/{}/{}".format(*scene.key)
            pairs.append(Pair(image, image, "Describe this image.", chosen, rejected))
    return pairs


# --- POVID's JSON ------------------------------------------------------------------------------------------------


def test_pictures_of_the_public_file_get_the_names_that_they_have_in_the_folder(save, tmp_path):
    folder = tmp_path / "train2014"
    (folder / "sub").mkdir(parents=True)
    for name in ("COCO_train2014_000000000009.jpg", "sub/b.jpg", "b.jpg"):
        Image.new("RGB", (4, 4)).save(folder / name)
    given = {
        "./data/coco/COCO_train2014_000000000009.jpg": "COCO_train2014_000000000009.jpg",
        "/home/them/coco/sub/b.jpg": "sub/b.jpg",
        r"C:\data\b.jpg": "b.jpg",
        "scene:test/mixed/3": "scene:test/mixed/3",
    }
    rows = [row(f"00{i}", "<image>\nWhat?", "Yes.", "No.", name) for i, name in enumerate(given)]
    assert [pair.image for pair in read_povid(save(rows), folder)] == list(given.values())
    rows += [
        row("x", "<image>\nWhat?", "Yes.", "No.", name) for name in ("./data/gone.jpg", "./other/b.jpg", "../b.jpg")
    ]
    with pytest.raises(ValueError, match="3 faults") as error:
        read_povid(save(rows), folder)
    said = str(error.value)
    assert "image './data/gone.jpg' is not in" in said
    assert said.count("would both be b.jpg; keep the folders that part them") == 2


def test_povid_rows_become_pairs(save):
    got = read_povid(save(ROWS))
    assert got[0] == Pair(
        "000000000001",
        "./data/coco/a.jpg",
        "Describe the picture.",
        "A red bus.\n\nIt waits.",
        "A red van.\n\nIt waits. ",
    )
    assert [pair.id for pair in got] == ["000000000001", "000000000002", "000000000001#2", "a#1", "000000000001#3"]
    assert [pair.picture_last for pair in got] == [False, True, False, False, True]
    assert [pair.prompt for pair in got[1:]] == ["Qui est là ?", "Why does it wait?\n", " \nWhat?", "Again?\n"]


def round_trip(source, folder):
    """POVID's JSON -> ours -> TRL -> ours -> POVID's JSON."""
    pairs = read_povid(source)
    assert write(folder / "pairs.jsonl", pairs) == len(pairs) == validate(folder / "pairs.jsonl")
    there = folder / "there"
    there.mkdir()
    for pair in pairs:
        if not pair.image.startswith("scene:"):
            (there / pair.image).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(there / pair.image)
    dataset = to_trl(folder / "pairs.jsonl", there, folder / "cache")
    back = list(from_trl(dataset))
    assert back == pairs
    append(folder / "back.jsonl", back)
    assert write_povid(folder / "back.json", read(folder / "back.jsonl")) == len(pairs)
    return json.loads((folder / "back.json").read_text(encoding="utf-8"))


def test_the_way_there_and_back_changes_nothing(save, tmp_path):
    assert round_trip(save(ROWS), tmp_path) == ROWS


def test_the_authors_row_comes_back_as_it_is(reference, save, tmp_path):
    public = json.loads((reference / "formats/povid_public_row.json").read_text())
    assert round_trip(save([public]), tmp_path) == [public]


NAMES = st.sampled_from(["x", "y", "x#1", "x#2", "x#3", "y#2", "x#2#2", "#2"])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, unique=True, min_size=1), st.booleans())
def test_any_names_of_pairs_survive_povids_json(tmp_path_factory, names, last):
    path = tmp_path_factory.mktemp("names") / "rows.json"
    pairs = [Pair(name, "a.jpg", f"{at}?", "Yes.", "No.", picture_last=last) for at, name in enumerate(names)]
    write_povid(path, pairs)
    assert read_povid(path) == pairs


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, min_size=1))
def test_any_names_of_rows_survive_or_are_refused(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("names") / "rows.json"
    rows = [row(name, f"<image>\n{at}?", "Yes.", "No.") for at, name in enumerate(names)]
    path.write_text(json.dumps(rows))
    try:
        pairs = read_povid(path)
    except ValueError:
        with pytest.raises(ValueError, match=r"rename it|already stands in"):
            read_povid(path)
        assert any("#" in name for name in names)
        return
    assert len({pair.id for pair in pairs}) == len(rows)
    write_povid(path, pairs)
    assert json.loads(path.read_text()) == rows


def test_an_export_that_fails_leaves_the_last_one(save):
    path = save(ROWS)

    def pairs():
        yield Pair("1", "a.jpg", "What?", "Yes.", "No.")
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        write_povid(path, pairs())
    assert json.loads(path.read_text()) == ROWS
    assert list(path.parent.iterdir()) == [path]
    assert write_povid(path, []) == 0
    assert json.loads(path.read_text()) == []


# --- TRL ---------------------------------------------------------------------------------------------------------

FULL = Pair(
    "1", "scene:test/mixed/3", "What is it?", "A black cat.", "A white dog.",
    (Change("attribute", "black", "white"), Change("object", "cat", "dog")),
    Provenance("m", "v2", "2026-03-01T12:00:00Z", 0.003),
)  # fmt: skip


def test_columns_by_hand(tmp_path):
    Image.new("RGB", (5, 4), (1, 2, 3)).save(tmp_path / "a.png")
    pairs = [FULL, Pair("2", "a.png", "Why?", "So.", "Not so.", picture_last=True)]
    write(tmp_path / "pairs.jsonl", pairs)
    dataset = to_trl(tmp_path / "pairs.jsonl", tmp_path, tmp_path / "cache")
    assert len(dataset) == 2
    first, second = dataset[0], dataset[1]
    assert first["prompt"] == [{"role": "user", "content": "What is it?"}]
    assert first["chosen"] == [{"role": "assistant", "content": "A black cat."}]
    assert first["rejected"] == [{"role": "assistant", "content": "A white dog."}]
    assert first["images"][0].size == (96, 96)
    assert second["images"][0].getpixel((4, 3)) == (1, 2, 3)
    assert (second["provenance"], second["changes"], second["picture_last"]) == (None, [], True)
    assert list(from_trl(dataset)) == pairs
    assert list(from_trl(dataset.select([1, 0]))) == pairs[::-1]


def test_a_file_that_has_grown_is_not_taken_from_the_cache(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write(path, [FULL])
    assert len(to_trl(path, cache=tmp_path / "cache")) == 1
    append(path, [replace(FULL, id="2")])
    assert [pair.id for pair in from_trl(to_trl(path, cache=tmp_path / "cache"))] == ["1", "2"]


def test_pictures_are_opened_when_their_row_is_read_and_texts_lie_on_disk(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    pairs = [FULL, *(replace(FULL, id=f"x{i}", image="a.png") for i in range(50))]
    write(tmp_path / "pairs.jsonl", pairs)
    dataset = to_trl(tmp_path / "pairs.jsonl", tmp_path, tmp_path / "cache")
    assert all(file["filename"].startswith(str(tmp_path / "cache")) for file in dataset.cache_files)
    assert dataset.cache_files
    (tmp_path / "a.png").unlink()
    assert dataset[0]["images"][0].size == (96, 96)
    with pytest.raises(ValueError, match=r"image 'a.png' is not in .*; fetch it"):
        dataset[1]
    assert list(from_trl(dataset)) == pairs  # asks for no picture


def test_a_parquet_file_holds_pairs_and_pictures(tmp_path):
    Image.new("RGB", (5, 4), (1, 2, 3)).save(tmp_path / "a.jpg")
    held = [FULL, *(replace(FULL, id=f"x{i}", image="a.jpg", provenance=None, picture_last=True) for i in range(70))]
    path = tmp_path / "pairs.parquet"
    assert write_trl(path, iter(held), tmp_path) == 71  # more than are in memory at once
    picture = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").unlink()
    assert list(read_trl(path)) == held
    opened = load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert opened[0]["images"][0].size == (96, 96)
    assert opened[70]["images"][0].size == (5, 4)
    names = opened.cast_column("images", List(datasets.Image(decode=False)))[70]["images"]
    assert names == [{"path": "a.jpg", "bytes": picture}]
    assert write_trl(path, [FULL]) == 1
    assert list(read_trl(path)) == [FULL]


def test_a_parquet_file_that_cannot_be_made_replaces_none(tmp_path):
    path = tmp_path / "pairs.parquet"
    write_trl(path, [FULL])
    for images, complaint in ((None, "say in which folder"), (tmp_path, "is not in"), ("nowhere", "is no folder")):
        with pytest.raises(ValueError, match=complaint):
            write_trl(path, [FULL, replace(FULL, id="2", image="a.png")], images)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match="cannot be read"):
        write_trl(path, [replace(FULL, image="a.png")], tmp_path)
    assert list(read_trl(path)) == [FULL]


def test_trl_reads_the_picture_before_the_question_and_the_answers_after(tmp_path):
    write(tmp_path / "pairs.jsonl", [FULL, replace(FULL, id="2", chosen="A cat.", picture_last=True)])
    dataset = to_trl(tmp_path / "pairs.jsonl", cache=tmp_path / "cache")
    processor = AutoProcessor.from_pretrained(llava.FOLDER)
    batch = DataCollatorForVisionPreference(processor)([dataset[0], dataset[1]])
    texts = processor.batch_decode(batch["input_ids"], skip_special_tokens=True)
    for text, answer in zip(texts, ("A black cat.", "A cat.", "A white dog.", "A white dog."), strict=True):
        assert text.replace("<image>", "").strip().endswith(answer)
    ids = batch["input_ids"][1].tolist()
    question = processor.tokenizer("What is it?", add_special_tokens=False)["input_ids"][-2:]
    where = max(at for at in range(len(ids)) if ids[at : at + 2] == question)
    assert max(at for at, token in enumerate(ids) if token == architecture.IMAGE) < where
    assert batch["pixel_values"].shape[0] == 4


@pytest.fixture(params=["opened as read", "in a file"])
def trl_dataset(request, pocket_pairs, tmp_path):
    if request.param == "in a file":
        write_trl(tmp_path / "pairs.parquet", pocket_pairs[:4])
        return load_dataset("parquet", data_files=str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path))["train"]
    write(tmp_path / "pairs.jsonl", pocket_pairs[:4])
    return to_trl(tmp_path / "pairs.jsonl", cache=tmp_path / "cache")


@pytest.mark.slow
def test_trl_takes_a_step_on_the_columns_as_they_are(trl_dataset, tmp_path):
    trainer = DPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(llava.FOLDER, dtype=torch.float32),
        args=DPOConfig(
            output_dir=str(tmp_path / "run"),
            max_steps=1,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            report_to=[],
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=trl_dataset,
        processing_class=AutoProcessor.from_pretrained(llava.FOLDER),
        peft_config=LoraConfig(r=8, target_modules=LANGUAGE_MODEL_ONLY),
    )
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    assert abs(trainer.train().training_loss - np.log(2)) < 1e-3  # policy equals reference at the first step
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if "lora_B" in n}


# --- true answers ------------------------------------------------------------------------------------------------


def test_every_round_of_llava_instruct_is_a_truth(save):
    rows = [
        {"id": 7, "image": "a.jpg", "conversations": [*talk("What?\n<image>", "A cat. "), *talk("Where?", "Here.")]},
        {"id": "7", "image": "a.jpg", "conversations": talk("<image>\nWhy?", "So."), "model": "x"},
        {"id": "8", "image": "b.jpg", "conversations": talk("<image> Who?", "He.")},
    ]
    assert read_llava(save(rows)) == [
        Truth("7", "a.jpg", "What?", "A cat. "),
        Truth("7#2", "a.jpg", "Where?", "Here."),
        Truth("7#3", "a.jpg", "Why?", "So."),
        Truth("8", "b.jpg", "Who?", "He."),
    ]


def test_what_a_file_of_truths_is_shows_by_its_beginning(tmp_path):
    row = {"id": "7", "image": "a.jpg", "conversations": talk("<image>\nWhy?", "So.")}
    for text in (json.dumps([row]), json.dumps(row) + "\n", "\ufeff " + json.dumps(row)):
        (tmp_path / "rows").write_text(text)
        assert read_truths(tmp_path / "rows", "Describe it.") == [Truth("7", "a.jpg", "Why?", "So.")]
    (tmp_path / "rows").write_text('[{"id": "7", "image": "a.jpg"}]')
    with pytest.raises(ValueError, match="conversations: None is no list of rounds"):
        read_truths(tmp_path / "rows", "Describe it.")
    image, caption = {"id": 5, "file_name": "5.jpg"}, {"id": 11, "image_id": 5, "caption": "A bus."}
    (tmp_path / "rows").write_text(json.dumps({"info": {}, "images": [image], "annotations": [caption]}))
    assert read_truths(tmp_path / "rows", "Describe it.") == [Truth("11", "5.jpg", "Describe it.", "A bus.")]


def test_every_caption_of_coco_is_a_truth(save):
    data = {
        "images": [{"id": 5, "file_name": "COCO_5.jpg"}, {"id": 6, "file_name": "COCO_6.jpg"}],
        "annotations": [
            {"id": 11, "image_id": 6, "caption": "A bus.\n"},
            {"id": 12, "image_id": 5, "caption": "A cat."},
            {"id": 13, "image_id": 6, "caption": "A red bus."},
        ],
    }
    assert read_coco_captions(save(data), "Describe it.") == [
        Truth("11", "COCO_6.jpg", "Describe it.", "A bus."),
        Truth("12", "COCO_5.jpg", "Describe it.", "A cat."),
        Truth("13", "COCO_6.jpg", "Describe it.", "A red bus."),
    ]
