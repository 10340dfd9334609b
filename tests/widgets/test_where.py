"""Where: the maps in eight bits, and what the word depends on."""

import base64

import numpy as np
import pytest
import torch

from povid_lib.analysis import attention, occlusion
from povid_lib.widgets.where import WordInAnswer, quantised, where_spec
from povid_lib.world.captions import PROMPT
from povid_lib.world.patches import own_patches
from povid_lib.world.scenes import scenes


@pytest.mark.slow
def test_where_spec_holds_the_maps_in_eight_bits_and_what_the_word_depends_on(vlm):
    scene = next(s for s in scenes(20, split="validation") if len(s.items) == 1)
    (name,) = scene.names
    caption = f"There is a {name}."
    spec = where_spec(
        {"before": vlm}, [scene], [[WordInAnswer(caption, name, name), WordInAnswer("There is a fork.", "fork", name)]]
    )
    true, false = spec["scenes"][0]["words"]
    view = true["models"]["before"]
    for kind, want in (
        ("layer 2", attention.word_map(vlm, scene.image(), PROMPT, caption, name, layer=1)),
        ("rollout", attention.word_map(vlm, scene.image(), PROMPT, caption, name, "rollout")),
    ):
        largest, text = view["maps"][kind]
        got = np.frombuffer(base64.b64decode(text), np.uint8) / 255 * largest
        assert np.abs(got - want.flatten().numpy()).max() <= largest / 500
    own = own_patches(scene, name)
    hidden = torch.stack([own & False, own, own | True])
    logps = occlusion.logps_without(vlm, scene.image(), PROMPT, caption, name, hidden)
    assert view["odds"] == pytest.approx(occlusion.log_odds(logps).tolist(), abs=1e-3)
    assert view["share"][4] == pytest.approx(sum(view["share"][:4]) / 4, abs=1e-3)
    assert (true["true"], false["true"]) == (True, False)
    assert set(view["maps"]) == {
        *(f"layer {k}" for k in (1, 2, 3, 4)),
        "all layers",
        "rollout",
        "gradient",
        "occlusion",
    }
    with pytest.raises(ValueError, match="1 scenes and 0 rows"):
        where_spec({"before": vlm}, [scene], [])
    with pytest.raises(ValueError, match="below 0"):
        quantised(torch.tensor([-1.0]))
    assert quantised(torch.zeros(2))[0] == 0
