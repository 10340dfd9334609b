"""A policy over every answer of a tiny vocabulary, so that what theory says of answers is summed and not estimated (chapter 06).

A policy is a **table** of logits, float64 (rows, words + 1): a row for each unfinished answer, a column for each next word and a
last one for the end. All else is over the answers: log-probabilities ``logps`` and rewards are float64 (answers,), and ``wins``,
(answers, answers), is the share of all pairs in which the row was preferred to the column.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MOST = 2000  # answers; ``wins`` has the square of it


@dataclass(frozen=True)
class Space:
    """All answers. ``rows``, ``tokens`` and ``real``, (answers, longest + 1): which row of the table each step of an answer reads,
    which column it takes, and whether there is such a step (a longest answer has no choice left at its end)."""

    words: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    rows: Tensor
    tokens: Tensor
    real: Tensor

    def __len__(self) -> int:
        return len(self.answers)


def space(words: Sequence[str], longest: int) -> Space:
    """Every answer of one to ``longest`` of these words, with repetitions.
    Raises ``ValueError`` for fewer than two words, a word given twice, ``longest`` below 1, or more than 2,000 answers."""
    if len(words) < 2 or len(set(words)) < len(words) or longest < 1:
        raise ValueError(f"space: words {list(words)}, longest {longest}; give two different words, and 1, at least.")
    count = sum(len(words) ** n for n in range(1, longest + 1))
    if count > MOST:
        raise ValueError(f"space: up to {longest} of {len(words)} words make {count} answers; the most is {MOST}.")
    every = [ids for n in range(longest + 1) for ids in itertools.product(range(len(words)), repeat=n)]
    row = {ids: number for number, ids in enumerate(every) if len(ids) < longest}
    rows, tokens = torch.zeros(2, count, longest + 1, dtype=torch.int64)
    real = torch.zeros(count, longest + 1, dtype=torch.bool)
    for number, ids in enumerate(every[1:]):
        for at, token in enumerate([*ids, len(words)][:longest]):  # the last column ends the answer
            rows[number, at], tokens[number, at], real[number, at] = row[ids[:at]], token, True
    return Space(tuple(words), tuple(tuple(words[i] for i in ids) for ids in every[1:]), rows, tokens, real)


def token_logps(space: Space, table: Tensor) -> Tensor:
    """Log-probability of each step of each answer, (answers, longest + 1); zero where there is no step. No answer is empty."""
    barred = torch.zeros_like(table, dtype=torch.bool)
    barred[0, -1] = True
    return table.masked_fill(barred, -math.inf).log_softmax(-1)[space.rows, space.tokens].where(space.real, 0)


def logps(space: Space, table: Tensor) -> Tensor:
    """Log-probability of every answer: the **sum** over its steps."""
    return token_logps(space, table).sum(-1)


def table_of(space: Space, logps: Tensor) -> Tensor:
    """The table of a distribution. Raises ``ValueError`` if it does not fit the space or sum to one, or an answer has no chance."""
    total = float(logps.exp().sum())
    if logps.shape != (len(space),) or abs(total - 1) > 1e-9 or not bool(logps.isfinite().all()):
        raise ValueError(f"table_of: give {len(space)} finite logps of sum 1, not {tuple(logps.shape)} of sum {total}.")
    passing = logps.exp()[:, None].expand_as(space.real)[space.real]
    table = torch.zeros(int(space.rows.max()) + 1, len(space.words) + 1, dtype=torch.float64)
    table = table.index_put((space.rows[space.real], space.tokens[space.real]), passing, accumulate=True).log()
    table[0, -1] = 0
    return table


def kl(logps: Tensor, other: Tensor) -> Tensor:
    """KL(policy || other), in nats."""
    return (logps.exp() * (logps - other)).sum()


def total_variation(logps: Tensor, other: Tensor) -> float:
    """The largest difference in probability that any set of answers has: half the sum of absolute differences."""
    return float((logps.exp() - other.exp()).abs().sum() / 2)


def objective(logps: Tensor, ref_logps: Tensor, reward: Tensor, beta: float) -> Tensor:
    """E[reward] - beta KL(policy || reference)."""
    return (logps.exp() * reward).sum() - _positive(beta) * kl(logps, ref_logps)


def log_partition(ref_logps: Tensor, reward: Tensor, beta: float) -> Tensor:
    """log Z: the logarithm of the reference's mean of exp(reward / beta)."""
    return (ref_logps + reward / _positive(beta)).logsumexp(0)


def optimum(ref_logps: Tensor, reward: Tensor, beta: float) -> Tensor:
    """The policy with the largest ``objective``, in closed form: the reference times exp(reward / beta), divided by Z."""
    return ref_logps + reward / _positive(beta) - log_partition(ref_logps, reward, beta)


def ascend(space: Space, start: Tensor, reward: Tensor, beta: float, steps: int = 1000) -> tuple[Tensor, list[Tensor]]:
    """Gradient ascent (Adam) on the exact ``objective`` from the reference's table ``start``, knowing nothing of ``optimum``.
    Returns the table, and the policy's ``logps`` before each step."""
    ref_logps, table, path = logps(space, start), start.clone().requires_grad_(), []
    optimiser = torch.optim.Adam([table], lr=0.05)
    for _ in range(steps):
        now = logps(space, table)
        path.append(now.detach())
        optimiser.zero_grad()
        (-objective(now, ref_logps, reward, beta)).backward()
        optimiser.step()
    return table.detach(), path


def preferred(reward: Tensor) -> Tensor:
    """Bradley and Terry's P(row preferred to column), (answers, answers): sigmoid of the difference of their rewards."""
    return torch.sigmoid(reward[:, None] - reward)


def expected_wins(logps: Tensor, reward: Tensor) -> Tensor:
    """``wins`` of infinitely many pairs as ``sample_pairs`` draws them."""
    return 2 * logps.exp()[:, None] * logps.exp() * preferred(reward)


def sample_pairs(logps: Tensor, reward: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` pairs of answers that a policy draws independently, judged after Bradley and Terry: ``(chosen, rejected)``, int64 (n,).

    Two equal answers stay in: they teach nothing, but without them the chosen would not be distributed as theory has it."""
    one, two = torch.multinomial(logps.exp(), 2 * n, replacement=True, generator=generator).view(2, n)
    won = torch.rand(n, dtype=torch.float64, generator=generator) < torch.sigmoid(reward[one] - reward[two])
    return one.where(won, two), two.where(won, one)


def wins(chosen: Tensor, rejected: Tensor, answers: int) -> Tensor:
    """Pairs, int64 (n,) each, as shares of all of them."""
    counts = torch.zeros(answers, answers, dtype=torch.float64)
    return counts.index_put((chosen, rejected), torch.ones((), dtype=torch.float64), accumulate=True) / len(chosen)


def pair_loss(scores: Tensor, wins: Tensor) -> Tensor:
    """Mean of -log sigmoid(chosen's score - rejected's score). With rewards (answers,) for scores this is Bradley and Terry's
    negative log-likelihood; with ``implicit_reward`` it is ``losses.dpo``."""
    return -(wins * F.logsigmoid(scores[:, None] - scores)).sum()


def implicit_reward(logps: Tensor, ref_logps: Tensor, beta: float) -> Tensor:
    """beta log(policy / reference): up to a constant, the reward whose ``optimum`` this policy is."""
    return _positive(beta) * (logps - ref_logps)


def pair_weights(logps: Tensor, ref_logps: Tensor, beta: float) -> Tensor:
    """What DPO's gradient multiplies each pair by, row chosen and column rejected: sigmoid(-margin)."""
    return preferred(-implicit_reward(logps, ref_logps, beta))


def fit_rewards(wins: Tensor, prior: float = 0.0) -> Tensor:
    """The rewards, with mean zero, that make these pairs likeliest. ``prior`` times half the squared spread of the rewards is added
    to the loss; at 0 they have no optimum where some answers never lose to the others."""
    rewards = _minimise(lambda r: pair_loss(r, wins) + prior * _spread(r), torch.zeros_like(wins[0]))
    return rewards - rewards.mean()


def train_dpo(space: Space, start: Tensor, wins: Tensor, beta: float, prior: float = 0.0) -> Tensor:
    """The table with the least DPO loss, searched from the reference's table ``start``. ``prior``: see ``fit_rewards``."""
    ref_logps = logps(space, start)

    def loss(table: Tensor) -> Tensor:
        reward = implicit_reward(logps(space, table), ref_logps, beta)
        return pair_loss(reward, wins) + prior * _spread(reward)

    return _minimise(loss, start)


def _spread(reward: Tensor) -> Tensor:
    return (reward - reward.mean()).square().sum() / 2


def _minimise(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    at = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [at], max_iter=2000, tolerance_grad=1e-7, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimiser.zero_grad()
        value = loss(at)
        value.backward()
        return float(value.detach())

    optimiser.step(closure)
    return at.detach()


def _positive(beta: float) -> float:
    if not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"beta is {beta}; it must be positive and finite.")
    return beta
