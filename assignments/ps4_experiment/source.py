# %% [markdown]
# # Problem set 4: an experiment of one's own
#
# You state what you expect, run it once, and say what came out. The yardstick is the dumbest cure there is: the untuned model with a
# constant added to the logit of its end token. It ends its captions earlier, names less, and so hallucinates less. Is your method more?
#
# - Six functions, about three hours, four with a method of your own, and a run of some minutes; then a page of text, 35 minutes. You
#   need chapters 09 and 10 of the book and NumPy. Write the functions yourself; importing them from `povid_lib` does not count.
# - The first cell needs the course's library, `povid_lib`. In its folder, `pip install -e .` installs it; on Colab or elsewhere, use the
#   `pip install` line that your teacher gives you.
# - Below each function a check says what is still wrong. It is part of the mark. The rest is given for the same properties on other
#   data, drawn for you alone, and for your run: whether its numbers follow from its record, and whether you say what they say.
# - A result that shows nothing gets the same marks as one that shows much. A declaration that was changed after the run gets none.
# - Hand in this notebook, or a `.py` file with the functions, where your teacher has said. They are found by their names: do not
#   rename them. Other cells and helper functions of your own are welcome. No function may print for its result; each ends in a `return`.

# %% student
import math
import re

import numpy as np

from povid_lib.course import declarations, experiment
from povid_lib.course.exercises import attempt

VERDICTS = (
    "not shown",
    "too small to matter",
    "off the curve",
    "more than an earlier end",
    "worse than an earlier end",
    "no more than an earlier end",
)

# %% [markdown]
# The checks stand in the next cell. You need not read it.

# %% visible
EXACT = 1e-6


def _three(found):
    """Value, lower and upper end, or which of them is not a number."""
    for name, number in zip(("value", "lower end", "upper end"), found, strict=True):
        assert number is None or not np.isnan(number), f"the {name} is nan"
    return found


def check_declaration(declaration):
    """Complete, possible, and large enough for what it wants to see."""
    found = declaration()
    said = declarations.faults(found)
    assert not said, "; ".join(said[:3])


def check_paired(paired):
    """Four pictures whose captions had a false object, and less often so afterwards; and a ratio."""
    before, after = ([1, 1, 0, 1], [1, 1, 1, 1]), ([0, 1, 0, 0], [1, 1, 1, 1])
    value, low, high = _three(paired(before, after))
    assert not abs(value - 0.5) <= EXACT, "the difference is after less before: a fall is negative"
    assert abs(value + 0.5) < EXACT, f"the share falls from 3/4 to 1/4: the difference is -0.5, not {value}"
    assert abs((low + high) / 2 - value) < EXACT, "the interval goes as far down as up; do not cut it off"
    half = (high - low) / 2
    for wrong, why in (
        (0.692965, "the pictures are the same: take the differences of each picture first, then their spread"),
        (0.49, "the ratios come from the same n pictures: divide the squares by n - 1"),
        (1.131607, "this is the spread of one picture: the standard error is smaller by sqrt(n)"),
        (0.288675, "this is one standard error to each side; 95% takes 1.96 of them"),
        (0.0, "the interval has no width: four pictures leave much open"),
    ):
        assert not abs(half - wrong) <= 1e-4, why
    assert abs(half - 0.565803) < 1e-4, f"half of the interval is 0.5658 here, not {half:.4f}"
    value, low, high = paired(([2, 0, 1], [4, 2, 2]), ([1, 0, 0], [2, 2, 1]))
    assert not abs(value + 1 / 6) <= EXACT, (
        "this is the difference of means of the pictures' ratios; take the ratio of the sums"
    )
    assert abs(value + 7 / 40) < EXACT, f"from 3/8 to 1/5 the difference is -0.175, not {value}"
    assert not abs((high - low) / 2 - 0.463130) <= 1e-4, "divide each picture's part by the mean of the denominators"
    assert abs((high - low) / 2 - 0.222249) < 1e-4, f"half of the interval is 0.2222 here, not {(high - low) / 2:.4f}"
    found = paired(([1, 0, 2, 1], [2, 0, 3, 2]), ([0, 1, 1, 0], [0, 2, 2, 1]))
    assert not abs(found[0] + 4 / 15) <= 1e-3, (
        "a picture whose denominator is 0 stays in: the sums are divided, and not the picture's own numbers"
    )
    for name, value, want in zip(
        ("difference", "lower end", "upper end"),
        found,
        (-6 / 35, -0.3403125947502975, -0.0025445481068452624),
        strict=True,
    ):
        assert not 1e-9 < abs(value - want) <= 1e-3, "do not round: other numbers are made of these"
        assert abs(value - want) < 1e-9, f"with denominators of 0 the {name} is {want:.4f}, not {value:.4f}"


def check_height(height):
    """A curve of three points in no order."""
    curve = [(0.6, 0.9), (0.1, 0.3), (0.3, 0.7)]
    found = height(curve, 0.2)
    assert found is not None, "0.2 lies between 0.1 and 0.3, where the curve is known"
    for wrong, why in (
        (0.3, "draw straight lines between the points; do not take the nearest"),
        (0.7, "draw straight lines between the points; do not take the nearest"),
        (0.42, "the points come in any order: sort them by CHAIR_s first"),
        (0.478947, "go from point to point; this is one straight line through all of them"),
    ):
        assert not abs(found - wrong) <= EXACT, why
    assert abs(found - 0.5) < EXACT, f"halfway from (0.1, 0.3) to (0.3, 0.7) the height is 0.5, not {found}"
    assert abs(height(curve, 0.45) - 0.8) < EXACT, "at 0.45 the height is 0.8"
    assert abs(height(curve, 0.3) - 0.7) < EXACT, "at a point the height is the point's"
    found = height([(0.2, 0.4), (0.6, 0.8), (0.2, 0.6)], 0.3)
    assert abs(found - 0.575) < EXACT, (
        f"two points at 0.2 count as one, at the mean of their recall: at 0.3 the height is 0.575, not {found}"
    )
    for outside in (0.05, 0.7):
        found = height(curve, outside)
        assert found not in (0.3, 0.9), "outside of the curve nothing is known: None, not its end (np.interp does that)"
        assert found is None, f"outside of the curve nothing is known: None at {outside}, not {found}"
    for end, want in ((0.1, 0.3), (0.6, 0.9)):
        found = _there_is(height, curve, end, f"both ends belong to the curve: at {end} the height is {want}, not None")
        assert abs(found - want) < EXACT, f"at the end {end} the height is {want}, not {found}"
    found = height([(0.2, 0.3), (0.2, 0.3), (0.6, 0.9), (0.2, 0.9)], 0.2)
    assert abs(found - 0.5) < EXACT, f"three points at 0.2 have the mean of all three: 0.5, not {found}"
    rounds = "0.448 and 0.452 are two points: do not round CHAIR_s"
    found = _there_is(height, [(0.452, 0.4), (0.448, 0.2), (0.6, 0.8)], 0.449, rounds)
    assert abs(found - 0.25) < EXACT, rounds
    found = _there_is(height, [(0.0, 0.0), (0.5, 0.6)], 0.0, "a recall of 0 is a height as well, and not None")
    assert abs(found) < EXACT, f"where the recall is 0 the height is 0, not {found}"
    given = [(0.6, 0.9), (0.1, 0.3), (0.3, 0.7)]
    height(given, 0.2)
    assert given == [(0.6, 0.9), (0.1, 0.3), (0.3, 0.7)], (
        "it changes the list that it was given; sort a copy (`sorted` makes one)"
    )
    try:
        found = height(tuple(given), 0.2)
    except Exception as fault:
        raise AssertionError(f"the curve may be a tuple too, and with one it raises {type(fault).__name__}") from None
    assert abs(found - 0.5) < EXACT, f"with the curve as a tuple the height is {found}, not 0.5"


def _there_is(height, curve, at, why):
    """The height, and a second call: if the first gave None, its reason is told, and not that a `return` may be missing."""
    found = height(curve, at)
    height([(0.0, 0.5), (1.0, 0.5)], 0.5)
    assert found is not None, why
    return found


def _few():
    """Eight pictures: false captions, objects named and objects there, of a method and of three constants."""
    there = np.array([3, 2, 4, 1, 2, 3, 2, 3])
    method = (np.array([1, 0, 0, 1, 0, 1, 0, 0]), np.array([3, 2, 3, 1, 2, 3, 1, 2]), there)
    curve = [
        (np.array([1, 1, 1, 1, 0, 1, 0, 1]), np.array([3, 2, 4, 1, 2, 3, 2, 3]), there),
        (np.array([1, 0, 1, 1, 0, 1, 0, 0]), np.array([3, 2, 3, 1, 1, 2, 2, 2]), there),
        (np.array([0, 1, 0, 0, 0, 1, 0, 0]), np.array([2, 1, 1, 0, 1, 1, 1, 2]), there),
    ]
    return method, curve, np.random.default_rng(0).integers(8, size=(200, 8))


def check_margin(margin):
    """Eight pictures, three constants, 200 resamples."""
    method, curve, rows = _few()
    value, low, high = _three(margin(method, curve, rows))
    assert value is not None, "the method's CHAIR_s of 3/8 lies on the curve"
    assert not abs(value + 0.225) <= 1e-4, "the sign is turned: the method's recall less the curve's height"
    assert not abs(value - 0.239583) <= 1e-4, "recall is the ratio of the sums, not the mean of the pictures' ratios"
    assert abs(value - 0.225) < 1e-4, f"the margin is 0.225, not {value:.4f}"
    for wrong, why in (
        (
            (-0.111111, 0.477899),
            "on a row, too, constants with the same CHAIR_s count as one, at the mean of their recall",
        ),
        ((-0.117222, 0.354902), "a row whose CHAIR_s is that of an end of its curve is on it"),
        ((-0.112222, 0.476294), "rows with a margin of 0 count like all others"),
        ((-0.1, 0.5), "a row's recall is divided by the objects that are there in the row's pictures, not in all"),
        ((-0.059539, 0.444737), "resample the curve too, and with the same pictures as the method"),
        ((-0.058824, 0.452955), "95% leaves out 2.5% at each end, not 5%"),
        ((-0.084591, 0.534591), "take the percentiles of the margins themselves"),
    ):
        assert not max(abs(low - wrong[0]), abs(high - wrong[1])) <= 1e-4, why
    assert max(abs(low + 0.111111), abs(high - 0.476190)) < 1e-4, (
        f"the interval is from -0.1111 to 0.4762, not from {low:.4f} to {high:.4f}"
    )
    _, low, high = margin(method, curve, np.array([[1, 2] * 4] * 3 + [list(range(8))]))
    assert abs(low - 0.225) < EXACT, "leave out resamples whose CHAIR_s is not on their curve; do not count them as 0"
    assert abs(high - 0.225) < EXACT, "leave out resamples whose CHAIR_s is not on their curve; do not count them as 0"
    far = (np.ones(8), method[1], method[2])
    found = margin(far, curve, rows)
    assert found[0] is None, "where every caption is false the method is off the curve: None, None, None"
    _, low, high = margin(method, curve, np.array([[1, 7, 6, 4, 3, 6, 3, 1]]))
    assert max(abs(low - 2 / 15), abs(high - 2 / 15)) < 1e-4, (
        "on a row, too, constants with the same CHAIR_s count as one, at the mean of their recall"
    )
    _, low, high = margin(method, curve, rows[:5])
    assert max(abs(low + 0.050310), abs(high - 0.260455)) < 1e-4, (
        "with 5 rows the ends lie between two rows' margins: take them from np.percentile, and not a row's own"
    )
    found = margin(curve[0], curve, np.array([list(range(8))] * 3 + [[6, 5, 4, 2, 2, 0, 0, 0]]))
    assert found[0] is not None, "constant 0 itself lies on the curve: its margin is 0.0, and 0.0 is not None"
    assert abs(found[0]) < EXACT, f"constant 0 itself lies on the curve: its margin is 0.0, not {found[0]:.4f}"
    assert found[1] is not None, "rows with a margin of 0 count like all others"
    assert max(abs(found[1]), abs(found[2] - 0.077083)) < 1e-4, "rows with a margin of 0 count like all others"
    try:
        found = margin(method, curve, np.array([[1, 2] * 4] * 3))
    except Exception as fault:
        raise AssertionError(
            f"where no row is on its curve give (None, None, None); it raises {type(fault).__name__}"
        ) from None
    assert all(each is None for each in found), f"where no row is on its curve give (None, None, None), not {found}"


def check_verdict(verdict):
    """One case of each."""
    for arguments, want, why in (
        (
            ("lower", 0.05, (-0.02, -0.08, 0.04), (0.1, 0.02, 0.18)),
            "not shown",
            "the interval of the difference holds 0",
        ),
        (
            ("lower", 0.05, (0.2, 0.1, 0.3), (0.1, 0.02, 0.18)),
            "not shown",
            "it rose, and was to fall: mind the direction",
        ),
        (
            ("higher", 0.05, (0.2, 0.1, 0.3), (0.1, 0.02, 0.18)),
            "more than an earlier end",
            "it rose, as declared: mind the direction",
        ),
        (
            ("lower", 0.05, (-0.02, -0.04, -0.01), (0.1, 0.02, 0.18)),
            "too small to matter",
            "even the far end of the interval is below the smallest change",
        ),
        (
            ("lower", 0.05, (-0.04, -0.07, -0.01), (0.1, 0.02, 0.18)),
            "more than an earlier end",
            "the interval reaches beyond the smallest change, so it may matter",
        ),
        (
            ("lower", 0.05, (-0.2, -0.3, -0.1), (None, None, None)),
            "off the curve",
            "there is no curve where the method is",
        ),
        (
            ("lower", 0.05, (-0.2, -0.3, -0.1), (-0.1, -0.18, -0.02)),
            "worse than an earlier end",
            "the margin's interval lies below 0",
        ),
        (
            ("lower", 0.05, (-0.2, -0.3, -0.1), (0.04, -0.01, 0.09)),
            "no more than an earlier end",
            "the margin's interval holds 0, whatever its middle is",
        ),
        (
            ("higher", 0.05, (-0.2, -0.3, -0.1), (0.1, 0.02, 0.18)),
            "not shown",
            "it fell, and was to rise",
        ),
        (
            ("higher", 0.05, (0.04, 0.02, 0.07), (0.1, 0.02, 0.18)),
            "more than an earlier end",
            "of a rise the upper end is the one that is farther from 0",
        ),
        (
            ("lower", 0.05, (-0.02, -0.08, 0.04), (None, None, None)),
            "not shown",
            "the order: what is not shown is not shown off the curve either",
        ),
        (
            ("lower", 0.05, (-0.02, -0.04, -0.01), (None, None, None)),
            "too small to matter",
            "the order: what is too small is too small off the curve as well",
        ),
        (
            ("lower", 0.05, (-0.06, -0.08, -0.04), (0.1, 0.02, 0.18)),
            "more than an earlier end",
            "hold the far end against the smallest change, not the interval's width",
        ),
        (
            ("lower", 0.05, (-0.03, -0.05, -0.01), (0.1, 0.02, 0.18)),
            "more than an earlier end",
            "an end that is as far as the smallest change is not nearer than it",
        ),
        (
            ("lower", 0.05, (-0.1, -0.2, 0.0), (0.1, 0.02, 0.18)),
            "not shown",
            "an interval that ends at 0 does not lie wholly on one side of it",
        ),
        (
            ("lower", 0.05, (-0.2, -0.3, -0.1), (0.1, 0.0, 0.2)),
            "no more than an earlier end",
            "a margin's interval that ends at 0 holds it",
        ),
    ):
        found = verdict(*arguments)
        assert found == want, f"{why}: {want!r}, not {found!r}"


def check_report(report):
    """All parts there, the record whole, and of the declaration that stands there."""
    found = report()
    keys = {"declaration", "record", "difference", "margin", "verdict", "sentence"}
    assert set(found) == keys, f"the keys must be {', '.join(sorted(keys))}, not {sorted(found)}"
    said = declarations.faults(found["declaration"])
    assert not said, f"the declaration is not whole: {said[0]}"
    try:
        record = experiment.unpack(found["record"])
    except ValueError as fault:
        raise AssertionError(str(fault)) from None
    declared = found["declaration"]
    assert record.declaration == declarations.digest(declared), (
        "the record is of another declaration: it was changed after the run. Put back the declaration that was run; a comma counts too"
    )
    for name in ("difference", "margin"):
        assert len(found[name]) == 3, f"{name} has three numbers: the value, and the ends of its interval"
    assert found["verdict"] in VERDICTS, f"the verdict is one of {', '.join(VERDICTS)}, not {found['verdict']!r}"
    change, beyond, word = found["difference"], found["margin"], found["verdict"]
    rises = {
        measure: float(np.divide(*(each.sum() for each in experiment.sums(record.method, measure))))
        - float(np.divide(*(each.sum() for each in experiment.sums(record.curve[0.0], measure))))
        for measure in declarations.MEASURES
    }
    right = rises.pop(declared["measure"])
    assert not abs(change[0] + right) <= EXACT or abs(right) <= EXACT, (
        "the difference is the method less the untuned model, not the other way round"
    )
    for measure, other in rises.items():
        assert not abs(change[0] - other) <= EXACT or abs(right - other) <= EXACT, (
            f"this is the difference of {measure}, and the declared measure is {declared['measure']}"
        )
    assert abs(change[0] - right) < EXACT, (
        f"difference: from your record the value is {right:.4f}, and you report {change[0]:.4f}"
    )
    want = experiment.beyond(record, declared)
    assert (beyond[0] is None) == (want[0] is None), f"margin: from your record the value is {want[0]}, not {beyond[0]}"
    if want[0] is not None:
        assert abs(beyond[0] - want[0]) < EXACT, (
            f"margin: from your record the value is {want[0]:.4f}, and you report {beyond[0]:.4f}"
        )
        assert max(abs(a - b) for a, b in zip(beyond[1:], want[1:], strict=True)) < EXACT, (
            f"margin: on the rows of experiment.draws(declaration()) its ends are {want[1]:.4f} and {want[2]:.4f}; take no rows of your own"
        )
    _follows(word, declared, change, beyond)
    assert isinstance(found["sentence"], str), "the sentence is a text"
    assert len(found["sentence"].split()) >= 8, "the sentence is a sentence, of 8 words or more"
    _says(found["sentence"], word, change, beyond, declared["smallest"])


def _follows(word, declared, change, beyond):
    """Refuses a verdict that the numbers beside it contradict."""
    near, far = sorted(change[1:]) if declared["direction"] == "higher" else sorted(-end for end in change[1:])
    told = f"the verdict {word!r} does not follow from the numbers beside it: "
    shown, matters = near > 0, far >= declared["smallest"]
    assert shown or word == "not shown", told + "the difference does not lie wholly on the declared side of 0"
    assert not shown or word != "not shown", told + "the difference lies wholly on the declared side of 0"
    if shown:
        assert matters or word == "too small to matter", (
            told + "even the far end is nearer to 0 than the smallest change"
        )
        assert not matters or word != "too small to matter", told + "the far end reaches the smallest change"
    if shown and matters:
        said = {
            "off the curve": beyond[0] is None,
            "more than an earlier end": beyond[0] is not None and beyond[1] > 0,
            "worse than an earlier end": beyond[0] is not None and beyond[2] < 0,
            "no more than an earlier end": beyond[0] is not None and beyond[1] <= 0 <= beyond[2],
        }
        assert said[word], told + "look at the margin"


def _says(sentence, word, change, beyond, smallest):
    """Refuses a sentence without the verdict or the difference with its ends, and one with other numbers."""
    text = sentence.replace("\u2212", "-").lower()
    said = set(re.findall("|".join(sorted(VERDICTS, key=len, reverse=True)), text))
    numbers = re.findall(r"\d+\.\d+", text)

    def same(number, value, least=1):
        digits = len(number.partition(".")[2])
        return digits >= least and abs(float(number) - abs(value)) <= 0.5001 * 10**-digits

    for number in numbers:
        known = [value for value in (*change, *beyond, smallest) if value is not None]
        assert any(same(number, value) for value in known), (
            f"the sentence says {number}, and no number of the report is that: say the difference and its ends, not what it was before"
        )
    assert word in said, f"the sentence does not say the verdict, {word!r}"
    assert said == {word}, f"the sentence says {' and '.join(sorted(said - {word}))!r} too, which the numbers do not"
    for what, value in zip(("difference", "lower end", "upper end"), change, strict=True):
        assert any(same(number, value, 2) for number in numbers), (
            f"the sentence does not give the difference's {what}, {value:.2f}"
            if what == "difference"
            else f"the sentence does not give the difference's interval: its {what} is {value:.2f}"
        )


# %% [markdown]
# ## 1. The declaration (25 minutes)
#
# Write it **before** you run anything. Even a corrected typo breaks the fingerprint that the run keeps of it. `declaration()` gives a
# dict with these fields, and no others:
#
# | field | what |
# |---|---|
# | `hypothesis` | what you expect and why, 8 to 80 words. It says the direction, the word "lower" or "higher" and not both, and names the measure, CHAIR_s, CHAIR_i or recall; the first that it names is the one that decides |
# | `method` | the name of the function that you compare with the untuned model, such as `"short_prompt"` |
# | `measure` | `"chair_s"`, `"chair_i"` or `"recall"`: the one that decides |
# | `direction` | `"lower"` or `"higher"` |
# | `smallest` | the smallest change of the measure that would matter to a user, at least $1 / \sqrt{n}$ for $n$ pictures |
# | `kind` | `"typical"` or `"counter_typical"` scenes |
# | `scenes` | scenes for each seed |
# | `seeds` | 1 to 5 whole numbers; each draws scenes of its own. 100 to 600 pictures in all |
# | `constants` | 4 to 8 growing numbers, the first 0: the constants of the yardstick. In steps of 0.5 to 3 and up to 4 or more, so that their captions reach from long to very short |
#
# Why $1 / \sqrt{n}$: a share of one half over $n$ pictures has a standard error of $1 / (2 \sqrt{n})$, and a 95% interval reaches two of
# them to each side. It could hardly tell a smaller effect from none. The same rule of thumb holds here for all three measures.
#
# Methods to begin with are `experiment.short_prompt`, `experiment.contrastive` and `experiment.unsupported`. Better: one of your own, a
# function of the model, the pictures and a seed that gives captions, such as the model that you trained in problem set 3.


# %% task
def declaration():
    """The declaration, a dict."""
    # BEGIN SOLUTION
    return {
        "hypothesis": "Asked for a brief description the model names fewer objects, and leaves out first what it would only guess. "
        "So I expect CHAIR_s to be lower, by a fifth of all captions or more. I do not expect more than an earlier end gives: "
        "the model was taught brevity by these words, and not to look.",
        "method": "short_prompt",
        "measure": "chair_s",
        "direction": "lower",
        "smallest": 0.1,
        "kind": "counter_typical",
        "scenes": 100,
        "seeds": [4711, 4712],
        "constants": [0, 1, 2, 3, 4.5, 6],
    }
    # END SOLUTION


# %% [markdown]
# ## 2. Before and after, on the same pictures (25 minutes)
#
# `paired(before, after)` gets two ratios over the same $n$ pictures, each as (numerators, denominators), and gives `(value, low, high)`:
# the difference $r_2 - r_1$ of the ratios of sums and its 95% interval. What picture $i$ adds to a ratio $r = \sum a_i / \sum b_i$ is
# $u_i = (a_i - r b_i) / \bar b$. The same picture is hard both times, so the differences of these count:
# A picture with a denominator of 0 stays in: a caption without objects has nothing to add to CHAIR_i, and it is one of the $n$. Do not
# round; other numbers are made of these.
#
# $$s = \sqrt{\frac{1}{n} \cdot \frac{\sum (u_{2i} - u_{1i})^2}{n - 1}}, \qquad (r_2 - r_1) \mp 1.96\, s.$$


# %% task
def paired(before, after):
    """(value, low, high) of the second ratio less the first; each (numerators, denominators) over the same pictures."""

    # BEGIN SOLUTION
    def parts(pair):
        a, b = np.array(pair[0], dtype=float), np.array(pair[1], dtype=float)
        return a.sum() / b.sum(), (a - a.sum() / b.sum() * b) / b.mean()

    (first, u1), (second, u2) = parts(before), parts(after)
    n, value = len(u1), second - first
    error = math.sqrt(((u2 - u1) ** 2).sum() / (n - 1) / n)
    return value, value - 1.96 * error, value + 1.96 * error
    # END SOLUTION


# %% [markdown]
# ## 3. The yardstick's height (20 minutes)
#
# `curve` is a list or a tuple of `(chair_s, recall)`, one for each constant, in any order; leave it as it is. `height(curve, chair_s)`
# gives the recall that the constant leaves at this CHAIR_s: straight lines between neighbouring points, and `None` where the curve does
# not reach. Both ends belong to it, and a recall of 0 is a height like any other. Points with the same CHAIR_s, two or more, count as
# one, at the mean of their recall; the same means equal, not equal after rounding.


# %% task
def height(curve, chair_s):
    """The curve's recall at a CHAIR_s, or None outside of it."""
    # BEGIN SOLUTION
    together = {}
    for x, y in curve:
        together.setdefault(x, []).append(y)
    points = sorted(together)
    if not points[0] <= chair_s <= points[-1]:
        return None
    return float(np.interp(chair_s, points, [np.mean(together[x]) for x in points]))
    # END SOLUTION


# %% [markdown]
# ## 4. The margin (35 minutes)
#
# What is the method worth beyond an earlier end? Its recall, less the curve's height at its CHAIR_s. `margin(method, curve, draws)` gives
# `(value, low, high)`. `method`, and each entry of the list `curve`, is a tuple of three arrays (pictures,): 1 where the caption has a
# false object, true objects named, true objects there. The interval is a bootstrap over pictures: each row of `draws` (resamples,
# pictures) holds indices of pictures. On each row compute method **and** curve anew from these pictures, objects there included, and the
# margin. `low` and `high` are the 2.5th and the 97.5th percentile of the rows' margins, as `np.percentile` gives them; margins of 0
# count. Rows whose CHAIR_s is not on their curve are left out. If the method itself is not on the curve, or no row is, give `(None, None,
# None)`. Constant 0 itself as the method has the margin 0.0, and not None. You may call your own `height`.


# %% task
def margin(method, curve, draws):
    """(value, low, high) of the method's recall less the curve's height; see above for the arguments."""

    # BEGIN SOLUTION
    def point(counts, rows):
        false, recalled, there = (np.asarray(each)[rows] for each in counts)
        return float(false.mean()), float(recalled.sum() / there.sum())

    def once(rows):
        chair_s, recall = point(method, rows)
        at = height([point(each, rows) for each in curve], chair_s)
        return None if at is None else recall - at

    value = once(np.arange(len(method[0])))
    found = [each for each in map(once, np.asarray(draws)) if each is not None]
    if value is None or not found:
        return None, None, None
    low, high = np.percentile(found, [2.5, 97.5])
    return value, float(low), float(high)
    # END SOLUTION


# %% [markdown]
# ## 5. The verdict (15 minutes)
#
# `verdict(direction, smallest, difference, margin)` gives one of `VERDICTS`. `difference` and `margin` are (value, low, high). Take the
# first that fits:
#
# 1. `not shown`: the difference's interval does not lie wholly on the declared side of 0 (one that ends at 0 does not);
# 2. `too small to matter`: even the end of the interval that is farther from 0 is nearer to it than `smallest`;
# 3. `off the curve`: the margin's value is None (it is `(None, None, None)`);
# 4. `more than an earlier end`, `worse than an earlier end`: the margin's interval lies wholly above, below 0;
# 5. `no more than an earlier end`: it holds 0, or ends there.


# %% task
def verdict(direction, smallest, difference, margin):
    """One of VERDICTS; difference and margin: (value, low, high)."""
    # BEGIN SOLUTION
    _, low, high = difference if direction == "higher" else (-difference[0], -difference[2], -difference[1])
    if low <= 0:
        return "not shown"
    if high < smallest:
        return "too small to matter"
    if margin[0] is None:
        return "off the curve"
    if margin[1] > 0:
        return "more than an earlier end"
    return "worse than an earlier end" if margin[2] < 0 else "no more than an earlier end"
    # END SOLUTION


# %% [markdown]
# ## 6. The run and the report (50 minutes)
#
# A method is a function of this form: one text for each picture. `METHOD` has the name that you declared, or nothing is run. A method of
# your own may do anything with the model. Keep its imports inside, as here, and set `TRY` to `True` to try it on six other pictures
# first; that is not the run.


# %% student
def mine(vlm, pictures, seed):
    from povid_lib import models
    from povid_lib.world.captions import PROMPT

    return [a.text for a in models.generate(vlm, pictures, PROMPT)]


METHOD = experiment.short_prompt
TRY = False


def try_it():
    from povid_lib import models
    from povid_lib.evaluation.held_out import held_out

    scenes = held_out("typical", 6)
    texts = METHOD(models.load("pocket", device="cpu"), [scene.image() for scene in scenes], 0)
    for scene, text in zip(scenes, texts, strict=True):
        print(f"{', '.join(sorted(scene.names))}: {text}")


if TRY:
    try_it()

# %% [markdown]
# Now set `RUN` to `True`, and run the next cell **once**; some minutes on a laptop. Paste the line that it prints between the quotation
# marks of `RECORD`, and set `RUN` back. The line holds the counts of every picture, and a fingerprint of the declaration.

# %% student
RUN = False


def run_the_experiment():
    from povid_lib import models

    print(experiment.run(models.load("pocket", device="cpu"), declaration(), METHOD))


if RUN:
    run_the_experiment()

RECORD = ""

# %% [markdown]
# `report()` gives a dict:
#
# | key | what |
# |---|---|
# | `declaration` | as it was run |
# | `record` | the line |
# | `difference` | three numbers: the declared measure of the method less that of the untuned model, which is constant 0, and the interval's ends |
# | `margin` | three numbers, from your `margin`; its resamples are `experiment.draws(declaration())` |
# | `verdict` | your `verdict` of the declaration and these numbers |
# | `sentence` | what came out, in words of yours |
#
# `experiment.unpack(RECORD)` has `method` and `curve`. `curve` is a dict with the keys 0.0, 2.0 and so on, your constants; `margin` takes
# its values as a list. `experiment.sums(counts, "chair_s")` gives numerators and denominators of a measure. Into `margin` go the
# numerators of `chair_s`, and the numerators and denominators of `recall`, for the method and for each constant.
#
# The sentence holds the verdict as in `VERDICTS`, and no other, and the difference with both ends of its interval, to two decimals or
# more. Minus signs may be left out where the words say that it fell. Any other number with a decimal point in it must be one of your six,
# or the smallest change. On other numbers, and of another method: "Asked twice, the model names less that is not there: CHAIR_s fell by
# 0.31 (95% interval 0.22 to 0.40), and that is more than an earlier end."


# %% task
def report():
    """declaration, record, difference, margin, verdict and sentence, as a dict."""

    # BEGIN SOLUTION
    def counts(of):
        return (experiment.sums(of, "chair_s")[0], *experiment.sums(of, "recall"))

    # Declared, committed, and run once on scenes that nothing had been run on. What came out is the contrary of what was expected:
    # CHAIR_s rose, beyond the curve's end. Why, this run does not say.
    text = RECORD or (
        "c-rlo+in{<42EAN$aPSN2hB|ORTjNSZ3kT-+W={IZ;HPA#^Xx+Q>4aYH*s$a2*yOC14T*XH<a@IcDvg=J-j@8`|J73?H@O{kHf^9$KCE;(x>s$<L376=61"
        "LJtGxcY+dO~S?lb>>-tM0ESv-Ck<Y7Zo+T3sMxA*hQ-M7!r+t;_>Zyz6?zV2S1{^YwGnG?@R?{4VsCe7)PQy&gV<^qQ#^IIzUd48Z$MoK>0!nFl0Z(s9=B"
        "1Wx+Qju+h-P>gAVwDtS*56d*X-20ouG$?zVbo9Ur9P-_6BS7A+4r6xQ=vP8#I_hi0Re?jzZip78`;Q~%#c%C)6S~c7x*}@wlDkj`E|d_bS^&3>F|(2!2&C"
        "&zU8tg1}Hg{OopcFuN1`(u%K$EulZwX{LoPqsrGot&t-hIaMNjRL7-DDN!&A)7P8IHAmL!8!e%op$qb!lc&K&#1D7Gx?i6NEN_8nEalsBS+f^0p#LHzJ4Y"
        "q6S4u!0LPOzmWSXNX78$lseMTY{qUu7@5&BN2vZu`@gQDn|=#e2h~kzK=W)>szYW@7gMzVaJh+<wE&gY8Syh&X$}QJKcrHI1u%#Zk$y9dF3k*%Yy}=gke-"
        "uD!y&PH-aBnjY!sL7XxhJLs*aK>Gq!_J8hI*|*QTm)-w{EZcp~W#_Qnds4O&{xWPQhJ3YU1X`=@*Ug_{3!&x04PW)7cGt1ZlxTq~?6fKgmcaq49lJus?5e"
        "Q+MIEXguWyGVOV^049YdC_y;G~qrgwZRR_AIhuiB|$s|{R$8Kgqzu`l`Y$Lku~{PXhfZich;Az4U6s6c8WSlS7ke(oDHwzwh|@B}Pkvk{ZCk<IQ;bH(~gm"
        "L!wIzXsAgRgxVk+1*@4!YOVnO;t#8aFu}c(7vj*;*F?MTv4*<D;5ZogEWfx6VbG3P27~Rvz?7T6AZ1<SaL>pU#5k$$`S_}8RtaSiEDwVv5){#K|@evz5G;"
        "^Hx{%Q01_sEw8_F=22`t@FoFFz6qvv&50-fpjC(~awopoTH)j}HE(6CQOt964qN~HuMr)!D7?T0>CMUpQME6CpSb(7}+C>6WhmbY^N(qQJmKm9Vgazhz1S"
        "2=X)Qr{u6KHI3S{h(IM3CmWD+C*L-(wtcLSu~lS7^gss5yzKOgfw+?xR#9C=v&aAvcoy?8J&1H9`&rwIi@Nd9ab{y(s!F?R^S1)==EUdEvDKz#&mfMBpLT"
        "YRKDHNV`JXB_NFgG{Y^u2F;Qso#dFsqgnk^qs^J@7mm32&8cWcO*jW&D!I{-jmcqQf{9HQh#E9Y9W<kJ(X3&s2F-Bb9?;S;G)pcZ=VzSkxICIQF;T|V5}+"
        "AIda5&Lh!r(xM&Oxi6c5?KqZyZG2MF_Ihh_`~vgN4|&7`!zQN&K%clY3;eHi^x8#&8>V|56VMU{$X)Il?~Xr`;tjEaWUp&3KulmJVcDAxj-F&Lu})HOmda"
        "s>LT<0U{d1@W5o&_^?gd@{Wcn$gA4jMt$VMNIdGXvS}WX7u~ej3P9nE1F%=?DwD<FQFM*1W3owj2)UK2X6knjXM#jCc@R=l{&Ucj!?KmWH^fCFe=$7H;(s"
        "gG)orE@LRrtAhxEbK{HQe;nYwxSVXgQ7Mi6_kKx%iEuk6P1HW9HdE?izMYFp75Y5n~))-3l-eY++z;>;17DO|&I9hs~qVv4wcok3VC_2a{cP@x75B*Nv#v"
        "z(X2hGTu`w{pBIkd7N0@MJ!MnJetu#DW-1+pGGQ$#b0&`d3wu|+c<gb&dS9o1l*W^=T82AWB9;2$1Rs*Cc7J9s;aW)v}txbRkZVS(H+WXL%FXcqU`N;IPm"
        "9xhzd2+@q*8qFv|Gj<>*Q3z}q&E$$^S2X)=XeLW&)(}>cI66mb-X=>fo}oenOVQyYSxI;WnuUB6j-`iY)B!zl(Yh2JVy39U-Wa_kvMACrnuP_(fgVMKMNy"
        "TW>QaZzkD(dvoNRqEf&d0?)EZ>6-d2ly#{*|PnfKQrGeDoWI5kL=otqe(@9Q~Dj&8{`Xy)%TA%yxNtBt!+1oY~<KwV{s-(?p?&<HjfG^6N71KA^8f?y)M3"
        "q8$oBVMTU$MOUb$!0{dgl4peW=)tZMUzR9>t+jIy_;0cBK6nIB)Wg#uNp|iFWgyWJv2*wG$VJ>u7_q6p;_;8Dqc76!iP7|7Owe`%Unh?iZ1E-j}2adW_(4"
        "nE1F#z&GbWdXqMbb+_FRNq0KUyQHS8tBJ~_)u4RH)pBCb4bc~OvFA1&dH(BspQ=QfcpB&z<iHn^oc{^V%nvpx&)yQc|6q5)&2w9j?S0(gE3Rl;|gJtcXHi"
        "tgNCtl2#&RdUTo{yy8g7jO)fFs#6%3gO1Xx6JP{nn)4ow&*E3DBGr{w&|3nOC;-R~fq-;tTV}(YjcJW@NwexZmRfxtzMndf&NhzcIOAmphFwuQHA3l~xQ&"
        "R&128_q3ur=@2e;LTN2UUeWA|W|u&-A&8otjS}yd=u#c6935SxNBT8U>DR{imP78M86RT->Yr)Txk*m<aqp4RS>E<dQjdktP@TT1VDc-~kDwW!J|XY1%F+"
        "dwn7_$Eo&WHDkAxo>C-uVTu8VYT`zNllE1F%=>|N39$B+L2PC;u@"
    )
    declared, record = declaration(), experiment.unpack(text)
    measure, before, after = declared["measure"], record.curve[0.0], record.method
    change = paired(experiment.sums(before, measure), experiment.sums(after, measure))
    beyond = margin(counts(after), [counts(of) for of in record.curve.values()], experiment.draws(declared))
    found = verdict(declared["direction"], declared["smallest"], change, beyond)
    sentence = (
        f"That a brief description would do it is {found}: CHAIR_s {'rose' if change[0] > 0 else 'fell'} by {change[0]:.3f} (95% "
        f"interval {change[1]:.3f} to {change[2]:.3f}), and I had expected it to be {declared['direction']}."
    )
    return {
        "declaration": declared, "record": text, "difference": change, "margin": beyond, "verdict": found, "sentence": sentence
    }  # fmt: skip
    # END SOLUTION


# %% [markdown]
# ## 7. A page of judgement (35 minutes)
#
# Write about 300 words here; your teacher reads them. What did you expect, and were you wrong? What does the yardstick say that the
# measure alone does not? What else could explain the result (length, the kind of scenes, chance)? What would you run next, and what
# result of it would change your mind?

# %% hidden
from dataclasses import replace
from functools import cache
from itertools import pairwise

from povid_lib.course.grading.assignment import Assignment, Limits, Task, Wrong


def hidden_declaration(answer, draw):
    first, second = answer(), answer()
    assert first == second, "it gives another declaration each time: a declaration is fixed"
    said = declarations.faults(first)
    assert not said, said[0]
    assert len(set(first["hypothesis"].lower().split())) >= 8, (
        "the hypothesis is no sentence: it says the same words again and again"
    )


def hidden_paired(answer, draw):
    for n in (8, 120):
        under = draw.integers(1, 6, n)
        hard = draw.beta(1, 2, n)
        later = under + draw.integers(0, 2, n)
        under[1], later[2] = 0, 0  # captions without objects
        before, after = (draw.binomial(under, hard), under), (draw.binomial(later, hard * 0.7), later)
        _one_pair(answer, before, after)
    there = draw.integers(1, 6, 8)
    most = (np.where(np.arange(8) == draw.integers(8), 0, there), there)
    none = (np.zeros(8, dtype=int), there)
    _one_pair(answer, most, none)  # nearly everything goes: the interval reaches below -1
    _one_pair(answer, none, most)


def _one_pair(answer, before, after):
    found, want = answer(tuple(a.tolist() for a in before), tuple(a.tolist() for a in after)), paired(before, after)
    for what, a, b in zip(("difference", "lower end", "upper end"), found, want, strict=True):
        assert abs(a - b) < 1e-6, f"on {len(before[0])} other pictures the {what} is {b:.6f}, not {a:.6f}"


def hidden_height(answer, draw):
    for _ in range(30):
        curve = [(round(float(x), 1), float(y)) for x, y in draw.random((int(draw.integers(3, 8)), 2))]
        _one_height(answer, curve, float(draw.random()))
    for _ in range(5):
        x, y = (float(each) for each in draw.uniform(0.2, 0.5, 2))
        apart = [(x, y), (x + 0.004, y + 0.3), (x + 0.3, 0.0), (x, float(draw.random())), (x, float(draw.random()))]
        for at in (x, x + 0.001, x + 0.002, x + 0.3):
            _one_height(answer, apart, at)


def _one_height(answer, curve, at):
    found, want = answer(tuple(curve), at), height(curve, at)
    assert (found is None) == (want is None), (
        f"at {at:.3f}, with points at {sorted(round(x, 3) for x, _ in curve)}: {want}, not {found}"
    )
    assert want is None or abs(found - want) < 1e-9, f"at {at:.3f} the height is {want:.6f}, not {found:.6f}"


def _models(draw, n):
    """A method and a curve of five constants, over the same pictures."""
    there, hard = draw.integers(1, 6, n), draw.random(n)
    curve = [
        ((hard < false).astype(int), draw.binomial(there, recall), there)
        for false, recall in zip((0.7, 0.55, 0.4, 0.25, 0.1), (0.9, 0.8, 0.7, 0.5, 0.3), strict=True)
    ]
    return (((hard + 0.1 * draw.normal(size=n)) < 0.45).astype(int), draw.binomial(there, 0.75), there), curve


def hidden_margin(answer, draw):
    for n in (12, 60):
        method, curve = _models(draw, n)
        rows = draw.integers(n, size=(150, n))
        _one_margin(answer, method, curve, rows, n)
        _one_margin(answer, curve[0], curve, rows, n)
        false, named, there = curve[0]
        _one_margin(answer, (np.ones(n, dtype=int), named, there), curve, rows, n)
        _one_margin(answer, (false[::-1].copy(), named, there), curve, rows, n)
        if 0 < false.sum() < n:  # on the curve, and off it where nothing but one picture was drawn
            was, now = int(np.argmax(false)), int(np.argmin(false))
            other = false.copy()
            other[was], other[now] = 0, 1
            only = np.full((3, n), now)
            _one_margin(answer, (other, named, there), curve, only, n)


def _one_margin(answer, method, curve, rows, n):
    found, want = answer(method, curve, rows), margin(method, curve, rows)
    for what, a, b in zip(("margin", "lower end", "upper end"), found, want, strict=True):
        assert (a is None) == (b is None), f"on {n} other pictures the {what} is {b}, not {a}"
        assert b is None or abs(a - b) < 1e-6, f"on {n} other pictures the {what} is {b:.6f}, not {a:.6f}"


def _ends(draw):
    """A value with the ends of an interval, which at times ends at 0."""
    low, width = float(draw.normal()) * 0.1, float(draw.random()) * 0.2
    low = float(draw.choice([low, low, low, low, low, low, 0.0, -width]))
    return low + width / 2, low, low + width


def hidden_verdict(answer, draw):
    for _ in range(400):
        change, beyond = _ends(draw), _ends(draw)
        beyond = (None, None, None) if draw.random() < 0.3 else beyond
        least = max(map(abs, change)) if draw.random() < 0.1 else float(draw.uniform(0.01, 0.2))
        arguments = (str(draw.choice(["lower", "higher"])), least, change, beyond)
        found, want = answer(*arguments), verdict(*arguments)
        told = [
            arguments[0],
            round(arguments[1], 3),
            *(tuple(None if v is None else round(v, 3) for v in each) for each in arguments[2:]),
        ]
        assert found == want, f"for {told} it is {want!r}, not {found!r}"


def _record(found):
    try:
        return experiment.unpack(found["record"])
    except ValueError as fault:
        raise AssertionError(str(fault)) from None


@cache
def _there(kind, scenes, seeds, edition):
    named = {"kind": kind, "scenes": scenes, "seeds": seeds}
    return [len(scene.names) for scene in experiment.scenes_of(named, edition)]


def hidden_report_scenes(answer, draw):
    """The record is of the scenes that were declared: their truth is drawn again."""
    found = answer()
    record, declared = _record(found), found["declaration"]
    said = declarations.faults(declared)
    assert not said, f"the declaration is not whole: {said[0]}"
    assert record.declaration == declarations.digest(declared), (
        "the record is of another declaration: it was changed after the run. Put back the declaration that was run; a comma counts too"
    )
    assert sorted(record.curve) == sorted(map(float, declared["constants"])), (
        "the record's constants are not the declared ones"
    )
    there = _there(declared["kind"], declared["scenes"], tuple(declared["seeds"]), record.edition)
    for counts in (record.method, *record.curve.values()):
        assert counts.there == there, "the record is not of the scenes that kind, scenes and seeds declare"
        assert all(f <= m for f, m in zip(counts.false, counts.mentions, strict=True)), (
            "the record has more false mentions than mentions"
        )
        assert all(r <= t for r, t in zip(counts.recalled, counts.there, strict=True)), (
            "the record has more objects found than are there"
        )


def _numbers(found):
    """Difference and margin as they follow from the record."""
    record, declared = _record(found), found["declaration"]
    change = paired(*(experiment.sums(of, declared["measure"]) for of in (record.curve[0.0], record.method)))
    made_of = list(map(experiment.margin_sums, (record.method, *record.curve.values())))
    return change, margin(made_of[0], made_of[1:], experiment.draws(declared))


def _same(found, want, what):
    assert len(found) == 3, f"{what} has three numbers: the value, and the ends of its interval"
    for name, a, b in zip(("value", "lower end", "upper end"), found, want, strict=True):
        assert (a is None) == (b is None), f"{what}: the {name} is {b}, not {a}"
        assert b is None or abs(a - b) < 1e-6, f"{what}: from your record the {name} is {b:.4f}, and you report {a:.4f}"


def hidden_report_numbers(answer, draw):
    found = answer()
    change, beyond = _numbers(found)
    _same(found["difference"], change, "difference")
    _same(found["margin"], beyond, "margin")


def hidden_report_verdict(answer, draw):
    found = answer()
    declared, (change, beyond) = found["declaration"], _numbers(found)
    want = verdict(declared["direction"], declared["smallest"], change, beyond)
    assert found["verdict"] == want, f"from your record the verdict is {want!r}, not {found['verdict']!r}"
    _says(found["sentence"], want, change, beyond, declared["smallest"])


# --- records that no model has made ------------------------------------------------------------------------------


def _drawn(declared, seed, better=0.0, curve_ends=0.85):
    """A record of the declared scenes, its counts drawn: each constant names less, the method as much as ``better`` says more."""
    draw = np.random.default_rng(seed)
    there = _there(declared["kind"], declared["scenes"], tuple(declared["seeds"]), "second")
    hard = draw.random(len(there))

    def counts(less, extra=0.0):
        recalled = [int(draw.binomial(t, max(0.0, min(1.0, 0.9 * (1 - less) + extra)))) for t in there]
        false = [int(h < 0.6 * (1 - less)) for h in hard]
        return experiment.Counts(false, [f + r for f, r in zip(false, recalled, strict=True)], recalled, there)

    steps = np.linspace(0, curve_ends, len(declared["constants"]))
    curve = {float(c): counts(less) for c, less in zip(declared["constants"], steps, strict=True)}
    record = experiment.Record(declarations.digest(declared), "second", "0" * 16, counts(0.45, better), curve)
    return experiment.pack(record)


def _declared(**fields):
    return {
        "hypothesis": "With my method the model names fewer objects that are not there, so CHAIR_s is lower than without it.",
        "method": "mine", "measure": "chair_s", "direction": "lower", "smallest": 0.1, "kind": "counter_typical", "scenes": 120,
        "seeds": [3], "constants": [0, 1, 2, 3, 5], **fields,
    }  # fmt: skip


_SAID = "CHAIR changed by {0:.2f}, from {1:.2f} to {2:.2f} with 95%, and that is {3}."


def _reported(declared, text, say=_SAID):
    found = {"declaration": declared, "record": text}
    change, beyond = _numbers(found)
    word = verdict(declared["direction"], declared["smallest"], change, beyond)
    return {
        **found,
        "difference": list(change),
        "margin": list(beyond),
        "verdict": word,
        "sentence": say.format(*change, word),
    }


def declaration_recall():
    return _declared(
        hypothesis="Short answers leave out true objects as well, so I expect the recall to be lower, by a tenth at least, on odd scenes.",
        measure="recall", smallest=0.1, scenes=50, seeds=[0, 7, 19], constants=[0, 0.5, 1.5, 3.0, 4.0, 7.0],
    )  # fmt: skip


def declaration_higher():
    return {
        "method": "my own head", "measure": "recall", "direction": "higher", "smallest": 0.05, "kind": "typical", "scenes": 600,
        "seeds": [5], "constants": [0, 1, 2, 4],
        "hypothesis": "After training on pairs the model looks twice before it speaks, and its recall should be higher.",
    }  # fmt: skip


def paired_loop(before, after):
    n = len(before[0])
    r = [sum(pair[0]) / sum(pair[1]) for pair in (before, after)]
    mean = [sum(pair[1]) / n for pair in (before, after)]
    d = [
        (after[0][i] - r[1] * after[1][i]) / mean[1] - (before[0][i] - r[0] * before[1][i]) / mean[0] for i in range(n)
    ]
    s = (sum(each * each for each in d) / (n - 1) / n) ** 0.5
    return [r[1] - r[0], r[1] - r[0] - 1.96 * s, r[1] - r[0] + 1.96 * s]


def paired_std(before, after):
    ratio, part = [], []
    for a, b in (before, after):
        ratio.append(np.sum(a) / np.sum(b))
        part.append((np.array(a) - ratio[-1] * np.array(b)) / np.mean(b))
    s = np.std(part[1] - part[0], ddof=1) / np.sqrt(len(part[0]))
    return np.array([0, -1.96, 1.96]) * s + (ratio[1] - ratio[0])


def _merged(curve):
    points = sorted(curve)
    return [
        (x, sum(y for u, y in points if u == x) / sum(u == x for u, _ in points))
        for x in sorted({x for x, _ in points})
    ]


def height_search(curve, chair_s):
    curve = _merged(curve)
    if len(curve) == 1 and curve[0][0] == chair_s:
        return curve[0][1]
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= chair_s <= x1:
            return y0 if x1 == x0 else y0 + (chair_s - x0) / (x1 - x0) * (y1 - y0)
    return None


def height_neighbours(curve, chair_s):
    curve = _merged(curve)
    left, right = [p for p in curve if p[0] <= chair_s], [p for p in curve if p[0] >= chair_s]
    if not left or not right:
        return None
    (x0, y0), (x1, y1) = max(left), min(right)
    return y1 if x1 == x0 else (y0 * (x1 - chair_s) + y1 * (chair_s - x0)) / (x1 - x0)


def margin_loop(method, curve, draws):
    def of(rows):
        points = [(np.mean(f[rows]), np.sum(r[rows]) / np.sum(t[rows])) for f, r, t in (method, *curve)]
        at = height_search(points[1:], points[0][0])
        return math.nan if at is None else points[0][1] - at

    value = of(np.arange(len(method[0])))
    if math.isnan(value):
        return (None,) * 3
    found = np.array([of(rows) for rows in draws])
    if np.isnan(found).all():
        return [None] * 3
    return [value, *np.nanpercentile(found, [2.5, 97.5])]


def margin_weights(method, curve, draws):
    """With the number of times that each picture was drawn."""

    def once(weight):
        points = [(f @ weight / weight.sum(), r @ weight / (t @ weight)) for f, r, t in (method, *curve)]
        at = height(points[1:], points[0][0])
        return None if at is None else points[0][1] - at

    n = len(method[0])
    value = once(np.ones(n))
    found = [each for each in (once(np.bincount(rows, minlength=n)) for rows in draws) if each is not None]
    if value is None or not found:
        return None, None, None
    return value, *np.quantile(found, (0.025, 0.975)).tolist()


def verdict_signs(direction, smallest, difference, margin):
    sign = {"higher": 1, "lower": -1}[direction]
    ends = sorted(sign * end for end in difference[1:])
    if not ends[0] > 0:
        return VERDICTS[0]
    if not ends[1] >= smallest:
        return VERDICTS[1]
    value, low, high = margin
    if value is None:
        return VERDICTS[2]
    return VERDICTS[3] if low > 0 else VERDICTS[4] if high < 0 else VERDICTS[5]


def verdict_table(direction, smallest, difference, margin):
    _, low, high = difference
    shown = low > 0 if direction == "higher" else high < 0
    matters = max(abs(low), abs(high)) >= smallest
    if not shown or not matters:
        return "too small to matter" if shown else "not shown"
    if None in margin:
        return "off the curve"
    return (
        "more than an earlier end"
        if margin[1] > 0
        else "no more than an earlier end"
        if margin[2] >= 0
        else "worse than an earlier end"
    )


def report_drawn():
    declared = _declared()
    return _reported(declared, _drawn(declared, 1))


def report_better():
    declared = _declared(method="a better one", seeds=[8, 9], scenes=100)
    return _reported(
        declared,
        _drawn(declared, 2, better=0.3),
        "So it is {3}: {0:.3f} (95%: {1:.3f} to {2:.3f}), where 0.1 would matter.",
    )


# --- wrong answers -----------------------------------------------------------------------------------------------


def _with(**fields):
    return lambda: {**declaration(), **fields}


def _without(name):
    return lambda: {key: value for key, value in declaration().items() if key != name}


_CALLS = iter(range(10**9))


def _paired_of(half):
    def found(before, after):
        (a, b), (c, d) = (tuple(np.array(each, dtype=float) for each in pair) for pair in (before, after))
        r, q = a.sum() / b.sum(), c.sum() / d.sum()
        h = half((a - r * b) / b.mean(), (c - q * d) / d.mean(), a - r * b, c - q * d, len(a))
        return q - r, q - r - h, q - r + h

    return found


def _of_ratios(before, after):
    with np.errstate(invalid="ignore"):
        u = np.array(after[0]) / np.array(after[1]) - np.array(before[0]) / np.array(before[1])
    h = 1.96 * u.std(ddof=1) / math.sqrt(len(u))
    return u.mean(), u.mean() - h, u.mean() + h


def _clipped(before, after):
    value, low, high = paired(before, after)
    return value, max(low, -1.0), min(high, 1.0)


def _without_blanks(before, after):
    """Leaves out pictures with a denominator of 0 in either."""
    (a, b), (c, d) = (np.array(pair, dtype=float) for pair in (before, after))
    kept = (b > 0) & (d > 0)
    return paired((a[kept], b[kept]), (c[kept], d[kept]))


def _line(at, chair_s):
    xs = sorted(at)
    return float(np.interp(chair_s, xs, [at[x] for x in xs])) if xs[0] <= chair_s <= xs[-1] else None


def _running(curve, chair_s):
    at = {}
    for x, y in curve:
        at[x] = (at[x] + y) / 2 if x in at else y
    return _line(at, chair_s)


def _half_open(curve, chair_s):
    for (x0, y0), (x1, y1) in pairwise(_merged(curve)):
        if x0 < chair_s <= x1:
            return y0 + (y1 - y0) * (chair_s - x0) / (x1 - x0)
    return None


def _rounded(curve, chair_s):
    return height([(round(x, 2), y) for x, y in curve], chair_s)


def _sorted_in_place(curve, chair_s):
    curve.sort()
    return height(curve, chair_s)


def _first_of_equals(curve, chair_s):
    return _line(dict(reversed(curve)), chair_s)


def _last_of_equals(curve, chair_s):
    return _line(dict(curve), chair_s)


def _open_ends(curve, chair_s):
    xs = [x for x, _ in curve]
    return height(curve, chair_s) if min(xs) < chair_s < max(xs) else None


def _untied(curve, chair_s):
    points = sorted(curve)
    return (
        None
        if height(curve, chair_s) is None
        else float(np.interp(chair_s, [x for x, _ in points], [y for _, y in points]))
    )


def _clamped(curve, chair_s):
    points = _merged(curve)
    return float(np.interp(chair_s, [x for x, _ in points], [y for _, y in points]))


def _extrapolated(curve, chair_s):
    points = _merged(curve)
    at = min(max(1, sum(x < chair_s for x, _ in points)), len(points) - 1)
    (x0, y0), (x1, y1) = points[at - 1 : at + 1]
    return y0 + (chair_s - x0) / (x1 - x0) * (y1 - y0)


def _in_order(curve, chair_s):
    for (x0, y0), (x1, y1) in pairwise(curve):
        if min(x0, x1) <= chair_s <= max(x0, x1):
            return y0 + (chair_s - x0) / (x1 - x0) * (y1 - y0)
    return None


def _fitted(curve, chair_s):
    if height(curve, chair_s) is None:
        return None
    return float(np.polyval(np.polyfit([x for x, _ in curve], [y for _, y in curve], 1), chair_s))


def _margin_of(
    fixed=False, ends=(2.5, 97.5), zero=False, normal=False, ratios=False, sign=1, always=False, height=height,
    all_there=False, no_zeros=False, rows_own=False, none=lambda value: value is None, no_row=(None, None, None),
):  # fmt: skip
    """``margin`` with a fault."""

    def found(method, curve, draws):
        everything = np.arange(len(method[0]))

        def point(counts, rows):
            f, r, t = (np.asarray(each)[rows] for each in counts)
            below = np.sum(counts[2]) if all_there else t.sum()
            return float(f.mean()), float((r / t).mean() if ratios else r.sum() / below)

        def once(rows):
            x, y = point(method, rows)
            points = [point(each, everything if fixed else rows) for each in curve]
            at = _clamped(points, x) if always else height(points, x)
            return None if at is None else sign * (y - at)

        value, made = once(everything), [once(rows) for rows in draws]
        if none(value):
            return None, None, None
        made = [0 if zero and each is None else each for each in made if zero or each is not None]
        made = [each for each in made if each or not no_zeros]
        if not made:
            return (value, *np.percentile(made, ends)) if no_row is None else no_row
        if rows_own:
            return value, *(sorted(made)[int(end / 100 * len(made))] for end in ends)
        if normal:
            s = float(np.std(made, ddof=1))
            return value, value - 1.96 * s, value + 1.96 * s
        return value, *np.percentile(made, ends).tolist()

    return found


def _verdict_of(change):
    """``verdict`` of arguments that were changed first."""
    return lambda *given: verdict(*change(*given))


def _shown(change, given):
    """What ``verdict`` is, but "not shown" where ``change`` does not find the difference on the declared side."""
    direction, smallest, (_, low, high), margin = given
    if not change(direction, low, high):
        return "not shown"
    far = max(abs(low), abs(high), 1e-9)
    side = 1 if direction == "higher" else -1
    return verdict(direction, smallest, (side * far, *sorted((side * 1e-12, side * far))), margin)


def _middle(margin):
    return (None,) * 3 if margin[0] is None else (margin[0],) * 3


def _report(**fields):
    """The solution's report with some parts replaced; a part may be a function of the report."""

    def found():
        own = report_drawn()
        return {**own, **{key: value(own) if callable(value) else value for key, value in fields.items()}}

    return found


def _other_measure():
    """CHAIR_i where CHAIR_s was declared, and all that follows from it."""
    own = report_drawn()
    record, declared = _record(own), own["declaration"]
    change = paired(*(experiment.sums(of, "chair_i") for of in (record.curve[0.0], record.method)))
    word = verdict(declared["direction"], declared["smallest"], change, own["margin"])
    return {**own, "difference": change, "verdict": word, "sentence": _SAID.format(*change, word)}


def _own_draws():
    """Resamples of another seed."""
    own = report_drawn()
    record = _record(own)
    rows = np.random.default_rng(0).integers(len(record.method.there), size=(200, len(record.method.there)))
    return {
        **own,
        "margin": margin(
            experiment.margin_sums(record.method), list(map(experiment.margin_sums, record.curve.values())), rows
        ),
    }


def _turned():
    """The untuned model less the method, and the verdict of the right numbers."""
    own = report_drawn()
    value, low, high = own["difference"]
    return {**own, "difference": (-value, -high, -low)}


def _other_scenes():
    declared = _declared()
    record = experiment.unpack(_drawn(declared, 1))
    counts = replace(record.method, there=[*record.method.there[1:], 9], recalled=[0] * len(record.method.there))
    return _reported(declared, experiment.pack(replace(record, method=counts)))


def _other_constants():
    declared = _declared()
    record = experiment.unpack(_drawn(declared, 1))
    return _reported(
        declared, experiment.pack(replace(record, curve={c + (c > 0): v for c, v in record.curve.items()}))
    )


TASKS = (
    Task(
        "declaration", "the declaration", 25, ((check_declaration, 6),), ((hidden_declaration, 2),), (declaration_recall, declaration_higher),
        (
            Wrong("declares no measure", "measure is missing", _without("measure")),
            Wrong("declares no smallest change", "smallest is missing", _without("smallest")),
            Wrong("takes any change for a change that matters", "smallest is 0", _with(smallest=0)),
            Wrong("has a measure of its own", "measure is 'accuracy'", _with(measure="accuracy")),
            Wrong("has a hypothesis without a direction", "it must name the direction", _with(hypothesis="I expect that a short prompt changes how much the model hallucinates.")),
            Wrong("has a hypothesis that says nothing", "a sentence of 8 to 80 words", _with(hypothesis="It helps.")),
            Wrong("names both directions", "name the one direction", _with(hypothesis="I expect that CHAIR_s gets lower or higher, since anything can happen with a model.")),
            Wrong("has a hypothesis without a direction", "it must name the direction", _with(hypothesis="The model gets slower at CHAIR_s, and I do not know anything about what its captions will do.")),
            Wrong("has a hypothesis about another measure", "name first the one that decides", _with(hypothesis="Recall will be lower, since the sentences that the model denies are gone.")),
            Wrong("has a hypothesis without a measure", "the hypothesis names no measure", _with(hypothesis="The model will hallucinate less, so that its captions are wrong at a lower rate.")),
            Wrong("has a curve that reaches nowhere", "too close together", _with(constants=[0, 0.01, 0.02, 0.03])),
            Wrong("has a curve that is too short to reach", "captions are not yet very short", _with(constants=[0, 0.5, 1, 1.5])),
            Wrong("has a curve with a gap", "too far apart", _with(constants=[0, 20, 21, 22])),
            Wrong("takes few pictures", "pictures: take from", _with(scenes=10)),
            Wrong("cannot see what it looks for", "cannot tell a change of", _with(smallest=0.01)),
            Wrong("cannot see what it looks for", "cannot tell a change of", _with(smallest=0.07)),
            Wrong("has a curve without the untuned model", "constants is [1, 2, 3, 4]", _with(constants=[1, 2, 3, 4])),
            Wrong("has too short a curve", "constants is [0, 2]", _with(constants=[0, 2])),
            Wrong("adds fields of its own", "there is no field 'alpha'", _with(alpha=0.05)),
            Wrong("changes", "another declaration each time", lambda: {**declaration(), "seeds": [next(_CALLS) % 9000]} | {"scenes": 200}),
        ),
    ),
    Task(
        "paired", "before and after", 25, ((check_paired, 4),), ((hidden_paired, 5),), (paired_loop, paired_std),
        (
            Wrong("takes before less after", "a fall is negative", lambda b, a: paired(a, b)),
            Wrong("forgets that the pictures are the same", "the pictures are the same", _paired_of(lambda u, v, x, y, n: 1.96 * math.sqrt((u.var(ddof=1) + v.var(ddof=1)) / n))),
            Wrong("divides by n in place of n - 1", "divide the squares by n - 1", _paired_of(lambda u, v, x, y, n: 1.96 * (v - u).std() / math.sqrt(n))),
            Wrong("takes the spread for the standard error", "spread of one picture", _paired_of(lambda u, v, x, y, n: 1.96 * (v - u).std(ddof=1))),
            Wrong("takes one standard error", "one standard error", _paired_of(lambda u, v, x, y, n: (v - u).std(ddof=1) / math.sqrt(n))),
            Wrong("forgets the mean of the denominators", "mean of the denominators", _paired_of(lambda u, v, x, y, n: 1.96 * (y - x).std(ddof=1) / math.sqrt(n))),
            Wrong("takes means of the pictures' ratios", "means of the pictures' ratios", _of_ratios),
            Wrong("cuts the interval off", "do not cut it off", _clipped),
            Wrong("drops pictures with a denominator of 0", "stays in: the sums are divided", _without_blanks),
            Wrong("rounds", "do not round: other numbers", lambda b, a: tuple(round(float(each), 4) for each in paired(b, a))),
        ),
    ),
    Task(
        "height", "the yardstick's height", 20, ((check_height, 4),), ((hidden_height, 4),), (height_search, height_neighbours),
        (
            Wrong("takes the nearest point", "do not take the nearest", lambda c, x: None if height(c, x) is None else min(c, key=lambda p: (abs(p[0] - x), p[0]))[1]),
            Wrong("takes the points as they come", "sort them by CHAIR_s", _in_order),
            Wrong("goes on flat beyond the ends", "np.interp does that", _clamped),
            Wrong("goes on straight beyond the ends", "nothing is known: None at", _extrapolated),
            Wrong("keeps points of the same CHAIR_s apart", "count as one", _untied),
            Wrong("puts one line through all points", "one straight line through all", _fitted),
            Wrong("leaves an end of the curve out", "both ends belong to the curve", _half_open),
            Wrong("leaves an end of the curve out", "both ends belong to the curve", _open_ends),
            Wrong("takes means of means at the same CHAIR_s", "have the mean of all three", _running),
            Wrong("rounds CHAIR_s to find equal ones", "do not round CHAIR_s", _rounded),
            Wrong("takes a height of 0 for none", "a recall of 0 is a height as well", lambda c, x: height(c, x) or None),
            Wrong("sorts the caller's list", "it changes the list that it was given", _sorted_in_place),
            Wrong("wants a list", "may be a tuple too", lambda c, x: height(c.copy(), x)),
        ),
    ),
    Task(
        "margin", "the margin", 35, ((check_margin, 5),), ((hidden_margin, 6),), (margin_loop, margin_weights),
        (
            Wrong("turns the sign", "the sign is turned", _margin_of(sign=-1)),
            Wrong("takes the curve as known", "resample the curve too", _margin_of(fixed=True)),
            Wrong("takes 90%", "not 5%", _margin_of(ends=(5, 95))),
            Wrong("takes standard deviations for percentiles", "percentiles of the margins themselves", _margin_of(normal=True)),
            Wrong("counts resamples off the curve as 0", "do not count them as 0", _margin_of(zero=True)),
            Wrong("takes means of the pictures' recall", "not the mean of the pictures' ratios", _margin_of(ratios=True)),
            Wrong("takes the first or last of equal points", "on a row, too", _margin_of(height=_first_of_equals)),
            Wrong("takes the first or last of equal points", "on a row, too", _margin_of(height=_last_of_equals)),
            Wrong("leaves rows at the curve's ends out", "of an end of its curve is on it", _margin_of(height=_open_ends)),
            Wrong("leaves rows with a margin of 0 out", "rows with a margin of 0 count", _margin_of(no_zeros=True)),
            Wrong("divides a row's recall by all objects", "not in all", _margin_of(all_there=True)),
            Wrong("takes a margin of 0 for none", "0.0 is not None", _margin_of(none=lambda value: not value)),
            Wrong("takes rows for percentiles", "from np.percentile, and not", _margin_of(rows_own=True)),
            Wrong("does not think of no row on the curve", "where no row is on its curve", _margin_of(no_row=None)),
            Wrong("does not think of no row on the curve", "where no row is on its curve", _margin_of(no_row=(0.225, 0.225, 0.225))),
            Wrong("has a margin off the curve", "the method is off the curve", lambda m, c, d: margin(m, c, d) if margin(m, c, d)[0] is not None else _margin_of(always=True)(m, c, d)),
        ),
    ),
    Task(
        "verdict", "the verdict", 15, ((check_verdict, 4),), ((hidden_verdict, 4),), (verdict_signs, verdict_table),
        (
            Wrong("takes any change for the declared one", "it rose, and was to fall", _verdict_of(lambda d, s, c, m: ("higher" if c[1] > 0 else "lower", s, c, m))),
            Wrong("knows falls only", "it rose, as declared", _verdict_of(lambda d, s, c, m: ("lower", s, c, m))),
            Wrong("looks at values, not at intervals", "the interval of the difference holds 0", _verdict_of(lambda d, s, c, m: (d, s, (c[0],) * 3, m))),
            Wrong("forgets the smallest change", "below the smallest change", _verdict_of(lambda d, s, c, m: (d, 0.0, c, m))),
            Wrong("holds the value against the smallest change", "so it may matter", lambda d, s, c, m: "too small to matter" if verdict(d, s, c, m) != "not shown" and abs(c[0]) < s else verdict(d, s, c, m)),
            Wrong("judges where there is no curve", "no curve where the method is", _verdict_of(lambda d, s, c, m: (d, s, c, (0, 0, 0) if m[0] is None else m))),
            Wrong("looks at the margin's middle", "whatever its middle is", _verdict_of(lambda d, s, c, m: (d, s, c, _middle(m)))),
            Wrong("takes a fall for the rise that was declared", "it fell, and was to rise", lambda *given: _shown(lambda d, low, high: high < 0 or (low > 0 and d == "higher"), given)),
            Wrong("takes the lower end for the far one", "upper end is the one that is farther", lambda d, s, c, m: "too small to matter" if verdict(d, s, c, m) != "not shown" and abs(c[1]) < s else verdict(d, 0.0, c, m)),
            Wrong("asks for the curve first", "is not shown off the curve either", lambda d, s, c, m: "off the curve" if m[0] is None else verdict(d, s, c, m)),
            Wrong("asks for the curve before the size", "too small off the curve as well", lambda d, s, c, m: "off the curve" if m[0] is None and verdict(d, s, c, m) != "not shown" else verdict(d, s, c, m)),
            Wrong("holds the width against the smallest change", "not the interval's width", lambda d, s, c, m: "too small to matter" if verdict(d, s, c, m) != "not shown" and c[2] - c[1] < s else verdict(d, 0.0, c, m)),
            Wrong("takes as far for nearer", "is not nearer than it", lambda d, s, c, m: "too small to matter" if verdict(d, s, c, m) != "not shown" and max(abs(c[1]), abs(c[2])) <= s else verdict(d, s, c, m)),
            Wrong("takes an interval that ends at 0 for shown", "that ends at 0 does not lie", lambda *given: _shown(lambda d, low, high: high <= 0 if d == "lower" else low >= 0, given)),
            Wrong("takes a margin that ends at 0 for more", "that ends at 0 holds it", lambda d, s, c, m: verdict(d, s, c, m if m[0] is None else (m[0], m[1] + 1e-12, m[2]))),
            Wrong("calls worse no more", "the margin's interval lies below 0", lambda *given: verdict(*given).replace("worse than", "no more than")),
        ),
    ),
    Task(
        "report", "the run and the report", 50, ((check_report, 6),),
        ((hidden_report_scenes, 4), (hidden_report_numbers, 8), (hidden_report_verdict, 8)), (report_drawn, report_better),
        (
            Wrong("changes the declaration after the run", "it was changed after the run", _report(declaration=_declared(smallest=0.0999))),
            Wrong("has no whole record", "the record cannot be read", _report(record="")),
            Wrong("has no whole record", "the record cannot be read", _report(record=lambda own: own["record"][: len(own["record"]) // 2])),
            Wrong("leaves the margin out", "the keys must be", lambda: {key: value for key, value in report_drawn().items() if key != "margin"}),
            Wrong("has no verdict of the list", "the verdict is one of", _report(verdict="it works")),
            Wrong("has the run of other scenes", "not of the scenes that", _other_scenes),
            Wrong("has other constants", "constants are not the declared ones", _other_constants),
            Wrong("takes the difference the other way round", "not the other way round", _turned),
            Wrong("takes another measure than the declared one", "this is the difference of chair_i", _other_measure),
            Wrong("draws resamples of its own", "take no rows of your own", _own_draws),
            Wrong("reports other numbers than the record's", "difference: from your record", _report(difference=lambda own: [v - 0.1 for v in own["difference"]])),
            Wrong("reports another margin than the record's", "margin: from your record", _report(margin=lambda own: [v + 0.1 for v in own["margin"]])),
            Wrong("claims more than its numbers", "does not follow from the numbers beside it", _report(verdict=lambda own: next(v for v in VERDICTS if v != own["verdict"]))),
            Wrong("does not say the verdict", "does not say the verdict", _report(sentence=lambda own: "The method changed CHAIR by {:.2f}, from {:.2f} to {:.2f}, as was expected.".format(*own["difference"]))),
            Wrong("claims more than its numbers", "does not follow from the numbers beside it", _report(verdict=lambda own: next(v for v in VERDICTS[:1:-1] if v != own["verdict"]), sentence="It works and is far better than an earlier end, I would say.")),
            Wrong("says numbers that are not the report's", "and no number of the report is that", _report(sentence="The share of captions with a false object falls from 0.84 to 0.41, so the method works well.")),
            Wrong("says two verdicts", "too, which the numbers do not", _report(sentence=lambda own: own["sentence"] + " Or is it worse than an earlier end, or off the curve?")),
            Wrong("says numbers that are not the report's", "and no number of the report is that", _report(sentence=lambda own: own["sentence"] + " It cuts hallucination by 0.77 at least.")),
            Wrong("says no interval", "does not give the difference's", _report(sentence=lambda own: f"On these pictures the method is {own['verdict']}: a change of {own['difference'][0]:.2f} was found.")),
        ),
    ),
)  # fmt: skip
ASSIGNMENT = Assignment("ps4", "Problem set 4: an experiment of one's own", TASKS, Limits(megabytes=768))
