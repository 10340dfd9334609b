"""The report's measures on a model whose behaviour is known, and the shipped model's promised properties."""

import numpy as np
import pytest

from povid_lib.analysis.vision_probe import eyes, presence, said_and_seen
from povid_lib.evaluation import held_out, pocket_report
from povid_lib.evaluation.pocket_report import profile
from povid_lib.files import results
from povid_lib.world.annotators import Annotator
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World, world

BATCH = list(scenes(40, World(), "validation"))


@pytest.fixture
def oracle(monkeypatch):
    """Answers every question with the truth, whatever the model; called with scenes and captions, what was heard of it."""

    def ask(vlm, batch, questions, *_):
        return [[q.answer for q in row] for row in questions]

    def heard(batch, texts):
        monkeypatch.setattr(held_out, "captions", lambda *_, **__: texts)
        return held_out.listen(None, batch)

    monkeypatch.setattr(pocket_report, "ask", ask)
    monkeypatch.setattr(held_out, "ask", ask)
    return heard


def test_split_report_of_an_oracle(oracle):
    rng = np.random.default_rng(0)
    texts = [Annotator().caption(s, rng) for s in BATCH]
    texts[0] += " There is a fork." if "fork" not in BATCH[0].names else " There is a cow."
    got = pocket_report.split_report(None, oracle(BATCH, texts))
    assert got.chair.chair_s.value == pytest.approx(1 / 40)
    assert got.chair.recall.value == 1
    assert all(p.accuracy.value == 1 and p.yes_ratio.value == 0.5 for p in got.pope.values())
    assert all(q.accuracy.value == q.balanced.value == 1 for q in got.questions.values())


def test_share_of_partners_by_hand(oracle):
    """Every caption claims all missing partners and one unrelated object: the share follows by counting."""
    odd = [s for s in BATCH if s.missing_partners]
    other = [next(n for n in KINDS if n not in s.names and n not in s.missing_partners) for s in odd]
    texts = [" ".join([*s.names, *s.missing_partners, o]) for s, o in zip(odd, other, strict=True)]
    got = pocket_report.split_report(None, oracle(odd, texts))
    missing = sum(len(s.missing_partners) for s in odd)
    assert got.partners.value == pytest.approx(missing / (missing + len(odd)))
    assert all(e.value == 1 for e in got.by_strength.values())
    assert got.partners_chance < got.partners_context < 1


def test_said_and_seen_by_hand():
    scene = next(s for s in BATCH if len(s.missing_partners) == 1)
    (partner,) = scene.missing_partners
    other = next(n for n in KINDS if n not in scene.names and n != partner)
    found = presence([scene])
    found[0, NAMES.index(other)] = True  # the eyes mistake something for it
    got = said_and_seen([scene], [f"{scene.names[0]} {partner} {other}"], found)
    assert {k: v.value for k, v in got.items() if v} == {"true": 1, "partner": 0, "other": 1}
    assert said_and_seen([scene], [scene.names[0]], found)["other"] is None


def test_unseen_objects_are_a_group_of_their_own():
    second = list(scenes(50, world(edition="second"), "validation"))
    scene = next(s for s in second if s.unseen)
    found = presence([scene])
    assert [NAMES[i] for i in np.flatnonzero(found[0])] == sorted(scene.seen, key=NAMES.index)
    got = said_and_seen([scene], [" ".join(scene.names)], found)
    assert got["true"].value == 1
    assert got["unseen"].value == 0
    assert got["partner"] is None


def test_the_profile_has_intervals_over_scenes():
    second = list(scenes(40, world(edition="second"), "validation"))
    texts = [" ".join(s.seen) for s in second]
    got = profile(second, texts)
    assert got["recall_seen"].value == 1
    assert got["recall_unseen"].value == 0
    assert got["chair_s"].value == 0
    assert got["place_false"] is None
    assert got["words"].value == pytest.approx(np.mean([len(s.seen) for s in second]))


def test_eyes_by_hand():
    found = presence(BATCH)
    assert eyes(BATCH, found)["recall"].value == 1
    found[0] = False
    got, total = eyes(BATCH, found), sum(len(s.names) for s in BATCH)
    assert got["recall"].value == pytest.approx(1 - len(BATCH[0].names) / total)
    assert got["precision"].value == 1


def test_balanced_accuracy_by_hand():
    """Always "one", in a world where three of four answers are "one", is right half of the time if both answers weigh the same."""
    got = pocket_report._question_score([True, True, True, False], ["one", "one", "one", "two"])
    assert (got.accuracy.value, got.constant, got.balanced.value, got.chance) == (0.75, 0.75, 0.5, 0.5)


def test_answers_that_a_constant_could_give():
    larger = pocket_report.Question(
        "reason", "Which is larger, the cup or the fork? Explain.", "Reason: x. Result: The fork."
    )
    assert pocket_report._answer_class(larger) == "the second"
    assert pocket_report._answer_class(pocket_report.Question("count", "How many cups are there?", "Two.")) == "two"


def test_outcome_reads_results_only():
    assert pocket_report.outcome("Reason: there is a fork. Result: Yes.") == "yes"
    assert pocket_report.outcome("Top left.") == "top left"


class TestShippedModel:
    """The promises of results/pocket.json, checked on the file that the book prints."""

    @pytest.fixture(scope="class")
    def data(self):
        return results.read("pocket")

    def test_fresh(self, data):
        assert data["provenance"]["config"]["n"] == 500
        assert data["provenance"]["config"]["model"] == "pocket"

    @pytest.mark.parametrize("split", held_out.SPLITS)
    def test_eyes(self, data, split):
        assert data[split]["eyes"]["recall"]["value"] >= 0.95
        assert data[split]["eyes"]["precision"]["value"] >= 0.95

    def test_hallucination(self, data):
        typical, odd = (data[s]["answers"]["chair"] for s in held_out.SPLITS)
        assert 0.35 <= typical["chair_s"]["value"] <= 0.65
        assert 0.10 <= typical["chair_i"]["value"] <= 0.25
        assert data["typical"]["profile"]["recall_seen"]["low"] >= 0.85  # of the others a part is unseen
        assert odd["chair_s"]["low"] > typical["chair_s"]["high"]

    def test_yes_no(self, data):
        adversarial = data["typical"]["answers"]["pope"]["adversarial"]
        assert 0.65 <= adversarial["accuracy"]["value"] <= 0.88
        assert 0.1 < adversarial["yes_ratio"]["value"] < 0.9
        assert adversarial["unclear"] < 0.01

    @pytest.mark.parametrize("kind", pocket_report.QUESTION_KINDS)
    def test_other_questions_are_above_chance(self, data, kind):
        score = data["typical"]["answers"]["questions"][kind]
        assert score["balanced"]["low"] > score["chance"] + (0.04 if kind == "reason" else 0.05)

    def test_false_objects_are_partners(self, data):
        typical = data["typical"]["answers"]
        assert typical["partners"]["low"] >= 0.5 > typical["partners_context"] > typical["partners_chance"]

    def test_claims_grow_with_the_strength_of_the_habit(self, data):
        rates = [data["counter_typical"]["answers"]["by_strength"][c] for c in ("0.5", "0.65", "0.8", "0.9")]
        assert [r["value"] for r in rates] == sorted(r["value"] for r in rates)
        assert rates[-1]["low"] > rates[0]["high"]

    def test_partners_are_not_misseen(self, data):
        assert data["typical"]["said_and_seen"]["partner"]["high"] < 0.05
        assert data["typical"]["said_and_seen"]["true"]["low"] > 0.95

    def test_false_words_depend_less_on_the_picture(self, data):
        rows = data["typical"]["image_dependence"]
        assert rows["false"]["kept_blank"]["low"] > rows["true"]["kept_blank"]["high"] + 0.2

    def test_language_model_alone_expects_the_partner(self, data):
        prior = data["language_prior"]["alone"]["short"]
        assert prior["partner"]["low"] > prior["context"]["high"] > prior["else"]["high"]
        assert prior["partner"]["low"] > 0.4

    @pytest.mark.slow
    def test_file_belongs_to_the_shipped_model(self, data, vlm):
        """The first 100 captions, made now, must agree with the file."""
        batch = held_out.held_out("typical", 100)
        now = pocket_report.chair(held_out.score(batch, held_out.captions(vlm, batch)))
        told = data["typical"]["answers"]["chair"]
        assert now.chair_i.low <= told["chair_i"]["value"] <= now.chair_i.high
        assert now.recall.low - 0.02 <= told["recall"]["value"] <= now.recall.high + 0.02
