"""``povid evaluate``: the three kinds of data, and every complaint before a model is loaded."""

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from povid_lib import models
from povid_lib.data import images
from povid_lib.evaluation import evaluate
from povid_lib.evaluation.held_out import captions, held_out
from povid_lib.metrics import files
from povid_lib.metrics.chair import compare_chair
from povid_lib.metrics.pope import SETTINGS, YES_NO_HINT
from povid_lib.metrics.stats import mean
from povid_lib.metrics.vocabulary import coco_vocabulary
from povid_lib.world.judge import pocket_vocabulary
from tests.support.helpers import povid

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def cli(monkeypatch, tmp_path):
    """Run ``povid evaluate`` in an empty folder, results there too, with a model that must not be loaded."""
    monkeypatch.chdir(tmp_path)

    def refuse(*_args, **_kwargs):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models, "load", refuse)
    return lambda *args: povid("evaluate", *args)


def write(path, text):
    path.write_text(text)
    return str(path)


def test_captions_from_a_file(cli, tmp_path):
    truth = write(tmp_path / "truth.json", '{"1": ["dog"], "2": ["cat", "bus"]}')
    said = write(
        tmp_path / "said.jsonl",
        '{"image_id": 1, "caption": "A dog and a cat."}\n{"image_id": 2, "caption": "A cat near a bus."}\n',
    )
    result = cli("--data", truth, "--answers", said)
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "results" / "evaluation.json").read_text())
    assert made["chair"]["chair_s"]["value"] == 0.5
    assert made["chair"]["chair_i"]["value"] == 0.25
    assert made["chair"]["recall"]["value"] == 1
    assert "n = 2" in result.output


def test_pope_from_a_file(cli, tmp_path):
    asked = "".join(
        json.dumps({"question_id": i, "image": "a.jpg", "text": f"Is there a {x} in the image?", "label": y}) + "\n"
        for i, (x, y) in enumerate([("dog", "yes"), ("cat", "no"), ("bus", "no")])
    )
    said = "".join(json.dumps({"question_id": i, "answer": t}) + "\n" for i, t in enumerate(["Yes.", "yes", "A tram"]))
    result = cli(
        "--data", write(tmp_path / "q.json", asked), "--answers", write(tmp_path / "a.jsonl", said), "--name", "p"
    )
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "results" / "p.json").read_text())["pope"]
    assert made["strict"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert made["as published"]["accuracy"]["value"] == pytest.approx(1 / 3)  # the tram counts as yes
    assert made["as published"]["yes_ratio"]["value"] == 1
    assert made["strict"]["unclear"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--data", "typical"], "either --model or --answers"),
        (["--data", "typical", "--answers", "x"], "give --model"),
        (["--data", "nowhere.json", "--model", "pocket"], "neither a split"),
        (["--data", "truth.json", "--model", "pocket"], "--images"),
        (["--data", "truth.json", "--model", "pocket", "--images", "pictures"], "lacks 2 of 2"),
        (["--data", "bad.json", "--model", "pocket", "--images", "pictures"], "unicorn"),
        (["--data", "truth.json", "--answers", "stranger.jsonl"], "line 1"),
        (["--data", "broken.json", "--model", "pocket", "--images", "."], "3 of 3 pictures cannot be read"),
        (["--data", "questions.json", "--model", "pocket"], "--images"),
        (["--data", "questions.json", "--model", "pocket", "--images", "pictures"], "lacks 1 of 1"),
        (["--data", "questions.json", "--answers", "nobody.jsonl"], "question 9 was not asked"),
        (["--data", "typical", "--model", "pocket", "--batch-size", "0"], "rows is 0; give a whole number, 1 or more"),
        (["--data", "typical", "--model", "pocket", "--tokens", "-1"], "tokens is -1; give a whole number, 1 or more"),
        (["--data", "typical", "--model", "pocket", "--tokens", "9"], "--tokens is for photographs"),
        (["--data", "typical", "--model", "pocket", "--dtype", "int8"], "choose one of float32, bfloat16, float16"),
        (["--data", "typical", "--model", "pocket", "--four-bit"], "four_bit needs a GPU"),
        (["--data", "typical", "--model", "pocket", "--prompt", "What?"], "--prompt is for captions of photographs"),
        (
            ["--data", "questions.json", "--model", "pocket", "--prompt", "What?"],
            "--prompt is for captions of photographs",
        ),
        (["--data", "truth.json", "--model", "pocket", "--prompt", " "], "The prompt is empty"),
        (["--data", "truth.json", "--model", "pocket", "--hint", "x"], "--hint is for POPE's questions"),
        (
            ["--data", "truth.json", "--answers", "stranger.jsonl", "--tokens", "9"],
            "says nothing where --answers are given",
        ),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(cli, tmp_path, args, complaint):
    write(tmp_path / "truth.json", '{"1": ["dog"], "2": ["cat"]}')
    write(tmp_path / "bad.json", '{"1": ["unicorn"]}')
    write(tmp_path / "stranger.jsonl", '{"image_id": 7, "caption": "A dog."}\n')
    question = {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}
    write(tmp_path / "questions.json", json.dumps(question))
    write(tmp_path / "nobody.jsonl", '{"question_id": 9, "answer": "Yes."}\n')
    write(tmp_path / "broken.json", '{"3": ["dog"], "4": ["dog"], "5": ["dog"]}')
    write(tmp_path / "3.jpg", "no picture")
    made = BytesIO()
    Image.effect_noise((400, 400), 50).save(made, "PNG")
    (tmp_path / "4.png").write_bytes(made.getvalue()[:-100])
    first, second, *rest = made.getvalue().split(b"IDAT")
    # a second chunk without its name: Pillow raises a SyntaxError
    (tmp_path / "5.png").write_bytes(b"IDAT".join([first, second]) + bytes(4) + b"IDAT".join(rest))
    result = cli(*args)
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "runs").exists()


def kept(folder, name):
    """The one file of that name under the folder of a run."""
    (file,) = folder.rglob(name)
    return file


@pytest.mark.slow
def test_world_answers_are_kept_and_score_as_told(vlm, tmp_path):
    found = evaluate.evaluate_world(vlm, "typical", 6, tmp_path)
    said = files.read_captions(kept(tmp_path, "captions.jsonl"))
    assert len(said) == 6
    batch = held_out("typical", 6)
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({i: scene.names for i, scene in enumerate(batch)}))
    source = evaluate.Source(kept(tmp_path, "captions.jsonl"), None, None, tmp_path)
    again = evaluate.evaluate_truth_file(truth, None, pocket_vocabulary(), source)
    assert again.data["chair"] == found.data["chair"]
    assert set(found.data["pope"]) == set(SETTINGS)
    assert found.data["judge"]["detailed description"].score.n == 6
    polls = files.read_answers(kept(tmp_path, "pope_random.jsonl"))
    assert len(polls) == sum(2 * min(3, len(s.names)) for s in batch)
    with pytest.raises(ValueError, match="split is 'odd'; choose one of typical, counter_typical"):
        evaluate.evaluate_world(vlm, "odd", 6, tmp_path)


@pytest.mark.slow
def test_a_constant_on_the_end_token_is_a_run_of_its_own(vlm, tmp_path):
    plain = evaluate.evaluate_world(vlm, "counter_typical", 4, tmp_path)
    ended = evaluate.evaluate_world(vlm, "counter_typical", 4, tmp_path, 6.0)
    assert (plain.about["end_bias"], ended.about["end_bias"]) == (0.0, 6.0)
    assert ended.data["chair"].length.value < plain.data["chair"].length.value / 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_result_says_what_it_is(vlm, tmp_path):
    found = evaluate.evaluate_world(vlm, "counter_typical", 4, tmp_path)
    about = found.about
    assert (about["asked"], about["answered"], about["unanswered"], len(about["weights"])) == (4, 4, 0, 32)
    assert (about["n"], about["prompt"], about["parser"]) == (4, "Describe this image.", "first word is yes or no")
    assert about["vocabulary"]["name"] == "pocket world"
    assert about["vocabulary"]["lemmatiser"] == "as_written"
    answers = files.read_answers(kept(tmp_path, "pope_popular.jsonl"))
    assert about["unclear"]["pope popular"] == {"unclear": 0, "of": len(answers)}
    assert f"unclear answers, pope popular                0 of {len(answers)}" in evaluate.lines(found)


def test_the_vocabulary_tells_results_apart(cli, tmp_path):
    truth = write(tmp_path / "truth.json", '{"1": ["dog"]}')
    said = write(tmp_path / "said.jsonl", '{"image_id": 1, "caption": "A dog and a hound."}\n')
    words = write(tmp_path / "words.txt", "dog, hound\n")
    for name, more in (("own", ()), ("other", ("--vocabulary", words))):
        assert cli("--data", truth, "--answers", said, "--name", name, *more).exit_code == 0
    own, other = (
        json.loads((tmp_path / "results" / f"{name}.json").read_text())["provenance"] for name in ("own", "other")
    )
    assert own["config_hash"] != other["config_hash"]
    assert own["config"]["vocabulary"] | {"digest": ""} == {
        "name": "COCO, this project's table", "lemmatiser": "by_pattern", "words": 449, "categories": 80, "digest": "",
    }  # fmt: skip
    assert (other["config"]["vocabulary"]["name"], other["config"]["vocabulary"]["words"]) == ("words.txt", 2)
    assert own["config"]["n"] == 1  # measured, not asked for
    assert own["config"]["prompt"] is None  # a file of captions does not say what they answer


def test_the_lemmatiser_tells_results_apart_and_is_not_ignored(cli, tmp_path):
    truth = write(tmp_path / "truth.json", '{"1": ["dog"]}')
    said = write(tmp_path / "said.jsonl", '{"image_id": 1, "caption": "Two dogs."}\n')
    assert cli("--data", truth, "--answers", said, "--name", "none", "--lemmatiser", "none").exit_code == 0
    found = json.loads((tmp_path / "results" / "none.json").read_text())
    assert found["provenance"]["config"]["vocabulary"]["lemmatiser"] == "as_written"
    assert found["chair"]["recall"]["value"] == 0  # "dogs" is no word of the table
    for more, complaint in (
        (("--data", truth, "--answers", said, "--lemmatiser", "porter"), "choose one of pattern, wordnet, none"),
        (("--data", "typical", "--model", "pocket", "--lemmatiser", "none"), "leave them out here"),
    ):
        refused = cli(*more, "--name", "x")
        assert refused.exit_code == 2
        assert complaint in " ".join(refused.output.replace("│", " ").split())


def test_coco_files_are_a_truth(cli, tmp_path):
    objects = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [{"image_id": 1, "category_id": 18}, {"image_id": 2, "category_id": 17}],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }
    texts = {"images": objects["images"], "annotations": [{"image_id": 1, "caption": "A dog on a sofa."}]}
    instances = write(tmp_path / "instances.json", json.dumps(objects))
    captions = write(tmp_path / "captions.json", json.dumps(texts))
    said = write(tmp_path / "said.jsonl", '{"image_id": 1, "caption": "A dog on a couch."}\n')
    for name, more, rate, of in (
        ("alone", (), 1, "COCO's instances"),
        ("both", ("--captions", captions), 0, "COCO's instances and captions"),
    ):
        result = cli("--data", instances, "--answers", said, "--name", name, *more)
        assert result.exit_code == 0, result.output
        made = json.loads((tmp_path / "results" / f"{name}.json").read_text())
        assert made["chair"]["chair_s"]["value"] == rate
        assert made["provenance"]["config"]["truth"] == of


def drawn(folder, n):
    """The first held-out scenes as files."""
    batch = held_out("typical", n)
    for i, scene in enumerate(batch):
        scene.image().save(folder / f"{i}.png")
    return batch


@pytest.mark.slow
def test_a_model_on_files(vlm, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load", lambda name: {"mine": vlm}[name])
    batch = drawn(tmp_path, 3)
    source = evaluate.Source(None, "mine", tmp_path, tmp_path / "new" / "said")
    truth = tmp_path / "truth.json"
    write(truth, json.dumps({i: scene.names for i, scene in enumerate(batch)}))
    found = evaluate.evaluate_truth_file(truth, None, pocket_vocabulary(), source)
    file = kept(source.said_in, "captions.jsonl")
    assert list(files.read_captions(file).values()) == captions(vlm, batch)
    again = evaluate.evaluate_truth_file(truth, None, pocket_vocabulary(), evaluate.Source(file, None, None, tmp_path))
    assert again.data == found.data
    polls = [(i, name, label) for i, s in enumerate(batch) for name, label in ((s.names[0], "yes"), ("unicorn", "no"))]
    rows = [
        {"question_id": k, "image": f"{i}.png", "text": f"Is there a {name} in the image?", "label": label}
        for k, (i, name, label) in enumerate(polls)
    ]
    asked = tmp_path / "questions.json"
    write(asked, "\n".join(map(json.dumps, rows)))
    found = evaluate.evaluate_question_file(asked, source)
    assert found.data["pope"]["strict"].accuracy.n == 3
    file = kept(source.said_in, "answers.jsonl")
    again = evaluate.evaluate_question_file(asked, evaluate.Source(file, None, None, tmp_path))
    assert repr(again.data) == repr(found.data)  # nan, where an answer is never given, equals nothing
    with pytest.raises(ValueError, match="Nothing answers"):
        evaluate.evaluate_question_file(asked, evaluate.Source(None, None, tmp_path, tmp_path))


@pytest.mark.slow
def test_the_page_s_comparison_of_two_models_runs(tmp_path, monkeypatch, capsys):
    """Chapter 11's lines, as they are printed there, on what ``povid evaluate`` has kept of COCO's files."""
    cells = json.loads((NOTEBOOKS / "11_on_a_gpu.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    [shown] = [block for block in re.findall(r"```python\n(.*?)```", texts, re.DOTALL) if "compare_chair" in block]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "val2014").mkdir()
    batch, words = drawn(tmp_path / "val2014", 6), coco_vocabulary()
    names = sorted({name for scene in batch for name in scene.names if list(words.mentioned(name)) == [name]})
    pictures = [{"id": i, "file_name": f"{i}.png"} for i in range(len(batch))]
    objects = [
        {"image_id": i, "category_id": names.index(n)} for i, s in enumerate(batch) for n in s.names if n in names
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    write(
        tmp_path / "chair500.json", json.dumps({"images": pictures, "annotations": objects, "categories": categories})
    )
    write(tmp_path / "captions500.json", json.dumps({"images": pictures, "annotations": []}))
    base = [
        "evaluate",
        "--data",
        "chair500.json",
        "--captions",
        "captions500.json",
        "--images",
        "val2014",
        "--model",
        "pocket",
    ]
    for name, more in (("chair_before", []), ("chair", ["--end-bias", "6"])):
        result = povid(*base, "--name", name, *more)
        assert result.exit_code == 0, result.output
    capsys.readouterr()
    found: dict = {}
    exec(shown, found)
    change = compare_chair(found["scored"]("chair_before"), found["scored"]("chair"))
    assert capsys.readouterr().out == f"{change}\n"
    assert change.length.difference.high < 0  # the constant shortens the captions
    assert change.length.difference.n == len(batch)


def asked_of(monkeypatch, vlm, pocket=True):
    """What is asked from now on, a list of (picture's red, prompt); each answer says both."""
    asked = []

    def answer(_vlm, pictures, prompts, **_):
        rows = [(image.getpixel((0, 0))[0], prompt) for image, prompt in zip(pictures, prompts, strict=True)]
        asked.extend(rows)
        return [models.Answer(f"{prompt} {red}", (), ()) for red, prompt in rows]

    monkeypatch.setattr(models, "generate", answer)
    monkeypatch.setattr(models, "load", lambda name: vlm)
    monkeypatch.setattr(models.VLM, "is_pocket", pocket)
    return asked


@pytest.mark.parametrize("pocket", [True, False])
def test_each_question_is_asked_about_its_own_picture(vlm, tmp_path, monkeypatch, pocket):
    asked_of(monkeypatch, vlm, pocket)
    for red in (1, 2):
        Image.new("RGB", (1, 1), (red, 0, 0)).save(tmp_path / f"{red}.png")
    questions = [evaluate.PopeQuestion(key, image, key, True) for key, image in (("a", "2"), ("b", "1"), ("c", "2"))]
    hint = "" if pocket else f"\n{YES_NO_HINT}"
    source = evaluate.Source(None, "m", tmp_path, tmp_path / "said")
    assert evaluate.answered_questions(questions, source).texts == {
        "a": f"a{hint} 2",
        "b": f"b{hint} 1",
        "c": f"c{hint} 2",
    }


def test_a_stopped_run_goes_on_and_asks_nothing_twice(vlm, tmp_path, monkeypatch):
    asked = asked_of(monkeypatch, vlm)
    for red in range(40):
        Image.new("RGB", (1, 1), (red, 0, 0)).save(tmp_path / f"{red}.png")
    questions = [evaluate.PopeQuestion(f"q{k}", str(k), "?", True) for k in range(40)]
    source, opened = evaluate.Source(None, "m", tmp_path, tmp_path / "said"), images.picture

    def stop(name, folder):
        if len(asked) >= 16 and name == "20.png":
            raise KeyboardInterrupt
        return opened(name, folder)

    monkeypatch.setattr(images, "fault", lambda *_: None)
    monkeypatch.setattr(images, "picture", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate.answered_questions(questions, source)
    file = kept(source.said_in, "answers.jsonl")
    assert len(asked) == len(files.read_answers(file)) == 16  # the batch that was answered is kept
    file.write_bytes(file.read_bytes()[:-5])  # and a kill in the middle of a line costs that line
    monkeypatch.setattr(images, "picture", opened)
    assert evaluate.answered_questions(questions, source).texts == {f"q{k}": f"? {k}" for k in range(40)}
    assert [red for red, _ in asked] == [*range(16), *range(15, 40)]
    evaluate.answered_questions(questions, source)
    assert len(asked) == 41
    evaluate.answered_questions([*questions[:39], evaluate.PopeQuestion("q39", "39", "!", True)], source)
    assert len(asked) == 41 + 40  # other questions have a file of their own


def test_other_pictures_of_the_same_name_are_asked_about_anew(vlm, tmp_path, monkeypatch):
    asked = asked_of(monkeypatch, vlm)
    truth, config = tmp_path / "truth.json", []
    write(truth, '{"1": ["dog"]}')
    for folder, red in (("clean", 1), ("noisy", 2), ("copy", 1)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (1, 1), (red, 0, 0)).save(tmp_path / folder / "1.png")
        source = evaluate.Source(None, "m", tmp_path / folder, tmp_path / "said")
        config.append(evaluate.evaluate_truth_file(truth, None, coco_vocabulary(), source).about["pictures"])
    assert [red for red, _ in asked] == [1, 2]  # a copy elsewhere is the same picture
    assert config[0] == config[2] != config[1]


def test_results_of_other_files_have_another_hash(cli, tmp_path):
    hashes = set()
    for folder, name, said in (("x", "dog", "A dog."), ("y", "cat", "A dog."), ("z", "dog", "A cat.")):
        (tmp_path / folder).mkdir()
        truth = write(tmp_path / folder / "t.json", json.dumps({"1": [name]}))
        answers = write(tmp_path / folder / "a.jsonl", json.dumps({"image_id": 1, "caption": said}))
        assert cli("--data", truth, "--answers", answers, "--name", folder).exit_code == 0
        origin = json.loads((tmp_path / "results" / f"{folder}.json").read_text())["provenance"]
        assert origin["config"]["inputs"].keys() == {"data", "answers"}
        hashes.add(origin["config_hash"])
    assert len(hashes) == 3


@pytest.mark.parametrize("benchmark", ["chair", "amber"])
def test_a_result_says_how_much_of_the_benchmark_was_answered(cli, tmp_path, benchmark):
    truth = write(tmp_path / "truth.json", '{"1": ["dog"], "2": ["cat"], "3": []}')
    said = write(tmp_path / "said.jsonl", '{"image_id": 1, "caption": "A dog.", "id": 1, "response": "Yes"}\n')
    args = ["--data", truth, "--answers", said]
    if benchmark == "amber":
        rows = [{"id": i, "image": f"{i}.jpg", "query": "Is it?"} for i in range(1, 4)]
        args[1] = write(tmp_path / "query.json", json.dumps(rows))
        kind = "discriminative-relation"
        write(tmp_path / "annotations.json", json.dumps([{"id": i, "type": kind, "truth": "yes"} for i in range(1, 4)]))
        write(tmp_path / "relation.json", '{"dog": []}')
        write(tmp_path / "safe_words.txt", "sun\n")
        args += ["--benchmark", "amber"]
    result = cli(*args)
    assert result.exit_code == 0, result.output
    assert "1 of 3: 2 have no answer, and are in no figure" in result.output
    config = json.loads((tmp_path / "results" / "evaluation.json").read_text())["provenance"]["config"]
    assert (config["asked"], config["answered"], config["unanswered"], config["weights"]) == (3, 1, 2, None)


def test_a_result_says_which_weights_answered(vlm, tmp_path, monkeypatch):
    asked_of(monkeypatch, vlm)
    Image.new("RGB", (1, 1)).save(tmp_path / "1.png")
    truth = tmp_path / "truth.json"
    write(truth, '{"1": ["dog"]}')
    source, weights = evaluate.Source(None, "m", tmp_path, tmp_path / "said"), []
    own = vlm.model.lm_head.weight[0, 0].detach().clone()
    for value in (own, own, own + 1):
        with torch.no_grad():
            vlm.model.lm_head.weight[0, 0] = value
        about = evaluate.evaluate_truth_file(truth, None, coco_vocabulary(), source).about
        assert (about["asked"], about["answered"], about["unanswered"]) == (1, 1, 0)
        weights.append(about["weights"])
    with torch.no_grad():
        vlm.model.lm_head.weight[0, 0] = own
    assert weights[0] == weights[1] != weights[2]


def test_table_finds_every_estimate():
    e = mean([0.0, 1.0])
    assert evaluate.table({"a": {"b": e}, "c": 3, "d": e}) == [("a b", e), ("d", e)]
