"""One opener of pictures: the same pixels for training, evaluation, rewriter and exported sets; and what is refused."""

import base64
import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from datasets import load_dataset
from PIL import ExifTags, Image

from povid_lib.data import images
from povid_lib.data.images import open_picture
from povid_lib.data.pair_files import write
from povid_lib.data.pairs import Pair
from povid_lib.data.rewrite.request import prepare, request_body
from povid_lib.data.trl_dataset import to_trl, write_trl
from povid_lib.data.true_answers import Truth
from povid_lib.evaluation.answers import Asked, pictures_of
from tests.support.rewriting import CONFIG

GREY = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 170  # 0 to 65,110


def turned(orientation=6):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.fixture
def folder(tmp_path):
    """Pictures that readers without care see each in another way."""
    noise = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    coloured = Image.fromarray(noise).resize((96, 64), Image.Resampling.BICUBIC)
    coloured.save(tmp_path / "plain.jpg", quality=95)
    coloured.save(tmp_path / "turned.jpg", quality=95, exif=turned())
    coloured.save(tmp_path / "turned.png", exif=turned(8))
    coloured.convert("CMYK").save(tmp_path / "cmyk.jpg")
    coloured.quantize(16).save(tmp_path / "palette.png")
    coloured.convert("LA").save(tmp_path / "alpha.png")
    Image.fromarray(GREY).save(tmp_path / "deep.png")
    Image.fromarray(GREY).save(tmp_path / "deep.tif")
    Image.fromarray(GREY).save(tmp_path / "deep_turned.png", exif=turned(3))
    return tmp_path


def test_orientation_is_applied(folder):
    plain, upright = open_picture(folder / "plain.jpg"), open_picture(folder / "turned.jpg")
    assert (plain.turned, upright.turned) == (False, True)
    assert upright.image.size == (64, 96)
    want = np.rot90(np.asarray(plain.image), -1)  # orientation 6: to be turned clockwise
    assert np.array_equal(np.asarray(upright.image), want)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep_turned.png"])
def test_16_bits_are_scaled_and_not_clipped(folder, name):
    found = open_picture(folder / name)
    want = np.round(GREY / 65535 * 255).astype(np.uint8)
    if name == "deep_turned.png":
        want = want[::-1, ::-1]
    assert found.deep
    assert np.array_equal(np.asarray(found.image), np.stack([want] * 3, -1))


def test_a_grey_map_of_16_bits_too(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 0, 65535))
    assert np.asarray(open_picture(tmp_path / "a.pgm").image)[..., 0].tolist() == [[0, 255]]


NAMES = [
    "plain.jpg", "turned.jpg", "turned.png", "cmyk.jpg", "palette.png", "alpha.png", "deep.png", "deep.tif", "deep_turned.png",
]  # fmt: skip


def test_every_way_shows_the_same_pixels(folder):
    """to_trl, load_dataset of write_trl, evaluate, and what the rewriter's model is sent where the file is not sent as it is."""
    pairs = [Pair(name, name, "What?", "A cat.", "A dog.") for name in NAMES]
    write(folder / "pairs.jsonl", pairs)
    ours = to_trl(folder / "pairs.jsonl", folder, folder / "cache")
    write_trl(folder / "a.parquet", pairs, folder)
    theirs = load_dataset("parquet", data_files=str(folder / "a.parquet"), cache_dir=str(folder / "other"))["train"]
    found = pictures_of(folder, [Asked(name, name, "What?") for name in NAMES])
    evaluated = {
        name: images.picture(found[name], folder) for name in NAMES
    }  # as evaluation.answers.ask_all opens them
    for at, name in enumerate(NAMES):
        want = np.asarray(open_picture(folder / name).image)
        assert np.array_equal(np.asarray(ours[at]["images"][0]), want), name
        assert np.array_equal(np.asarray(theirs[at]["images"][0].convert("RGB")), want), name
        assert np.array_equal(np.asarray(evaluated[name]), want), name
        if name.endswith(".tif"):
            continue
        (row,) = prepare(CONFIG, [Truth("1", name, "What?", "A cat.")], folder)
        url = json.loads(json.dumps(request_body(CONFIG, row)))["messages"][1]["content"][0]["image_url"]["url"]
        sent = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
        assert sent.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert sent.mode != "I;16"
        assert np.abs(np.asarray(sent.convert("RGB")).astype(int) - want).mean() < 3, name  # packed anew as JPEG


def bomb(path, side):
    """A PNG of a few bytes that claims to be side x side pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_a_picture_is_refused_by_name(folder):
    os.mkfifo(folder / "pipe.png")
    bomb(folder / "large.png", 10_000)
    bomb(folder / "larger.png", 60_000)
    Image.fromarray(GREY.astype(np.int32)).save(folder / "odd.tif")
    (folder / "cut.jpg").write_bytes((folder / "plain.jpg").read_bytes()[:400])
    for name, fault in (
        ("pipe.png", "is a pipe or a device"),
        ("large.png", "has 10000 x 10000 pixels; make it smaller than 89,478,485"),
        ("larger.png", "has too many pixels"),
        ("odd.tif", "has greys of 32 bits"),
        ("cut.jpg", "cannot be read"),
        ("none.png", "is not there"),
    ):
        with pytest.raises(ValueError, match=fault) as error:
            open_picture(folder / name)
        assert name in str(error.value)
        if name not in ("pipe.png", "none.png"):
            assert name in images.fault(name, folder)
            with pytest.raises(ValueError, match=f"1 of 1 pictures cannot be read.*{name}"):
                pictures_of(folder, [Asked("1", name, "What?")])
    with pytest.raises(ValueError, match="is a pipe or a device"):
        open_picture("/dev/zero")


def test_a_drawn_scene_is_the_callers_own():
    """It is drawn once; what is done to one picture is not done to the next."""
    name = "scene:train/typical/3"
    one = images.picture(name)
    one.putpixel((0, 0), (1, 2, 3))
    assert images.picture(name).tobytes() == images.scene(name).image().tobytes() != one.tobytes()
