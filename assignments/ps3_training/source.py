# %% [markdown]
# # Problem set 3: from DPO to the training loop
#
# A loss on a page of a paper and a model that has learnt something are some way apart. You go this way with your own hands, in NumPy:
# log-probabilities of answers, DPO's loss, its gradient down to the weights, the step, the loop. At the end your loop trains the output
# layer of the pocket model.
#
# - Nine functions, more than two and a half hours. You need chapters 06 to 08 of the book and NumPy.
# - The first cell needs the course's library, `povid_lib`. In its folder, `pip install -e .` installs it; on Colab or elsewhere, use the
#   `pip install` line that your teacher gives you.
# - Below each function a check says what is still wrong. It is part of the mark. The rest is given for the same properties on other
#   data, drawn for you alone, so a function that only knows the examples gets few points.
# - Hand in this notebook, or a `.py` file with the functions, where your teacher has said. They are found by their names: do not
#   rename them. Other cells and helper functions of your own are welcome. No function may print for its result; each ends in a `return`.
#
# In all tasks an *answer* is a row of a batch: `ids` (rows, length) are the tokens of prompt and answer, `mask` (rows, length) is 1 at the
# answer's tokens and 0 at the prompt's and at padding, and `logits` (rows, length, vocabulary) are what the model says **after** each
# token. The mask is 0 at the first place, and the ids at padding are numbers of tokens too. Logarithms are natural ones. Logits may be
# 2000 apart or all far below 0, and margins as far from 0 as $\pm 4000$: results stay finite and right there, also beside others that are
# near 0. No function writes into what it was given: others still need it. Make new arrays (`w = w - x`, not `w -= x`).

# %% student
import math

import numpy as np

from povid_lib.course.exercises import attempt

# %% [markdown]
# The checks stand in the next cell. You need not read it.

# %% visible
EXACT = 1e-6
_P = np.array(
    [
        [[0.5, 0.25, 0.25], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]],
        [[0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]],
    ]
)
_OTHER = np.array(
    [
        [[0.3, 0.3, 0.4], [0.5, 0.3, 0.2], [0.4, 0.2, 0.4], [0.1, 0.1, 0.8]],
        [[0.3, 0.3, 0.4], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]],
    ]
)
_LARGE = np.array([[[0.0, 2000.0], [0.0, 0.0]]])
_BESIDE = np.array([[[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 2000.0], [0.0, 0.0]]])
_ONES, _BOTH = np.array([[0, 1, 1], [0, 1, 1]]), np.array([[0, 1, 1], [0, 1, 1]])
_LOGITS = np.log(_P) + np.array([[3, 1, 2, -1], [-2, 0.5, 0, 1]])[..., None]
_IDS, _MASK = np.array([[1, 0, 2, 1], [0, 1, 2, 2]]), np.array([[0, 0, 1, 1], [0, 1, 0, 0]])


def _one(value, what):
    """A number, or what is wrong with it."""
    assert np.ndim(value) == 0, f"{what} is one number, not an array of the shape {np.shape(value)}: take the mean"
    assert not np.isnan(value), f"{what} is nan"
    return value


def _array(value, shape, what):
    """An array of a shape, or what is wrong with it."""
    found = np.asarray(value, dtype=float)
    assert not np.isnan(found).any(), f"{what}: nan is among the numbers"
    assert found.shape == shape, f"{what}: the shape is {shape}, not {found.shape}"
    return found


def _fixed(value):
    """A copy that cannot be written into."""
    if type(value) is dict:
        return {key: _fixed(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_fixed, value))
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value


def _without_writing(who, function, *args):
    """What the function returns, unless it tries to write into an array that it was given."""
    try:
        return function(*args)
    except ValueError as fault:
        if "read-only" not in str(fault):
            raise
    raise AssertionError(f"{who} writes into an array that it was given; make a new one: w = w - x, not w -= x")


_DIGITS = "right to some digits only: give the formula of the derivative, not a difference of two losses"


def _guarded(who, function):
    """The function, which gets copies that cannot be written into."""
    return lambda *args: _without_writing(who, function, *map(_fixed, args))


def check_answer_logps(answer_logps):
    """Two answers, of two tokens and of one; and logits far from each other."""
    answer_logps = _guarded("answer_logps", answer_logps)
    found = _array(answer_logps(_LOGITS, _IDS, _MASK), (2,), "one number an answer")
    for wrong, why in (
        (
            np.log([0.02, 0.4]),
            "logits stand after a token and predict the next one: those at place t are about ids at t + 1",
        ),
        (np.log([0.8, 0.2]), "the mask belongs to the token that is predicted, not to the place that predicts it"),
        (np.log([0.4, 0.6]) / [2, 1], "this is the mean over the tokens; the log-probability of an answer is the sum"),
        (np.log([0.2, 0.048]), "the prompt's tokens do not count, and padding does not: use the mask"),
        (
            np.log([0.4, 0.6]) + np.array([3, -2]),
            "logits are no log-probabilities yet: subtract the logarithm of the sum of exp",
        ),
        ([0.4, 0.6], "these are probabilities; give their logarithms"),
        (-np.log([0.4, 0.6]), "the sign is turned: a log-probability is negative"),
    ):
        assert not np.abs(found - wrong).max() <= EXACT, why
    want = np.log([0.4, 0.6])
    assert np.abs(found - want).max() < EXACT, (
        f"the first answer has 0.5 times 0.8, the second 0.6: {want.round(4).tolist()}, not {found.round(4).tolist()}"
    )
    for came, want in ((1, 0.0), (0, -2000.0)):
        found = np.asarray(answer_logps(_LARGE, np.array([[0, came]]), np.array([[0, 1]])), dtype=float)
        assert not (came == 1 and not np.isfinite(found).all()), (
            "exp(2000) is infinite and makes nan: subtract the largest logit before exp"
        )
        assert np.isfinite(found).all(), (
            "exp(-2000) is 0 to the computer, and the logarithm of 0 is infinite: take no logarithm of a probability, but the logit "
            "less the logarithm of the sum of exp"
        )
        assert np.abs(found - want).max() < EXACT, (
            f"with logits 0 and 2000 the log-probability of token {came} is {want:.0f}, not {found.tolist()}; add nothing to a "
            "probability, cut nothing off"
        )
    want = np.array([-0.626523, -0.313262])
    found = np.asarray(answer_logps(_BESIDE, _ONES, _BOTH), dtype=float)
    for row, what in ((0, "batch"), (1, "row")):
        assert np.isfinite(found[row]), (
            f"subtract the largest logit of each place by itself, not that of the whole {what}: less 2000, logits of 0 and 1 at another "
            "place become 0 under exp"
        )
    assert np.abs(found - want).max() < 1e-5, (
        f"beside a place with a logit of 2000 the answers have {want.tolist()}, not {found.tolist()}"
    )
    found = np.asarray(answer_logps(_BESIDE - 4000, _ONES, _BOTH), dtype=float)
    assert np.isfinite(found).all(), "all logits of a place may be far below 0: subtract the largest one there as well"
    assert np.abs(found - want).max() < 1e-5, (
        f"4000 less on all logits changes nothing: {want.tolist()}, not {found.tolist()}"
    )


def _pairs_at(*margins):
    """Four arrays of pairs that have these margins at beta 1."""
    return np.array(margins, dtype=float), *[np.zeros(len(margins)) for _ in range(3)]


_DPO = (np.array([-4.0, -6.0]), np.array([-5.0, -3.0]), np.array([-5.0, -6.0]), np.array([-4.0, -4.0]))


def check_dpo(dpo):
    """Two pairs: one whose margin is 1, one whose margin is -1/2."""
    dpo = _guarded("dpo", dpo)
    found = dpo(*_DPO, 0.5)
    assert set(found) == {"loss", "margin", "accuracy"}, (
        f"the keys must be loss, margin and accuracy, not {sorted(found)}"
    )
    for key in ("loss", "margin", "accuracy"):
        _one(found[key], key)
    assert not (abs(found["loss"] - 0.893669) <= 1e-5 and found["margin"] > 0), (
        "the sign below the logarithm is turned: -log(sigmoid(m)) is log(1 + exp(-m))"
    )
    for wrong, why in (
        (1.087745, "the reference is missing: what counts is how far the policy has moved from it"),
        (0.893669, "chosen and rejected are exchanged"),
        (0.720095, "beta is missing"),
        (0.575939, "take the loss of each pair first, then the mean"),
        (1.287339, "the rows are averaged, not summed"),
        (-0.643669, "the sign is turned: a loss is positive and is to become small"),
        (-0.554300, "the logarithm is missing: it is -log(sigmoid(margin))"),
    ):
        assert not abs(found["loss"] - wrong) <= 1e-5, why
    assert abs(found["loss"] - 0.643669) < 1e-5, f"the loss is 0.64367, not {found['loss']:.5f}"
    assert not abs(found["margin"] - 0.5) <= EXACT, "the margin is that of the rewards, so beta is in it"
    assert abs(found["margin"] - 0.25) < EXACT, f"the margins are 1 and -1/2, their mean is 0.25, not {found['margin']}"
    assert abs(found["accuracy"] - 0.5) < EXACT, (
        f"one of two margins is above 0: accuracy is 0.5, not {found['accuracy']}"
    )
    sides = ([-4.0, -6.0, -2.0], [-5.0, -3.0, -1.0], [-6.0, -9.0, -3.0], [-4.0, -4.0, -4.0])
    found = _one(dpo(*map(np.array, sides), 0.5)["accuracy"], "accuracy")
    for wrong, why in (
        (1 / 3, "accuracy is about margins, and so about the reference too; you compare the policy's two answers"),
        (1.0, "accuracy is about margins, and so about the rejected answer too; you look at the chosen one alone"),
    ):
        assert not abs(found - wrong) <= EXACT, why
    assert abs(found - 2 / 3) < EXACT, f"with the margins 1.5, 1 and -1 accuracy is 0.667, not {found:.3f}"
    found = dpo(*_pairs_at(-4000), 1.0)["loss"]
    assert math.isfinite(found), "at a margin of -4000 the sigmoid is 0 and its logarithm infinite: use np.logaddexp"
    assert abs(found - 4000) < EXACT, f"at a margin of -4000 the loss is 4000, not {found}"
    found = dpo(*_pairs_at(4000), 1.0)["loss"]
    assert math.isfinite(found), "at a margin of +4000 exp overflows: use np.logaddexp"
    assert abs(found) < EXACT, f"at a margin of +4000 the loss is 0, not {found}"
    for far, want in ((4000, math.log(2) / 2), (-4000, 2000 + math.log(2) / 2)):
        found = dpo(*_pairs_at(far, 0), 1.0)["loss"]
        assert abs(found - want) < EXACT, (
            f"one pair is far from 0, and the other at 0 keeps its own loss: with the margins {far} and 0 the mean is {want:.5f}, not {found}"
        )
    start = [np.array([-3.0, -7.0])] * 4
    assert dpo(*start, 0.5)["accuracy"] == 0, "a margin of 0 is no success: the policy has not moved yet"


def check_dpo_gradient(dpo_gradient):
    """The slope of the loss in each log-probability."""
    dpo_gradient = _guarded("dpo_gradient", dpo_gradient)
    found = dpo_gradient(*_DPO, 0.25)
    assert len(found) == 2, "give two arrays: the slopes in chosen and in rejected"
    chosen, rejected = (_array(side, (2,), "a slope for each row") for side in found)
    right = np.array([0.047193, 0.070272])
    for wrong, why in (
        (right, "the signs are turned: the loss falls where the chosen answer becomes likelier"),
        (-2 * right, "the loss is a mean over the rows, and so is its gradient"),
        (-right / 0.25, "the inner derivative is missing: the margin has beta in it"),
        (
            -np.array([0.077807, 0.054728]),
            "the slope is sigmoid(-margin), large where the pair is told wrongly; this is sigmoid(margin)",
        ),
    ):
        assert not np.abs(chosen - wrong).max() <= 1e-5, why
    assert np.abs(chosen + right).max() < 1e-5, (
        f"the slopes in chosen are {(-right).tolist()}, not {chosen.round(6).tolist()}"
    )
    assert not np.abs(rejected - chosen).max() <= 1e-5, (
        "you give both sides the same slope; in the margin they have opposite signs"
    )
    assert np.abs(rejected - right).max() < 1e-5, (
        f"the slopes in rejected are the same with the other sign, not {rejected.round(6).tolist()}"
    )
    found = np.asarray(dpo_gradient(*_pairs_at(-4000), 1.0)[0], dtype=float)
    assert np.isfinite(found).all(), "exp overflows at a margin of -4000 and makes nan: compute the sigmoid without it"
    assert not np.abs(found + 0.5).max() <= EXACT, "divide by the number of rows, which is 1 here, and not always by 2"
    assert np.abs(found + 1).max() < EXACT, f"one row with a margin of -4000 has the slope -1, not {found.tolist()}"
    found = np.asarray(dpo_gradient(*_pairs_at(4000), 1.0)[0], dtype=float)
    assert np.isfinite(found).all(), "at a margin of +4000 exp(m) / (1 + exp(m)) is nan: compute the sigmoid without it"
    assert np.abs(found).max() < EXACT, f"one row with a margin of +4000 has the slope 0, not {found.tolist()}"
    for far, want in ((4000, [0.0, -0.25]), (-4000, [-0.5, -0.25])):
        found = np.asarray(dpo_gradient(*_pairs_at(far, 0), 1.0)[0], dtype=float)
        assert np.abs(found - want).max() < EXACT, (
            f"one pair is far from 0, and the other at 0 keeps its own slope: with the margins {far} and 0 they are {want}, not {found.tolist()}"
        )
    assert np.abs(found - want).max() < 1e-11, _DIGITS


def check_povid(povid):
    """POVID's loss of two pairs, with three coefficients."""
    povid = _guarded("povid", povid)
    policy = {"chosen": np.array([-4.0, -6.0]), "rejected": np.array([-5.0, -3.0]), "noised": np.array([-8.0, -7.0])}
    reference = {"chosen": np.array([-5.0, -6.0]), "rejected": np.array([-4.0, -4.0]), "noised": np.array([-6.0, -9.0])}
    found = _one(povid(policy, reference, 0.4, 0.2, 0.3), "the loss")
    for wrong, why in (
        (0.917192, "the sign below the logarithm is turned: -log(sigmoid(m)) is log(1 + exp(-m))"),
        (0.823592, "each of the three terms has its own coefficient; you use alpha for all"),
        (0.603081, "the noised answer is a dispreference: its term is subtracted"),
        (0.617813, "the noised answer is missing"),
        (0.695261, "beta1 belongs to the rejected answer and beta2 to the noised one; they are exchanged"),
        (0.353666, "the reference is missing: each term is a difference to it"),
        (0.646594, "the paper has one sigmoid over all three terms, not the mean of two losses"),
        (0.679625, "the paper has one sigmoid over all three terms, not the mean of two losses"),
        (2 * 0.717192, "the rows are averaged, not summed"),
        (-0.717192, "the sign is turned: a loss is positive and is to become small"),
    ):
        assert not abs(found - wrong) <= 1e-5, why
    assert abs(found - 0.717192) < 1e-5, f"the loss is 0.71719, not {found:.5f}"
    sides = ("chosen", "rejected", "noised")
    far = dict(zip(sides, map(np.array, ([-40000.0], [0.0], [0.0])), strict=True))
    found = povid(far, dict.fromkeys(sides, np.zeros(1)), 0.1, 0.2, 0.3)
    assert math.isfinite(found), "at a margin of -4000 the sigmoid is 0 and its logarithm infinite, as in task 2"
    assert abs(found - 4000) < EXACT, f"at a margin of -4000 the loss is 4000, not {found}"
    far = {**far, "chosen": np.array([40000.0])}
    found = povid(far, dict.fromkeys(sides, np.zeros(1)), 0.1, 0.2, 0.3)
    assert math.isfinite(found), "at a margin of +4000 exp overflows, as in task 2"
    assert abs(found) < EXACT, f"at a margin of +4000 the loss is 0, not {found}"


def check_logits_gradient(logits_gradient):
    """The slope of two answers' log-probabilities, weighted 1 and -2, in their logits."""
    logits_gradient = _guarded("logits_gradient", logits_gradient)
    found = logits_gradient(_LOGITS, _IDS, _MASK, np.array([1.0, -2.0]))
    found = _array(found, _LOGITS.shape, "the slopes have the shape of the logits")
    assert np.abs(found[:, -1]).max() < EXACT, "the logits after the last token predict nothing: their slope is 0"
    assert not np.array_equal(np.abs(found[:, :-1]).max(-1) > EXACT, _MASK[:, :-1] == 1), (
        "the mask belongs to the token that is predicted: the logits at place t count where the mask is 1 at t + 1"
    )
    assert np.abs(found[0, 0]).max() < EXACT, "these logits predict a token of the prompt: their slope is 0"
    assert np.abs(found[1, 1:]).max() < EXACT, "logits that predict padding have the slope 0"
    first = found[0, 1]
    for wrong, why in (
        ([0.2, 0.3, -0.5], "the sign is turned: raising the logit of the token that came raises its log-probability"),
        ([0.0, 0.0, 1.0], "the other tokens' logits matter too: subtract the probabilities"),
        ([-0.1, -0.15, 0.25], "no mean here: the log-probability of an answer is the sum over its tokens"),
        ([-0.2, -0.3, -0.5], "add 1 at the token that came"),
        ([0.8, -0.3, -0.5], "the token that comes after place t has its id at t + 1"),
    ):
        assert not np.abs(first - wrong).max() <= EXACT, why
    assert np.abs(first - [-0.2, -0.3, 0.5]).max() < EXACT, (
        f"where token 2 came with probability 0.5 the slope is [-0.2, -0.3, 0.5], not {first.round(4).tolist()}"
    )
    second = found[1, 0]
    assert not np.abs(second - [-0.1, 0.4, -0.3]).max() <= EXACT, "the weight of the row is missing"
    assert np.abs(second - [0.2, -0.8, 0.6]).max() < EXACT, (
        f"the second row has the weight -2: [0.2, -0.8, 0.6], not {second.round(4).tolist()}"
    )
    found = np.asarray(logits_gradient(_LARGE, np.array([[0, 0]]), np.array([[0, 1]]), np.ones(1)), dtype=float)
    assert np.isfinite(found).all(), "exp(2000) is infinite and makes nan: subtract the largest logit before exp"
    assert np.abs(found[0, 0] - [1, -1]).max() < EXACT, (
        f"with logits 0 and 2000, where token 0 came, the slope is [1, -1], not {found[0, 0].tolist()}"
    )
    found = np.asarray(logits_gradient(_BESIDE, _ONES, _BOTH, np.ones(2)), dtype=float)
    for row, what in ((0, "batch"), (1, "row")):
        assert np.isfinite(found[row]).all(), (
            f"subtract the largest logit of each place by itself, not that of the whole {what}: less 2000, logits of 0 and 1 at another "
            "place become 0 under exp"
        )
    assert np.abs(found[:, 0] - [-0.268941, 0.268941]).max() < 1e-5, (
        f"beside a place with a logit of 2000 the slopes at logits 0 and 1 are [-0.26894, 0.26894], not {found[:, 0].tolist()}"
    )


def check_kl(kl):
    """The divergence of two models over three tokens."""
    kl = _guarded("kl", kl)
    found = _one(kl(_LOGITS, np.log(_OTHER), _MASK), "the divergence")
    for wrong, why in (
        (0.221064, "divide by the number of the answers' tokens, not by that of all places"),
        (0.165798, "divide by the number of the answers' tokens, not by that of all places"),
        (0.775462, "logits are no log-probabilities yet: normalise those of both models"),
        (0.447792, "this is KL(reference || policy); the expectation is the policy's"),
        (8.049575, "logits are no log-probabilities yet: normalise those of both models"),
        (0.700999, "the logits that predict a token stand one place before it"),
        (0.583286, "the logits that predict a token stand one place before it"),
        (0.388857, "the logits that predict a token stand one place before it"),
        (1.326386, "give the mean over the answers' tokens, not the sum"),
        (0.386527, "all tokens count alike: add over all answers first and divide once"),
        (0.292252, "only places that predict an answer's token count: use the mask"),
        (0.336242, "only places that predict an answer's token count: use the mask"),
        (
            0.998577,
            "this is the log-ratio of the tokens that came, one draw; the sum over the whole vocabulary is asked for",
        ),
        (0.637857, "take natural logarithms"),
        (-0.442129, "the sign is turned: a divergence is never negative"),
    ):
        assert not abs(found - wrong) <= 1e-5, why
    assert abs(found - 0.442129) < 1e-5, f"the divergence is 0.44213 per token, not {found:.5f}"
    assert abs(kl(_LOGITS, _LOGITS + 7, _MASK)) < EXACT, (
        "a constant on all logits changes no probability, and gives no divergence"
    )
    found = kl(_LARGE, 0 * _LARGE, np.array([[0, 1]]))
    assert math.isfinite(found), (
        "with logits of 2000 exp is infinite, and 0 times the logarithm of 0 is nan: work with log-probabilities as in task 1"
    )
    assert abs(found - math.log(2)) < EXACT, f"with logits 0 and 2000 against 0 and 0 it is log 2, not {found:.5f}"
    found = kl(0 * _LARGE, _LARGE, np.array([[0, 1]]))
    assert math.isfinite(found), (
        "the reference's probability of a token may be 0 to the computer, and its logarithm infinite: work with log-probabilities here too"
    )
    assert abs(found - 1000 + math.log(2)) < EXACT, (
        f"with logits 0 and 0 against 0 and 2000 it is 1000 - log 2, not {found:.5f}; add nothing to a probability, cut nothing off"
    )


def check_implied_reward(implied_reward):
    """The reward that three answers' probabilities stand for."""
    implied_reward = _guarded("implied_reward", implied_reward)
    ref, policy, beta = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.15, 0.6]), 0.5
    found = _array(implied_reward(np.log(policy), np.log(ref), beta), (3,), "one reward an answer")
    want = np.array([-0.218867, -0.127706, 0.565441])
    for wrong, why in (
        (
            [-0.346574, -0.255413, 0.437734],
            "only differences of rewards are known: choose the constant so that the reference's mean reward is 0",
        ),
        (
            [-0.291823, -0.200662, 0.492485],
            "the mean is that under the reference, where some answers are likelier; you weigh all answers alike",
        ),
        (want / beta, "beta is missing"),
        (want / beta**2, "multiply by beta, do not divide"),
        (-want, "the sign is turned: what became likelier was rewarded"),
        ([-0.474280, -0.383119, 0.310028], "subtract the reference's mean reward, do not add it"),
        ([-0.484259, -0.393098, 0.300049], "the mean reward is to be 0 under the reference, not under the policy"),
        ([-0.334049, -0.242888, 0.450259], "weigh with the reference's probabilities, exp of ref_logps"),
        ([-0.350187, -0.259027, 0.434120], "weigh with the reference's probabilities, exp of ref_logps"),
    ):
        assert not np.abs(found - wrong).max() <= 1e-5, why
    assert np.abs(found - want).max() < 1e-5, f"the rewards are {want.round(4).tolist()}, not {found.round(4).tolist()}"
    found = np.asarray(implied_reward(np.array([0.0, -2000.0]), np.log([0.5, 0.5]), beta), dtype=float)
    assert np.isfinite(found).all(), (
        "an answer with the log-probability -2000 has the probability 0 to the computer: stay with log-probabilities, and take no "
        "logarithm of a ratio of probabilities"
    )
    assert np.abs(found - [500, -500]).max() < EXACT, (
        f"with the log-probabilities 0 and -2000 the rewards are 500 and -500, not {found.tolist()}; add nothing to a probability"
    )


def _stepped(step, weights, gradient, state):
    """New weights and new state after a step whose arguments cannot be written into."""
    arrays = (np.array(each, dtype=float) for each in (weights, gradient))
    found = _without_writing("step", step, *map(_fixed, arrays), state, 0.1)
    pair = isinstance(found, tuple | list) and len(found) == 2 and isinstance(found[1], dict)
    assert pair, f"give two things, the new weights and the new state, a dict; this is no such pair: {str(found)[:50]}"
    return np.asarray(found[0], dtype=float), found[1]


def check_step(step):
    """Three steps, the first with a gradient that is too long; one with small slopes, and one of a bias."""
    weights, gradient = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]
    first, state = _stepped(step, weights, gradient, {})
    assert first.shape == (3, 2), f"the new weights have the shape of the old ones, (3, 2), not {first.shape}"
    assert np.isfinite(first[0, 0]), (
        "the first step is number 1, not 0: with 0 the correction divides by 0 and makes nan"
    )
    assert np.isfinite(first).all(), "where a gradient is 0 you divide 0 by 0, which makes nan: the 10^-8 is missing"
    for wrong, why in (
        ([[1.1, 2], [3, 4.1], [5, 6]], "the step goes uphill: subtract it"),
        (
            [[0.683772, 2], [3, 3.683772], [5, 6]],
            "the first means are far too small: divide them by 1 - 0.9^t and 1 - 0.999^t",
        ),
        ([[0.833333, 2], [3, 3.875], [5, 6]], "divide by the square root of v"),
        ([[0.98, 2], [3, 3.98], [5, 6]], "v takes the scaled gradient too"),
    ):
        assert not np.abs(first - wrong).max() <= 1e-4, why
    want = [[0.9, 2], [3, 3.9], [5, 6]]
    assert np.abs(first - want).max() < 1e-5, (
        f"the first step is 0.1 long in each weight with a slope: {want}, not {first.round(6).tolist()}"
    )
    gradient = [[0.2, 0.0], [0.5, -0.1], [0.0, 0.3]]
    second, later = _stepped(step, first, gradient, state)
    second = _array(second, (3, 2), "the weights after the second step")
    for wrong, why in (
        (
            [[0.828190, 2.0], [2.925586, 3.834876], [5, 5.925586]],
            "the first gradient has the norm 5: scale it to 1 before all else",
        ),
        (
            [[0.819696, 2.0], [2.925586, 3.840735], [5, 5.925586]],
            "scale the whole gradient by one number; you cut each slope off by itself",
        ),
        (
            [[0.816076, 2.0], [2.925586, 3.840735], [5, 5.925586]],
            "the norm is the root of the sum of all squares, 5 for the first gradient; yours is another one",
        ),
        (
            [[0.805841, 2.0], [2.925586, 3.848911], [5, 5.925586]],
            "the second gradient is shorter than 1: leave it as it is",
        ),
        ([[0.8, 2.0], [2.9, 4.0], [5, 5.9]], "the state is lost: the second step goes on with the first one's means"),
        (
            [[0.782943, 2.0], [2.9, 3.823061], [5, 5.9]],
            "t is 2 at the second step: count the steps, and keep the number in the state",
        ),
        (
            [[0.808636, 2.0], [2.931045, 3.837018], [5, 5.931045]],
            "0.9 belongs to the mean of the gradients and 0.999 to that of their squares",
        ),
    ):
        assert not np.abs(second - wrong).max() <= 1e-5, why
    want = [[0.812894, 2.0], [2.925586, 3.842747], [5.0, 5.925586]]
    assert np.abs(second - want).max() < 1e-5, (
        f"after the second step the weights are {want}, not {second.round(6).tolist()}"
    )
    third = _stepped(step, second, [[-0.3, 0.1], [0.2, 0.0], [0.4, -0.2]], later)[0]
    want = [[0.779467, 1.936119], [2.848447, 3.798489], [4.936119, 5.91318]]
    assert not np.abs(third - [[0.773956, 1.925586], [2.835729, 3.791193], [4.925586, 5.911134]]).max() <= 1e-5, (
        "t is 3 at the third step: count the steps on"
    )
    assert np.abs(third - want).max() < 1e-5, (
        f"after the third step the weights are {want}, not {third.round(6).tolist()}"
    )
    kept = "the old state must stay as it was, so that two steps from it are the same: give a new dict, with new arrays in it"
    assert np.array_equal(_stepped(step, first, gradient, state)[0], second), kept
    try:
        step(np.array(first), np.array(gradient), _fixed(state), 0.1)
    except ValueError as fault:
        if "read-only" in str(fault):
            raise AssertionError(kept) from fault
        raise
    small = float(_stepped(step, [[0.0]], [[1e-8]], {})[0].ravel()[0])
    assert not abs(small + 1e-5) <= 1e-6, "the 10^-8 is added to the square root, not to what stands below it"
    assert not abs(small + 0.1) <= 1e-4, "the 10^-8 is missing: it is added to the square root"
    assert abs(small + 0.05) < 1e-4, f"with a slope of 1e-8 the first step is half of lr: -0.05, not {small:.6f}"
    try:
        bias = _stepped(step, [0.0, 1.0, 2.0], [3.0, 0.0, -4.0], {})[0]
    except Exception as fault:
        raise AssertionError(
            "weights may have one dimension, as a bias has; the norm is that over all entries, whatever the shape. "
            f"With the shape (3,) step says: {fault}"
        ) from fault
    bias = _array(bias, (3,), "the weights of a bias")
    assert np.abs(bias - [-0.1, 1, 2.1]).max() < 1e-5, (
        f"the weights [0, 1, 2] with the gradient [3, 0, -4] become [-0.1, 1, 2.1], not {bias.tolist()}"
    )


def _tiny(seed):
    """A model of 7 words with 5 features, and four pairs whose sides have 6 and 5 places."""
    draw = np.random.default_rng(seed)
    pairs = {}
    for side, length in (("chosen", 6), ("rejected", 5)):
        mask = np.zeros((4, length), dtype=int)
        for row, end in enumerate(draw.integers(3, length + 1, 4)):
            mask[row, 1:end] = 1
        ids = draw.integers(0, 7, (4, length))
        pairs[side] = {"hidden": draw.normal(size=(4, length, 5)), "ids": ids, "mask": mask}
    return draw.normal(size=(7, 5)), pairs


def _trained(train, weights, pairs, beta, lr, steps):
    """What ``train`` gives, with a list of its own of the losses."""
    who = "train, or the step that it calls,"
    try:
        after, losses = _without_writing(who, train, _fixed(weights), pairs, beta, lr, steps)
    except ValueError as fault:
        apart = ("concatenation axis", "must have the same shape", "inhomogeneous")
        if not any(words in str(fault) for words in apart):
            raise
        raise AssertionError(
            "the two sides may differ in length, 6 and 5 places here: do not join them, or pad the shorter one first. "
            f"NumPy says: {fault}"
        ) from fault
    return after, list(losses)


def check_train(train):
    """Six steps on a tiny model, the same again, from other weights, and with large steps."""
    weights, pairs = _tiny(0)
    pairs = _fixed(pairs)
    after, losses = _trained(train, weights, pairs, 0.2, 0.05, 6)
    again = _trained(train, weights, pairs, 0.2, 0.05, 6)[1]
    assert len(again) == len(losses), (
        f"the same call gives {len(losses)} losses, and then {len(again)}: something is kept from call to call. A default argument such as "
        "losses=[] is made once, when the function is defined"
    )
    after = _array(after, weights.shape, "the new weights")
    assert not any(isinstance(each, dict) for each in losses), "the losses are numbers: take `loss` of what dpo gives"
    assert not np.isnan(np.asarray(losses, dtype=float)).any(), "nan is among the losses"
    assert len(losses) == 6, f"give one loss a step, of the weights before it: 6, not {len(losses)}"
    assert np.abs(np.subtract(again, losses)).max() < EXACT, (
        "the same call gives other losses the second time: something is kept from call to call, such as a default argument state={}"
    )
    assert not np.abs(after - weights).max() <= EXACT, "the weights are as they were at the start"
    assert not abs(losses[0] - 0.850699) <= 1e-4, "the reference is missing: it is the model as it was at the start"
    assert not abs(losses[0] - 0.613570) <= 1e-4, (
        "each loss is that of the weights before its step; yours is that after it"
    )
    assert abs(losses[0] - math.log(2)) < 1e-4, (
        f"before the first step policy and reference agree: the loss is log 2, not {losses[0]:.4f}"
    )
    assert not abs(losses[-1] - losses[0]) <= 1e-9, (
        "the loss stays at log 2: the reference has to stay as it was at the start, and yours moves along"
    )
    assert losses[-1] < losses[0], "the loss rises: a sign is turned, or chosen and rejected are exchanged"
    for wrong, why in (
        (0.378265, "each step begins anew: hand the state of one step to the next"),
        (0.467592, "the rejected answers have a gradient too; you train on the chosen ones alone"),
        (0.480480, "the chosen answers have a gradient too; you train on the rejected ones alone"),
        (0.402352, "hand beta on to the gradient as well; you use another one there than in the loss"),
        (0.046247, "hand beta on to the loss and to its gradient"),
        (0.663762, "use your step: this goes along the gradient itself"),
        (0.296549, "add the gradients of both sides up and make one step of the sum; you make two"),
        (0.297597, "add the gradients of both sides up and make one step of the sum; you make two"),
        (0.327335, "add the gradients of both sides up and make one step of the sum; you make two"),
    ):
        assert not abs(losses[-1] - wrong) <= 1e-6, why
    assert abs(losses[-1] - 0.383794) < 1e-5, f"before the sixth step the loss is 0.38379, not {losses[-1]:.5f}"
    other = _trained(train, _tiny(1)[0], pairs, 0.2, 0.05, 2)[1]
    assert abs(other[0] - math.log(2)) < EXACT, (
        f"from other weights the first loss is log 2 too, not {other[0]:.4f}: the reference is the model at the start of this call, and "
        "none that was kept from an earlier one"
    )
    many = _trained(train, weights, pairs, 5.0, 0.3, 12)[1]
    assert len(many) == 12, f"make all 12 steps, however small the loss gets; {len(many)} were made"
    assert abs(np.abs(after - weights).max() - 0.2988) < 1e-3, "the returned weights are those after the last step"


# %% [markdown]
# ## 1. The log-probability of an answer (20 minutes)
#
# `answer_logps(logits, ids, mask)` gives the log-probability of each row's answer, (rows,): the **sum** over the answer's tokens. The
# logits after token $t$ predict token $t + 1$. So the last logits predict nothing, and the first token is predicted by nothing.


# %% task
def answer_logps(logits, ids, mask):
    """Log-probability of each answer, (rows,); logits (rows, length, vocabulary), ids and mask (rows, length)."""
    # BEGIN SOLUTION
    logits, ids, mask = np.asarray(logits, dtype=float)[:, :-1], np.asarray(ids)[:, 1:], np.asarray(mask)[:, 1:]
    top = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(-1)) + top[..., 0]
    came = np.take_along_axis(logits, ids[..., None], -1)[..., 0]
    return ((came - total) * mask).sum(1)
    # END SOLUTION


# %% [markdown]
# ## 2. DPO's loss (15 minutes)
#
# All four arguments of `dpo(chosen, rejected, ref_chosen, ref_rejected, beta)` are log-probabilities of answers, (rows,). With the
# margins
#
# $$m = \beta \left[\left(\log \pi(y_w) - \log \pi_\text{ref}(y_w)\right) - \left(\log \pi(y_l) - \log \pi_\text{ref}(y_l)\right)\right]$$
#
# it gives a dict of three numbers: `loss`, the mean of $-\log \sigma(m)$; `margin`, the mean of $m$; `accuracy`, the share of rows with
# $m > 0$. At $m = -4000$ the sigmoid is 0 to the computer, and the loss is 4000.


# %% task
def dpo(chosen, rejected, ref_chosen, ref_rejected, beta):
    """``loss``, ``margin`` and ``accuracy`` as a dict; four arrays (rows,) of answers' log-probabilities."""
    # BEGIN SOLUTION
    margin = beta * ((np.asarray(chosen) - ref_chosen) - (np.asarray(rejected) - ref_rejected))
    return {"loss": np.logaddexp(0, -margin).mean(), "margin": margin.mean(), "accuracy": (margin > 0).mean()}
    # END SOLUTION


# %% [markdown]
# ## 3. Its gradient (15 minutes)
#
# `dpo_gradient` has the same arguments, and gives two arrays (rows,): the derivative of the mean loss in each entry of `chosen`, and in
# each entry of `rejected`. Give the formula, not a difference of two losses. Do it on paper first, and see there in which pairs DPO
# pushes, and how hard at most (nothing to hand in).


# %% task
def dpo_gradient(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The derivatives of ``dpo``'s loss in chosen and in rejected, two arrays (rows,)."""
    # BEGIN SOLUTION
    margin = beta * ((np.asarray(chosen) - ref_chosen) - (np.asarray(rejected) - ref_rejected))
    slope = beta * np.exp(-np.logaddexp(0, margin)) / len(margin)
    return -slope, slope
    # END SOLUTION


# %% [markdown]
# ## 4. POVID's loss (5 minutes)
#
# POVID has a second dispreference: the tokens that the policy prefers under a noised picture. `policy` and `reference` are dicts with
# the answers' log-probabilities under the keys `chosen`, `rejected` and `noised`, each (rows,). With $\rho$ for policy less reference,
# `povid(policy, reference, alpha, beta1, beta2)` gives the mean over the rows of
#
# $$-\log \sigma\left(\alpha\, \rho_w - \beta_1\, \rho_l - \beta_2\, \rho_n\right).$$


# %% task
def povid(policy, reference, alpha, beta1, beta2):
    """The mean loss; two dicts of arrays (rows,)."""
    # BEGIN SOLUTION
    rho = {side: np.asarray(policy[side]) - reference[side] for side in ("chosen", "rejected", "noised")}
    return np.logaddexp(0, -(alpha * rho["chosen"] - beta1 * rho["rejected"] - beta2 * rho["noised"])).mean()
    # END SOLUTION


# %% [markdown]
# ## 5. The gradient in the logits (20 minutes)
#
# Now down into the model. `logits_gradient(logits, ids, mask, weight)` gives the derivative of $\sum_r w_r \log \pi(y_r)$ in every
# logit, an array in the shape of `logits`; `weight` (rows,) are the $w_r$, and $\log \pi(y_r)$ is what `answer_logps` gives: a sum
# over the answer's tokens, and no mean over the rows. Derive it on paper: which logits does $\log \pi(y_r)$ depend on, and how does the
# log-probability of one token change with each of them?


# %% task
def logits_gradient(logits, ids, mask, weight):
    """The derivative of the weighted sum of the answers' log-probabilities, in the shape of ``logits``."""
    # BEGIN SOLUTION
    logits, ids = np.asarray(logits, dtype=float), np.asarray(ids)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    came = np.eye(logits.shape[-1])[ids[:, 1:]]
    found = np.zeros_like(logits)
    found[:, :-1] = (came - p[:, :-1]) * (np.asarray(mask)[:, 1:] * np.asarray(weight)[:, None])[..., None]
    return found
    # END SOLUTION


# %% [markdown]
# ## 6. How far has the policy gone? (20 minutes)
#
# `kl(logits, ref_logits, mask)` gives $\text{KL}(\pi\,\|\,\pi_\text{ref})$ per token: at each place that predicts a token of an answer the
# sum over the **whole** vocabulary of $\pi(v) \left(\log \pi(v) - \log \pi_\text{ref}(v)\right)$, and the mean of these over all such
# places of all answers.


# %% task
def kl(logits, ref_logits, mask):
    """KL(policy || reference), the mean over the answers' tokens; both logits (rows, length, vocabulary)."""

    # BEGIN SOLUTION
    def logps(of):
        of = np.asarray(of, dtype=float)[:, :-1]
        of = of - of.max(-1, keepdims=True)
        return of - np.log(np.exp(of).sum(-1, keepdims=True))

    policy, reference, mask = logps(logits), logps(ref_logits), np.asarray(mask)[:, 1:]
    return ((np.exp(policy) * (policy - reference)).sum(-1) * mask).sum() / mask.sum()
    # END SOLUTION


# %% [markdown]
# ## 7. The reward that was never written down (5 minutes)
#
# A policy that maximises reward less $\beta$ KL stands for a reward: $r(y) = \beta \log \frac{\pi(y)}{\pi_\text{ref}(y)} + c$. The
# constant is not known. `implied_reward(logps, ref_logps, beta)` gets the log-probabilities of **all** answers there are, (answers,), and
# gives their rewards with $c$ chosen so that the mean reward under the reference is 0.


# %% task
def implied_reward(logps, ref_logps, beta):
    """The rewards (answers,) with mean 0 under the reference; log-probabilities of all answers, (answers,)."""
    # BEGIN SOLUTION
    reward = beta * (np.asarray(logps) - ref_logps)
    return reward - (np.exp(ref_logps) * reward).sum()
    # END SOLUTION


# %% [markdown]
# ## 8. The step (20 minutes)
#
# `step(weights, gradient, state, lr)` gives the new weights and the new state. First, if the gradient's norm (over all its entries) is
# above 1, scale the whole gradient to norm 1. Then Adam, with $t$ = 1 at the first step:
#
# $$m \leftarrow 0.9\, m + 0.1\, g, \quad v \leftarrow 0.999\, v + 0.001\, g^2, \quad
# w \leftarrow w - \text{lr}\, \frac{m / (1 - 0.9^t)}{\sqrt{v / (1 - 0.999^t)} + 10^{-8}}.$$
#
# From here on, $g$ is the scaled gradient. The norm is the root of the sum of all squares; weights may have one dimension (a bias) or
# more. `state` is a dict of your own; at the first step it is empty, and $m$ and $v$ are 0. The old state must stay as it was too: give a
# new one.


# %% task
def step(weights, gradient, state, lr):
    """(new weights, new state); weights and gradient of one shape, state a dict, {} at first."""
    # BEGIN SOLUTION
    gradient = np.asarray(gradient) / max(1.0, math.sqrt((np.asarray(gradient) ** 2).sum()))
    t = state.get("t", 0) + 1
    m = 0.9 * state.get("m", 0.0) + 0.1 * gradient
    v = 0.999 * state.get("v", 0.0) + 0.001 * gradient**2
    change = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return weights - lr * change, {"t": t, "m": m, "v": v}
    # END SOLUTION


# %% [markdown]
# ## 9. The loop (35 minutes)
#
# `train(weights, pairs, beta, lr, steps)` puts it together. The model is an output layer: its logits are `hidden @ weights.T`, with
# `hidden` (rows, length, features) and `weights` (vocabulary, features). `pairs["chosen"]` and `pairs["rejected"]` are dicts with
# `hidden`, `ids` and `mask`. The two sides may differ in length. The reference is the model as it is at the start. Each step takes all pairs: log-probabilities, loss,
# the loss's gradient in them, from there the gradient in the logits, from there that in the weights (which is
# `np.einsum("rlv,rlf->vf", ..., optimize=True)` of it and `hidden`, added up over both sides), and one `step` of yours. It gives the new
# weights, and the list of the losses **before** each step, of all `steps` of them. Each call begins anew, with nothing kept from another.


# %% task
def train(weights, pairs, beta, lr, steps):
    """(new weights, list of losses before each step)."""

    # BEGIN SOLUTION
    def logps():
        return [answer_logps(p["hidden"] @ weights.T, p["ids"], p["mask"]) for p in sides]

    sides, state, losses = [pairs["chosen"], pairs["rejected"]], {}, []
    reference = logps()
    for _ in range(steps):
        policy, gradient = logps(), np.zeros_like(weights)
        losses.append(float(dpo(*policy, *reference, beta)["loss"]))
        for p, slope in zip(sides, dpo_gradient(*policy, *reference, beta), strict=True):
            along = logits_gradient(p["hidden"] @ weights.T, p["ids"], p["mask"], slope)
            gradient += np.einsum("rlv,rlf->vf", along, p["hidden"], optimize=True)
        weights, state = step(weights, gradient, state, lr)
    return weights, losses
    # END SOLUTION


# %% [markdown]
# ## The pocket model
#
# The output layer of the pocket model is such a model: the features are its last hidden states, the vocabulary has about eight hundred
# words. The pairs are captions that the model was taught, and the same with an object put in that is not there. Your `train` needs no
# change. Set `POCKET` to `True` and run the cell; it takes half a minute to some minutes, and says what it is at. Then compare the
# captions. Some can be broken ("A large cow are One."). Has the model learnt to see, to say less, or has its language come apart? What
# does the KL per token say? (No marks are given here, and the marking does not run this cell. Problem set 4 asks this question in
# earnest.)

# %% student
POCKET = False


def train_the_pocket_model():
    from povid_lib.course import head

    print("1 of 4: the model reads 64 pairs")
    vlm, pairs = head.pocket_pairs(n=64)
    before = head.weights(vlm)
    print("2 of 4: your loop makes 20 steps; some seconds, or a minute")
    after, losses = train(before, pairs, beta=0.1, lr=0.003, steps=20)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    logits = [pairs["chosen"]["hidden"] @ weights.T for weights in (after, before)]
    print(f"KL per token of the chosen answers: {kl(*logits, pairs['chosen']['mask']):.3f}")
    for stage, (name, weights) in enumerate((("before", before), ("after", after)), 3):
        print(f"{stage} of 4: the model describes 100 other pictures, {name} the training")
        print(head.measured(vlm, weights, n=100))


if POCKET:
    train_the_pocket_model()

# %% hidden
import functools

from scipy.special import expit, log_expit, log_softmax, softmax

from povid_lib.course.grading.assignment import Assignment, Task, Wrong


def _batch(draw, rows=5, length=9, vocabulary=11):
    """Logits of two models, ids, and a mask with prompts and padding of every length."""
    mask = np.zeros((rows, length), dtype=int)
    for row in mask:
        first = int(draw.integers(1, length - 2))
        row[first : int(draw.integers(first + 1, length + 1))] = 1
    logits = 3 * draw.normal(size=(rows, length, vocabulary)) + 20 * draw.normal(size=(rows, length, 1))
    other = logits + draw.normal(size=logits.shape)
    return logits, other, draw.integers(0, vocabulary, (rows, length)), mask


def _sides(draw, rows):
    return [-40 * draw.random(rows) for _ in range(4)]


def _close(found, want, what, near=1e-6):
    """The found array is the wanted one, or the first entry that differs is told."""
    found, want = np.asarray(found, dtype=float), np.asarray(want, dtype=float)
    assert found.shape == want.shape, f"{what}: the shape is {want.shape}, not {found.shape}"
    far = np.abs(found - want) > near * np.maximum(1, np.abs(want))
    far |= np.isnan(found)
    if far.any():
        at = tuple(int(i) for i in np.argwhere(far)[0])
        place = f" at {at}" if at else ""
        raise AssertionError(f"{what}{place}: {want[at]:.6f}, not {found[at]:.6f}")


_MARGINS = ([4000], [-4000, 0], [4000, 0], [-2500, 0.5, 1800, -0.25])


def hidden_answer_logps(answer, draw):
    answer = _guarded("answer_logps", answer)
    for _ in range(4):
        logits, _, ids, mask = _batch(draw)
        _close(answer(logits, ids, mask), answer_logps(logits, ids, mask), "the log-probability of other answers")


def hidden_answer_logps_large(answer, draw):
    logits, _, ids, mask = _batch(draw)
    logits[1:] *= 300
    for less in (0, 4000):
        _close(answer(logits - less, ids, mask), answer_logps(logits, ids, mask), "with logits in the thousands")


def hidden_dpo(answer, draw):
    answer = _guarded("dpo", answer)
    for rows in (1, 7, 40):
        sides, beta = _sides(draw, rows), float(draw.uniform(0.05, 1))
        found, want = answer(*sides, beta), dpo(*sides, beta)
        for key in want:
            _close(found[key], want[key], f"on {rows} other pairs with beta {beta:.2f}, {key}")


def hidden_dpo_far(answer, draw):
    sides = [1e5 * side for side in _sides(draw, 6)]
    _close(answer(*sides, 0.5)["loss"], dpo(*sides, 0.5)["loss"], "with log-probabilities in the hundred thousands")
    for margins in _MARGINS:
        sides = _pairs_at(*(np.array(margins) * draw.uniform(0.9, 1.1)))
        _close(answer(*sides, 1.0)["loss"], dpo(*sides, 1.0)["loss"], f"with the margins {sides[0].round(2).tolist()}")


def hidden_dpo_gradient(answer, draw):
    answer = _guarded("dpo_gradient", answer)
    for margins in _MARGINS:
        sides = _pairs_at(*(np.array(margins) * draw.uniform(0.9, 1.1)))
        found, want = answer(*sides, 1.0)[0], dpo_gradient(*sides, 1.0)[0]
        _close(found, want, f"the slopes with the margins {sides[0].round(2).tolist()}")
        assert np.abs(found - want).max() < 1e-11, _DIGITS
    for rows in (1, 9):
        sides, beta = _sides(draw, rows), float(draw.uniform(0.05, 1))
        for side, found, want in zip(
            ("chosen", "rejected"), answer(*sides, beta), dpo_gradient(*sides, beta), strict=True
        ):
            _close(found, want, f"the slopes in {side} of {rows} other pairs")


def hidden_povid(answer, draw):
    answer = _guarded("povid", answer)
    for rows, scale in ((1, 9), (12, 9), (8, 40000)):
        sides = ("chosen", "rejected", "noised")
        policy, reference = ({s: -scale * draw.random(rows) for s in sides} for _ in range(2))
        coefficients = draw.uniform(0.05, 1, 3).tolist()
        _close(
            answer(policy, reference, *coefficients), povid(policy, reference, *coefficients), f"on {rows} other pairs"
        )


def hidden_logits_gradient(answer, draw):
    answer = _guarded("logits_gradient", answer)
    for scale in (1, 1, 1, 300):
        logits, _, ids, mask = _batch(draw, rows=3, length=6, vocabulary=5)
        logits[1:] *= scale
        weight = draw.normal(size=3)
        _close(
            answer(logits, ids, mask, weight), logits_gradient(logits, ids, mask, weight), "the slopes in other logits"
        )


def hidden_kl(answer, draw):
    answer = _guarded("kl", answer)
    for scale in (1, 1, 1, 1, 300):
        logits, other, _, mask = _batch(draw)
        logits, other = scale * logits, scale * other
        _close(answer(logits, other, mask), kl(logits, other, mask), "the divergence of two other models")


def hidden_implied_reward(answer, draw):
    answer = _guarded("implied_reward", answer)
    for answers, less in ((2, 0), (12, 0), (5, 2000)):
        far = [less, *[0] * (answers - 1)]
        logps, ref = (log_softmax(2 * draw.normal(size=answers) - by) for by in (far, 0))
        beta = float(draw.uniform(0.05, 2))
        _close(answer(logps, ref, beta), implied_reward(logps, ref, beta), f"the rewards of {answers} other answers")


def hidden_step(answer, draw):
    weights, lr = draw.normal(size=(4, 3)), float(draw.uniform(0.001, 0.1))
    mine = yours = (weights, {})
    for number, size in enumerate((5, 0.02, 0.4, 3), 1):
        gradient = size * draw.normal(size=(4, 3))
        mine, before = step(mine[0], gradient, mine[1], lr), (_fixed(np.asarray(yours[0])), _fixed(gradient), yours[1])
        yours = _without_writing("step", answer, *before, lr)
        _close(yours[0], mine[0], f"the weights after step {number} of other gradients")
        again = _without_writing("step", answer, *before[:2], _fixed(before[2]), lr)[0]
        _close(again, mine[0], f"the old state must stay as it was; the weights of step {number}, made again from it")
    bias, gradient = draw.normal(size=5), draw.normal(size=5)
    _close(answer(bias, gradient, {}, lr)[0], step(bias, gradient, {}, lr)[0], "a bias after the first step")


def hidden_train(answer, draw):
    for steps in (1, 8):
        weights, pairs = _tiny(int(draw.integers(1, 10**6)))
        beta, lr, given = float(draw.uniform(0.05, 0.5)), float(draw.uniform(0.01, 0.1)), _fixed(pairs)
        for start, what in (
            (weights, "other steps"),
            (weights[::-1].copy(), "steps with the same pairs from other weights"),
        ):
            after, losses = _trained(answer, start, given, beta, lr, steps)
            want, mine = train(start, pairs, beta, lr, steps)
            _close(losses, mine, f"the losses of {steps} {what}", 1e-5)
            _close(after, want, f"the weights after {steps} {what}", 1e-5)
    weights, pairs = _tiny(int(draw.integers(1, 10**6)))
    found = len(_trained(answer, weights, pairs, 5.0, 0.3, 15)[1])
    assert found == 15, f"where the loss becomes small 15 steps have 15 losses too, not {found}"


# --- other right answers -----------------------------------------------------------------------------------------


def answer_logps_scipy(logits, ids, mask):
    logps = log_softmax(logits, axis=-1)
    return np.array(
        [sum(logps[r, t - 1, ids[r][t]] for t in range(1, len(ids[r])) if mask[r][t]) for r in range(len(ids))]
    )


def answer_logps_rolled(logits, ids, mask):
    found = np.zeros(len(ids))
    for t in range(1, logits.shape[1]):
        before = logits[:, t - 1]
        found += mask[:, t] * (before[np.arange(len(ids)), ids[:, t]] - np.logaddexp.reduce(before, axis=1))
    return found.tolist()


def dpo_loop(chosen, rejected, ref_chosen, ref_rejected, beta):
    margins = [beta * (a - c - b + d) for a, b, c, d in zip(chosen, rejected, ref_chosen, ref_rejected, strict=True)]
    losses = [math.log1p(math.exp(-abs(m))) + max(0.0, -m) for m in margins]
    n = len(margins)
    return {"accuracy": sum(m > 0 for m in margins) / n, "loss": sum(losses) / n, "margin": sum(margins) / n}


def dpo_scipy(chosen, rejected, ref_chosen, ref_rejected, beta):
    margin = beta * (chosen - rejected) - beta * (ref_chosen - ref_rejected)
    return {
        "loss": np.mean(np.maximum(-margin, 0) + np.log1p(np.exp(-np.abs(margin)))),
        "margin": np.mean(margin),
        "accuracy": np.count_nonzero(margin > 0) / margin.size,
    }


def dpo_gradient_scipy(chosen, rejected, ref_chosen, ref_rejected, beta):
    slope = beta * expit(-beta * (chosen - rejected - ref_chosen + ref_rejected)) / len(chosen)
    return [-slope, slope]


def dpo_gradient_stacked(chosen, rejected, ref_chosen, ref_rejected, beta):
    margin = np.asarray(dpo_margins(chosen, rejected, ref_chosen, ref_rejected, beta))
    return np.outer([-1, 1], 0.5 * beta * (1 - np.tanh(margin / 2)) / margin.size)


def dpo_margins(chosen, rejected, ref_chosen, ref_rejected, beta):
    return [beta * (a - b - c + d) for a, b, c, d in zip(chosen, rejected, ref_chosen, ref_rejected, strict=True)]


def povid_loop(policy, reference, alpha, beta1, beta2):
    total = 0.0
    for row in range(len(policy["chosen"])):
        w, side, noised = (policy[s][row] - reference[s][row] for s in ("chosen", "rejected", "noised"))
        margin = alpha * w - beta1 * side - beta2 * noised
        total += math.log1p(math.exp(-abs(margin))) + max(0.0, -margin)
    return total / len(policy["chosen"])


def povid_scipy(policy, reference, alpha, beta1, beta2):
    signs = {"chosen": alpha, "rejected": -beta1, "noised": -beta2}
    return -log_expit(sum(c * (policy[s] - reference[s]) for s, c in signs.items())).mean()


def logits_gradient_loop(logits, ids, mask, weight):
    found = np.zeros(logits.shape)
    for r, t in np.argwhere(mask):
        found[r, t - 1] = -weight[r] * softmax(logits[r, t - 1])
        found[r, t - 1, ids[r, t]] += weight[r]
    return found


def logits_gradient_shifted(logits, ids, mask, weight):
    came, wanted = np.roll(ids, -1, axis=1), np.roll(mask, -1, axis=1) * np.array([*[1] * (mask.shape[1] - 1), 0])
    found = -softmax(logits, axis=-1)
    np.put_along_axis(found, came[..., None], np.take_along_axis(found, came[..., None], -1) + 1, -1)
    return found * (wanted * weight[:, None])[:, :, None]


def kl_scipy(logits, ref_logits, mask):
    p, q = log_softmax(logits, axis=-1), log_softmax(ref_logits, axis=-1)
    each = np.einsum("rtv,rtv->rt", np.exp(p), p - q)
    return float(np.average(each[:, :-1], weights=mask[:, 1:]))


def kl_loop(logits, ref_logits, mask):
    found = []
    for r, t in np.argwhere(mask):
        p, q = log_softmax(logits[r, t - 1]), log_softmax(ref_logits[r, t - 1])
        found.append(sum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True)))
    return sum(found) / len(found)


def implied_reward_average(logps, ref_logps, beta):
    change = np.subtract(logps, ref_logps)
    return beta * (change - np.average(change, weights=np.exp(ref_logps)))


def implied_reward_loop(logps, ref_logps, beta):
    mean = sum(math.exp(q) * (p - q) for p, q in zip(logps, ref_logps, strict=True))
    return [beta * (p - q - mean) for p, q in zip(logps, ref_logps, strict=True)]


def step_plain(weights, gradient, state, lr):
    norm = np.linalg.norm(gradient)
    g = gradient / norm if norm > 1 else gradient
    first, second, number = state["kept"] if state else (np.zeros_like(g), np.zeros_like(g), 0)
    number += 1
    first, second = first + 0.1 * (g - first), second + 0.001 * (g * g - second)
    rate = lr / (1 - 0.9**number)
    return weights - rate * first / (np.sqrt(second / (1 - 0.999**number)) + 1e-8), {"kept": (first, second, number)}


def step_history(weights, gradient, state, lr):
    past = [*state.get("past", []), np.array(gradient) * min(1, 1 / np.linalg.norm(gradient))]
    t = len(past)
    m = sum(0.1 * 0.9 ** (t - 1 - i) * g for i, g in enumerate(past)) / (1 - 0.9**t)
    v = sum(0.001 * 0.999 ** (t - 1 - i) * g**2 for i, g in enumerate(past)) / (1 - 0.999**t)
    return (weights - lr * m / (v**0.5 + 1e-8)).tolist(), {"past": past}


def _loop(
    weights,
    pairs,
    beta,
    lr,
    steps,
    *,
    moves=False,
    signs=(1, 1),
    late=False,
    without=False,
    fresh=False,
    plain=False,
    own_beta=None,
    slope_beta=None,
    less=0,
    reference=None,
    state=None,
):
    """``train`` with a fault."""
    beta = own_beta or beta

    def logps(of):
        return [
            answer_logps(pairs[s]["hidden"] @ of.T, pairs[s]["ids"], pairs[s]["mask"]) for s in ("chosen", "rejected")
        ]

    state, losses, reference = {} if state is None else state, [], reference or logps(weights)
    if without:
        reference = [0 * side for side in reference]
    for number in range(steps):
        policy, gradient = logps(weights), 0
        reference = policy if moves else reference
        slopes = dpo_gradient(*policy, *reference, slope_beta or beta)
        losses.append(dpo(*policy, *reference, beta)["loss"])
        for sign, side, slope in zip(signs, ("chosen", "rejected"), slopes, strict=True):
            p = pairs[side]
            along = logits_gradient(p["hidden"] @ weights.T, p["ids"], p["mask"], sign * slope)
            gradient = gradient + np.tensordot(along, p["hidden"], ((0, 1), (0, 1)))
        if number >= steps - less:
            continue
        weights, now = (weights - lr * gradient, {}) if plain else step(weights, gradient, {} if fresh else state, lr)
        state.update(now)
        if late:
            losses[-1] = dpo(*logps(weights), *reference, beta)["loss"]
    return weights, losses


def train_again(weights, pairs, beta, lr, steps):
    return _loop(weights, pairs, beta, lr, steps)


def train_joined(weights, pairs, beta, lr, steps):
    longest = max(side["ids"].shape[1] for side in pairs.values())

    def joined(key):
        sides = [pairs[side][key] for side in ("chosen", "rejected")]
        return np.concatenate([np.pad(a, [(0, 0), (0, longest - a.shape[1]), (0, 0)][: a.ndim]) for a in sides])

    hidden, ids, mask = map(joined, ("hidden", "ids", "mask"))
    begin = np.split(answer_logps(hidden @ weights.T, ids, mask), 2)
    state, losses = {}, []
    for _ in range(steps):
        now = np.split(answer_logps(hidden @ weights.T, ids, mask), 2)
        losses += [dpo_loop(*now, *begin, beta)["loss"]]
        along = logits_gradient_loop(hidden @ weights.T, ids, mask, np.concatenate(dpo_gradient(*now, *begin, beta)))
        flat = along.reshape(-1, along.shape[-1]).T @ hidden.reshape(-1, hidden.shape[-1])
        weights, state = step_plain(weights, flat, state, lr)
    return [weights, np.array(losses)]


# --- wrong answers -----------------------------------------------------------------------------------------------


def _logps_at(logits, ids, mask, mean=False):
    logps = np.take_along_axis(log_softmax(logits, axis=-1), ids[..., None], -1)[..., 0]
    return (logps * mask).sum(1) / (mask.sum(1) if mean else 1)


def _naive_logps(logits, ids, mask):
    with np.errstate(all="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        return (np.log(np.take_along_axis(p[:, :-1], ids[:, 1:, None], -1)[..., 0]) * mask[:, 1:]).sum(1)


def _logps_of(logarithm):
    """With a logarithm of its own of the probabilities."""

    def found(logits, ids, mask):
        with np.errstate(all="ignore"):
            logps = logarithm(softmax(logits, axis=-1))
            return (np.take_along_axis(logps[:, :-1], ids[:, 1:, None], -1)[..., 0] * mask[:, 1:]).sum(1)

    return found


def _less(logits, top):
    """Log-probabilities at all places but the last, made with a largest logit of one's own."""
    with np.errstate(all="ignore"):
        z = logits[:, :-1] - top(logits[:, :-1])
        return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _logps_less(top):
    def found(logits, ids, mask):
        taken = np.take_along_axis(_less(logits, top), ids[:, 1:, None], -1)[..., 0]
        return np.where(mask[:, 1:], taken, 0).sum(1)

    return found


def _logps_written(logits, ids, mask):
    logits -= logits.max(-1, keepdims=True)
    return answer_logps(logits, ids, mask)


def _dpo_of(loss):
    """``dpo`` with a loss of its own, of the margins."""

    def found(chosen, rejected, ref_chosen, ref_rejected, beta):
        right = dpo(chosen, rejected, ref_chosen, ref_rejected, beta)
        with np.errstate(all="ignore"):
            return {**right, "loss": loss(beta * (chosen - ref_chosen - rejected + ref_rejected))}

    return found


def _changed(**values):
    return lambda *args: {**dpo(*args), **{key: value(*args) for key, value in values.items()}}


def _naive_gradient(chosen, rejected, ref_chosen, ref_rejected, beta):
    with np.errstate(all="ignore"):
        m = beta * (chosen - ref_chosen - rejected + ref_rejected)
        slope = beta * np.exp(-m) / (1 + np.exp(-m)) / len(m)
        return -slope, slope


def _gradient_of(slope):
    def found(chosen, rejected, ref_chosen, ref_rejected, beta):
        with np.errstate(all="ignore"):
            slopes = beta * slope(beta * (chosen - ref_chosen - rejected + ref_rejected)) / len(chosen)
        return -slopes, slopes

    return found


def _gradient_by_differences(chosen, rejected, ref_chosen, ref_rejected, beta):
    def loss(c, r):
        return dpo(c, r, ref_chosen, ref_rejected, beta)["loss"]

    steps = 1e-4 * np.eye(len(chosen))
    of_chosen = [(loss(chosen + h, rejected) - loss(chosen - h, rejected)) / 2e-4 for h in steps]
    return of_chosen, [(loss(chosen, rejected + h) - loss(chosen, rejected - h)) / 2e-4 for h in steps]


def _povid_written(policy, reference, alpha, beta1, beta2):
    for side in policy:
        policy[side] -= reference[side]
    return povid(policy, dict.fromkeys(policy, 0), alpha, beta1, beta2)


def _povid_of(loss):
    """``povid`` with a loss of its own, of the margins."""

    def found(policy, reference, alpha, beta1, beta2):
        w, rejected, noised = _rho(policy, reference)
        with np.errstate(all="ignore"):
            return loss(alpha * w - beta1 * rejected - beta2 * noised)

    return found


def _naive_logits_gradient(logits, ids, mask, weight):
    with np.errstate(all="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = np.zeros(logits.shape)
    found[:, :-1] = (np.eye(logits.shape[-1])[ids[:, 1:]] - p[:, :-1]) * (mask[:, 1:] * weight[:, None])[..., None]
    return found


def _ids_unshifted(logits, ids, mask, weight):
    return logits_gradient(logits, np.concatenate([ids[:, :1], ids[:, :-1]], 1), mask, weight)


def _logits_gradient_less(top):
    def found(logits, ids, mask, weight):
        slopes = np.eye(logits.shape[-1])[ids[:, 1:]] - np.exp(_less(logits, top))
        with np.errstate(all="ignore"):
            return np.concatenate([slopes * (mask[:, 1:] * weight[:, None])[..., None], 0 * logits[:, :1]], 1)

    return found


def _logits_gradient_written(logits, ids, mask, weight):
    logits -= logits.max(-1, keepdims=True)
    return logits_gradient(logits, ids, mask, weight)


def _kl_with(more):
    """With logarithms of probabilities, to which something is added."""

    def found(logits, ref_logits, mask):
        p, q = softmax(logits, axis=-1), softmax(ref_logits, axis=-1)
        with np.errstate(all="ignore"):
            each = np.where(p > 0, p * (np.log(np.where(p > 0, p, 1) + more(p)) - np.log(q + more(q))), 0).sum(-1)
        return each[:, :-1][mask[:, 1:] == 1].mean()

    return found


def _reward_with(more):
    """With logarithms of probabilities, to which something is added."""

    def found(logps, ref_logps, beta):
        with np.errstate(all="ignore"):
            reward = beta * np.log((np.exp(logps) + more) / (np.exp(ref_logps) + more))
            return reward - (np.exp(ref_logps) * reward).sum()

    return found


def _naive_kl(logits, ref_logits, mask):
    with np.errstate(all="ignore"):
        p, q = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (logits, ref_logits))
        return ((p * np.log(p / q)).sum(-1)[:, :-1] * mask[:, 1:]).sum() / mask[:, 1:].sum()


def _raw_kl(logits, ref_logits, mask):
    return _kl_of(lambda p, q: (np.exp(p) * (logits - ref_logits)).sum(-1))(logits, ref_logits, mask)


def _all_places_kl(logits, ref_logits, mask):
    return kl(logits, ref_logits, mask) * mask[:, 1:].sum() / mask[:, 1:].size


def _rho(policy, reference):
    return (policy[s] - reference[s] for s in ("chosen", "rejected", "noised"))


def _softplus(z):
    return np.logaddexp(0, -z).mean()


def _kl_of(each, shift=True, total="mean"):
    def found(logits, ref_logits, mask):
        p, q = log_softmax(logits, axis=-1), log_softmax(ref_logits, axis=-1)
        places = each(p, q)
        places, mask = (places[:, :-1], mask[:, 1:]) if shift else (places, mask)
        if total == "rows":
            return ((places * mask).sum(1) / mask.sum(1)).mean()
        return (places * mask).sum() / (1 if total == "sum" else mask.sum()) if total != "all" else places.mean()

    return found


def _exact(p, q):
    return (np.exp(p) * (p - q)).sum(-1)


def _unnormalised_kl(logits, ref_logits, mask):
    each = (softmax(logits, axis=-1) * (log_softmax(logits, axis=-1) - ref_logits)).sum(-1)
    return (each[:, :-1] * mask[:, 1:]).sum() / mask[:, 1:].sum()


def _step_of(
    clip=lambda g: g / max(1, np.linalg.norm(g)),
    decays=(0.9, 0.999),
    corrected=True,
    root=True,
    sign=-1,
    first=1,
    kept=True,
    below=0.0,
    beside=1e-8,
):
    """``step`` with a fault."""

    def found(weights, gradient, state, lr):
        g, (a, b), t = clip(gradient), decays, state.get("t", first - 1) + 1
        m, v = a * state.get("m", 0) + (1 - a) * g, b * state.get("v", 0) + (1 - b) * g**2
        with np.errstate(all="ignore"):
            m_, v_ = (m / (1 - a**t), v / (1 - b**t)) if corrected else (m, v)
            return weights + sign * lr * m_ / ((np.sqrt(v_ + below) if root else v_) + beside), {
                "t": t,
                "m": m,
                "v": v,
            } if kept else {}

    return found


def _never_counts(weights, gradient, state, lr):
    g = gradient / max(1, np.linalg.norm(gradient))
    m, v = 0.9 * state.get("m", 0) + 0.1 * g, 0.999 * state.get("v", 0) + 0.001 * g**2
    return weights - lr * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-8), {"m": m, "v": v}


def _writes_weights(weights, gradient, state, lr):
    new, state = step(weights, gradient, state, lr)
    weights[...] = new
    return weights, state


def _writes_gradient(weights, gradient, state, lr):
    gradient /= max(1, np.linalg.norm(gradient))
    return step(weights, gradient, state, lr)


def _writes_state(weights, gradient, state, lr):
    if not state:
        state.update(t=0, m=np.zeros(np.shape(weights)), v=np.zeros(np.shape(weights)))
    new, now = step(weights, gradient, state, lr)
    state["t"] = now["t"]
    state["m"][...], state["v"][...] = now["m"], now["v"]
    return new, state


def _writes_dict(weights, gradient, state, lr):
    new, now = step(weights, gradient, state, lr)
    state.update(now)
    return new, state


def _counts_to_two(weights, gradient, state, lr):
    new, now = step(weights, gradient, {**state, "t": 1} if state else {}, lr)
    return new, now


def _v_unscaled(weights, gradient, state, lr):
    t, scaled = state.get("t", 0) + 1, gradient / max(1, np.linalg.norm(gradient))
    m, v = 0.9 * state.get("m", 0) + 0.1 * scaled, 0.999 * state.get("v", 0) + 0.001 * gradient**2
    return weights - lr * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), {"t": t, "m": m, "v": v}


def _train_concatenated(weights, pairs, beta, lr, steps):
    both = {key: np.concatenate([pairs["chosen"][key], pairs["rejected"][key]]) for key in ("hidden", "ids", "mask")}
    sides = {"chosen": np.s_[: len(both["ids"]) // 2], "rejected": np.s_[len(both["ids"]) // 2 :]}
    return train(weights, {side: {key: both[key][at] for key in both} for side, at in sides.items()}, beta, lr, steps)


def _train_with_list(weights, pairs, beta, lr, steps, losses=[]):  # noqa: B006
    after, more = train(weights, pairs, beta, lr, steps)
    losses += more
    return after, losses


def _train_with_state(weights, pairs, beta, lr, steps, state={}):  # noqa: B006
    """With the last state of the call before."""
    return _loop(weights, pairs, beta, lr, steps, state=state)


def _train_with_reference(weights, pairs, beta, lr, steps):
    for p in pairs.values():
        if "reference" not in p:
            p["reference"] = weights
    moved = pairs["chosen"]["reference"]
    reference = [answer_logps(p["hidden"] @ moved.T, p["ids"], p["mask"]) for p in (pairs["chosen"], pairs["rejected"])]
    return _loop(weights, pairs, beta, lr, steps, reference=reference)


def _train_stopped(weights, pairs, beta, lr, steps):
    losses = train(weights, pairs, beta, lr, steps)[1]
    enough = next((at for at, loss in enumerate(losses, 1) if loss < 0.01), steps)
    return train(weights, pairs, beta, lr, enough)


def _train_written(weights, pairs, beta, lr, steps):
    after, losses = train(weights, pairs, beta, lr, steps)
    weights[...] = after
    return weights, losses


def _train_apart(weights, pairs, beta, lr, steps, together=False, states=1):
    """Two steps for each, one a side. ``together``: both slopes are of the same weights; ``states``: of the optimiser."""

    def logps(of):
        return [
            answer_logps(pairs[s]["hidden"] @ of.T, pairs[s]["ids"], pairs[s]["mask"]) for s in ("chosen", "rejected")
        ]

    reference, state, losses = logps(weights), [{} for _ in range(states)], []
    for _ in range(steps):
        policy, start = logps(weights), weights
        losses.append(dpo(*policy, *reference, beta)["loss"])
        for at, side in enumerate(("chosen", "rejected")):
            p, slope = pairs[side], dpo_gradient(*policy, *reference, beta)[at]
            of = start if together else weights
            along = logits_gradient(p["hidden"] @ of.T, p["ids"], p["mask"], slope)
            flat = np.einsum("rlv,rlf->vf", along, p["hidden"])
            weights, state[at % states] = step(weights, flat, state[at % states], lr)
    return weights, losses


def _train_dicts(weights, pairs, beta, lr, steps):
    after, losses = train(weights, pairs, beta, lr, steps)
    return after, [{"loss": loss, "margin": 0.0, "accuracy": 0.0} for loss in losses]


def _with(**fault):
    return lambda weights, pairs, beta, lr, steps: _loop(weights, pairs, beta, lr, steps, **fault)


TASKS = (
    Task(
        "answer_logps", "the log-probability of an answer", 20, ((check_answer_logps, 4),),
        ((hidden_answer_logps, 5), (hidden_answer_logps_large, 2)), (answer_logps_scipy, answer_logps_rolled),
        (
            Wrong("takes the logits of the token's own place", "predict the next one", _logps_at),
            Wrong("shifts the ids and not the mask", "the mask belongs to the token", lambda z, i, m: _logps_at(z[:, :-1], i[:, 1:], m[:, :-1])),
            Wrong("takes the mean over the tokens", "the mean over the tokens", lambda z, i, m: _logps_at(z[:, :-1], i[:, 1:], m[:, 1:], mean=True)),
            Wrong("counts prompt and padding", "the prompt's tokens do not count", lambda z, i, m: _logps_at(z[:, :-1], i[:, 1:], 1 + 0 * m[:, 1:])),
            Wrong("takes logits for log-probabilities", "logits are no log-probabilities", lambda z, i, m: (np.take_along_axis(z[:, :-1], i[:, 1:, None], -1)[..., 0] * m[:, 1:]).sum(1)),
            Wrong("gives probabilities", "these are probabilities", lambda z, i, m: np.exp(answer_logps(z, i, m))),
            Wrong("turns the sign", "a log-probability is negative", lambda z, i, m: -answer_logps(z, i, m)),
            Wrong("overflows at large logits", "exp(2000) is infinite", _naive_logps),
            Wrong("takes the logarithm of a probability", "exp(-2000) is 0 to the computer", _logps_of(np.log)),
            Wrong("adds to a probability or cuts it off", "add nothing to a probability", _logps_of(lambda p: np.log(p + 1e-12))),
            Wrong("adds to a probability or cuts it off", "add nothing to a probability", _logps_of(lambda p: np.log(np.maximum(p, 1e-300)))),
            Wrong("subtracts one largest logit from all places", "that of the whole batch", _logps_less(lambda z: z.max())),
            Wrong("subtracts one largest logit from a row", "that of the whole row", _logps_less(lambda z: z.max((1, 2), keepdims=True))),
            Wrong("subtracts no largest logit below 0", "the largest one there as well", _logps_less(lambda z: np.maximum(z.max(-1, keepdims=True), 0))),
            Wrong("writes into its arguments", "answer_logps writes into an array", _logps_written),
        ),
    ),
    Task(
        "dpo", "DPO's loss", 15, ((check_dpo, 5),), ((hidden_dpo, 4), (hidden_dpo_far, 1)), (dpo_loop, dpo_scipy),
        (
            Wrong("leaves the reference out", "the reference is missing", lambda c, r, rc, rr, b: dpo(c, r, 0 * rc, 0 * rr, b)),
            Wrong("exchanges chosen and rejected", "are exchanged", lambda c, r, rc, rr, b: dpo(r, c, rr, rc, b)),
            Wrong("turns the sign below the logarithm", "the sign below the logarithm is turned", _dpo_of(lambda m: np.logaddexp(0, m).mean())),
            Wrong("forgets the mean", "is one number", _dpo_of(lambda m: np.logaddexp(0, -m))),
            Wrong("forgets beta", "beta is missing", lambda c, r, rc, rr, b: dpo(c, r, rc, rr, 1.0)),
            Wrong("averages the margins first", "the loss of each pair first", _dpo_of(lambda m: np.logaddexp(0, -m.mean()))),
            Wrong("sums over the rows", "are averaged, not summed", _dpo_of(lambda m: np.logaddexp(0, -m).sum())),
            Wrong("turns the sign", "a loss is positive", _dpo_of(lambda m: -np.logaddexp(0, -m).mean())),
            Wrong("forgets the logarithm", "the logarithm is missing", _dpo_of(lambda m: -expit(m).mean())),
            Wrong("takes the logarithm of the sigmoid", "its logarithm infinite: use", _dpo_of(lambda m: -np.log(expit(m)).mean())),
            Wrong("gives the margin without beta", "so beta is in it", _changed(margin=lambda *a: dpo(*a)["margin"] / a[-1])),
            Wrong("counts accuracy without the reference", "you compare the policy's two answers", _changed(accuracy=lambda c, r, rc, rr, b: (c > r).mean())),
            Wrong("counts accuracy of the chosen answers", "you look at the chosen one alone", _changed(accuracy=lambda c, r, rc, rr, b: (c > rc).mean())),
            Wrong("counts a margin of 0 as a success", "a margin of 0 is no success", _changed(accuracy=lambda c, r, rc, rr, b: (c - rc >= r - rr).mean())),
            Wrong("overflows at large positive margins", "at a margin of +4000 exp overflows: use", _dpo_of(lambda m: (np.log(1 + np.exp(m)) - m).mean())),
            Wrong("lets one far pair decide about all", "keeps its own loss", _dpo_of(lambda m: -m.mean() if m.min() < -500 else np.log(1 + np.exp(-m)).mean())),
        ),
    ),
    Task(
        "dpo_gradient", "its gradient", 15, ((check_dpo_gradient, 4),), ((hidden_dpo_gradient, 5),), (dpo_gradient_scipy, dpo_gradient_stacked),
        (
            Wrong("turns the signs", "the signs are turned", lambda *a: dpo_gradient(*a)[::-1]),
            Wrong("forgets that the loss is a mean", "the loss is a mean over the rows", lambda *a: [len(a[0]) * s for s in dpo_gradient(*a)]),
            Wrong("forgets the inner derivative", "the inner derivative is missing", lambda *a: [s / a[-1] for s in dpo_gradient(*a)]),
            Wrong("pushes most where the pair is told rightly", "the slope is sigmoid(-margin)", lambda c, r, rc, rr, b: dpo_gradient(r, c, rr, rc, b)),
            Wrong("gives both sides one sign", "you give both sides the same slope", lambda *a: [dpo_gradient(*a)[0]] * 2),
            Wrong("divides by 2 whatever the number of rows", "not always by 2", lambda *a: [s * len(a[0]) / 2 for s in dpo_gradient(*a)]),
            Wrong("overflows far from 0", "exp overflows", _naive_gradient),
            Wrong("overflows at large positive margins", "exp(m) / (1 + exp(m)) is nan", _gradient_of(lambda m: 1 - np.exp(m) / (1 + np.exp(m)))),
            Wrong("lets one far pair decide about all", "keeps its own slope", _gradient_of(lambda m: 1 + 0 * m if m.min() < -500 else 1 / (1 + np.exp(m)))),
            Wrong("takes differences of the loss", "not a difference of two losses", _gradient_by_differences),
        ),
    ),
    Task(
        "povid", "POVID's loss", 5, ((check_povid, 4),), ((hidden_povid, 4),), (povid_loop, povid_scipy),
        (
            Wrong("has one coefficient for all terms", "has its own coefficient", lambda p, q, a, b, c: povid(p, q, a, a, a)),
            Wrong("adds the noised answer's term", "its term is subtracted", lambda p, q, a, b, c: povid(p, q, a, b, -c)),
            Wrong("leaves the noised answer out", "the noised answer is missing", lambda p, q, a, b, c: povid(p, q, a, b, 0)),
            Wrong("exchanges the two betas", "they are exchanged", lambda p, q, a, b, c: povid(p, q, a, c, b)),
            Wrong("leaves the reference out", "each term is a difference to it", lambda p, q, a, b, c: povid(p, dict.fromkeys(p, 0), a, b, c)),
            Wrong("takes the mean of two losses", "not the mean of two losses", lambda p, q, a, b, c: (lambda w, r, n: (_softplus(a * w - b * r) + _softplus(a * w - c * n)) / 2)(*_rho(p, q))),
            Wrong("takes the mean of two losses", "not the mean of two losses", lambda p, q, a, b, c: (lambda w, r, n: (_softplus(a * (w - r)) + _softplus(a * (w - n))) / 2)(*_rho(p, q))),
            Wrong("sums over the rows", "are averaged, not summed", lambda p, q, a, b, c: len(p["chosen"]) * povid(p, q, a, b, c)),
            Wrong("turns the sign below the logarithm", "the sign below the logarithm is turned", _povid_of(lambda m: np.logaddexp(0, m).mean())),
            Wrong("forgets the mean", "is one number", _povid_of(lambda m: np.logaddexp(0, -m))),
            Wrong("takes the logarithm of the sigmoid", "its logarithm infinite, as in", _povid_of(lambda m: -np.log(expit(m)).mean())),
            Wrong("overflows at large positive margins", "+4000 exp overflows, as in task 2", _povid_of(lambda m: (np.log(1 + np.exp(m)) - m).mean())),
            Wrong("writes into its arguments", "povid writes into an array", _povid_written),
        ),
    ),
    Task(
        "logits_gradient", "the gradient in the logits", 20, ((check_logits_gradient, 4),), ((hidden_logits_gradient, 6),), (logits_gradient_loop, logits_gradient_shifted),
        (
            Wrong("does not shift", "predict nothing: their slope is 0", lambda z, i, m, w: (np.eye(z.shape[-1])[i] - softmax(z, axis=-1)) * (m * w[:, None])[..., None]),
            Wrong("shifts the ids and not the mask", "the mask belongs to the token", lambda z, i, m, w: logits_gradient(z, i, np.concatenate([0 * m[:, :1], m[:, :-1]], 1), w)),
            Wrong("shifts the mask and not the ids", "has its id at t + 1", _ids_unshifted),
            Wrong("overflows at large logits", "exp(2000) is infinite", _naive_logits_gradient),
            Wrong("has a slope at padding", "logits that predict padding", lambda z, i, m, w: logits_gradient(z, i, np.maximum.accumulate(m, 1), w)),
            Wrong("has a slope at the prompt", "predict a token of the prompt", lambda z, i, m, w: logits_gradient(z, i, 1 + 0 * m, w)),
            Wrong("turns the sign", "the sign is turned", lambda z, i, m, w: -logits_gradient(z, i, m, w)),
            Wrong("forgets the probabilities", "subtract the probabilities", lambda z, i, m, w: np.concatenate([np.eye(z.shape[-1])[i[:, 1:]] * (m[:, 1:] * w[:, None])[..., None], 0 * z[:, :1]], 1)),
            Wrong("forgets the token that came", "add 1 at the token that came", lambda z, i, m, w: np.concatenate([-softmax(z[:, :-1], axis=-1) * (m[:, 1:] * w[:, None])[..., None], 0 * z[:, :1]], 1)),
            Wrong("takes the mean over the tokens", "no mean here", lambda z, i, m, w: logits_gradient(z, i, m, w / m.sum(1))),
            Wrong("forgets the rows' weights", "the weight of the row is missing", lambda z, i, m, w: logits_gradient(z, i, m, 1 + 0 * w)),
            Wrong("subtracts one largest logit from all places", "that of the whole batch", _logits_gradient_less(lambda z: z.max())),
            Wrong("subtracts one largest logit from a row", "that of the whole row", _logits_gradient_less(lambda z: z.max((1, 2), keepdims=True))),
            Wrong("writes into its arguments", "logits_gradient writes into an array", _logits_gradient_written),
        ),
    ),
    Task(
        "kl", "how far the policy has gone", 20, ((check_kl, 4),), ((hidden_kl, 5),), (kl_scipy, kl_loop),
        (
            Wrong("takes the divergence the other way round", "this is KL(reference || policy)", lambda z, r, m: kl(r, z, m)),
            Wrong("does not shift", "one place before it", _kl_of(_exact, shift=False)),
            Wrong("sums over the tokens", "not the sum", _kl_of(_exact, total="sum")),
            Wrong("takes the mean of the answers' means", "all tokens count alike", _kl_of(_exact, total="rows")),
            Wrong("counts prompt and padding", "use the mask", _kl_of(_exact, total="all")),
            Wrong("takes logarithms to base 2", "take natural logarithms", lambda z, r, m: kl(z, r, m) / math.log(2)),
            Wrong("turns the sign", "a divergence is never negative", lambda z, r, m: -kl(z, r, m)),
            Wrong("does not normalise the reference's logits", "a constant on all logits", _unnormalised_kl),
            Wrong("takes logits for log-probabilities", "logits are no log-probabilities", _raw_kl),
            Wrong("divides by the number of all places", "not by that of all places", _all_places_kl),
            Wrong("overflows at large logits", "0 times the logarithm of 0", _naive_kl),
            Wrong("forgets the mean", "is one number", lambda z, r, m: _exact(log_softmax(z, axis=-1), log_softmax(r, axis=-1))[:, :-1] * m[:, 1:]),
            Wrong("takes the logarithm of the reference's probability", "the reference's probability of a token may be 0", _kl_with(lambda p: 0.0)),
            Wrong("adds to a probability or cuts it off", "add nothing to a probability", _kl_with(lambda p: 1e-12)),
            Wrong("does not shift", "one place before it", lambda z, r, m: kl(z, r, np.concatenate([0 * m[:, :1], m[:, :-1]], 1))),
            Wrong("takes logits for log-probabilities", "logits are no log-probabilities", lambda z, r, m: ((np.exp(z) * (z - r)).sum(-1)[:, :-1] * m[:, 1:]).sum() / m[:, 1:].sum()),
        ),
    ),
    Task(
        "implied_reward", "the implied reward", 5, ((check_implied_reward, 3),), ((hidden_implied_reward, 3),), (implied_reward_average, implied_reward_loop),
        (
            Wrong("leaves the constant open", "only differences of rewards are known", lambda p, q, b: b * (p - q)),
            Wrong("forgets beta", "beta is missing", lambda p, q, b: implied_reward(p, q, 1.0)),
            Wrong("divides by beta", "multiply by beta", lambda p, q, b: implied_reward(p, q, 1 / b)),
            Wrong("turns the sign", "what became likelier was rewarded", lambda p, q, b: -implied_reward(p, q, b)),
            Wrong("centres under the policy", "not under the policy", lambda p, q, b: b * (p - q) - (np.exp(p) * b * (p - q)).sum()),
            Wrong("weighs with log-probabilities", "exp of ref_logps", lambda p, q, b: b * (p - q) - (q * b * (p - q)).sum()),
            Wrong("weighs with log-probabilities", "exp of ref_logps", lambda p, q, b: b * (p - q) - np.average(b * (p - q), weights=q)),
            Wrong("weighs all answers alike", "you weigh all answers alike", lambda p, q, b: b * (p - q) - (b * (p - q)).mean()),
            Wrong("adds the mean reward", "do not add it", lambda p, q, b: b * (p - q) + (np.exp(q) * b * (p - q)).sum()),
            Wrong("takes the logarithm of a ratio of probabilities", "logarithm of a ratio of probabilities", _reward_with(0.0)),
            Wrong("adds to a probability", "add nothing to a probability", _reward_with(1e-10)),
        ),
    ),
    Task(
        "step", "the step", 20, ((check_step, 4),), ((hidden_step, 5),), (step_plain, step_history),
        (
            Wrong("goes uphill", "the step goes uphill", _step_of(sign=1)),
            Wrong("does not clip", "scale it to 1 before all else", _step_of(clip=lambda g: g)),
            Wrong("clips each slope by itself", "you cut each slope off by itself", _step_of(clip=lambda g: np.clip(g, -1, 1))),
            Wrong("does not correct the means", "the first means are far too small", _step_of(corrected=False)),
            Wrong("counts steps from 0", "the first step is number 1", _step_of(first=0)),
            Wrong("exchanges the decays", "0.9 belongs to the mean of the gradients", _step_of(decays=(0.999, 0.9))),
            Wrong("forgets the root", "divide by the square root", _step_of(root=False)),
            Wrong("loses the state", "the state is lost", _step_of(kept=False)),
            Wrong("does not count the steps", "t is 2 at the second step", _never_counts),
            Wrong("has another norm", "yours is another one", _step_of(clip=lambda g: g / max(1, np.linalg.norm(g, 2)))),
            Wrong("has another norm", "yours is another one", _step_of(clip=lambda g: g / max(1, np.abs(g).max()))),
            Wrong("scales short gradients up", "leave it as it is", _step_of(clip=lambda g: g / np.linalg.norm(g))),
            Wrong("adds the small number below the root", "not to what stands below it", _step_of(below=1e-8, beside=0)),
            Wrong("leaves the small number out", "the 10^-8 is missing", _step_of(beside=0)),
            Wrong("gives the weights alone", "give two things", lambda w, g, s, lr: step(w, g, s, lr)[0]),
            Wrong("writes into its arguments", "step writes into an array", _writes_weights),
            Wrong("writes into its arguments", "step writes into an array", _writes_gradient),
            Wrong("writes into the old state", "the old state must stay", _writes_state),
            Wrong("writes into the old state", "the old state must stay", _writes_dict),
            Wrong("counts to two", "t is 3 at the third step", _counts_to_two),
            Wrong("gives v the gradient before it is scaled", "v takes the scaled gradient too", _v_unscaled),
            Wrong("takes the norm over two axes", "weights may have one dimension", _step_of(clip=lambda g: g / max(1, np.sqrt((g**2).sum(axis=(0, 1)))))),
        ),
    ),
    Task(
        "train", "the loop", 35, ((check_train, 5),), ((hidden_train, 7),), (train_again, train_joined),
        (
            Wrong("lets the reference move along", "yours moves along", _with(moves=True)),
            Wrong("has no reference", "the reference is missing", _with(without=True)),
            Wrong("does not train", "as they were at the start", lambda w, p, b, lr, n: (w, [math.log(2)] * n)),
            Wrong("goes uphill", "the loss rises", _with(signs=(-1, -1))),
            Wrong("gives the losses after the steps", "yours is that after it", _with(late=True)),
            Wrong("loses the optimiser's state", "hand the state of one step", _with(fresh=True)),
            Wrong("trains on the chosen answers alone", "the rejected answers have a gradient too", _with(signs=(1, 0))),
            Wrong("leaves beta at 1", "hand beta on to the loss", _with(own_beta=1.0)),
            Wrong("goes along the gradient itself", "use your step", _with(plain=True)),
            Wrong("gives a loss too many", "one loss a step", lambda w, p, b, lr, n: _loop(w, p, b, lr, n + 1)),
            Wrong("forgets the last step", "those after the last step", _with(less=1)),
            Wrong("makes a step for each side", "you make two", _train_apart),
            Wrong("makes a step for each side", "you make two", functools.partial(_train_apart, together=True)),
            Wrong("makes a step for each side", "you make two", functools.partial(_train_apart, states=2)),
            Wrong("gives what dpo gives as losses", "the losses are numbers", _train_dicts),
            Wrong("writes into its arguments", "train, or the step that it calls", _train_written),
            Wrong("trains on the rejected answers alone", "the chosen answers have a gradient too", _with(signs=(0, 1))),
            Wrong("leaves beta at 1 in the gradient alone", "hand beta on to the gradient as well", _with(slope_beta=1.0)),
            Wrong("joins sides of different length", "may differ in length", _train_concatenated),
            Wrong("keeps losses from call to call", "losses=[] is made once", _train_with_list),
            Wrong("keeps the optimiser's state from call to call", "such as a default argument state={}", _train_with_state),
            Wrong("keeps the reference from call to call", "none that was kept from an earlier one", _train_with_reference),
            Wrong("stops when the loss is small", "make all 12 steps", _train_stopped),
        ),
    ),
)  # fmt: skip
ASSIGNMENT = Assignment("ps3", "Problem set 3: from DPO to the training loop", TASKS)
