"""The pocket world: exact truth, known statistics, the same on every machine."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from povid_lib.world.drawing import COLOURS, SIZES, sprite
from povid_lib.world.items import SIDE, Item
from povid_lib.world.objects import CONTEXTS, KINDS, NAMES, PAIRS
from povid_lib.world.scenes import MIN_VISIBLE, Scene, draw, sample_scene, scenes
from povid_lib.world.worlds import World, cooccurrence_table


def test_world_is_as_large_as_promised():
    assert len(NAMES) == 48
    assert len(CONTEXTS) == 6
    assert all(KINDS[KINDS[name].partner].partner == name != KINDS[name].partner for name in NAMES)
    assert ("fork", "knife") in PAIRS["table"]
    assert len({KINDS[name].glyph for name in NAMES}) == 48


@pytest.mark.slow
def test_table_of_conditionals_holds_in_the_sample():
    """P(partner | object), counted over 6,000 scenes, within four standard errors of the printed table."""
    world = World()
    names = [set(s.names) for s in scenes(6000, world)]
    for _, a, b, p in cooccurrence_table(world):
        for one, other in ((a, b), (b, a)):
            having = [other in s for s in names if one in s]
            error = np.sqrt(p * (1 - p) / len(having))
            assert abs(np.mean(having) - p) < 4 * error, (one, other, np.mean(having), p)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_cooccurrence_is_a_dial(factor):
    names = [set(s.names) for s in scenes(1500, World(cooccurrence=factor))]
    having = [("knife" in s) for s in names if "fork" in s]
    expected = 0.9 * factor
    assert abs(np.mean(having) - expected) <= 4 * np.sqrt(expected * (1 - expected) / len(having))


@pytest.mark.slow
def test_counter_typical_scenes_miss_every_partner_and_mix_contexts():
    for scene in scenes(300, World("counter_typical"), "test"):
        assert set(scene.missing_partners) == {KINDS[n].partner for n in scene.names}
        assert len({KINDS[n].context for n in scene.names}) > 1


@pytest.mark.parametrize("kind", ["typical", "counter_typical", "mixed"])
def test_scene_is_well_formed(kind):
    for scene in scenes(200, World(kind)):
        assert 1 <= len(scene.items) <= 6
        assert len(set(scene.names)) == len(scene.items)
        cells = [c for item in scene.items for c in item.cells]
        assert len(set(cells)) == len(cells)
        for item in scene.items:
            assert item.count <= 3
            assert item.visible >= MIN_VISIBLE
            assert (item.colour is not None) == KINDS[item.name].recolourable
            assert item.count == 1 or KINDS[item.name].plural


@pytest.mark.slow
def test_evidence_varies():
    items = [item for s in scenes(500) for item in s.items if not item.unseen]
    shares = [
        np.mean([test(i) for i in items])
        for test in (lambda i: i.size == "small", lambda i: i.pale, lambda i: i.visible < 0.8)
    ]
    assert shares[0] > 0.2
    assert shares[1] > 0.05
    assert shares[2] > 0.02


def test_pictures_are_equal_to_the_pixel_on_every_machine():
    """If this fails, Pillow, NumPy or the font has changed, and the shipped model no longer sees what it was trained on."""
    pixels = b"".join(
        draw(s)[0].tobytes()
        for kind in ("typical", "counter_typical", "mixed")
        for s in scenes(20, World(kind), "test")
    )
    truth = repr(list(scenes(50, World(), "test"))).encode()
    assert hashlib.sha256(pixels).hexdigest()[:16] == PIXELS
    assert hashlib.sha256(truth).hexdigest()[:16] == TRUTH


PIXELS, TRUTH = "f94c895490a325a4", "d741853d612eb5c0"


def test_drawing_shows_what_the_truth_says():
    scene = Scene(("test", "mixed", 0), (Item("car", "large", "blue"), Item("key", "small", None, (0,), ((16, 16),))))
    rgb, owner = draw(scene)
    assert rgb.shape == (SIDE, SIDE, 3)
    rows, cols = np.nonzero(owner == 0)
    assert max(np.ptp(rows), np.ptp(cols)) + 1 == pytest.approx(SIZES["large"], abs=2)
    assert abs(cols.mean() - SIDE / 2) < 3
    car = rgb[owner == 0].astype(int)
    assert (car[:, 2] > car[:, 0] + 50).mean() > 0.2  # blue
    assert (owner[8:24, 8:24] == 1).any()


def test_later_items_cover_earlier_ones():
    under, over = Item("car", "large", "red"), Item("book", "medium", "green")
    _, owner = draw(Scene(("test", "mixed", 0), (under, over)))
    assert owner[SIDE // 2, SIDE // 2] == 1
    _, swapped = draw(Scene(("test", "mixed", 0), (over, under)))
    assert (swapped == 1).sum() > (owner == 0).sum()


def test_pale_objects_have_less_contrast():
    item = Item("car", "large", "red")
    solid, _ = draw(Scene(("test", "mixed", 0), (item,)))
    pale, owner = draw(Scene(("test", "mixed", 0), (replace(item, pale=True),)))
    assert (255 - pale[owner == 0].astype(int)).mean() < 0.6 * (255 - solid[owner == 0].astype(int)).mean()


def test_colours_differ():
    reds = sprite("car", "large", "red")[..., :3].astype(int)
    for colour in set(COLOURS) - {"red"}:
        assert np.abs(sprite("car", "large", colour)[..., :3].astype(int) - reds).mean() > 10


@pytest.mark.slow
def test_splits_do_not_share_scenes():
    seen = [{repr(s.items) for s in scenes(200, World(), split)} for split in ("train", "validation", "test")]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: World("strange"), "typical, counter_typical, mixed"),
        (lambda: World(cooccurrence=2), "between 0 and 1.1"),
        (lambda: World(pale=-1), "World.pale"),
        (lambda: World(size_odds=(0.5, 0.5, 0.5)), "sum to 1"),
        (lambda: sample_scene(0, split="exam"), "train, validation, test"),
        (lambda: sample_scene(-1), "start at 0"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()


def test_blank_shows_paper_only():
    scene = sample_scene(0)
    empty, full = np.asarray(scene.blank()), np.asarray(scene.image())
    assert (empty == full).all(-1).mean() > 0.5
    assert np.ptp(empty[0].astype(int), axis=0).max() == 0
