"""Weights of tokens against autograd, answers against the trainer's, gradients against hand-computed cases."""

from dataclasses import replace

import pytest
import torch

from povid_lib.analysis import loss_gradient
from povid_lib.analysis.loss_gradient import Answers, Weights
from povid_lib.training import losses, pair_scores
from povid_lib.training.losses import Logps
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training

DOUBLE = {"rtol": 0, "atol": 1e-9}
LOSSES = {
    "povid": (losses.povid, loss_gradient.povid_weights, {"alpha": 0.3, "beta1": 0.2, "beta2": 0.07}),
    "povid_mean": (losses.povid_mean, loss_gradient.povid_mean_weights, {"beta": 0.4}),
}


def answers(same_picture: bool = True) -> Answers:
    """Two rows. Row 0: "a b c d", "a x c d", noised "a b y d"; row 1: "a b", "b b c", noised "z b"; 0 is padding."""
    chosen, rejected = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]]), torch.tensor([[1, 9, 3, 4, 0], [2, 2, 3, 0, 0]])
    noised = torch.tensor([[1, 2, 8, 4], [7, 2, 0, 0]])
    generator = torch.Generator().manual_seed(0)
    c, r = (chosen != 0).long(), (rejected != 0).long()
    logps = [
        -torch.rand(m.shape, generator=generator, dtype=torch.float64) * 3 * m
        for m in (c, r, c, c, r, c)
    ]  # fmt: skip
    return Answers(chosen, rejected, noised, c, r, c, Logps(*logps[:3]), Logps(*logps[3:]), same_picture)


def test_weights_of_whole_answers_are_the_losses_gradient():
    for loss, closed, settings in LOSSES.values():
        policy, reference = (of.map(lambda t: t.clone().requires_grad_()) for of in loss_gradient.sums(answers()))
        value, _ = loss(policy, reference, **settings)
        grads = torch.autograd.grad(value, policy[:3])
        for weight, grad in zip(closed(policy, reference, **settings), grads, strict=True):
            assert not weight.requires_grad
            torch.testing.assert_close(weight / 2, -grad, **DOUBLE)  # the loss is the mean over two rows


@pytest.mark.parametrize("same_picture", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_net_weights_are_the_gradient_of_each_log_probability(name, same_picture):
    """Each log-probability (picture, words before, word) is one leaf, wherever it is used."""
    loss, closed, settings = LOSSES[name]
    given = answers(same_picture)
    leaves: dict[tuple, torch.Tensor] = {}

    def leaf(row, picture, before, token, value):
        key = (row, picture, tuple(before), token)
        return leaves.setdefault(key, value.detach().clone().requires_grad_()), key

    keys, logps = {}, {}
    for side, ids, mask in (
        ("chosen", given.chosen_ids, given.chosen_mask),
        ("rejected", given.rejected_ids, given.rejected_mask),
        ("noised", given.noised_ids, given.noised_mask),
    ):
        prefix = given.rejected_ids if side == "rejected" else given.chosen_ids
        picture = "noise" if side == "noised" and not same_picture else "clear"
        rows = []
        for row in range(2):
            found = []
            for at in range(ids.shape[1]):
                if mask[row, at]:
                    value, key = leaf(
                        row, picture, prefix[row, :at].tolist(), int(ids[row, at]), getattr(given.policy, side)[row, at]
                    )
                    keys[side, row, at] = key
                    found.append(value)
                else:
                    found.append(torch.zeros((), dtype=torch.float64))
            rows.append(torch.stack(found))
        logps[side] = torch.stack(rows)
    read = replace(given, policy=Logps(**logps))
    value, _ = loss(*loss_gradient.sums(read), **settings)
    grads = dict(zip(leaves, torch.autograd.grad(value * 2, list(leaves.values())), strict=True))

    net = loss_gradient.token_weights(read, closed(*loss_gradient.sums(read), **settings))
    summed = dict.fromkeys(leaves, 0.0)
    for (side, row, at), key in keys.items():
        summed[key] += float(getattr(net, side)[row, at])
    for key, grad in grads.items():
        assert summed[key] == pytest.approx(-float(grad), abs=1e-9), key
    if same_picture:  # a shared token is written once, under the chosen answer
        assert not net.rejected[0, 0]
        assert not net.noised[0, 0]


def test_what_cancels_by_hand():
    net = loss_gradient.token_weights(answers(), Weights(*(torch.tensor([w, w]) for w in (4.0, -2.0, -2.0))))
    assert net.chosen.tolist() == [[0, 2, 4, 2], [4, 2, 0, 0]]
    assert net.rejected.tolist() == [[0, -2, -2, -2, 0], [-2, -2, -2, 0, 0]]
    assert net.noised.tolist() == [[0, 0, -2, 0], [-2, 0, 0, 0]]
    net = loss_gradient.token_weights(answers(False), Weights(*(torch.tensor([w, w]) for w in (4.0, -2.0, -2.0))))
    assert net.chosen.tolist() == [[2, 4, 4, 4], [4, 4, 0, 0]]
    assert net.noised.tolist() == [[-2, -2, -2, -2], [-2, -2, 0, 0]]


def test_a_token_left_out_of_the_noised_answer_weighs_and_counts_nothing():
    given = answers()
    out = replace(given, noised_mask=given.noised_mask * (given.noised_ids != given.chosen_ids).long())
    assert not loss_gradient.coinciding(out).any()
    noised = given.policy.noised
    assert loss_gradient.sums(out)[0].noised.tolist() == pytest.approx([float(noised[0, 2]), float(noised[1, 0])])


def test_means_over_tokens():
    given = answers()
    for total, mean in zip(loss_gradient.sums(given), loss_gradient.sums(given, average=True), strict=True):
        for answer in ("chosen", "rejected", "noised"):
            lengths = torch.tensor([4, 3] if answer == "rejected" else [4, 2])
            torch.testing.assert_close(getattr(total, answer), getattr(mean, answer) * lengths, **DOUBLE)


# --- against the trainer and the model ---------------------------------------------------------------------------

HOWS = {
    "default": {},
    "clean": {"scored_under": "clean"},
    "own": {"reference_tokens": "own"},
    "released": {"scored_under": "clean", "reference_tokens": "own", "noise_place": "image", "noise_overflow": "wrap"},
    "second": {"noised_tokens": "second"},
    "sample": {"noised_tokens": "sample"},
    "masking": {"weakening": "masking"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.dataset(tmp_path_factory.mktemp("pairs"), 4)


def moved(vlm, data, folder, **settings):
    """A trainer whose adapters have been moved, in float64, and its first batch."""
    settings = training.config(folder, cache_reference=False, **{"scored_under": "noised"} | settings)
    trainer = POVIDTrainer(training.tiny(vlm.processor), settings, data, vlm.processor)
    model = trainer.model.double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    batch = trainer.data_collator([data[i] for i in range(4)])
    return trainer, model, batch | {"pixel_values": batch["pixel_values"].double()}


def answers_of(vlm, trainer, model, batch):
    how, generators = trainer.args.image_dispreference, pair_scores.chances(trainer.args.seed, batch, 0)
    if how.noised_tokens != "sample":
        return loss_gradient.answers(model, batch, how, vlm.processor, generators)
    # the trainer's tokens have a chance of their own, apart from the noise's
    shown = pair_scores.weaken(batch, how, vlm.processor, generators)
    policy = pair_scores.views(model, batch, shown)
    with torch.no_grad(), model.disable_adapter():
        reference = pair_scores.views(model, batch, shown)
    drawn = pair_scores.chances(trainer.args.seed, batch, 0, "policy")
    return loss_gradient.choose(batch, policy, reference, how, drawn)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOWS)
def test_answers_are_the_trainers(name, vlm, data, tmp_path):
    trainer, model, batch = moved(vlm, data, tmp_path, **HOWS[name])
    policy, reference, metrics = trainer.logps(model, batch)
    found = answers_of(vlm, trainer, model, batch)
    for a, b in zip(loss_gradient.sums(found), (policy, reference), strict=True):
        assert a.given().keys() == b.given().keys() == {"chosen", "rejected", "noised"}
        for answer, logps in a.given().items():
            torch.testing.assert_close(logps, getattr(b, answer), **DOUBLE)
    differing = ((found.noised_ids != found.chosen_ids) & (found.chosen_mask == 1)).sum(1) / found.chosen_mask.sum(1)
    torch.testing.assert_close(differing, metrics["noised/differing"])


@pytest.mark.slow
@pytest.mark.parametrize("scored_under", ["clean", "noised"])
def test_net_weights_give_the_models_gradient(scored_under, vlm, data, tmp_path):
    trainer, model, batch = moved(vlm, data, tmp_path, scored_under=scored_under)
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = answers_of(vlm, trainer, model, batch)
    net = loss_gradient.token_weights(found, loss_gradient.povid_weights(*loss_gradient.sums(found)))
    linear = sum((w * logps).sum() for w, logps in zip(net, found.policy[:3], strict=True))
    want = loss_gradient.gradient(losses.povid(*loss_gradient.sums(found))[0], parameters)
    assert want.norm() > 1e-6
    # transformers computes norms in float32 in the midst of a float64 model
    torch.testing.assert_close(-loss_gradient.gradient(linear / 4, parameters), want, rtol=0, atol=1e-7)


# --- comparing gradients -----------------------------------------------------------------------------------------


def test_gradient_is_one_vector_and_may_be_asked_for_again():
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([[3.0]], requires_grad=True)
    value = (a**2).sum() * b.sum()
    for _ in range(2):
        assert loss_gradient.gradient(value, [a, b]).tolist() == [6.0, 12.0, 5.0]
    assert loss_gradient.gradient(value, [a, b]).dtype == torch.float64


def test_compare_by_hand():
    default = torch.tensor([3.0, 4.0])
    assert loss_gradient.compare(torch.tensor([6.0, 8.0]), default) == pytest.approx((1.0, 2.0))
    assert loss_gradient.compare(torch.tensor([-4.0, 3.0]), default) == pytest.approx((0.0, 1.0))
    assert loss_gradient.compare(torch.tensor([-0.3, -0.4]), default) == pytest.approx((-1.0, 0.1))
    cosine, norm = loss_gradient.compare(torch.zeros(2), default)
    assert cosine != cosine
    assert norm == 0


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ((torch.ones(2), torch.zeros(2)), "default's gradient is zero"),
        ((torch.ones(3), torch.ones(2)), "give two vectors"),
    ],
)
def test_compare_refuses(pair, said):
    with pytest.raises(ValueError, match=said):
        loss_gradient.compare(*pair)
