"""Rows by their shape: the tokens of TRL's own collator on the same rows, or a refusal that says why."""

import copy
import itertools

import pytest
import torch
from datasets import Dataset, Image, List, concatenate_datasets
from PIL import Image as Pillow
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from povid_lib.data import trl_dataset
from povid_lib.models.chat_template import prompt_text
from povid_lib.training.collator import PairCollator
from povid_lib.training.conversations import read
from tests.support import training

PLACE, PICTURE = {"type": "image"}, Pillow.new("RGB", (96, 96), (10, 200, 30))
LLAVA = (  # the template of llava-hf/llava-1.5-7b-hf without its tokens for generation
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def said(role: str, content) -> dict:
    return {"role": role, "content": content}


def row(prompt, chosen="A red cup.", rejected="A blue cup.", **more) -> dict:
    sides = {"chosen": chosen, "rejected": rejected}
    turns = {side: [said("assistant", held)] if isinstance(held, str) else held for side, held in sides.items()}
    return {"id": "1", "images": [PICTURE], "prompt": prompt, **turns, **more}


ASKED = said("user", "What is there?")
SHAPES = {
    "text": row([ASKED]),
    "parts": row([said("user", [PLACE, text("What is there?")])]),
    "parts, the picture last": row([said("user", [text("What is there?"), PLACE])]),
    "several texts": row([said("user", [PLACE, text("What is"), text(" there?")])]),
    "parts as Arrow holds them": row([said("user", [{**PLACE, "text": None}, text("What is there?")])]),
    "parts in the answers": row([ASKED], [said("assistant", [text("A cup.")])], [said("assistant", [text("A box.")])]),
    "several turns": row([ASKED, said("assistant", "A cup."), said("user", "What else?")]),
    "several turns, the picture later": row(
        [said("user", [text("Hello.")]), said("assistant", "Yes?"), said("user", [PLACE, text("What is it?")])]
    ),
    "answers of several turns": row(
        [ASKED], [said("assistant", "A cup."), said("user", "Sure?"), said("assistant", "Yes.")], "A box."
    ),
    "spaces": row([said("user", " What? ")], "A cup. ", "  A box."),
    "one picture in image": {**row([ASKED]), "image": PICTURE},
}
SHAPES["one picture in image"].pop("images")


def of_trl(processor, rows) -> list[tuple[list[int], ...]]:
    """Prompt, chosen and rejected tokens of TRL's collator, without padding."""
    batch = DataCollatorForVisionPreference(processor)(
        copy.deepcopy([{k: v for k, v in row.items() if k != "id"} for row in rows])
    )
    ids = [
        (row[of.bool() & (side == 0)].tolist(), row[of.bool() & (side == 1)].tolist())
        for row, of, side in zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True)
    ]
    return [(*ids[at], ids[at + len(rows)][1]) for at in range(len(rows))]


def ours(processor, rows) -> list[tuple[list[int], ...]]:
    batch = PairCollator(processor)(rows)
    return [
        tuple(
            batch[side]["ids"][at][batch[side]["mask"][at].bool()].tolist() for side in ("prompt", "chosen", "rejected")
        )
        for at in range(len(rows))
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tokens_are_those_of_trl(vlm, shape):
    assert ours(vlm.processor, [SHAPES[shape]]) == of_trl(vlm.processor, [SHAPES[shape]])


def test_rows_of_several_shapes_in_one_batch(vlm):
    rows = [{**row, "id": str(at)} for at, row in enumerate(SHAPES.values()) if "images" in row]
    assert ours(vlm.processor, rows) == of_trl(vlm.processor, rows)


def test_a_system_turn_where_the_template_has_one(vlm):
    """The pocket's template would make it the assistant's; LLaVA's own has it."""
    asked = row([said("system", "Be brief."), ASKED])
    with pytest.raises(ValueError, match="Row 1: the model's template has no system turn; put its text into the first"):
        PairCollator(vlm.processor)([asked])
    processor = copy.deepcopy(vlm.processor)
    processor.chat_template = processor.chat_template.replace(
        "{% else %}{{ ' ASSISTANT: ' }}", "{% elif message['role'] == 'assistant' %}{{ ' ASSISTANT: ' }}", 1
    )
    assert read(processor, asked).prompt == "<s>Be brief.USER: <image>\nWhat is there? ASSISTANT:".replace(
        "USER", " USER"
    )
    assert ours(processor, [asked]) == of_trl(processor, [asked])


def test_llavas_own_template(vlm):
    """It writes neither BOS nor EOS, and a space after the last word: ours has EOS after the word, and TRL's none."""
    processor = copy.deepcopy(vlm.processor)
    processor.chat_template = LLAVA
    for name in ("text", "parts", "several turns"):
        (prompt, chosen, rejected), (of_prompt, *others) = (
            ours(processor, [SHAPES[name]])[0],
            of_trl(processor, [SHAPES[name]])[0],
        )
        assert prompt == of_prompt
        eos, decode = processor.tokenizer.eos_token_id, processor.tokenizer.decode
        for mine, other in zip((chosen, rejected), others, strict=True):
            assert mine[-1] == eos
            assert decode(mine[:-1]) == decode(other).rstrip()
    lost = row([said("system", "Be brief."), ASKED])
    processor.chat_template = LLAVA.replace(
        "{% for message in messages %}", "{% for message in messages if message['role'] != 'system' %}"
    )
    with pytest.raises(ValueError, match=r"'Be brief\.' into no place of the prompt"):
        read(processor, lost)


def test_one_question_is_read_as_it_is_asked_elsewhere(vlm):
    assert read(vlm.processor, SHAPES["text"]).prompt == prompt_text(vlm.processor, "What is there?")


REFUSED = {
    "plain text": (row("<image>\nWhat?"), "prompt is plain text, which TRL trains on without the model's template"),
    "no prompt": (
        {k: v for k, v in SHAPES["text"].items() if k != "prompt"},
        r"no prompt \(its keys: id, images, chosen, rejected\)",
    ),
    "no turn": (row([]), "prompt is \\[\\]"),
    "no message": (row(["What?"]), "'What\\?' is no message; give role and content"),
    "two pictures": (row([ASKED], images=[PICTURE, PICTURE]), "2 pictures; a pair has exactly one"),
    "no picture": (row([ASKED], images=[]), "0 pictures.*leave it out, or skip all rows without one"),
    "a picture that is none": (
        row([ASKED], images=["a.jpg"]),
        "its picture is 'a.jpg'; give an opened one, as `trl_dataset.prepare_rows`",
    ),
    "no place": (row([said("user", [text("What?")])]), "the prompt has 0 places for a picture"),
    "two places": (row([said("user", [PLACE, PLACE, text("What?")])]), "the prompt has 2 places for a picture"),
    "a picture in a part": (
        row([said("user", [{"type": "image", "image": PICTURE}, text("What?")])]),
        "part of type image has 'image'",
    ),
    "a part of another type": (row([said("user", [{"type": "video"}, text("What?")])]), "a part is {'type': 'video'}"),
    "an empty part": (row([said("user", [PLACE, text(" ")])]), "no part has a text"),
    "a part without text": (row([said("user", [PLACE, text(None)])]), "a part's text is None"),
    "a tool's turn": (row([said("tool", "7"), ASKED]), "role is 'tool'; it must be system or user or assistant"),
    "a call of a tool": (
        row([ASKED], [{**said("assistant", "A cup."), "tool_calls": [{"name": "f"}]}]),
        "'tool_calls' is .* means nothing here",
    ),
    "system, later": (row([ASKED, said("system", "Be brief."), ASKED]), "a system turn stands after others"),
    "no question": (row([ASKED, said("assistant", "A cup.")]), "prompt ends with the turn of assistant"),
    "an answer of the user's": (
        row([ASKED], [said("user", "A cup.")]),
        "chosen has turns of user; an answer begins and ends with the assistant's",
    ),
    "an answer that ends with the user's": (
        row([ASKED], [said("assistant", "A"), said("user", "B")]),
        "chosen has turns of assistant, user",
    ),
    "an empty answer": (row([ASKED], " "), "chosen: the text is empty"),
    "an answer that leaves no mark": (row([ASKED], "\u200b \ufeff"), "chosen: the text is empty"),
    "answers that look the same": (row([ASKED], "Un café.", "Un cafe\u0301.\u200b"), "chosen and rejected are equal"),
    "a picture in an answer": (
        row([ASKED], [said("assistant", [PLACE, text("A cup.")])]),
        "chosen has a place for a picture",
    ),
    "equal answers": (row([ASKED], "A cup.", "A cup."), "chosen and rejected are equal"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_reason(vlm, name):
    wrong, told = REFUSED[name]
    with pytest.raises(ValueError, match=f"^Row 1: .*{told}"):
        PairCollator(vlm.processor)([wrong])


@pytest.mark.parametrize(
    ("token", "where"),
    itertools.product(("</s>", "<s>", "<pad>", "<image>"), ("prompt", "chosen", "rejected")),
)
def test_special_tokens_in_texts_are_refused(vlm, token, where):
    assert token in {*vlm.processor.tokenizer.all_special_tokens, "<image>"}
    sides = {"prompt": "What?", "chosen": "A cup.", "rejected": "A box."}
    sides[where] += token
    wrong = row([said("user", sides["prompt"])], sides["chosen"], sides["rejected"])
    with pytest.raises(ValueError, match=f"^Row 1: {where} holds {token}, which the model reads as a special token"):
        PairCollator(vlm.processor)([wrong])
    with pytest.raises(ValueError, match=f"The question holds {token}"):
        prompt_text(vlm.processor, f"What is {token}?")


@pytest.mark.parametrize(
    ("token", "pieces"),
    [
        ("</s>", ("a dog </", "s> cat")),
        ("<pad>", ("<pa", "d>")),
        ("<image>", ("a <ima", "ge> dog")),
        ("<s>", ("<", "s", ">")),
    ],
)
@pytest.mark.parametrize("where", ["prompt", "chosen", "rejected"])
def test_special_tokens_in_pieces_are_refused(vlm, token, pieces, where):
    sides = {"prompt": [PLACE, text("What?")], "chosen": [text("A cup.")], "rejected": [text("A box.")]}
    sides[where] = [*sides[where], *map(text, pieces)]
    turns = {name: [said("user" if name == "prompt" else "assistant", parts)] for name, parts in sides.items()}
    told = f"^Row 1: {where}: its parts put together hold {token}, which the model reads as a special token"
    with pytest.raises(ValueError, match=told):
        PairCollator(vlm.processor)([row(**turns)])


# --- data sets ---------------------------------------------------------------------------------------------------


def held_rows(folder) -> list[dict]:
    """TRL's columns as they lie in a Parquet file; the second picture lies on its side, and the third row has none."""
    upright, turned = Pillow.new("RGB", (96, 60), (1, 2, 3)), Pillow.new("RGB", (60, 96))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    upright.save(folder / "0.png")
    turned.save(folder / "1.jpg", exif=exif)
    held = [[{"path": None, "bytes": (folder / name).read_bytes()}] for name in ("0.png", "1.jpg")]
    answers = {name: [said("assistant", [text(f"A {name} cup.")])] for name in ("chosen", "rejected")}
    return [
        {**SHAPES["parts"], **answers, "images": images, "id": at}
        for at, images in ((0, held[0]), (1, held[1]), (7, []))
    ]


def as_dataset(rows) -> Dataset:
    return Dataset.from_list(rows).cast_column("images", List(Image()))


@pytest.fixture
def own(tmp_path):
    return as_dataset(held_rows(tmp_path))


def test_ones_own_data_set(own, vlm):
    prepared = trl_dataset.prepare_rows(own)
    assert prepared["id"] == ["0", "1", "7"]
    assert [row["images"][0].size for row in (prepared[0], prepared[1])] == [(96, 60), (96, 60)]
    assert prepared[2]["images"] == []
    without = trl_dataset.prepare_rows(own.remove_columns("id"))
    assert without["id"] == ["1", "2", "3"]
    with_picture, skipped = trl_dataset.skip_text_only(without)
    assert (with_picture["id"], skipped) == (["1", "2"], 1)
    batch = PairCollator(vlm.processor)([with_picture[0], with_picture[1]])
    assert torch.equal(batch["prompt"]["ids"][0], batch["prompt"]["ids"][1])
    single = own.select([0]).map(lambda row: {"image": row["images"][0]}, remove_columns="images")
    assert trl_dataset.prepare_rows(single)[0]["image"].size == (96, 60)
    assert trl_dataset.skip_text_only(single)[1] == 0


def test_pictures_of_joined_data_sets_stand_in_either_column(own, vlm):
    single = own.select([0]).map(lambda row: {"image": row["images"][0]}, remove_columns="images")
    assert single.column_names != own.column_names
    joined = trl_dataset.prepare_rows(concatenate_datasets([own, single]).remove_columns("id"))
    with_picture, skipped = trl_dataset.skip_text_only(joined)
    assert (with_picture["id"], skipped) == (["1", "2", "4"], 1)
    batch = PairCollator(vlm.processor)([with_picture[0], with_picture[2]])
    assert torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])


def test_messages_written_as_text_are_refused(vlm):
    for words in (
        '[{"role": "assistant", "content": "A cup."}]',
        "[{'role': 'assistant'}]",
        '{"from": "gpt", "value": "A"}',
    ):
        with pytest.raises(ValueError, match=r"^Row 1: chosen: the text is .*messages written as text"):
            PairCollator(vlm.processor)([row([ASKED], words)])
    assert PairCollator(vlm.processor)([row([ASKED], "{a cup}")])


def test_all_faults_of_a_data_set_are_told_before_anything_is_computed(vlm, tmp_path):
    rows = held_rows(tmp_path)
    torn = rows[0]["images"][0] | {"bytes": rows[0]["images"][0]["bytes"][:60]}
    rows += [{**rows[0], "id": 20 + at, "images": [torn]} for at in range(9)]
    rows += [{**rows[0], "id": 40, "chosen": [said("assistant", [text("cup " * 2100)])]}]
    rows += [{**rows[0], "id": 41, "rejected": [said("assistant", [text("A cup.</s>")])]}]
    broken = as_dataset(rows)
    with pytest.raises(ValueError, match="The training cannot begin") as error:
        training_of(vlm, broken, tmp_path)
    told = str(error.value).split("\n- ")[1:]
    assert "row 3 (7): 0 pictures" in told[0]
    assert [line.partition(":")[0] for line in told[1:5]] == [f"row {at} ({at + 16})" for at in (4, 5, 6, 7)]
    assert told[5] == "... and 5 more like it"
    assert "row 13 (40): " in told[6]
    assert "tokens, the limit is" in told[6]
    assert "row 14 (41): rejected holds </s>" in told[7]
    assert not (tmp_path / "run").exists()


def training_of(vlm, data, folder):
    from povid_lib.training.trainer import POVIDTrainer

    return POVIDTrainer(training.tiny(vlm.processor), training.config(folder / "run"), data, vlm.processor)
