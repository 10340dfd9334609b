"""What is wrong with preference pairs as a set, before anything is trained on them.

``audit`` counts: lengths, edits, kinds of corruption, repeats, pictures. The shortcut tests ask whether the answers alone, without
the picture, give away which one is false; what they find is what a preference loss may learn in the picture's place. See also
``preference_accuracy``, where a model's language prior is asked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from povid_lib.data import images as images_module
from povid_lib.data.pairs import CORRUPTIONS, Pair, checked
from povid_lib.metrics import stats
from povid_lib.metrics.stats import Estimate

NOT_GIVEN = "kind not given"  # where a pair does not list its changes


@dataclass(frozen=True)
class Audit:
    """Estimates are over pictures: pairs of one picture are never treated as independent. Words are what spaces separate."""

    pairs: int
    length_ratio: Estimate  # words of the rejected answer / words of the chosen one, mean over pairs
    longer: Estimate  # share of pairs whose rejected answer has more words
    shorter: Estimate  # ... fewer words
    edits: Estimate  # words inserted, deleted or replaced from chosen to rejected, mean over pairs
    changed: dict[str, Estimate]  # kind of corruption -> words it changes / words of the chosen answers
    duplicates: tuple[str, ...]  # ids of pairs whose picture, question and answers stand in an earlier pair
    same: tuple[str, ...]  # ids of pairs whose answers differ in nothing but case and punctuation
    pictures: dict[str, str]  # picture -> what is wrong with it


def audit(pairs: Iterable[Pair], images: str | Path | None = None) -> Audit:
    """Count what a set of pairs is made of. Files of pictures are looked at if ``images`` names their folder.

    Raises ``ValueError`` if there are no pairs, or ``images`` is no folder.
    """
    pairs = _some("audit", pairs)
    images_module.check_folder(images)
    chosen, rejected = ([len(getattr(pair, side).split()) for pair in pairs] for side in ("chosen", "rejected"))
    edits = [word_distance(pair.chosen, pair.rejected) for pair in pairs]
    changed: dict[str, list[float]] = {kind: [0.0] * len(pairs) for kind in (*CORRUPTIONS, NOT_GIVEN)}
    for at, pair in enumerate(pairs):
        for change in pair.changes:
            changed[change.kind][at] += word_distance(change.chosen, change.rejected)
        if not pair.changes:
            changed[NOT_GIVEN][at] = edits[at]

    def estimate(values: Sequence[float], weights: Sequence[float] | None = None) -> Estimate:
        return _by_picture(pairs, values, weights or [1.0] * len(pairs))

    first = {pair.hash: at for at, pair in reversed(list(enumerate(pairs)))}
    faults = {image: images_module.fault(image, images) for image in dict.fromkeys(pair.image for pair in pairs)}
    return Audit(
        pairs=len(pairs),
        length_ratio=estimate([b / a for a, b in zip(chosen, rejected, strict=True)]),
        longer=estimate([b > a for a, b in zip(chosen, rejected, strict=True)]),
        shorter=estimate([b < a for a, b in zip(chosen, rejected, strict=True)]),
        edits=estimate(edits),
        changed={kind: estimate(values, chosen) for kind, values in changed.items() if any(values)},
        duplicates=tuple(pair.id for at, pair in enumerate(pairs) if first[pair.hash] != at),
        same=tuple(pair.id for pair in pairs if _plain(pair.chosen) == _plain(pair.rejected)),
        pictures={image: fault for image, fault in faults.items() if fault is not None},
    )


def word_distance(first: str, second: str) -> int:
    """Words that must be inserted, deleted or replaced to make the second text of the first (Levenshtein's distance).

    By Hyyro's rows of bits (2003; after Myers 1999, Journal of the ACM 46): a step for each word of one text, over all words of the
    other at once.
    """
    a, b = first.split(), second.split()
    shorter = min(len(a), len(b))
    start = next(
        (i for i in range(shorter) if a[i] != b[i]), shorter
    )  # what both begin or end with costs time and no edits
    end = next((i for i in range(shorter - start) if a[-1 - i] != b[-1 - i]), shorter - start)
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    if not a or not b:
        return len(a) + len(b)
    wanted, where = set(b), defaultdict[str, list[int]](list)
    for i, word in enumerate(a):
        where[word].append(i)
    masks = {word: sum(1 << i for i in places) for word, places in where.items() if word in wanted}
    whole, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down, distance = whole, 0, len(a)
    for word in b:
        same = masks.get(word, 0)
        across = (((same & up) + up) ^ up) | same
        right, left = down | (whole & ~(across | up)), up & across
        distance += bool(right & last) - bool(left & last)
        right, straight = (right << 1) | 1, same | down
        up = ((left << 1) | (whole & ~(straight | right))) & whole
        down = right & straight & whole
    return distance


# --- shortcuts ---------------------------------------------------------------------------------------------------


def text_shortcut(pairs: Iterable[Pair], seed: int = 0, test: Iterable[Pair] | None = None) -> Estimate:
    """How often the words alone give away which answer is true: 0.5 is as it should be, 1 means that nobody need look at the
    picture. 0.5 from a few hundred pairs proves little: the classifier needs thousands to find a small bias (chapter 04).

    A logistic regression on TF-IDF of one and two words, and on length in words and characters, learns to tell chosen from
    rejected answers on half of the pictures. The estimate is its share of right pairs on the other half: the chosen answer scores
    higher; a tie counts half. With ``test`` it learns on all of ``pairs`` and is tested on those.

    Raises ``ValueError`` if there are no pairs, only one picture, answers without a word, or ``test`` has a picture of ``pairs``.
    """
    pairs = _some("text_shortcut", pairs)
    learned = None
    if test is not None:
        test, learned = _some("text_shortcut", test), {pair.image for pair in pairs}
        if shared := learned & {pair.image for pair in test}:
            raise ValueError(
                f"text_shortcut: {len(shared)} pictures stand in both pairs and test, such as {min(shared)!r}; test on others."
            )
        pairs = pairs + test
    return _held_out_accuracy("text_shortcut", pairs, None, seed, learned)


def with_image(
    pairs: Iterable[Pair],
    present: Mapping[str, Collection[str]],
    mentioned: Callable[[str], Iterable[str]],
    seed: int = 0,
) -> Estimate:
    """``text_shortcut`` by one who has seen the pictures: the same test with two features more, how many of the objects that an
    answer names are in its picture and how many are not. High here and 0.5 there: the pairs ask for the picture, and only for it.

    ``present``: picture -> its objects, from the truth or a probe. ``mentioned``: a text -> the objects that it names, as
    ``Vocabulary.mentioned`` does. Raises ``ValueError`` as ``text_shortcut`` does, or if ``present`` lacks a picture.
    """
    pairs = _some("with_image", pairs)
    lacking = sorted({pair.image for pair in pairs} - set(present))
    if lacking:
        raise ValueError(f"with_image: `present` lacks {len(lacking)} pictures, the first is {lacking[0]!r}; add them.")
    counts = []
    for pair, text in _texts(pairs):
        named = list(mentioned(text))
        found = sum(name in present[pair.image] for name in named)
        counts.append((found, len(named) - found))
    return _held_out_accuracy("with_image", pairs, np.array(counts, dtype=float), seed)


def balanced(pairs: Iterable[Pair]) -> list[Pair]:
    """The largest part of the pairs in which every list of changes is as frequent as its reverse, in their order.

    A word that takes the place of another more often than it gives way to it betrays the false answer. Pairs are left out at
    random until the two are equal; those whose changes nowhere happen in reverse go, and so do those that list none.

    Raises ``ValueError`` for what is no pair.
    """
    pairs = [checked("balanced", pair) for pair in pairs]
    made: dict[tuple[tuple[str, str], ...], list[int]] = defaultdict(list)
    for at, pair in enumerate(pairs):
        if pair.changes:
            made[tuple((c.chosen.casefold(), c.rejected.casefold()) for c in pair.changes)].append(at)
    rng, kept = np.random.default_rng(0), []
    for changes, members in made.items():
        reverse = made.get(tuple((b, a) for a, b in changes), [])
        kept += rng.permutation(members)[: len(reverse)].tolist()
    return [pairs[at] for at in sorted(kept)]


def _held_out_accuracy(
    caller: str, pairs: Sequence[Pair], extra: NDArray | None, seed: int, learned: set[str] | None = None
) -> Estimate:
    """``extra``: (2 * pairs, features), in the order of ``_texts``. ``learned``: the pictures to learn from; half of them, drawn
    with ``seed``, if it is None."""
    names = sorted({pair.image for pair in pairs})
    if len(names) < 2:
        raise ValueError(f"{caller}: all pairs are about {names[0]!r}; pairs of at least two pictures are needed.")
    if learned is None:
        order = np.random.default_rng(seed).permutation(len(names))
        learned = {names[i] for i in order[: len(names) // 2]}
    train = np.array([pair.image in learned for pair, _ in _texts(pairs)])
    texts = np.array([text for _, text in _texts(pairs)], dtype=object)
    true = np.arange(len(texts)) < len(pairs)
    if not any(re.search(r"\w", text) for text in texts[train]):
        raise ValueError(
            f"{caller}: the answers to be learnt from, {texts[train][0]!r} first, hold no word; give pairs in words."
        )
    numbers = np.array([(len(text.split()), len(text)) for text in texts], dtype=float)
    if extra is not None:
        numbers = np.hstack([numbers, extra])
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+").fit(texts[train])
    scale = StandardScaler().fit(numbers[train])
    features = scipy.sparse.hstack([words.transform(texts), scale.transform(numbers)], format="csr")
    model = LogisticRegression(max_iter=1000).fit(features[train], true[train])
    chosen, rejected = np.split(model.decision_function(features), 2)
    right = np.where(np.isclose(chosen, rejected, rtol=0, atol=1e-9), 0.5, chosen > rejected)
    held = [(pair, value) for pair, value in zip(pairs, right.tolist(), strict=True) if pair.image not in learned]
    return _by_picture([pair for pair, _ in held], [value for _, value in held], [1.0] * len(held))


def _texts(pairs: Sequence[Pair]) -> list[tuple[Pair, str]]:
    """All chosen answers, then all rejected ones."""
    return [(pair, pair.chosen) for pair in pairs] + [(pair, pair.rejected) for pair in pairs]


def _by_picture(pairs: Sequence[Pair], values: Sequence[float], weights: Sequence[float]) -> Estimate:
    """Sum of values over sum of weights, both one a pair; pairs of one picture belong together."""
    return stats.grouped_ratio([pair.image for pair in pairs], values, weights)


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _some(caller: str, pairs: Iterable[Pair]) -> list[Pair]:
    found = [checked(caller, pair) for pair in pairs]
    if not found:
        raise ValueError(f"{caller}: no pairs; give at least one.")
    return found
