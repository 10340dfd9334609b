"""Exercises of chapter 03: LURE's score of a word, what a fair guesser says, and a control that keeps captions whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from povid_lib.analysis.factors import captions_naming
from povid_lib.course.exercises import Catalogue, Check, Function

CAPTIONS = (("fork", "knife"), ("fork", "knife", "cup"), ("fork",), ("cup", "teapot"))


def check_coscore(coscore: Function) -> None:
    """``coscore(name, named, naming)``: LURE's co-occurrence of one object with all others of its caption, summed."""
    naming = captions_naming(CAPTIONS)
    got = coscore("knife", ["fork", "knife"], naming)
    assert got != 2 / 2, "divide by the sum of both counts, not by the count of one of them"
    assert got != 2 / 3, "divide by the sum of both counts, not by how many captions name one or the other"
    assert abs(got - 2 / 5) < 1e-9, f"fork and knife share 2 captions, of 3 and 2: the score is 0.4, not {got:.3f}"
    got = coscore("knife", ["fork", "knife", "cup"], naming)
    assert abs(got - (2 / 5 + 1 / 4)) < 1e-9, f"with a cup it is 2/5 + 1/4, a sum over the others, not {got:.3f}"
    got = coscore("knife", ["fork", "knife", "fork"], naming)
    assert abs(got - 2 / 5) < 1e-9, f"an object that is named twice counts once: 0.4, not {got:.3f}"


def check_fair_guess(fair_guess: Function) -> None:
    """``fair_guess(strength, unseen, lone)``: P(partner in the scene | its companion is seen, the partner is not)."""
    got = fair_guess(0.5, 0.5, 0.0)
    # P(both) = 1/3 of such scenes; in 1/6 one of them is hidden, in half of these the other one; 1/3 are this one alone
    assert abs(got - 0.5) > 1e-9, "0.5 is P(partner | companion); that the partner is not seen tells something too"
    assert abs(got - 1 / 3) > 1e-9, "half of the hidden ones are the object that you do see: 1/12, not 1/6"
    assert abs(got - 0.2) < 1e-9, f"for strength 0.5, half of the pairs hidden: 1/12 against 1/3, so 0.2, not {got:.3f}"
    got = fair_guess(0.5, 1.0, 0.0)
    assert abs(got - 1 / 3) < 1e-9, f"with all pairs hidden: 1/6 against 1/3, so 1/3, not {got:.3f}"
    got = fair_guess(0.5, 0.5, 0.5)
    assert abs(got - 1 / 3) < 1e-9, (
        f"where half of the lone objects are unseen too: 1/12 against 1/6, so 1/3, not {got:.3f}"
    )
    assert fair_guess(0.0, 1.0, 0.0) == 0, "partners that never come together give nothing to guess"


def check_permuted(permuted: Function) -> None:
    """``permuted(verdicts, rng)``: whole captions' verdicts, exchanged among captions with as many words."""
    verdicts = [[k == j for j in range(3)] for k in range(3)] * 4 + [[True], [False]] * 6 + [[True] * 5]
    before = [list(row) for row in verdicts]
    got = permuted(verdicts, np.random.default_rng(0))
    assert verdicts == before, "the verdicts that you were given have changed; work on a copy"
    assert len(got) == len(verdicts), f"{len(verdicts)} captions were given, and {len(got)} came back"
    assert [len(row) for row in got] == [len(row) for row in verdicts], "a caption has another number of verdicts now"
    assert sorted(map(list, got)) == sorted(before), "the verdicts of a caption must stay together and in their order"
    assert list(got[-1]) == [True] * 5, "the only caption of its length keeps its own verdicts"
    seen = {tuple(map(tuple, permuted(verdicts, np.random.default_rng(seed)))) for seed in range(5)}
    assert len(seen) > 1, "nothing was exchanged: the verdicts come back in the order in which they were given"


def coscore(name: str, named: Collection[str], naming: Mapping[str, int]) -> float:
    others = set(named) - {name}
    return sum(
        (naming[name] & naming[o]).bit_count() / (naming[name].bit_count() + naming[o].bit_count()) for o in others
    )


def fair_guess(strength: float, unseen: float, lone: float) -> float:
    both = strength / (2 - strength)  # of the scenes with one of the two at least
    hidden = both * unseen / 2
    alone = (1 - both) / 2 * (1 - lone)
    return hidden / (hidden + alone)


def permuted(verdicts: Sequence[Sequence[bool]], rng: np.random.Generator) -> list[list[bool]]:
    found = [list(row) for row in verdicts]
    for length in {len(row) for row in verdicts}:
        here = [k for k, row in enumerate(verdicts) if len(row) == length]
        for k, other in zip(here, rng.permutation(here), strict=True):
            found[k] = list(verdicts[other])
    return found


def _pair_score(name: str, named: Collection[str], naming: Mapping[str, int]) -> float:
    """The first other object alone."""
    other = next(o for o in named if o != name)
    return coscore(name, [name, other], naming)


def _repeated(name: str, named: Collection[str], naming: Mapping[str, int]) -> float:
    return sum(coscore(name, [name, o], naming) for o in named if o != name)


def _by_union(name: str, named: Collection[str], naming: Mapping[str, int]) -> float:
    others = set(named) - {name}
    return sum((naming[name] & naming[o]).bit_count() / (naming[name] | naming[o]).bit_count() for o in others)


def _by_own(name: str, named: Collection[str], naming: Mapping[str, int]) -> float:
    others = set(named) - {name}
    return sum((naming[name] & naming[o]).bit_count() / naming[name].bit_count() for o in others)


def _shuffled_words(verdicts: Sequence[Sequence[bool]], rng: np.random.Generator) -> list[list[bool]]:
    flat = iter(rng.permutation([v for row in verdicts for v in row]).tolist())
    return [[next(flat) for _ in row] for row in verdicts]


def _in_place(verdicts: list[list[bool]], rng: np.random.Generator) -> list[list[bool]]:
    verdicts[:] = permuted(verdicts, rng)
    return verdicts


def _any_length(verdicts: Sequence[Sequence[bool]], rng: np.random.Generator) -> list[list[bool]]:
    return [list(verdicts[k]) for k in rng.permutation(len(verdicts))]


RIGHT: dict[Check, Function] = {
    check_coscore: coscore,
    check_fair_guess: fair_guess,
    check_permuted: permuted,
}
WRONG: dict[Check, Catalogue] = {
    check_coscore: [
        ("not by the count of one", _by_own),
        ("not by how many captions name one or the other", _by_union),
        ("a sum over the others", _pair_score),
        ("counts once", _repeated),
        ("returns nothing", lambda name, named, naming: None),
    ],
    check_fair_guess: [
        ("tells something too", lambda s, u, lone: s),
        ("1/12, not 1/6", lambda s, u, lone: s / (2 - s) * u / (s / (2 - s) * u + (1 - s) / (2 - s) * (1 - lone))),
        ("1/12 against 1/3", lambda s, u, lone: s / (2 - s) * u),
        ("1/12 against 1/6", lambda s, u, lone: fair_guess(s, u, 0.0)),
        ("with all pairs hidden", lambda s, u, lone: fair_guess(s, min(u, 0.9), lone)),
        ("returns nothing", lambda s, u, lone: None),
    ],
    check_permuted: [
        ("nothing was exchanged", lambda verdicts, rng: [list(row) for row in verdicts]),
        ("stay together", _shuffled_words),
        ("have changed", _in_place),
        ("another number", _any_length),
        ("returns nothing", lambda verdicts, rng: None),
    ],
}
