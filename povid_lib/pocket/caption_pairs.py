"""Pairs made of captions: the wrong answer has a false partner put *in* behind its companion, or in a true object's place.

The rewriter of POVID is a GPT-4V that gets the instruction data's own answers (*taught* truth, errors included) and mostly adds to
them. What ``corrupt_text`` writes differs in both: its truth is new, and its corruption replaces.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from povid_lib.data import corrupt_text
from povid_lib.data.pairs import Change, Pair, differences
from povid_lib.pocket.config import CaptionPairs, PocketConfig
from povid_lib.pocket.lessons import lesson
from povid_lib.world import worlds
from povid_lib.world.annotators import Annotator, true_caption
from povid_lib.world.captions import DETAILED_PROMPTS, SYNONYMS, WORDS, mentioned
from povid_lib.world.forms import form_of, sentence
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene, sample_scene

VERSION = "captions-1"  # count up with every change of what is written


def pairs(n: int, taught: PocketConfig, config: CaptionPairs = CaptionPairs()) -> Iterator[Pair]:
    """Up to ``n`` pairs, one a caption; fewer where the taught captions do not allow as many. ``taught``: the model's recipe.

    Raises ``ValueError`` for a recipe of the first edition, whose captions have another style (see ``corrupt_text``).
    """
    if taught.edition == "first":
        raise ValueError(
            "Caption pairs are made of the second edition's captions; for the first use data.corrupt_text."
        )
    found = (pair_of(scene, prompt, text, config) for scene, prompt, text in captions(taught, config))
    return itertools.islice((pair for pair in found if pair is not None), n)


def captions(taught: PocketConfig, config: CaptionPairs) -> Iterator[tuple[Scene, str, str]]:
    """Typical scenes with a question and the caption that is taken for the truth."""
    rng = np.random.default_rng([config.seed, 41])
    if config.truth == "taught":
        for number in rng.permutation(taught.pairs):
            one = lesson(taught, int(number))
            if one.detailed and one.scene.key[1] == "typical":
                luck = np.random.default_rng([config.seed, int(number), 47])
                clean = luck.random() < config.cleaned
                yield one.scene, one.caption.prompt, true_caption(one.scene, luck) if clean else one.caption.answer
        return
    world = worlds.world(edition=taught.edition, cooccurrence=taught.cooccurrence)
    for index in itertools.count(corrupt_text.FIRST + config.seed * corrupt_text.SCENES):
        scene = sample_scene(index, world)
        yield scene, str(rng.choice(DETAILED_PROMPTS)), true_caption(scene, rng)


def pair_of(scene: Scene, prompt: str, text: str, config: CaptionPairs) -> Pair | None:
    """A pair about one caption, or None if it names no object whose partner is missing, or does not allow the corruption."""
    rng = np.random.default_rng([config.seed, scene.key[2], 43])
    sentences = [f"{part.strip()}." for part in text.split(".") if part.strip()]
    corruptions = {
        "insert": _insert,
        "insert_within": _insert_within,
        "insert_even": _insert_even,
        "replace": _replace,
        "stranger": _stranger,
    }
    wrong = corruptions[config.corruption](scene, sentences, rng)
    if wrong is None:
        return None
    rejected = " ".join(wrong)
    changes = tuple(Change("object", a, b) for a, b in differences(text, rejected))
    made = f"{config.truth}-{config.corruption}-{config.seed}"
    return corrupt_text.about(scene, prompt, text, rejected, changes, VERSION, made)


def _companions(scene: Scene, sentences: list[str]) -> list[int]:
    """The sentences about an object whose partner is neither in the scene nor in the caption."""
    named = {name for part in sentences for name in mentioned(part)}
    return [
        at
        for at, part in enumerate(sentences)
        if form_of(part) != "The"
        for name in mentioned(part)[:1]
        if name in scene.names and KINDS[name].partner not in named | set(scene.names)
    ]


def _insert(scene: Scene, sentences: list[str], rng: np.random.Generator) -> list[str] | None:
    return _inserted(scene, sentences, _companions(scene, sentences), rng)


def _insert_within(scene: Scene, sentences: list[str], rng: np.random.Generator) -> list[str] | None:
    last = max((at for at, part in enumerate(sentences) if form_of(part) != "The"), default=0)
    return _inserted(scene, sentences, [at for at in _companions(scene, sentences) if at < last], rng)


def _inserted(scene: Scene, sentences: list[str], options: list[int], rng: np.random.Generator) -> list[str] | None:
    if not options:
        return None
    at = options[rng.integers(len(options))]
    return _claimed(scene, sentences, at, KINDS[mentioned(sentences[at])[0]].partner, rng)


def _claimed(scene: Scene, sentences: list[str], at: int, name: str, rng: np.random.Generator) -> list[str]:
    """The sentences with a false object behind one of them."""
    author = Annotator(world=worlds.world(edition=scene.edition), together=True)
    return [*sentences[: at + 1], sentence(author.invent(name, scene, rng), False, rng), *sentences[at + 1 :]]


def _stranger(scene: Scene, sentences: list[str], rng: np.random.Generator) -> list[str] | None:
    named = {name for part in sentences for name in mentioned(part)}
    contexts = {KINDS[name].context for name in scene.names}
    absent = [name for name in NAMES if name not in named and KINDS[name].context not in contexts]
    return _claimed(scene, sentences, int(rng.integers(len(sentences))), absent[rng.integers(len(absent))], rng)


def _insert_even(scene: Scene, sentences: list[str], rng: np.random.Generator) -> list[str] | None:
    longer = _insert(scene, sentences, rng)
    if longer is None:
        return None
    at = next(k for k, part in enumerate(longer) if k >= len(sentences) or part != sentences[k])
    related = {name for part in longer if form_of(part) == "The" for name in mentioned(part)}
    others = [
        k
        for k, part in enumerate(longer)
        if k not in (at - 1, at) and form_of(part) != "The" and not related & set(mentioned(part))
    ]
    if not others:
        return None
    gone = others[rng.integers(len(others))]
    return [*longer[:gone], *longer[gone + 1 :]]


def _replace(scene: Scene, sentences: list[str], rng: np.random.Generator) -> list[str] | None:
    options = _companions(scene, sentences)
    if not options:
        return None
    false = KINDS[mentioned(sentences[options[rng.integers(len(options))]])[0]].partner
    named = [name for part in sentences if form_of(part) != "The" for name in mentioned(part)[:1]]
    alike = [
        name
        for name in named
        if name not in SYNONYMS
        and false not in SYNONYMS
        and KINDS[name].recolourable == KINDS[false].recolourable
        and (KINDS[name].plural is None) == (KINDS[false].plural is None)
    ]
    if not alike:
        return None
    gone = alike[rng.integers(len(alike))]
    return [_renamed(part, gone, false) for part in sentences]


def _renamed(text: str, name: str, other: str) -> str:
    """The sentence with another noun for one kind, in its number, and the article that goes with it."""
    words = text.split()
    for at, word in enumerate(words):
        bare = word.rstrip(".")
        if WORDS.get(bare) == name:
            noun = other if bare == name else KINDS[other].plural or other
            words[at] = noun + word[len(bare) :]
            if at and words[at - 1].lower() in ("a", "an"):
                article = "an" if noun[0] in "aeio" or noun.startswith("um") else "a"
                words[at - 1] = article.capitalize() if words[at - 1][0].isupper() else article
    return " ".join(words)
