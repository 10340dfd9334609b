"""What the rewriter says of bad settings, rows, pictures and files, before anything is sent."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from povid_lib.preferences import Pair
from povid_lib.rewriter import dry_run, rewrite
from tests.library.fault_server import FaultServer
from tests.library.rewriting import CONFIG, REASONED, SECRET, at, run
from tools.rewriter_soak import pictures, truths


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
def folder(tmp_path) -> Path:
    pictures(tmp_path / "images")
    return tmp_path


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"model": " "}, "model is empty"),
        ({"base_url": "api.openai.com/v1"}, "base_url must be"),
        ({"base_url": "ftp://x.test"}, "base_url must be"),
        ({"base_url": "https://user:password@x.test/v1"}, "base_url must be"),
        ({"base_url": "https://x.test/v1?api-key=1"}, "base_url must be"),
        ({"base_url": "http://x.test:port"}, "base_url must be"),
        ({"key_variable": ""}, "key_variable must be"),
        ({"input_price": -1.0}, "input_price is -1.0"),
        ({"output_price": NAN}, "output_price is nan"),
        ({"output_price": "10"}, "output_price is '10'"),
        ({"spending_limit": 0}, "spending_limit is 0"),
        ({"spending_limit": INF}, "spending_limit is inf"),
        ({"spending_limit": True}, "spending_limit is True"),
        ({"temperature": 2.1}, "temperature is 2.1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 10.0}, "max_tokens is 10.0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"retries": -1}, "retries is -1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"kinds": ()}, "kinds is"),
        ({"kinds": "object"}, "kinds is"),
        ({"kinds": ("object", "colour")}, "kinds is"),
        ({"kinds": ("object", "object")}, "name each once"),
        ({"kinds": ("step",)}, "step without result"),
        ({"detail": "auto"}, "detail is 'auto'"),
        ({"max_side": 10}, "max_side is 10"),
        ({"image_tokens": (85,)}, "image_tokens is"),
        ({"length_parameter": "max_length"}, "length_parameter is"),
    ],
)
def test_bad_settings(settings, fault):
    with pytest.raises(ValueError, match=re.escape(fault)):
        replace(CONFIG, **settings)


def test_all_bad_settings_are_told_at_once():
    with pytest.raises(ValueError, match=r"model is empty.*timeout is 0"):
        replace(CONFIG, model="", timeout=0)


GOOD = truths(1)[0]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([], "no truths"),
        (["A dog."], "row 1: str where a Truth is needed"),
        ([GOOD, GOOD], "row 2 ('row-0'): the id stands in row 1 too"),
        ([replace(GOOD, id="")], "id is ''"),
        ([replace(GOOD, id=7)], "id is 7"),
        ([replace(GOOD, prompt=None)], "prompt is None"),
        ([replace(GOOD, answer="\n")], "answer is"),
        ([replace(GOOD, answer="a \ud800")], "half a character"),
        ([replace(GOOD, answer="dog " * 600)], "max_tokens=512 cannot hold"),
        ([replace(GOOD, image="scene:train/typical/1")], "of the pocket world"),
        ([replace(GOOD, image="../secret.png")], "without `..`"),
        ([replace(GOOD, image="/etc/passwd")], "must be relative"),
        ([replace(GOOD, image="link.png")], "a link that leads out"),
        ([replace(GOOD, image="loop.png")], "loop.png"),
        ([replace(GOOD, image="none.png")], "is no file in"),
        ([replace(GOOD, image="sub")], "is no file in"),
        ([replace(GOOD, image="a\0.png")], "NUL"),
        ([replace(GOOD, image="x" * 5000)], "cannot be looked for"),
        ([replace(GOOD, image="text.png")], "is no whole picture"),
        ([replace(GOOD, image="empty.png")], "is no whole picture"),
        ([replace(GOOD, image="torn.png")], "is no whole picture"),
        ([replace(GOOD, image="moving.gif")], "is a moving picture"),
        ([replace(GOOD, image="old.bmp")], "is BMP; save it as JPEG or PNG"),
        ([replace(GOOD, image="huge.png")], "pixels; make it smaller"),
        ([replace(GOOD, image="heavy.png")], "bytes; make it smaller"),
        ([REASONED], "it is a reasoning item, and none of the kinds object fits"),
    ],
)
def test_bad_rows(folder, rows, fault):
    images = folder / "images"
    (folder / "secret.png").write_bytes((images / "0.png").read_bytes())
    (images / "link.png").symlink_to(folder / "secret.png")
    (images / "loop.png").symlink_to(images / "loop.png")
    (images / "sub").mkdir()
    (images / "text.png").write_text("a picture of a dog")
    (images / "empty.png").touch()
    (images / "torn.png").write_bytes((images / "0.png").read_bytes()[:200])
    Image.new("RGB", (9, 9)).save(images / "moving.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), 9)])
    Image.new("RGB", (9, 9)).save(images / "old.bmp")
    Image.new("1", (8000, 8000)).save(images / "huge.png")
    with (images / "heavy.png").open("wb") as file:
        file.truncate(21_000_000)
    with FaultServer() as server:
        config = at(server, kinds=("object",))
        for call in (run, lambda folder, config, rows: dry_run(config, rows, folder / "images")):
            with pytest.raises(ValueError, match=re.escape(fault)):
                call(folder, config, rows)
        assert server.log == []
    assert not (folder / "journal").exists()


def test_every_bad_row_is_told_at_once(folder):
    with pytest.raises(ValueError, match=r"(?s)2 of the truths .*row 1 .*prompt is ''.*row 3 .*is no file"):
        run(folder, CONFIG, [replace(GOOD, prompt=""), truths(2)[1], replace(GOOD, id="3", image="none.png")])


@pytest.mark.parametrize(
    ("journal", "rejects", "fault"),
    [
        ("journal", "journal", "two files"),
        ("text", "rejects", "the last line is no event"),
        ("pairs", "rejects", "line 1: no event of the rewriter's journal"),
        ("broken", "rejects", "line 1: not JSON"),
        ("negative", "rejects", "line 1: dollars is -1"),
        ("endless", "rejects", "line 1: dollars is inf"),
        ("journal", "pairs", "line 1: no line of a rejects file"),
        ("journal", "text", "is no rejects file"),
    ],
)
def test_bad_files_are_told_and_left_as_they_are(folder, journal, rejects, fault):
    texts = {
        "text": "my notes",
        "pairs": json.dumps(asdict(Pair("row-0", "0.png", "?", "A dog.", "A cat."))) + "\n",
        "broken": '{"event": \n{"event": "reserved", "key": "k", "dollars": 1}\n',
        "negative": '{"event": "reserved", "key": "k", "dollars": -1}\n',
        "endless": '{"event": "reserved", "key": "k", "dollars": Infinity}\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    with FaultServer() as server:
        with pytest.raises(ValueError, match=re.escape(fault)):
            list(rewrite(at(server), truths(2), folder / "images", folder / journal, folder / rejects))
        assert server.log == []
    assert {name: (folder / name).read_text() for name in texts} == texts


def test_no_folder_of_pictures(folder):
    with pytest.raises(ValueError, match=r"pictures' folder .* does not exist"):
        list(rewrite(CONFIG, truths(1), folder / "none", folder / "journal", folder / "rejects"))
