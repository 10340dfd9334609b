"""The widget of chapter 07: its specification holds the answers' own words and log-probabilities."""

from dataclasses import replace

import pytest
import torch

from povid_lib.analysis.loss_gradient import Answers
from povid_lib.training.losses import Logps
from povid_lib.widgets.weigh import weigh_spec
from povid_lib.world.scenes import scenes

SCENES = list(scenes(2, split="validation"))


def given(vlm, same_picture: bool) -> Answers:
    encode = vlm.processor.tokenizer.encode
    texts = (" a red cup.", " a blue cup here.", " a red fork.")
    chosen, rejected, noised = (torch.tensor([encode(text, add_special_tokens=False)] * 2) for text in texts)
    c, r = torch.ones_like(chosen), torch.ones_like(rejected)
    c[1, -1] = r[1, -1] = 0
    logps = [-torch.arange(1.0, 1 + m.numel()).view(m.shape) / (7 + n) for n, m in enumerate((c, r, c, c, r, c))]
    return Answers(chosen, rejected, noised, c, r, c, Logps(*logps[:3]), Logps(*logps[3:]), same_picture)


def test_spec_holds_words_and_log_probabilities(vlm):
    noised, clean = given(vlm, False), given(vlm, True)
    clean = replace(clean, policy=clean.policy._replace(noised=clean.policy.noised - 1))
    spec = weigh_spec(vlm, {"noised": noised, "clean": clean}, SCENES, [1, 0])
    second, first = spec["pairs"]
    assert [w for w, *_ in first["chosen"]] == ["a", "red", "cup", "."]
    assert [w for w, *_ in second["chosen"]] == ["a", "red", "cup"]
    assert [w for w, *_ in first["rejected"]] == ["a", "blue", "cup", "here", "."]
    assert [same for *_, same in first["chosen"]] == [True, False, False, False]
    assert [same for *_, same in first["rejected"]] == [True, False, False, False, False]
    for view, answers in (("noised", noised), ("clean", clean)):
        assert [(w, same) for w, _, _, same in first["noised"][view]] == [
            ("a", True),
            ("red", True),
            ("fork", False),
            (".", True),
        ]
        assert [p for _, p, *_ in second["noised"][view]] == pytest.approx(
            answers.policy.noised[1, :3].tolist(), abs=1e-4
        )
    for side in ("chosen", "rejected"):
        length = len(second[side])
        assert [p for _, p, *_ in second[side]] == pytest.approx(
            getattr(noised.policy, side)[1, :length].tolist(), abs=1e-4
        )
        assert [p for _, _, p, _ in second[side]] == pytest.approx(
            getattr(noised.reference, side)[1, :length].tolist(), abs=1e-4
        )
    assert first["names"] == list(SCENES[0].seen)
    assert first["title"].startswith("2. ")
