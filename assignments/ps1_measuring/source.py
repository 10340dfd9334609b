# %% [markdown]
# # Problem set 1: measuring
#
# A model looks at a picture and writes a caption. How much of it is made up? You write the two measures that nearly every paper
# reports, CHAIR and POPE, the intervals that most papers leave out, and in the end a caption that fools the measure.
#
# - Eight functions, about two hours and twenty minutes. You need chapter 02 of the book and plain Python; NumPy helps in task 6.
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

WORDS = {  # a word or phrase of a caption -> the object that it names
    "dog": "dog", "dogs": "dog", "puppy": "dog", "cat": "cat", "cats": "cat", "kitten": "cat",
    "hot dog": "hot dog", "hot dogs": "hot dog", "person": "person", "man": "person", "woman": "person", "people": "person",
    "fork": "fork", "knife": "knife", "car": "car", "cars": "car", "bench": "bench", "bicycle": "bicycle", "bike": "bicycle",
    "traffic light": "traffic light", "cup": "cup", "cups": "cup", "teddy bear": "teddy bear", "bear": "bear",
}  # fmt: skip

# %% [markdown]
# For tasks 7 and 8, a small world: eight captions that a model might have written, and what is there. Look at where the false claims
# stand.

# %% student
CAPTIONS = {
    "hall": "This is a photograph. There is a dog on the left. There is a bench behind it. A cup is near. There is a bear.",
    "street": "There is a car on the road. A person walks by. There is a cat under it. There is a fork.",
    "kitchen": "A cup is on the table. There is a fork beside it. A knife lies there. There is a dog on the floor.",
    "park": "It is a sunny day. A person sits there. There is a bench. A bicycle leans on it. There is a cat.",
    "sofa": "A cat is asleep. There is a person beside it. There is a cup. A dog is near.",
    "garage": "The picture is a little dark. There is a bicycle. A car is behind it. There is a bench. A person stands there.",
    "picnic": "There is a knife. There is a fork. A dog is near. There is a car far away.",
    "porch": "A dog is at the door. There is a cat beside it. A person looks on. There is a bicycle.",
}
TRUTH = {
    "hall": {"dog", "bench", "person"}, "street": {"car", "person"}, "kitchen": {"cup", "fork", "person"},
    "park": {"person", "bench", "bicycle"}, "sofa": {"cat", "cup", "bench"}, "garage": {"bicycle", "car", "bench", "person"},
    "picnic": {"knife", "fork", "cup"}, "porch": {"dog", "cat", "person"},
}  # fmt: skip

# %% [markdown]
# The checks stand in the next cell. You need not read it.

# %% visible
EXACT = 1e-6


def check_named(named):
    """Objects of a caption: order, repeats, phrases, whole words, another table."""
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
    for text in ("Look, a dog!", "the dog's bowl", "a (dog) there", "a dog/man", "no cup\ndog"):
        assert "dog" in named(text, WORDS), (
            f"a word is a run of letters, whatever stands around it, not only full stops and commas: {text!r} names a dog"
        )
    assert named("a caterpillar in a carpet", WORDS) == [], "count whole words only: a caterpillar is no cat"
    found = named("a dog and another dog", WORDS)
    assert found == ["dog", "dog"], f"each mention counts: 'a dog and another dog' has two, and you give {found}"
    found = named("a hot dog", WORDS)
    assert found not in (["hot dog", "dog"], ["dog", "hot dog"]), (
        "a hot dog is no dog: the words of a phrase are used up with it"
    )
    assert found == ["hot dog"], f"the longest phrase wins: 'a hot dog' names ['hot dog'], not {found}"
    found = named("a cat eats a hot dog near a car", WORDS)
    assert found == ["cat", "hot dog", "car"], (
        f"look for words and phrases together, from left to right: 'a cat eats a hot dog near a car', and you give {found}"
    )
    for text in ("a hot-dog", "a hot, dog", "a hot\ndog"):
        found = named(text, WORDS)
        assert found == ["hot dog"], (
            f"a phrase is words in a row, with anything but letters between them: {text!r} names ['hot dog'], not {found}"
        )
    found = named("a lamp and a dog", {"lamp": "light"})
    assert found == ["light"], (
        f"use the table that is given: with words = {{'lamp': 'light'}} 'a lamp and a dog' names ['light'], not {found}"
    )
    words = {"stop": "stop", "stop sign": "sign", "sign": "poster", "light": "lamp"}
    found = named("a stop sign, a sign, a light", words)
    assert found == ["sign", "poster", "lamp"], (
        f"where two keys begin at the same word take the longer one, wherever it stands in the table: with the keys {list(words)} "
        f"'a stop sign, a sign, a light' names ['sign', 'poster', 'lamp'], not {found}"
    )
    words = {"hot dog": "hot dog", "hot dog stand owner": "person", "owner": "man"}
    found = named("the hot dog stand owner", words)
    assert found == ["person"], (
        f"a key may have any number of words: with the keys {list(words)} 'the hot dog stand owner' names ['person'], not {found}"
    )


def check_chair(chair):
    """CHAIR and recall of five captions, of one that names nothing, and of one without a true object."""
    mentions = {
        "a": ["dog", "cat", "cat", "fork", "dog"], "b": ["cup", "cat"], "c": [], "d": ["dog", "knife", "cup"], "e": ["person"],
    }  # fmt: skip
    truth = {
        "a": {"dog", "car"}, "b": {"cup", "cat", "bench", "person"}, "c": {"bench"}, "d": {"knife"}, "e": {"person"},
        "no caption": {"spoon", "knife"},
    }  # fmt: skip
    found = chair(mentions, truth)
    assert set(found) == {"chair_s", "chair_i", "recall"}, (
        f"the keys must be chair_s, chair_i and recall, not {sorted(found)}"
    )
    for wrong, why in (
        (2 / 4, "a caption that names nothing is a caption too: divide chair_s by all of them"),
        (3 / 5, "you count the captions without a false object; CHAIR counts those with one"),
        (2 / 6, "images without a caption do not count"),
        (4 / 5, "chair_s counts captions: one with two kinds of false objects counts once"),
        (5 / 5, "chair_s counts captions: one with several false mentions counts once"),
    ):
        assert not abs(found["chair_s"] - wrong) <= EXACT, why
    assert abs(found["chair_s"] - 2 / 5) < EXACT, (
        f"two of five captions have a false object: chair_s is 2/5, not {found['chair_s']}"
    )
    for wrong, why in (
        (4 / 9, "chair_i counts mentions, not kinds: in caption a dog and cat are said twice each"),
        (4 / 11, "an object that is false and said twice is two false mentions of chair_i"),
        (5 / 9, "an object that is true and said twice is two mentions of chair_i"),
        (6 / 11, "this is the share of true mentions; chair_i counts the false ones"),
        (19 / 60, "add the mentions of all captions first, and divide once; you average over captions"),
        (19 / 75, "add the mentions of all captions first, and divide once; you average over captions"),
        (4 / 12, "add the mentions of all captions first; you average over captions, and count kinds"),
        (4 / 15, "add the mentions of all captions first; you average over captions, and count kinds"),
        (1 / 11, "each caption is judged by its own image: a cat is true in b, and false in a"),
    ):
        assert not abs(found["chair_i"] - wrong) <= EXACT, why
    assert abs(found["chair_i"] - 5 / 11) < EXACT, (
        f"five of eleven mentions are false: chair_i is 5/11, not {found['chair_i']}"
    )
    for wrong, why in (
        (6 / 9, "for recall an object that is named twice is found once"),
        (5 / 11, "images without a caption do not count, in recall neither"),
        (5 / 8, "a caption that names nothing has missed all of its objects: they count in recall"),
        (3 / 5, "add up over all captions before you divide recall; you take the mean of the captions' recalls"),
        (3 / 4, "add up over all captions before you divide recall; you take the mean of the captions' recalls"),
        (5 / 7, "recall finds each image's objects in its own caption; you put the objects of all images together"),
        (6 / 11, "this divides by the mentions (precision); recall divides by the true objects"),
    ):
        assert not abs(found["recall"] - wrong) <= EXACT, why
    assert abs(found["recall"] - 5 / 9) < EXACT, (
        f"five of nine true objects are named: recall is 5/9, not {found['recall']}"
    )
    found = chair({"a": []}, {"a": {"dog"}})
    assert math.isnan(found["chair_i"]), "without a mention there is nothing to divide by: chair_i is nan then"
    assert found["chair_s"] == 0, (
        f"a caption without a mention has no false object: chair_s is 0, not {found['chair_s']}"
    )
    assert found["recall"] == 0, f"one object is there and none is named: recall is 0, not {found['recall']}"
    found = chair({"a": ["dog"]}, {"a": set(), "no caption": {"dog"}})
    assert math.isnan(found["recall"]), "where no true object is there to be found, recall is nan"


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
    found = list(adversarial(truth, "2", 5))
    assert found == ["car", "bench"], (
        f"where fewer than k objects are absent give them all: ['car', 'bench'], not {found}"
    )
    truth = {"1": {"fork", "knife"}, "2": {"fork", "knife", "cup"}, "3": {"fork", "bench"}}
    found = list(adversarial(truth, "1", 2))
    assert found != ["bench", "cup"], (
        "an image that has two of the image's objects counts twice: add up over all of them"
    )
    assert found == ["cup", "bench"], f"cup keeps company with fork and with knife: ['cup', 'bench'], not {found}"


def _read_as(pope, answer):
    """How ``pope`` reads an answer: "yes", "no", "neither", or "nothing at all" where it leaves the answer out."""
    asked = [answer, "yes", "no"]
    there, absent = pope(asked, [True, True, False]), pope(asked, [False, True, False])
    if abs(there["yes_ratio"] - 2 / 3) < EXACT:
        return "yes"
    if abs(there["accuracy"] - 1) < EXACT:
        return "nothing at all"
    return "no" if abs(absent["accuracy"] - 1) < EXACT else "neither"


def check_pope(pope):
    """POPE's five numbers on plain answers, how other answers are read, and answers that leave nothing to divide by."""
    found = pope(["yes", "yes", "yes", "no", "no", "no", "no"], [True, False, False, True, False, False, False])
    keys = {"accuracy", "precision", "recall", "f1", "yes_ratio"}
    assert set(found) == keys, f"the keys must be {', '.join(sorted(keys))}, not {sorted(found)}"
    assert abs(found["yes_ratio"] - 3 / 7) < EXACT, f"three of seven answers are yes, and you give {found['yes_ratio']}"
    assert abs(found["accuracy"] - 4 / 7) < EXACT, f"four of seven answers are right, and you give {found['accuracy']}"
    assert not abs(found["precision"] - 1 / 2) <= EXACT, (
        "precision divides by the answers that are yes, recall by the objects that are there"
    )
    assert abs(found["precision"] - 1 / 3) < EXACT, (
        f"one yes of three is right: precision is 1/3, not {found['precision']}"
    )
    assert abs(found["recall"] - 1 / 2) < EXACT, f"one of two objects was found: recall is 1/2, not {found['recall']}"
    assert not abs(found["f1"] - 5 / 12) <= EXACT, (
        "F1 is the harmonic mean of precision and recall, not the ordinary one"
    )
    assert abs(found["f1"] - 0.4) < EXACT, f"F1 of a precision of 1/3 and a recall of 1/2 is 0.4, not {found['f1']}"
    for answer, want, why in (
        ("Yes", "yes", "capital letters must not matter"),
        ("NO", "no", "capital letters must not matter"),
        ("yes.", "yes", "punctuation after a word does not belong to it"),
        ("no, there is none", "no", "punctuation after a word does not belong to it"),
        ("No, it is not; yes, I am sure", "no", "the first word decides"),
        ("I cannot see", "neither", "only an answer whose first word is yes or no is one"),
        ("", "neither", "an answer without a word is an answer"),
        ("Maybe yes", "neither", "the first word decides"),
        ("Yesterday there was", "neither", "the whole first word decides, not how it begins"),
        ("Not sure", "neither", "the whole first word decides, not how it begins"),
        ("Nothing", "neither", "the whole first word decides, not how it begins"),
        ("**Yes**", "yes", "what stands before the first letter does not matter"),
        ("1. No", "no", "what stands before the first letter does not matter"),
    ):
        read = _read_as(pope, answer)
        if want == "neither":
            assert read != "no" or answer.lower().startswith("no"), (
                f"an answer that is neither yes nor no is wrong, also where the object is absent; {answer!r} is taken for no"
            )
            assert read != "nothing at all", (
                f"an answer that is neither yes nor no is wrong; do not leave it out of the accuracy: {answer!r}"
            )
        assert read == want, (
            f"{why}: {answer!r} is read as {read}, and is {'neither' if want == 'neither' else 'a ' + want}"
        )
    found = pope(["Who knows", "yes", "no"], [True, True, False])
    assert abs(found["yes_ratio"] - 1 / 3) < EXACT, (
        f"yes_ratio divides by all answers, also by those that are neither: one of three, not {found['yes_ratio']}"
    )
    assert abs(found["recall"] - 1 / 2) < EXACT, (
        f"recall divides by all objects that are there, also where the answer is neither: 1/2, not {found['recall']}"
    )
    assert abs(found["precision"] - 1) < EXACT, f"the only yes is right: precision is 1, not {found['precision']}"
    for answers, present in ((["no", "no"], [True, False]), (["yes", "no"], [False, False])):
        found = pope(answers, present)
        assert found["precision"] == found["recall"] == found["f1"] == 0, (
            f"where there is nothing to divide by the value is 0; for {answers} and {present} you give {found}"
        )


def check_wilson(wilson):
    """Wilson's interval at 8 of 10, and at both ends."""
    low, high = wilson(8, 10)
    assert not high >= 2, "give shares between 0 and 1, not percentages"
    assert not low > high, "the ends are turned over: give the lower one first"
    for wrong, why in (
        (0.4839, "this is z = 2; take 1.96"),
        (0.5521, "this is k/n plus and minus 1.96 standard errors (Wald); solve the condition for p instead"),
        (0.5408, "this is the 90% interval: 1.96, not 1.645"),
        (0.5816, "z has to be squared with the rest: its square, 3.84, stands in the equation"),
        (0.5376, "a term is lost under the root; it is the one that keeps the interval open at 0 of 20"),
        (0.6785, "the factor before the square of p is not 1: you have not divided by it"),
        (0.4031, "half of the interval is divided by the factor before the square of p, like the middle"),
        (0.2636, "the solutions of a quadratic are divided by twice its first factor; the root is, too"),
    ):
        assert not abs(low - wrong) <= 1e-4, why
    assert not abs((low + high) / 2 - 0.8) <= 1e-3, (
        "the interval is not centred at k/n: its middle is drawn towards one half"
    )
    assert not abs(low - 0.4901625) <= 2e-6, "take z = 1.96 as it stands, not 1.959964, so that the numbers agree"
    for k, n, ends in ((8, 10, (0.490157, 0.943319)), (0, 20, (0.0, 0.161130)), (20, 20, (0.838870, 1.0))):
        for name, end, want in zip(("lower", "upper"), wilson(k, n), ends, strict=True):
            assert abs(end - want) < 2e-3, (
                f"the {name} end at {k} of {n} is {want:.6f}, not {end:.6f}{': nothing seen is not nothing there' if k == 0 else ''}"
            )
            assert abs(end - want) < 2e-6, (
                f"nearly: the {name} end at {k} of {n} is {want:.6f}, not {end:.6f}; a grid of values is too coarse, solve the equation"
            )


def check_ratio_interval(ratio_interval):
    """A ratio over four pictures, and its interval."""
    value, low, high = ratio_interval([0, 0, 3, 1], [4, 2, 3, 1])
    assert not abs(value - 0.5) <= EXACT, "this is the mean of the pictures' ratios; CHAIR_i is the ratio of the sums"
    assert not abs(low - 0.4) <= EXACT, "give the value first, then the lower end and the upper one"
    assert abs(value - 0.4) < EXACT, f"four of ten mentions are false: the value is 0.4, not {value}"
    assert not low > high, "the ends are turned over: value, lower end, upper end"
    assert not abs((low + high) / 2 - value) > EXACT, (
        "the interval goes as far down as up; do not cut it off, even below 0 as here"
    )
    half, squares, n, mean = (high - low) / 2, 6.8, 4, 2.5
    right = 1.96 * math.sqrt(squares / (n - 1) / n) / mean
    for wrong, why in (
        (1.96 * math.sqrt(0.4 * 0.6 / 10), "the mentions of one picture are not independent: the unit is the picture"),
        (
            1.96 * math.sqrt(0.4 * 0.6 / 4),
            "a picture is no coin that is false or true: look at what each one adds to r",
        ),
        (1.96 * math.sqrt(squares / n / n) / mean, "r comes from the same n pictures: divide the squares by n - 1"),
        (right * mean, "this is in mentions a picture; r is a share of the mentions"),
        (right / n, "a mean's error goes with the mean number of mentions, a sum's with their sum; you mix the two"),
        (
            right * math.sqrt(n) / n,
            "a mean's error goes with the mean number of mentions, a sum's with their sum; you mix the two",
        ),
        (right * math.sqrt(n), "this is the spread of one picture: the standard error is smaller by sqrt(n)"),
        (right / 1.96, "this is one standard error to each side; 95% takes 1.96 of them"),
        (
            1.96 * math.sqrt(6 / (n - 1) / n) / mean,
            "this is the spread of the false mentions alone; a picture that says more may be wrong more often",
        ),
        (
            1.96 * math.sqrt(4 / 12 / n),
            "this is the spread of the pictures' ratios; a picture with one mention would count as much as one with four",
        ),
        ((right / 1.96) ** 2 * 1.96, "this is a variance; take its root"),
        (1.96 * squares / (n - 1) / n / mean, "this is a variance; take its root"),
    ):
        assert not abs(half - wrong) <= 1e-4, why
    assert not abs(1.96 * half / right - 3.18) <= 5e-3, "take 1.96, not Student's quantile"
    assert not abs(1.96 * half / right - 1.959964) <= 1e-6, (
        "take 1.96 as it stands, not 1.959964, so that the numbers agree"
    )
    assert abs(half - right) < EXACT, f"half of the interval is {right:.6f} here, not {half:.6f}"


def _sentences(caption):
    return re.findall(r"[^.]+\.", caption)


def _keeps_the_rules(before, after):
    """The rules that a fooling caption has to keep."""
    assert isinstance(after, dict), f"give a dict from image to caption, not a {type(after).__name__}"
    assert set(before) == set(after), "give a caption for each image: a dict from image to text"
    for image, text in after.items():
        assert text.strip(), f"the caption of image {image!r} is empty; every caption must name an object"
        kept, old = [s.strip() for s in _sentences(text)], [s.strip() for s in _sentences(before[image])]
        assert " ".join(kept) == " ".join(text.split()), (
            f"{text!r} is not made of whole sentences, each with its full stop and one blank between two"
        )
        left = old
        for sentence in kept:
            assert sentence in old, f"{sentence!r} is no sentence of image {image!r}; keep whole sentences as they were"
            assert kept.count(sentence) <= old.count(sentence), (
                f"{sentence!r} stands {kept.count(sentence)} times in your caption of image {image!r}, and {old.count(sentence)} in the old one"
            )
            assert sentence in left, (
                f"{sentence!r} has changed places in image {image!r}; keep the order of the sentences"
            )
            left = left[left.index(sentence) + 1 :]


_OBJECTS = r"\b(dog|cat|cup|fork|knife|bench|bear|car|bicycle|person)\b"  # as they are written in CAPTIONS


def _chair_of(captions):
    """The number of captions with a false object, and the shares chair_s and chair_i, of captions of the small world."""
    said = {image: re.findall(_OBJECTS, text) for image, text in captions.items()}
    false = {image: [name for name in names if name not in TRUTH[image]] for image, names in said.items()}
    return {
        "chair_s": sum(map(bool, false.values())) / len(said),
        "chair_i": sum(map(len, false.values())) / sum(map(len, said.values())),
    }


def check_fooled(fooled):
    """The rules, and CHAIR of the small world before and after."""
    after = fooled(dict(CAPTIONS), WORDS)
    _keeps_the_rules(CAPTIONS, after)
    for image, text in after.items():
        assert re.search(_OBJECTS, text), f"the caption of image {image!r} names no object any more: {text!r}"
    assert after != CAPTIONS, "these are the captions as they were; leave sentences out"
    first, then = _chair_of(CAPTIONS), _chair_of(after)
    for key in first:
        change = f"on CAPTIONS {key} goes from {first[key]:.2f} to {then[key]:.2f}"
        assert then["chair_i"] < first["chair_i"], (
            f"{change}: you keep the claims of the end, and these are the false ones"
        )
        assert then[key] <= first[key] / 2, f"{change}, and half is asked for: more of the end has to go"


def check_price(price):
    """What a point of CHAIR_i has cost in recall."""
    before, after = {"chair_s": 0.8, "chair_i": 0.30, "recall": 0.8}, {"chair_s": 0.1, "chair_i": 0.10, "recall": 0.3}
    found = price(before, after)
    assert not abs(found - 0.4) <= EXACT, "turned over: divide the recall that was lost by the CHAIR_i that was gained"
    assert not abs(found + 2.5) <= EXACT, "the sign is turned: a loss of recall is a price, and positive"
    assert not abs(found - 5 / 7) <= EXACT, "divide by what chair_i has fallen, not chair_s"
    assert not abs(found - 15 / 16) <= EXACT, "take differences as they are, not as shares of what was there before"
    assert abs(found - 2.5) < EXACT, f"0.5 of recall for 0.2 of CHAIR_i is a price of 2.5, not {found}"
    assert math.isnan(price(after, before)), "where CHAIR_i did not fall nothing was bought: nan"
    assert math.isnan(price(before, {**after, "chair_i": 0.30})), (
        "where CHAIR_i is what it was nothing was bought either: nan"
    )
    found = price({"chair_s": 0.5, "chair_i": 0.5, "recall": 0.5}, {"chair_s": 0.4, "chair_i": 0.25, "recall": 0.625})
    assert abs(found + 0.5) < EXACT, f"where recall rises as well the price is below 0: -0.5 here, not {found}"
    found = price({"chair_s": 0.5, "chair_i": 0.5, "recall": 0.5}, {"chair_s": 0.5, "chair_i": 0.25, "recall": 0.25})
    assert abs(found - 1) < EXACT, (
        f"0.25 of recall for 0.25 of CHAIR_i is a price of 1, not {found}, whatever chair_s does"
    )


# %% [markdown]
# ## 1. What does a caption name? (25 minutes)
#
# `named(caption, words)` gives the objects that a caption names, in their order. `words` is a table like `WORDS`: its keys are words or
# phrases in small letters, its values objects. Every mention counts, so an object may come twice. Words are runs of the letters
# a to z; capital letters do not matter, nor does anything that stands between the words: "the dog's bowl" names a dog, and "hot-dog",
# "hot, dog" and "hot dog" are one phrase. Where several keys begin at the same word, the longest wins, and its words are used up: "a hot
# dog" names a hot dog and no dog. A caption that names nothing gives an empty list.


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
# ## 2. CHAIR (15 minutes)
#
# `chair(mentions, truth)` gives a dict with three numbers. `mentions`: image -> the list of objects that its caption names;
# `truth`: image -> the set of objects that are there.
#
# - `chair_s`: the share of captions with at least one false object;
# - `chair_i`: the share of all mentions that are false, over all captions together; `nan` if nothing is mentioned;
# - `recall`: the share of all true objects that are named at least once, over all captions together: an object that is there in two
#   images is two true objects; `nan` if no image has one.
#
# Only images with a caption count, that is those in `mentions`, also where a caption names nothing. There is at least one, and each of
# them is in `truth`, which may hold more.


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
# ## 3. Questions that mislead (15 minutes)
#
# POPE asks "Is there a knife in the image?". It is hard where the object is absent and would fit. `adversarial(truth, image, k)` gives
# the `k` objects that are **not** in the image and keep most company with those that are. The company that an absent object keeps: for
# each object of the image, count the images of `truth` that have both, and add these counts up. Most company first; ties in
# alphabetical order. All objects that occur in `truth` take part, also those with no company at all; if fewer than `k` are absent, give
# them all.


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
# It is the first run of letters, so "**Yes**" and "1. Yes" are yes. Anything else is neither, and so is an empty answer; it is not a yes,
# and it is wrong. Accuracy is the share of all answers that are right, precision the share of yes answers that are right, recall the
# share of present objects that were answered with yes, `f1` the harmonic mean of these two, `yes_ratio` the share of all answers that
# are yes. There is at least one answer. Where there is nothing to divide by, the value is 0.


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
# ## 6. The interval of CHAIR_i (20 minutes)
#
# Mentions of one picture are wrong together: who sees a kitchen invents a fork *and* a knife. So Wilson's interval of all mentions is too
# narrow, and the unit is the picture. `ratio_interval(false, mentions)` gets two numbers for each of $n$ pictures, its false mentions
# $f_i$ and all its mentions $m_i$ (counts here, no names), and gives `(value, low, high)`: $r = \sum f_i / \sum m_i$, then
# $r - 1.96\,s$ and $r + 1.96\,s$, not cut off. There are at least two pictures and at least one mention.
#
# The standard error $s$ is for you to derive. Let $\varrho$ be the ratio over all pictures in the world. Write $r - \varrho$ as one
# fraction with $\sum m_i$ below. Above stands a sum of $n$ independent numbers, one a picture, whose mean in the world is 0. Take
# $\sum m_i$ as given: what is the standard error of the sum, and of $r$? You do not know $\varrho$; put $r$ in its place, and since $r$
# comes from the same $n$ pictures, divide the squares by $n - 1$ and not by $n$.


# %% task
def ratio_interval(false, mentions):
    """(value, low, high) of ``sum(false) / sum(mentions)`` with pictures as units; two numbers a picture."""
    # BEGIN SOLUTION
    false, mentions = np.array(false, dtype=float), np.array(mentions, dtype=float)
    n, value = len(mentions), false.sum() / mentions.sum()
    deviation = false - value * mentions  # r - rho is the sum of false - rho * mentions, over sum(mentions)
    error = math.sqrt((deviation**2).sum() / (n - 1) / n) / mentions.mean()
    return value, value - 1.96 * error, value + 1.96 * error
    # END SOLUTION


# %% [markdown]
# ## 7. Fool the measure (20 minutes)
#
# A model's captions go on and on, and the later a claim stands the more often it is false. Write `fooled(captions, words)`: it gets
# image -> caption and the table of words, **sees no picture**, and gives image -> a caption that CHAIR likes better. Rules: a caption
# is made of whole sentences of the old one, each at most as often as there and in their order; each ends with its full stop, one blank
# between two; and each caption still names an object (each that you get names one; some begin with a sentence that names nothing). You
# may call your own `named`.
#
# Taken over all captions together, as your `chair` does, both `chair_s` and `chair_i` must fall to half of what they were or less: on
# `CAPTIONS` with their `TRUTH`, and on captions drawn for you, whose truth nobody tells you.


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
# `chair_i` did not fall. (If recall has risen as well, the price is below 0: a method that sees better.)


# %% task
def price(before, after):
    """Recall lost / CHAIR_i gained, from two dicts as ``chair`` gives them."""
    # BEGIN SOLUTION
    gained = before["chair_i"] - after["chair_i"]
    return (before["recall"] - after["recall"]) / gained if gained > 0 else math.nan
    # END SOLUTION


# %% [markdown]
# Now look at the price of your own `fooled`. Set `LOOK` to `True` and run the cell. What would one sentence more a caption have cost, and
# what would it have brought? Then look for this number in the next paper that reports CHAIR alone. (No marks are given here.)

# %% student
LOOK = False


def look():
    first, then = (
        chair({image: named(text, WORDS) for image, text in texts.items()}, TRUTH)
        for texts in (CAPTIONS, fooled(CAPTIONS, WORDS))
    )
    for name, measured in (("before", first), ("after", then)):
        print(name, {key: round(value, 3) for key, value in measured.items()})
    print(f"price: {price(first, then):.2f} of recall for each unit of chair_i")


if LOOK:
    look()

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
        key = key.replace(" ", str(draw.choice([" ", "-", ",  ", "\n"])))
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
        image, k = f"i{draw.integers(25)}", int(draw.choice([1, 2, 3, 4, 5, 99]))
        found, want = list(answer(truth, image, k)), adversarial(truth, image, k)
        assert not set(found) & truth[image], "an object of the image itself is among the answers"
        assert len(found) == len(want), f"{len(want)} objects have to come (k = {k}), not {len(found)}"
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
        "**Yes**",
        "2. no",
        "Who knows",
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
    there = sum(len(truth[image]) for image in mentions)
    with np.errstate(all="ignore"):
        return {
            "chair_s": np.mean(false > 0),
            "chair_i": np.float64(false.sum()) / total,
            "recall": np.float64(hit) / there,
        }


def chair_counter(mentions, truth):
    counts = Counter()
    for image, said in mentions.items():
        counts.update(all=1, mentions=len(said), true=len(truth[image]), hit=sum(o in said for o in truth[image]))
        counts.update(false=sum(o not in truth[image] for o in said), bad=any(o not in truth[image] for o in said))
    chair_i, recall = (
        counts[over] / counts[under] if counts[under] else float("nan")
        for over, under in (("false", "mentions"), ("hit", "true"))
    )
    return {"recall": recall, "chair_i": chair_i, "chair_s": counts["bad"] / counts["all"]}


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


def _by_pattern(keys, words, text):
    pattern = r"\b(" + "|".join(map(re.escape, keys)) + r")\b"
    return [words[" ".join(found.split())] for found in re.findall(pattern, text)]


def _spaced(caption):
    return " ".join(_tokens(caption))


def _phrases_first(caption, words):
    rest, found = _spaced(caption), []
    for wanted in (True, False):
        keys = [key for key in sorted(words, key=len, reverse=True) if (" " in key) is wanted]
        found += _by_pattern(keys, words, rest) if keys else []
        for key in keys:
            rest = re.sub(rf"\b{key}\b", "", rest)
    return found


def _at_most_two_words(caption, words):
    return named(caption, {key: name for key, name in words.items() if len(key.split()) <= 2})


def _stripped(caption, words):
    return named(
        " ".join("x" if re.search("[^a-z]", w) else w for w in (t.strip(".,") for t in caption.lower().split())), words
    )


def _changed(function, **values):
    """The function's dict with some values replaced; a value may be a function of the arguments."""
    return lambda *args: {**function(*args), **{key: value(*args) for key, value in values.items()}}


def _false(mentions, truth):
    return {image: [name for name in said if name not in truth[image]] for image, said in mentions.items()}


def _mean_ratio(mentions, truth):
    false = _false(mentions, truth)
    ratios = [len(false[image]) / len(said) for image, said in mentions.items() if said]
    return sum(ratios) / len(ratios) if ratios else math.nan


def _kinds(mentions):
    return {image: set(said) for image, said in mentions.items()}


def _mean_ratio_of_kinds(mentions, truth):
    return _mean_ratio({image: list(kinds) for image, kinds in _kinds(mentions).items()}, truth)


def _pooled_recall(mentions, truth):
    there, said = set().union(*(truth[image] for image in mentions)), set().union(*mentions.values())
    return len(there & said) / len(there) if there else math.nan


def _mean_recall(mentions, truth):
    each = [len(truth[image] & kinds) / len(truth[image]) for image, kinds in _kinds(mentions).items() if truth[image]]
    return sum(each) / len(each) if each else math.nan


def _pope_with(read):
    """POPE where ``read`` turns an answer into yes, no or something else."""
    return lambda answers, present: pope([read(answer) for answer in answers], present)


def _only_read(answers, present):
    kept = [(a, p) for a, p in zip(answers, present, strict=True) if a.lower().startswith(("yes", "no"))]
    ratio = sum(a.lower().startswith("yes") for a in answers) / len(answers)
    return {**pope([a for a, _ in kept], [p for _, p in kept]), "yes_ratio": ratio}


def _first_yes_no(answers):
    return [(_tokens(answer) or [""])[0] for answer in answers]


def _decided_recall(answers, present):
    hit = [
        word == "yes"
        for word, there in zip(_first_yes_no(answers), present, strict=True)
        if there and word in ("yes", "no")
    ]
    return sum(hit) / len(hit) if hit else 0.0


def _decided_ratio(answers, present):
    decided = [word for word in _first_yes_no(answers) if word in ("yes", "no")]
    return decided.count("yes") / len(decided)


def _split_first(answers, present):
    return pope([answer.split()[0] for answer in answers], present)


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


def _wilson_slip(
    middle=lambda q, c: (q + c / 2) / (1 + c),
    half=lambda q, c: math.sqrt(c * q * (1 - q) + c * c / 4) / (1 + c),
    z2=1.96**2,
):
    def interval(k, n):
        q, c = k / n, z2 / n
        return middle(q, c) - half(q, c), middle(q, c) + half(q, c)

    return interval


def _wilson_grid(k, n):
    grid = np.linspace(0, 1, 1001)
    inside = grid[np.abs(k / n - grid) <= 1.96 * np.sqrt(grid * (1 - grid) / n)]
    return inside.min(), inside.max()


def _only_below(k, n):
    return wilson(k, n) if k < n else (1.0, 1.0)


def _wilson_width(k, n):
    low, high = wilson(k, n)
    return k / n - (high - low) / 2, k / n + (high - low) / 2


def _in_order(order):
    """The value and the ends in another order."""
    return lambda false, mentions: [ratio_interval(false, mentions)[at] for at in order]


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


def _price_by(over, under):
    """A price from two changes; nan as the right one."""
    return lambda b, a: over(b, a) / under(b, a) if b["chair_i"] > a["chair_i"] and under(b, a) else math.nan


def _recall_lost(b, a):
    return b["recall"] - a["recall"]


def _clipped(false, named_each):
    value, low, high = ratio_interval(false, named_each)
    return value, max(0.0, low), high


def _naming(text, words):
    return [s.strip() for s in _sentences(text) if named(s, words)]


def _each_naming(make):
    """``make`` of a caption's sentences that name something."""
    return lambda captions, words: {image: make(_naming(text, words)) for image, text in captions.items()}


def _each_caption(make):
    return lambda captions, words: {image: make(text) for image, text in captions.items()}


TASKS = (
    Task(
        "named", "what a caption names", 25, ((check_named, 4),), ((hidden_named, 4), (hidden_named_phrases, 2)),
        (named_by_pattern, named_by_padding),
        (
            Wrong("looks for letters inside of words", "whole words", lambda c, w: [w[k] for k in w if k in c.lower()]),
            Wrong("does not put letters small", "capital letters", lambda c, w: [w[k] for k in re.findall("[A-Za-z]+", c) if k in w]),
            Wrong("splits at blanks, so that punctuation sticks to words", "punctuation hides", lambda c, w: [w[t] for t in c.lower().split() if t in w]),
            Wrong("takes full stops and commas off and nothing else", "not only full stops and commas", _stripped),
            Wrong("counts an object once", "each mention counts", lambda c, w: list(dict.fromkeys(named(c, w)))),
            Wrong("knows single words only", "the longest phrase wins", lambda c, w: [w[t] for t in _tokens(c) if t in w]),
            Wrong("gives the caption's word", "not the word of the caption", lambda c, w: [t for t in _tokens(c) if t in w]),
            Wrong("sorts the objects", "in the order of the caption", lambda c, w: sorted(named(c, w))),
            Wrong("finds a phrase and its parts", "a hot dog is no dog", lambda c, w: [w[k] for i in range(len(_tokens(c))) for k in w if _tokens(c)[i : i + len(k.split())] == k.split()]),
            Wrong("collects the phrases before the words", "together, from left to right", _phrases_first),
            Wrong("wants one blank inside of a phrase", "anything but letters between them", lambda c, w: _by_pattern(sorted(w, key=len, reverse=True), w, c.lower())),
            Wrong("uses WORDS in place of the table that is given", "use the table that is given", lambda c, w: named(c, WORDS)),
            Wrong("takes the keys in the order of the table", "wherever it stands in the table", lambda c, w: _by_pattern(sorted(w, key=lambda k: k not in ("hot dog", "hot dogs")), w, _spaced(c))),
            Wrong("knows phrases of two words only", "any number of words", _at_most_two_words),
        ),
    ),
    Task(
        "chair", "CHAIR", 15, ((check_chair, 5),), ((hidden_chair, 3), (hidden_chair_recall, 2)), (chair_numpy, chair_counter),
        (
            Wrong("leaves captions that name nothing out of chair_s", "divide chair_s by all", _changed(chair, chair_s=lambda m, t: sum(map(bool, _false(m, t).values())) / max(1, sum(map(bool, m.values()))))),
            Wrong("counts false kinds in chair_s", "two kinds of false objects", _changed(chair, chair_s=lambda m, t: sum(len(kinds - t[i]) for i, kinds in _kinds(m).items()) / len(m))),
            Wrong("counts false mentions in chair_s", "several false mentions", _changed(chair, chair_s=lambda m, t: sum(map(len, _false(m, t).values())) / len(m))),
            Wrong("counts kinds of objects instead of mentions", "chair_i counts mentions", _changed(chair, chair_i=lambda m, t: chair({i: list(set(s)) for i, s in m.items()}, t)["chair_i"])),
            Wrong("counts false kinds over all mentions", "two false mentions", _changed(chair, chair_i=lambda m, t: sum(len(kinds - t[i]) for i, kinds in _kinds(m).items()) / max(1, sum(map(len, m.values()))))),
            Wrong("averages chair_i over captions", "you average over captions", _changed(chair, chair_i=_mean_ratio)),
            Wrong("averages chair_i over captions", "you average over captions", _changed(chair, chair_i=_mean_ratio_of_kinds)),
            Wrong("judges all captions by all images' objects", "judged by its own image", _changed(chair, chair_i=lambda m, t: chair(m, dict.fromkeys(m, set().union(*t.values())))["chair_i"])),
            Wrong("counts a repeated object twice in recall", "is found once", _changed(chair, recall=lambda m, t: sum(o in t[i] for i, s in m.items() for o in s) / (sum(len(t[i]) for i in m) or math.nan))),
            Wrong("counts images without a caption in recall", "in recall neither", _changed(chair, recall=lambda m, t: sum(len(set(s) & t[i]) for i, s in m.items()) / sum(map(len, t.values())))),
            Wrong("leaves captions that name nothing out of recall", "has missed all of its objects", _changed(chair, recall=lambda m, t: chair({i: s for i, s in m.items() if s} or m, t)["recall"])),
            Wrong("averages recall over captions", "the mean of the captions' recalls", _changed(chair, recall=_mean_recall)),
            Wrong("puts the objects of all images together in recall", "the objects of all images together", _changed(chair, recall=_pooled_recall)),
            Wrong("gives precision as recall", "(precision)", _changed(chair, recall=lambda m, t: 1 - chair(m, t)["chair_i"])),
            Wrong("gives the share of good captions", "you count the captions without", _changed(chair, chair_s=lambda m, t: 1 - chair(m, t)["chair_s"])),
            Wrong("divides by zero where nothing is named", "ZeroDivisionError", lambda m, t: {**chair(m, t), "chair_i": sum(map(len, _false(m, t).values())) / sum(map(len, m.values()))}),
            Wrong("gives recall 0 where there is nothing to find", "recall is nan", _changed(chair, recall=lambda m, t: chair(m, t)["recall"] if any(t[i] for i in m) else 0.0)),
            Wrong("counts images without a caption in chair_s", "images without a caption do not count", _changed(chair, chair_s=lambda m, t: sum(map(bool, _false(m, t).values())) / len(t))),
            Wrong("goes over all images, also those without a caption", "KeyError: 'no caption'", lambda m, t: {**chair(m, t), "recall": sum(len(t[i] & set(m[i])) for i in t)}),
        ),
    ),
    Task(
        "adversarial", "questions that mislead", 15, ((check_adversarial, 4),), ((hidden_adversarial, 6),),
        (adversarial_matrix, adversarial_loop),
        (
            Wrong("takes the most frequent objects (popular)", "(popular)", _popular),
            Wrong("asks about what is there", "the image has a fork", _with_itself),
            Wrong("leaves out objects without company", "even where some were never seen", _seen_together),
            Wrong("counts an image once however many of the objects it has", "counts twice", _once_an_image),
            Wrong("turns the order of ties", "in alphabetical order, not", _ties_turned),
            Wrong("takes the least company first", "knife stands beside fork", lambda t, i, k: [n for n in adversarial(t, i, 99)[::-1] if n != "car"][:k]),
            Wrong("needs k absent objects", "IndexError", lambda t, i, k: [adversarial(t, i, 99)[at] for at in range(k)]),
            Wrong("fills up with objects that are there", "fewer than k objects are absent", lambda t, i, k: [*adversarial(t, i, k), *sorted(t[i])][:k]),
        ),
    ),
    Task(
        "pope", "POPE", 20, ((check_pope, 5),), ((hidden_pope, 3), (hidden_pope_empty, 2)), (pope_numpy, pope_counts),
        (
            Wrong("minds capital letters", "capital letters", _pope_with(lambda a: "yes" if a.startswith("yes") else "no" if a.startswith("no") else "?")),
            Wrong("splits at blanks, so that punctuation sticks to the word", "punctuation after a word", _pope_with(lambda a: (a.lower().split() or [""])[0].replace(",", "x").replace(".", "x"))),
            Wrong("needs a word in each answer", "IndexError", _split_first),
            Wrong("looks for yes anywhere", "the first word decides", _pope_with(lambda a: "yes" if "yes" in a.lower() else a)),
            Wrong("looks how the answer begins, not for its first word", "not how it begins", _pope_with(lambda a: "yes" if a.lower().startswith("yes") else "no" if a.lower().startswith("no") else "?")),
            Wrong("wants the word at the very beginning", "before the first letter", _pope_with(lambda a: a if re.match(r"[A-Za-z]", a) else "?")),
            Wrong("takes what is not no for yes", "only an answer whose first word", _pope_with(lambda a: "no" if a.lower().startswith("no") else "yes")),
            Wrong("leaves unclear answers out", "do not leave it out", _only_read),
            Wrong("takes unclear answers for no", "also where the object is absent", _pope_with(lambda a: "yes" if re.match(r"\W*yes\b", a.lower()) else "no")),
            Wrong("leaves unclear answers out of yes_ratio", "yes_ratio divides by all answers", _changed(pope, yes_ratio=_decided_ratio)),
            Wrong("leaves unclear answers out of recall", "recall divides by all objects", _changed(pope, recall=_decided_recall)),
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
            Wrong("takes more digits of z", "not 1.959964", _wilson_at(1.959963985)),
            Wrong("does not square z", "z has to be squared", _wilson_slip(z2=1.96)),
            Wrong("loses the term that remains at 0", "a term is lost under the root", _wilson_slip(half=lambda q, c: math.sqrt(c * q * (1 - q)) / (1 + c))),
            Wrong("does not divide by the quadratic's first factor", "you have not divided by it", _wilson_slip(lambda q, c: q + c / 2, lambda q, c: math.sqrt(c * q * (1 - q) + c * c / 4))),
            Wrong("divides the middle only", "half of the interval is divided", _wilson_slip(half=lambda q, c: math.sqrt(c * q * (1 - q) + c * c / 4))),
            Wrong("forgets the 2 below the root of the discriminant", "by twice its first factor", _wilson_slip(half=lambda q, c: 2 * math.sqrt(c * q * (1 - q) + c * c / 4) / (1 + c))),
            Wrong("turns the ends over", "the lower one first", lambda k, n: wilson(k, n)[::-1]),
            Wrong("tries the shares of a grid", "a grid of values is too coarse", _wilson_grid),
            Wrong("gives no interval where all are false", "the lower end at 20 of 20", _only_below),
            Wrong("gives percentages", "not percentages", lambda k, n: [100 * end for end in wilson(k, n)]),
        ),
    ),
    Task(
        "ratio_interval", "the interval of CHAIR_i", 20, ((check_ratio_interval, 4),), ((hidden_ratio_interval, 6),),
        (ratio_plain, ratio_std),
        (
            Wrong("takes the mean of the pictures' ratios", "mean of the pictures' ratios", _ratio_of_means),
            Wrong("treats mentions as independent", "the unit is the picture", _ratio_with(lambda f, m, d, r, n: 1.96 * math.sqrt(r * (1 - r) / m.sum()))),
            Wrong("treats pictures as coins", "a picture is no coin", _ratio_with(lambda f, m, d, r, n: 1.96 * math.sqrt(r * (1 - r) / n))),
            Wrong("divides by n in place of n - 1", "divide the squares by n - 1", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std() / math.sqrt(n) / m.mean())),
            Wrong("forgets the mean number of mentions", "in mentions a picture", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std(ddof=1) / math.sqrt(n))),
            Wrong("mixes the errors of a sum and of a mean", "you mix the two", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std(ddof=1) / math.sqrt(n) / m.sum())),
            Wrong("mixes the errors of a sum and of a mean", "you mix the two", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std(ddof=1) / m.sum())),
            Wrong("takes the spread for the standard error", "spread of one picture", _ratio_with(lambda f, m, d, r, n: 1.96 * d.std(ddof=1) / m.mean())),
            Wrong("takes one standard error", "one standard error", _ratio_with(lambda f, m, d, r, n: d.std(ddof=1) / math.sqrt(n) / m.mean())),
            Wrong("takes the spread of the false mentions", "spread of the false mentions alone", _ratio_with(lambda f, m, d, r, n: 1.96 * f.std(ddof=1) / math.sqrt(n) / m.mean())),
            Wrong("takes the spread of the pictures' ratios", "spread of the pictures' ratios", _ratio_with(lambda f, m, d, r, n: 1.96 * (f / m).std(ddof=1) / math.sqrt(n))),
            Wrong("takes Student's quantile", "not Student's quantile", _ratio_with(lambda f, m, d, r, n: (3.182446 if n == 4 else 2.2) * d.std(ddof=1) / math.sqrt(n) / m.mean())),
            Wrong("takes more digits of z", "not 1.959964", _ratio_with(lambda f, m, d, r, n: 1.959963985 * d.std(ddof=1) / math.sqrt(n) / m.mean())),
            Wrong("forgets the root", "this is a variance", _ratio_with(lambda f, m, d, r, n: 1.96 * d.var(ddof=1) / n / m.mean())),
            Wrong("forgets the root", "this is a variance", _ratio_with(lambda f, m, d, r, n: 1.96 * d.var(ddof=1) / n / m.mean() ** 2)),
            Wrong("turns the ends over", "the ends are turned over", _in_order([0, 2, 1])),
            Wrong("puts the value between the ends", "give the value first", _in_order([1, 0, 2])),
            Wrong("cuts the interval off at 0", "do not cut it off", _clipped),
        ),
    ),
    Task(
        "fooled", "fool the measure", 20, ((check_fooled, 4),), ((hidden_fooled_rules, 2), (hidden_fooled, 6)), (fooled_two, fooled_only),
        (
            Wrong("gives empty captions", "is empty", _each_caption(lambda text: "")),
            Wrong("keeps the first sentence, whatever it says", "names no object any more", _each_caption(lambda text: _sentences(text)[0].strip())),
            Wrong("cuts sentences apart", "not made of whole sentences", _each_caption(lambda text: " ".join(text.split()[:5]))),
            Wrong("cuts sentences apart", "not made of whole sentences", _each_naming(lambda kept: kept[0][:-1])),
            Wrong("writes sentences of its own", "is no sentence of image", _each_caption(lambda text: "There is something.")),
            Wrong("says a safe sentence again", "stands 2 times", _each_naming(lambda kept: f"{kept[0]} {kept[0]}")),
            Wrong("changes the order of the sentences", "has changed places", _each_naming(lambda kept: f"{kept[1]} {kept[0]}")),
            Wrong("leaves the captions as they are", "the captions as they were", _each_caption(lambda text: text)),
            Wrong("leaves out only the last sentence", "more of the end has to go", _each_caption(lambda text: " ".join(s.strip() for s in _sentences(text)[:-1]))),
            Wrong("keeps the end in place of the beginning", "you keep the claims of the end", _each_caption(lambda text: _sentences(text)[-1].strip())),
            Wrong("keeps the end in place of the beginning", "you keep the claims of the end", _each_naming(lambda kept: kept[len(kept) // 2])),
            Wrong("leaves captions out", "give a caption for each image", lambda c, w: dict(list(fooled(c, w).items())[1:])),
            Wrong("gives a list", "give a dict from image to caption", lambda c, w: list(fooled(c, w).values())),
        ),
    ),
    Task(
        "price", "what it cost", 10, ((check_price, 2),), ((hidden_price, 2),), (price_numpy, price_signs),
        (
            Wrong("turns the fraction over", "turned over", lambda b, a: (b["chair_i"] - a["chair_i"]) / (b["recall"] - a["recall"])),
            Wrong("turns the sign", "the sign is turned", lambda b, a: -price(b, a)),
            Wrong("gives the recall that was lost", "a price of 2.5", lambda b, a: b["recall"] - a["recall"]),
            Wrong("divides by what chair_s gained", "not chair_s", _price_by(_recall_lost, lambda b, a: b["chair_s"] - a["chair_s"])),
            Wrong("takes shares of what was there before", "not as shares", _price_by(lambda b, a: 1 - a["recall"] / b["recall"], lambda b, a: 1 - a["chair_i"] / b["chair_i"])),
            Wrong("has a price where nothing was bought", "did not fall nothing was bought", lambda b, a: (b["recall"] - a["recall"]) / (b["chair_i"] - a["chair_i"])),
            Wrong("divides by zero where chair_i stayed", "ZeroDivisionError", lambda b, a: math.nan if b["chair_i"] < a["chair_i"] else (b["recall"] - a["recall"]) / (b["chair_i"] - a["chair_i"])),
            Wrong("has a price of 0 where nothing was bought", "nothing was bought either", lambda b, a: 0.0 if b["chair_i"] == a["chair_i"] else price(b, a)),
            Wrong("leaves out the sign of a loss", "the price is below 0", lambda b, a: abs(price(b, a))),
        ),
    ),
)  # fmt: skip
ASSIGNMENT = Assignment("ps1", "Problem set 1: measuring", TASKS)
