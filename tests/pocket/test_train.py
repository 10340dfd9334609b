"""The recipe, at a size of seconds: losses by hand, what moves and what must not, and exact resumption."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from povid_lib.pocket import architecture, fit
from povid_lib.pocket import train as train_module
from povid_lib.pocket.config import PocketConfig
from povid_lib.pocket.data import answer_weights, by_length, conversation, encode_chat, pad
from povid_lib.pocket.train import InstructionData, train
from povid_lib.world.annotators import Annotator
from povid_lib.world.items import SIDE, Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.patches import patch_labels
from povid_lib.world.questions import Question
from povid_lib.world.scenes import Scene, draw, scenes
from povid_lib.world.worlds import World

pytestmark = pytest.mark.slow

TINY = PocketConfig(steps=(4, 4, 2, 4), pairs=60, batch_sizes=(6, 6, 6, 6))


@pytest.fixture(scope="module")
def tokenizer():
    return architecture.build_tokenizer()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return train(TINY, folder)


def test_a_killed_run_goes_on_exactly_where_it_was(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "SAVE_EVERY", 1)
    for stage, at in (("eyes", 2), ("prior", 3), ("align", 1), ("instruct", 1)):
        real_fit = train_module.fit

        def dying(name, model, loss_at, *args, _stage=stage, _at=at, _fit=real_fit, **kwargs):
            def loss_or_die(step):
                if name == _stage and step == _at:
                    raise KeyboardInterrupt
                return loss_at(step)

            return _fit(name, model, loss_or_die, *args, **kwargs)

        monkeypatch.setattr(train_module, "fit", dying)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, tmp_path)
        monkeypatch.setattr(train_module, "fit", real_fit)
    train(TINY, tmp_path)
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(finished / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_the_eyes_of_a_run_and_of_the_model_that_it_wrote_are_the_same(finished, tmp_path):
    """From a run's folder, and from a folder that holds only its model."""
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in finished.glob("*.json*"):
        shutil.copy(file, alone)
    shutil.copy(finished / "model.safetensors", alone)
    one, other = (train(TINY, tmp_path / str(i), folder) for i, folder in enumerate((finished, alone)))
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert not (other / "eyes.safetensors").exists()
    tower = {k: v for k, v in load_file(other / "model.safetensors").items() if "vision_tower" in k}
    assert tower
    assert all(torch.equal(v, load_file(finished / "model.safetensors")[k]) for k, v in tower.items())


def test_each_stage_trains_its_part_only(finished):
    stages = {s: load_file(finished / f"{s}.safetensors") for s in train_module.STAGES}
    assert all("multi_modal_projector" in k for k in stages["align"])
    assert not any("vision_tower" in k for s in ("prior", "align", "instruct") for k in stages[s])
    final = load_file(finished / "model.safetensors")
    for key, value in stages["eyes"].items():
        if key.startswith("clip.vision_model."):
            (same,) = [k for k in final if k.endswith("vision_tower." + key.removeprefix("clip.vision_model."))]
            assert torch.equal(final[same], value), key
    moved = [
        k
        for k in stages["instruct"]
        if k in stages["prior"] and not torch.equal(stages["prior"][k], stages["instruct"][k])
    ]
    assert any("language_model" in k for k in moved)


def test_log_and_config_are_kept(finished):
    assert json.loads((finished / "pocket_config.json").read_text())["pairs"] == 60
    assert (finished / "log.jsonl").exists()


def test_a_folder_of_another_config_is_refused(finished):
    with pytest.raises(ValueError, match="another config"):
        train(PocketConfig(seed=1), finished)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"annotator_error": -1}, "annotator_error"),
        ({"pairs": 0, "steps": (1, 1, 0, 1)}, "(?s)pairs is 0.*steps is .*at least 1"),
        ({"cooccurrence": -1}, "between 0 and 1.1"),
    ],
)
def test_bad_config(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        PocketConfig(**change)


def test_patch_labels_by_hand():
    scene = Scene(("test", "mixed", 0), (Item("car", "large", "red", (4,), ((40, 40),)),))
    labels = {k: v.reshape(6, 6) for k, v in patch_labels(scene, draw(scene)[1]).items()}
    assert labels["kind"][2, 2] == NAMES.index("car") + 1
    assert labels["colour"][2, 2] == 1
    assert labels["size"][2, 2] == 2
    assert (labels["count"][2, 2], labels["cell"][2, 2]) == (0, 4)
    assert (labels["kind"][0] == 0).all()
    assert all((labels[k][0] == -100).all() for k in ("colour", "size", "count", "cell"))


def test_patch_labels_of_objects_that_are_there_twice():
    scene = Scene(("test", "mixed", 0), (Item("fork", "large", cells=(0, 8), places=((16, 16), (80, 80))),))
    labels = patch_labels(scene, draw(scene)[1])
    held = labels["kind"] == NAMES.index("fork") + 1
    assert set(labels["count"][held]) == {1}
    assert set(labels["cell"][held]) == {-100}  # no single place


def test_thinly_covered_patches_are_ignored():
    owner = np.full((SIDE, SIDE), -1, dtype=np.int8)
    owner[0, :16], owner[0, 16:32] = 0, 0
    owner[1, 16:20] = 0  # 16 pixels in the first patch, 20 in the second
    scene = Scene(("test", "mixed", 0), (Item("car", colour="red"),))
    assert patch_labels(scene, owner)["kind"][:3].tolist() == [-100, NAMES.index("car") + 1, 0]


def test_answer_weights_by_hand():
    weights = answer_weights(torch.tensor([[0, 1, 1, 1, 1, 0, 2, 0]]))
    assert torch.allclose(weights, torch.tensor([[0, 0.5, 0.5, 0.5, 0.5, 0, 1, 0]]))


def test_pad_and_chunks():
    tokens, mask = pad([[5, 6, 7], [8]], 0)
    assert tokens.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert [c.tolist() for c in by_length([[1] * n for n in (3, 1, 2, 9)], 2)] == [[1, 2], [0, 3]]


def test_chat_marks_answers_and_nothing_else(tokenizer):
    questions = [Question("exist", "Is there a fork?", "Yes."), Question("count", "How many forks are there?", "Two.")]
    ids, answers = encode_chat(tokenizer, questions)
    assert ids.count(architecture.IMAGE) == 36
    assert tokenizer.decode([i for i, a in zip(ids, answers, strict=True) if a == 1]) == " Yes.</s>"
    assert tokenizer.decode([i for i, a in zip(ids, answers, strict=True) if a == 2]) == " Two.</s>"


def test_conversations_toss_a_coin_for_each_yes_no_question():
    rng, counts = np.random.default_rng(0), []
    for scene in scenes(300, World()):
        asked = conversation(scene, Annotator(), rng, turns=8)
        exist = [q for q in asked if q.kind == "exist"]
        assert all((q.about in scene.names) == (q.answer == "Yes.") for q in exist)
        others = [q.kind for q in asked if q.kind != "exist"]
        assert len(others) == len(set(others))
        if len(scene.names) >= 4:
            counts.append(sum(q.answer == "Yes." for q in exist))
            assert len(exist) == 4
    assert abs(np.mean(counts) - 2) < 0.3
    assert set(counts) == {0, 1, 2, 3, 4}


def test_numbers_are_asked_for_evenly_where_the_scene_allows():
    rng, said = np.random.default_rng(0), []
    for scene in scenes(600, World()):
        if {item.count for item in scene.items if KINDS[item.name].plural} == {1, 2}:
            said += [q.answer for q in conversation(scene, Annotator(), rng) if q.kind == "count"]
    assert abs(said.count("Two.") / len(said) - 0.5) < 4 * np.sqrt(0.25 / len(said))


def test_a_chat_about_a_text_learns_that_text_too(tokenizer):
    questions = [Question("exist", "Is there a fork?", "Yes.")]
    ids, answers = encode_chat(tokenizer, questions, context="There is a fork.")
    assert tokenizer.decode(ids) == "<s>USER: There is a fork. Is there a fork? ASSISTANT: Yes.</s>"
    assert ids[1:-1] == tokenizer.encode("USER: There is a fork. Is there a fork? ASSISTANT: Yes.")
    assert tokenizer.decode([i for i, a in zip(ids, answers, strict=True) if a == 2]) == " There is a fork."


def test_instruction_loss_equals_the_plain_computation(tokenizer):
    """Features cached and chunked by length, against the whole model on one row at a time."""
    torch.manual_seed(0)
    model = architecture.build_model(len(tokenizer))
    data = InstructionData(model, tokenizer, TINY)
    data.features = data.features.float()
    fast = data.loss(model, 0)
    order = train_module._rng(TINY, "instruct", 2_000_000).permutation(60)[:6]
    total = weights = 0.0
    for k, i in enumerate(order):
        ids, answers = data.rows[i][k % 2]
        seen = model.model.multi_modal_projector(data.features[i])
        embeds = model.get_input_embeddings()(torch.tensor([ids]))
        embeds[0, torch.tensor(ids) == architecture.IMAGE] = seen
        logits = model(inputs_embeds=embeds).logits[0]
        for t in range(1, len(ids)):
            if answers[t]:
                w = answers.count(answers[t]) ** -0.5
                total += w * float(F.cross_entropy(logits[t - 1], torch.tensor(ids[t])).detach())
                weights += w
    assert float(fast.detach()) == pytest.approx(total / weights, rel=1e-5)


def test_prior_loss_equals_the_plain_computation(tokenizer, monkeypatch):
    """Chunked by length, against one row at a time."""
    torch.manual_seed(0)
    model, rows = architecture.build_model(len(tokenizer)), []
    monkeypatch.setattr(train_module, "by_length", lambda ids, parts: by_length(rows.extend(ids) or ids, parts))
    seen = []
    monkeypatch.setattr(train_module, "answer_weights", lambda a: seen.append(answer_weights(a)) or seen[-1])
    got = train_module.prior_loss(model, tokenizer, TINY, 0)
    order = np.concatenate(by_length(rows, 3))
    flat = [row for weights in seen for row in weights]
    total = weight_sum = 0.0
    for i, weights in zip(order, flat, strict=True):
        logps = model(input_ids=torch.tensor([rows[i]])).logits[0].log_softmax(-1)
        total -= sum(float(weights[t] * logps[t - 1, rows[i][t]].detach()) for t in range(1, len(rows[i])))
        weight_sum += float(weights.sum())
    assert len(rows) == 6 + 3
    assert float(got.detach()) == pytest.approx(total / weight_sum, rel=1e-5)
