"""Exercises of chapter 04: a reader that sees only the length, a turn of phrase, and what a rewriter's checks let through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from povid_lib.course.exercises import Catalogue, Check, Function
from povid_lib.data.pairs import Change, Pair
from povid_lib.data.rewrite import prompts
from povid_lib.data.true_answers import Truth

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


def check_length_reader(length_reader: Function) -> None:
    """``length_reader(pairs)``: the share of pairs whose chosen answer has fewer words; ties count half."""
    longer = replace(TOY, rejected=f"{TOY.chosen} There is a drum.")
    shorter = replace(TOY, rejected="There is a drum.")
    found = [float(length_reader([pair])) for pair in (longer, shorter, TOY)]
    assert found[:2] != [0, 1], "it takes the longer answer for the true one; here the false ones tend to be longer"
    assert found[2] != 1, "answers with as many words count half, not one: the reader has to toss a coin"
    assert found[2] != 0, "answers with as many words count half, not nothing: the reader has to toss a coin"
    assert found == [1, 0, 0.5], f"of a longer, a shorter and an equal rejected answer come {found}, not 1, 0 and 0.5"
    letters = replace(TOY, rejected="There is a cup. There are two umbrellas.")
    assert length_reader([letters]) == 0.5, "count words, not characters: umbrellas are one word, as hats are"
    got = float(length_reader([longer, longer, shorter, TOY]))
    assert abs(got - 0.625) < 1e-9, f"of four pairs, two right, one wrong and a tie, come {got}; divide by all pairs"


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


def length_reader(pairs: Sequence[Pair]) -> float:
    longer = _longer(pairs)
    return sum(0.5 if d == 0 else float(d > 0) for d in longer) / len(longer)


def _longer(pairs: Sequence[Pair]) -> list[int]:
    """How many words more the rejected answer has."""
    return [len(p.rejected.split()) - len(p.chosen.split()) for p in pairs]


def reworded(pair: Pair) -> Pair:
    true, false = (answer.split(". ") for answer in (pair.chosen, pair.rejected))
    at = next(i for i, (a, b) in enumerate(zip(true, false, strict=True)) if a != b)
    false[at] = re.sub("^There (is|are)", "I see", false[at])
    return replace(pair, rejected=". ".join(false))


def with_fence(word: str) -> tuple[str, list[Change]]:
    """The caption with another word for the fence, and its change."""
    return TRUTH.answer.replace("fence", word), [Change("object", "fence", word)]


def _in_characters(pairs: Sequence[Pair]) -> float:
    found = [len(p.rejected) - len(p.chosen) for p in pairs]
    return sum(0.5 if d == 0 else float(d > 0) for d in found) / len(found)


RIGHT: dict[Check, Function] = {
    check_length_reader: length_reader,
    check_reworded: reworded,
    check_slips: lambda: with_fence("barrier"),
}
WRONG: dict[Check, Catalogue] = {
    check_length_reader: [
        ("takes the longer answer", lambda p: 1 - length_reader(p)),
        ("count half, not one", lambda p: sum(d >= 0 for d in _longer(p)) / len(p)),
        ("count half, not nothing", lambda p: sum(d > 0 for d in _longer(p)) / len(p)),
        ("count words, not characters", lambda p: _in_characters(p) if p[0].rejected != TOY.rejected else 0.5),
        ("divide by all pairs", lambda p: length_reader(p) * len(p)),
        ("returns nothing", lambda p: None),
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
