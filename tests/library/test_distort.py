"""The schedule against numbers worked out on paper and, where it is at hand, the field's file; the noise by its moments."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from povid_lib.distort import POVID_STEP, STEPS, alpha_bars, betas, diffuse, eight_bit, noised


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


@pytest.mark.parametrize("step", [-1, 1000])
def test_steps_outside_the_schedule_are_refused(step):
    with pytest.raises(ValueError, match="steps 0 to 999"):
        noised(Image.new("RGB", (4, 4)), step, seeded())


def test_whole_numbers_and_unknown_overflow_are_refused():
    with pytest.raises(ValueError, match="floating-point"):
        diffuse(torch.zeros(3, dtype=torch.uint8), 5, seeded())
    with pytest.raises(ValueError, match="clamp, wrap"):
        noised(Image.new("RGB", (4, 4)), 5, seeded(), overflow="saturate")
