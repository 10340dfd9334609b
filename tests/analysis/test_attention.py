"""Attention on models whose attention is known, against slower ways to the same numbers, and occlusion on one object."""

import copy

import numpy as np
import pytest
import torch
from transformers import AttentionInterface
from transformers.models.llama.modeling_llama import eager_attention_forward

from povid_lib import models
from povid_lib.analysis import attention, occlusion
from povid_lib.evaluation.held_out import held_out
from povid_lib.pocket import architecture
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import PROMPT
from povid_lib.world.items import Item
from povid_lib.world.patches import own_patches
from povid_lib.world.scenes import Scene

ANSWER = "There is a red cup on the left."
PICTURE = held_out("typical", 1)[0].image()
CHOSEN, HEAD = 22, 4  # the image token and the head that the constructed model attends with


def made(vlm, layers=2, seed=0):
    """An untrained model with so many layers, and the pocket model's processor."""
    torch.manual_seed(seed)
    config = architecture.llava_config(len(vlm.processor.tokenizer))
    config.text_config.num_hidden_layers = layers
    return models.VLM("made", architecture.LlavaForConditionalGeneration(config).eval(), vlm.processor)


@torch.no_grad()
def known(vlm, asking="a"):
    """Two layers that change nothing. Attention is even, but in the second one head looks from the word ``asking`` at one patch."""
    found = made(vlm)
    model = found.model.model
    for layer in model.language_model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.v_proj, layer.mlp.down_proj):
            part.weight.zero_()
    for layer in model.vision_tower.encoder.layers:  # what is left of the tower: the embedding of places, normalised
        for part in (layer.self_attn.out_proj, layer.mlp.fc2):
            part.weight.zero_()
            part.bias.zero_()
    embeddings = model.vision_tower.embeddings
    embeddings.patch_embedding.weight.zero_()
    embeddings.position_embedding.weight.zero_()
    embeddings.position_embedding.weight[CHOSEN + 1, 0] = 1  # place 0 is the class token's
    for part, out, into in ((model.multi_modal_projector.linear_1, 0, 0), (model.multi_modal_projector.linear_2, 1, 0)):
        part.weight.zero_()
        part.bias.zero_()
        part.weight[out, into] = 1
    words = model.language_model.embed_tokens.weight
    words.zero_()
    words[:, 0] = 1
    words[models.word_tokens(found, asking)[0], :3] = torch.tensor([0.0, 0, 1])
    slow = 32 * HEAD + 15  # of a head's 16 pairs the one that turns least with the place
    last = model.language_model.layers[1].self_attn
    last.k_proj.weight.zero_()
    last.q_proj.weight[slow, 2], last.k_proj.weight[slow, 1] = 20, 20
    return found


def uniform(length):
    return torch.tril(torch.ones(length, length)) / torch.arange(1, length + 1)[:, None]


def test_uniform_attention_gives_the_image_its_share_of_the_visible_places(vlm):
    even = made(vlm)
    with torch.no_grad():
        for layer in even.model.model.language_model.layers:
            layer.self_attn.q_proj.weight.zero_()
    reading = attention.read(even, PICTURE, PROMPT, ANSWER)
    visible = torch.arange(reading.first, reading.first + len(reading.tokens)).float()
    said = torch.arange(len(reading.tokens)).float()
    got = attention.shares(reading)
    assert got.shape == (2, 6, len(reading.tokens), 3)
    assert torch.allclose(got[..., 0], (36 / visible).expand(2, 6, -1), atol=1e-6)
    assert torch.allclose(got[..., 1], ((visible - said - 36) / visible).expand(2, 6, -1), atol=1e-6)
    assert torch.allclose(got[..., 2], (said / visible).expand(2, 6, -1), atol=1e-6)
    assert torch.allclose(attention.patch_map(reading, [3]), torch.full((6, 6), 1 / float(visible[3])), atol=1e-6)


def test_the_row_read_for_a_word_is_that_of_the_place_before_it(vlm):
    """The model looks at one patch from "a"; what it predicts there is the next word, "red"."""
    looks = known(vlm)
    at = {word: attention.word_map(looks, PICTURE, PROMPT, ANSWER, word, layer=1) for word in ("a", "red", "cup")}
    assert at["red"].argmax() == CHOSEN
    assert at["red"].flatten()[CHOSEN] > 1 / 6
    for word in ("a", "cup"):
        assert at[word].max() - at[word].min() < 1e-6


def test_layer_is_the_one_asked_for_and_heads_are_in_their_order(vlm):
    reading = attention.read(known(vlm), PICTURE, PROMPT, ANSWER)
    at = attention.word_places(vlm, PROMPT, ANSWER, "red")[0]
    for layer in range(2):
        looked = reading.rows[layer, :, at][:, reading.image][:, CHOSEN]
        assert [float(share) > 0.99 for share in looked] == [(layer, head) == (1, HEAD) for head in range(6)]
        mean = attention.patch_map(reading, [at], layer=layer).flatten()[CHOSEN]
        assert float(mean) == pytest.approx(float(looked.mean()), abs=1e-6)


def test_rollout_by_hand_on_two_layers(vlm):
    looks = known(vlm)
    reading = attention.read(looks, PICTURE, PROMPT, ANSWER)
    place = attention.word_places(vlm, PROMPT, ANSWER, "red")[0]
    asked, patch = reading.first + place - 1, reading.image.start + CHOSEN
    n = asked + 1  # visible places
    # the second layer looks 1/6 at the patch and 5/6 evenly; half stays in each layer; the first layer is even
    even = (
        sum(1 / (k + 1) for k in range(patch, n)) / n
    )  # mean over the visible of what the first layer makes of the patch
    by_hand = (
        (1 / 6 * (1 + 1 / (patch + 1)) + 5 / 6 * (1 / n + even))
        / 4  # mixed in the second layer, kept or mixed in the first
        + 1 / n / 4  # kept in the second, mixed in the first
    )
    assert float(reading.rolled[place, patch]) == pytest.approx(by_hand, rel=1e-3)
    assert torch.allclose(reading.rolled.sum(-1), torch.ones(len(reading.tokens)), atol=1e-5)
    assert attention.patch_map(reading, [place], "rollout").argmax() == CHOSEN


def test_one_layer_more_of_rollout():
    weights, before = torch.tensor([[1.0, 0], [0.4, 0.6]]), torch.tensor([[1.0, 0], [0.5, 0.5]])
    assert torch.allclose(attention.rolled_on(weights, before), torch.tensor([[1.0, 0], [0.6, 0.4]]))


def test_rows_sum_to_one_and_log_probabilities_are_those_of_sdpa(vlm):
    reading = attention.read(vlm, PICTURE, PROMPT, ANSWER)
    assert torch.allclose(reading.rows.sum(-1), torch.ones(reading.rows.shape[:-1]), atol=1e-5)
    assert torch.allclose(attention.shares(reading).sum(-1), torch.ones(reading.rows.shape[:-1]), atol=1e-5)
    assert vlm.model.model.language_model.config._attn_implementation == "sdpa"
    (logps,) = models.answer_logps(vlm, [PICTURE], [PROMPT], [ANSWER])
    assert torch.allclose(reading.logps, logps, atol=1e-4)
    assert "".join(reading.tokens).strip() == ANSWER
    with torch.inference_mode():
        batch = models.encode(vlm, [PICTURE], [models.chat(vlm, PROMPT)])
        fast = vlm.model(**batch).logits
        with attention.eager(vlm):
            assert vlm.model.model.language_model.config._attn_implementation == "eager"
            slow = vlm.model(**batch).logits
    assert torch.allclose(fast, slow, atol=1e-4)


def test_rows_are_those_that_the_model_itself_gives_out(vlm):
    reading = attention.read(vlm, PICTURE, PROMPT, ANSWER)
    batch = models.encode(vlm, [PICTURE], [f"{models.chat(vlm, PROMPT)} {ANSWER}"])
    with torch.inference_mode(), attention.eager(vlm):
        every = torch.cat(vlm.model(**batch, output_attentions=True).attentions)
    assert torch.allclose(reading.rows, every[:, :, reading.first - 1 : -1], atol=1e-6)


def test_attention_is_set_back_and_hooks_taken_off_after_an_error(vlm):
    with pytest.raises(RuntimeError, match="stop"), attention.eager(vlm):
        raise RuntimeError("stop")
    assert vlm.model.model.language_model.config._attn_implementation == "sdpa"

    def hooks():
        layers = vlm.model.model.language_model.layers
        return [len(layer._forward_pre_hooks) + len(layer.self_attn._forward_hooks) for layer in layers]

    before = hooks()
    for kind in ("raw", "gradient"):
        attention.word_map(vlm, PICTURE, PROMPT, ANSWER, "cup", kind)
    assert hooks() == before
    assert all(parameter.grad is None for parameter in vlm.model.parameters())


@pytest.mark.slow
def test_gradient_weights_equal_finite_differences(vlm):
    """One layer: the map is the mean over heads of the positive part of weight times slope, and a slope can be tried out."""
    one = made(vlm, layers=1)
    batch = models.encode(one, [PICTURE], [f"{models.chat(one, PROMPT)} {ANSWER}"])
    reading = attention.read(one, PICTURE, PROMPT, ANSWER)
    (place,) = attention.word_places(one, PROMPT, ANSWER, "cup")
    row = reading.first - 1 + place
    word = batch["input_ids"][0, row + 1]
    one.model.double()
    nudge = torch.zeros(1, 6, batch["input_ids"].shape[1], batch["input_ids"].shape[1], dtype=torch.float64)

    def nudged(module, query, key, value, mask, scaling, dropout=0.0, **_):
        weights = eager_attention_forward(module, query, key, value, mask, scaling)[1] + nudge
        return (weights @ value).transpose(1, 2).contiguous(), weights

    AttentionInterface.register("nudged", nudged)
    one.model.set_attn_implementation({"text_config": "nudged"})
    causal = torch.full(nudge.shape[2:], float("-inf"), dtype=torch.float64).triu(1)[None, None]
    batch["pixel_values"], batch["attention_mask"] = batch["pixel_values"].double(), causal
    by_hand = torch.zeros(36)
    with torch.inference_mode():
        for patch in range(36):
            for head in range(6):
                ends = []
                for step in (3e-3, -3e-3):
                    nudge[0, head, row, reading.image.start + patch] = step
                    ends.append(float(one.model(**batch).logits[0, row, word]))
                nudge.zero_()
                slope = (ends[0] - ends[1]) / 6e-3
                by_hand[patch] += max(0.0, slope * float(reading.rows[0, head, place, reading.image][patch])) / 6
    one.model.set_attn_implementation({"text_config": "sdpa"})
    one.model.float()
    got = attention.word_map(one, PICTURE, PROMPT, ANSWER, "cup", "gradient")
    assert by_hand.max() > 0
    assert torch.allclose(got.flatten(), by_hand, rtol=1e-2, atol=1e-3 * float(by_hand.max()))


def test_gradient_map_through_all_layers_equals_the_way_that_keeps_everything(vlm):
    batch = models.encode(vlm, [PICTURE], [f"{models.chat(vlm, PROMPT)} {ANSWER}"])
    reading = attention.read(vlm, PICTURE, PROMPT, ANSWER)
    (place,) = attention.word_places(vlm, PROMPT, ANSWER, "cup")
    row = reading.first - 1 + place
    with attention.eager(vlm):
        out = vlm.model(**batch, output_attentions=True)
        slopes = torch.autograd.grad(out.logits[0, row, batch["input_ids"][0, row + 1]], out.attentions)
    relevance = torch.eye(batch["input_ids"].shape[1])
    for weights, slope in zip(out.attentions, slopes, strict=True):
        relevance = relevance + (weights * slope)[0].clamp(min=0).mean(0).detach() @ relevance
    got = attention.word_map(vlm, PICTURE, PROMPT, ANSWER, "cup", "gradient")
    assert torch.allclose(got.flatten(), relevance[row, reading.image], rtol=1e-4, atol=1e-7)


def test_a_words_tokens_are_found_and_summed(vlm):
    answer = "A cup, a zebrafish and a cupboard. The zebrafish is red."
    places = attention.word_places(vlm, PROMPT, answer, "zebrafish")
    reading = attention.read(vlm, PICTURE, PROMPT, answer)
    assert len(places) > 1
    assert "".join(reading.tokens[i] for i in places).strip() == "zebrafish"
    again = attention.word_places(vlm, PROMPT, answer, "Zebrafish", nth=1)
    assert again[0] > places[-1]
    assert [reading.tokens[i].strip() for i in attention.word_places(vlm, PROMPT, answer, "cup")] == ["cup"]
    whole = attention.word_map(vlm, PICTURE, PROMPT, answer, "zebrafish")
    parts = [attention.patch_map(reading, [i]) for i in places]
    assert torch.allclose(whole, sum(parts), atol=1e-6)


def test_raw_attention_is_the_same_whichever_word_follows_and_the_gradient_is_not(vlm):
    """What the module's head says: the row that predicts a word ends before it."""
    other = ANSWER.replace("cup", "car")
    for kind in ("raw", "rollout", "gradient"):
        one = attention.word_map(vlm, PICTURE, PROMPT, ANSWER, "cup", kind)
        two = attention.word_map(vlm, PICTURE, PROMPT, other, "car", kind)
        assert torch.allclose(one, two, atol=1e-6) == (kind != "gradient")


def test_shares_on_patches_and_rank_correlation():
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert occlusion.share_on(weights, torch.tensor([[True, False], [False, True]])) == pytest.approx(0.5)
    assert occlusion.rank_correlation(weights, weights**3) == pytest.approx(1)
    assert occlusion.rank_correlation(weights, -weights) == pytest.approx(-1)
    assert occlusion.rank_correlation(weights, torch.tensor([[1.0, 3.0], [2.0, 4.0]])) == pytest.approx(0.8)


@pytest.mark.slow
def test_another_grid_shared_keys_and_bfloat16(vlm):
    """As LLaVA-1.5 differs from the pocket model: more patches, pictures that are cropped, half precision; and grouped keys."""
    torch.manual_seed(0)
    processor = copy.deepcopy(vlm.processor)
    processor.image_processor.size, processor.image_processor.do_center_crop = {"shortest_edge": 128}, True
    processor.image_processor.crop_size = {"height": 128, "width": 128}
    config = architecture.llava_config(len(processor.tokenizer))
    config.vision_config.image_size, config.text_config.num_key_value_heads = 128, 2
    model = architecture.LlavaForConditionalGeneration(config).eval().to(torch.bfloat16)
    other = models.VLM("other", model, processor)
    wide = PICTURE.resize((300, 140))
    reading = attention.read(other, wide, PROMPT, ANSWER)
    assert reading.image.stop - reading.image.start == 64
    assert torch.allclose(reading.rows.sum(-1), torch.ones(reading.rows.shape[:-1]), atol=0.02)
    for kind in ("raw", "rollout", "gradient"):
        seen = attention.word_map(other, wide, PROMPT, ANSWER, "cup", kind)
        assert seen.shape == (8, 8)
        assert seen.min() >= 0
        assert seen.max() > 0
    assert occlusion.occlusion_map(other, wide, PROMPT, ANSWER, "cup", 4).shape == (8, 8)


# --- occlusion on the real pocket model --------------------------------------------------------------------------


def lone(name, size, cell):
    """A scene with one object alone, in the middle of a cell."""
    place = (cell % 3 * 32 + 16, cell // 3 * 32 + 16)
    return Scene(("test", "typical", 0), (Item(name, size, None, (cell,), (place,)),), edition="second")


@pytest.mark.parametrize(
    ("name", "size", "cell", "window"),
    [("apple", "medium", 2, 1), ("cow", "medium", 5, 2), ("fork", "medium", 0, 2)],
)
def test_the_patches_that_matter_are_the_objects_own(vlm, name, size, cell, window):
    scene = lone(name, size, cell)
    caption = true_caption(scene, np.random.default_rng(0))
    own = own_patches(scene, name)
    lost = occlusion.occlusion_map(vlm, scene.image(), PROMPT, caption, name, window)
    assert own.flatten()[lost.argmax()]
    near = torch.nn.functional.max_pool2d(own[None, None].float(), 2 * window - 1, 1, window - 1)[0, 0].bool()
    assert (
        lost[own].mean() > 2 * lost[~near].max()
    )  # a window of several patches that holds a part of it lies about it, too
    elsewhere = torch.roll(own, 3, (1,))
    assert not (elsewhere & own).any()
    hidden = torch.stack([torch.zeros_like(own), own, elsewhere])
    clear, without, control = occlusion.logps_without(vlm, scene.image(), PROMPT, caption, name, hidden)
    assert clear - without > 1
    assert abs(clear - control) < 0.2


def test_a_patch_has_the_mean_over_the_windows_that_hold_it(vlm):
    scene = lone("apple", "medium", 2)
    asked = (vlm, scene.image(), PROMPT, "There is an apple.", "apple")
    hidden = torch.zeros(5, 6, 6, dtype=torch.bool)
    hidden[1, :2, 4:] = hidden[2, :2, 3:5] = hidden[3, 1:3, 3:5] = hidden[4, 1:3, 4:] = True
    clear, *without = occlusion.logps_without(*asked, hidden).tolist()
    lost = occlusion.occlusion_map(*asked, window=2)
    assert float(lost[0, 5]) == pytest.approx(
        clear - without[0], abs=1e-4
    )  # one window holds a corner, four the patch below it
    assert float(lost[1, 4]) == pytest.approx(clear - sum(without) / 4, abs=1e-4)


def test_nothing_hidden_is_the_words_log_probability_and_hidden_takes_the_colour_given(vlm):
    answer = "There is a zebrafish."
    hidden = torch.zeros(3, 6, 6, dtype=torch.bool)
    hidden[1:] = True
    flat = held_out("typical", 1)[0].blank()
    read = occlusion.logps_without(vlm, PICTURE, PROMPT, answer, "zebrafish", hidden[:2], fill=flat, batch_size=1)
    places = attention.word_places(vlm, PROMPT, answer, "zebrafish")
    for got, picture in zip(read, (PICTURE, flat), strict=True):
        (logps,) = models.answer_logps(vlm, [picture], [PROMPT], [answer])
        assert float(got) == pytest.approx(float(logps[places].sum()), abs=1e-3)


def test_an_occluded_patch_has_the_pictures_mean_colour(vlm, monkeypatch):
    seen = []
    # as an item: setattr, undone on the shared instance, would leave the method behind as the instance's own
    monkeypatch.setitem(vars(vlm.model), "forward", lambda **batch: seen.append(batch["pixel_values"]) or stop())
    hidden = torch.zeros(1, 6, 6, dtype=torch.bool)
    hidden[0, 2, 4] = True
    with pytest.raises(KeyboardInterrupt):
        occlusion.logps_without(vlm, PICTURE, PROMPT, ANSWER, "cup", hidden)
    before = models.encode(vlm, [PICTURE], [models.chat(vlm, PROMPT)])["pixel_values"]
    want = copy.deepcopy(before)
    want[:, :, 32:48, 64:80] = before.mean((2, 3))[:, :, None, None]
    assert torch.allclose(seen[0], want)


def stop():
    raise KeyboardInterrupt


def test_a_constant_on_a_logit_moves_the_log_odds_by_itself():
    logits = torch.tensor([[0.3, -1.2, 2.0], [4.0, 0.1, -3.0]], dtype=torch.float64)
    moved = logits.clone()
    moved[:, 1] += 0.7
    shift = occlusion.log_odds(moved.log_softmax(-1)) - occlusion.log_odds(logits.log_softmax(-1))
    assert torch.allclose(shift[:, 1], torch.full((2,), 0.7, dtype=torch.float64), atol=1e-9)
    assert float(occlusion.log_odds(torch.tensor(0.5).log())) == pytest.approx(0, abs=1e-6)
    assert float(occlusion.log_odds(torch.tensor(0.0))) == pytest.approx(16.12, abs=0.01)
    with pytest.raises(ValueError, match="above 0"):
        occlusion.log_odds(torch.tensor([0.1]))
