"""The harness of every measurement in the pocket world."""

import pytest

from povid_lib.evaluation.held_out import ask, captions, held_out, listen
from povid_lib.metrics.files import read_answers, read_captions
from povid_lib.world.captions import PROMPT
from povid_lib.world.questions import polls

BATCH = held_out("typical", 5)
SEEN = {scene.image().tobytes(): i for i, scene in enumerate(BATCH)}


def echo(_vlm, pictures, prompts):
    """Which picture was shown, and what was asked."""
    return [f"{SEEN[p.tobytes()]}: {prompt}" for p, prompt in zip(pictures, prompts, strict=True)]


def test_every_scene_is_asked_its_own_questions():
    heard = listen(None, BATCH, ("popular",), n=2, decode=echo)
    assert heard.captions == [f"{i}: {PROMPT}" for i in range(5)]
    polled = heard.polls["popular"]
    assert list(heard.polls) == ["popular"]
    assert polled.questions == [polls(scene, "popular", 2) for scene in BATCH]
    assert polled.answers == [[f"{i}: {q.prompt}" for q in row] for i, row in enumerate(polled.questions)]
    assert polled.truths == [
        [q.about in scene.names for q in row] for scene, row in zip(BATCH, polled.questions, strict=True)
    ]


def test_captions_are_scored_against_their_own_scene():
    texts = [f"A {name}." for scene in BATCH for name in scene.names[:1]]
    heard = listen(None, BATCH, (), decode=lambda *_: texts)
    assert [s.hallucinated for s in heard.scores] == [()] * 5
    shifted = listen(None, BATCH, (), decode=lambda *_: [*texts[1:], "A fork and a whale."])
    assert any(s.hallucinated for s in shifted.scores)


def test_other_pictures_can_take_the_place_of_the_scenes():
    assert captions(None, BATCH, [s.image() for s in BATCH[::-1]], decode=echo)[0] == f"4: {PROMPT}"


def test_what_is_kept_is_not_asked_again(tmp_path):
    asked = []

    def counted(vlm, pictures, prompts):
        asked.extend(prompts)
        return echo(vlm, pictures, prompts)

    first = listen(None, BATCH, ("random", "popular"), decode=counted, keep=tmp_path)
    number = len(asked)
    assert listen(None, BATCH, ("random", "popular"), decode=counted, keep=tmp_path) == first
    assert len(asked) == number
    assert list(read_captions(tmp_path / "captions.jsonl").values()) == first.captions
    rows = first.polls["popular"].answers
    assert read_answers(tmp_path / "pope_popular.jsonl") == {
        f"{i}-{k}": text for i, row in enumerate(rows) for k, text in enumerate(row)
    }


def test_bad_input():
    with pytest.raises(ValueError, match="polls: setting is 'hard'; choose one of random, popular, adversarial"):
        listen(None, BATCH, ("hard",), decode=echo)
    with pytest.raises(ValueError, match="shorter"):
        ask(None, BATCH, [[]], echo)


@pytest.mark.parametrize("n", [0, -1])
def test_no_scene_is_no_measurement(n):
    with pytest.raises(ValueError, match=f"held_out: n is {n}; ask for one scene or more"):
        held_out("typical", n)
