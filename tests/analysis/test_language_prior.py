"""Measures of the language prior, on answers whose probabilities are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from povid_lib import models
from povid_lib.analysis import language_prior
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.forms import FORMS, form_of
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import World, world

BATCH = list(scenes(6, World("counter_typical"), "validation"))


def test_views_weaken_the_picture_and_nothing_else():
    shown = language_prior.views(BATCH)
    assert {view: len(pictures) for view, pictures in shown.items()} == dict.fromkeys(shown, len(BATCH))
    assert shown["swapped"][0].tobytes() == BATCH[1].image().tobytes()
    assert shown["swapped"][-1].tobytes() == BATCH[0].image().tobytes()
    assert shown["noised"][0].tobytes() != shown["seen"][0].tobytes()
    assert language_prior.views(BATCH)["noised"][3].tobytes() == shown["noised"][3].tobytes()


def test_image_dependence_by_hand(vlm, monkeypatch):
    """One true and one false word: probabilities .8 and .6 with the picture, .2 and .5 with the other one."""
    scene = next(s for s in BATCH if "fork" not in s.names)
    true = next(n for n in scene.names if len(vlm.processor.tokenizer.encode(f" {n}", add_special_tokens=False)) == 1)
    text = f"There is {true} fork"
    probs = iter(([1, 1, 0.8, 0.6], [1, 1, 0.2, 0.5]))
    monkeypatch.setattr(models, "answer_logps", lambda *_: [torch.tensor(next(probs)).log()])
    got = language_prior.image_dependence(vlm, [scene], [text], {"seen": [None], "other": [None]})
    assert got["true"]["seen"].value == pytest.approx(0.8)
    assert got["true"]["other"].value == pytest.approx(0.2)
    assert got["false"]["seen"].value == pytest.approx(0.6)
    assert (got["true"]["kept_other"].value, got["false"]["kept_other"].value) == (0, 1)


def test_yes_is_read_against_no_only(vlm, monkeypatch):
    yes, no = (models.word_tokens(vlm, w)[0] for w in ("Yes", "No"))

    def forward(*_, input_ids, **__):
        out = torch.full((len(input_ids), 1, len(vlm.processor.tokenizer)), 9.0)  # other words must not count
        out[..., yes], out[..., no] = np.log(3.0), 0.0
        return SimpleNamespace(logits=out)

    monkeypatch.setitem(vars(vlm.model), "forward", forward)
    got = language_prior.blind_answers(vlm, BATCH, {"seen": [s.image() for s in BATCH]})
    assert {group: row["seen"].value for group, row in got.items()} == {
        group: pytest.approx(0.75) for group in ("present", "missing_partner", "unrelated")
    }


def test_shares_of_the_language_prior_sum_to_one(vlm):
    table = language_prior.language_prior(vlm, list(scenes(30, World(), "validation")))
    for row in table.values():
        assert sum(e.value for e in row.values()) == pytest.approx(1)


@pytest.mark.parametrize("edition", ["first", "second"])
def test_the_text_before_the_partner_is_worded_as_its_edition(edition):
    """The language model is asked after a caption such as it was taught, not after one of another world."""
    starts = set()
    for scene in scenes(40, world(edition=edition), "validation"):
        for partner in scene.missing_partners:
            texts = language_prior.begun(scene, partner, np.random.default_rng(4))
            caption, _, asked = texts["detailed"].rpartition(" There is ")
            assert caption == true_caption(scene, np.random.default_rng(4))
            assert texts["short"].endswith(f" and {asked}")
            assert partner not in mentioned(texts["short"]) + mentioned(texts["detailed"])
            starts |= {form_of(sentence) for sentence in caption.split(". ")}
    assert ("I can see" in starts) == (edition == "second")
    assert edition == "first" or starts == set(FORMS)


@pytest.mark.slow
def test_step_0_of_the_noise_is_the_picture_and_the_last_is_not(vlm):
    texts = [a.text for a in models.generate(vlm, [s.image() for s in BATCH], PROMPT)]
    got = language_prior.under_noise(vlm, BATCH, texts)
    seen = language_prior.image_dependence(vlm, BATCH, texts, {"seen": [s.image() for s in BATCH]})["true"][
        "seen"
    ].value
    true = [e.value for e in got["words"]["true"]]
    assert len(true) == len(got["steps"]) == len(language_prior.NOISE_STEPS)
    assert true[0] == pytest.approx(seen, abs=0.02)
    assert true[-1] < true[0] - 0.2
