"""The rule by which a method's learning rate is chosen."""

import pytest

from povid_lib.study.methods import read_study
from povid_lib.study.rates import Choice, choose
from povid_lib.training.recipe import find_recipe


def row(group, chair, typical, counter, trained=True, unreadable=0.01):
    def of(recall, chair=0.5):
        return {"chair_s": {"value": chair}, "recall_seen": {"value": recall}, "unreadable": {"value": unreadable}}

    training = [{"text": {}}] if trained else [{}]
    return {"group": group, "training": training, "typical": of(typical), "counter_typical": of(counter, chair)}


BASE = {"base": row("main", 0.7, 0.9, 0.8, trained=False)}


def test_the_lowest_chair_among_those_that_keep_their_recall():
    grid = BASE | {
        "a-low": row("a", 0.6, 0.9, 0.8),
        "a-middle": row("a", 0.4, 0.885, 0.79),
        "a-high": row("a", 0.1, 0.9, 0.7),  # loses ten points on one of the kinds
        "b-low": row("b", 0.5, 0.95, 0.85),
    }
    assert choose(grid) == {"a": Choice("a-middle", False), "b": Choice("b-low", False)}
    assert choose(grid, loss=0.2)["a"] == Choice("a-high", False)


def test_what_cannot_be_read_is_not_chosen():
    grid = BASE | {"a-low": row("a", 0.6, 0.9, 0.8), "a-high": row("a", 0.1, 0.9, 0.8, unreadable=0.07)}
    assert choose(grid) == {"a": Choice("a-low", False)}
    grid["a-high"] = row("a", 0.1, 0.9, 0.8, unreadable=0.055)  # .045 above the untuned model's
    assert choose(grid) == {"a": Choice("a-high", False)}
    with pytest.raises(ValueError, match="every run of 'b' writes what cannot be read"):
        choose(BASE | {"b-low": row("b", 0.1, 0.9, 0.8, unreadable=0.5)})


def test_where_all_lose_too_much_the_least_costly():
    grid = BASE | {"a-low": row("a", 0.6, 0.9, 0.75), "a-high": row("a", 0.1, 0.8, 0.8)}
    assert choose(grid) == {"a": Choice("a-low", True)}


def test_without_the_untuned_model_nothing_is_chosen():
    with pytest.raises(ValueError, match="has no 'base'"):
        choose({"a-low": row("a", 0.6, 0.9, 0.75)})


def test_the_grid_gives_every_method_the_same_rates():
    study = read_study(find_recipe("grid"))
    assert (study.edition, study.split) == ("second", "validation")
    rates: dict[str, list[float]] = {}
    for method in study.methods:
        for phase in (method.text, method.both):
            if phase is not None:
                rates.setdefault(method.group, []).append(phase["learning_rate"])
    assert len(rates) == 10
    assert {tuple(found) for found in rates.values()} == {(1.5e-4, 3e-4, 6e-4, 1.2e-3)}
