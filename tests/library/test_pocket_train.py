"""The recipe, at a size of seconds: losses by hand, what moves and what must not, and exact resumption."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from povid_lib import pocket, pocket_train
from povid_lib.pocket_data import answer_weights, by_length, conversation, encode_chat, pad, patch_labels
from povid_lib.pocket_train import InstructionData, PocketConfig, train
from povid_lib.scenes import NAMES, SIDE, Item, Scene, World, draw, scenes
from povid_lib.texts import Annotator, Question

TINY = PocketConfig(steps=(4, 4, 2, 4, 3), pairs=60, habit_pairs=30, batch_sizes=(6, 6, 6, 6, 6))


@pytest.fixture(scope="module")
def tokenizer():
    return pocket.build_tokenizer()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return train(TINY, folder)


def test_a_killed_run_goes_on_exactly_where_it_was(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(pocket_train, "SAVE_EVERY", 1)
    for stage, at in (("eyes", 2), ("prior", 3), ("instruct", 1), ("habit", 2)):
        real_fit = pocket_train.fit

        def dying(name, model, loss_at, *args, _stage=stage, _at=at, _fit=real_fit, **kwargs):
            def loss_or_die(step):
                if name == _stage and step == _at:
                    raise KeyboardInterrupt
                return loss_at(step)

            return _fit(name, model, loss_or_die, *args, **kwargs)

        monkeypatch.setattr(pocket_train, "fit", dying)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, tmp_path)
        monkeypatch.setattr(pocket_train, "fit", real_fit)
    train(TINY, tmp_path)
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(finished / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_each_stage_trains_its_part_only(finished):
    stages = {s: load_file(finished / f"{s}.safetensors") for s in pocket_train.STAGES}
    assert all("multi_modal_projector" in k for k in stages["align"])
    assert not any("vision_tower" in k for s in ("prior", "align", "instruct", "habit") for k in stages[s])
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
        ({"pairs": 0}, "at least 1"),
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
    assert (labels["kind"][0] == 0).all()
    assert (labels["colour"][0] == -100).all()


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
    assert ids.count(pocket.IMAGE) == 36
    assert tokenizer.decode([i for i, a in zip(ids, answers, strict=True) if a == 1]) == " Yes.</s>"
    assert tokenizer.decode([i for i, a in zip(ids, answers, strict=True) if a == 2]) == " Two.</s>"


@pytest.mark.parametrize("balanced", [True, False])
def test_conversations_ask_after_present_and_absent_objects(balanced):
    rng, counts = np.random.default_rng(0), []
    for scene in scenes(300, World()):
        exist = [q for q in conversation(scene, Annotator(), rng, balanced=balanced) if q.kind == "exist"]
        assert all((q.about in scene.names) == (q.answer == "Yes.") for q in exist)
        if len(scene.names) >= 4:
            counts.append(sum(q.answer == "Yes." for q in exist))
            assert len(exist) == 4
    assert abs(np.mean(counts) - 2) < 0.3
    assert (len(set(counts)) == 1) == balanced


def test_instruction_loss_equals_the_plain_computation(tokenizer):
    """Features cached and chunked by length, against the whole model on one row at a time."""
    torch.manual_seed(0)
    model = pocket.build_model(len(tokenizer))
    data = InstructionData(model, tokenizer, TINY, "instruct")
    data.features = data.features.float()
    fast = data.loss(model, 0)
    order = pocket_train._rng(TINY, "instruct", 2_000_000).permutation(60)[:6]
    total = weights = 0.0
    for k, i in enumerate(order):
        ids, answers = data.rows[i][k % 2]
        seen = model.model.multi_modal_projector(data.features[i])
        embeds = model.get_input_embeddings()(torch.tensor([ids]))
        embeds[0, torch.tensor(ids) == pocket.IMAGE] = seen
        logits = model(inputs_embeds=embeds).logits[0]
        for t in range(1, len(ids)):
            if answers[t]:
                w = answers.count(answers[t]) ** -0.5
                total += w * float(F.cross_entropy(logits[t - 1], torch.tensor(ids[t])).detach())
                weights += w
    assert float(fast.detach()) == pytest.approx(total / weights, rel=1e-5)


def test_text_losses_equal_the_plain_computation(tokenizer):
    torch.manual_seed(0)
    model = pocket.build_model(len(tokenizer))
    rows = [[1, 50, 60, 70, 2], [1, 80, 2]]
    tokens, mask = pad(rows, pocket.PAD)
    weights = torch.tensor([[0, 0, 1.0, 0.5, 0.5], [0, 2.0, 0, 0, 0]])
    total = 0.0
    for row, weight in zip(rows, weights, strict=True):
        logps = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        total -= sum(float(weight[t] * logps[t - 1, row[t]].detach()) for t in range(1, len(row)))
    got = pocket_train._weighted_loss(model, tokens, mask, weights)
    assert float(got.detach()) == pytest.approx(total / 4, rel=1e-5)
