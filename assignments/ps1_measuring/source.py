# %% [markdown]
# # Problem set 1: measuring
#
# A model looks at a picture and writes a caption. How much of it is made up? You write the two measures that nearly every paper
# reports, CHAIR and POPE, the intervals that most papers leave out, and in the end a caption that fools the measure.
#
# - Eight functions, about two and a half hours. You need chapter 02 of the book, plain Python and NumPy.
# - Below each function a check says what is still wrong. It is part of the mark. The rest is given for the same properties on other
#   data, drawn for you alone, so a function that only knows the examples gets few points.
# - Hand in this notebook, or a `.py` file with the functions. They are found by their names: do not rename them. Other cells and
#   helper functions of your own are welcome. No function may print for its result; each ends in a `return`.

# %% student
import math
import re

import numpy as np

from povid_lib.course.exercises import attempt

WORDS = {  # a word or phrase of a caption -> the object that it names
    "dog": "dog", "dogs": "dog", "puppy": "dog", "cat": "cat", "cats": "cat", "kitten": "cat",
    "hot dog": "hot dog", "hot dogs": "hot dog", "person": "person", "man": "person", "woman": "person", "people": "person",
    "fork": "fork", "knife": "knife", "car": "car", "cars": "car", "bench": "bench", "bicycle": "bicycle", "bike": "bicycle",
    "traffic light": "traffic light", "cup": "cup", "cups": "cup", "teddy bear": "teddy bear", "bear": "bear",
}  # fmt: skip

# %% [markdown]
# The checks stand in the next cell. You need not read it.

# %% visible
EXACT = 1e-6


def check_named(named):
    """Objects of a caption: order, repeats, phrases, whole words."""
    found = named("A dog sits by a cat", WORDS)
    assert found != ["cat", "dog"], "give the objects in the order of the caption"
    assert found == ["dog", "cat"], f"'A dog sits by a cat' names ['dog', 'cat'], not {found}"
    found = named("a puppy", WORDS)
    assert found != ["puppy"], "give the object's name, not the word of the caption: a puppy is a 'dog'"
    assert found == ["dog"], f"'a puppy' names ['dog'], not {found}"
    assert named("A Dog", WORDS) == ["dog"], "capital letters must not matter: 'A Dog' names a dog"
    assert named("a dog, a cat.", WORDS) == ["dog", "cat"], (
        "punctuation hides a word: 'a dog, a cat.' names two objects"
    )
    assert named("a caterpillar in a carpet", WORDS) == [], "count whole words only: a caterpillar is no cat"
    found = named("a dog and another dog", WORDS)
    assert found == ["dog", "dog"], f"each mention counts: 'a dog and another dog' has two, and you give {found}"
    found = named("a hot dog", WORDS)
    assert found not in (["hot dog", "dog"], ["dog", "hot dog"]), (
        "a hot dog is no dog: the words of a phrase are used up with it"
    )
    assert found == ["hot dog"], f"the longest phrase wins: 'a hot dog' names ['hot dog'], not {found}"


def check_chair(chair):
    """CHAIR and recall of three captions, and of nothing."""
    mentions = {"a": ["dog", "dog", "cat"], "b": ["cup"], "c": []}
    truth = {"a": {"dog", "car"}, "b": {"cup"}, "c": {"bench"}, "no caption": {"fork", "knife"}}
    found = chair(mentions, truth)
    assert set(found) == {"chair_s", "chair_i", "recall"}, (
        f"the keys must be chair_s, chair_i and recall, not {sorted(found)}"
    )
    assert abs(found["chair_s"] - 1 / 2) > EXACT, (
        "a caption that names nothing is a caption too: divide chair_s by all of them"
    )
    assert abs(found["chair_s"] - 2 / 3) > EXACT, (
        "you count the captions without a false object; CHAIR counts those with one"
    )
    assert abs(found["chair_s"] - 1 / 4) > EXACT, "images without a caption do not count"
    assert abs(found["chair_s"] - 1 / 3) < EXACT, (
        f"one of three captions has a false object: chair_s is 1/3, not {found['chair_s']}"
    )
    assert abs(found["chair_i"] - 1 / 3) > EXACT, (
        "chair_i counts mentions, not kinds: two dogs and a cat are three mentions"
    )
    assert min(abs(found["chair_i"] - 1 / n) for n in (6, 9)) > EXACT, (
        "add the mentions of all captions first, and divide once; you average over captions"
    )
    assert abs(found["chair_i"] - 1 / 4) < EXACT, (
        f"one of four mentions is false: chair_i is 1/4, not {found['chair_i']}"
    )
    assert abs(found["recall"] - 3 / 4) > EXACT, "for recall an object that is named twice is found once"
    assert abs(found["recall"] - 2 / 6) > EXACT, "images without a caption do not count, in recall neither"
    assert abs(found["recall"] - 2 / 4) < EXACT, (
        f"two of four true objects are named: recall is 1/2, not {found['recall']}"
    )
    found = chair({"a": []}, {"a": {"dog"}})
    assert math.isnan(found["chair_i"]), "without a mention there is nothing to divide by: chair_i is nan then"
    assert found["chair_s"] == 0, (
        f"a caption without a mention has no false object: chair_s is 0, not {found['chair_s']}"
    )


def check_adversarial(adversarial):
    """Absent objects by company, in five images."""
    truth = {
        "1": {"fork", "knife"}, "2": {"fork", "knife", "cup"}, "3": {"fork"}, "4": {"car", "bench"}, "5": {"car", "bench"},
        "6": {"car", "cup"},
    }  # fmt: skip
    found = list(adversarial(truth, "3", 1))
    assert found != ["car"], (
        "'car' is the most frequent (popular); adversarial is what occurs together with the image's objects"
    )
    assert found != ["fork"], "the image has a fork: ask about what it has not"
    assert found == ["knife"], f"knife stands beside fork in two images: the answer is ['knife'], not {found}"
    found = list(adversarial(truth, "3", 4))
    assert found != ["knife", "cup"], "give k objects, even where some were never seen with the image's own"
    assert found == ["knife", "cup", "bench", "car"], (
        f"after knife (2) and cup (1) come bench and car (0 each) in alphabetical order, not {found}"
    )
    found = list(adversarial(truth, "2", 1))
    assert found == ["car"], f"car stands beside cup once, bench beside nothing of image 2: ['car'], not {found}"
    truth = {"1": {"fork", "knife"}, "2": {"fork", "knife", "cup"}, "3": {"fork", "bench"}}
    found = list(adversarial(truth, "1", 2))
    assert found != ["bench", "cup"], (
        "an image that has two of the image's objects counts twice: add up over all of them"
    )
    assert found == ["cup", "bench"], f"cup keeps company with fork and with knife: ['cup', 'bench'], not {found}"


def check_pope(pope):
    """POPE's five numbers on ten answers, and on answers that are all no."""
    answers = [
        "Yes.",
        "yes, there is",
        "No",
        "no.",
        "YES",
        "No, it is not; yes, I am sure",
        "I cannot see",
        "",
        "yes",
        "No.",
    ]
    present = [True, True, True, False, False, False, False, True, False, False]
    found = pope(answers, present)
    keys = {"accuracy", "precision", "recall", "f1", "yes_ratio"}
    assert set(found) == keys, f"the keys must be {', '.join(sorted(keys))}, not {sorted(found)}"
    for wrong, why in (
        (0.1, "capital letters must not matter: 'YES' and 'Yes.' are yes"),
        (0.2, "capital letters must not matter: 'YES' and 'Yes.' are yes"),
        (0.3, "capital letters must not matter: 'YES' and 'Yes.' are yes"),
        (0.5, "the first word decides: 'No, it is not; yes, I am sure' is no"),
        (0.6, "'I cannot see' and '' are no yes: only an answer whose first word is yes is"),
    ):
        assert abs(found["yes_ratio"] - wrong) > EXACT, why
    assert abs(found["yes_ratio"] - 0.4) < EXACT, (
        f"four of ten answers are yes: yes_ratio is 0.4, not {found['yes_ratio']}"
    )
    assert abs(found["accuracy"] - 5 / 8) > EXACT, "an answer that is neither yes nor no is wrong; do not leave it out"
    assert abs(found["accuracy"] - 0.6) > EXACT, (
        "an answer that is neither yes nor no is wrong, also where the object is absent"
    )
    assert abs(found["accuracy"] - 0.5) < EXACT, (
        f"five of ten answers are right: accuracy is 0.5, not {found['accuracy']}"
    )
    found = pope(["yes", "yes", "yes", "no", "no", "no"], [True, False, False, True, False, False])
    assert abs(found["precision"] - 1 / 2) > EXACT, (
        "precision divides by the answers that are yes, recall by the objects that are there"
    )
    assert abs(found["precision"] - 1 / 3) < EXACT, (
        f"one yes of three is right: precision is 1/3, not {found['precision']}"
    )
    assert abs(found["recall"] - 1 / 2) < EXACT, f"one of two objects was found: recall is 1/2, not {found['recall']}"
    assert abs(found["f1"] - 5 / 12) > EXACT, "F1 is the harmonic mean of precision and recall, not the ordinary one"
    assert abs(found["f1"] - 0.4) < EXACT, f"F1 is 2 (1/3)(1/2) / (1/3 + 1/2) = 0.4, not {found['f1']}"
    found = pope(["no", "no"], [True, False])
    assert found["precision"] == found["recall"] == found["f1"] == 0, (
        "where there is nothing to divide by, the value is 0"
    )


def check_wilson(wilson):
    """Wilson's interval at 8 of 10, and at the ends."""
    low, high = wilson(8, 10)
    assert high < 2, "give shares between 0 and 1, not percentages"
    assert abs(low - 0.4839) > 1e-3, "this is z = 2; take 1.96"
    assert abs(low - 0.5521) > 1e-3, (
        "this is k/n plus and minus 1.96 standard errors (Wald); solve the condition for p instead"
    )
    assert abs(low - 0.5408) > 1e-3, "this is the 90% interval: 1.96, not 1.645"
    assert abs((low + high) / 2 - 0.8) > 1e-3, (
        "the interval is not centred at k/n: its middle is drawn towards one half"
    )
    assert abs(low - 0.4901) < 1e-3, f"the lower end at 8 of 10 is 0.490, not {low:.3f}"
    assert abs(high - 0.9433) < 1e-3, f"the upper end at 8 of 10 is 0.943, not {high:.3f}"
    low, high = wilson(0, 20)
    assert abs(low) < EXACT, f"at 0 of 20 the lower end is 0, not {low}"
    assert abs(high - 0.1611) < 1e-3, (
        f"at 0 of 20 the upper end is 0.161, not {high:.3f}: nothing seen is not nothing there"
    )


def check_ratio_interval(ratio_interval):
    """A ratio over four pictures, and its interval."""
    value, low, high = ratio_interval([0, 0, 3, 0], [4, 2, 3, 1])
    assert abs(value - 0.25) > EXACT, "this is the mean of the pictures' ratios; CHAIR_i is the ratio of the sums"
    assert abs(value - 0.3) < EXACT, f"three of ten mentions are false: the value is 0.3, not {value}"
    assert abs((low + high) / 2 - value) < EXACT, (
        "the interval goes as far down as up; do not cut it off, even below 0 as here"
    )
    half, squares, n, mean = (high - low) / 2, 6.3, 4, 2.5
    for wrong, why in (
        (1.96 * math.sqrt(0.3 * 0.7 / 10), "the mentions of one picture are not independent: the unit is the picture"),
        (1.96 * math.sqrt(squares / n / n) / mean, "r comes from the same n pictures: divide the squares by n - 1"),
        (1.96 * math.sqrt(squares / (n - 1) / n), "divide by the mean number of mentions a picture, too"),
        (
            1.96 * math.sqrt(squares / (n - 1)) / mean,
            "this is the spread of one picture: the standard error is smaller by sqrt(n)",
        ),
        (math.sqrt(squares / (n - 1) / n) / mean, "this is one standard error to each side; 95% takes 1.96 of them"),
    ):
        assert abs(half - wrong) > 1e-4, why
    assert abs(half - 1.96 * math.sqrt(squares / (n - 1) / n) / mean) < 1e-4, (
        f"half of the interval is 0.5681 here, not {half:.4f}"
    )


def _sentences(caption):
    return re.findall(r"[^.]+\.", caption)


def _keeps_the_rules(before, after):
    """The rules that a fooling caption has to keep."""
    assert set(before) == set(after), "give a caption for each image: a dict from image to text"
    for image, text in after.items():
        assert text.strip(), f"the caption of image {image!r} is empty; every caption must name an object"
        kept, left = [s.strip() for s in _sentences(text)], [s.strip() for s in _sentences(before[image])]
        assert " ".join(kept) == " ".join(text.split()), (
            f"{text!r} is not made of whole sentences, each with its full stop"
        )
        for sentence in kept:
            assert sentence in left, (
                f"{sentence!r} is no sentence of image {image!r} any more, or out of order; keep whole sentences"
            )
            left = left[left.index(sentence) + 1 :]


def check_fooled(fooled):
    """The rules, on three captions."""
    before = {
        "1": "There is a dog on the left. There is a car behind it. There is a cup.",
        "2": "This is a photograph. A man is here. There is a fork. There is a knife.",
        "3": "A bench stands there. A cat is on it. A person sits beside it.",
    }
    after = fooled(dict(before), WORDS)
    _keeps_the_rules(before, after)
    objects = r"\b(dog|car|cup|man|fork|knife|bench|cat|person)\b"
    for image, text in after.items():
        assert re.search(objects, text), f"the caption of image {image!r} names no object any more: {text!r}"
    mentions = sum(len(re.findall(objects, text)) for text in after.values())
    assert after != before, "these are the captions as they were; leave sentences out"
    assert mentions <= 6, f"nine objects were named before and {mentions} are now: more of the end has to go"


def check_price(price):
    """What a point of CHAIR_i has cost in recall."""
    before, after = {"chair_s": 0.8, "chair_i": 0.30, "recall": 0.8}, {"chair_s": 0.1, "chair_i": 0.10, "recall": 0.3}
    found = price(before, after)
    assert abs(found - 0.4) > EXACT, "turned over: divide the recall that was lost by the CHAIR_i that was gained"
    assert abs(found + 2.5) > EXACT, "the sign is turned: a loss of recall is a price, and positive"
    assert abs(found - 2.5) < EXACT, f"0.5 of recall for 0.2 of CHAIR_i is a price of 2.5, not {found}"
    assert math.isnan(price(after, before)), "where CHAIR_i did not fall nothing was bought: nan"


# %% [markdown]
# ## 1. What does a caption name? (20 minutes)
#
# `named(caption, words)` gives the objects that a caption names, in their order. `words` is a table like `WORDS`: its keys are words or
# phrases in small letters, its values objects. Every mention counts, so an object may come twice. Words are runs of letters; capital
# letters and punctuation do not matter. Where several keys begin at the same word, the longest wins, and its words are used up: "a hot
# dog" names a hot dog and no dog.


# %% task
def named(caption, words):
    """The objects that ``caption`` names, a list with every mention in order; ``words``: word or phrase -> object."""
    # BEGIN SOLUTION
    tokens = re.findall(r"[a-z]+", caption.lower())
    longest = max(len(key.split()) for key in words)
    found, at = [], 0
    while at < len(tokens):
        for length in range(longest, 0, -1):
            phrase = " ".join(tokens[at : at + length])
            if phrase in words:
                found.append(words[phrase])
                at += len(phrase.split())
                break
        else:
            at += 1
    return found
    # END SOLUTION


# %% [markdown]
# ## 2. CHAIR (20 minutes)
#
# `chair(mentions, truth)` gives a dict with three numbers. `mentions`: image -> the list of objects that its caption names;
# `truth`: image -> the set of objects that are there.
#
# - `chair_s`: the share of captions with at least one false object;
# - `chair_i`: the share of all mentions that are false, over all captions together; `nan` if nothing is mentioned;
# - `recall`: the share of all true objects that are named at least once, over all captions together.
#
# Only images with a caption count, also one that names nothing.


# %% task
def chair(mentions, truth):
    """``chair_s``, ``chair_i`` and ``recall`` as a dict; ``mentions``: image -> list, ``truth``: image -> set."""
    # BEGIN SOLUTION
    captions = with_false = false = named_in_all = recalled = there = 0
    for image, objects in mentions.items():
        wrong = [name for name in objects if name not in truth[image]]
        captions += 1
        with_false += bool(wrong)
        false += len(wrong)
        named_in_all += len(objects)
        recalled += len(set(objects) & set(truth[image]))
        there += len(truth[image])
    return {
        "chair_s": with_false / captions,
        "chair_i": false / named_in_all if named_in_all else math.nan,
        "recall": recalled / there if there else math.nan,
    }
    # END SOLUTION


# %% [markdown]
# ## 3. Questions that mislead (25 minutes)
#
# POPE asks "Is there a knife in the image?". It is hard where the object is absent and would fit. `adversarial(truth, image, k)` gives
# the `k` objects that are **not** in the image and keep most company with those that are. The company that an absent object keeps: for
# each object of the image, count the images of `truth` that have both, and add these counts up. Most company first; ties in
# alphabetical order. All objects that occur in `truth` take part, also those with no company at all.


# %% task
def adversarial(truth, image, k):
    """The ``k`` absent objects with most company, a list; ``truth``: image -> set of objects."""
    # BEGIN SOLUTION
    present = truth[image]
    absent = set().union(*truth.values()) - set(present)
    company = {
        name: sum(len({name, other} & set(there)) == 2 for other in present for there in truth.values())
        for name in absent
    }
    return sorted(absent, key=lambda name: (-company[name], name))[:k]
    # END SOLUTION


# %% [markdown]
# ## 4. POPE (20 minutes)
#
# `pope(answers, present)` gives a dict with `accuracy`, `precision`, `recall`, `f1` and `yes_ratio`. `answers`: texts of a model;
# `present`: for each, whether the object is there. The first word of an answer decides, in small or capital letters: `yes` or `no`.
# Anything else is neither; it is not a yes, and it is wrong. Precision is the share of yes answers that are right, recall the share of
# present objects that were answered with yes, `yes_ratio` the share of all answers that are yes. Where there is nothing to divide by,
# the value is 0.


# %% task
def pope(answers, present):
    """POPE's five numbers as a dict; ``answers``: texts, ``present``: truth values, one each."""
    # BEGIN SOLUTION
    first = [(re.findall(r"[a-z]+", answer.lower()) or [""])[0] for answer in answers]
    yes = sum(word == "yes" for word in first)
    hits = sum(word == "yes" and there for word, there in zip(first, present, strict=True))
    right = sum(word == ("yes" if there else "no") for word, there in zip(first, present, strict=True))
    precision = hits / yes if yes else 0.0
    recall = hits / sum(present) if sum(present) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    ratio = yes / len(answers)
    return {"accuracy": right / len(answers), "precision": precision, "recall": recall, "f1": f1, "yes_ratio": ratio}
    # END SOLUTION


# %% [markdown]
# ## 5. Wilson's interval (15 minutes)
#
# Of $n$ captions $k$ had a false object. `wilson(k, n)` gives `(low, high)`: the smallest and the largest share $p$ that is compatible
# with this, that is, all $p$ with
#
# $$\left|\frac kn - p\right| \le z \sqrt{\frac{p (1 - p)}{n}}, \qquad z = 1.96.$$
#
# Square both sides; a quadratic equation in $p$ remains. The common shortcut puts $k/n$ for $p$ under the root, and gives $[0, 0]$ at
# 0 of 20.


# %% task
def wilson(k, n):
    """The 95% interval (low, high) of a share, ``k`` of ``n``."""
    # BEGIN SOLUTION
    z2, share = 1.96**2 / n, k / n
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return middle - half, middle + half
    # END SOLUTION


# %% [markdown]
# ## 6. The interval of CHAIR_i (25 minutes)
#
# Mentions of one picture are wrong together: who sees a kitchen invents a fork *and* a knife. So the unit is the picture.
# `ratio_interval(false, named)` gets two numbers for each of $n$ pictures, its false mentions $f_i$ and all its mentions $m_i$, and
# gives `(value, low, high)`: $r = \sum f_i / \sum m_i$ and $r \mp 1.96\,s$. The standard error comes from what each picture adds,
# $d_i = f_i - r m_i$ (these sum to zero):
#
# $$s = \frac{1}{\bar m} \sqrt{\frac{1}{n} \cdot \frac{\sum d_i^2}{n - 1}}.$$


# %% task
def ratio_interval(false, named):
    """(value, low, high) of ``sum(false) / sum(named)`` with pictures as units."""
    # BEGIN SOLUTION
    false, named = np.array(false, dtype=float), np.array(named, dtype=float)
    n, value = len(named), false.sum() / named.sum()
    deviation = false - value * named
    error = math.sqrt((deviation**2).sum() / (n - 1) / n) / named.mean()
    return value, value - 1.96 * error, value + 1.96 * error
    # END SOLUTION


# %% [markdown]
# ## 7. Fool the measure (25 minutes)
#
# A model's captions go on and on, and the later a claim stands the more often it is false. Write `fooled(captions, words)`: it gets
# image -> caption and the table of words, **sees no picture**, and gives image -> a caption that CHAIR likes better. Rules: a caption
# is made of whole sentences of the old one, in their order; each sentence ends with its full stop, one blank between them; and each
# caption still names an object. On captions drawn for you both `chair_s` and `chair_i` must fall to half or less. (Some captions begin
# with a sentence that names nothing. You may call your own `named`.)


# %% task
def fooled(captions, words):
    """Image -> a caption that CHAIR likes better, made of sentences of the old one."""
    # BEGIN SOLUTION
    shorter = {}
    for image, caption in captions.items():
        kept = []
        for sentence in re.findall(r"[^.]+\.", caption):
            kept.append(sentence.strip())
            if named(sentence, words):
                break
        shorter[image] = " ".join(kept)
    return shorter
    # END SOLUTION


# %% [markdown]
# ## 8. What did it cost? (10 minutes)
#
# `fooled` has improved nothing: no false claim became a true one, and true claims were lost with the false ones. `price(before, after)`
# gets what `chair` said before and after, and gives the recall that was lost for each unit of `chair_i` that was gained; `nan` if
# `chair_i` did not fall. Look at the price of your own `fooled`, and look for this number in the next paper that reports CHAIR alone.


# %% task
def price(before, after):
    """Recall lost / CHAIR_i gained, from two dicts as ``chair`` gives them."""
    # BEGIN SOLUTION
    gained = before["chair_i"] - after["chair_i"]
    return (before["recall"] - after["recall"]) / gained if gained > 0 else math.nan
    # END SOLUTION


# %% hidden
from collections import Counter

from povid_lib.course.grading.assignment import Assignment, Task, Wrong

_FILLERS = (
    "a",
    "the",
    "small",
    "red",
    "beside",
    "under",
    "with",
    "scarf",
    "carpet",
    "bearing",
    "very",
    "near",
    "scatter",
    "and",
)
_NAMES = ("apple", "bench", "car", "cat", "cup", "dog", "fork", "knife", "person", "spoon", "table", "truck")


def _caption(draw):
    """A caption of fillers and keys, and what it names."""
    parts, names = [], []
    for _ in range(int(draw.integers(3, 9))):
        parts += list(draw.choice(_FILLERS, int(draw.integers(1, 4))))
        if parts[-1] == "hot" or draw.random() < 0.2:
            continue
        key = str(draw.choice(list(WORDS)))
        names.append(WORDS[key])
        parts.append(key.upper() if draw.random() < 0.2 else key.capitalize() if draw.random() < 0.3 else key)
        parts.append("near")  # so that no two keys make a third
    text = " ".join(parts)
    return text.replace(" near", draw.choice([", near", "; near", " near", "! Near", "-near"])), names


def hidden_named(answer, draw):
    for _ in range(60):
        text, want = _caption(draw)
        found = answer(text, WORDS)
        if found != want and Counter(found) == Counter(want):
            raise AssertionError("give the objects in the order of the caption")
        if found != want and set(found) == set(want):
            raise AssertionError(f"each mention counts: {text!r} has {len(want)}, and you give {len(found)}")
        assert found == want, f"{text!r} names {want}, not {found}"


def hidden_named_phrases(answer, draw):
    for _ in range(30):
        words = {"a b c": "three", "a b": "two", "b": "one", "c": "last", "b c": "pair"}
        text = " ".join(draw.choice(["a", "b", "c", "x"], int(draw.integers(1, 12))))
        want = named(text, words)
        found = answer(text, words)
        assert found == want, (
            f"the longest phrase wins, and its words are used up: with the keys {list(words)} the text {text!r} names {want}, not {found}"
        )


def _pictures(draw, n):
    """Image -> objects there, and image -> mentions, some false, some repeated, some captions empty."""
    truth, mentions = {}, {}
    for at in range(n):
        there = set(draw.choice(_NAMES, int(draw.integers(1, 5)), replace=False).tolist())
        said = draw.choice(_NAMES, int(draw.integers(0, 5))).tolist() + draw.choice(sorted(there), 2).tolist()
        truth[f"i{at}"], mentions[f"i{at}"] = there, said if draw.random() < 0.8 else []
    return mentions, truth


def hidden_chair(answer, draw):
    for n in (5, 40):
        mentions, truth = _pictures(draw, n)
        found, want = answer(mentions, truth), chair(mentions, truth)
        for key in ("chair_s", "chair_i"):
            assert abs(found[key] - want[key]) < EXACT, (
                f"on {n} other captions {key} is {want[key]:.4f}, not {found[key]:.4f}"
            )


def hidden_chair_recall(answer, draw):
    mentions, truth = _pictures(draw, 30)
    without = {image: said for image, said in mentions.items() if int(image[1:]) % 3}
    found, want = answer(without, truth)["recall"], chair(without, truth)["recall"]
    assert abs(found - want) < EXACT, f"on 20 other captions of 30 images recall is {want:.4f}, not {found:.4f}"


def hidden_adversarial(answer, draw):
    for _ in range(8):
        _, truth = _pictures(draw, 25)
        image, k = f"i{draw.integers(25)}", int(draw.integers(1, 6))
        found, want = list(answer(truth, image, k)), adversarial(truth, image, k)
        assert not set(found) & truth[image], "an object of the image itself is among the answers"
        assert len(found) == len(want), f"{len(want)} objects were asked for, and {len(found)} came"
        assert set(found) == set(want), (
            f"in 25 other images those with most company are {want}, not {found}: add up over all objects"
        )
        assert found == want, f"the order is {want}, not {found}: most company first, ties in alphabetical order"


def hidden_pope(answer, draw):
    said = [
        "Yes",
        "yes.",
        "No",
        "no, there is none",
        "NO",
        "YES!",
        "Not sure",
        "Yesterday",
        "Maybe yes",
        " yes it is",
        "",
        "None",
    ]
    for n in (10, 200):
        answers, present = draw.choice(said, n).tolist(), [bool(there) for there in draw.random(n) < 0.6]
        found, want = answer(answers, present), pope(answers, present)
        for key in want:
            assert abs(found[key] - want[key]) < EXACT, (
                f"on {n} other answers {key} is {want[key]:.4f}, not {found[key]:.4f}"
            )


def hidden_pope_empty(answer, draw):
    n = int(draw.integers(2, 9))
    assert answer(["no"] * n, [True] * n)["f1"] == 0, (
        "without a yes F1 is 0: where there is nothing to divide by, the value is 0"
    )
    found = answer(["yes"] * n, [False] * n)
    assert found["recall"] == 0, (
        "without a present object recall is 0: where there is nothing to divide by, the value is 0"
    )


def hidden_wilson(answer, draw):
    for _ in range(40):
        n = int(draw.integers(5, 400))
        k = int(draw.integers(0, n + 1))
        found, want = answer(k, n), wilson(k, n)
        for end, a, b in zip(("lower", "upper"), found, want, strict=True):
            assert abs(a - b) < 1e-6, f"the {end} end at {k} of {n} is {b:.6f}, not {a:.6f}"


def hidden_ratio_interval(answer, draw):
    for n in (6, 50):
        named_each = draw.integers(1, 8, n)
        false = draw.binomial(named_each, draw.beta(1, 2, n))
        false[0] = named_each[0]  # so that not all is true
        found, want = answer(false.tolist(), named_each.tolist()), ratio_interval(false, named_each)
        for what, a, b in zip(("value", "lower end", "upper end"), found, want, strict=True):
            assert abs(a - b) < 1e-6, f"on {n} other pictures the {what} is {b:.6f}, not {a:.6f}"


def _long_captions(draw, n=120):
    """Captions whose claims become worse towards their end, and the truth."""
    captions, truth = {}, {}
    keys = [key for key in WORDS if " " not in key and key == WORDS[key]]
    for at in range(n):
        said = draw.choice(keys, 5, replace=False).tolist()
        false = draw.random(5) < (0.03, 0.08, 0.3, 0.5, 0.7)
        sentences = [f"There is a {name} {draw.choice(['here', 'there', 'on the left'])}." for name in said]
        opening = [str(draw.choice(["This is a photograph.", "It is a sunny day."]))] if draw.random() < 0.4 else []
        captions[f"i{at}"] = " ".join([*opening, *sentences])
        truth[f"i{at}"] = {name for name, wrong in zip(said, false, strict=True) if not wrong} | {"table"}
    return captions, truth


def hidden_fooled_rules(answer, draw):
    captions, _ = _long_captions(draw, 20)
    after = answer(dict(captions), WORDS)
    _keeps_the_rules(captions, after)
    empty = [image for image, text in after.items() if not named(text, WORDS)]
    assert not empty, f"{len(empty)} of 20 captions name no object any more; the first is {after[empty[0]]!r}"


def hidden_fooled(answer, draw):
    captions, truth = _long_captions(draw)
    after = answer(dict(captions), WORDS)
    _keeps_the_rules(captions, after)
    assert all(named(text, WORDS) for text in after.values()), (
        "a caption names no object any more, so CHAIR has nothing to judge"
    )
    first, then = (chair({i: named(text, WORDS) for i, text in texts.items()}, truth) for texts in (captions, after))
    for key in ("chair_s", "chair_i"):
        change = f"{key} goes from {first[key]:.2f} to {then[key]:.2f}"
        assert then["chair_i"] < first["chair_i"], (
            f"{change}: you keep the claims of the end, and these are the false ones"
        )
        assert then[key] <= first[key] / 2, f"{change}, and half is asked for: more of the end has to go"


def hidden_price(answer, draw):
    for _ in range(20):
        a, b = ({"chair_s": 0.5, "chair_i": float(draw.random()), "recall": float(draw.random())} for _ in range(2))
        found, want = answer(a, b), price(a, b)
        assert math.isnan(found) == math.isnan(want), (
            f"from chair_i {a['chair_i']:.2f} to {b['chair_i']:.2f} the price is {want:.3f}, not {found:.3f}"
        )
        assert math.isnan(want) or abs(found - want) < 1e-6, f"the price is {want:.4f}, not {found:.4f}"


# --- other right answers -----------------------------------------------------------------------------------------


def named_by_pattern(caption, words):
    pattern = "|".join(r"\W+".join(key.split()) for key in sorted(words, key=len, reverse=True))
    spaced = re.sub(r"[^a-z]+", " ", caption.lower())
    return [words[" ".join(found.split())] for found in re.findall(rf"\b(?:{pattern})\b", spaced)]


def named_by_padding(caption, words):
    rest, found = " ".join(re.findall("[a-z]+", caption.lower())) + " ", []
    keys = sorted(words, key=lambda key: -len(key.split()))
    while rest:
        key = next((key for key in keys if rest.startswith(f"{key} ")), None)
        if key:
            found.append(words[key])
        rest = rest[len(key) + 1 :] if key else rest.partition(" ")[2]
    return found


def chair_numpy(mentions, truth):
    false = np.array([sum(name not in truth[image] for name in said) for image, said in mentions.items()])
    total = sum(map(len, mentions.values()))
    hit = sum(len(truth[image].intersection(said)) for image, said in mentions.items())
    with np.errstate(all="ignore"):
        chair_i = np.float64(false.sum()) / total
    return {
        "chair_s": np.mean(false > 0),
        "chair_i": chair_i,
        "recall": hit / sum(len(truth[image]) for image in mentions),
    }


def chair_counter(mentions, truth):
    counts = Counter()
    for image, said in mentions.items():
        counts.update(all=1, mentions=len(said), true=len(truth[image]), hit=sum(o in said for o in truth[image]))
        counts.update(false=sum(o not in truth[image] for o in said), bad=any(o not in truth[image] for o in said))
    chair_i = counts["false"] / counts["mentions"] if counts["mentions"] else float("nan")
    return {"recall": counts["hit"] / counts["true"], "chair_i": chair_i, "chair_s": counts["bad"] / counts["all"]}


def adversarial_matrix(truth, image, k):
    names = sorted({name for there in truth.values() for name in there})
    has = np.array([[name in there for name in names] for there in truth.values()], dtype=int)
    mine = np.array([name in truth[image] for name in names])
    company = (has.T @ has)[:, mine].sum(1)
    order = sorted((i for i in range(len(names)) if not mine[i]), key=lambda i: -company[i])
    return [names[i] for i in order[:k]]


def adversarial_loop(truth, image, k):
    score = {name: 0 for there in truth.values() for name in there if name not in truth[image]}
    for there in truth.values():
        for name in there:
            if name in score:
                score[name] += len(there & truth[image])
    return tuple(sorted(sorted(score), key=score.get, reverse=True))[:k]


def pope_numpy(answers, present):
    first = np.array(
        [re.sub("[^a-z].*", "", re.sub("^[^a-z]*", "", text.lower()), flags=re.DOTALL) for text in answers]
    )
    yes, no, there = first == "yes", first == "no", np.array(present, dtype=bool)
    tp = int((yes & there).sum())
    p, r = (tp / max(1, int(n)) for n in (yes.sum(), there.sum()))
    right = (yes & there) | (no & ~there)
    return {
        "accuracy": right.mean(),
        "precision": p,
        "recall": r,
        "f1": 2 * p * r / (p + r or 1),
        "yes_ratio": yes.mean(),
    }


def pope_counts(answers, present):
    def word(text):
        found = re.search("[A-Za-z]+", text)
        return found.group().lower() if found else None

    tp = fp = fn = tn = 0
    for text, there in zip(answers, present, strict=True):
        tp, fp = tp + (word(text) == "yes" and there), fp + (word(text) == "yes" and not there)
        fn, tn = fn + (word(text) != "yes" and there), tn + (word(text) == "no" and not there)
    f1 = 2 * tp / (2 * tp + fp + fn) if tp else 0
    n = len(answers)
    return {
        "accuracy": (tp + tn) / n,
        "precision": tp and tp / (tp + fp),
        "recall": tp and tp / (tp + fn),
        "f1": f1,
        "yes_ratio": (tp + fp) / n,
    }


def wilson_roots(k, n):
    roots = np.roots([1 + 1.96**2 / n, -2 * k / n - 1.96**2 / n, (k / n) ** 2])
    return sorted(roots.real.tolist())


def wilson_bisection(k, n):
    def far(p):
        return abs(k / n - p) - 1.96 * math.sqrt(p * (1 - p) / n) > 0

    ends = []
    for outside in (0.0, 1.0):
        inside = k / n
        for _ in range(80):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if far(middle) else (middle, outside)
        ends.append(inside)
    return ends


def ratio_plain(false, named_each):
    n, total = len(false), sum(named_each)
    r = sum(false) / total
    s = math.sqrt(n / (n - 1) * sum((f - r * m) ** 2 for f, m in zip(false, named_each, strict=True))) / total
    return [r, r - 1.96 * s, r + 1.96 * s]


def ratio_std(false, named_each):
    r = np.sum(false) / np.sum(named_each)
    s = np.std(np.array(false) - r * np.array(named_each), ddof=1) / np.sqrt(len(false)) / np.mean(named_each)
    return np.array([r, r - 1.96 * s, r + 1.96 * s])


def _up_to(captions, words, wanted):
    """Sentences up to the one with the ``wanted``-th object."""
    out = {}
    for image, text in captions.items():
        kept = []
        for sentence in [part.strip() + "." for part in text.split(".") if part.strip()]:
            kept.append(sentence)
            if sum(bool(named(each, words)) for each in kept) == wanted:
                break
        out[image] = " ".join(kept)
    return out


def fooled_two(captions, words):
    return _up_to(captions, words, 2)


def fooled_only(captions, words):
    return {i: next(s.strip() + "." for s in text.split(".") if named(s, words)) for i, text in captions.items()}


def price_numpy(before, after):
    if not after["chair_i"] < before["chair_i"]:
        return np.nan
    return np.divide(before["recall"] - after["recall"], before["chair_i"] - after["chair_i"])


def price_signs(before, after):
    change = {key: after[key] - before[key] for key in ("chair_i", "recall")}
    return change["recall"] / change["chair_i"] if change["chair_i"] < 0 else float("nan")


# --- wrong answers -----------------------------------------------------------------------------------------------


def _tokens(caption):
    return re.findall("[a-z]+", caption.lower())


def _changed(function, **values):
    """The function's dict with some values replaced; a value may be a function of the arguments."""
    return lambda *args: {**function(*args), **{key: value(*args) for key, value in values.items()}}


def _false(mentions, truth):
    return {image: [name for name in said if name not in truth[image]] for image, said in mentions.items()}


def _mean_ratio(mentions, truth):
    false = _false(mentions, truth)
    ratios = [len(false[image]) / len(said) for image, said in mentions.items() if said]
    return sum(ratios) / len(ratios) if ratios else math.nan


def _pope_with(read):
    """POPE where ``read`` turns an answer into yes, no or something else."""
    return lambda answers, present: pope([read(answer) for answer in answers], present)


def _only_read(answers, present):
    kept = [(a, p) for a, p in zip(answers, present, strict=True) if a.lower().startswith(("yes", "no"))]
    ratio = sum(a.lower().startswith("yes") for a in answers) / len(answers)
    return {**pope([a for a, _ in kept], [p for _, p in kept]), "yes_ratio": ratio}


def _exchanged(answers, present):
    found = pope(answers, present)
    return {**found, "precision": found["recall"], "recall": found["precision"]}


def _average(answers, present):
    found = pope(answers, present)
    return {**found, "f1": (found["precision"] + found["recall"]) / 2}


def _divides(answers, present):
    found = pope(answers, present)
    1 / sum(answer.lower().startswith("yes") for answer in answers)
    return found


def _popular(truth, image, k):
    count = Counter(name for there in truth.values() for name in there)
    return sorted(set(count) - truth[image], key=lambda name: (-count[name], name))[:k]


def _with_itself(truth, image, k):
    names = set().union(*truth.values())
    return sorted(names, key=lambda n: (-sum(len(t & truth[image]) for t in truth.values() if n in t), n))[:k]


def _seen_together(truth, image, k):
    return [n for n in adversarial(truth, image, 99) if any(n in t and t & truth[image] for t in truth.values())][:k]


def _once_an_image(truth, image, k):
    absent = set().union(*truth.values()) - truth[image]
    return sorted(absent, key=lambda n: (-sum(n in t and bool(t & truth[image]) for t in truth.values()), n))[:k]


def _ties_turned(truth, image, k):
    absent = sorted(set().union(*truth.values()) - truth[image], reverse=True)
    return sorted(absent, key=lambda n: -sum(len(t & truth[image]) for t in truth.values() if n in t))[:k]


def _wald(k, n):
    half = 1.96 * math.sqrt(k / n * (1 - k / n) / n)
    return k / n - half, k / n + half


def _wald_cut(k, n):
    low, high = _wald(k, n)
    return max(0.0, low), min(1.0, high)


def _wilson_at(z):
    def interval(k, n):
        z2, share = z**2 / n, k / n
        half = math.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
        return (share + z2 / 2) / (1 + z2) - half, (share + z2 / 2) / (1 + z2) + half

    return interval


def _wilson_width(k, n):
    low, high = wilson(k, n)
    return k / n - (high - low) / 2, k / n + (high - low) / 2


def _ratio_with(half):
    def interval(false, named_each):
        f, m = np.array(false, dtype=float), np.array(named_each, dtype=float)
        r = f.sum() / m.sum()
        e = half(f, m, f - r * m, r, len(f))
        return r, r - e, r + e

    return interval


def _ratio_of_means(false, named_each):
    r = np.array(false) / np.array(named_each)
    half = 1.96 * r.std(ddof=1) / math.sqrt(len(r))
    return r.mean(), r.mean() - half, r.mean() + half


def _clipped(false, named_each):
    value, low, high = ratio_interval(false, named_each)
    return value, max(0.0, low), high


def _each_caption(make):
    return lambda captions, words: {image: make(text) for image, text in captions.items()}


TASKS = (
    Task(
        "named", "what a caption names", 20, ((check_named, 4),), ((hidden_named, 4), (hidden_named_phrases, 2)),
        (named_by_pattern, named_by_padding),
        (
            Wrong("looks for letters inside of words", "whole words", lambda c, w: [w[k] for k in w if k in c.lower()]),
            Wrong("does not put letters small", "capital letters", lambda c, w: [w[k] for k in re.findall("[A-Za-z]+", c) if k in w]),
            Wrong("splits at blanks, so that punctuation sticks to words", "punctuation hides", lambda c, w: [w[t] for t in c.lower().split() if t in w]),
            Wrong("counts an object once", "each mention counts", lambda c, w: list(dict.fromkeys(named(c, w)))),
            Wrong("knows single words only", "the longest phrase wins", lambda c, w: [w[t] for t in _tokens(c) if t in w]),
            Wrong("gives the caption's word", "not the word of the caption", lambda c, w: [t for t in _tokens(c) if t in w]),
            Wrong("sorts the objects", "in the order of the caption", lambda c, w: sorted(named(c, w))),
            Wrong("finds a phrase and its parts", "a hot dog is no dog", lambda c, w: [w[k] for i in range(len(_tokens(c))) for k in w if _tokens(c)[i : i + len(k.split())] == k.split()]),
        ),
    ),
    Task(
        "chair", "CHAIR", 20, ((check_chair, 5),), ((hidden_chair, 3), (hidden_chair_recall, 2)), (chair_numpy, chair_counter),
        (
            Wrong("leaves captions that name nothing out of chair_s", "divide chair_s by all", _changed(chair, chair_s=lambda m, t: sum(map(bool, _false(m, t).values())) / max(1, sum(map(bool, m.values()))))),
            Wrong("counts kinds of objects instead of mentions", "chair_i counts mentions", _changed(chair, chair_i=lambda m, t: chair({i: list(set(s)) for i, s in m.items()}, t)["chair_i"])),
            Wrong("averages chair_i over captions", "you average over captions", _changed(chair, chair_i=_mean_ratio)),
            Wrong("counts a repeated object twice in recall", "is found once", _changed(chair, recall=lambda m, t: sum(o in t[i] for i, s in m.items() for o in s) / sum(len(t[i]) for i in m))),
            Wrong("counts images without a caption in recall", "in recall neither", _changed(chair, recall=lambda m, t: sum(len(set(s) & t[i]) for i, s in m.items()) / sum(map(len, t.values())))),
            Wrong("gives the share of good captions", "you count the captions without", _changed(chair, chair_s=lambda m, t: 1 - chair(m, t)["chair_s"])),
            Wrong("divides by zero where nothing is named", "ZeroDivisionError", lambda m, t: {**chair(m, t), "chair_i": sum(map(len, _false(m, t).values())) / sum(map(len, m.values()))}),
            Wrong("counts images without a caption in chair_s", "images without a caption do not count", _changed(chair, chair_s=lambda m, t: sum(map(bool, _false(m, t).values())) / len(t))),
        ),
    ),
    Task(
        "adversarial", "questions that mislead", 25, ((check_adversarial, 4),), ((hidden_adversarial, 6),),
        (adversarial_matrix, adversarial_loop),
        (
            Wrong("takes the most frequent objects (popular)", "(popular)", _popular),
            Wrong("asks about what is there", "the image has a fork", _with_itself),
            Wrong("leaves out objects without company", "even where some were never seen", _seen_together),
            Wrong("counts an image once however many of the objects it has", "counts twice", _once_an_image),
            Wrong("turns the order of ties", "in alphabetical order, not", _ties_turned),
            Wrong("takes the least company first", "knife stands beside fork", lambda t, i, k: [n for n in adversarial(t, i, 99)[::-1] if n != "car"][:k]),
        ),
    ),
    Task(
        "pope", "POPE", 20, ((check_pope, 5),), ((hidden_pope, 3), (hidden_pope_empty, 2)), (pope_numpy, pope_counts),
        (
            Wrong("minds capital letters", "capital letters", _pope_with(lambda a: "yes" if a.startswith("yes") else "no" if a.startswith("no") else "?")),
            Wrong("looks for yes anywhere", "the first word decides", _pope_with(lambda a: "yes" if "yes" in a.lower() else a)),
            Wrong("takes what is not no for yes", "are no yes", _pope_with(lambda a: "no" if a.lower().startswith("no") else "yes")),
            Wrong("leaves unclear answers out", "do not leave it out", _only_read),
            Wrong("takes unclear answers for no", "also where the object is absent", _pope_with(lambda a: "yes" if re.match(r"\W*yes\b", a.lower()) else "no")),
            Wrong("exchanges precision and recall", "precision divides by", _exchanged),
            Wrong("averages precision and recall", "harmonic mean", _average),
            Wrong("divides by the number of yes answers, which may be 0", "ZeroDivisionError", _divides),
        ),
    ),
    Task(
        "wilson", "Wilson's interval", 15, ((check_wilson, 3),), ((hidden_wilson, 5),), (wilson_roots, wilson_bisection),
        (
            Wrong("takes Wald's interval", "(Wald)", _wald),
            Wrong("takes Wald's interval", "(Wald)", _wald_cut),
            Wrong("takes 90%", "90% interval", _wilson_at(1.645)),
            Wrong("centres Wilson's width at k/n", "not centred at k/n", _wilson_width),
            Wrong("rounds z to 2", "this is z = 2", _wilson_at(2.0)),
            Wrong("gives percentages", "not percentages", lambda k, n: [100 * end for end in wilson(k, n)]),
        ),
    ),
    Task(
        "ratio_interval", "the interval of CHAIR_i", 25, ((check_ratio_interval, 4),), ((hidden_ratio_interval, 6),),
        (ratio_plain, ratio_std),
        (
            Wrong("takes the mean of the pictures' ratios", "mean of the pictures' ratios", _ratio_of_means),
            Wrong("treats mentions as independent", "the unit is the picture", _ratio_with(lambda f, m, d, r, n: 1.96 * math.sqrt(r * (1 - r) / m.sum()))),
            Wrong("divides by n in place of n - 1", "divide the squares by n - 1", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std() / math.sqrt(n) / m.mean())),
            Wrong("forgets the mean number of mentions", "mean number of mentions", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std(ddof=1) / math.sqrt(n))),
            Wrong("takes the spread for the standard error", "spread of one picture", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std(ddof=1) / m.mean())),
            Wrong("takes one standard error", "one standard error", _ratio_with(lambda f, m, d, r, n: d.std(ddof=1) / math.sqrt(n) / m.mean())),
            Wrong("cuts the interval off at 0", "do not cut it off", _clipped),
        ),
    ),
    Task(
        "fooled", "fool the measure", 25, ((check_fooled, 4),), ((hidden_fooled_rules, 2), (hidden_fooled, 6)), (fooled_two, fooled_only),
        (
            Wrong("gives empty captions", "is empty", _each_caption(lambda text: "")),
            Wrong("keeps the first sentence, whatever it says", "names no object any more", _each_caption(lambda text: _sentences(text)[0].strip())),
            Wrong("cuts sentences apart", "not made of whole sentences", _each_caption(lambda text: " ".join(text.split()[:5]))),
            Wrong("writes sentences of its own", "is no sentence of image", _each_caption(lambda text: "There is something.")),
            Wrong("leaves the captions as they are", "the captions as they were", _each_caption(lambda text: text)),
            Wrong("leaves out only the last sentence", "more of the end has to go", _each_caption(lambda text: " ".join(s.strip() for s in _sentences(text)[:-1]))),
            Wrong("keeps the end in place of the beginning", "you keep the claims of the end", _each_caption(lambda text: _sentences(text)[-1].strip())),
            Wrong("leaves captions out", "give a caption for each image", lambda c, w: dict(list(fooled(c, w).items())[1:])),
        ),
    ),
    Task(
        "price", "what it cost", 10, ((check_price, 2),), ((hidden_price, 2),), (price_numpy, price_signs),
        (
            Wrong("turns the fraction over", "turned over", lambda b, a: (b["chair_i"] - a["chair_i"]) / (b["recall"] - a["recall"])),
            Wrong("turns the sign", "the sign is turned", lambda b, a: -price(b, a)),
            Wrong("gives the recall that was lost", "a price of 2.5", lambda b, a: b["recall"] - a["recall"]),
            Wrong("has a price where nothing was bought", "nothing was bought", lambda b, a: (b["recall"] - a["recall"]) / (b["chair_i"] - a["chair_i"])),
        ),
    ),
)  # fmt: skip
ASSIGNMENT = Assignment("ps1", "Problem set 1: measuring", TASKS)
