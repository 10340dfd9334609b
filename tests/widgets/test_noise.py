"""Noise: what is shown at a step is what the model says there."""

from povid_lib.analysis.next_word import dilemmas
from povid_lib.widgets.noise import noise_spec
from povid_lib.world.captions import mentioned
from povid_lib.world.scenes import scenes


def test_noise_spec_starts_at_the_picture_and_marks_what_changes(vlm):
    asked = dilemmas(list(scenes(30, split="validation")))[:2]
    spec = noise_spec(vlm, asked, (0, 999))
    for d, row in zip(asked, spec["scenes"], strict=True):
        clear, noisy = row["views"]
        assert [len(v["tokens"]) for v in row["views"]] == [len(row["labels"])] * 2
        assert all((sort == "same") == (a == b) for a, (b, sort) in zip(row["labels"], clear["tokens"], strict=True))
        same = [sum(sort == "same" for _, sort in v["tokens"]) for v in row["views"]]
        assert same[1] < same[0]
        assert len(clear["next"]) == 6
        assert [p for _, p, _ in clear["next"]] == sorted((p for _, p, _ in clear["next"]), reverse=True)
        for word, _, what in clear["next"] + noisy["next"]:
            assert (what == "missing partner") == (mentioned(word) == [d.companion])
            assert (what == "the truth") == (mentioned(word) == [d.truth])
