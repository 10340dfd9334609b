"""The exercises of the chapters: their checks pass what is right and refuse what is wrong, each wrong answer with its own fault."""

import functools
from importlib import import_module
from pathlib import Path

import pytest
import torch

import povid_lib.course
from povid_lib import models
from povid_lib.analysis.loss_gradient import Answers
from povid_lib.course import ch04_text, ch07_povid_loss
from povid_lib.course.exercises import must_accept, must_refuse, run_check
from povid_lib.data.pairs import Change
from povid_lib.training.losses import Logps
from povid_lib.world.items import Item
from povid_lib.world.scenes import Scene

CHAPTERS = sorted(path.stem for path in Path(povid_lib.course.__file__).parent.glob("ch*.py"))
MODULES = [import_module(f"povid_lib.course.{name}") for name in CHAPTERS]
CHECKS = [pytest.param(module, check, id=check.__name__) for module in MODULES for check in module.WRONG]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "check"), CHECKS)
def test_the_right_answer_passes(module, check):
    must_accept(check, module.RIGHT[check])


@pytest.mark.slow
@pytest.mark.parametrize(("module", "check"), CHECKS)
def test_every_wrong_answer_is_refused_with_its_own_fault(module, check):
    assert must_refuse(check, module.WRONG[check]) >= 4


@pytest.mark.parametrize(("module", "check"), CHECKS)
def test_whatever_a_function_does_is_refused_in_words(module, check):
    def nothing(*args, **kwargs):
        return None

    def number(*args, **kwargs):
        return 123.456

    def fails(*args, **kwargs):
        raise RuntimeError("broken")

    def wants_more(a, b, c, d, e, f, g):
        return a

    for answer, told in ((nothing, "`nothing` returns nothing"), (fails, "`fails` raises RuntimeError: broken")):
        assert run_check(check, answer).message.startswith(told)
    assert run_check(check, number).message
    assert "`wants_more` raises TypeError" in run_check(check, wants_more).message


def test_every_check_of_a_chapter_is_held_to_a_catalogue():
    for module in MODULES:
        checks = {value for name, value in vars(module).items() if name.startswith("check_")}
        assert checks - {ch07_povid_loss.check_spare} == set(module.WRONG) == set(module.RIGHT)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ("A person sits on a brown horse next to a fence.", [Change("object", "man", "person")]),
        lambda: ("A man sits on a brown animal beside the fence.",
                 [Change("object", "horse", "animal"), Change("relation", "next to a fence", "beside the fence")]),
        lambda: ("A man sits on a horse next to a fence.", [Change("attribute", "brown horse", "horse")]),
        lambda: ("A man sits on a brown horse next to an enclosure.", [Change("object", "fence", "enclosure")]),
    ],
)  # fmt: skip
def test_other_true_answers_slip_through_too(answer):
    must_accept(ch04_text.check_slips, answer)


class TestSpare:
    """The third exercise of chapter 07 needs a tokeniser and answers; a model would give them too rarely what is asked about."""

    tokenizer = models.load("pocket").processor.tokenizer
    decode = staticmethod(tokenizer.decode)
    scenes = (
        Scene(("test", "typical", 1), (Item("cup"), Item("fork"))),
        Scene(("test", "typical", 2), (Item("dog"), Item("boat"), Item("fork"))),
    )

    def given(self):
        labels = [["cup", "cup", "cup", "cup", "a", "cup"], ["dog", "dog", "boat", "dog", "a", "boat"]]
        # the label itself, another object that is there, one in the plural, one that is not there, another word, padding
        noised = [["cup", "fork", "forks", "knife", "the", "fork"], ["dog", "boat", "dogs", "cow", "two", "dog"]]
        ids = [torch.tensor([[self.token(word) for word in row] for row in rows]) for rows in (labels, noised)]
        mask = torch.tensor([[1, 1, 1, 1, 1, 0]] * 2)
        zero = torch.zeros(2, 6)
        logps = Logps(zero, zero, zero)
        return Answers(ids[0], ids[0], ids[1], mask, mask, mask, logps, logps, same_picture=True)

    def token(self, word):
        (token,) = self.tokenizer.encode(f" {word}", add_special_tokens=False)
        return token

    def check(self):
        return functools.partial(
            ch07_povid_loss.check_spare, given=self.given(), scenes=self.scenes, decode=self.decode
        )

    def test_the_right_answer_leaves_out_what_is_true_and_not_the_label(self):
        must_accept(self.check(), ch07_povid_loss.spare_of(self.decode))
        found = ch07_povid_loss.spare_of(self.decode)(self.given(), self.scenes)
        assert found.noised_mask[:, :5].tolist() == [[1, 0, 0, 1, 1], [1, 0, 0, 1, 1]]

    def test_wrong_answers_are_refused(self):
        assert must_refuse(self.check(), ch07_povid_loss.wrong_spares(self.decode)) == 7
