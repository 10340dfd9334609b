"""The preference losses: numbers worked out by hand, TRL's own losses as TRL computes them, gradients, limits, refusals."""

import inspect
import math

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import AutoProcessor
from trl import DPOConfig, DPOTrainer

from povid_lib.models import llava
from povid_lib.training import losses
from povid_lib.training.losses import Logps
from tests.training.test_trl import LANGUAGE_MODEL_ONLY, fresh, pairs

LOG2, LOG3 = math.log(2), math.log(3)


def tensor(*numbers, dtype=torch.float64):
    return torch.tensor(numbers, dtype=dtype)


def drawn(n, rows=16, scale=3.0, seed=0, dtype=torch.float64):
    """``n`` tensors of log-probabilities."""
    generator = torch.Generator().manual_seed(seed)
    return (-5 + scale * torch.randn(n, rows, generator=generator, dtype=torch.float64)).to(dtype).unbind()


def records(tensors, third="noised"):
    """Tensors, those of the policy first, as the two records that losses take; ``third``: what the third of each is."""
    half = len(tensors) // 2
    return tuple(Logps(*of[:2], **dict(zip([third], of[2:], strict=False))) for of in (tensors[:half], tensors[half:]))


def two(n, third="noised", **options):
    return records(drawn(n, **options), third)


def near(value, rel=1e-12):
    return pytest.approx(value, rel=rel, abs=1e-12)


# --- by hand -----------------------------------------------------------------------------------------------------
#
# Two rows, log-ratios rho = policy - reference:
#   chosen     -4 - -6 =  2    and   -7 - -6 = -1
#   rejected   -9 - -8 = -1    and   -5 - -6 =  1
#   noised     -6 - -6 =  0    and   -4 - -7 =  3
# With beta = LOG3 / 3 the margins of chosen against rejected are 3 beta = ln 3 and -2 beta = -2/3 ln 3, and
# -log sigmoid(ln 3) = ln(1 + 1/3) = ln 4/3, -log sigmoid(-2/3 ln 3) = ln(1 + 3^(2/3)).
CHOSEN, REF_CHOSEN = tensor(-4.0, -7.0), tensor(-6.0, -6.0)
REJECTED, REF_REJECTED = tensor(-9.0, -5.0), tensor(-8.0, -6.0)
NOISED, REF_NOISED = tensor(-6.0, -4.0), tensor(-6.0, -7.0)
FOUR = (Logps(CHOSEN, REJECTED), Logps(REF_CHOSEN, REF_REJECTED))
SIX = (Logps(CHOSEN, REJECTED, NOISED), Logps(REF_CHOSEN, REF_REJECTED, REF_NOISED))
WEAKENED = tuple(Logps(of.chosen, of.rejected, weakened=of.noised) for of in SIX)
BETA = LOG3 / 3


def minus_log_sigmoid(z):
    return math.log(1 + math.exp(-z))


def test_dpo_by_hand():
    loss, metrics = losses.dpo(*FOUR, beta=BETA)
    assert float(loss) == near((math.log(4 / 3) + math.log(1 + 3 ** (2 / 3))) / 2)
    assert {name: value.tolist() for name, value in metrics.items()} == {
        "rewards/chosen": near([2 * BETA, -BETA]),
        "rewards/rejected": near([-BETA, BETA]),
        "rewards/margins": near([3 * BETA, -2 * BETA]),
        "rewards/accuracies": [1, 0],
        "logps/chosen": [-4, -7],
        "logps/rejected": [-9, -5],
    }


def test_dpo_with_smoothed_labels_by_hand():
    """First row alone, a quarter of the labels exchanged: 3/4 ln 4/3 + 1/4 ln 4, as -log sigmoid(-ln 3) = ln(1 + 3)."""
    loss, _ = losses.dpo(*(of.map(lambda t: t[:1]) for of in FOUR), beta=BETA, label_smoothing=0.25)
    assert float(loss) == near(0.75 * math.log(4 / 3) + 0.25 * math.log(4))


def test_ipo_by_hand():
    """beta = 1/4 draws the margins, 3 and -2, to 1 / (2/4) = 2: the mean of 1 and 16."""
    loss, metrics = losses.ipo(*FOUR, beta=0.25)
    assert float(loss) == near(8.5)
    assert metrics["rewards/margins"].tolist() == near([0.75, -0.5])


def test_hinge_by_hand():
    """beta = 1/2: margins 1.5 and -1, so 1 - margin is -0.5, cut off at 0, and 2."""
    loss, metrics = losses.hinge(*FOUR, beta=0.5)
    assert float(loss) == near(1)
    assert metrics["rewards/margins"].tolist() == near([1.5, -1])


def test_povid_by_hand():
    """alpha 1, beta1 1/2, beta2 1/4: z = 2 + 1/2 - 0 = 5/2 and -1 - 1/2 - 3/4 = -9/4."""
    loss, metrics = losses.povid(*SIX, alpha=1.0, beta1=0.5, beta2=0.25)
    assert float(loss) == near((minus_log_sigmoid(2.5) + minus_log_sigmoid(-2.25)) / 2)
    assert {name: value.tolist() for name, value in metrics.items()} == {
        "rewards/chosen": near([2, -1]),
        "rewards/rejected": near([-0.5, 0.5 + 0.75]),
        "rewards/margins": near([2.5, -2.25]),
        "rewards/accuracies": [1, 0],
        "logps/chosen": [-4, -7],
        "logps/rejected": [-9, -5],
        "rewards/noised": near([0, 0.75]),
        "logps/noised": [-6, -4],
    }


REWARDS = {  # what the rejected answer's log-ratios rho, of the rejected and of the noised one, earn
    "dpo": (lambda *of: losses.dpo(*of, beta=0.3), lambda rejected, _: 0.3 * rejected),
    "ipo": (lambda *of: losses.ipo(*of, beta=0.3), lambda rejected, _: 0.3 * rejected),
    "hinge": (lambda *of: losses.hinge(*of, beta=0.3), lambda rejected, _: 0.3 * rejected),
    "povid, no noise": (lambda *of: losses.povid(*of, 0.3, 0.7, 0.0), lambda rejected, _: 0.7 * rejected),
    "povid": (lambda *of: losses.povid(*of, 0.3, 0.7, 0.2), lambda rejected, noised: 0.7 * rejected + 0.2 * noised),
}


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_are_log_ratios_times_their_coefficients(name):
    call, earned = REWARDS[name]
    policy, reference = two(6)
    _, metrics = call(policy, reference)
    chosen, rejected, noised = (
        getattr(policy, answer) - getattr(reference, answer) for answer in ("chosen", "rejected", "noised")
    )
    torch.testing.assert_close(metrics["rewards/chosen"], 0.3 * chosen)
    torch.testing.assert_close(metrics["rewards/rejected"], earned(rejected, noised))


def test_a_tie_is_no_preference():
    same = Logps(CHOSEN, CHOSEN)
    assert losses.dpo(same, Logps(REF_CHOSEN, REF_CHOSEN))[1]["rewards/accuracies"].tolist() == [0, 0]


def test_the_usual_coefficients():
    usual = {
        name: {
            key: one.default
            for key, one in inspect.signature(getattr(losses, name)).parameters.items()
            if one.default is not inspect.Parameter.empty
        }
        for name in ("dpo", "noised_dpo", "ipo", "hinge", "povid", "povid_mean", "mdpo", "sft_regularised")
    }
    assert usual == {
        "dpo": {"beta": 0.1, "label_smoothing": 0.0},
        "noised_dpo": {"beta": 0.1},
        "ipo": {"beta": 0.1},
        "hinge": {"beta": 0.1},
        "povid": {"alpha": 0.1, "beta1": 0.05, "beta2": 0.05},
        "povid_mean": {"beta": 0.1},
        "mdpo": {"beta": 0.1, "anchor": 0.0},
        "sft_regularised": {},
    }


def test_povid_mean_by_hand():
    """beta 1: text margins 3 and -2, image margins 2 and -4; rewards of the rejected side are means of the two."""
    loss, metrics = losses.povid_mean(*SIX, beta=1.0)
    each = [minus_log_sigmoid(z) for z in (3, -2, 2, -4)]
    assert float(loss) == near(sum(each) / 4)
    assert {name: value.tolist() for name, value in metrics.items()} == {
        "rewards/chosen": near([2, -1]),
        "rewards/rejected": near([-1, 1]),
        "rewards/margins": near([2 + 0.5, -1 - 2]),
        "rewards/accuracies": [1, 0],
        "logps/chosen": [-4, -7],
        "logps/rejected": [-9, -5],
        "rewards/noised": near([0, 3]),
        "logps/noised": [-6, -4],
    }


def test_mdpo_by_hand():
    """beta 1, anchor 1/2: margins 3 and -2 (text), 2 and -4 (image), and rho of the chosen less the anchor, 3/2 and -3/2."""
    loss, metrics = losses.mdpo(*WEAKENED, beta=1.0, anchor=0.5)
    assert float(loss) == near(sum(minus_log_sigmoid(z) for z in (3, -2, 2, -4, 1.5, -1.5)) / 2)
    assert metrics["rewards/weakened"].tolist() == near([0, 3])
    assert metrics["logps/weakened"].tolist() == [-6, -4]
    assert metrics["rewards/margins"].tolist() == near([3, -2])


def test_sft_by_hand():
    """4 over 2 tokens and 7 over 10: the mean of 2 and 0.7, each row once."""
    loss, metrics = losses.sft(*FOUR, torch.tensor([2, 10]))
    assert float(loss) == near(1.35)
    assert metrics["logps/chosen"].tolist() == [-4, -7]


def test_sft_regularised_by_hand():
    """0.5 + 2 * 1.35."""
    loss, metrics = losses.sft_regularised(tensor(0.5)[0], {"a": CHOSEN}, FOUR[0], torch.tensor([2, 10]), weight=2.0)
    assert float(loss) == near(3.2)
    assert metrics["nll/chosen"].tolist() == near([1.35, 1.35])
    assert metrics["a"] is CHOSEN


# --- TRL's own ---------------------------------------------------------------------------------------------------


class Executed:
    """TRL's ``DPOTrainer`` on the pocket model with an adapter away from zero, and what its models returned."""

    def __init__(self, folder, rows):
        torch.manual_seed(0)  # of the adapter
        data = [row for row in pairs(24) if row["chosen"] != row["rejected"]][:rows]
        self.trainer = DPOTrainer(
            model=fresh(),
            args=DPOConfig(
                output_dir=str(folder),
                per_device_train_batch_size=rows,
                report_to=[],
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
            ),
            train_dataset=Dataset.from_list(data),
            processing_class=AutoProcessor.from_pretrained(llava.FOLDER),
            peft_config=LoraConfig(r=8, target_modules=LANGUAGE_MODEL_ONLY, init_lora_weights=False),
        )
        self.trainer.model.eval()  # no dropout; the loss is the same code
        self.batch = next(iter(self.trainer.get_train_dataloader()))
        mask = self.batch["completion_mask"]
        self.lengths, _ = mask.sum(1).chunk(2)
        self.both_lengths = mask.sum(1).chunk(2)

    def loss(self, *kinds, beta=0.1, smoothing=0.0):
        """``(TRL's loss, its gradient at the policy's token log-probabilities, those log-probabilities, the reference's)``."""
        trainer = self.trainer
        trainer.loss_types, trainer.loss_weights = list(kinds), [1.0] * len(kinds)
        trainer.beta, trainer.label_smoothing = beta, smoothing
        seen = []
        hook = trainer.model.register_forward_hook(lambda module, args, output: seen.append(output.log_probs))
        loss = trainer.compute_loss(trainer.model, dict(self.batch))
        hook.remove()
        policy, reference = seen
        (gradient,) = torch.autograd.grad(loss, policy)
        return loss.detach(), gradient, policy.detach(), reference


@pytest.fixture(scope="module")
def trl(tmp_path_factory):
    return Executed(tmp_path_factory.mktemp("trl"), rows=4)


@pytest.fixture(scope="module")
def trl_row(tmp_path_factory):
    return Executed(tmp_path_factory.mktemp("trl"), rows=1)


def compare(executed, kinds, ours, tolerance=1e-6, means=False, **options):
    """``ours(policy, reference)`` against TRL on the log-probabilities that TRL's models returned: loss and gradient at each token
    of an answer."""
    theirs, their_gradient, policy, reference = executed.loss(*kinds, **options)
    policy = policy.clone().requires_grad_()
    over = executed.both_lengths if means else (1, 1)
    loss = ours(
        *(
            Logps(*(side / length for side, length in zip(tokens.sum(1).chunk(2), over, strict=True)))
            for tokens in (policy, reference)
        )
    )
    real = executed.batch["completion_mask"][:, 1:]
    (gradient,) = torch.autograd.grad(loss, policy)
    assert float(loss.detach()) == pytest.approx(float(theirs), rel=tolerance, abs=tolerance)
    assert ((gradient - their_gradient) * real).abs().max() <= tolerance * max(1, float(their_gradient.abs().max()))
    assert (their_gradient * real).abs().max() > 0
    return float(theirs)


def test_the_comparison_compares_something(trl):
    """Policy and reference differ, rows differ, and so do their lengths."""
    _, _, policy, reference = trl.loss("sigmoid")
    rho = (policy - reference).sum(1)
    assert rho.abs().min() > 1e-3
    assert len({round(v, 4) for v in rho.tolist()}) == 8
    assert len(set(trl.both_lengths[0].tolist() + trl.both_lengths[1].tolist())) > 2


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_dpo_is_trls_sigmoid(trl, beta):
    compare(trl, ["sigmoid"], lambda *both: losses.dpo(*both, beta)[0], beta=beta)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_hinge_is_trls(trl, beta):
    compare(trl, ["hinge"], lambda *both: losses.hinge(*both, beta)[0], beta=beta)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_ipo_is_trls_when_given_means(trl, beta):
    theirs = compare(trl, ["ipo"], lambda *both: losses.ipo(*both, beta)[0], means=True, beta=beta)
    _, _, policy, reference = trl.loss("ipo", beta=beta)
    sums = (Logps(*tokens.sum(1).chunk(2)) for tokens in (policy, reference))
    assert abs(float(losses.ipo(*sums, beta)[0]) - theirs) > 0.01 * theirs  # sums are another loss


def test_smoothed_dpo_is_trls_where_trl_has_it(trl_row):
    """TRL 1.16's "sigmoid" ignores label smoothing. The same conservative loss stands in its "aot", whose sorting does nothing to a
    single row."""
    plain = compare(trl_row, ["sigmoid"], lambda *both: losses.dpo(*both, 0.5)[0], beta=0.5, smoothing=0.2)
    for kind in ("aot", "aot_unpaired"):
        smoothed = compare(trl_row, [kind], lambda *both: losses.dpo(*both, 0.5, 0.2)[0], beta=0.5, smoothing=0.2)
        assert abs(smoothed - plain) > 1e-3


@pytest.mark.slow
def test_trls_robust_is_another_loss(trl):
    """TRL's "robust" is unbiased under exchanged labels: ((1 - e) L(z) - e L(-z)) / (1 - 2e); ours adds. From ours at e and the two
    plain losses follows TRL's."""

    def robust(policy, reference, e=0.2):
        right, _ = losses.dpo(policy, reference, 0.5)
        wrong, _ = losses.dpo(exchanged(policy), exchanged(reference), 0.5)
        return ((1 - e) * right - e * wrong) / (1 - 2 * e)

    theirs = compare(trl, ["robust"], robust, beta=0.5, smoothing=0.2)
    _, _, policy, reference = trl.loss("sigmoid")
    both = (Logps(*tokens.sum(1).chunk(2)) for tokens in (policy, reference))
    assert abs(float(losses.dpo(*both, 0.5, 0.2)[0]) - theirs) > 1e-2


def test_sft_is_trls_row_by_row(trl, trl_row):
    """TRL averages over all tokens of the batch, so that long rows weigh more and small batches accumulate to another loss; on one
    row the two are one. On several rows, weighting ours by length gives TRL's."""
    compare(trl_row, ["sft"], lambda *both: losses.sft(*both, trl_row.lengths)[0])

    def weighted(*both):
        rows = [slice(i, i + 1) for i in range(len(trl.lengths))]
        each = [losses.sft(*(of.map(lambda t, i=i: t[i]) for of in both), trl.lengths[i])[0] for i in rows]
        return (torch.stack(each) * trl.lengths / trl.lengths.sum()).sum()

    compare(trl, ["sft"], weighted)


def test_sft_regularised_is_trls_sum_of_losses(trl_row):
    """The form of Pang et al.: TRL takes a list of losses."""
    compare(
        trl_row,
        ["sigmoid", "sft"],
        lambda *both: losses.sft_regularised(*losses.dpo(*both, 0.3), both[0], trl_row.lengths, weight=1.0)[0],
        beta=0.3,
    )


def test_metrics_are_trls(trl):
    trl.trainer._metrics["eval"].clear()
    _, _, policy, reference = trl.loss("sigmoid", beta=0.3)
    theirs = trl.trainer._metrics["eval"]
    _, ours = losses.dpo(*(Logps(*tokens.sum(1).chunk(2)) for tokens in (policy, reference)), 0.3)
    assert len(ours) == 6
    for name, values in ours.items():
        assert float(values.mean()) == pytest.approx(theirs[name][0], rel=1e-5, abs=1e-6), name


# --- POVID and DPO -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_povids_first_phase_is_dpo(seed):
    six = two(6, seed=seed)
    want, of_dpo = losses.dpo(*six, beta=0.3)
    for both in (six, [of._replace(noised=None) for of in six]):
        loss, metrics = losses.povid(*both, alpha=0.3, beta1=0.3, beta2=0.0)
        assert torch.equal(loss, want)
        assert metrics.keys() == of_dpo.keys()
        assert all(torch.allclose(metrics[name], of_dpo[name], atol=1e-12) for name in of_dpo)


def test_both_forms_of_povid_are_dpo_where_both_dispreferences_are_one():
    both = two(4)
    six = [of._replace(noised=of.rejected) for of in both]
    want = losses.dpo(*both, beta=0.2)[0]
    assert torch.allclose(losses.povid(*six, alpha=0.2, beta1=0.1, beta2=0.1)[0], want, atol=1e-12)
    assert torch.allclose(losses.povid_mean(*six, beta=0.2)[0], want, atol=1e-12)
    assert torch.equal(losses.noised_dpo(*six, beta=0.2)[0], want)


@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
def test_one_sigmoid_never_exceeds_the_mean_of_two(beta):
    """Jensen's inequality, row by row; equal only where the two margins are."""
    policy, reference = two(6, rows=200)
    for i in range(200):
        row = [of.map(lambda t, i=i: t[i : i + 1]) for of in (policy, reference)]
        one = losses.povid(*row, alpha=beta, beta1=beta / 2, beta2=beta / 2)[0]
        mean = losses.povid_mean(*row, beta=beta)[0]
        assert one <= mean + 1e-12
        apart = row[0].rejected - row[1].rejected - row[0].noised + row[1].noised
        assert mean - one > 1e-12 or abs(apart) * beta < 1e-4


# --- what holds for any log-probabilities ------------------------------------------------------------------------


def exchanged(logps):
    """Chosen and rejected in each other's place."""
    return logps._replace(chosen=logps.rejected, rejected=logps.chosen)


ANY = settings(max_examples=60, deadline=None, derandomize=True)
NUMBERS = st.integers(1, 6).flatmap(
    lambda rows: st.lists(st.lists(st.floats(-60, 0), min_size=rows, max_size=rows), min_size=8, max_size=8)
)
AGAINST_A_REFERENCE = {
    "dpo": lambda *both: losses.dpo(*both, beta=0.3)[0],
    "smoothed dpo": lambda *both: losses.dpo(*both, beta=0.3, label_smoothing=0.1)[0],
    "noised_dpo": lambda *both: losses.noised_dpo(*both, beta=0.3)[0],
    "ipo": lambda *both: losses.ipo(*both, beta=0.3)[0],
    "hinge": lambda *both: losses.hinge(*both, beta=0.3)[0],
    "povid": lambda *both: losses.povid(*both, alpha=0.3, beta1=0.2, beta2=0.15)[0],
    "povid_mean": lambda *both: losses.povid_mean(*both, beta=0.3)[0],
    "mdpo": lambda *both: losses.mdpo(*both, beta=0.3, anchor=0.2)[0],
}


def both_of(numbers):
    full = [torch.tensor(row, dtype=torch.float64) for row in numbers]
    return Logps(*full[:4]), Logps(*full[4:])


@pytest.mark.slow
@pytest.mark.parametrize("name", AGAINST_A_REFERENCE)
@given(numbers=NUMBERS, constant=st.floats(-20, 20), answer=st.sampled_from(Logps._fields))
@ANY
def test_only_the_difference_to_the_reference_counts(name, numbers, constant, answer):
    """The same constant added to one answer's log-probability under both models changes nothing: an answer that is unlikely under
    both is not to blame."""
    loss, (policy, reference) = AGAINST_A_REFERENCE[name], both_of(numbers)
    moved = [of._replace(**{answer: getattr(of, answer) + constant}) for of in (policy, reference)]
    assert torch.allclose(loss(*moved), loss(policy, reference), rtol=1e-9, atol=1e-9)


@given(numbers=NUMBERS, beta=st.floats(0.01, 3), smoothing=st.floats(0, 0.49))
@ANY
def test_exchanging_the_sides_turns_the_margin_round(numbers, beta, smoothing):
    """Margins change their sign; the losses of the two labels differ by the margin, as -log s(-z) = -log s(z) + z; and with a share
    of labels exchanged the loss is that mixture of the two."""
    policy, reference = both_of(numbers)
    loss, metrics = losses.dpo(policy, reference, beta)
    other, of_other = losses.dpo(exchanged(policy), exchanged(reference), beta)
    assert torch.allclose(metrics["rewards/margins"], -of_other["rewards/margins"], rtol=0, atol=1e-12)
    assert torch.allclose(other - loss, metrics["rewards/margins"].mean(), rtol=1e-9, atol=1e-9)
    smoothed, _ = losses.dpo(policy, reference, beta, smoothing)
    assert torch.allclose(smoothed, (1 - smoothing) * loss + smoothing * other, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "answer", "sign"),
    [
        *((name, "chosen", -1) for name in ("dpo", "noised_dpo", "hinge", "povid", "povid_mean", "mdpo")),
        *((name, "rejected", 1) for name in ("dpo", "hinge", "povid", "povid_mean", "mdpo")),
        *((name, "noised", 1) for name in ("noised_dpo", "povid", "povid_mean")),
        ("mdpo", "weakened", 1),
    ],
)
@given(numbers=NUMBERS, step=st.floats(0.1, 10))
@ANY
def test_losses_fall_with_the_chosen_and_rise_with_the_dispreferred(name, answer, sign, numbers, step):
    """Strictly, where no log-ratio is so large that the sigmoid is flat; the hinge is flat once its margin is reached."""
    loss, (policy, reference) = AGAINST_A_REFERENCE[name], both_of(numbers)
    more = policy._replace(**{answer: getattr(policy, answer) + step})
    change = sign * float(loss(more, reference) - loss(policy, reference))
    ratios = [getattr(more, of) - getattr(reference, of) for of in more.given()]
    steep = name != "hinge" and max(float(ratio.abs().max()) for ratio in ratios) < 30
    assert change >= (1e-9 if steep else 0)


def test_no_loss_reads_an_answer_that_is_not_its_own():
    """Each needs what it weighs and refuses to do without; nothing else may change it."""
    needs = {"noised_dpo": ("noised",), "povid": ("noised",), "povid_mean": ("noised",), "mdpo": ("weakened",)}
    for name, loss in AGAINST_A_REFERENCE.items():
        full = both_of([[-1.0 - n, -2.0 * n] for n in range(8)])
        for answer in ("noised", "weakened"):
            without = [of._replace(**{answer: None}) for of in full]
            if answer in needs.get(name, ()):
                with pytest.raises(ValueError, match=f"no {answer} answers"):
                    loss(*without)
            else:
                assert torch.equal(loss(*without), loss(*full)), (name, answer)


# --- gradients and number formats --------------------------------------------------------------------------------

LENGTHS = torch.tensor([3, 7, 4, 9])
EVERY = {
    **{
        name: (6 if name in ("povid", "povid_mean") else 4, "noised", loss)
        for name, loss in AGAINST_A_REFERENCE.items()
    },
    "noised_dpo": (6, "noised", AGAINST_A_REFERENCE["noised_dpo"]),
    "mdpo": (6, "weakened", AGAINST_A_REFERENCE["mdpo"]),
    "sft": (4, "noised", lambda *both: losses.sft(*both, LENGTHS)[0]),
    "sft_regularised": (
        4,
        "noised",
        lambda *both: losses.sft_regularised(*losses.dpo(*both, beta=0.3), both[0], LENGTHS, weight=0.7)[0],
    ),
}
NOT_READ = {"sft": ("rejected",), "noised_dpo": ("rejected",)}


@pytest.mark.parametrize("name", EVERY)
def test_gradients(name):
    """Of the policy's log-probabilities, by finite differences in float64; none reaches the reference's."""
    count, third, loss = EVERY[name]
    tensors = [t.clone() for t in drawn(count, rows=4, seed=1)]
    half = count // 2
    for t in tensors[:half]:
        t.requires_grad_()
    assert torch.autograd.gradcheck(lambda *of: loss(*records([*of, *tensors[half:]], third)), tensors[:half])
    for t in tensors:
        t.requires_grad_()
    policy, reference = records(tensors, third)
    loss(policy, reference).backward()
    for answer, t in policy.given().items():
        assert (t.grad is None) == (answer in NOT_READ.get(name, ())), answer
        assert t.grad is None or t.grad.abs().max() > 0
    assert all(t.grad is None for t in reference.given().values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_computed_in_single(name, dtype):
    """Not rounded anew at each operation: as if the same numbers had come in float32; float64 is left as it is."""
    count, third, loss = EVERY[name]
    both = two(count, third, rows=4, scale=30.0, dtype=dtype)
    found = loss(*both)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(*(of.map(torch.Tensor.float) for of in both)))
    assert loss(*two(count, third, rows=4)).dtype == torch.float64


def test_one_row_never_weighs_more_than_beta():
    """Far on the wrong side -log sigmoid is a straight line, far on the right side it is flat, and neither overflows."""
    for dtype in (torch.float32, torch.float64):
        chosen = tensor(-2000.0, -1.0, dtype=dtype).requires_grad_()
        rejected, reference = tensor(-1.0, -2000.0, dtype=dtype), tensor(-1000.0, -1000.0, dtype=dtype)
        loss, _ = losses.dpo(Logps(chosen, rejected), Logps(reference, reference), beta=0.5)
        loss.backward()
        assert chosen.grad.tolist() == near([-0.25, 0])  # beta, over two rows
        assert float(loss.detach()) == near(0.5 * 1999 / 2)


def test_metrics_carry_no_gradient():
    policy, reference = (of.map(torch.Tensor.requires_grad_) for of in both_of(torch.stack(drawn(8, rows=4)).tolist()))
    both = (policy, reference)
    made = [
        losses.dpo(*both),
        losses.noised_dpo(*both),
        losses.ipo(*both),
        losses.hinge(*both),
        losses.povid(*both),
        losses.povid_mean(*both),
        losses.mdpo(*both),
        losses.sft(*both, LENGTHS),
        losses.sft_regularised(*losses.dpo(*both), policy, LENGTHS, 1.0),
    ]
    for loss, metrics in made:
        assert loss.requires_grad
        assert loss.shape == ()
        assert not any(value.requires_grad for value in metrics.values())
        assert all(value.shape == (4,) for value in metrics.values())


# --- refusals ----------------------------------------------------------------------------------------------------

OF_FOUR = {"dpo": losses.dpo, "ipo": losses.ipo, "hinge": losses.hinge}
OF_SIX = {"povid_mean": losses.povid_mean, "noised_dpo": losses.noised_dpo}
BAD = (0.0, -0.1, math.inf, math.nan)
REFUSED = {
    **{
        f"{name}: beta {beta}": (lambda f=f, n=n, beta=beta: f(*two(n), beta=beta), f"{said}beta is {beta}; it must be positive")
        for n, table in ((4, OF_FOUR), (6, OF_SIX))
        for name, f in table.items()
        for said in (f"^{name}: " if name in OF_FOUR else "",)
        for beta in BAD
    },
    **{
        f"povid: alpha {value}": (lambda value=value: losses.povid(*two(6), alpha=value), f"povid: alpha is {value}")
        for value in BAD
    },
    **{
        f"povid: {name} {value}": (
            lambda name=name, value=value: losses.povid(*two(6), **{name: value}),
            f"povid: {name} is {value}",
        )
        for name in ("beta1", "beta2")
        for value in BAD[1:]
    },
    **{
        f"dpo: smoothing {value}": (
            lambda value=value: losses.dpo(*two(4), label_smoothing=value),
            rf"label_smoothing is {value}; it must lie in \[0, 0.5\)",
        )
        for value in (-0.1, 0.5, 1.0, math.nan)
    },
    **{
        f"regularised: weight {value}": (
            lambda value=value: losses.sft_regularised(*losses.dpo(*two(4, rows=4)), two(4, rows=4)[0], LENGTHS, value),
            f"sft_regularised: weight is {value}",
        )
        for value in BAD[1:]
    },
    "one row fewer": (lambda: losses.dpo(*records([*drawn(3), *drawn(1, rows=15)])), r"dpo: .*\(16,\), \(15,\).*one number a row"),
    "noised of another length": (lambda: losses.povid(*records([*drawn(5), *drawn(1, rows=2)])), r"povid: .*one number a row"),
    "weakened of another length": (lambda: losses.mdpo(*records([*drawn(5), *drawn(1, rows=2)], "weakened")), r"one number a row"),
    "a number a token": (lambda: losses.hinge(*records([t.view(4, 4) for t in drawn(4)])), r"hinge: .*\(4, 4\)"),
    "a single number": (lambda: losses.ipo(*records([t[0] for t in drawn(4)])), r"ipo: .*shapes \[\(\)"),
    "no rows": (lambda: losses.dpo(*records([t[:0] for t in drawn(4)])), r"dpo: .*\(0,\)"),
    "no noised answer": (lambda: losses.povid(*two(4)), r"^povid: .*no noised answers; give Logps\(..., noised=...\)"),
    "no weakened answer": (lambda: losses.mdpo(*two(4)), "^mdpo: .*no weakened answers"),
    "mdpo: beta": (lambda: losses.mdpo(*two(6, "weakened"), beta=0.0), "beta is 0.0; it must be positive"),
    "whole numbers": (lambda: losses.dpo(*records([t.long() for t in drawn(4)])), "^dpo: .*type .*int64.*floating-point"),
    "sft: no tokens": (lambda: losses.sft(*FOUR, torch.tensor([2, 0])), r"lengths are \[2, 0\]"),
    "sft: negative": (lambda: losses.sft(*FOUR, torch.tensor([2, -1])), r"lengths are \[2, -1\]"),
    "sft: one length": (lambda: losses.sft(*FOUR, torch.tensor([2])), r"lengths are \[2\] for \(2,\)"),
    "nothing noised": (lambda: losses.povid(*records([t.view(4, 4) for t in drawn(4)]), beta2=0.0), r"^povid: .*\(4, 4\)"),
    "no noised answer at all": (lambda: losses.noised_dpo(*two(4)), "^noised_dpo: .*no noised answers"),
    "sft: a number a token": (lambda: losses.sft(*[Logps(*[torch.ones(2, 2)] * 2)] * 2, torch.ones(2, 2)), "^sft: .* one number a"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()
