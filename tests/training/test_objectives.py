"""The table of objectives: each row says truly what its loss reads and makes, and a row is all that a new loss takes."""

import pytest
import torch

from povid_lib.training import objectives, run_folder
from povid_lib.training.losses import Logps, dpo
from povid_lib.training.objectives import OBJECTIVES, Objective
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training

LENGTHS = torch.tensor([4, 6, 3])
NAMES = [f"{row.name} {row.dispreference}" for row in OBJECTIVES]
# away from the defaults, so that a setting that is not handed on is seen
GIVEN = {"alpha": 0.3, "beta1": 0.2, "beta2": 0.15, "beta": 0.4, "label_smoothing": 0.1, "sft_weight": 0.7}


def both_of(row):
    """Records that hold what the trainer makes for a row, and no more."""
    generator = torch.Generator().manual_seed(0)
    extra = [answer for answer in ("noised", "weakened") if answer in row.weights]

    def record():
        return Logps(**{name: -5 + torch.randn(3, generator=generator) for name in ("chosen", "rejected", *extra)})

    return record(), record()


def settings_of(row):
    return {name: GIVEN[name] for name in row.settings}


@pytest.mark.parametrize("row", OBJECTIVES, ids=NAMES)
def test_a_row_names_what_its_loss_reads(row):
    """With the row's settings and answers alone the loss can be had, and each of them has a say."""
    policy, reference = both_of(row)
    loss, metrics = objectives.evaluate(row, settings_of(row), policy, reference, LENGTHS)
    for name in row.settings:
        other, _ = objectives.evaluate(row, settings_of(row) | {name: GIVEN[name] / 2}, policy, reference, LENGTHS)
        assert abs(float(other - loss)) > 1e-4, name
    for answer in row.weights:
        moved = policy._replace(**{answer: getattr(policy, answer) + 1})
        other, _ = objectives.evaluate(row, settings_of(row), moved, reference, LENGTHS)
        assert abs(float(other - loss)) > 1e-4, answer
    assert all(value.shape == (3,) and not value.requires_grad for value in metrics.values())


@pytest.mark.parametrize("row", OBJECTIVES, ids=NAMES)
def test_curves_of_a_row(row):
    """Each answer that is weighed has its curves, and a reward of the chosen answer is its coefficient times its log-ratio."""
    policy, reference = both_of(row)
    _, metrics = objectives.evaluate(row, settings_of(row), policy, reference, LENGTHS)
    ablation = (row.name, row.dispreference) == (
        "povid_mean",
        "image",
    )  # there the noised answer stands as the rejected one
    for answer in row.weights:
        shown = "rejected" if ablation and answer == "noised" else answer
        assert torch.equal(metrics[f"logps/{shown}"], getattr(policy, answer))
        assert f"rewards/{shown}" in metrics
    if row.weights:
        ratio = GIVEN[row.weights["chosen"]] * (policy.chosen - reference.chosen)
        torch.testing.assert_close(metrics["rewards/chosen"], ratio)
    assert ("nll/chosen" in metrics) == ("sft_weight" in row.settings)


@pytest.mark.parametrize("row", OBJECTIVES, ids=NAMES)
def test_the_record_of_a_run_holds_what_its_row_reads(row, tmp_path):
    settings = training.config(
        tmp_path, objective=row.name, dispreference=row.dispreference, cache_reference=not row.segments
    )
    record = run_folder.record_of(settings)
    assert {name for name in GIVEN if name in record} == set(row.settings)
    assert settings.weights == {answer: getattr(settings, name) for answer, name in row.weights.items()}
    assert settings.needs_noise == ("noise_step" in record) == ("reference_tokens" in record)


def test_rows_are_found_by_name_and_dispreference():
    assert len({(row.name, row.dispreference) for row in OBJECTIVES}) == len(OBJECTIVES)
    assert all(objectives.find(row.name, row.dispreference) is row for row in OBJECTIVES)
    with pytest.raises(ValueError, match="objective is 'ppo'; choose one of povid, povid_mean, dpo, ddpo"):
        objectives.find("ppo", "text")
    with pytest.raises(ValueError, match="dispreference is 'image'; choose one of text, which objective 'mdpo' has"):
        objectives.find("mdpo", "image")


@pytest.mark.slow
def test_a_function_and_a_row_are_all_that_a_new_loss_takes(vlm, tmp_path, monkeypatch):
    """Checked, recorded, trained and logged, with noised answers because its row weighs them."""

    def against_the_noise(policy, reference, beta, beta2):
        return dpo(Logps(policy.chosen, policy.noised), Logps(reference.chosen, reference.noised), beta + beta2)

    row = Objective("dpo", "image", against_the_noise, {"chosen": "beta", "noised": "beta2"}, options=())
    monkeypatch.setattr(objectives, "OBJECTIVES", (*OBJECTIVES, row))
    (tmp_path / "pairs").mkdir()
    data = training.dataset(tmp_path / "pairs", 8)
    settings = training.config(
        tmp_path / "run",
        objective="dpo",
        dispreference="image",
        max_steps=4,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
    )
    trainer = POVIDTrainer(training.tiny(vlm.processor), settings, data, vlm.processor)
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert log[-1]["loss"] < log[0]["loss"] == pytest.approx(0.693147, abs=1e-4)
    assert "noised/differing" in log[0]
    assert run_folder.record_of(settings)["beta2"] == settings.beta2
