"""Exercises of chapter 04: pairs of attributes, a turn of phrase, and what the checks of a rewriter let through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from povid_lib.course.exercises import Catalogue, Check, Function
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.pairs import Change, Pair
from povid_lib.data.rewrite import prompts
from povid_lib.data.true_answers import Truth
from povid_lib.world.captions import mentioned

TOY = Pair(
    "1", "a.jpg", "What?", "There is a cup. There are two hats.", "There is a cup. There are two drums.",
    (Change("object", "hats", "drums"),),
)  # fmt: skip
TRUTH = Truth("1", "horse.jpg", "Describe this image.", "A man sits on a brown horse next to a fence.")
WIDER = {  # what is true of everything that the word is true of
    "man": ("person", "human", "adult", "male", "guy", "gentleman", "human being"),
    "horse": ("animal", "mammal", "steed", "mount", "equine"),
    "brown": ("", "brownish", "coloured", "colored"),
    "sits": ("is", "is sitting", "is seated"),
    "next to": ("beside", "by", "near", "close to", "alongside"),
    "fence": ("barrier", "enclosure", "structure", "boundary", "obstacle"),
}


def check_attributes(only_attributes: Function) -> None:
    """``only_attributes(n)``: ``n`` pairs, of which nothing but an attribute is false."""
    for n in (30, 4):
        rows = only_attributes(n)
        assert len(rows) == n, f"{n} pairs were asked for, and {len(rows)} came."
        kinds = sorted({change.kind for pair in rows for change in pair.changes})
        assert kinds == ["attribute"], f"the kinds are {kinds}; the other weights must be 0."
        assert len({(pair.image, pair.rejected) for pair in rows}) == n, (
            "one pair comes again and again; draw each of them anew."
        )
        assert all(mentioned(pair.chosen) == mentioned(pair.rejected) for pair in rows), (
            "an object is false as well, whatever its change is called."
        )


def check_reworded(reworded: Function) -> None:
    """``reworded(pair)``: the pair with "I see" at the beginning of the false sentence."""
    got = reworded(TOY)
    assert got.chosen == TOY.chosen, "the chosen answer must stay as it is."
    assert got.rejected == "There is a cup. I see two drums.", f"the rejected answer is {got.rejected!r}."
    first = replace(TOY, rejected="There is a hat. There are two hats.")
    got = reworded(first)
    assert got.rejected == "I see a hat. There are two hats.", (
        f"the false sentence may be any of them: of {first.rejected!r} comes {got.rejected!r}."
    )
    other = replace(TOY, chosen="A cup is there.", rejected="A hat is there.")
    assert reworded(other).rejected == other.rejected, "without a `There` nothing is to be reworded."


def check_slips(slips_through: Function) -> None:
    """``slips_through()``: a text that ``prompts.verify`` passes with its list of changes, and that is true all the same."""
    text, changes = slips_through()
    faults = prompts.verify(TRUTH, text, changes)
    assert not faults, f"{'; '.join(faults)}."
    for was, now in map(_replaced, changes):
        assert was == now or now in WIDER.get(was, ()), (
            f"{now!r} in place of {was!r} may be false. The check knows a few words that are true wherever a word of the caption "
            "is, such as 'mammal' for 'horse'."
        )


def _replaced(change: Change) -> tuple[str, str]:
    """What stands in place of what: without articles, and without the words that both sides begin or end with."""
    was, now = (re.sub(r"\b(an?|the)\b|\W", " ", text.lower()).split() for text in (change.chosen, change.rejected))
    for end in (0, -1):
        while was and now and was[end] == now[end]:
            del was[end], now[end]
    return " ".join(was), " ".join(now)


def only_attributes(n: int) -> Sequence[Pair]:
    return list(pairs(n, Offline(objects=0, relations=0, attributes=1, reasoning=0)))


def reworded(pair: Pair) -> Pair:
    true, false = (answer.split(". ") for answer in (pair.chosen, pair.rejected))
    at = next(i for i, (a, b) in enumerate(zip(true, false, strict=True)) if a != b)
    false[at] = re.sub("^There (is|are)", "I see", false[at])
    return replace(pair, rejected=". ".join(false))


def with_fence(word: str) -> tuple[str, list[Change]]:
    """The caption with another word for the fence, and its change."""
    return TRUTH.answer.replace("fence", word), [Change("object", "fence", word)]


def _relabelled(n: int) -> list[Pair]:
    """Pairs of all kinds, whose changes are called attributes."""
    return [replace(p, changes=tuple(replace(c, kind="attribute") for c in p.changes)) for p in pairs(n)]


RIGHT: dict[Check, Function] = {
    check_attributes: only_attributes,
    check_reworded: reworded,
    check_slips: lambda: with_fence("barrier"),
}
WRONG: dict[Check, Catalogue] = {
    check_attributes: [
        ("30 pairs were asked for, and 0 came", lambda n: []),
        ("the other weights must be 0", lambda n: list(pairs(n))),
        ("one pair comes again", lambda n: [*only_attributes(1)] * n),
        ("4 pairs were asked for, and 30", lambda n: only_attributes(30)),
        ("an object is false as well", _relabelled),
        ("returned list_iterator", lambda n: iter(only_attributes(n))),
        ("returns nothing", lambda n: None),
    ],
    check_reworded: [
        ("the rejected answer is 'There is a cup. There are two drums.'", lambda p: p),
        ("I see a cup. I see", lambda p: replace(p, rejected=re.sub("There (is|are)", "I see", p.rejected))),
        ("the chosen answer must stay", lambda p: replace(p, chosen=p.rejected, rejected=p.chosen)),
        ("may be any of them", lambda p: replace(p, rejected=p.rejected.replace("There are", "I see"))),
        ("raises StopIteration", lambda p: next(iter(()))),
        ("returns nothing", lambda p: None),
    ],
    check_slips: [
        ("is the truth", lambda: (TRUTH.answer, [])),
        ("'trough' in place of 'fence'", lambda: with_fence("trough")),
        ("'dragon' in place of 'fence'", lambda: with_fence("dragon")),
        ("no change is listed", lambda: (with_fence("barrier")[0], [])),
        ("the check cannot go on", lambda: with_fence("barrier")[0]),
        ("returns nothing", lambda: None),
    ],
}
