"""``povid pairs`` makes, rewrites, checks, audits and converts, and refuses what it cannot use."""

import json
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import load_dataset
from PIL import Image

from povid_lib.data import corrupt_text
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.images import scene
from povid_lib.data.pair_files import append, read, validate, write
from povid_lib.data.pairs import Pair
from povid_lib.data.povid_json import read_povid
from povid_lib.files import results
from tests.soak.rewriter import pictures
from tests.support.fault_server import FaultServer, completion
from tests.support.helpers import povid
from tests.support.rewriting import SECRET, lines

PAIR = Pair("1", "a.png", "What is it?", "A black cat.", "A white cat.")


def run(*arguments: object):
    return povid("pairs", *arguments)


def told(result) -> str:
    """What a command printed, without the frame around an error."""
    return " ".join(result.output.replace("│", " ").split())


def made(folder: Path, *arguments: object) -> Path:
    out = folder / "pairs.jsonl"
    result = run("make", "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.slow
def test_help_teaches():
    assert all(word in run("--help").output for word in ("make", "rewrite", "check", "audit", "convert"))
    help_ = told(run("rewrite", "--help"))
    assert all(
        word in help_ for word in ("vllm serve", "--base-url", "--dry-run", "--batch-results", "never written down")
    )


# --- make --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_make_writes_sound_pairs_of_training_scenes(tmp_path):
    out = made(tmp_path, "--n", 40, "--seed", 2)
    assert validate(out) == 40
    rows = list(read(out))
    assert [row.hash for row in rows] == [row.hash for row in pairs(40, Offline(seed=2))]
    assert all(scene(row.image).key[0] == "train" for row in rows)


def test_make_mixes_kinds_as_it_is_told(tmp_path):
    out = made(tmp_path, "--n", 30, "--objects", 0, "--relations", 1, "--attributes", 0, "--reasoning", 1)
    kinds = Counter(row.changes[0].kind for row in read(out))
    assert set(kinds) == {"relation", "step"}
    assert min(kinds.values()) > 5


def test_make_does_as_its_difficulty_says(tmp_path):
    out = made(tmp_path, "--n", 20, "--difficulty", "random", "--relations", 0, "--attributes", 0, "--reasoning", 0)
    assert [row.hash for row in read(out)] == [
        row.hash for row in pairs(20, Offline("random", relations=0, attributes=0, reasoning=0))
    ]


def test_make_overwrites_nothing(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("mine")
    result = run("make", "--n", 3, "--out", tmp_path / "pairs.jsonl")
    assert result.exit_code == 2
    assert "pairs.jsonl exists" in told(result)
    assert (tmp_path / "pairs.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n", 0), "n is 0; give a whole number from 1"),
        (("--n", 400_001), "another seed for more"),
        (("--seed", -1), "seed is -1"),
        (("--difficulty", "hard"), "choose one of random, context, partner"),
        (("--objects", -1), "Offline.objects is -1.0"),
        (("--objects", 0, "--relations", 0, "--attributes", 0, "--reasoning", 0), "all weights are zero"),
    ],
)
def test_make_refuses(tmp_path, arguments, message):
    result = run("make", "--out", tmp_path / "new" / "pairs.jsonl", *arguments)
    assert result.exit_code == 2
    assert message in told(result)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_pairs(tmp_path, monkeypatch):
    """However many are made and written, no more than three pairs and two scenes are alive at once."""
    alive: dict[str, list[weakref.ref]] = {"scenes": [], "pairs": []}
    most: Counter[str] = Counter()

    def watched(what, made):
        alive[what].append(weakref.ref(made))
        most[what] = max(most[what], sum(ref() is not None for ref in alive[what]))
        return made

    sample = corrupt_text.sample_scene
    monkeypatch.setattr(corrupt_text, "sample_scene", lambda *how: watched("scenes", sample(*how)))
    write(tmp_path / "pairs.jsonl", (watched("pairs", pair) for pair in pairs(300)))
    assert len(alive["pairs"]) == 300
    assert most["pairs"] <= 3
    assert most["scenes"] <= 2


# --- rewrite -----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A call of ``rewrite`` about four rounds of LLaVA-Instruct, without a server's address."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    pictures(tmp_path / "images")
    rows = [
        {
            "id": str(i),
            "image": f"{i}.png",
            "conversations": [
                {"from": "human", "value": "<image>\nDescribe it."},
                {"from": "gpt", "value": f"A dog sits beside the red car number {i}."},
            ],
        }
        for i in range(4)
    ]
    (tmp_path / "truth.json").write_text(json.dumps(rows))
    where = (
        "--truth",
        tmp_path / "truth.json",
        "--images",
        tmp_path / "images",
        "--out",
        tmp_path / "out" / "pairs.jsonl",
    )
    return (*where, "--model", "m", "--input-price", 2.5, "--output-price", 10, "--budget", 5)


def cost(result) -> dict[str, str]:
    """What a dry run prints."""
    return {line[:46].strip(): line[46:].replace(",", "").strip() for line in result.output.splitlines()[:-1]}


@pytest.mark.slow
def test_rewrite_asks_once_and_goes_on(tmp_path, asked):
    out = tmp_path / "out" / "pairs.jsonl"
    with FaultServer(("refusal",)) as server:
        result = run("rewrite", *asked, "--base-url", server.url, "--first", 2)
        assert result.exit_code == 0, result.output
        assert "1 pairs added" in result.output
        with out.open("ab") as file:
            file.write(b'{"id": "torn')
        result = run("rewrite", *asked, "--base-url", server.url)
        assert "2 pairs added" in result.output
        assert "which now has 3" in result.output
        assert len(server.log) == 4
        assert "0 pairs added" in run("rewrite", *asked, "--base-url", server.url).output
        assert len(server.log) == 4
        table = cost(run("rewrite", *asked, "--base-url", server.url, "--dry-run"))
    assert [table[f"rows: {name}"] for name in ("pairs", "rejected", "in batch files", "left")] == ["3", "1", "0", "0"]
    assert float(table["dollars spent, at most"]) == pytest.approx(4 * 0.0033)
    assert validate(out, tmp_path / "images") == 3
    assert [line["reason"] for line in lines(Path(f"{out}.rejects"))] == ["refusal: I cannot help with that."]
    assert not [path for path in (tmp_path / "out").iterdir() if SECRET.encode() in path.read_bytes()]


def test_rewrite_takes_coco_captions_and_settings(tmp_path, asked):
    coco = {
        "images": [{"id": 5, "file_name": "0.png"}],
        "annotations": [{"id": 11, "image_id": 5, "caption": "A dog in a red car."}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(coco))
    settings = ("--prompt", "What is it?", "--kind", "object", "--kind", "attribute", "--detail", "low", "--max-tokens", 200,
                "--length-parameter", "max_tokens")  # fmt: skip
    with FaultServer() as server:
        assert run("rewrite", *asked, "--base-url", server.url, *settings).exit_code == 0
    (pair,) = read(tmp_path / "out" / "pairs.jsonl")
    assert (pair.prompt, pair.rejected) == ("What is it?", "A cat in a blue car.")
    body = server.bodies[0]
    assert (body["model"], body["max_tokens"]) == ("m", 200)
    assert body["messages"][1]["content"][0]["image_url"]["detail"] == "low"
    asked_for = body["response_format"]["json_schema"]["schema"]["properties"]["changes"]["items"]["properties"]["kind"]
    assert asked_for["enum"] == ["object", "attribute"]


def test_dry_run_prints_tokens_and_money_and_sends_nothing(tmp_path, asked, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with FaultServer() as server:
        result = run("rewrite", *asked, "--base-url", server.url, "--dry-run", "--first", 3, "--max-tokens", 1000)
    assert result.exit_code == 0
    assert not server.log
    assert not (tmp_path / "out").exists()
    table = cost(result)
    assert table["requests left to send"] == "3"
    assert table["output tokens, at most"] == "3000"
    likely, most = (int(table[f"input tokens, {name}"]) for name in ("estimated", "at most"))
    for name, tokens in (("dollars, estimated input and longest answers", likely), ("dollars, at most", most)):
        assert float(table[name]) == pytest.approx((tokens * 2.5 + 3000 * 10) / 1e6, abs=1e-4)
    assert result.output.splitlines()[-1] == "Nothing was sent."


def test_a_budget_is_kept(tmp_path, asked):
    with FaultServer() as server:
        result = run("rewrite", *asked, "--base-url", server.url, "--budget", 0.0001)
    assert result.exit_code == 0
    assert not server.log
    assert "0 pairs added" in result.output


def test_a_server_at_fault_ends_with_1_and_a_word(asked):
    with FaultServer(("401",) * 3) as server:
        result = run("rewrite", *asked, "--base-url", server.url)
    assert result.exit_code == 1
    assert "refused the key in OPENAI_API_KEY" in result.output
    assert SECRET not in result.output


def test_a_batch_there_and_back(tmp_path, asked, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    out, folder = tmp_path / "out" / "pairs.jsonl", tmp_path / "batches"
    result = run("rewrite", *asked, "--batch", folder)
    assert result.exit_code == 0, result.output
    (file,) = folder.iterdir()
    assert "To upload, once: " in result.output
    requests = lines(file)
    assert len(requests) == 4

    def answer(request, status=200):
        truth = request["body"]["messages"][1]["content"][1]["text"].split("True answer:\n")[1]
        response = {"status_code": status, "body": json.loads(completion("", truth))}
        return json.dumps({"custom_id": request["custom_id"], "response": response, "error": None})

    (tmp_path / "output").write_text("\n".join(answer(request) for request in requests[:2]))
    (tmp_path / "errors").write_text(answer(requests[2], 400))
    result = run("rewrite", *asked, "--batch", folder, "--batch-results", tmp_path / "output", "--batch-results",
                 tmp_path / "errors")  # fmt: skip
    assert "2 pairs added" in result.output
    assert "To upload" not in result.output  # the fourth is still waited for
    assert validate(out, tmp_path / "images") == 2
    result = run("rewrite", *asked, "--batch", folder, "--batch-drop", file)
    assert "1 rows of" in result.output
    assert len(list(folder.iterdir())) == 2
    assert "--batch-results and --batch-drop need --batch" in told(run("rewrite", *asked, "--batch-drop", file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget", 0), "spending_limit is 0.0"),
        (("--input-price", -1), "input_price is -1.0"),
        (("--base-url", "ftp://x"), "base_url must be http"),
        (("--kind", "colour"), "kinds is ('colour',)"),
        (("--detail", "auto"), "detail is 'auto'"),
        (("--key-variable", SECRET), "key_variable must be the name of an environment variable"),
        (("--first", 0), "greater than or equal to 1"),
        (("--truth", "none.json"), "does not exist"),
        (("--batch-results", "none.jsonl"), "does not exist"),
        (("--images", "."), "is not in ."),
    ],
)
def test_rewrite_refuses_before_anything_is_sent(tmp_path, asked, arguments, message):
    with FaultServer() as server:
        result = run("rewrite", *asked, "--base-url", server.url, *arguments)
    assert result.exit_code == 2
    assert message in told(result)
    assert SECRET not in result.output
    assert not server.log


def test_rewrite_keeps_away_from_files_of_others(tmp_path, asked):
    out = tmp_path / "out" / "pairs.jsonl"
    out.parent.mkdir()
    write(out, [PAIR])
    result = run("rewrite", *asked)
    assert result.exit_code == 2
    assert "so this command did not make it" in told(result)
    assert list(read(out)) == [PAIR]


# --- check, audit ------------------------------------------------------------------------------------------------


def test_check_prints_every_fault_and_exits_with_1(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write(path, (replace(PAIR, id=str(i)) for i in range(130)))  # all with the same content
    result = run("check", path)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 130  # 129 repeats, and what it adds up to
    assert "line 130: content" in result.output
    assert "130 pairs, 129 faults" in result.output


def test_check_looks_at_pictures_where_it_is_told_their_folder(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write(path, [PAIR])
    result = run("check", path)
    assert result.exit_code == 0
    assert "1 pairs, 0 faults. Files of pictures were not looked at" in told(result)
    result = run("check", path, "--images", tmp_path)
    assert result.exit_code == 1
    assert "line 1: image 'a.png' is not in" in told(result)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert run("check", path, "--images", tmp_path).exit_code == 0


def test_check_of_nothing(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    result = run("check", tmp_path / "empty.jsonl")
    assert result.exit_code == 1
    assert "the file holds nothing" in result.output
    assert run("check", tmp_path / "none.jsonl").exit_code == 2
    assert run("check", tmp_path / "empty.jsonl", "--images", tmp_path / "none").exit_code == 2


@pytest.mark.slow
def test_audit_prints_the_table_and_writes_results_on_demand(tmp_path, monkeypatch):
    monkeypatch.setenv(results.PLACE, str(tmp_path / "results"))
    path = made(tmp_path, "--n", 60)
    append(path, [replace(next(read(path)), id="again")])
    result = run("audit", path)
    assert result.exit_code == 0, result.output
    table = {line[:46].strip(): line[46:].strip() for line in result.output.splitlines()}
    assert table["pairs"] == "61"
    assert table["words, rejected / chosen"] == "1.000 [0.937, 1.000]"
    assert table["pairs that repeat an earlier one"] == "1"
    blind, seeing = (
        float(table[f"told {name}"].split()[0]) for name in ("without the picture (should be 0.5)", "with the picture")
    )
    assert blind < seeing
    assert not (tmp_path / "results").exists()
    assert run("audit", path, "--name", "mine").exit_code == 0
    data = results.read("mine")
    assert data["audit"]["pairs"] == 61
    assert data["text_shortcut"]["value"] == pytest.approx(blind, abs=1e-3)
    assert data["with_image"]["value"] == pytest.approx(seeing, abs=1e-3)


def test_audit_of_photographs_asks_what_is_in_them(tmp_path):
    rows = [
        Pair(f"{i}-{name}", f"{i}.png", "What?", f"A {name}.", f"A {'dog' if name == 'cat' else 'cat'}.")
        for i, name in enumerate(("cat", "dog") * 20)
    ]
    write(tmp_path / "pairs.jsonl", rows)
    (tmp_path / "objects.json").write_text(json.dumps({row.image: [row.id.split("-")[1]] for row in rows}))
    output = told(run("audit", tmp_path / "pairs.jsonl", "--images", tmp_path))
    assert "told with the picture not known: give --objects" in output
    assert "pictures missing or unreadable 40" in output
    output = told(run("audit", tmp_path / "pairs.jsonl", "--objects", tmp_path / "objects.json"))
    assert "told with the picture 1.000" in output
    (tmp_path / "objects.json").write_text('{"0.png": ["cat"]}')
    result = run("audit", tmp_path / "pairs.jsonl", "--objects", tmp_path / "objects.json")
    assert result.exit_code == 2
    assert "`present` lacks 39 pictures" in told(result)


def test_audit_takes_no_seed_below_zero(tmp_path):
    result = run("audit", tmp_path / "pairs.jsonl", "--seed", -1)
    assert result.exit_code == 2
    assert "Invalid value for '--seed'" in told(result)
    assert "greater than or equal to 0" in told(result)


def test_audit_refuses_what_it_cannot_read(tmp_path):
    write(tmp_path / "one.jsonl", [PAIR])
    result = run("audit", tmp_path / "one.jsonl")
    assert result.exit_code == 2
    assert "pairs of at least two pictures are needed" in told(result)
    (tmp_path / "none.jsonl").write_text("[]\n")
    assert "no object" in told(run("audit", tmp_path / "none.jsonl"))


# --- convert -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_convert_goes_round(tmp_path):
    path = made(tmp_path, "--n", 70)
    for source, target in (
        ("pairs.jsonl", "a.parquet"),
        ("a.parquet", "b.jsonl"),
        ("b.jsonl", "c.json"),
        ("c.json", "d.jsonl"),
    ):
        result = run("convert", tmp_path / source, tmp_path / target)
        assert result.exit_code == 0, result.output
        assert "70 pairs written" in told(result)
    assert (tmp_path / "b.jsonl").read_bytes() == path.read_bytes()
    assert [row.hash for row in read(tmp_path / "d.jsonl")] == [row.hash for row in read(path)]
    assert read_povid(tmp_path / "c.json") == list(read(tmp_path / "d.jsonl"))
    held = load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), cache_dir=str(tmp_path / "cache"))["train"]
    first = next(read(path))
    assert held[0]["images"][0].tobytes() == scene(first.image).image().tobytes()
    assert held[0]["rejected"] == [{"role": "assistant", "content": first.rejected}]


def test_a_parquet_file_takes_photographs_along(tmp_path):
    write(tmp_path / "pairs.jsonl", [PAIR])
    result = run("convert", tmp_path / "pairs.jsonl", tmp_path / "a.parquet")
    assert result.exit_code == 2
    assert "say in which folder" in told(result)
    assert not (tmp_path / "a.parquet").exists()
    Image.new("RGB", (5, 4), (1, 2, 3)).save(tmp_path / "a.png")
    assert run("convert", tmp_path / "pairs.jsonl", tmp_path / "a.parquet", "--images", tmp_path).exit_code == 0
    (tmp_path / "a.png").unlink()
    assert run("convert", tmp_path / "a.parquet", tmp_path / "back.jsonl").exit_code == 0
    assert list(read(tmp_path / "back.jsonl")) == [PAIR]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a.txt", "b.jsonl", "a.txt ends in none of .jsonl, .json, .parquet"),
        ("a.jsonl", "b", "ends in none of"),
        ("a.jsonl", "there.json", "there.json exists"),
        ("a.jsonl", "b.json", "line 1: torn after 4 bytes"),
        ("a.json", "b.jsonl", "no JSON"),
        ("a.parquet", "b.jsonl", "is no Parquet file"),
        ("none.json", "b.jsonl", "does not exist"),
    ],
)
def test_convert_refuses(tmp_path, source, target, message):
    for name in ("a.txt", "a.jsonl", "a.json", "a.parquet", "there.json"):
        (tmp_path / name).write_text("none")
    result = run("convert", tmp_path / source, tmp_path / target)
    assert result.exit_code == 2
    assert message in told(result)
    assert (tmp_path / "there.json").read_text() == "none"
    assert not (tmp_path / "b.json").exists()
