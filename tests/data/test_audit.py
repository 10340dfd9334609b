"""Audits of preference pairs: counts by hand, and shortcuts that are there, or not, by construction."""

import time

import nltk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from povid_lib.data.audit import audit, balanced, text_shortcut, with_image, word_distance
from povid_lib.data.pairs import Change, Pair

OBJECTS = ("cat", "dog", "fork", "knife", "cow", "tractor", "cup", "bed", "lamp", "boat", "kite", "drum")


def pair(key, chosen, rejected, image="a.jpg", changes=()):
    return Pair(key, image, "What is there?", chosen, rejected, changes)


PAIRS = [
    # 4 words against 6; two inserted; given as an object of 2 words
    pair("1", "There is a cat.", "There is a cat. A dog.", changes=(Change("object", "", "A dog."),)),
    # 5 against 5; one replaced
    pair("2", "The cat is on grass.", "The cat is under grass.", changes=(Change("relation", "on", "under"),)),
    # 4 against 2; two deleted; kind not given
    pair("3", "A cat and a", "A cat", "b.jpg"),
    pair("4", "There is a cat.", "There is a cat. A dog."),  # again; kind not given: two words
    pair("5", "A cat.", "a cat!", "b.jpg", changes=(Change("attribute", "A cat.", "a cat!"),)),
]


def test_an_audit_by_hand():
    got = audit(PAIRS)
    assert got.pairs == 5
    assert got.length_ratio.value == pytest.approx((6 / 4 + 1 + 2 / 4 + 6 / 4 + 1) / 5)
    assert got.length_ratio.n == 2
    assert (got.longer.value, got.shorter.value) == (pytest.approx(2 / 5), pytest.approx(1 / 5))
    assert got.edits.value == pytest.approx((2 + 1 + 2 + 2 + 2) / 5)
    words = 4 + 5 + 4 + 4 + 2
    shares = {"object": 2, "relation": 1, "attribute": 2, "kind not given": 2 + 2}
    assert {kind: value.value for kind, value in got.changed.items()} == pytest.approx(
        {kind: n / words for kind, n in shares.items()}
    )
    assert got.duplicates == ("4",)
    assert got.same == ("5",)
    assert got.pictures == {}


def test_intervals_are_over_pictures_so_copies_of_a_pair_add_no_certainty():
    rng = np.random.default_rng(0)
    pairs = [pair(str(i), "one two", "one" + " two" * rng.integers(2, 5), f"{i}.jpg") for i in range(30)]
    copies = [pair(f"{p.id}.{k}", p.chosen, p.rejected, p.image) for p in pairs for k in range(9)]
    one, nine = audit(pairs).length_ratio, audit(copies).length_ratio
    assert (nine.value, nine.low, nine.high, nine.n) == pytest.approx((one.value, one.low, one.high, 30))


def test_pictures_that_are_missing_broken_or_outside(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    Image.new("RGB", (64, 64)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    names = ["a.jpg", "cut.png", "b.jpg", "../c.jpg", "scene:train/typical/3", "scene:train/typical"]
    pairs = [pair(str(i), "yes it is", "no", name) for i, name in enumerate(names)]
    assert set(audit(pairs, tmp_path).pictures) == {"cut.png", "b.jpg", "../c.jpg", "scene:train/typical"}
    assert set(audit(pairs).pictures) == {"../c.jpg", "scene:train/typical"}  # nowhere to look for the files


@pytest.mark.parametrize(
    ("first", "second", "want"),
    [
        ("a b c", "a b c", 0),
        ("", "a b", 2),
        ("a b c", "a x c", 1),
        ("a b c d", "b c d e", 2),
        ("a a", "a", 1),
        ("the cat sat on", "a cat was sat", 3),
    ],
)
def test_word_distance(first, second, want):
    assert word_distance(first, second) == word_distance(second, first) == want


WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS)
def test_word_distance_is_levenshteins(first, second):
    assert word_distance(" ".join(first), " ".join(second)) == nltk.edit_distance(first, second)


@pytest.mark.slow
def test_word_distance_of_long_answers():
    """20,000 words, of which no two stand in one place: the table of all pairs would take minutes."""
    start = time.perf_counter()
    assert word_distance(" ".join(f"a{i}" for i in range(20_000)), " ".join(f"b{i}" for i in range(20_000))) == 20_000
    words = [f"a{i % 700}" for i in range(20_000)]
    assert word_distance(" ".join(words), " ".join(["x", *words[:-1:1][:-5], "y"])) == 7
    assert time.perf_counter() - start < 10


# --- shortcuts ---------------------------------------------------------------------------------------------------


def sentences(names):
    return " ".join(f"There is a {name}." for name in names)


def drawn(n, corrupt, seed=0):
    """Pairs, two a picture of three objects; ``corrupt`` makes the false list from the true one and an absent object."""
    rng, pairs, present = np.random.default_rng(seed), [], {}
    for i in range(n):
        true = present.setdefault(f"{i // 2}.jpg", rng.permutation(OBJECTS)[:3].tolist())
        absent = str(rng.choice([name for name in OBJECTS if name not in true]))
        pairs.append(pair(str(i), sentences(true), sentences(corrupt(true, absent, rng)), f"{i // 2}.jpg"))
    return pairs, present


def appended(true, absent, rng):
    return [*true, absent]


def replaced(true, absent, rng):
    at = rng.integers(3)
    return [*true[:at], absent, *true[at + 1 :]]


def named(text):
    return [name for name in OBJECTS if f" {name}." in text]


def test_appended_falsehoods_are_recognised_without_the_picture():
    pairs, _ = drawn(200, appended)
    got = text_shortcut(pairs)
    assert got.value > 0.95
    assert got.n == 50  # half of the 100 pictures


def test_sides_swapped_at_random_are_not_recognised():
    pairs, _ = drawn(400, appended)
    rng = np.random.default_rng(1)
    swapped = [pair(p.id, p.rejected, p.chosen, p.image) if rng.random() < 0.5 else p for p in pairs]
    got = text_shortcut(swapped)
    assert abs(got.value - 0.5) < 0.1
    assert got.low < 0.5 < got.high


def test_falsehoods_from_the_distribution_of_truths_are_recognised_with_the_picture_only():
    pairs, present = drawn(400, replaced)
    blind, seeing = text_shortcut(pairs), with_image(pairs, present, named)
    assert abs(blind.value - 0.5) < 0.1
    assert seeing.value > 0.95
    # and not because more was asked: with the picture of another pair there is nothing to tell
    other = dict(zip(present, np.random.default_rng(2).permutation(list(present.values())).tolist(), strict=True))
    assert abs(with_image(pairs, other, named).value - 0.5) < 0.1


def test_one_phrase_per_picture_is_not_learnt_because_no_picture_is_on_both_sides():
    # what gives the false answer away is a word of that picture alone, in many pairs
    pairs = [pair(f"{i}.{k}", f"x p{i} y", f"x q{i} y", f"{i}.jpg") for i in range(40) for k in range(5)]
    assert abs(text_shortcut(pairs).value - 0.5) < 1e-9  # every held-out pair a tie


def test_a_tie_counts_half_and_the_seed_chooses_the_pictures():
    pairs, _ = drawn(60, replaced)
    assert text_shortcut(pairs) == text_shortcut(pairs)
    assert len({text_shortcut(pairs, seed).value for seed in range(4)}) > 1


def change(key, *swaps):
    changes = tuple(Change("object", a, b) for a, b in swaps)
    return pair(key, " ".join(a for a, _ in swaps), " ".join(b for _, b in swaps), f"{key}.jpg", changes)


def test_balanced_keeps_as_many_changes_as_reverses_in_their_order():
    rows = [
        *(change(f"ab{i}", ("A", "b")) for i in range(3)),
        *(change(f"ba{i}", ("b", "a")) for i in range(2)),
        *(change(f"ab{i}", ("A", "b")) for i in range(3, 9)),
        change("lone", ("a", "c")),  # never c -> a
        pair("none", "a", "b"),  # lists no change
        change("two", ("a", "b"), ("c", "d")),  # as a list it is another change than a -> b, and has no reverse
    ]
    kept = [row.id for row in balanced(rows)]
    assert sorted(key[:2] for key in kept) == ["ab", "ab", "ba", "ba"]
    assert kept == sorted(kept, key=[row.id for row in rows].index)
    assert kept != [row.id for row in rows if row.id in ("ab0", "ab1", "ba0", "ba1")]  # drawn, not the first ones
    assert balanced([]) == []


@pytest.mark.slow
def test_balanced_pairs_hide_what_a_skewed_set_betrays():
    # the false object is more often "kite" than any other, so that the word alone betrays it
    def skewed(true, absent, rng):
        return replaced(true, "kite" if "kite" not in true and rng.random() < 0.5 else absent, rng)

    rows, _ = drawn(3000, skewed)

    def swap(row):
        (gone,), (come,) = (
            set(named(a)) - set(named(b)) for a, b in ((row.chosen, row.rejected), (row.rejected, row.chosen))
        )
        return Change("object", gone, come)

    rows = [pair(r.id, r.chosen, r.rejected, r.image, (swap(r),)) for r in rows]
    assert text_shortcut(rows).low > 0.55
    even = balanced(rows)
    assert len(even) > 500
    assert text_shortcut(even).high < 0.55


def test_with_pairs_to_test_on_all_others_are_learnt_from():
    # in the learnt pairs "kite" is always false, in the tested ones always true: what was learnt is wrong each time
    learnt = [pair(str(i), "a cup", "a kite", f"{i}.jpg") for i in range(20)]
    tested = [pair(str(i), "a kite", "a cup", f"{i}.jpg") for i in range(50, 57)]
    got = text_shortcut(learnt, test=tested)
    assert (got.value, got.n) == (0.0, 7)
    assert text_shortcut(learnt, test=tested, seed=1).value == 0.0  # nothing is drawn
    assert text_shortcut(learnt[:1], test=tested).value == 0.0


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ([], "text_shortcut: no pairs"),
        (
            [pair("x", "a cup", "a kite", "3.jpg")],
            "1 pictures stand in both pairs and test, such as '3.jpg'; test on others",
        ),
    ],
)
def test_pairs_to_test_on_must_be_there_and_about_other_pictures(test, message):
    learnt = [pair(str(i), "a cup", "a kite", f"{i}.jpg") for i in range(6)]
    with pytest.raises(ValueError, match=message):
        text_shortcut(learnt, test=test)
