"""The schedule against numbers worked out on paper and, where it is at hand, the field's file; the noise by its moments."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from povid_lib import models
from povid_lib.data.corrupt_image import (
    POVID_STEP,
    STEPS,
    alpha_bars,
    betas,
    cropped,
    diffuse,
    downscaled,
    eight_bit,
    flat,
    noised,
    patches_shuffled,
)
from povid_lib.training.config import POVIDConfig
from povid_lib.training.dispreference import (
    PAPER,
    RELEASED,
    ImageDispreference,
    dispreferred_tokens,
    image_tokens_masked,
    masked,
    noised_pixels,
)
from povid_lib.world.scenes import scenes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_schedule_at_its_ends_and_by_a_plain_loop():
    beta = [1 / (1 + math.exp(6 - 12 * i / 999)) * (0.005 - 0.00001) + 0.00001 for i in range(STEPS)]
    left = 1.0
    for i, b in enumerate(beta):
        left *= 1 - b
        assert betas()[i].item() == pytest.approx(b, abs=1e-12)
        assert alpha_bars()[i].item() == pytest.approx(left, abs=1e-12)
    assert alpha_bars()[POVID_STEP].sqrt().item() == pytest.approx(0.863, abs=5e-4)


@pytest.mark.skipif("POVID_REFERENCE" not in os.environ, reason="needs the reference folder (POVID_REFERENCE)")
def test_schedule_equals_the_reference_file():
    path = Path(os.environ["POVID_REFERENCE"], "expected", "vcd_noise_schedule.json")
    steps = json.loads(path.read_text())["steps"]
    assert len(steps) > 10
    for row in steps:
        left = alpha_bars()[row["t"]]
        assert betas()[row["t"]].item() == pytest.approx(row["beta"], abs=1e-6)
        assert left.sqrt().item() == pytest.approx(row["sqrt_alpha_bar"], abs=1e-6)
        assert (1 - left).sqrt().item() == pytest.approx(row["sqrt_one_minus_alpha_bar"], abs=1e-6)


@pytest.mark.parametrize("step", [0, 300, 500, 999])
def test_diffuse_has_the_mean_and_spread_of_its_step(step):
    y = diffuse(torch.full((200_000,), 0.7), step, seeded())
    left = alpha_bars()[step].item()
    assert y.mean().item() == pytest.approx(0.7 * left**0.5, abs=0.01)
    assert y.std().item() == pytest.approx((1 - left) ** 0.5, rel=0.01)


def test_noise_is_fresh_at_every_visit_and_follows_from_the_seed():
    image = Image.new("RGB", (32, 32), (90, 120, 200))
    generator = seeded()
    one, two = noised(image, 500, generator), noised(image, 500, generator)
    assert one.tobytes() != two.tobytes()
    assert noised(image, 500, seeded()).tobytes() == one.tobytes()


def test_whole_numbers_of_numpy_will_do():
    picture, step = Image.new("RGB", (8, 8), 90), np.arange(500, 501)[0]
    assert noised(picture, step, seeded()).tobytes() == noised(picture, 500, seeded()).tobytes()
    assert patches_shuffled(picture, np.int64(2), seeded()).size == downscaled(picture, np.int64(2)).size == (8, 8)


def test_the_first_step_leaves_the_picture_nearly_as_it_was():
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    after = np.asarray(noised(Image.fromarray(values), 0, seeded()))
    assert abs(after.astype(int) - values).mean() < 3


def test_eight_bits_wrap_as_in_the_released_code():
    values = np.array([-127.5, 280.5, 255.9, -0.5, 100.0])
    assert eight_bit(values, "wrap").tolist() == [129, 24, 255, 0, 100]
    assert eight_bit(values, "clamp").tolist() == [0, 255, 255, 0, 100]


def test_share_of_a_uniform_picture_that_wraps():
    """About 38% at step 500: the released code takes these modulo 256."""
    y = diffuse(torch.rand(200_000, generator=seeded(1)), 500, seeded(2))
    assert ((y < 0) | (y > 1)).float().mean().item() == pytest.approx(0.38, abs=0.01)


# --- other ways to weaken a picture ------------------------------------------------------------------------------

RAMP = Image.fromarray(np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3))


def test_flat_keeps_the_mean_and_nothing_else():
    got = np.asarray(flat(RAMP))
    assert got.shape == (12, 12, 3)
    assert np.ptp(got, axis=(0, 1)).max() == 0
    assert got[0, 0] == pytest.approx(np.asarray(RAMP).mean((0, 1)), abs=0.5)


def test_a_crop_of_everything_is_the_picture_and_a_quarter_is_enlarged():
    assert cropped(RAMP, 1, seeded()).tobytes() == RAMP.tobytes()
    half_black = Image.new("RGB", (40, 40))
    half_black.paste((255, 255, 255), (0, 0, 20, 40))
    means = [np.asarray(cropped(half_black, 0.25, seeded(s))).mean() for s in range(12)]
    assert {round(m) for m in means} != {128}
    assert cropped(half_black, 0.25, seeded()).size == (40, 40)


def test_shuffling_keeps_every_pixel_and_moves_patches_whole():
    got = np.asarray(patches_shuffled(RAMP, 3, seeded(1)))
    assert sorted(map(tuple, got.reshape(-1, 3).tolist())) == sorted(
        map(tuple, np.asarray(RAMP).reshape(-1, 3).tolist())
    )
    tiles = {np.asarray(RAMP)[y : y + 4, x : x + 4].tobytes() for y in (0, 4, 8) for x in (0, 4, 8)}
    assert {got[y : y + 4, x : x + 4].tobytes() for y in (0, 4, 8) for x in (0, 4, 8)} == tiles
    assert got.tobytes() != np.asarray(RAMP).tobytes()


def test_downscaling_loses_detail_and_keeps_size_and_mean():
    fine = Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8).repeat(3).reshape(16, 16, 3))
    got = np.asarray(downscaled(fine, 2))
    assert got.shape == (16, 16, 3)
    assert np.ptp(got) <= 1
    assert downscaled(fine, 1).tobytes() == fine.tobytes()


def test_masking_hides_that_share_of_image_tokens_and_changes_the_answer(vlm):
    pictures = [s.image() for s in scenes(2, split="validation")]
    batch = models.encode(vlm, pictures, [models.chat(vlm, "Describe this image.")] * 2)
    got = image_tokens_masked(vlm, batch, 0.5, seeded())
    images = batch["input_ids"] == vlm.model.config.image_token_id
    lost = (batch["attention_mask"] == 1) & (got["attention_mask"] == 0)
    assert lost.sum(1).tolist() == [images[0].sum().item() // 2] * 2
    assert not (lost & ~images).any()
    none = image_tokens_masked(vlm, batch, 1.0, seeded())
    with torch.inference_mode():
        other = models.encode(vlm, pictures[::-1], [models.chat(vlm, "Describe this image.")] * 2)
        blind = [vlm.model(**image_tokens_masked(vlm, b, 1.0, seeded())).logits[:, -1] for b in (batch, other)]
        seen = vlm.model(**batch).logits[:, -1]
    assert torch.allclose(blind[0], blind[1], atol=1e-4)  # nothing of the picture is left
    assert not torch.allclose(blind[0], seen, atol=0.1)
    assert none["pixel_values"] is batch["pixel_values"]


# --- what the model says then ------------------------------------------------------------------------------------

LOGITS = torch.tensor([[[3.0, 1.0, 0.0], [0.0, 1.0, 3.0]]])
LABELS = torch.tensor([[0, 0]])


def test_dispreferred_tokens_by_hand():
    assert dispreferred_tokens(LOGITS, LABELS, "argmax").tolist() == [[0, 2]]
    assert dispreferred_tokens(LOGITS, LABELS, "second").tolist() == [[1, 2]]


def test_sampled_tokens_follow_the_distribution():
    got = dispreferred_tokens(LOGITS.expand(20_000, 2, 3), LABELS.expand(20_000, 2), "sample", seeded())
    assert (got[:, 0] == 0).float().mean().item() == pytest.approx(LOGITS[0, 0].softmax(-1)[0].item(), abs=0.01)


def test_one_position_by_itself():
    for tokens, want in (("argmax", 0), ("second", 1), ("sample", 0)):
        got = dispreferred_tokens(torch.tensor([99.0, 1.0, 0.0]), torch.tensor(0), tokens, seeded())
        assert (got.shape, got.item()) == ((), want)


def test_no_gradient_through_the_choice():
    logits = LOGITS.clone().requires_grad_()
    assert not dispreferred_tokens(logits, LABELS, "second").requires_grad


def test_noise_goes_where_the_choice_says(vlm):
    (picture,) = (s.image() for s in scenes(1, split="validation"))
    processed = vlm.processor.image_processor
    clean = processed([picture], return_tensors="pt")["pixel_values"]
    after = noised_pixels([picture], clean, PAPER, vlm.processor, [seeded()])
    assert torch.allclose(after[0], diffuse(clean[0], POVID_STEP, seeded()))
    before = noised_pixels([picture], clean, RELEASED, vlm.processor, [seeded()])
    shown = noised(picture, POVID_STEP, seeded(), "wrap")
    wrapped = processed([shown], return_tensors="pt")["pixel_values"]
    assert torch.equal(before, wrapped)
    assert not torch.allclose(before, after, atol=0.1)


def test_presets_differ_as_the_paper_and_its_code_do():
    assert (PAPER.noised_tokens, PAPER.scored_under, PAPER.reference_tokens) == ("argmax", "noised", "policy")
    assert (RELEASED.noised_tokens, RELEASED.scored_under, RELEASED.reference_tokens) == ("argmax", "clean", "own")
    assert (PAPER.noise_place, RELEASED.noise_place, RELEASED.noise_overflow) == ("pixel_values", "image", "wrap")


def test_the_presets_of_a_phase_say_the_same_and_the_defaults_are_the_papers():
    """One vocabulary and one default: the settings of a phase and the record of the image dispreference."""
    assert POVIDConfig(output_dir="x").image_dispreference == ImageDispreference() == PAPER
    for name, want in {"paper": PAPER, "pocket": PAPER, "released": RELEASED}.items():
        assert POVIDConfig.preset(name, output_dir="x").image_dispreference == want


def test_masked_takes_away_image_tokens_only():
    mask = torch.tensor([[0, 1, 1, 1, 1, 1, 1]])
    image = torch.tensor([[0, 0, 1, 1, 1, 1, 0]]).bool()
    half = masked(mask, image, 0.5, [seeded()])
    assert half[~image].tolist() == mask[~image].tolist()
    assert int(half[image].sum()) == 2
    assert int(mask.sum()) == 6, "the mask that was given stays as it was"
    assert torch.equal(half, masked(mask, image, 0.5, [seeded()]))
    assert not masked(mask, image, 1.0, [seeded()])[image].any()
