"""The widget's specification, and its answers from a kernel."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from povid_lib import models
from povid_lib.analysis import attention, exact_policy, occlusion
from povid_lib.analysis.next_word import dilemmas
from povid_lib.data.pairs import Change, Pair
from povid_lib.pocket.data import pixels
from povid_lib.widgets.beta import beta_spec
from povid_lib.widgets.look import Look, look_spec
from povid_lib.widgets.noise import noise_spec
from povid_lib.widgets.pairs import pairs_spec
from povid_lib.widgets.where import WordInAnswer, quantised, where_spec
from povid_lib.world.captions import PROMPT, mentioned
from povid_lib.world.patches import own_patches
from povid_lib.world.scenes import draw, scenes

SCENES = list(scenes(2, split="validation"))


def test_spec_holds_the_models_own_answer(vlm):
    spec = look_spec(vlm, SCENES, ["one", "two"])
    for row, scene in zip(spec["scenes"], SCENES, strict=True):
        [answer] = models.generate(vlm, [scene.image()], spec["question"])
        assert "".join(spec["vocabulary"][i] for i in row["answer"]).strip() == answer.text
        assert np.allclose(row["probs"], np.exp(answer.logprobs), atol=1e-3)
        picture = Image.open(io.BytesIO(base64.b64decode(row["png"].split(",")[1])))
        assert (np.asarray(picture) == draw(scene)[0]).all()
    assert set(spec["objects"].values()) >= {"fork", "knife"}


def test_kernel_answers_with_the_models_logits(vlm, monkeypatch):
    widget, sent = Look(vlm, SCENES, ["one", "two"]), []
    monkeypatch.setattr(widget, "send", lambda content, buffers: sent.append((content, buffers)))
    row = widget.spec["scenes"][0]
    ids = row["prompt"] + row["answer"]
    array = pixels([draw(SCENES[0])[0]])
    widget._reply(None, {"request": 3, "ids": ids}, [array.numpy().tobytes()])
    [(content, [buffer])] = sent
    with torch.inference_mode():
        want = vlm.model(input_ids=torch.tensor([ids]), pixel_values=array).logits
    assert content == {"request": 3}
    assert np.allclose(np.frombuffer(buffer, np.float32), want.numpy().ravel(), atol=1e-5)


def test_large_models_are_refused(vlm):
    big = models.VLM("big", vlm.model, vlm.processor)
    config = vlm.model.config.text_config
    old, config.hidden_size = config.hidden_size, 4096
    try:
        with pytest.raises(ValueError, match="too large"):
            look_spec(big, SCENES, ["one", "two"])
    finally:
        config.hidden_size = old


def test_noise_spec_starts_at_the_picture_and_marks_what_changes(vlm):
    asked = dilemmas(list(scenes(30, split="validation")))[:2]
    spec = noise_spec(vlm, asked, (0, 999), top=4)
    for d, row in zip(asked, spec["scenes"], strict=True):
        clear, noisy = row["views"]
        assert [len(v["tokens"]) for v in row["views"]] == [len(row["labels"])] * 2
        assert all((sort == "same") == (a == b) for a, (b, sort) in zip(row["labels"], clear["tokens"], strict=True))
        same = [sum(sort == "same" for _, sort in v["tokens"]) for v in row["views"]]
        assert same[1] < same[0]
        assert [p for _, p, _ in clear["next"]] == sorted((p for _, p, _ in clear["next"]), reverse=True)
        for word, _, what in clear["next"] + noisy["next"]:
            assert (what == "missing companion") == (mentioned(word) == [d.companion])
            assert (what == "the truth") == (mentioned(word) == [d.truth])


def test_pairs_spec_marks_the_words_that_differ_and_says_which_answer_is_false():
    pair = Pair("1", "x.png", "What?", "A red cup.", "A blue cup.", (Change("attribute", "red", "blue"),))
    (row,) = pairs_spec([pair], SCENES[:1], ["hard"])["pairs"]
    assert row["answers"][1 - row["false"]] == [["A", False], ["red", True], ["cup.", False]]
    assert row["answers"][row["false"]] == [["A", False], ["blue", True], ["cup.", False]]
    assert row["changes"] == [["attribute", "red", "blue"]]
    assert row["label"] == "hard"


def test_beta_spec_holds_the_exact_optima():
    space = exact_policy.space(("fork", "cup"), 2)
    reference = exact_policy.logps(
        space, torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )
    reward = torch.tensor([1.0, -1, 0.5, 0, 0, -1.5], dtype=torch.float64)
    texts, lies = [" ".join(a) for a in space.answers], ["cup" in a for a in space.answers]
    spec = beta_spec(texts, lies, reference, reward, top=4, stops=5)
    shown = [texts.index(answer["text"]) for answer in spec["answers"][:-1]]
    assert len(spec["views"]) == 5
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
    assert spec["answers"][-1]["text"] == "2 others together"
    assert spec["best"] == 1
    assert texts.index("fork") in shown  # the best answer is always among those shown


def test_neither_place_nor_order_tells_which_answer_is_false():
    pairs = [Pair(str(i), "x.png", f"{i}?", "A cup.", "A fork.") for i in range(40)]
    rows = pairs_spec(pairs, SCENES[:1] * 40, [str(i) for i in range(40)])["pairs"]
    assert 10 < sum(row["false"] for row in rows) < 30
    assert [row["label"] for row in rows] != [str(i) for i in range(40)]
    assert all(row["prompt"] == f"{row['label']}?" for row in rows)  # nothing was mixed between pairs
    assert all([word for word, _ in row["answers"][row["false"]]] == ["A", "fork."] for row in rows)
    again = pairs_spec(pairs, SCENES[:1] * 40, [str(i) for i in range(40)])["pairs"]
    other = pairs_spec(pairs, SCENES[:1] * 40, [str(i) for i in range(40)], seed=1)["pairs"]
    assert again == rows != other


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
    assert view["probs"] == pytest.approx(
        occlusion.logps_without(vlm, scene.image(), PROMPT, caption, name, hidden).exp(), abs=1e-3
    )
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
