"""The enumerable policy of chapter 06, against sums over explicit answers, hand-computed cases and the library's own losses."""

import itertools
import math

import pytest
import torch

from povid_lib.analysis import exact_policy
from povid_lib.training import losses

SPACE = exact_policy.space(("fork", "knife", "cup"), 2)


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_table(seed=0, scale=1.0):
    return scale * torch.randn(4, 4, dtype=torch.float64, generator=seeded(seed))


def random_reward(seed=9):
    return torch.randn(len(SPACE), dtype=torch.float64, generator=seeded(seed))


REFERENCE = exact_policy.logps(SPACE, random_table())


def test_every_answer_is_there_once():
    assert exact_policy.space(("a", "b"), 2).answers == (("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"))
    assert len(exact_policy.space(("a", "b", "c", "d"), 3)) == 4 + 16 + 64


def test_an_answers_probability_is_the_product_along_its_way():
    """Step by step with dictionaries of logits, against the table; the first word cannot be the end, the last needs no end."""
    table = random_table(scale=2)
    prefixes = [(), ("fork",), ("knife",), ("cup",)]
    columns = {word: i for i, word in enumerate((*SPACE.words, "END"))}
    found = dict(zip(SPACE.answers, exact_policy.logps(SPACE, table).exp().tolist(), strict=True))
    by_step = dict(zip(SPACE.answers, exact_policy.token_logps(SPACE, table).exp().tolist(), strict=True))

    def share(prefix, token):
        open_ = SPACE.words if prefix == () else (*SPACE.words, "END")
        weights = {t: math.exp(table[prefixes.index(prefix), columns[t]]) for t in open_}
        return weights[token] / sum(weights.values())

    for a, b in itertools.product(SPACE.words, SPACE.words):
        assert found[a, b] == pytest.approx(share((), a) * share((a,), b), rel=1e-12)
        assert by_step[a, b] == pytest.approx([share((), a), share((a,), b), 1], rel=1e-12)
    for a in SPACE.words:
        assert found[(a,)] == pytest.approx(share((), a) * share((a,), "END"), rel=1e-12)
    assert sum(found.values()) == pytest.approx(1, rel=1e-12)


def test_any_distribution_has_a_table():
    wanted = torch.randn(len(SPACE), dtype=torch.float64, generator=seeded(3)).mul(4).log_softmax(0)
    assert torch.allclose(exact_policy.logps(SPACE, exact_policy.table_of(SPACE, wanted)), wanted, atol=1e-12, rtol=0)


def test_divergence_and_objective_by_hand():
    """p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 ln 2 + 1/2 ln 2/3 = 1/2 ln 4/3; TV = 1/4; J = (3 + 1)/2 - 2 KL."""
    p, q = tensor(0.5, 0.5).log(), tensor(0.25, 0.75).log()
    assert float(exact_policy.kl(p, q)) == pytest.approx(math.log(4 / 3) / 2, rel=1e-12)
    assert exact_policy.total_variation(p, q) == pytest.approx(0.25, rel=1e-12)
    assert float(exact_policy.objective(p, q, tensor(3.0, 1.0), 2.0)) == pytest.approx(2 - math.log(4 / 3), rel=1e-12)


def test_optimum_by_hand():
    """q = (1/4, 3/4), exp(r/beta) = (2, 1): Z = 2/4 + 3/4 = 5/4, and the optimum is (2/5, 3/5)."""
    q, reward = tensor(0.25, 0.75).log(), tensor(3 * math.log(2), 0.0)
    assert float(exact_policy.log_partition(q, reward, 3.0)) == pytest.approx(math.log(1.25), rel=1e-12)
    assert exact_policy.optimum(q, reward, 3.0).exp().tolist() == pytest.approx([0.4, 0.6], rel=1e-12)


@pytest.mark.parametrize("beta", [0.2, 1.0, 5.0])
def test_what_a_policy_lacks_is_its_divergence_from_the_optimum(beta):
    """J(pi) = beta log Z - beta KL(pi || optimum), for any policy, and so none is better."""
    reward = random_reward()
    best, level = (
        exact_policy.optimum(REFERENCE, reward, beta),
        beta * exact_policy.log_partition(REFERENCE, reward, beta),
    )
    assert torch.allclose(exact_policy.objective(best, REFERENCE, reward, beta), level, atol=1e-12)
    for seed in range(20):
        policy = exact_policy.logps(SPACE, random_table(seed, scale=3))
        lacking = level - exact_policy.objective(policy, REFERENCE, reward, beta)
        assert torch.allclose(lacking, beta * exact_policy.kl(policy, best), atol=1e-12)
        assert lacking > 0


def test_a_constant_in_the_reward_changes_nothing_but_z():
    reward = random_reward()
    moved = exact_policy.optimum(REFERENCE, reward + 7, 0.5)
    assert torch.allclose(moved, exact_policy.optimum(REFERENCE, reward, 0.5), atol=1e-12)
    higher = exact_policy.log_partition(REFERENCE, reward + 7, 0.5) - exact_policy.log_partition(REFERENCE, reward, 0.5)
    assert float(higher) == pytest.approx(14, rel=1e-12)
    assert torch.allclose(exact_policy.preferred(reward + 7), exact_policy.preferred(reward), atol=1e-12)


def test_gradient_ascent_arrives_at_the_closed_form():
    reward, beta = random_reward(), 0.5
    table, path = exact_policy.ascend(SPACE, exact_policy.table_of(SPACE, REFERENCE), reward, beta, steps=500)
    best = exact_policy.optimum(REFERENCE, reward, beta)
    assert torch.allclose(path[0], REFERENCE, atol=1e-12)
    assert exact_policy.total_variation(REFERENCE, best) > 0.3
    assert exact_policy.total_variation(exact_policy.logps(SPACE, table), best) < 1e-4
    assert len(path) == 500


def test_preferences_by_hand():
    """sigmoid(1) = 1/(1 + 1/e); the two orders of a pair are complementary."""
    table = exact_policy.preferred(tensor(2.0, 1.0))
    assert float(table[0, 1]) == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-12)
    assert torch.allclose(table + table.T, torch.ones(2, 2, dtype=torch.float64))


def test_sampled_pairs_have_the_expected_shares():
    reward, n = random_reward(), 200_000
    expected = exact_policy.expected_wins(REFERENCE, reward)
    assert float(expected.sum()) == pytest.approx(1, rel=1e-12)
    chosen, rejected = exact_policy.sample_pairs(REFERENCE, reward, n, seeded())
    found = exact_policy.wins(chosen, rejected, len(SPACE))
    assert float(found.sum()) == pytest.approx(1, rel=1e-12)
    far = (found - expected) / (expected * (1 - expected) / n).sqrt()
    assert far.abs().max() < 4.5  # of 144 standard scores
    assert 0.8 < far.square().mean() < 1.25


def test_wins_by_hand():
    found = exact_policy.wins(torch.tensor([0, 0, 1, 0]), torch.tensor([1, 1, 0, 2]), 3)
    assert found.tolist() == [[0, 0.5, 0.25], [0.25, 0, 0], [0, 0, 0]]


def test_pair_loss_is_the_librarys_dpo():
    chosen, rejected = exact_policy.sample_pairs(REFERENCE, random_reward(), 500, seeded())
    policy = exact_policy.logps(SPACE, random_table(5))
    want, metrics = losses.dpo(
        losses.Logps(policy[chosen], policy[rejected]), losses.Logps(REFERENCE[chosen], REFERENCE[rejected]), beta=0.3
    )
    rewards = exact_policy.implicit_reward(policy, REFERENCE, 0.3)
    assert torch.allclose(
        exact_policy.pair_loss(rewards, exact_policy.wins(chosen, rejected, len(SPACE))), want, atol=1e-12
    )
    assert torch.allclose(rewards[chosen], metrics["rewards/chosen"], atol=1e-12)


def test_the_implicit_reward_of_the_optimum_is_the_reward_but_for_z():
    reward, beta = random_reward(), 0.7
    found = exact_policy.implicit_reward(exact_policy.optimum(REFERENCE, reward, beta), REFERENCE, beta)
    assert torch.allclose(found, reward - beta * exact_policy.log_partition(REFERENCE, reward, beta), atol=1e-12)


def test_weights_are_what_autograd_finds():
    """d loss / d log pi(chosen) = -beta times the weight of the pair, and 1/2 where the policy is the reference."""
    policy, beta = exact_policy.logps(SPACE, random_table(5)).requires_grad_(), 0.3
    weights = exact_policy.pair_weights(policy.detach(), REFERENCE, beta)
    loss, _ = losses.dpo(
        losses.Logps(policy[3:4], policy[7:8]), losses.Logps(REFERENCE[3:4], REFERENCE[7:8]), beta=beta
    )
    (gradient,) = torch.autograd.grad(loss, policy)
    assert float(gradient[3]) == pytest.approx(-beta * float(weights[3, 7]), rel=1e-9)
    assert float(gradient[7]) == pytest.approx(beta * float(weights[3, 7]), rel=1e-9)
    assert (exact_policy.pair_weights(REFERENCE, REFERENCE, beta) == 0.5).all()


def test_rewards_are_recovered_but_for_a_constant():
    reward = random_reward()
    found = exact_policy.fit_rewards(exact_policy.expected_wins(REFERENCE, reward))
    assert torch.allclose(found, reward - reward.mean(), atol=1e-4)
    off = []
    for n in (1000, 100_000):
        chosen, rejected = exact_policy.sample_pairs(REFERENCE, reward, n, seeded())
        fitted = exact_policy.fit_rewards(exact_policy.wins(chosen, rejected, len(SPACE)), prior=1 / n)
        off.append(float((fitted - reward + reward.mean()).square().mean().sqrt()))
    assert off[1] < off[0] / 4


def test_the_prior_holds_what_no_pair_holds():
    """Answer 0 always wins. With rewards (d/2, -d/2), loss = -log sigmoid(d) + prior d^2/4: sigmoid(-d) = prior d/2."""
    always = exact_policy.wins(torch.tensor([0, 0]), torch.tensor([1, 1]), 2)
    high, low = exact_policy.fit_rewards(always, prior=0.1).tolist()
    assert high == pytest.approx(-low, rel=1e-9)
    assert 1 / (1 + math.exp(high - low)) == pytest.approx(0.1 * (high - low) / 2, rel=1e-4)


def test_dpo_recovers_the_optimum():
    reward, beta, start = random_reward(), 0.5, exact_policy.table_of(SPACE, REFERENCE)
    trained = exact_policy.logps(
        SPACE, exact_policy.train_dpo(SPACE, start, exact_policy.expected_wins(REFERENCE, reward), beta)
    )
    best = exact_policy.optimum(REFERENCE, reward, beta)
    assert exact_policy.total_variation(REFERENCE, best) > 0.3
    assert exact_policy.total_variation(trained, best) < 1e-5


def test_dpo_is_the_fit_followed_by_the_closed_form():
    """On 300 pairs, with one and the same prior, and at two strengths."""
    start = exact_policy.table_of(SPACE, REFERENCE)
    found = exact_policy.wins(*exact_policy.sample_pairs(REFERENCE, random_reward(), 300, seeded()), len(SPACE))
    for beta in (0.2, 1.0):
        direct = exact_policy.logps(SPACE, exact_policy.train_dpo(SPACE, start, found, beta, prior=1 / 300))
        around = exact_policy.optimum(REFERENCE, exact_policy.fit_rewards(found, prior=1 / 300), beta)
        assert exact_policy.total_variation(direct, around) < 1e-5


REFUSED = {
    "one word": (lambda: exact_policy.space(("fork",), 2), "two different words"),
    "a word twice": (lambda: exact_policy.space(("fork", "fork"), 2), "two different words"),
    "no length": (lambda: exact_policy.space(("fork", "cup"), 0), "longest 0"),
    "too many": (lambda: exact_policy.space(tuple("abcdefghij"), 4), "make 11110 answers; the most is 2000"),
    "another space": (
        lambda: exact_policy.table_of(SPACE, tensor(0.5, 0.5).log()),
        r"12 finite logps of sum 1, not \(2,\)",
    ),
    "no distribution": (lambda: exact_policy.table_of(SPACE, REFERENCE + 0.1), "of sum 1.1"),
    "no chance": (lambda: exact_policy.table_of(SPACE, tensor(*[0.5] * 2, *[0.0] * 10).log()), "finite"),
    **{
        f"beta {beta} in {name}": (lambda f=f, beta=beta: f(beta), f"beta is {beta}")
        for beta in (0.0, -1.0, math.inf, math.nan)
        for name, f in {
            "objective": lambda beta: exact_policy.objective(REFERENCE, REFERENCE, random_reward(), beta),
            "log_partition": lambda beta: exact_policy.log_partition(REFERENCE, random_reward(), beta),
            "optimum": lambda beta: exact_policy.optimum(REFERENCE, random_reward(), beta),
            "implicit_reward": lambda beta: exact_policy.implicit_reward(REFERENCE, REFERENCE, beta),
        }.items()
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()
