"""The second edition of the world: what cannot be seen, who writes about it, and what a profile reads out of a caption."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from povid_lib.analysis import caption_profile as profiles
from povid_lib.data import images
from povid_lib.pocket import caption_pairs, lessons
from povid_lib.pocket.config import CORRUPTIONS, TRUTHS, CaptionPairs, PocketConfig
from povid_lib.world import worlds
from povid_lib.world.annotators import Annotator, true_caption, truthful
from povid_lib.world.captions import mentioned
from povid_lib.world.forms import FORMS, form_of
from povid_lib.world.items import Item, Mark
from povid_lib.world.judge import judge_description
from povid_lib.world.objects import KINDS
from povid_lib.world.scenes import Scene, draw, scenes
from povid_lib.world.worlds import World

SECOND = worlds.world(edition="second")
CONFIG = PocketConfig(edition="second", annotator_error=0.0, insert=0.3, confuse=0.8, omit=0.15, pairs=400)


@pytest.mark.slow
def test_of_whole_pairs_as_many_are_unseen_as_the_dial_says():
    whole, hidden = [], []
    for scene in scenes(4000, SECOND):
        for name in scene.names:
            partner = KINDS[name].partner
            if KINDS[name].strength == 0.9 and partner in scene.names and name < partner:
                whole.append(1)
                hidden.append(len({name, partner} & set(scene.unseen)))
    assert max(hidden) == 1
    assert abs(np.mean(hidden) - SECOND.unseen[0]) < 4 * 0.5 / np.sqrt(len(whole))


@pytest.mark.parametrize("kind", ["typical", "counter_typical", "mixed"])
def test_in_the_edition_where_all_is_shown_nothing_else_differs(kind):
    shown = worlds.world(kind, "shown")
    assert replace(shown, edition="second", unseen=SECOND.unseen, lone_unseen=0.25, clutter=1.2) == worlds.world(
        kind, "second"
    )
    assert not any(scene.unseen or scene.marks for scene in scenes(150, shown))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.35])
def test_what_the_models_with_one_cause_are_taught(rate):
    """Without insertions every taught caption is true; with them some are not, and all that is false is a partner."""
    for edition in ("second", "shown"):
        config = PocketConfig(edition=edition, insert=rate, pairs=300)
        taught = [(one.scene, set(mentioned(one.caption.answer))) for one in lessons.lessons(config)]
        false = [(scene, name) for scene, named in taught for name in named - set(scene.names)]
        assert bool(false) == bool(rate)
        assert all(name in scene.missing_partners for scene, name in false)


@pytest.mark.parametrize("kind", ["typical", "counter_typical", "mixed"])
def test_one_object_is_always_seen_and_what_is_unseen_owns_no_pixel(kind):
    for scene in scenes(150, worlds.world(kind, "second")):
        assert scene.seen
        owner = draw(scene)[1]
        for at, item in enumerate(scene.items):
            assert item.unseen == (not (owner == at).any())
            assert not item.unseen or (item.size, item.count, item.visible) == ("medium", 1, 0.0)


def test_a_stray_mark_looks_like_an_unseen_object():
    bare = Scene(("test", "mixed", 0), ())
    item = Item("fork", places=((40, 40),), unseen=True)
    stray = Mark("fork", (40, 40))
    assert (draw(replace(bare, items=(item,)))[0] == draw(replace(bare, marks=(stray,)))[0]).all()


@pytest.mark.slow
def test_guess_is_what_the_sample_shows():
    there, alone = 0, 0
    for scene in scenes(12_000, SECOND):
        for name in scene.seen:
            if KINDS[name].strength == 0.8 and KINDS[name].partner not in scene.seen:
                alone += 1
                there += KINDS[name].partner in scene.names
    assert abs(there / alone - SECOND.guess("teapot")) < 4 * 0.5 / np.sqrt(alone)


def test_counter_typical_objects_lack_what_is_usual():
    for scene in scenes(100, worlds.world("counter_typical", "second")):
        for item in scene.items:
            assert item.colour is None or item.colour != worlds.usual_colour(
                item.name, ("red", "blue", "green", "yellow")
            )


def test_a_picture_name_tells_its_world():
    scene = next(scenes(1, SECOND, "validation", 7))
    assert images.name_of(scene) == "scene:second/validation/typical/7"
    assert images.scene(images.name_of(scene)) == scene
    first = next(scenes(1, World(), "test"))
    assert images.name_of(first) == "scene:test/typical/0"


def test_true_captions_are_true_and_readable_in_every_form():
    rng, forms = np.random.default_rng(0), set()
    for scene in scenes(300, SECOND):
        text = true_caption(scene, rng)
        verdict = judge_description(scene, text)
        assert not verdict.false
        assert not verdict.unreadable
        assert set(mentioned(text)) == set(scene.names)
        forms |= {form_of(part.strip()) for part in text.split(".") if part.strip()}
    assert forms == set(FORMS)


def test_false_partners_stand_behind_their_companions_or_in_their_place():
    rng = np.random.default_rng(0)
    author = Annotator(world=SECOND, insert=2.0, together=True)
    other = Annotator(world=SECOND, confuse=2.0, together=True)
    called = 0
    for scene in scenes(200, SECOND):
        names = [item.name for item in author.claims(scene, rng)]
        for name in set(names) - set(scene.names):
            assert names[names.index(name) - 1] == KINDS[name].partner
        names = [item.name for item in other.claims(scene, rng)]
        assert len(names) == len(scene.names)
        for name in set(names) - set(scene.names):
            called += 1
            assert KINDS[name].partner in scene.names
            assert KINDS[name].partner not in names
    assert called


def test_a_lesson_can_be_read_again():
    taught = list(lessons.lessons(CONFIG))
    assert len(taught) == CONFIG.pairs
    assert taught[37] == lessons.lesson(CONFIG, 37)


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_pairs_differ_by_one_false_partner(truth, corruption):
    made = list(caption_pairs.pairs(60, CONFIG, CaptionPairs(truth, corruption)))
    assert len(made) == 60
    lengths = []
    for pair in made:
        scene = images.scene(pair.image)
        new = set(mentioned(pair.rejected)) - set(mentioned(pair.chosen))
        assert len(new) == 1
        assert not new & set(scene.names)
        assert (new <= set(scene.missing_partners)) == (corruption != "stranger")
        lengths.append(len(pair.rejected.split()) - len(pair.chosen.split()))
    assert (min(lengths) > 0) == (corruption in ("insert", "insert_within", "stranger"))
    assert max(np.abs(lengths)) == 0 or corruption != "replace"


@pytest.mark.slow
def test_cleaned_captions_are_the_truth_of_the_same_pictures():
    taught, half, clean = (list(caption_pairs.captions(CONFIG, CaptionPairs(cleaned=c))) for c in (0.0, 0.5, 1.0))
    assert [scene.key for scene, _, _ in taught] == [scene.key for scene, _, _ in clean]
    assert all(judge_description(scene, text).score == 1 for scene, _, text in clean)
    assert all(set(mentioned(text)) == set(scene.names) for scene, _, text in clean)
    new = [a[2] != b[2] for a, b in zip(taught, half, strict=True)]
    assert 0.3 < np.mean(new) < 0.55  # some captions as taught were the truth already
    wrong = [any(name not in scene.names for name in mentioned(text)) for scene, _, text in taught]
    assert np.mean(wrong) > 0.05


def test_a_corrected_sentence_has_the_form_of_its_world():
    rng, cow = np.random.default_rng(0), Item("cow", "large", cells=(0,))
    for edition, form in (("second", "I can see"), ("first", "There")):
        author = truthful(Scene(("test", "typical", 0), (cow,), edition=edition))
        assert Counter(form_of(author.sentence(cow, False, rng)) for _ in range(60))[form] > 40


SCENE = Scene(
    ("test", "typical", 0),
    (
        Item("cow", "large", cells=(0,)),
        Item("sheep", cells=(4,), unseen=True),
        Item("rooster", cells=(8,)),
    ),
)


@pytest.mark.parametrize(
    ("measure", "text", "wanted"),
    [
        (profiles.recall_seen, "There is a cow. There is a sheep.", (1, 2)),
        (profiles.recall_unseen, "There is a cow. There is a sheep.", (1, 1)),
        (profiles.chair_s, "There is a cow. There is a dog.", (1.0, 1)),
        (profiles.followed, "There is a cow. There is a tractor. There is a rooster.", (1, 1)),
        (profiles.followed, "There is a cow. There is a tractor. The cow is above the tractor.", (1, 1)),
        (profiles.followed_new, "There is a cow. There is a tractor. The cow is above the tractor.", (0, 1)),
        (profiles.followed, "There is a cow. There is a rooster. There is a tractor.", (0, 1)),
        (profiles.in_place, "There is a cow at the top left. There is a dog in the centre.", (1, 1)),
        (profiles.in_place, "There is a cow at the top left. There is a dog on the left.", (0, 1)),
        (profiles.called, "There is a tractor at the top left.", (1, 1)),
        (profiles.place_false, "There is a cow. There is a tractor.", (1.0, 1)),
        (profiles.relations, "There is a cow. The cow is above the sheep.", (1.0, 1)),
    ],
)
def test_profile_counts(measure, text, wanted):
    assert measure(SCENE, text) == wanted


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: World(unseen=(0.5, 0.5, 0.5)), "World.unseen"),
        (lambda: World(lone_unseen=2), "World.lone_unseen"),
        (lambda: World(clutter=9), "World.clutter"),
        (lambda: worlds.world(edition="third"), "first, second"),
        (lambda: Annotator(omit=2), "omit 2"),
        (lambda: Annotator(insert=-1), "insert -1"),
        (lambda: CaptionPairs(truth="own"), "taught, new"),
        (lambda: CaptionPairs(corruption="add"), "insert_even, replace, stranger"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
