"""The dial: what a chapter's first cells get from it, and that the chapters which have it leave the choice to it."""

import ast
import json
from pathlib import Path

import pytest
import torch

from povid_lib.course import dial
from povid_lib.files import results
from povid_lib.models import memory
from povid_lib.models.llava import FOLDER

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SETTINGS = ("MODEL", "TUNED", "PHOTOS", "MEMORY", "DTYPE", "FOUR_BIT", "SCENES")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(f"POVID_{name}", raising=False)


def test_the_pocket_needs_nothing_and_says_nothing(capsys):
    here = dial.turn()
    assert (here.is_pocket, here.device, here.dtype, here.rows, here.scenes(200)) == (
        True,
        "cpu",
        torch.float32,
        64,
        200,
    )
    assert here.pocket_only("it is")
    assert here.has_tuned()
    assert here.asked("Is it?") == "Is it?"
    assert (here.training_rows, here.checkpointing) == (16, False)
    assert here.results("pocket") == results.read("pocket")
    assert capsys.readouterr().out == ""


def test_another_model_is_told_in_a_line_and_every_cell_that_is_skipped_in_one(standin, monkeypatch, capsys):
    monkeypatch.setenv("POVID_MODEL", str(standin))  # over what the cell says
    here = dial.turn("pocket")
    assert here.model == str(standin)
    assert capsys.readouterr().out.count("\n") == 1
    assert not here.pocket_only("it reads the truth of drawn scenes")
    assert not here.has_tuned()
    assert here.results("pocket") == results.read("pocket")
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("this cell is the pocket model's, because it reads the truth of drawn scenes.")
    assert said[1].endswith("without TUNED: there is nothing to compare it with.")
    assert said[2].startswith("results/pocket.json was measured on the pocket model: ")
    assert all(str(standin) in line for line in said)
    assert here.scenes(200) == dial.FEW
    assert here.asked("Is it?") == "Is it?\nAnswer the question using a single word or phrase."
    with pytest.raises(ValueError, match="adapter belongs to the pocket model"):
        here.load_tuned()


@pytest.mark.slow
def test_what_the_environment_says_goes_over_the_cell(standin, monkeypatch, tmp_path):
    for name, value in {
        "TUNED": "there",
        "PHOTOS": str(tmp_path),
        "MEMORY": "24",
        "DTYPE": "bfloat16",
        "SCENES": "3",
    }.items():
        monkeypatch.setenv(f"POVID_{name}", value)
    here = dial.turn(str(standin), "elsewhere", "nowhere")
    assert (here.tuned, here.photos, here.memory, here.dtype) == ("there", tmp_path, 24 * memory.GB, torch.bfloat16)
    assert (here.scenes(2), here.scenes(200), dial.turn("pocket").scenes(200)) == (2, 3, 3)
    vlm = here.load()
    assert (vlm.rows, vlm.model.dtype) == (here.rows, torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MEMORY", "much", "POVID_MEMORY is 'much'; give a number above 0"),
        ("MEMORY", "-1", "POVID_MEMORY is '-1'; give a number above 0"),
        ("MEMORY", "nan", "POVID_MEMORY is 'nan'; give a number above 0"),
        ("SCENES", "0", "POVID_SCENES is '0'; give a number above 0"),
        ("SCENES", "2.5", "POVID_SCENES is '2.5'; give a whole number"),
        ("DTYPE", "int8", "POVID_DTYPE is 'int8'; choose one of float32, bfloat16, float16"),
        ("FOUR_BIT", "yes", "POVID_FOUR_BIT is 'yes'; write 0 or 1"),
        ("FOUR_BIT", "1", "four_bit needs a GPU"),
        ("PHOTOS", "no/where", "PHOTOS is 'no/where', which is no folder"),
        ("MEMORY", "0.01", r"needs 0\.\d GB, and here are 0\.0 \(POVID_MEMORY sets it\)"),
    ],
)
def test_what_makes_no_sense_is_refused(standin, monkeypatch, name, value, said):
    monkeypatch.setenv(f"POVID_{name}", value)
    with pytest.raises(ValueError, match=said):
        dial.turn(str(standin))


def test_a_run_of_the_pocket_is_a_pocket_with_figures_of_its_own(capsys):
    here = dial.turn(str(FOLDER))
    assert here.pocket_only("it is")
    assert capsys.readouterr().out == ""
    here.results("pocket")
    assert "was measured on the pocket model" in capsys.readouterr().out


def test_a_card_with_room_for_few_rows_loads_in_four_bits(standin, monkeypatch):
    config = dial.models.read_config(standin)
    whole, four = (memory.needs(config, torch.float16, four_bit)["answers"] for four_bit in (False, True))
    assert four.fixed < whole.fixed
    scarce = round((whole.fixed + 3 * whole.row) / memory.ROOM)
    monkeypatch.setattr(dial, "find_spec", lambda name: name)
    for memory_, device, four_bit in ((scarce, "cuda", True), (scarce * 10, "cuda", False), (scarce, "cpu", False)):
        assert dial._chosen("m", config, device, memory_, torch.float16)[0] == four_bit
    monkeypatch.setattr(dial, "find_spec", lambda name: None)
    assert not dial._chosen("m", config, "cuda", scarce, torch.float16)[0]


def code(path):
    return [
        ast.parse("".join(cell["source"]))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


def called(tree):
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_chapter_with_the_dial_leaves_model_and_results_to_it(path):
    calls = set().union(*map(called, code(path)))
    if "dial.turn" in calls:
        assert not calls & {"models.load", "models.load_tuned", "results.read", "torch.cuda.is_available"}


def test_the_page_for_ones_own_pictures_has_the_dial():
    [path] = [path for path in NOTEBOOKS if path.stem.endswith("try_your_own")]
    assert "dial.turn" in set().union(*map(called, code(path)))
