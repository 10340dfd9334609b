"""``povid evaluate``: the three kinds of data, and every complaint before a model is loaded."""

import json
from io import BytesIO

import pytest
from PIL import Image

from povid_lib import models
from povid_lib.evaluation import evaluate
from povid_lib.metrics import files
from povid_lib.metrics.stats import mean
from tests.support.helpers import povid


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


def test_pictures_are_found_by_id_name_and_coco_number(tmp_path):
    for name in ("7.png", "a.jpg", "COCO_val2014_000000000042.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    found = evaluate.find_pictures(tmp_path, ["7", "a.jpg", "42"])
    assert [p.name for p in found.values()] == ["7.png", "a.jpg", "COCO_val2014_000000000042.jpg"]
    with pytest.raises(ValueError, match="lacks 1 of 2 pictures: 8"):
        evaluate.find_pictures(tmp_path, ["7", "8"])


def test_world_answers_are_kept_and_score_as_told(vlm, tmp_path):
    found = evaluate.evaluate_world(vlm, "typical", 6, tmp_path)
    captions = files.read_captions(tmp_path / "captions.jsonl")
    assert len(captions) == 6
    batch = evaluate.held_out("typical", 6)
    truth = {str(i): scene.names for i, scene in enumerate(batch)}
    again = evaluate.evaluate_captions(captions, truth, evaluate.pocket_vocabulary())
    assert again["chair"] == found["chair"]
    assert set(found["pope"]) == {"random", "popular", "adversarial"}
    assert found["judge"]["detailed description"].score.n == 6
    assert len(files.read_answers(tmp_path / "pope_random.jsonl")) == sum(2 * min(3, len(s.names)) for s in batch)
    with pytest.raises(ValueError, match="No split"):
        evaluate.evaluate_world(vlm, "odd", 6, tmp_path)


def test_a_model_on_files(vlm, tmp_path):
    batch = evaluate.held_out("typical", 2)
    for i, scene in enumerate(batch):
        scene.image().save(tmp_path / f"{i}.png")
    pictures = evaluate.read_pictures(tmp_path, ["0", "1"])
    assert list(evaluate.describe(vlm, pictures, tmp_path).values()) == evaluate.captions(vlm, batch)
    question = evaluate.PopeQuestion("q", "1", f"Is there a {batch[1].names[0]} in the image?", True)
    assert evaluate.reply(vlm, [question], pictures, tmp_path)["q"] in ("Yes.", "No.")


def test_each_question_is_asked_about_its_own_picture(vlm, tmp_path, monkeypatch):
    def colour(_vlm, images, prompts, **_):
        told = zip(prompts, images, strict=True)
        return [models.Answer(f"{prompt} {image.getpixel((0, 0))[0]}", (), ()) for prompt, image in told]

    monkeypatch.setattr(models, "generate", colour)
    pictures = {str(red): Image.new("RGB", (1, 1), (red, 0, 0)) for red in (1, 2)}
    questions = [evaluate.PopeQuestion(key, image, key, True) for key, image in (("a", "2"), ("b", "1"), ("c", "2"))]
    assert evaluate.reply(vlm, questions, pictures, tmp_path) == {"a": "a 2", "b": "b 1", "c": "c 2"}


def test_files_of_a_model_score_as_what_it_said(vlm, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load", lambda name: {"mine": vlm}[name])
    batch = evaluate.held_out("typical", 3)
    for i, scene in enumerate(batch):
        scene.image().save(tmp_path / f"{i}.png")
    words, said = evaluate.pocket_vocabulary(), tmp_path / "new" / "said"
    truth = tmp_path / "truth.json"
    write(truth, json.dumps({i: scene.names for i, scene in enumerate(batch)}))
    found = evaluate.evaluate_truth_file(truth, words, None, "mine", tmp_path, said)
    assert found["chair"].chair_s.n == 3
    assert evaluate.evaluate_truth_file(truth, words, said / "captions.jsonl", None, None, said) == found
    polls = [(i, name, label) for i, s in enumerate(batch) for name, label in ((s.names[0], "yes"), ("unicorn", "no"))]
    rows = [
        {"question_id": k, "image": f"{i}.png", "text": f"Is there a {name} in the image?", "label": label}
        for k, (i, name, label) in enumerate(polls)
    ]
    asked = tmp_path / "questions.json"
    write(asked, "\n".join(map(json.dumps, rows)))
    found = evaluate.evaluate_question_file(asked, None, "mine", tmp_path, said)
    assert found["pope"]["strict"].accuracy.n == 3
    again = evaluate.evaluate_question_file(asked, said / "answers.jsonl", None, None, said)
    assert repr(again) == repr(found)  # nan, where an answer is never given, equals nothing
    with pytest.raises(ValueError, match="Nothing answers"):
        evaluate.evaluate_question_file(asked, None, None, tmp_path, said)


def test_table_finds_every_estimate():
    e = mean([0.0, 1.0])
    assert evaluate.table({"a": {"b": e}, "c": 3, "d": e}) == [("a b", e), ("d", e)]
