"""Students' functions against a check: whatever they do, they are told in words what is wrong; and checks are held to refuse it."""

import functools

import pytest

from povid_lib.course.exercises import WIDTH, Outcome, attempt, must_accept, must_refuse, run_check


def require(holds, otherwise):
    """An assert whose message pytest leaves alone."""
    if not holds:
        raise AssertionError(otherwise)


def check_half(half):
    found = half(8.0)
    require(found != 16, "this is twice the number, not half of it")
    require(abs(found - 4) < 1e-9, f"half of 8 is 4, not {found}")
    require(abs(half(3.0) - 1.5) < 1e-9, "half of 3 is 1.5: divide without rounding")


def half(x):
    return x / 2


def raises(x):
    return {}[x]


def needs_two(x, y):
    return x / y


def own_assertion(x):
    raise AssertionError("a thought of my own")


def numberless(x):
    return "four"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda x: 2 * x, "this is twice the number, not half of it"),
        (lambda x: x // 2, "half of 3 is 1.5: divide without rounding"),
        (lambda x: x - 1, "half of 8 is 4, not 7"),
        (lambda x: None, "the function returns nothing (None); does it end with a `return`?"),
        (raises, "`raises` raises KeyError: 8.0, at `return {}[x]`; it was given 8.0."),
        (own_assertion, "`own_assertion` raises AssertionError: a thought of my own, at `raise"),
        (
            needs_two,
            "`needs_two` raises TypeError: needs_two() missing 1 required positional argument: 'y'; it was given 8.0.",
        ),
        (numberless, "`numberless` returned str 'four', and the check cannot go on with that (TypeError:"),
        (lambda x: [x] * 1000, "the function returned list [8.0, 8.0, 8.0"),
        (functools.partial(needs_two, y=1), "half of 8 is 4, not 8"),
        (
            functools.partial(needs_two, y=0),
            "`partial` raises ZeroDivisionError: float division by zero; it was given 8.0.",
        ),
        (4.0, "a function is wanted here, and this is float 4.0."),
    ],
)
def test_what_is_wrong_is_told(answer, told):
    found = run_check(check_half, answer)
    assert not found.passed
    assert found.message.startswith(told)
    assert len(found.message) < 250


def test_a_right_answer_passes_without_a_word():
    assert run_check(check_half, half) == Outcome(True, "")


def test_none_on_the_second_call_only_is_none_too():
    assert run_check(check_half, lambda x: 4.0 if x == 8 else None).message.startswith("the function returns nothing")


def test_the_input_on_which_a_function_raised_is_told_as_it_stood_and_in_short():
    def check(pick):
        require(pick(["", "b"], at=1) == "b", "the second")
        pick(["a"] * 1000, at=5000)

    def pick(texts, at):
        return texts[at]

    assert run_check(check, pick).message.endswith("; it was given ['a', 'a', 'a', 'a', 'a', 'a', ...], at=5000.")
    assert run_check(check, lambda texts, at: texts[0][0]).message.endswith("; it was given ['', 'b'], at=1.")
    assert run_check(lambda f: f(), lambda: {}[0]).message.endswith("; it was given nothing.")


def test_an_exception_that_the_check_wants_and_catches_is_no_fault():
    def check(f):
        try:
            f(-1)
        except ValueError:
            return
        raise AssertionError("a negative number must be refused")

    def picky(x):
        if x < 0:
            raise ValueError(x)
        return x

    assert run_check(check, picky).passed
    assert run_check(check, half).message == "a negative number must be refused"


def test_a_fault_of_the_check_itself_is_raised_and_not_the_students():
    def broken(f):
        f(missing)  # noqa: F821

    with pytest.raises(NameError):
        run_check(broken, half)


def test_interrupting_an_endless_answer_is_left_to_the_student():
    def stopped(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_check(check_half, stopped)


def test_attempt_prints_and_raises_nothing(capsys):
    attempt(check_half, half)
    attempt(check_half, raises)
    attempt(check_half, lambda x: [x] * 1000)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "Right."
    assert others[0] == "Not yet: `raises` raises KeyError: 8.0, at `return {}[x]`; it was given 8.0."
    assert max(map(len, others)) <= WIDTH


def test_a_catalogue_that_is_refused_with_its_own_words_is_counted():
    assert must_refuse(check_half, [("twice", lambda x: 2 * x), ("rounding", lambda x: x // 2)]) == 2


def test_a_wrong_answer_that_passes_or_is_told_another_fault_is_named():
    wrong = [("twice", lambda x: 2 * x), ("rounding", half), ("twice", lambda x: x // 2), ("4, not", numberless)]
    with pytest.raises(AssertionError) as caught:
        must_refuse(check_half, wrong)
    head, *faults = str(caught.value).splitlines()
    assert head == "`check_half`:"
    assert faults[0] == "wrong answer 2 passes; to be told 'rounding'"
    assert faults[1].startswith("wrong answer 3 is to be told 'twice', and is told: half of 3 is 1.5")
    assert faults[2].startswith("wrong answer 4 is to be told '4, not', and is told: `numberless` returned")
    assert len(faults) == 3


@pytest.mark.parametrize("catalogue", [[], [("", lambda x: x)], [(" ", lambda x: x)]])
def test_a_catalogue_that_proves_nothing_is_refused(catalogue):
    with pytest.raises(ValueError, match="`check_half` needs wrong answers"):
        must_refuse(check_half, catalogue)


def test_right_answers_must_pass():
    must_accept(check_half, half, lambda x: 0.5 * x)
    with pytest.raises(AssertionError, match="`raises` is right and refused: `raises` raises KeyError"):
        must_accept(check_half, half, raises)
