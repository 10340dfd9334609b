"""An album of one's own pictures: read with what is in them, described, asked about, looked at."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from povid_lib import models
from povid_lib.analysis import occlusion
from povid_lib.evaluation import photos
from povid_lib.figures.photos import captions, marked, overlays
from povid_lib.metrics.vocabulary import coco_vocabulary
from povid_lib.world.scenes import scenes

WORDS = coco_vocabulary()


@pytest.fixture
def folder(tmp_path):
    """Scikit-learn's two photographs, a temple and a flower, and one on its side."""
    for name, pixels in zip(("china.jpg", "flower.png"), load_sample_images().images, strict=True):
        Image.fromarray(pixels).resize((64, 43)).save(tmp_path / name)
    turned = Image.new("RGB", (30, 20), "red")
    exif = turned.getexif()
    exif[274] = 6
    turned.save(tmp_path / "turned.JPEG", exif=exif)
    return tmp_path


def write(path, data):
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_a_folder_is_read_in_order_upright_and_without_objects_if_nobody_names_them(folder):
    (folder / "notes.txt").write_text("no picture")
    album = photos.read(folder, WORDS)
    assert [p.name for p in album] == ["china.jpg", "flower.png", "turned.JPEG"]
    assert [p.image.size for p in album] == [(64, 43), (64, 43), (20, 30)]
    assert {p.objects for p in album} == {None}
    assert len(photos.read(folder, WORDS, most=2)) == 2


def test_objects_come_from_a_table_by_name_or_id(folder):
    truth = write(folder / "objects.json", {"china.jpg": ["person", "boat"], "flower": [], "of/another.jpg": ["dog"]})
    album = photos.read(folder, WORDS)
    assert [p.objects for p in album] == [("person", "boat"), (), None]
    assert photos.read(folder, WORDS, truth) == album


def test_objects_come_from_cocos_instances_by_their_file_names_or_ids(folder):
    Image.new("RGB", (8, 8)).save(folder / "COCO_val2014_000000000042.jpg")
    images = [{"id": 7, "file_name": "some/where/china.jpg"}, {"id": 42}, {"id": 9, "file_name": "gone.jpg"}]
    kinds = [{"id": 1, "name": "person"}, {"id": 2, "name": "potted plant"}]
    found = [{"image_id": i, "category_id": k} for i, k in ((7, 1), (7, 2), (42, 2), (9, 1))]
    write(folder / "instances.json", {"images": images, "annotations": found, "categories": kinds})
    known = {p.name: p.objects for p in photos.read(folder, WORDS)}
    assert known["china.jpg"] == ("person", "potted plant")
    assert known["COCO_val2014_000000000042.jpg"] == ("potted plant",)
    assert known["flower.png"] is None


def test_what_cannot_be_read_is_told(folder, tmp_path):
    with pytest.raises(ValueError, match=r"holds no pictures \(\.jpg, \.jpeg, \.png\)"):
        photos.read(tmp_path / "nowhere", WORDS)
    with pytest.raises(ValueError, match="most is 0; ask for one picture or more"):
        photos.read(folder, WORDS, most=0)
    with pytest.raises(ValueError, match="'teapot' is no category"):
        photos.read(folder, WORDS, write(folder / "own.json", {"china.jpg": ["teapot"]}))
    with pytest.raises(
        ValueError, match=r"says nothing of the 3 pictures .* it names 'a.jpg', and there is 'china.jpg'"
    ):
        photos.read(folder, WORDS, write(folder / "own.json", {"a.jpg": ["dog"]}))
    for name in ("bad.jpg", "worse.png"):
        (folder / name).write_text("no picture")
    with pytest.raises(ValueError, match=r"2 pictures cannot be read: .*bad\.jpg.*worse\.png"):
        photos.read(folder, WORDS)


def photo(*objects, name="a.jpg"):
    return photos.Photo(name, Image.new("RGB", (8, 8)), objects or None)


def test_false_objects_are_marked_and_all_else_is_escaped():
    text = 'A <b>dog</b>, 2 < 3 cats & a "traffic light" </script>'
    found = marked(photo("dog"), text, WORDS)
    plain = re.sub(r"</?span[^>]*>", "", found)
    assert (
        plain
        == "A &lt;b&gt;dog&lt;/b&gt;, 2 &lt; 3 cats (false) &amp; a &quot;traffic light (false)&quot; &lt;/script&gt;"
    )
    assert re.findall(r"<span[^>]*>([^<]*)</span>", found) == ["dog", "cats (false)", "traffic light (false)"]
    assert marked(photo(), "A <i>dog.", WORDS) == "A &lt;i&gt;dog."  # nothing is known, so nothing is marked
    table = captions([photo("dog", name="<x>.jpg")], {"a&b": [text]}, WORDS)
    assert "&lt;x&gt;.jpg" in table
    assert "a&amp;b" in table
    assert found in table
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td|span)\b)", table)
    with pytest.raises(ValueError, match="2 texts 'a' for 1 pictures"):
        captions([photo("dog")], {"a": ["x", "y"]}, WORDS)


def test_scores_count_only_pictures_whose_objects_are_known():
    album = [photo("dog"), photo(), photo("cat", "cup")]
    scores = photos.score(album, ["A dog and a cat.", "A horse.", "A cup."], WORDS)
    assert [s.hallucinated for s in scores] == [("cat",), ()]
    assert [s.recalled for s in scores] == [1, 1]


def test_questions_are_about_the_albums_own_objects():
    album = [photo("dog", "cup", name="a"), photo("cat", "cup", name="b"), photo(name="c"), photo("dog", name="d")]
    asked = photos.questions(album, n=1)
    truth = {p.name: p.objects for p in album}
    for question in asked:
        name = re.fullmatch(r"Is there an? (.+) in the image\?", question.text)[1]
        assert question.present == (name in truth[question.image])
    assert {q.image for q in asked} == {"a", "b", "d"}
    assert sum(q.present for q in asked) * 2 == len(asked)
    with pytest.raises(ValueError, match="None of the 1 pictures has known objects"):
        photos.questions([photo()])
    with pytest.raises(ValueError, match="All pictures have the same objects"):
        photos.questions([photo("dog", name="a"), photo("dog", name="b")])


@pytest.mark.slow
def test_the_pocket_model_on_drawn_scenes(vlm):
    batch = list(scenes(3, split="validation"))
    album = photos.of_scenes(batch)
    assert [p.objects for p in album] == [s.names for s in batch]
    texts = photos.describe(vlm, album)
    assert texts == [a.text for a in models.generate(vlm, [s.image() for s in batch], "Describe this image.")]
    asked = photos.questions(album, "random")
    said = photos.answer(vlm, album, asked)
    assert photos.polled(asked, said).accuracy.n == 3
    image = album[0].image
    np.testing.assert_array_equal(np.asarray(photos.seen(vlm, image)), np.asarray(image))
    word = next(w for w in texts[0].rstrip(".").lower().split() if w in batch[0].names)
    maps = photos.look(vlm, image, texts[0], word)
    assert {m.shape for m in maps.values()} == {(6, 6)}
    assert len(overlays(photos.seen(vlm, image), maps).axes) == 3
    each = occlusion.occlusion_map(vlm, image, "Describe this image.", texts[0], word, window=1)
    torch.testing.assert_close(maps["occlusion"], each)
    with pytest.raises(ValueError, match="window is 7; give a whole number of patches, from 1 to 6"):
        photos.look(vlm, image, texts[0], word, window=7)


@pytest.mark.slow
def test_a_llava_on_photographs_sees_the_middle(standin, folder):
    llava = models.load(standin, rows=4)
    write(folder / "objects.json", {"china.jpg": ["person"], "flower.png": ["dog", "cat"]})
    album = photos.read(folder, WORDS)
    seen = photos.seen(llava, album[0].image)
    assert seen.size == (336, 336)
    wide = album[0].image.resize((500, 336), Image.Resampling.BICUBIC).crop((82, 0, 418, 336))
    assert np.abs(np.asarray(seen, int) - np.asarray(wide, int)).mean() < 4
    texts = photos.describe(llava, album, tokens=20)
    assert all(text.endswith(".") for text in texts)
    asked = photos.questions(album)
    said = photos.answer(llava, album, asked)
    assert photos.polled(asked, said).unclear == 0
    maps = photos.look(llava, album[0].image, "Yes, a person.", "person", window=12)
    assert {m.shape for m in maps.values()} == {(24, 24)}
    assert len(maps["occlusion"].unique()) == 4  # a value a square
