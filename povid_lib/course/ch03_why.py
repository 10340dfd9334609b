"""Exercises of chapter 03: LURE's score of a word, a gap at equal strength, and a control that keeps captions whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from povid_lib.analysis.factors import captions_naming
from povid_lib.course.exercises import Catalogue, Check, Function

Case = tuple[float, bool, bool]  # strength of the pair, whether the partner is there, whether it is named
Weigh = Callable[[int, int], float]

CAPTIONS = (("fork", "knife"), ("fork", "knife", "cup"), ("fork",), ("cup", "teapot"))
MIX: tuple[Case, ...] = (
    *((0.9, True, k < 3) for k in range(4)),
    *((0.9, False, k < 2) for k in range(4)),
    (0.5, True, True),
    *((0.5, False, k < 1) for k in range(5)),
)


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


def check_same_mix(same_mix: Function) -> None:
    """``same_mix(cases)``: the gap between naming what is there and what is not, averaged over strengths as those there are."""
    got = same_mix([*MIX])
    # .9: 3 of 4 against 2 of 4, so .25; .5: 1 of 1 against 1 of 5, so .8
    assert abs(got - (4 / 5 - 3 / 9)) > 1e-9, (
        "that is the gap over all cases; take it for each strength by itself first"
    )
    assert abs(got - (0.25 + 0.8) / 2) > 1e-9, (
        "the strengths do not weigh alike: weight each by its cases that are there"
    )
    assert abs(got - (8 * 0.25 + 6 * 0.8) / 14) > 1e-9, "weight by the cases that are there, not by all of a strength"
    assert abs(got - (4 * 0.25 + 5 * 0.8) / 9) > 1e-9, (
        "weight by the cases that are there, not by those that are absent"
    )
    assert abs(got + 0.36) > 1e-9, "the share where the partner is there comes first; subtract the other one from it"
    assert abs(got - 0.36) < 1e-9, f"gaps of .25 and .8, with 4 cases and 1: (4 * .25 + .8) / 5 = 0.36, not {got:.3f}"
    got = same_mix([(0.65, there, named) for there in (True, False) for named in (True, False)])
    assert abs(got) < 1e-9, f"one strength, half named in both groups: the gap is 0, not {got:.3f}"


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


def same_mix(cases: Sequence[Case], weigh: Weigh = lambda there, absent: there) -> float:
    """``weigh``: the weight of a strength, from its cases that are there and that are not."""
    over = under = 0.0
    for strength in {case[0] for case in cases}:
        there, absent = ([named for s, t, named in cases if s == strength and t == side] for side in (True, False))
        weight = weigh(len(there), len(absent))
        over += weight * (sum(there) / len(there) - sum(absent) / len(absent))
        under += weight
    return over / under


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


def _pooled(cases: Sequence[Case]) -> float:
    """All strengths together."""
    return same_mix([(0.0, there, named) for _, there, named in cases])


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
    check_same_mix: same_mix,
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
    check_same_mix: [
        ("over all cases", _pooled),
        ("do not weigh alike", lambda cases: same_mix(cases, lambda there, absent: 1)),
        ("not by all of a strength", lambda cases: same_mix(cases, lambda there, absent: there + absent)),
        ("not by those that are absent", lambda cases: same_mix(cases, lambda there, absent: absent)),
        ("comes first", lambda cases: -same_mix(cases)),
        ("4 cases and 1", lambda cases: 0.0),
        ("returns nothing", lambda cases: None),
    ],
    check_permuted: [
        ("nothing was exchanged", lambda verdicts, rng: [list(row) for row in verdicts]),
        ("stay together", _shuffled_words),
        ("have changed", _in_place),
        ("another number", _any_length),
        ("returns nothing", lambda verdicts, rng: None),
    ],
}
