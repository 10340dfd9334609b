"""A study of seconds in the second edition of the world: taught captions as truth, validation scenes, constants as methods."""

import json
from dataclasses import asdict, replace

import pytest

from povid_lib.data import pair_files
from povid_lib.evaluation.held_out import held_out
from povid_lib.pocket.config import PocketConfig
from povid_lib.pocket.lessons import lessons, recipe_of
from povid_lib.study import measure, run
from povid_lib.study.methods import Study
from tests.support import training

pytestmark = pytest.mark.slow

CONFIG = PocketConfig(edition="second", annotator_error=0.0, insert=0.3, omit=0.15, pairs=300)
GROUPS = {
    "main": {
        "seeds": 1,
        "methods": {
            "base": {},
            "constant": {"decode": "ending", "constant": 30.0},
            "unsupported": {"decode": "unsupported", "constant": 1.0},
            "drawn": {"decode": "sampled"},
            "within": {"text": {}},
            "new": {"captions": {"truth": "new"}, "data": "relabelled", "noise": 0.5, "text": {}},
        },
    }
}


@pytest.fixture(scope="module")
def study(vlm, tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("second")
    training.tiny(vlm.processor).save_pretrained(folder / "model")
    vlm.processor.save_pretrained(folder / "model")
    (folder / "model" / "pocket_config.json").write_text(json.dumps(asdict(CONFIG)))
    study = Study(
        str(folder / "runs"),
        GROUPS,
        str(folder / "model"),
        4,
        captions={"n": 8, "corruption": "insert_within"},
        edition="second",
        split="validation",
        phase={**training.SETTINGS, "max_steps": 2},
    )
    assert run.run(study) == 6
    return study


def of(study, name):
    return next(m for m in study.methods if m.name == name)


def measured(study, name):
    return json.loads(study.measured(of(study, name), 0).read_text())["measures"]


def pairs_of(study, name):
    return list(pair_files.read(str(study.recipe(of(study, name), 0).pairs)))


def test_pairs_are_about_taught_captions_or_new_scenes(study):
    taught = {lesson.caption.answer for lesson in lessons(CONFIG)}
    within, new = pairs_of(study, "within"), pairs_of(study, "new")
    assert len(within) == len(new) == 8
    assert all(pair.chosen in taught for pair in within)
    assert not any(pair.chosen in taught or pair.rejected in taught for pair in new)
    assert all(pair.image.startswith("scene:second/train/typical/") for pair in within + new)
    assert {len(p.chosen) < len(p.rejected) for p in within} == {True}
    assert {len(p.chosen) < len(p.rejected) for p in new} == {True, False}  # labels are dealt


def test_what_cannot_be_seen_is_measured_apart(study):
    base = measured(study, "base")
    assert sum(base["typical"]["recall_unseen"][1]) > 0
    for split, rows in base.items():
        both = [seen + unseen for seen, unseen in zip(rows["recall_seen"][1], rows["recall_unseen"][1], strict=True)]
        assert both == rows["recall"][1], split


def test_captions_are_asked_for_twice_more_where_decoding_is_greedy(study):
    base, drawn = measured(study, "base")["typical"], measured(study, "drawn")["typical"]
    for name in ("sampled", "prompted"):
        assert len(base[f"chair_s_{name}"][0]) == len(base[f"words_{name}"][0]) == 4
        assert base[f"recall_seen_{name}"][1] == base["recall_seen"][1]
        assert f"chair_s_{name}" not in drawn
    assert base["words_sampled"] != base["words"]


def test_rewards_are_of_pairs_that_no_training_knows(study):
    """A model against itself ties everywhere; a trained one nowhere; a scene without a missing partner counts for nothing."""
    batch = held_out("typical", 4, "validation")
    possible = [float(bool(set(scene.missing_partners))) for scene in batch]
    for name in ("reward_accuracy", "reward_accuracy_blank"):
        assert measured(study, "base")["typical"][name] == [[n / 2 for n in possible], possible]
        won, counted = measured(study, "within")["typical"][name]
        assert counted == possible
        assert set(won) <= {0, 1}


def test_a_reward_is_the_growth_of_the_log_odds(vlm, monkeypatch):
    batch = held_out("counter_typical", 3)
    odds = {"now": [3.0, 1.0, -2.0], "base": [2.0, 1.5, -2.0]}
    monkeypatch.setattr(measure, "log_odds", lambda model, pairs, pictures: odds[model])
    assert measure.reward_accuracy("now", "base", batch)["reward_accuracy"] == [[1.0, 0.0, 0.5], [1.0] * 3]


def test_a_great_constant_ends_every_caption(study):
    assert measured(study, "constant")["typical"]["words"][0] == [0] * 4
    assert sum(measured(study, "base")["typical"]["words"][0]) > 0


def test_keys_follow_the_world_the_split_and_the_constant(study):
    constant = of(study, "constant")
    for what, same in (("train", True), ("measure", False)):
        key = study.key(constant, 0, what)
        assert (study.key(replace(constant, constant=2.0), 0, what) == key) is same
        assert (replace(study, split="test").key(constant, 0, what) == key) is same
        assert replace(study, captions={"n": 9}).key(constant, 0, what) != key


def test_a_model_without_its_recipe_is_refused(study, tmp_path):
    with pytest.raises(ValueError, match=r"pocket_config\.json is missing; the recipe that povid pocket train"):
        recipe_of(str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"edition": "third"}, "edition"),
        ({"primary": [["base", "nobody", "typical", "chair_s"]]}, "primary holds .*give two methods"),
        ({"primary": [["base", "base", "mixed", "chair_s"]]}, "typical or counter_typical"),
        ({"primary": [["base", "base", "typical", "chair"]]}, "one of chair_s, .*beyond"),
        ({"split": "train"}, "split"),
        ({"edition": "first", "captions": {"n": 4}}, "captions are pairs of the second edition"),
        ({"edition": "second", "offline": {"n": 4}}, "offline are pairs of the first edition"),
        ({"edition": "second", "captions": {"n": 4, "corruption": "add"}}, "captions.corruption"),
        ({"edition": "second", "captions": {"truth": "new"}}, "captions.n is missing"),
        ({"captions": {"n": 4, "truth": "new", "cleaned": 0.5}}, "cleaned is 0.5, and new truth has no error"),
    ],
)
def test_settings_of_another_world_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Study("x", {"a": {"seeds": 1, "methods": {"base": {}}}}, **settings)


def test_a_constant_without_a_use_is_refused():
    with pytest.raises(ValueError, match=r"constant is 2\.0, and decode 'greedy' has none"):
        Study("x", {"a": {"seeds": 1, "methods": {"base": {"constant": 2.0}}}})
    assert set(measure.WITH_CONSTANT) < set(measure.DECODINGS)
