"""A study of seconds: resumed, keyed, summed up; and what its methods learn from."""

import json
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from statsmodels.stats.multitest import multipletests

from povid_lib import models
from povid_lib.data import images
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.evaluation.held_out import Heard, listen, score
from povid_lib.files import results
from povid_lib.metrics import stats
from povid_lib.study import measure, methods, pair_variants, report, run
from povid_lib.study.methods import Method, Study
from povid_lib.training import recipe, reference_cache
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World
from tests.support import training
from tests.support.helpers import povid

pytestmark = pytest.mark.slow

PHASE = {**training.SETTINGS, "max_steps": 2}
GROUPS = {
    "main": {
        "seeds": 2,
        "methods": {"base": {"seeds": 1}, "contrast": {"decode": "contrast", "seeds": 1}, "two_to_one": {"text": {}}},
    },
    "controls": {"seeds": 1, "methods": {"shuffled": {"data": "relabelled", "noise": 0.5, "text": {}}}},
}


@pytest.fixture(scope="module")
def small(vlm, tmp_path_factory) -> Study:
    """A whole study of a model of seconds, made."""
    folder = tmp_path_factory.mktemp("study")
    training.tiny(vlm.processor).save_pretrained(folder / "model")
    vlm.processor.save_pretrained(folder / "model")
    study = Study(
        str(folder / "runs"),
        GROUPS,
        str(folder / "model"),
        6,
        {"n": 8},
        PHASE,
        [["shuffled", "two_to_one"]],
        edition="first",
    )
    assert run.run(study) == 5
    return study


def of(study: Study, name: str) -> Method:
    return next(m for m in study.methods if m.name == name)


def test_what_is_done_is_not_done_again(small):
    before = {p: p.stat().st_mtime_ns for p in (small_folder(small)).glob("*.json")}
    assert len(before) == 5
    assert run.run(small) == 0
    assert {p: p.stat().st_mtime_ns for p in (small_folder(small)).glob("*.json")} == before


def small_folder(study):
    return study.measured(study.methods[0], 0).parent


def test_a_run_that_is_missing_is_made_again_and_alike(small):
    path = small.measured(of(small, "two_to_one"), 1)
    before = json.loads(path.read_text())
    path.unlink()
    assert run.run(small, part=(0, 2)) + run.run(small, part=(1, 2)) == 1
    assert json.loads(path.read_text())["measures"] == before["measures"]


def test_runs_on_the_same_pairs_share_a_reference(small):
    """Whatever the learning rate and the loss; other pairs, another seed or another noise have their own."""
    text = of(small, "two_to_one")
    folder = small.reference(text, 0)
    assert small.recipe(text, 0).phase("text").cache_dir == str(folder)
    assert folder == small.reference(replace(text, name="other", text={"learning_rate": 1e-5, "objective": "dpo"}), 0)
    image = replace(text, text=None, both={"scored_under": "noised"})
    others = [
        small.reference(text, 1), small.reference(replace(text, noise=0.1), 0),
        small.reference(replace(text, data="relabelled"), 0), small.reference(replace(text, offline={"n": 9}), 0),
        small.reference(replace(text, text={"cache_features": True}), 0), small.reference(image, 0),
        small.reference(image, 1), small.reference(replace(image, both={"scored_under": "clean"}), 0),
        small.reference(replace(image, both={"scored_under": "noised", "noise_step": 400}), 0),
    ]  # fmt: skip
    assert len({folder, *others}) == len(others) + 1
    two = small.recipe(replace(text, both={}), 0)
    assert two.phase("both").cache_dir is None, "its reference is what the first phase gave"
    with pytest.raises(ValueError, match="base is not trained"):
        small.reference(of(small, "base"), 0)


def test_a_reference_is_read_once_and_goes_with_the_last_run_that_needs_it(small, vlm, tmp_path, monkeypatch):
    rates = {"one": {"text": {"learning_rate": 1e-3}}, "two": {"text": {"objective": "dpo"}}}
    groups = {"rates": {"seeds": 1, "methods": rates}}
    study = replace(small, out=str(tmp_path), groups=groups, compare=[])
    seen = []
    written = reference_cache._write_rows
    monkeypatch.setattr(reference_cache, "_write_rows", lambda *given: seen.append(1) or written(*given))
    folder = study.reference(of(study, "one"), 0)
    run.run(study, only=["one"])
    assert folder.is_dir()
    run.run(study)
    assert not folder.exists()
    assert len(seen) == 1


def test_keys_follow_settings_weights_and_code(small, monkeypatch):
    text = of(small, "two_to_one")
    key = {what: small.key(text, 0, what) for what in ("train", "measure")}
    assert small.key(replace(text, name="other", group="other", seeds=9), 0, "train") == key["train"]
    assert small.key(text, 1, "train") != key["train"]
    assert small.key(replace(text, noise=0.1), 0, "train") != key["train"]
    assert replace(small, offline={"n": 9}).key(text, 0, "train") != key["train"]
    assert replace(small, model="pocket").key(text, 0, "train") != key["train"]
    assert replace(small, phase={**PHASE, "max_steps": 3}).key(text, 0, "train") != key["train"]
    assert replace(small, scenes=7).key(text, 0, "train") == key["train"]
    assert replace(small, scenes=7).key(text, 0, "measure") != key["measure"]
    code_of = methods.code_of
    monkeypatch.setattr(methods, "code_of", lambda what: "another" if what == "measure" else code_of(what))
    assert small.key(text, 0, "train") == key["train"]
    assert small.key(text, 0, "measure") != key["measure"]
    monkeypatch.setattr(methods, "code_of", lambda what: f"another {what}")
    assert small.key(text, 0, "train") != key["train"]


def test_the_report(small, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "save", lambda name, data, *rest, code: saved.update(data, code=code))
    saved: dict = {}
    shown = report.report(small, "x")
    assert [line.split()[0] for line in shown.splitlines()] == ["method", "base", "contrast", "two_to_one", "shuffled"]
    assert saved["code"] == [run.run_one, report.report]
    text = saved["methods"]["two_to_one"]
    assert text["seeds"] == len(text["typical"]["chair_s"]["seeds"]) == 2
    assert text["typical"]["words"]["value"] == pytest.approx(np.mean(text["typical"]["words"]["seeds"]))
    assert text["training"][0]["text"]["steps"] == 2
    assert [about["pairs"] for about in text["pairs"]] == [8, 8]
    assert text["pairs"][0]["chosen_shorter"] == 0
    assert saved["tests"]["base"].keys() == {"contrast", "two_to_one", "shuffled"}
    assert saved["tests"]["contrast"].keys() == {"two_to_one"}
    asked = saved["tests"]["shuffled"]["two_to_one"]["typical"]["words"]
    rows = saved["methods"]
    assert asked["value"] == pytest.approx(
        rows["two_to_one"]["typical"]["words"]["value"] - rows["shuffled"]["typical"]["words"]["value"]
    )
    found = saved["tests"]["base"]["two_to_one"]["typical"]["words"]
    assert found["value"] == pytest.approx(
        text["typical"]["words"]["value"] - saved["methods"]["base"]["typical"]["words"]["value"]
    )
    assert found["p_holm"] >= found["p"]


def test_a_report_names_what_is_missing(small):
    wider = replace(small, groups={**GROUPS, "more": {"seeds": 1, "methods": {"late": {"text": {}}}}})
    with pytest.raises(ValueError, match=r"1 runs are not made yet, first late 0; run povid study again"):
        report.report(wider, "x")
    with pytest.raises(ValueError, match="no method 'base'"):
        report.summarise([], {})


def test_declared_tests_are_corrected_among_themselves_only(small):
    runs = {m.name: [json.loads(small.measured(m, s).read_text()) for s in range(m.seeds)] for m in small.methods}
    declared = [["shuffled", "two_to_one", "typical", "words"], ["base", "two_to_one", "counter_typical", "chair_s"]]
    found = report.primary(small.methods, runs, declared)
    alone = stats.crossed_compare(
        report.sums(runs["shuffled"], "typical", "words"), report.sums(runs["two_to_one"], "typical", "words")
    )
    assert [found[0][key] for key in ("value", "low", "high", "p")] == [*astuple(alone.difference)[:3], alone.p_value]
    assert sorted(t["p_holm"] for t in found) == pytest.approx(
        sorted(multipletests([t["p"] for t in found], method="holm")[1])
    )
    assert [t["measure"] for t in found] == ["words", "chair_s"]
    assert report.primary(small.methods, runs, []) == []


def test_power_is_how_often_a_difference_is_found():
    """By simulation: 40,000 differences of .1, measured with an error of .05, tested at .05."""
    rng = np.random.default_rng(0)
    assert report.power(stats.Estimate(0.0, -1.959964 * 0.05, 1.959964 * 0.05, 9)) == pytest.approx(
        np.mean(np.abs(rng.normal(0.1, 0.05, 40_000)) > 1.959964 * 0.05), abs=0.01
    )
    assert np.isnan(report.power(stats.Estimate(0.0, 0.0, 0.0, 9)))


def test_verdicts():
    test = {"value": -0.2, "low": -0.3, "high": -0.1, "p_holm": 0.01}
    assert report.verdict(test, -1) == "confirmed"
    assert report.verdict(test, 1) == "reversed"
    assert report.verdict({**test, "p_holm": 0.06}, -1) == "not confirmed"
    assert report.verdict({**test, "high": 0.01}, -1) == "not confirmed"


# --- refusals ----------------------------------------------------------------------------------------------------


def group(**methods) -> dict:
    """A study of one group with these methods."""
    return {"out": "x", "groups": {"a": {"seeds": 1, "methods": methods}}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]", "holds a list; a study is a mapping"),
        ({"out": "x"}, "groups is missing; give a mapping"),
        ({"out": "x", "groups": {}}, "groups is empty; give a mapping"),
        ({"out": "x", "groups": {}, "scenes": 1}, "scenes is 1; give a number of scenes, 2 or more"),
        ({"out": "x", "groups": {}, "offline": {}}, "offline.n is missing; give the number of pairs"),
        (group(m={"what": 1}), r"groups\.a\.methods\.m\.what is no setting of Method"),
        ({"out": "x", "groups": {"a": {"seeds": 0, "methods": {"m": None}}}}, r"groups\.a\.seeds is 0; give a whole"),
        ({"out": "x", "groups": {"a": {"methods": {"m": None}}}}, r"groups\.a\.methods\.m\.seeds is missing"),
        ({"out": "x", "groups": {"a": {"seeds": 1, "methods": {}}}}, r"groups\.a holds no methods"),
        (group(m=3), r"methods\.m is 3; give a mapping of settings, or null"),
        (group(m={"name": "n"}), r"methods\.m\.name is said by the place"),
        (group(**{"../m": None}), r"methods\.\.\./m\.name is '\.\./m'; give letters"),
        (group(m={"data": "lies"}), r"m\.data is 'lies'; choose one of truth"),
        (group(m={"decode": "slow"}), r"m\.decode is 'slow'; choose one of greedy"),
        (group(m={"noise": 2}), r"m\.noise is 2; give a share, from 0 to 1"),
        (group(m={"text": {"bata": 1}}), r"groups\.a\.methods\.m\.text\.bata is no setting .* did you mean beta"),
        (group(m={"offline": {"objects": -1}}), r"m\.offline\.objects is -1; give a weight"),
        (group(m={"text": {"objective": "ddpo"}}), r"m\.text: the cache holds sums over whole answers"),
        ({"out": "x", "groups": {g: {"seeds": 1, "methods": {"m": None}} for g in "ab"}}, "names m stand twice"),
        (group(m=None) | {"compare": [["m", "n"]]}, r"compare holds \['m', 'n'\]; give the names of two methods"),
        (
            group(m=None) | {"phase": {"save_strategy": False}},
            r"study.yaml: phase\.save_strategy is False; choose one of no",
        ),
        ("a: [", "line 1: .* a study is YAML"),
        (
            group(m={"noise": 2, "text": {"alpha": 0}}) | {"speed": 1, "scenes": 0},
            r"(?s)4 faults.*scenes is 0.*speed is no.*m\.noise is 2.*m\.text\.alpha is 0",
        ),
    ],
)
def test_what_is_no_study_is_refused(tmp_path, content, said):
    path = tmp_path / "study.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(ValueError, match=said) as caught:
        methods.read_study(path)
    assert str(path) in str(caught.value)


@pytest.fixture
def no_model(monkeypatch):
    """Whoever loads a model is found out."""

    def load(*args, **kwargs):
        raise AssertionError(f"a model is loaded: {args}")

    methods._weights.cache_clear()
    monkeypatch.setattr(models, "load", load)
    yield
    methods._weights.cache_clear()


def test_the_command_refuses_before_it_loads_anything(no_model):
    found = povid("study", "recipes/study.yaml", "--part", "2/2")
    assert found.exit_code == 2
    assert "--part is '2/2'" in found.output


def test_the_guard_against_loading_can_see_it(no_model):
    study = replace(methods.read_study("recipes/study.yaml"), model="runs/elsewhere")
    with pytest.raises(AssertionError, match=r"a model is loaded: .*elsewhere"):
        study.key(study.methods[0], 0, "train")


def test_all_shipped_recipes_and_studies_are_sound_though_no_model_is_there(no_model):
    """By the command in a file's first line: those of accelerate are not ours."""
    read = {"povid train": recipe.read_recipe, "povid study": methods.read_study}
    found = {command: [] for command in read}
    for file in sorted(Path("recipes").glob("*.yaml")):
        command = " ".join(file.read_text().split()[1:3])
        if command in read:
            found[command].append(file.stem)
            read[command](file)
        else:
            assert command == "accelerate launch", file
    assert len(found["povid train"]) >= 3
    assert found["povid study"] == [
        "causes",
        "first_world",
        "grid",
        "grid_field",
        "grid_new",
        "study",
        "study_field",
        "study_more",
    ]


def test_the_shipped_study_is_sound_and_at_equal_budget():
    """Rates are those that the rule chose from the grid; a control has the rate of the method that it controls."""
    study = methods.read_study("recipes/study.yaml")
    assert {m.seeds for m in study.methods if m.group == "main" and m.is_trained} == {5}
    assert all(m.seeds >= 3 for m in study.methods if m.is_trained)
    for method in study.methods:
        if method.is_trained:
            made = study.recipe(method, 0)
            phases = [made.phase(name) for name in ("text", "both") if getattr(made, name) is not None]
            assert sum(p.max_steps for p in phases) == 80, method.name
            assert {p.per_device_train_batch_size * p.gradient_accumulation_steps for p in phases} == {16}


# --- what the methods learn from ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth():
    return list(pairs(24, Offline()))


def test_relabelled_exchanges_the_share_asked_for():
    rows = list(pairs(400, Offline()))
    assert [p.chosen for p in pair_variants.relabelled(rows, 0, 0)] == [p.chosen for p in rows]
    assert [p.chosen for p in pair_variants.relabelled(rows, 1, 0)] == [p.rejected for p in rows]
    found = pair_variants.relabelled(rows, 0.25, 0)
    exchanged = sum(p.chosen == q.rejected for p, q in zip(found, rows, strict=True))
    assert 75 <= exchanged <= 125
    assert all({p.chosen, p.rejected} == {q.chosen, q.rejected} for p, q in zip(found, rows, strict=True))
    assert found != pair_variants.relabelled(rows, 0.25, 1)


def test_sampled_prefers_the_truer_answer(vlm, truth):
    found = pair_variants.sampled(vlm, truth, 0)
    assert len(found) > len(truth) / 2
    for pair in found:
        scene = images.scene(pair.image)
        assert pair_variants.quality(scene, pair.prompt, pair.chosen) > pair_variants.quality(
            scene, pair.prompt, pair.rejected
        )
    assert found == pair_variants.sampled(vlm, truth, 0)
    wrong = pair_variants.sampled(vlm, truth, 0, noise=1.0)
    assert [p.chosen for p in wrong] == [p.rejected for p in found]


def test_corrected_is_true_and_keeps_what_was_true(vlm, truth):
    found = pair_variants.corrected(vlm, truth, 0)
    assert found
    for pair in found:
        scene = images.scene(pair.image)
        worth, _ = pair_variants.quality(scene, pair.prompt, pair.chosen)
        assert worth >= 0, pair.chosen
        if pair.prompt in pair_variants.DETAILED_PROMPTS:
            true = [
                s
                for s in pair.rejected.split(".")
                if s.strip() and pair_variants.quality(scene, pair.prompt, s)[0] == 0
            ]
            assert all(s.strip() in pair.chosen for s in true)


def test_own_is_what_the_model_says(vlm, truth):
    found = pair_variants.own(vlm, truth[:4])
    said = {p.image: a.text for p, a in zip(truth, models.generate(
        vlm, [images.picture(p.image) for p in truth[:4]], [p.prompt for p in truth[:4]]), strict=False)}  # fmt: skip
    assert [p.chosen for p in found] == [said[p.image] for p in found]


def test_even_pairs_are_the_sampled_ones_that_do_not_teach_brevity(vlm, small, monkeypatch):
    monkeypatch.setattr(pair_variants, "sampled", lambda _, rows, seed: [
        replace(p, chosen=p.chosen + " It is so." * (at % 2), rejected=p.rejected + " Is it so?" * ((at + 1) % 2), changes=())
        for at, p in enumerate(rows)
    ])  # fmt: skip
    method = Method("even", "main", 1, data="even", offline={"n": 6}, text={})
    found = run.rows(small, method, 3, vlm, None)
    assert len(found) == 3
    assert all(p.chosen.endswith("It is so.") for p in found)
    alike = run.rows(small, replace(method, name="human", data="sampled"), 3, vlm, None)
    assert len(alike) == 6
    assert set(found) < set(alike), "drawn once for both"
    short = run.rows(small, replace(method, name="short", data="shorter"), 3, vlm, None)
    assert [{p.chosen, p.rejected} for p in short] == [{p.chosen, p.rejected} for p in alike], "the same answers"
    assert not any("It is so." in p.chosen or "Is it so?" in p.chosen for p in short), "the shorter one is chosen"


def test_swapped_and_blanked_take_the_picture_away(truth, tmp_path):
    found = pair_variants.swapped(truth)
    assert sorted(p.image for p in found) == sorted(p.image for p in truth)
    assert all(p.image != q.image for p, q in zip(found, truth, strict=True))
    blank = pair_variants.blanked(truth, tmp_path)
    shown = np.asarray(images.picture(blank[0].image, tmp_path))
    assert {p.image for p in blank} == {pair_variants.BLANK}
    assert np.ptp(shown.reshape(-1, 3).astype(int), axis=0).max() < 34, "nothing is drawn on it, its paper apart"


def test_too_few_errors_are_refused(vlm, small, monkeypatch):
    monkeypatch.setattr(pair_variants, "corrected", lambda *_: [])
    method = replace(of(small, "two_to_one"), data="corrected", offline={"n": 4})
    with pytest.raises(ValueError, match="6 prompts gave 0 pairs, 4 are wanted"):
        run.rows(small, method, 0, vlm, None)


# --- what is measured --------------------------------------------------------------------------------------------


def heard(batch, texts):
    """What a model said that described the scenes so."""
    return Heard(batch, texts, score(batch, texts), {})


def test_measures_of_answers_that_are_known():
    batch = list(scenes(12, World(), "validation"))
    truth = {id(s): " ".join(f"There is a {name}." for name in s.names) for s in batch}
    missing = next(s for s in batch if s.missing_partners)
    texts = [truth[id(s)] + (f" There is a {s.missing_partners[0]}." if s is missing else "") for s in batch]
    rows = measure._captions(heard(batch, texts))
    value = {name: sum(top) / max(sum(bottom), 1) for name, (top, bottom) in rows.items()}
    assert value["chair_s"] == pytest.approx(1 / 12)
    assert sum(rows["chair_i"][0]) == 1
    assert value["recall"] == value["recall_hard"] == 1
    assert sum(sum(rows[name][0]) for name in rows if name.startswith("partners_")) == 1
    assert sum(rows["others"][0]) == 0
    assert sum(rows["false_objects"][0]) == 1
    cut = measure._captions(heard(batch, [" ".join(["word"] * measure.CUT) + " " + t for t in texts]))
    assert sum(cut["chair_s_cut"][0]) == 0
    assert sum(cut["chair_s"][0]) == 1


def always(text):
    """A model that says nothing else."""
    return lambda _vlm, _pictures, prompts: [text] * len(prompts)


def test_polls_and_questions_of_a_speaker_that_is_known(vlm):
    batch = list(scenes(8, World(), "validation"))
    polled = listen(vlm, batch, ("adversarial",), n=2, decode=always("Yes.")).polls["adversarial"]
    rows = measure._polls(polled)
    assert sum(rows["yes_ratio"][0]) == sum(rows["yes_ratio"][1])
    assert sum(rows["adversarial"][0]) * 2 == sum(rows["adversarial"][1])
    rows = measure._questions(vlm, batch, always("It is mauve."))
    assert sum(rows["conversation"][0]) == sum(rows["reasoning"][0]) == 0
    assert sum(rows["conversation"][1]) == 16
    assert 0 < sum(rows["counts"][1]) < 16


def test_drift_is_nothing_for_the_same_model_and_positive_for_another(vlm):
    batch = list(scenes(3, World(), "validation"))
    same = measure.drift(vlm, vlm, batch)
    assert sum(same["drift"][0]) == pytest.approx(0, abs=1e-4)
    other = models.VLM("other", training.tiny(vlm.processor), vlm.processor)
    moved = measure.drift(other, vlm, batch)
    assert sum(moved["drift"][0]) > 1
    assert sum(moved["language"][0]) / sum(moved["language"][1]) > sum(same["language"][0]) / sum(same["language"][1])


def test_a_blind_speaker_never_sees(vlm):
    say = measure.decoding("blind", 0)
    a, b = (s.image() for s in scenes(2, World(), "validation"))
    assert say(vlm, [a, b], ["Describe this image."] * 2) == say(vlm, [b, a], ["Describe this image."] * 2)
    with pytest.raises(ValueError, match="decode is 'loud'; choose one of greedy"):
        measure.decoding("loud", 0)
