"""The benchmarks' command, on small files of their own formats, with a judge that is told what to say."""

import json

import pytest
from PIL import Image

from povid_lib import models
from povid_lib.metrics import files, llm_judge
from povid_lib.metrics.pope import SETTINGS
from povid_lib.metrics.spellings import parse_yes_no
from tests.support.helpers import povid

AMBER = {
    "query/query_all.json": [
        {"id": 1, "image": "AMBER_1.jpg", "query": "Describe this image."},
        {"id": 2, "image": "AMBER_1.jpg", "query": "Is there a cloud in this image?"},
        {"id": 3, "image": "AMBER_2.jpg", "query": "Is the boat red?"},
    ],
    "annotations.json": [
        {"id": 1, "type": "generative", "truth": ["ship"], "hallu": ["sky"]},
        {"id": 2, "type": "discriminative-hallucination", "truth": "no"},
        {"id": 3, "type": "discriminative-attribute-state", "truth": "yes"},
    ],
    "relation.json": {"ship": ["boat"], "sky": []},
    "responses.json": [
        {"id": 1, "response": "A boat under a sky."}, {"id": 2, "response": "No"}, {"id": 3, "response": "Perhaps"},
    ],
}  # fmt: skip
MMHAL = [
    {"image_id": key, "question_type": kind, "question_topic": "food", "image_src": f"https://photos.test/{key}.jpg",
     "image_content": ["Cup"], "question": f"What is {key}?", "gt_answer": "A cup.", "model_answer": ""}
    for key, kind in (("a", "attribute"), ("b", "counting"))
]  # fmt: skip
LLAVA = {
    "questions.jsonl": [{"question_id": k, "image": "001.jpg", "category": c, "text": f"{c}?"}
                        for k, c in enumerate(("conv", "detail"))],
    "context.jsonl": [{"id": "001", "image": "001.jpg", "caption": "A cup."}],
    "answers_gpt4.jsonl": [{"question_id": k, "text": "A cup.", "model_id": "gpt4"} for k in range(2)],
    "mine.jsonl": [{"question_id": k, "text": f"Mine {k}.", "model_id": "mine"} for k in range(2)],
}  # fmt: skip


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """The command in an empty folder with every benchmark's files, and no model unless a test gives one."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (AMBER | LLAVA).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        lines = "\n".join(map(json.dumps, rows)) if path.suffix == ".jsonl" else json.dumps(rows)
        path.write_text(lines)
    (tmp_path / "safe_words.txt").write_text("sun\n")
    (tmp_path / "response_template.json").write_text(json.dumps(MMHAL))
    filled = [row | {"model_answer": f"Mine {row['image_id']}."} for row in MMHAL]
    (tmp_path / "responses_mmhal.json").write_text(json.dumps(filled))
    (tmp_path / "truth.json").write_text('{"1": ["dog", "cat"], "2": ["cat", "bus"], "3": []}')

    def refuse(*_args, **_kwargs):
        raise AssertionError("a model was loaded, or a judge asked")

    monkeypatch.setattr(models, "load", refuse)
    monkeypatch.setattr(llm_judge, "ask", refuse)
    return lambda *args: povid("evaluate", *args)


def read(tmp_path, name="evaluation"):
    return json.loads((tmp_path / "results" / f"{name}.json").read_text())


def test_amber(cli, tmp_path):
    result = cli("--benchmark", "amber", "--data", "query/query_all.json", "--answers", "responses.json")
    assert result.exit_code == 0, result.output
    made = read(tmp_path)
    assert made["amber"]["generative"]["chair"]["value"] == 0.5
    assert made["amber"]["generative"]["cover"]["value"] == 1
    assert made["amber"]["discriminative"]["all"]["accuracy"]["value"] == 0.5
    config = made["provenance"]["config"]
    assert (config["benchmark"], config["n"], config["answered"], config["answers"]) == (
        "amber",
        2,
        3,
        "responses.json",
    )
    assert config["unclear"] == {"yes/no": {"unclear": 1, "of": 2}}
    assert (config["vocabulary"]["lemmatiser"], config["vocabulary"]["words"]) == ("by_pattern", 3)
    assert "unclear answers, yes/no                      1 of 2" in result.output


def judged(monkeypatch, say):
    """A judge that answers each prompt so; returns what it was asked."""
    asked = []

    def ask(judge, prompts, cache, read):
        asked.extend(prompts)
        return [say(prompt) for prompt in prompts]

    monkeypatch.setattr(llm_judge, "ask", ask)
    return asked


def test_mmhal(cli, tmp_path, monkeypatch):
    asked = judged(monkeypatch, lambda prompt: "Rating: 6" if "Mine a." in prompt else "Well.")
    result = cli(
        "--benchmark",
        "mmhal",
        "--data",
        "response_template.json",
        "--answers",
        "responses_mmhal.json",
        "--judge",
        "wise",
        "--input-price",
        "0",
        "--output-price",
        "0",
    )
    assert result.exit_code == 0, result.output
    made = read(tmp_path)
    assert made["mmhal"]["score"]["value"] == 3
    assert {kind: e["value"] for kind, e in made["mmhal"]["by_kind"].items()} == {"attribute": 6, "counting": 0}
    config = made["provenance"]["config"]
    assert config["judge"] == {"model": "wise", "base_url": "https://api.openai.com/v1", "prompt": "mmhal-1"}
    assert config["unclear"] == {"reviews": {"unclear": 1, "of": 2}}
    assert len(asked) == 2
    reviews = [
        json.loads(line) for line in (tmp_path / "runs/answers/evaluation/reviews.jsonl").read_text().splitlines()
    ]
    assert [(r["image"], r["text"]) for r in reviews] == [("a", "Rating: 6"), ("b", "Well.")]


def test_llava_bench(cli, tmp_path, monkeypatch):
    judged(monkeypatch, lambda prompt: "8 4\nWhy." if "Mine 0." in prompt else "10 10")
    result = cli(
        "--benchmark",
        "llava-bench",
        "--data",
        "questions.jsonl",
        "--answers",
        "mine.jsonl",
        "--judge",
        "wise",
        "--input-price",
        "0",
        "--output-price",
        "0",
    )
    assert result.exit_code == 0, result.output
    made = read(tmp_path)["llava-bench"]
    assert made["conv"]["relative"]["value"] == 50
    assert made["all"]["relative"]["value"] == pytest.approx(100 * 14 / 18)


def test_pope_of_ones_own_objects(cli, tmp_path, vlm, monkeypatch):
    for name in "12":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")

    def always_yes(_vlm, pictures, prompts, **_):
        return [models.Answer("Yes", (), ())] * len(prompts)

    monkeypatch.setattr(models, "load", lambda name: vlm)
    monkeypatch.setattr(models, "generate", always_yes)
    result = cli("--benchmark", "pope", "--data", "truth.json", "--model", "m", "--images", ".")
    assert result.exit_code == 0, result.output
    made = read(tmp_path)
    assert set(made["pope"]) == set(SETTINGS)
    for setting in SETTINGS:
        assert made["pope"][setting]["strict"]["accuracy"]["value"] == 0.5
        assert made["provenance"]["config"]["unclear"][f"pope {setting}"]["unclear"] == 0
    assert (made["provenance"]["config"]["n"], made["provenance"]["config"]["left_out"]) == (2, 1)
    asked = files.read_questions("runs/answers/evaluation/questions.jsonl")
    truthful = {q.question_id: "Yes" if q.present else "No" for q in asked}
    assert parse_yes_no(truthful[asked[0].question_id])
    files.write_answers("truthful.jsonl", truthful)
    assert cli("--benchmark", "pope", "--data", "truth.json", "--answers", "truthful.jsonl").exit_code == 0
    assert {row["strict"]["accuracy"]["value"] for row in read(tmp_path)["pope"].values()} == {1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "answers"),
    [
        ("amber", "query/query_all.json", "answers.jsonl"),
        ("mmhal", "response_template.json", "answers.jsonl"),
        ("llava-bench", "questions.jsonl", "answers.jsonl"),
    ],
)
def test_a_model_answers_and_what_it_said_can_be_given_again(cli, tmp_path, vlm, monkeypatch, name, data, answers):
    for image in ("AMBER_1", "AMBER_2", "a", "b", "001"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{image}.jpg")
    asked = judged(monkeypatch, lambda prompt: "Rating: 5" if name == "mmhal" else "8 6")
    monkeypatch.setattr(models, "load", lambda name: vlm)
    judge = [] if name == "amber" else ["--judge", "wise", "--input-price", "0", "--output-price", "0"]
    first = cli("--benchmark", name, "--data", data, "--model", "m", "--images", ".", *judge)
    assert first.exit_code == 0, first.output
    made, reviewed = read(tmp_path)[name], list(asked)
    (file,) = (tmp_path / "runs").rglob(answers)
    again = cli("--benchmark", name, "--data", data, "--answers", file, *judge)
    assert again.exit_code == 0, again.output
    assert read(tmp_path)[name] == made
    assert asked == reviewed * 2


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["chair", "truth.json"], "--benchmark is 'chair'; choose one of amber, mmhal, llava-bench, pope"),
        (["mmhal", "response_template.json"], "mmhal needs a judge; name its model with --judge"),
        (
            ["mmhal", "response_template.json", "--judge", "wise"],
            "give --input-price and --output-price, 0 for a server that is free",
        ),
        (
            ["mmhal", "response_template.json", "--judge", "wise", "--input-price", "1"],
            "give --input-price and --output-price, 0 for",
        ),
        (
            ["amber", "query/query_all.json", "--judge", "wise", "--input-price", "0", "--output-price", "0"],
            "amber is scored without a judge; leave --judge out",
        ),
        (["amber", "nowhere.json"], "nor a file"),
        (
            ["llava-bench", "context.jsonl", "--judge", "wise", "--input-price", "0", "--output-price", "0"],
            "context.jsonl: ",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(cli, args, complaint):
    result = cli("--benchmark", args[0], "--data", args[1], "--answers", "mine.jsonl", *args[2:])
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.replace("│", " ").split())


def test_a_query_without_a_truth_is_refused_before_anything_is_asked(cli, tmp_path):
    (tmp_path / "annotations.json").write_text(json.dumps(AMBER["annotations.json"][:2]))
    result = cli("--benchmark", "amber", "--data", "query/query_all.json", "--model", "m", "--images", ".")
    assert result.exit_code == 2
    told = " ".join(result.output.replace("│", " ").split())
    assert "1 of 3 queries have no annotation there, the first is 3" in told


@pytest.mark.parametrize("lost", ["annotations.json", "relation.json", "safe_words.txt"])
def test_a_file_of_the_benchmark_that_is_not_there_is_named(cli, tmp_path, lost):
    (tmp_path / lost).unlink()
    result = cli("--benchmark", "amber", "--data", "query/query_all.json", "--answers", "responses.json")
    assert result.exit_code == 2
    assert f"needs {lost}, which is neither beside it nor a folder above" in result.output


def test_safe_words_that_are_not_utf_8_are_named(cli, tmp_path):
    (tmp_path / "safe_words.txt").write_bytes(b"sun\nt\xfcr\n")
    result = cli("--benchmark", "amber", "--data", "query/query_all.json", "--answers", "responses.json")
    assert result.exit_code == 2
    assert "safe_words.txt: 1 fault" in result.output
    assert "line 2: byte 2 (0xfc) is not UTF-8" in result.output


def test_answers_that_lack_a_question(cli, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"question_id": 1, "text": "x"}')
    result = cli(
        "--benchmark",
        "llava-bench",
        "--data",
        "questions.jsonl",
        "--answers",
        "mine.jsonl",
        "--judge",
        "wise",
        "--input-price",
        "0",
        "--output-price",
        "0",
    )
    assert result.exit_code == 2
    assert "1 of 2 questions have no answer; the first is 0" in result.output
