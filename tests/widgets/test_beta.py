"""Beta: every stop is the exact optimum."""

import numpy as np
import pytest
import torch

from povid_lib.analysis import exact_policy
from povid_lib.widgets.beta import beta_spec


def test_beta_spec_holds_the_exact_optima():
    space = exact_policy.space(("fork", "cup", "key"), 2)
    generator = torch.Generator().manual_seed(0)
    reference = exact_policy.logps(space, torch.randn(4, 4, dtype=torch.float64, generator=generator))
    reward = torch.randn(len(space), dtype=torch.float64, generator=generator)
    texts, lies = [" ".join(a) for a in space.answers], ["cup" in a for a in space.answers]
    spec = beta_spec(texts, lies, reference, reward)
    shown = [texts.index(answer["text"]) for answer in spec["answers"][:-1]]
    assert len(spec["views"]) == 31
    assert len(shown) == 9
    assert spec["views"][0]["beta"] is None
    assert spec["views"][0]["kl"] == 0
    assert [view["beta"] for view in spec["views"][1:]] == sorted((v["beta"] for v in spec["views"][1:]), reverse=True)
    for view in spec["views"]:
        policy = reference if view["beta"] is None else exact_policy.optimum(reference, reward, view["beta"])
        assert np.allclose(view["probs"][:-1], policy.exp()[shown], atol=1e-4)
        assert sum(view["probs"]) == pytest.approx(1, abs=1e-3)  # each is rounded to four digits
        assert view["reward"] == pytest.approx(float(policy.exp() @ reward), abs=1e-4)
        assert view["kl"] == pytest.approx(float(exact_policy.kl(policy, reference)), abs=1e-4)
        assert view["lies"] == pytest.approx(
            float(sum(p for p, lie in zip(policy.exp(), lies, strict=True) if lie)), abs=1e-4
        )
    for i, answer in zip(shown, spec["answers"], strict=False):
        assert answer == {"text": texts[i], "reward": float(reward[i]), "lie": lies[i]}
    assert spec["answers"][-1]["text"] == f"{len(space) - 9} others together"
    assert spec["best"] == float(reward.max())
    assert int(reward.argmax()) in shown  # the best answer is always among those shown
