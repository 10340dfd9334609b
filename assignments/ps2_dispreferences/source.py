# %% [markdown]
# # Problem set 2: dispreferences
#
# POVID learns from pairs: a true answer, and a false one that is made on purpose. One way is to rewrite the true answer with errors,
# another to take the picture away under noise. Both can go wrong unseen. You write the checks of a rewriter, the noise schedule, and a
# detector for pairs that give themselves away without the picture.
#
# - Nine functions, about two and a half hours; reading chapters 04 and 05, which you need, comes on top. Use plain Python and NumPy.
# - Write the functions yourself; importing them from `povid_lib` does not count.
# - The first cell needs the course's library, `povid_lib`. In its folder, `pip install -e .` installs it; on Colab or elsewhere, use the
#   `pip install` line that your teacher gives you.
# - Below each function a check says what is still wrong. It is part of the mark. The rest is given for the same properties on other
#   data, drawn for you alone, so a function that only knows the examples gets few points.
# - Hand in this notebook, or a `.py` file with the functions, where your teacher has said. They are found by their names: do not
#   rename them. Other cells and helper functions of your own are welcome. No function may print for its result; each ends in a `return`.

# %% student
import math
import re

import numpy as np

from povid_lib.course.exercises import attempt

# %% [markdown]
# The checks stand in the next cell. You need not read it.

# %% visible
EXACT = 1e-6


class _TooMany(Exception):
    """An answer has compared words far too often."""


class _Word(str):
    """A word that counts how often it is compared."""

    times = 0

    def __eq__(self, other):
        _Word.times += 1
        if _Word.times > 100_000:
            raise _TooMany
        return str.__eq__(self, other)

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


class _Text(str):
    """A text whose words count how often they are compared."""

    def split(self, *args, **kwargs):
        return [_Word(word) for word in str.split(self, *args, **kwargs)]


def _in_time(edits, one, other):
    """The distance, unless words are compared far too often for it."""
    _Word.times = 0
    try:
        return edits(_Text(one), _Text(other))
    except _TooMany:
        pass
    raise AssertionError(
        f"more than 100,000 comparisons for {len(one.split())} and {len(other.split())} words: a recursion does the same work over "
        "and over; keep what is known in a table"
    )


def check_edits(edits):
    """Word distances of short texts, and of one of 60 words."""
    found = edits("a red cup", "a blue cup")
    assert found != 2, "one word in place of another is one edit, not a deletion and an insertion"
    assert found != 4, "count words, not characters"
    assert found == 1, f"'a red cup' and 'a blue cup' are 1 apart, not {found}"
    found = edits("there is a cup", "a cup")
    assert found != 4, "do not compare place by place: after a word that is left out the others still agree"
    assert found == 2, f"'there is a cup' and 'a cup' are 2 apart, not {found}"
    found = edits("a cup on a fork", "a fork on a cup")
    assert found != 0, "the order of the words matters: these two texts have the same words and are 2 apart"
    assert found == 2, f"'a cup on a fork' and 'a fork on a cup' are 2 apart, not {found}"
    assert edits("a a a", "a") == 2, "a word that stands several times counts each time"
    assert edits("", "two words") == 2, "from nothing to two words are 2 edits"
    found = edits("a b", "b c")
    assert found != 1, (
        "'a b' and 'b c' share a word, but at another place: to keep b, a goes and c comes. They are 2 apart"
    )
    assert found == 2, f"'a b' and 'b c' are 2 apart, not {found}"
    found = edits("A cup.", "a cup")
    assert found == 2, (
        f"capital letters and full stops matter here: 'A cup.' and 'a cup' differ in 2 words, not {found}"
    )
    found = edits("a  red\ncup", "a red cup")
    assert found == 0, (
        f"several blanks, or a new line, separate words as one blank does: these texts are 0 apart, not {found}"
    )
    long = [" ".join(f"{letter}{at}" for at in range(60)) for letter in "ab"]
    found = _in_time(edits, *long)
    assert found == 60, f"two texts of 60 words that share none are 60 apart, not {found}"


TRUTH = "A man sits on a brown horse."
_BROWN = "A brown horse stands.", "A horse stands."
_HERE = "A cup here now.", "A red cup here now."
_FAULTS = (  # truth, rewritten, changes, what is wrong, and what to think of
    ("A cup.", "A fork on a table.", [("cup", "fork on a table")], {"length"}, "five words for two are too many"),
    ("I am on it", "Notwithstanding am on it", [("I", "Notwithstanding")], set(), "count the length in words, not in letters"),
    ("A cup and a red cup.", "A fork and a red cup.", [("cup", "fork")], set(), "a change counts for one place, the first"),
    ("A red cup.", "A blue fork.", [("red cup", "blue fork"), ("cup", "fork")], set(), "look a change up in the truth as given, not as changed so far"),
    ("A cup, here.", "A cup here.", [], {"same"}, "commas are punctuation too"),
    (*_BROWN, [("brown", "-")], {"empty"}, "'-' has no words either, and so this change is empty"),
    (*_BROWN, [("brown", ""), ("dog", "cat")], {"empty", "not in truth", "not in rewritten"}, "an empty change is passed over, and those behind it are looked at"),
    ("A cup and a red fork.", "A cup and a blue fork.", [("red cup", "blue cup")], {"not in truth", "not in rewritten", "unlisted"}, "the words of a change have to stand in a row"),
    ("A man sits here.", "A tall man sits here.", [("man", "tall man")], {"adds"}, "`was` may stand anywhere in `now`, at its end too"),
    ("A cup.", "A cup.", [("cup", "fork")], {"same", "not in rewritten", "unlisted"}, "all names that hold are given, also beside `same`"),
)  # fmt: skip


def check_faults(faults):
    """Each fault by itself."""
    false = "A man sits on a brown cow."
    assert set(faults(TRUTH, false, [("horse", "cow")])) == set(), "nothing is wrong with the change from horse to cow"
    assert set(faults(TRUTH, "a man sits on a brown horse", [])) == {"same"}, (
        "capital letters and full stops do not matter: the rewritten answer is the same"
    )
    found = set(faults(TRUTH, false, []))
    assert found == {"unlisted"}, f"the horse became a cow, and no change says so: unlisted, not {found or 'nothing'}"
    found = set(faults(TRUTH, false, [("horse", "cow"), ("dog", "cat")]))
    assert found == {"not in truth", "not in rewritten"}, (
        f"the truth has no dog, and the answer no cat: two faults, not {found or 'none'}"
    )
    found = set(faults(TRUTH, "A woman sits on a brown horse.", [("man", "woman"), ("or", "man")]))
    assert found == {"not in truth", "not in rewritten"}, (
        f"compare whole words: 'or' is not in the truth, and 'man' is no word of the answer, whatever 'woman' contains. Not {found or 'nothing'}"
    )
    found = set(faults("One dog runs.", "One cat runs on.", [("dog", "cat"), ("runs", "runs on")]))
    assert "length" not in found, "four words for three are within three halves"
    found = set(faults(TRUTH, "A man sits on a brown horse and a dog.", [("horse", "horse and a dog")]))
    assert found == {"adds"}, f"'horse and a dog' holds the true words and more: adds, not {found or 'nothing'}"
    found = set(faults(TRUTH, "A man sits on a horse.", [("brown", "")]))
    assert found != {"empty", "unlisted"}, "where a change is empty, unlisted is not given"
    assert found == {"empty"}, f"'brown' is replaced by nothing: empty, not {found or 'nothing'}"
    found = set(faults(*_HERE, [("", "red")]))
    assert "empty" in found, (
        f"a change may be empty on either side, as from '' to 'red': empty, not {found or 'nothing'}"
    )
    assert found == {"empty"}, f"an empty change is passed over in all that follows: empty alone, not {sorted(found)}"
    found = set(faults(TRUTH, "A man.", [("man sits on a brown horse", "man")]))
    assert found == {"length"}, f"two words for seven are too few: length, not {found or 'nothing'}"
    for truth, rewritten, changes, want, why in _FAULTS:
        found = set(faults(truth, rewritten, changes))
        assert found == want, (
            f"{why}. {truth!r}, rewritten {rewritten!r} with {changes}: {sorted(want) or 'nothing'}, not {sorted(found) or 'nothing'}"
        )


def check_alpha_bar(alpha_bar):
    """The schedule at both ends and in the middle."""
    found = alpha_bar(0)
    assert not abs(found - 1) <= 1e-9, "step 0 is a step too: alpha_bar(0) is 1 - b_0, a little below 1"
    assert not found <= 0.5, "multiply 1 - b, not b"
    found = alpha_bar(500)
    assert not abs(found - 0.99749) <= 1e-4, "this is 1 - b of one step; multiply those of all steps up to it"
    assert not abs(found - 0.86302) <= 1e-4, "no square root here: alpha_bar is a share of the variance"
    assert not abs(found - 0.53197) <= 5e-3, "b does not grow in a straight line: it is the sigmoid of -6 to 6"
    assert not abs(found - 0.745519) <= 1e-5, (
        "the 1,000 values go from -6 to 6 with both ends included: there are 999 gaps between them, not 1,000"
    )
    assert abs(found - 0.744799) < 1e-5, f"alpha_bar(500) is 0.74480, not {found:.5f}"
    assert abs(found - alpha_bar(499) * (1 - 0.0025125)) < 1e-6, "from step 499 to step 500 one factor is added"
    found = alpha_bar(999)
    assert abs(found - 0.081249) < 1e-5, f"alpha_bar(999) is 0.08125, not {found:.5f}"


def _noised(noised, pixels, left, noise):
    """The noised picture, unless the function tries to write into its arrays."""
    pixels, noise = np.array(pixels), np.array(noise)
    pixels.flags.writeable = noise.flags.writeable = False
    try:
        return np.asarray(noised(pixels, left, noise))
    except ValueError as fault:
        if "read-only" not in str(fault):
            raise
    raise AssertionError("do not change `pixels` or `noise`: others still need them. Make a new array")


def check_noised(noised):
    """Four pixels under noise; and six of whole numbers, which are not square."""
    pixels, noise = np.array([[0.0, 1.0], [0.5, 0.25]]), np.array([[1.0, -1.0], [-2.0, 2.0]])
    found = _noised(noised, pixels, 0.64, noise)
    assert found.shape == (2, 2), f"the result has the shape of the picture, (2, 2), not {found.shape}"
    for wrong, why in (
        (0.64 * pixels + 0.36 * noise, "left is a share of the variance: take square roots"),
        (0.8 * pixels + 0.36 * noise, "the noise takes a square root, too"),
        (pixels + 0.6 * noise, "the picture is weakened as well: sqrt(left) times the pixels"),
        (0.6 * pixels + 0.8 * noise, "picture and noise are exchanged: left is what is left of the picture"),
        (np.clip(0.8 * pixels + 0.6 * noise, 0, 1), "do not cut anything off here"),
        (np.maximum(0.8 * pixels + 0.6 * noise, 0), "do not cut anything off here"),
        (np.minimum(0.8 * pixels + 0.6 * noise, 1), "do not cut anything off here"),
        (0.8 * pixels + 0.2 * noise, "the noise has sqrt(1 - left), not 1 - sqrt(left)"),
    ):
        assert not np.abs(found - wrong).max() <= EXACT, why
    want = 0.8 * pixels + 0.6 * noise
    assert np.abs(found - want).max() < EXACT, f"the result is {want.tolist()}, not {found.tolist()}"
    pixels, noise = np.array([[0, 1, 1], [1, 0, 1]]), np.array([[1.0, -1.0, 0.5], [0.5, 2.0, -0.5]])
    found, want = _noised(noised, pixels, 0.64, noise), 0.8 * pixels + 0.6 * noise
    assert found.shape == (2, 3), f"the result has the shape of the picture, (2, 3), not {found.shape}"
    assert not np.abs(found - np.trunc(want)).max() <= EXACT, (
        "an array that is made like whole-number pixels takes whole numbers only, and cuts the rest off"
    )
    assert np.abs(found - want).max() < EXACT, (
        f"a picture need not be square: this one of 2 by 3 pixels becomes {want.tolist()}, not {found.tolist()}"
    )


def check_to_bytes(to_bytes):
    """Values inside and outside of [0, 1], clamped and wrapped."""
    values = np.array([0.0, 0.5, 1.0, 1.1, -0.1, -0.5])
    found = np.asarray(to_bytes(values, "clamp"))
    assert found.dtype == np.uint8, f"the result is of type uint8, not {found.dtype}"
    assert found[1] != 128, "cut off towards zero: 0.5 is 127.5, and becomes 127 (times 255, not 256)"
    assert found[1] == 127, f"0.5 becomes 127 of 255, not {found[1]}"
    assert found.tolist()[3:] != [24, 231, 129], "this is wrapped; clamp cuts off at 0 and 255"
    assert found.tolist() == [0, 127, 255, 255, 0, 0], (
        f"clamped they are [0, 127, 255, 255, 0, 0], not {found.tolist()}"
    )
    found = np.asarray(to_bytes(values, "wrap")).tolist()
    assert found[2:4] != [0, 25], "a byte has 256 values: wrap modulo 256, not 255"
    assert found != [0, 127, 255, 255, 0, 0], (
        "this is clamped; wrap takes whole numbers modulo 256, so that 280 becomes 24"
    )
    assert found[4:] != [230, 128], "cut off towards zero before you wrap: -25.5 becomes -25"
    assert found == [0, 127, 255, 24, 231, 129], f"wrapped they are [0, 127, 255, 24, 231, 129], not {found}"
    found = np.asarray(to_bytes(np.array([2.5, 5.0, -3.0]), "wrap")).tolist()
    assert found == [125, 251, 3], (
        f"modulo 256, however far a value is outside: 2.5, 5 and -3 become [125, 251, 3], not {found}"
    )
    found = np.asarray(to_bytes(np.array([[0.5, 1.1], [1.0, 0.0]]), "wrap"))
    assert found.shape == (2, 2), f"the result has the shape of `values`, here (2, 2), not {found.shape}"
    assert found.tolist() == [[127, 24], [255, 0]], (
        f"two rows of two become [[127, 24], [255, 0]], not {found.tolist()}"
    )


def _pair(image, chosen, rejected):
    return {"image": image, "chosen": chosen, "rejected": rejected}


def check_halves(halves):
    """Eight pairs of four pictures."""
    pairs = [_pair(image, f"a cup {at}", f"a fork {at}") for at, image in enumerate("bacdbcdc")]
    train, test = halves(pairs)
    assert len(train) + len(test) == 8, f"each of the 8 pairs goes to one half; {len(train)} + {len(test)} came"
    shared = {p["image"] for p in train} & {p["image"] for p in test}
    assert not shared, f"the pictures {sorted(shared)} stand in both halves: all pairs of a picture belong together"
    assert {p["image"] for p in train} != {"a", "c"}, (
        "count the pictures as they first appear: b is the first here, not a"
    )
    assert {p["image"] for p in train} != {"c", "d"}, (
        "count the pictures in the order of their first pairs, not by how many pairs they have: b is number 1 here, not c"
    )
    assert {p["image"] for p in train} != {"a", "d"}, "the first picture goes to the training half"
    assert {p["image"] for p in train} == {"b", "c"}, (
        f"b and c are the first and the third picture, not {sorted({p['image'] for p in train})}"
    )
    assert train != [pairs[at] for at in (0, 4, 2, 5, 7)], (
        "the pairs stay in their order, also where pictures take turns; yours stand picture after picture"
    )
    assert train == [pairs[at] for at in (0, 2, 4, 5, 7)], "keep the order of the pairs"
    assert test == [pairs[at] for at in (1, 3, 6)], "keep the order of the pairs"


def check_weights(weights):
    """The weights of three pairs' words."""
    pairs = [
        _pair("1", "a cup", "a fork"),
        _pair("2", "A cup and a cup and a cup", "a fork"),
        _pair("3", "a knife", "a cup"),
    ]
    found = weights(pairs)
    assert "A" not in found, "capital letters must not matter"
    assert set(found) == {"a", "cup", "fork", "and", "knife"}, (
        f"give each word of the answers a weight; you have {sorted(found)}"
    )
    assert not abs(found["cup"] - math.log(2 / 5)) <= EXACT, (
        "count answers that have a word, not how often it stands in them"
    )
    assert not abs(found["cup"] - math.log(3 / 2)) <= EXACT, (
        "turned round: words of rejected answers get positive weights"
    )
    assert not abs(found["cup"] - math.log(1 / 2)) <= EXACT, "add 1 to both counts"
    assert not abs(found["cup"] + math.log10(3 / 2)) <= EXACT, "take the natural logarithm"
    assert abs(found["cup"] - math.log(2 / 3)) < EXACT, (
        f"cup: 1 rejected answer, 2 chosen ones: log(2/3), not {found['cup']}"
    )
    assert abs(found["a"]) < EXACT, f"'a' stands in all six answers: its weight is 0, not {found['a']}"
    assert abs(found["fork"] - math.log(3)) < EXACT, (
        f"fork: 2 rejected answers, no chosen one: log(3), not {found['fork']}"
    )
    found = weights([_pair("1", "a cup", "a fork a fork")])
    assert abs(found["fork"] - math.log(2)) < EXACT, (
        f"in a rejected answer too a word counts once: fork has log(2) here, not {found['fork']}"
    )
    found = weights([_pair("1", "a cup", "A fork")])
    assert set(found) == {"a", "cup", "fork"}, f"take small letters of rejected answers too; you have {sorted(found)}"
    found = weights([_pair("1", "A cup.", "A fork.")])
    assert set(found) == {"a", "cup.", "fork."}, f"punctuation stays on its word here; you have {sorted(found)}"
    found = weights([_pair("1", "an old cat", "a dog")])
    assert abs(found["a"] - math.log(2)) < EXACT, (
        f"compare whole words: 'a' stands in no chosen answer, though 'an' and 'cat' contain it: log(2), not {found['a']}"
    )
    found = weights([_pair("1", "a cup", "a fork"), _pair("2", "a cup", "the")])
    assert abs(found["a"] - math.log(2 / 3)) < EXACT, (
        f"a word that both answers of a pair have counts in both: 'a' has log(2/3) here, not {found['a']}"
    )


def check_shortcut(shortcut):
    """Four pairs told by two words, one of them by nothing."""
    weight = {"fork": 1.0, "cup": -1.0}
    pairs = [
        _pair("1", "a cup", "a fork"),
        _pair("2", "a fork", "a cup"),
        _pair("3", "a dog", "a cat"),
        _pair("4", "a Cup", "a dog"),
    ]
    found = shortcut(weight, pairs)
    assert not abs(found - 0.5) <= EXACT, "a tie counts one half, and capital letters must not matter"
    assert not abs(found - 0.75) <= EXACT, "a tie counts one half, not a whole"
    assert not abs(found - 0.375) <= EXACT, "turned round: a high sum tells the rejected answer"
    assert not abs(found - 2 / 3) <= EXACT, "ties stay in: divide by all pairs"
    assert abs(found - 0.625) < EXACT, (
        f"two are told, one is told wrongly, one is a tie: 2.5 of 4, not {4 * found} of 4"
    )
    found = shortcut({"fork": 1.0, "cup": -1.0, "a": 0.4}, [_pair("1", "a fork a cup a a a a", "a fork")])
    assert found == 1, "a word counts once in an answer, however often it stands there"
    found = shortcut({"fork": 1.0, "cup": 0.75}, [_pair("1", "cup", "fork there")])
    assert found == 1, "compare the sums of the weights, not their means"
    found = shortcut({"fork": 1.0, "cup": 1.5}, [_pair("1", "a cup", "fork fork")])
    assert found == 0, "the words of a rejected answer count once, too"
    found = shortcut({"fork": 1.0}, [_pair("1", "a cup", "Fork")])
    assert found == 1, "take small letters of rejected answers too"
    found = shortcut({"a": 0.1, "b": 0.2, "c": 0.3}, [_pair("1", "c", "a b")])
    assert found == 0.5, (
        "0.1 + 0.2 is 0.30000000000000004 to the computer: sums that differ by less than 1e-9 are a tie"
    )


def check_balanced(balanced):
    """Six swaps, of which four can be balanced."""
    swaps = [("cup", "fork"), ("cup", "fork"), ("fork", "cup"), ("dog", "cat"), ("cat", "dog"), ("cup", "dog")]
    pairs = [{"image": str(at), "was": was, "now": now} for at, (was, now) in enumerate(swaps)]
    kept = list(balanced(pairs))
    assert kept != pairs, "cup becomes fork twice and fork becomes cup once: something has to go"
    images = [pair["image"] for pair in kept]
    assert images != ["0", "1", "2", "3", "4"], "both directions are there, but not equally often"
    assert len(set(images)) == len(images), "a pair was kept twice; leave pairs out, do not repeat them"
    assert "5" not in images, "cup becomes dog, and no dog becomes a cup: this pair has to go"
    assert len(images) == 4, f"four pairs can be kept, two of each direction's; {len(images)} were"
    assert images == ["0", "2", "3", "4"], (
        f"of equal swaps keep the first ones, in their order: 0, 2, 3, 4, not {', '.join(images)}"
    )
    swaps = ["ab", "cd", "ab", "ba", "dc", "ba", "ab", "bc", "ca"]
    images = [
        pair["image"] for pair in balanced([{"image": str(at), "was": a, "now": b} for at, (a, b) in enumerate(swaps)])
    ]
    case = f"of the swaps {' '.join(swaps)}"
    assert not {"7", "8"} & set(images), (
        f"{case} bc and ca have to go: count swaps, not words. No c becomes b, and no a becomes c"
    )
    assert len(images) == 6, f"{case} six can be kept, two each of ab and ba among them; {len(images)} were"
    assert images != ["0", "3", "1", "4", "2", "5"], (
        f"{case} those that are kept stay in their order; yours stand in couples, each swap beside its reverse"
    )
    assert images != ["0", "2", "1", "3", "5", "4"], (
        f"{case} those that are kept stay in their order; yours stand swap after swap"
    )
    assert images == ["0", "1", "2", "3", "4", "5"], (
        f"{case} the first six are kept, in their order, not {', '.join(images)}"
    )


# %% [markdown]
# ## 1. How far is the false answer? (25 minutes)
#
# `edits(chosen, rejected)` gives the smallest number of words that must be inserted, deleted or replaced to make one text of the other
# (Levenshtein's distance over words). Words are what blanks (also several, or a new line) separate; capital letters and full stops
# matter here. Answers have up to 60 words, so a plain recursion is too slow. Hint: let `distance[i][j]` be that of the first `i` words
# of the one and the first `j` words of the other.


# %% task
def edits(chosen, rejected):
    """Words to insert, delete or replace."""
    # BEGIN SOLUTION
    a, b = chosen.split(), rejected.split()
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        before, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other)))
    return row[-1]
    # END SOLUTION


# %% [markdown]
# ## 2. The checks of a rewriter (45 minutes)
#
# A remote model was asked to make a true answer false: it gives the rewritten answer, and its list of changes `(was, now)`. Trust
# nothing. `faults(truth, rewritten, changes)` gives the set of what is wrong, by these names. All names that hold are given, also beside
# `same`. Words are runs of letters and digits; capital letters and punctuation do not matter. The truth has at least one word. "Stands
# in" means: as whole words in a row.
#
# | name | when |
# |---|---|
# | `same` | the rewritten answer has the truth's words |
# | `length` | its number of words is below 2/3 or above 3/2 of the truth's |
# | `empty` | `was` or `now` has no words, and "-" has none either (such a change is passed over in all that follows) |
# | `adds` | `was` stands in `now`, so that something is added and nothing replaced |
# | `not in truth` | `was` does not stand in the truth as given, not as changed so far |
# | `not in rewritten` | `now` does not stand in the rewritten answer |
# | `unlisted` | more differs than the list says, see below |
#
# For `unlisted` begin with the truth's words, and change after change put `now` where `was` stands for the first time (where it does
# not stand, leave the words as they are). If the result is not the rewritten answer's words, more differs than the list says. Unlike
# rule 5 of chapter 04, a change here counts for one place; a second mention needs a second entry. `unlisted` is not told where a change
# is `empty`, because a deletion would always be told twice.


# %% task
def faults(truth, rewritten, changes):
    """The names of what is wrong, a set; ``changes``: (was, now) texts."""

    # BEGIN SOLUTION
    def words(text):
        return re.findall(r"[^\W_]+", text.lower())

    def where(part, whole):
        return next((i for i in range(len(whole) - len(part) + 1) if whole[i : i + len(part)] == part), None)

    old, new = words(truth), words(rewritten)
    found, made = set(), list(old)
    if old == new:
        found.add("same")
    if not 2 / 3 <= len(new) / len(old) <= 3 / 2:
        found.add("length")
    for was, now in ((words(was), words(now)) for was, now in changes):
        if not was or not now:
            found.add("empty")
            continue
        if where(was, now) is not None:
            found.add("adds")
        if where(was, old) is None:
            found.add("not in truth")
        if where(now, new) is None:
            found.add("not in rewritten")
        at = where(was, made)
        if at is not None:
            made[at : at + len(was)] = now
    if made != new and "empty" not in found:
        found.add("unlisted")
    return found
    # END SOLUTION


# %% [markdown]
# ## 3. The noise schedule (10 minutes)
#
# Diffusion adds noise in 1,000 steps. Step $k$ adds the variance
# $b_k = \sigma(s_k)\,(0.005 - 0.00001) + 0.00001$, where $\sigma(s) = 1 / (1 + e^{-s})$, and $s_0, \dots, s_{999}$ are 1,000 values at
# equal distances from $-6$ to $6$, both ends included (999 gaps). `alpha_bar(step)` gives the share of the picture's variance that is
# left after the steps 0 to `step`: $\bar a_{step} = \prod_{k=0}^{step} (1 - b_k)$. The papers write $\beta_t$ and $\bar\alpha_t$.


# %% task
def alpha_bar(step):
    """Share of the variance that is left, a number; ``step``: 0 to 999."""
    # BEGIN SOLUTION
    betas = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.005 - 0.00001) + 0.00001
    return float(np.prod(1 - betas[: step + 1]))
    # END SOLUTION


# %% [markdown]
# ## 4. A picture under noise (5 minutes)
#
# `noised(pixels, left, noise)` gives the picture of which the share `left` of the variance is left:
# $\sqrt{left}\;x + \sqrt{1 - left}\;\varepsilon$. `pixels` and `noise` are arrays of one shape, of whole numbers or others. Nothing is
# cut off. Do not change `pixels`: make a new array.


# %% task
def noised(pixels, left, noise):
    """The noised picture, an array of the pixels' shape."""
    # BEGIN SOLUTION
    return math.sqrt(left) * pixels + math.sqrt(1 - left) * noise
    # END SOLUTION


# %% [markdown]
# ## 5. What becomes of the values outside? (10 minutes)
#
# Noise takes pixels out of $[0, 1]$. `to_bytes(values, overflow)` makes them bytes: times 255, cut off to whole numbers towards zero,
# then with `"clamp"` cut off at 0 and 255, and with `"wrap"` taken modulo 256. The released code of POVID wraps, so that the brightest
# points turn black. The result is an array of the shape of `values`, of type `uint8`. Make whole numbers first (`np.int64`), then the
# bytes: what becomes of numbers with a fraction that do not fit into a byte, NumPy does not promise.


# %% task
def to_bytes(values, overflow):
    """Values on a scale of 0 to 1 as uint8; ``overflow``: "clamp" or "wrap"."""
    # BEGIN SOLUTION
    whole = np.trunc(np.asarray(values) * 255)
    return (np.clip(whole, 0, 255) if overflow == "clamp" else whole % 256).astype(np.uint8)
    # END SOLUTION


# %% [markdown]
# ## 6. Halves that share no picture (8 minutes)
#
# A detector must be tested on pairs that it has not learned from, and pairs of one picture resemble one another. `halves(pairs)` gives
# two lists: of the pictures in the order in which they first appear, the first, third, fifth ... go to the first list with all their
# pairs, the others to the second. A pair is a dict with `image`, `chosen` and `rejected`. The pairs keep their order.


# %% task
def halves(pairs):
    """(train, test), two lists of pairs that share no picture."""
    # BEGIN SOLUTION
    number = {image: at for at, image in enumerate(dict.fromkeys(pair["image"] for pair in pairs))}
    train = [pair for pair in pairs if number[pair["image"]] % 2 == 0]
    test = [pair for pair in pairs if number[pair["image"]] % 2 == 1]
    return train, test
    # END SOLUTION


# %% [markdown]
# ## 7. What gives an answer away? (10 minutes)
#
# `weights(pairs)` gives each word that stands in any answer a weight: $\log\frac{r + 1}{c + 1}$, where $r$ is the number of rejected
# answers that have the word, and $c$ that of chosen ones. Words are what blanks separate, in small letters. Punctuation stays on its word
# (`cup.` is not `cup`), other than in task 2. A word that stands twice in an answer counts once.


# %% task
def weights(pairs):
    """Word -> weight, a dict; positive for words of rejected answers."""
    # BEGIN SOLUTION
    counts = {}
    for pair in pairs:
        for side, key in enumerate(("chosen", "rejected")):
            for word in set(pair[key].lower().split()):
                counts.setdefault(word, [0, 0])[side] += 1
    return {word: math.log((rejected + 1) / (chosen + 1)) for word, (chosen, rejected) in counts.items()}
    # END SOLUTION


# %% [markdown]
# ## 8. A detector without eyes (12 minutes)
#
# `shortcut(weight, pairs)` gives the share of pairs that the words alone give away: the rejected answer's distinct words (as in task 7)
# have a higher sum of weights than the chosen answer's. A word without a weight counts 0, and a tie counts one half. Sums that differ
# by less than 1e-9 are a tie, because the order of adding changes the last digits (use `math.fsum`, which adds exactly, and compare the
# difference with 1e-9). Near 0.5 these words tell nothing. Near 1, or near 0, they give pairs away. Near 1 nobody who learns from these
# pairs need look at the picture, and it is likely that nobody will.


# %% task
def shortcut(weight, pairs):
    """Share of pairs told by their words; ``weight``: word -> weight."""

    # BEGIN SOLUTION
    def total(text):
        return math.fsum(weight.get(word, 0.0) for word in set(text.lower().split()))

    score = 0.0
    for pair in pairs:
        difference = total(pair["rejected"]) - total(pair["chosen"])
        score += 0.5 if abs(difference) < 1e-9 else 1 if difference > 0 else 0
    return score / len(pairs)
    # END SOLUTION


# %% [markdown]
# ## 9. Mend the pairs (20 minutes)
#
# A rewriter likes some words: it turns cups into forks far more often than forks into cups, and "fork" soon means "false". In this
# exercise a pair is a dict with `image`, `was` and `now` (one word became another; `was` and `now` differ, and words are compared as they
# stand). `balanced(pairs)` keeps as many pairs as possible so that each swap is kept as often as its reverse. Of equal swaps it keeps the
# first ones, and all that is kept stays in its order.


# %% task
def balanced(pairs):
    """The pairs that are kept, a list."""
    # BEGIN SOLUTION
    count = {}
    for pair in pairs:
        count[pair["was"], pair["now"]] = count.get((pair["was"], pair["now"]), 0) + 1
    left = {(was, now): min(n, count.get((now, was), 0)) for (was, now), n in count.items()}
    kept = []
    for pair in pairs:
        swap = pair["was"], pair["now"]
        if left[swap] > 0:
            left[swap] -= 1
            kept.append(pair)
    return kept
    # END SOLUTION


# %% [markdown]
# ## All together
#
# A rewriter of 400 captions turns cups into forks far more often than forks into cups. Your functions learn the words' weights on one
# half of its pairs and test them on the other, before and after `balanced`. Set `TOGETHER` to `True` and run the cell. What did it cost,
# and what is left to find for a detector that looks at more than words? (No marks are given here.)

# %% student
TOGETHER = False


def together():
    draw = np.random.default_rng(0)
    pairs = []
    for at in range(400):
        was, now = draw.permutation(["cup", "fork", "dog", "cat"])[:2].tolist()
        if now == "cup" and draw.random() < 0.8:
            was, now = now, was
        caption = f"a {was} beside a {draw.choice(['bench', 'bus', 'car'])}"
        false = caption.replace(was, now)
        pairs.append({"image": str(at // 2), "chosen": caption, "rejected": false, "was": was, "now": now})
    for name, some in (("before", pairs), ("after", balanced(pairs))):
        train, test = halves(some)
        print(
            f"{name} balancing: {len(some)} pairs, {shortcut(weights(train), test):.3f} of the test half told by their words"
        )
    print(f"each rejected answer is {edits(pairs[0]['chosen'], pairs[0]['rejected'])} word from its chosen one")


if TOGETHER:
    together()

# %% hidden
import difflib
from collections import Counter, defaultdict
from itertools import zip_longest

from povid_lib.course.grading.assignment import Assignment, Task, Wrong

_NOUNS = ("cup", "fork", "knife", "dog", "cat", "car", "bench", "bus", "apple", "bread")


def hidden_edits(answer, draw):
    for size in (60, 2, 6, 12, 25):
        for _ in range(6):
            a, b = (_words(draw, size if size == 60 else int(draw.integers(0, size + 1))) for _ in range(2))
            want, found = edits(a, b), _in_time(answer, a, b)
            assert found == want, f"{a!r} and {b!r} are {want} apart, not {found}"


def _words(draw, n):
    """So many words, some of which differ by a capital letter or a full stop, with what separates them."""
    words = draw.choice(("cup", "Cup", "cup.", "fork", "dog"), n).tolist()
    return "".join(word + str(draw.choice((" ", "  ", "\n"))) for word in words).strip()


_KINDS = 18


def _rewritten(draw, kind):
    """A truth, a rewritten answer and its changes, of one of so many kinds."""
    nouns = draw.choice(_NOUNS, 6, replace=False).tolist()
    truth = f"There is a {nouns[0]} beside the {nouns[1]}, and a {nouns[2]} on the {nouns[0]}."
    changes, false = [(nouns[1], nouns[3])], truth.replace(nouns[1], nouns[3])
    if kind == 1:
        false = truth
    if kind == 2:
        false = false.replace(nouns[2], nouns[4])
    if kind == 3:
        changes.append((nouns[4], nouns[5]))
    if kind == 4:
        false, changes = (
            false.replace(nouns[2], f"{nouns[2]} and a {nouns[4]}"),
            [*changes, (nouns[2], f"a {nouns[2]} and a {nouns[4]}")],
        )
    if kind == 5:
        false, changes = false.replace(" beside the", ""), [*changes, ("beside the", "...")]
    if kind == 6:
        false, changes = f"There is a {nouns[3]}.", [(truth, f"There is a {nouns[3]}")]
    if kind == 7:
        changes = [(nouns[0], nouns[4]), *changes]
        false = false.replace(nouns[0], nouns[4], 1)
    if kind == 8:
        changes = [(f"THE {nouns[1]}", f"the {nouns[3]}!")]
    if kind == 9:
        far = f"{nouns[3]} that is full of one {nouns[4]} and one {nouns[5]}"
        false, changes = truth.replace(nouns[1], far), [(nouns[1], far)]
    if kind == 10:
        false, changes = false.replace(nouns[0], nouns[4]), [(nouns[0], nouns[4]), *changes]
    if kind == 11:
        changes = [(f"the {nouns[1]}", f"the {nouns[3]}"), (nouns[1], nouns[3])]
    if kind == 12:
        false, changes = truth.replace("There is", "There surely is"), [("", "surely")]
    if kind == 13:
        changes = [("?", nouns[3]), (nouns[4], nouns[5]), *changes]
    if kind == 14:
        false = truth.replace(nouns[2], nouns[4])
        changes = [(f"{nouns[2]} {nouns[1]}", f"{nouns[4]} {nouns[1]}")]
    if kind == 15:
        false, changes = truth.replace(nouns[2], f"big {nouns[2]}"), [(nouns[2], f"big {nouns[2]}")]
    if kind == 16:
        false, changes = truth.replace(",", ""), []
    if kind == 17:
        false, changes = truth.replace(nouns[1], "very" * 15), [(nouns[1], "very" * 15)]
    return truth, false, changes


def hidden_faults(answer, draw):
    for at in range(3 * _KINDS):
        truth, false, changes = _rewritten(draw, at % _KINDS)
        want, found = faults(truth, false, changes), set(answer(truth, false, changes))
        case = f"of {truth!r}, rewritten {false!r} with {changes}"
        assert not want - found, f"{sorted(want - found)} is missed {case}"
        assert not found - want, f"{sorted(found - want)} is told without cause {case}"


def hidden_faults_words(answer, draw):
    for _ in range(10):
        n, m = int(draw.integers(3, 13)), int(draw.integers(1, 25))
        truth, false = " ".join(["dog"] * n), " ".join(["cat"] * m)
        found = "length" in answer(truth, false, [(truth, false)])
        want = "length" in faults(truth, false, [(truth, false)])
        assert found == want, f"{m} words for {n}: the length is {'at fault' if want else 'all right'}"
        word = str(draw.choice(_NOUNS))
        found = set(answer(f"a {word}s", f"a {word}s here", [(word, "her")]))
        assert {"not in truth", "not in rewritten"} <= found, (
            f"compare whole words: {word!r} does not stand in 'a {word}s', nor 'her' in 'here'"
        )


def hidden_alpha_bar(answer, draw):
    for step in (*draw.integers(1, 999, 12).tolist(), 0, 999):
        found, want = answer(step), alpha_bar(step)
        assert abs(found - want) < 1e-9, f"alpha_bar({step}) is {want:.9f}, not {found:.9f}"


def hidden_noised(answer, draw):
    for shape in ((3, 4, 3), (2, 5)):
        pixels, noise, left = draw.random(shape), draw.normal(size=shape), float(draw.random())
        if len(shape) == 2:
            pixels = draw.integers(0, 2, shape)
        found, want = _noised(answer, pixels, left, noise), noised(pixels, left, noise)
        assert found.shape == shape, f"the result has the picture's shape {shape}, not {found.shape}"
        assert np.abs(found - want).max() < EXACT, (
            f"with left = {left:.3f} a value is {want.flat[0]:.4f}, not {found.flat[0]:.4f}"
        )


def hidden_to_bytes(answer, draw):
    values = np.concatenate([draw.normal(0.5, 0.8, (8, 5)), draw.normal(0, 6, (2, 5))])
    for overflow in ("clamp", "wrap"):
        found, want = np.asarray(answer(values, overflow)), to_bytes(values, overflow)
        assert found.dtype == np.uint8, f"the result is of type uint8, not {found.dtype}"
        assert found.shape == want.shape, f"the result has the shape of `values`, {want.shape}, not {found.shape}"
        wrong = np.argwhere(found != want)
        assert not len(wrong), (
            f"{overflow}: {values[tuple(wrong[0])]:.4f} becomes {want[tuple(wrong[0])]}, not {found[tuple(wrong[0])]}"
        )


def _some_pairs(draw, n, bias):
    """Pairs of pictures; with ``bias`` a rejected answer likes the first nouns."""
    pairs = []
    for _ in range(n):
        chosen, rejected = draw.choice(_NOUNS, 2, replace=False)
        if draw.random() < bias:
            rejected = draw.choice(_NOUNS[:2])
        first, second = (_sentence(draw, str(noun)) for noun in (chosen, rejected))
        pairs.append(_pair(f"i{draw.integers(max(2, n // 2))}", first, second))
    return pairs


def _sentence(draw, noun):
    """A sentence with a noun, once or twice, in small letters or others, or inside of another word."""
    noun = noun.capitalize() if draw.random() < 0.3 else noun
    more = draw.choice(["a bag", "A bag", "no bag", f"one more {noun}", f"{noun}s and {noun}s", "an old bag for it"])
    return f"There is a {noun} and {more}."


def hidden_halves(answer, draw):
    for n in (2, 9, 40):
        pairs = _some_pairs(draw, n, 0)
        train, test = answer(pairs)
        shared = {p["image"] for p in train} & {p["image"] for p in test}
        assert not shared, f"of {n} other pairs {len(shared)} pictures stand in both halves"
        assert [list(train), list(test)] == list(halves(pairs)), (
            f"of {n} other pairs the halves are not those of the first, third, fifth picture"
        )


def hidden_weights(answer, draw):
    pairs = _some_pairs(draw, 40, 0.5)
    found, want = answer(pairs), weights(pairs)
    assert set(found) == set(want), (
        f"words without a weight, or with one too many: {sorted(set(found) ^ set(want))[:5]}"
    )
    for word in want:
        assert abs(found[word] - want[word]) < EXACT, (
            f"in 40 other pairs {word!r} weighs {want[word]:.4f}, not {found[word]:.4f}"
        )


def hidden_shortcut(answer, draw):
    for bias in (0.0, 0.8):
        train, test = halves(_some_pairs(draw, 120, bias))
        weight = {
            word: round(8 * value) / 8 for word, value in weights(train).items()
        }  # sums of these are exact in any order
        found, want = answer(weight, test), shortcut(weight, test)
        assert abs(found - want) < EXACT, f"of {len(test)} other pairs {want:.4f} are told, not {found:.4f}"
    weight = {noun: float(at) for noun, at in zip(_NOUNS[:6], draw.integers(-8, 9, 6) / 8, strict=True)}
    pairs = [
        _pair("1", *(" ".join(draw.choice([*_NOUNS[:6], "Cup", "FORK", "a"], 4)) for _ in range(2))) for _ in range(60)
    ]
    found, want = answer(weight, pairs), shortcut(weight, pairs)
    assert abs(found - want) < EXACT, f"of 60 pairs with words that stand twice {want:.4f} are told, not {found:.4f}"


def hidden_balanced(answer, draw):
    for n in (6, 60):
        swaps = draw.choice(_NOUNS[:4], (n, 2)).tolist()
        pairs = [{"image": str(at), "was": was, "now": now} for at, (was, now) in enumerate(swaps) if was != now]
        kept, want = list(answer(pairs)), balanced(pairs)
        count = Counter((pair["was"], pair["now"]) for pair in kept)
        for (was, now), times in count.items():
            assert count[now, was] == times, (
                f"{was} becomes {now} {times} times and back {count[now, was]} times: both directions must agree"
            )
        assert len(kept) == len(want), f"of {len(pairs)} other pairs {len(want)} can be kept, not {len(kept)}"
        assert kept == want, "of equal swaps keep the first ones, in their order"


# --- other right answers -----------------------------------------------------------------------------------------


def edits_table(chosen, rejected):
    a, b = chosen.split(), rejected.split()
    d = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    d[:, 0], d[0] = range(len(a) + 1), range(len(b) + 1)
    for i in range(len(a)):
        for j in range(len(b)):
            d[i + 1, j + 1] = min(d[i, j + 1] + 1, d[i + 1, j] + 1, d[i, j] + (a[i] != b[j]))
    return d[-1, -1]


def edits_memo(chosen, rejected):
    known = {}

    def far(a, b):
        if not a or not b:
            return len(a) + len(b)
        if (a, b) not in known:
            rest = far(a[1:], b[1:])
            known[a, b] = rest if a[0] == b[0] else 1 + min(rest, far(a[1:], b), far(a, b[1:]))
        return known[a, b]

    return far(tuple(chosen.split()), tuple(rejected.split()))


def _spaced(text):
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def faults_spaced(truth, rewritten, changes):
    old, new = _spaced(truth), _spaced(rewritten)
    n, m = len(old.split()), len(new.split())
    rest = old
    sides = [(_spaced(was), _spaced(now)) for was, now in changes]
    full = [(was, now) for was, now in sides if was.strip() and now.strip()]
    for was, now in full:
        rest = rest.replace(was, now, 1)
    tests = {
        "same": old == new, "length": 3 * m < 2 * n or 2 * m > 3 * n, "empty": len(full) < len(sides),
        "adds": any(was in now for was, now in full), "not in truth": any(was not in old for was, _ in full),
        "not in rewritten": any(now not in new for _, now in full), "unlisted": rest != new and len(full) == len(sides),
    }  # fmt: skip
    return [name for name, wrong in tests.items() if wrong]


def faults_tuple(truth, rewritten, changes):
    def runs(part, whole):
        return [i for i in range(len(whole)) if whole[i : i + len(part)] == part]

    def tokens(text):
        return tuple(re.sub(r"[^\w\s]", " ", text).lower().split())

    old, new, out, clean = tokens(truth), tokens(rewritten), [], True
    now_is = old
    for was, now in changes:
        a, b = tokens(was), tokens(now)
        if min(len(a), len(b)) == 0:
            out.append("empty")
            clean = False
            continue
        out += (
            ["adds"] * bool(runs(a, b))
            + ["not in truth"] * (not runs(a, old))
            + ["not in rewritten"] * (not runs(b, new))
        )
        if runs(a, now_is):
            i = runs(a, now_is)[0]
            now_is = now_is[:i] + b + now_is[i + len(a) :]
    out += ["same"] * (old == new) + ["unlisted"] * (clean and now_is != new)
    out += ["length"] * (len(new) < len(old) * 2 / 3 or len(new) > len(old) * 1.5)
    return frozenset(out)


def alpha_loop(step):
    left = 1.0
    for t in range(step + 1):
        left *= 1 - (1 / (1 + math.exp(6 - 12 * t / 999)) * 0.00499 + 0.00001)
    return left


def alpha_logs(step):
    x = -6 + 12 * np.arange(1000) / 999
    return np.exp(np.cumsum(np.log1p(-(0.00499 / (1 + np.exp(-x)) + 1e-5))))[step]


def noised_power(pixels, left, noise):
    return pixels * left**0.5 + noise * (1 - left) ** 0.5


def noised_hypot(pixels, left, noise):
    angle = math.acos(math.sqrt(left))
    return (np.cos(angle) * np.array(pixels) + np.sin(angle) * np.array(noise)).tolist()


def bytes_int(values, overflow):
    whole = (np.array(values) * 255).astype(int)
    return (
        np.minimum(np.maximum(whole, 0), 255).astype("uint8") if overflow == "clamp" else (whole & 255).astype("uint8")
    )


def bytes_loop(values, overflow):
    def byte(value):
        whole = int(value * 255)
        return min(255, max(0, whole)) if overflow == "clamp" else whole % 256

    return np.array([byte(v) for v in np.asarray(values).ravel()], dtype=np.uint8).reshape(np.shape(values))


def halves_sets(pairs):
    seen, out = [], ([], [])
    for pair in pairs:
        if pair["image"] not in seen:
            seen.append(pair["image"])
        out[seen.index(pair["image"]) % 2].append(pair)
    return out


def halves_groups(pairs):
    images = sorted({p["image"] for p in pairs}, key=lambda image: [p["image"] for p in pairs].index(image))
    return [[p for p in pairs if p["image"] in images[start::2]] for start in (0, 1)]


def weights_counter(pairs):
    r, c = (Counter(w for p in pairs for w in {*p[k].lower().split()}) for k in ("rejected", "chosen"))
    return {w: np.log(r[w] + 1) - np.log(c[w] + 1) for w in r | c}


def weights_default(pairs):
    table = defaultdict(float)
    for word in {w for p in pairs for w in f"{p['chosen']} {p['rejected']}".lower().split()}:
        r = sum(word in p["rejected"].lower().split() for p in pairs)
        c = sum(word in p["chosen"].lower().split() for p in pairs)
        table[word] = math.log1p(r) - math.log1p(c)
    return table


def shortcut_mean(weight, pairs):
    def side(key):
        return np.array([sum(weight[w] for w in sorted(set(p[key].lower().split()) & set(weight))) for p in pairs])

    gap = np.round(side("rejected") - side("chosen"), 9)
    return ((gap > 0) + (gap == 0) / 2).mean()


def shortcut_sign(weight, pairs):
    def total(text, other):
        return math.fsum(weight.get(w, 0) for w in set(text.lower().split()) - set(other.lower().split()))

    gaps = [round(total(p["rejected"], p["chosen"]) - total(p["chosen"], p["rejected"]), 9) for p in pairs]
    return sum((gap > 0) - (gap < 0) + 1 for gap in gaps) / 2 / len(pairs)


def balanced_places(pairs):
    places = defaultdict(list)
    for at, pair in enumerate(pairs):
        places[pair["was"], pair["now"]].append(at)
    keep = sorted(at for (a, b), own in places.items() for at in own[: len(places.get((b, a), []))])
    return [pairs[at] for at in keep]


def balanced_partners(pairs):
    waiting, keep = defaultdict(list), set()
    for at, pair in enumerate(pairs):
        back = waiting[pair["now"], pair["was"]]
        if back:
            keep |= {at, back.pop(0)}
        else:
            waiting[pair["was"], pair["now"]].append(at)
    return [pair for at, pair in enumerate(pairs) if at in keep]


# --- wrong answers -----------------------------------------------------------------------------------------------


def _indels(chosen, rejected):
    blocks = difflib.SequenceMatcher(None, chosen.split(), rejected.split(), autojunk=False).get_matching_blocks()
    return len(chosen.split()) + len(rejected.split()) - 2 * sum(block.size for block in blocks)


def _by_place(chosen, rejected):
    return sum(a != b for a, b in zip_longest(chosen.split(), rejected.split()))


def _bags(chosen, rejected):
    a, b = Counter(chosen.split()), Counter(rejected.split())
    return max((a - b).total(), (b - a).total())


def _word_sets(chosen, rejected):
    """One set at a time, in the order of the words."""
    a, b = (list(dict.fromkeys(text.split())) for text in (chosen, rejected))
    return edits(" ".join(a), " ".join(b))


def _by_common(chosen, rejected):
    """The longer text's words less those of the longest common subsequence."""
    a, b = chosen.split(), rejected.split()
    common = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, word in enumerate(a):
        for j, other in enumerate(b):
            common[i + 1, j + 1] = common[i, j] + 1 if word == other else max(common[i, j + 1], common[i + 1, j])
    return max(len(a), len(b)) - int(common[-1, -1])


def _by_blank(chosen, rejected):
    numbers = {}
    a, b = ([str(numbers.setdefault(word, len(numbers))) for word in text.split(" ")] for text in (chosen, rejected))
    return edits(" ".join(a), " ".join(b))


def _recursive(chosen, rejected):
    def far(a, b):
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return far(a[1:], b[1:])
        return 1 + min(far(a[1:], b), far(a, b[1:]), far(a[1:], b[1:]))

    return far(chosen.split(), rejected.split())


def _faults_with(
    word=r"[^\W_]+", upper=True, letters=False, every=False, so_far=False, texts=False, passed=True, one_side=False, stop=False,
    sets=False, starts=False, alone=False,
):  # fmt: skip
    """``faults`` with a fault."""

    def words(text):
        return re.findall(word, text.lower())

    def where(part, whole):
        return next((i for i in range(len(whole) - len(part) + 1) if whole[i : i + len(part)] == part), -1)

    def stands(part, whole):
        return set(part) <= set(whole) if sets else where(part, whole) >= 0

    def wrong(truth, rewritten, changes):
        old, new = words(truth), words(rewritten)
        if alone and old == new:
            return {"same"}
        found, made = {"same"} if old == new else set(), list(old)
        ratio = len(rewritten) / len(truth) if letters else len(new) / len(old)
        found |= {"length"} if ratio < 2 / 3 or (upper and ratio > 3 / 2) else set()
        for before, after in changes:
            was, now = words(before), words(after)
            if not now or (not was and not one_side) if not texts else not before or not after:
                found.add("empty")
                if stop:
                    return found
                if passed:
                    continue
            if now[: len(was)] == was if starts else where(was, now) >= 0:
                found.add("adds")
            found |= set() if stands(was, made if so_far else old) else {"not in truth"}
            found |= set() if stands(now, new) else {"not in rewritten"}
            at = where(was, made)
            while at >= 0:
                made[at : at + len(was)] = now
                at = where(was, made) if every and where(was, now) < 0 else -1
        return found | ({"unlisted"} if made != new and "empty" not in found else set())

    return wrong


def _faults_but(name):
    return lambda truth, rewritten, changes: faults(truth, rewritten, changes) - {name}


def _with_substrings(truth, rewritten, changes):
    old, new = truth.lower(), rewritten.lower()
    found = faults(truth, rewritten, changes) - {"not in truth", "not in rewritten", "adds"}
    full = [(was.lower(), now.lower()) for was, now in changes if was and now]
    found |= {"not in truth"} if any(was not in old for was, _ in full) else set()
    found |= {"not in rewritten"} if any(now not in new for _, now in full) else set()
    return found | ({"adds"} if any(f" {was} " in f" {now} " for was, now in full) else set())


def _as_written(truth, rewritten, changes):
    found = faults(truth, rewritten, changes) - {"same"}
    return found | {"same"} if truth == rewritten else found


def _always_unlisted(truth, rewritten, changes):
    found = faults(truth, rewritten, changes)
    return found | {"unlisted"} if "empty" in found else found


def _narrow(truth, rewritten, changes):
    ratio = len(rewritten.split()) / len(truth.split())
    return (faults(truth, rewritten, changes) - {"length"}) | (set() if 0.7 <= ratio <= 1.3 else {"length"})


_BETAS = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.005 - 0.00001) + 0.00001


def _gaps(step):
    s = np.linspace(-6, 6, 1000, endpoint=False)
    return float(np.prod(1 - (1 / (1 + np.exp(-s)) * (0.005 - 0.00001) + 0.00001)[: step + 1]))


def _noised_in_place(pixels, left, noise):
    pixels *= math.sqrt(left)
    pixels += math.sqrt(1 - left) * noise
    return pixels


def _noised_square(pixels, left, noise):
    found, side = np.zeros(pixels.shape), len(pixels)
    found[:, :side] = noised(pixels, left, noise)[:, :side]
    return found


def _noised_like(pixels, left, noise):
    found = np.zeros_like(pixels)
    found[...] = noised(pixels, left, noise)
    return found


def _bytes_once(values, overflow):
    whole = np.trunc(np.asarray(values) * 255)
    whole = np.where(whole < 0, whole + 256, np.where(whole > 255, whole - 256, whole)) if overflow == "wrap" else whole
    return np.clip(whole, 0, 255).astype(np.uint8)


def _bytes_rounded(values, overflow):
    whole = np.round(np.asarray(values) * 255 + 1e-9)
    return (np.clip(whole, 0, 255) if overflow == "clamp" else whole % 256).astype(np.uint8)


def _bytes_floor(values, overflow):
    whole = np.floor(np.asarray(values) * 255)
    return (np.clip(whole, 0, 255) if overflow == "clamp" else whole % 256).astype(np.uint8)


def _half_pairs(pairs):
    return pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]


def _halves_sorted(pairs):
    images = sorted({pair["image"] for pair in pairs})
    return tuple([p for p in pairs if images.index(p["image"]) % 2 == rest] for rest in (0, 1))


def _halves_dropped(pairs):
    first = {pair["image"]: pair for pair in reversed(pairs)}
    return halves([pair for pair in pairs if first[pair["image"]] is pair])


def _halves_grouped(pairs):
    return tuple(sorted(half, key=lambda pair: pair["image"]) for half in halves(pairs))


def _halves_common(pairs):
    images = [image for image, _ in Counter(p["image"] for p in pairs).most_common()]
    return tuple([p for p in pairs if p["image"] in images[start::2]] for start in (0, 1))


def _weights_with(read, log=math.log, more=1, of_rejected=None):
    """Weights from the words that ``read`` gives for each answer, and ``of_rejected`` for rejected ones."""

    def weigh(pairs):
        r = Counter(w for p in pairs for w in (of_rejected or read)(p["rejected"]))
        c = Counter(w for p in pairs for w in read(p["chosen"]))
        return {w: log((r[w] + more) / (c[w] + more)) if more or (r[w] and c[w]) else 0.0 for w in r | c}

    return weigh


def _distinct(text):
    return set(text.lower().split())


def _weights_inside(pairs):
    def count(word, key):
        return sum(word in p[key].lower() for p in pairs)

    words = {word for p in pairs for key in ("chosen", "rejected") for word in _distinct(p[key])}
    return {word: math.log((count(word, "rejected") + 1) / (count(word, "chosen") + 1)) for word in words}


def _weights_difference(pairs):
    sides = [(_distinct(p["chosen"]), _distinct(p["rejected"])) for p in pairs]
    c, r = (Counter(word for both in sides for word in both[at] - both[1 - at]) for at in (0, 1))
    return {word: math.log((r[word] + 1) / (c[word] + 1)) for both in sides for word in both[0] | both[1]}


def _shortcut_with(tie, read=_distinct, of_rejected=None, total=sum, near=1e-9):
    def side(weight, words):
        return total([weight.get(w, 0) for w in sorted(words)])

    def share(weight, pairs):
        gaps = [side(weight, (of_rejected or read)(p["rejected"])) - side(weight, read(p["chosen"])) for p in pairs]
        return sum(tie if abs(gap) <= near else gap > 0 for gap in gaps) / len(pairs)

    return share


def _without_ties(weight, pairs):
    kept = [p for p in pairs if shortcut(weight, [p]) != 0.5]
    return shortcut(weight, kept) if kept else 0.5


def _both_ways(pairs):
    swaps = {(pair["was"], pair["now"]) for pair in pairs}
    return [pair for pair in pairs if (pair["now"], pair["was"]) in swaps]


def _last_ones(pairs):
    return balanced(pairs[::-1])[::-1]


def _one_each(pairs):
    return sorted(
        {(p["was"], p["now"]): p for p in reversed(_both_ways(pairs))}.values(), key=lambda p: int(p["image"])
    )


def _in_couples(pairs):
    """Each with an earlier reverse, beside which it is put."""
    waiting, kept = defaultdict(list), []
    for pair in pairs:
        back = waiting[pair["now"], pair["was"]]
        if back:
            kept += [back.pop(0), pair]
        else:
            waiting[pair["was"], pair["now"]].append(pair)
    return kept


def _swap_after_swap(pairs):
    kept = balanced(pairs)
    swaps = [(p["was"], p["now"]) for p in pairs]
    return sorted(kept, key=lambda p: swaps.index((p["was"], p["now"])))


def _by_words(pairs):
    was, now = (Counter(p[key] for p in pairs) for key in ("was", "now"))
    used, kept = Counter(), []
    for pair in pairs:
        ends = [("was", pair["was"]), ("now", pair["now"])]
        if all(used[end] < min(was[end[1]], now[end[1]]) for end in ends):
            used.update(ends)
            kept.append(pair)
    return kept


def _without_reverse(pairs):
    """Keeps a swap that has no reverse."""
    count = Counter((pair["was"], pair["now"]) for pair in pairs)
    kept = Counter()
    out = []
    for pair in pairs:
        swap = pair["was"], pair["now"]
        if kept[swap] < count.get(swap[::-1], count[swap]):
            kept[swap] += 1
            out.append(pair)
    return out


TASKS = (
    Task(
        "edits", "how far the false answer is", 25, ((check_edits, 4),), ((hidden_edits, 5),), (edits_table, edits_memo),
        (
            Wrong("counts a replacement as two edits", "not a deletion and an insertion", _indels),
            Wrong("counts characters", "count words, not characters", lambda a, b: edits(" ".join(a), " ".join(b))),
            Wrong("compares place by place", "place by place", _by_place),
            Wrong("compares bags of words", "the order of the words matters", _bags),
            Wrong("looks at distinct words only", "counts each time", _word_sets),
            Wrong("counts the words that the false answer adds", "are 2 apart, not 0", lambda a, b: len(set(b.split()) - set(a.split()))),
            Wrong("counts the longer text less the common words", "share a word, but at another place", _by_common),
            Wrong("leaves capital letters and full stops out", "full stops matter here", lambda a, b: edits(_spaced(a), _spaced(b))),
            Wrong("splits at every single blank", "as one blank does", _by_blank),
            Wrong("recurses without a table", "keep what is known in a table", _recursive),
        ),
    ),
    Task(
        "faults", "the checks of a rewriter", 45, ((check_faults, 6),), ((hidden_faults, 6), (hidden_faults_words, 2)),
        (faults_spaced, faults_tuple),
        (
            Wrong("trusts the list of changes", "no change says so", _faults_but("unlisted")),
            Wrong("looks for letters, not for words", "compare whole words", _with_substrings),
            Wrong("lets an addition pass", "holds the true words and more", _faults_but("adds")),
            Wrong("lets a deletion pass", "is replaced by nothing", _faults_but("empty")),
            Wrong("does not look at the length", "two words for seven", _faults_but("length")),
            Wrong("compares texts as they are written", "the rewritten answer is the same", _as_written),
            Wrong("tells unlisted beside empty", "unlisted is not given", _always_unlisted),
            Wrong("has other limits of length", "within three halves", _narrow),
            Wrong("does not look a change up in the truth", "the truth has no dog", _faults_but("not in truth")),
            Wrong("knows no upper limit of length", "five words for two", _faults_with(upper=False)),
            Wrong("counts the length in letters", "in words, not in letters", _faults_with(letters=True)),
            Wrong("lets a change count for every mention", "counts for one place", _faults_with(every=True)),
            Wrong("looks a change up in what was changed already", "not as changed so far", _faults_with(so_far=True)),
            Wrong("takes what has no words for empty only if it has no characters", "has no words either", _faults_with(texts=True)),
            Wrong("does not pass an empty change over", "empty alone", _faults_with(passed=False)),
            Wrong("takes a change for empty on its new side only", "empty on either side", _faults_with(one_side=True)),
            Wrong("ends at an empty change", "those behind it are looked at", _faults_with(stop=True)),
            Wrong("compares sets of words", "stand in a row", _faults_with(sets=True)),
            Wrong("looks for additions at the end only", "at its end too", _faults_with(starts=True)),
            Wrong("gives `same` alone", "also beside `same`", _faults_with(alone=True)),
            Wrong("knows full stops alone as punctuation", "commas are punctuation too", _faults_with(word=r"[^\s.]+")),
        ),
    ),
    Task(
        "alpha_bar", "the noise schedule", 10, ((check_alpha_bar, 3),), ((hidden_alpha_bar, 4),), (alpha_loop, alpha_logs),
        (
            Wrong("leaves the last step out", "step 0 is a step too", lambda step: float(np.prod(1 - _BETAS[:step]))),
            Wrong("takes one step alone", "this is 1 - b of one step", lambda step: float(1 - _BETAS[step])),
            Wrong("takes the square root", "no square root here", lambda step: math.sqrt(alpha_bar(step))),
            Wrong("lets b grow in a straight line", "a straight line", lambda step: float(np.prod(1 - np.linspace(0.00001, 0.005, 1000)[: step + 1]))),
            Wrong("has 1,000 gaps in place of 999", "there are 999 gaps", _gaps),
            Wrong("multiplies b", "multiply 1 - b", lambda step: float(np.prod(_BETAS[: step + 1]))),
            Wrong("adds up in place of multiplying", "alpha_bar(500) is 0.74480", lambda step: float(1 - _BETAS[: step + 1].sum())),
        ),
    ),
    Task(
        "noised", "a picture under noise", 5, ((check_noised, 2),), ((hidden_noised, 3),), (noised_power, noised_hypot),
        (
            Wrong("takes no square roots", "take square roots", lambda x, left, e: left * x + (1 - left) * e),
            Wrong("takes the root of the picture's share alone", "the noise takes a square root", lambda x, left, e: left**0.5 * x + (1 - left) * e),
            Wrong("does not weaken the picture", "the picture is weakened", lambda x, left, e: x + (1 - left) ** 0.5 * e),
            Wrong("exchanges picture and noise", "are exchanged", lambda x, left, e: (1 - left) ** 0.5 * x + left**0.5 * e),
            Wrong("cuts off", "do not cut anything off", lambda x, left, e: np.clip(noised(x, left, e), 0, 1)),
            Wrong("cuts off", "do not cut anything off", lambda x, left, e: np.maximum(noised(x, left, e), 0)),
            Wrong("writes into the picture", "do not change `pixels`", _noised_in_place),
            Wrong("takes every picture for a square", "need not be square", _noised_square),
            Wrong("makes an array of whole numbers", "takes whole numbers only", _noised_like),
            Wrong("subtracts after the root", "not 1 - sqrt(left)", lambda x, left, e: left**0.5 * x + (1 - left**0.5) * e),
        ),
    ),
    Task(
        "to_bytes", "values outside", 10, ((check_to_bytes, 2),), ((hidden_to_bytes, 3),), (bytes_int, bytes_loop),
        (
            Wrong("rounds, or takes times 256", "(times 255, not 256)", _bytes_rounded),
            Wrong("wraps where it should clamp", "this is wrapped", lambda v, o: to_bytes(v, "wrap")),
            Wrong("clamps where it should wrap", "this is clamped", lambda v, o: to_bytes(v, "clamp")),
            Wrong("wraps modulo 255", "modulo 256, not 255", lambda v, o: to_bytes(v, o) if o == "clamp" else (np.trunc(np.asarray(v) * 255) % 255).astype(np.uint8)),
            Wrong("rounds, or takes times 256", "(times 255, not 256)", lambda v, o: to_bytes(np.asarray(v) * 256 / 255, o)),
            Wrong("wraps once only", "however far a value is outside", _bytes_once),
            Wrong("loses the shape", "the shape of `values`", lambda v, o: to_bytes(np.ravel(v), o)),
            Wrong("cuts off downwards", "before you wrap", _bytes_floor),
            Wrong("gives other numbers than bytes", "of type uint8", lambda v, o: to_bytes(v, o).astype(int)),
        ),
    ),
    Task(
        "halves", "halves that share no picture", 8, ((check_halves, 2),), ((hidden_halves, 3),), (halves_sets, halves_groups),
        (
            Wrong("splits pairs, not pictures", "stand in both halves", _half_pairs),
            Wrong("takes the pictures in alphabetical order", "as they first appear", _halves_sorted),
            Wrong("keeps one pair a picture", "each of the 8 pairs", _halves_dropped),
            Wrong("exchanges the halves", "the first picture goes to", lambda pairs: halves(pairs)[::-1]),
            Wrong("changes the order of the pairs", "keep the order", lambda pairs: tuple(half[::-1] for half in halves(pairs))),
            Wrong("puts the pairs picture by picture", "stand picture after picture", _halves_grouped),
            Wrong("counts the pictures by how often they come", "not by how many pairs", _halves_common),
        ),
    ),
    Task(
        "weights", "what gives an answer away", 10, ((check_weights, 3),), ((hidden_weights, 4),), (weights_counter, weights_default),
        (
            Wrong("minds capital letters", "capital letters must not matter", _weights_with(lambda text: set(text.split()))),
            Wrong("counts every time a word stands there", "not how often it stands", _weights_with(lambda text: text.lower().split())),
            Wrong("turns the sign", "turned round: words", lambda pairs: {w: -v for w, v in weights(pairs).items()}),
            Wrong("does not smooth", "add 1 to both counts", _weights_with(_distinct, more=0)),
            Wrong("takes another logarithm", "natural logarithm", _weights_with(_distinct, math.log10)),
            Wrong("knows the words of rejected answers only", "give each word of the answers", lambda pairs: {w: v for w, v in weights(pairs).items() if any(w in p["rejected"].lower().split() for p in pairs)}),
            Wrong("counts every time a word stands in a rejected answer", "in a rejected answer too", _weights_with(_distinct, of_rejected=lambda text: text.lower().split())),
            Wrong("minds capital letters of rejected answers", "small letters of rejected answers too", _weights_with(_distinct, of_rejected=lambda text: set(text.split()))),
            Wrong("takes punctuation off", "punctuation stays on its word", _weights_with(lambda text: set(_spaced(text).split()))),
            Wrong("looks for letters, not for words", "compare whole words", _weights_inside),
            Wrong("leaves out words that both answers of a pair have", "both answers of a pair have", _weights_difference),
        ),
    ),
    Task(
        "shortcut", "a detector without eyes", 12, ((check_shortcut, 3),), ((hidden_shortcut, 4),), (shortcut_mean, shortcut_sign),
        (
            Wrong("gives nothing for a tie, or minds capital letters", "and capital letters must not matter", _shortcut_with(0)),
            Wrong("takes a tie for told", "not a whole", _shortcut_with(1)),
            Wrong("takes the high sum for the chosen answer", "turned round: a high sum", lambda weight, pairs: 1 - shortcut(weight, pairs)),
            Wrong("leaves ties out", "divide by all pairs", _without_ties),
            Wrong("counts a word as often as it stands there", "a word counts once", _shortcut_with(0.5, lambda text: text.lower().split())),
            Wrong("gives nothing for a tie, or minds capital letters", "and capital letters must not matter", _shortcut_with(0.5, lambda text: set(text.split()))),
            Wrong("counts a word of a rejected answer as often as it stands there", "a rejected answer count once, too", _shortcut_with(0.5, of_rejected=lambda text: text.lower().split())),
            Wrong("minds capital letters of rejected answers", "small letters of rejected answers too", _shortcut_with(0.5, of_rejected=lambda text: set(text.split()))),
            Wrong("compares means of the weights", "not their means", _shortcut_with(0.5, total=lambda values: sum(values) / len(values))),
            Wrong("compares sums for equality", "less than 1e-9 are a tie", _shortcut_with(0.5, near=0.0)),
        ),
    ),
    Task(
        "balanced", "mend the pairs", 20, ((check_balanced, 4),), ((hidden_balanced, 5),), (balanced_places, balanced_partners),
        (
            Wrong("keeps everything", "something has to go", lambda pairs: pairs),
            Wrong("asks only whether the reverse is there", "not equally often", _both_ways),
            Wrong("keeps the last ones", "keep the first ones, in their order", _last_ones),
            Wrong("repeats pairs in place of leaving some out", "do not repeat them", lambda pairs: [*pairs, *pairs]),
            Wrong("keeps a swap that has no reverse", "this pair has to go", _without_reverse),
            Wrong("keeps each swap once", "two each of ab and ba", _one_each),
            Wrong("puts each swap beside its reverse", "yours stand in couples", _in_couples),
            Wrong("puts swap after swap", "yours stand swap after swap", _swap_after_swap),
            Wrong("counts words, not swaps", "count swaps, not words", _by_words),
        ),
    ),
)  # fmt: skip
ASSIGNMENT = Assignment("ps2", "Problem set 2: dispreferences", TASKS)
