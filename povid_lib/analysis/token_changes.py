"""What a weakened picture makes of each token of a true caption: the same word, another sort of word, a missing companion."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from povid_lib import models
from povid_lib.analysis.next_word import Show, Weaken
from povid_lib.arguments import check_choice
from povid_lib.metrics.stats import Estimate, ratio, share
from povid_lib.models.llava import VLM
from povid_lib.training.dispreference import Tokens, dispreferred_tokens
from povid_lib.world.captions import NUMBERS, PROMPT, WORDS, detailed_caption, short_caption
from povid_lib.world.drawing import COLOURS, SIZES
from povid_lib.world.forms import varied_caption
from povid_lib.world.items import POSITIONS, Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene

# --- which tokens change, and into what --------------------------------------------------------------------------

# "same": the label itself. Words that name an object where one may be named: "companion", a missing partner; "absent", another
# object that is not there; "present", another one that is. "detail": another colour, size, number or place. "is or are": the verb's
# number. "wording": another way to say something true or nothing. "end": the end of the answer. "nonsense": a word that never
# stands there in a caption of this world


SORTS = ("same", "companion", "absent", "present", "detail", "is or are", "wording", "end", "nonsense")
END = "</s>"
_DETAILS = ("colour", "size", "number", "place", "preposition")
_CLASSES = {
    **dict.fromkeys(WORDS, "object"),
    **dict.fromkeys(COLOURS, "colour"),
    **dict.fromkeys(SIZES, "size"),
    **dict.fromkeys((*NUMBERS, "a", "an", "some"), "number"),
    **dict.fromkeys({word for place in POSITIONS for word in place.split()}, "place"),
    **dict.fromkeys(("at", "on", "in"), "preposition"),
    **dict.fromkeys(("is", "are"), "verb"),
}


def _class_of(word: str) -> str:
    return _CLASSES.get(word.lower(), word.lower())


def _beginning(words: Sequence[str]) -> tuple[str, ...]:
    """The classes of the words since the last full stop."""
    start = max((i + 1 for i, word in enumerate(words) if word == "."), default=0)
    return tuple(_class_of(word) for word in words[start:])


@functools.cache
def _grammar(edition: str) -> dict[tuple[str, ...], set[str]]:
    """What classes of word follow each beginning of a sentence in 4,000 true captions; there are some hundred beginnings."""
    rng = np.random.default_rng(0)
    found: dict[tuple[str, ...], set[str]] = {}
    detailed = detailed_caption if edition == "first" else varied_caption
    for k in range(4000):
        items = [_random_item(name, rng) for name in rng.choice(NAMES, 3, replace=False)]
        text = (detailed if k % 4 else short_caption)(items, rng)
        before: tuple[str, ...] = ()
        for word in re.findall(r"\w+|[.,]", text):
            found.setdefault(before, set()).add(_class_of(word))
            before = () if word == "." else (*before, _class_of(word))
    return found


def _random_item(name: str, rng: np.random.Generator) -> Item:
    cells = tuple(rng.permutation(9)[: rng.integers(1, 4) if KINDS[name].plural else 1].tolist())
    colour = str(rng.choice(list(COLOURS))) if KINDS[name].recolourable else None
    return Item(name, str(rng.choice(list(SIZES))), colour, cells)


def sort_of(scene: Scene, labels: Sequence[str], at: int, token: str) -> str:
    """Which of ``SORTS`` a dispreferred token is in place of ``labels[at]``, one word of a true caption.

    Raises ``ValueError`` for a caption that is not made of the sentences of the scene's world.
    """
    words, token = [label.strip() for label in labels], token.strip()
    grammar = _grammar(scene.edition)
    before, label = _beginning(words[:at]), words[at]
    if _class_of(label) not in grammar.get(before, ()):
        raise ValueError(f"sort_of: {label!r} after {' '.join(words[:at])!r} is in no caption of the pocket world.")
    if token in (label, END):
        return "same" if token == label else "end"
    its, true = _class_of(token), _class_of(label)
    misplaced = token.isalpha() and token[0].isupper() != (not before)
    if misplaced or its not in grammar[before]:
        return "nonsense"
    if its == "object":
        meant = next(WORDS[word.lower()] for word in words[at:] if word.lower() in WORDS)
        name = WORDS[token.lower()]
        if name == meant:
            return "wording"
        return "companion" if name in scene.missing_partners else "present" if name in scene.names else "absent"
    if its == "verb" == true:
        return "is or are"
    if true == its in _DETAILS or (before and (its in _DETAILS or (its == "." and true == "place"))):
        return "detail"
    return "wording"


def _words(pieces: Sequence[str]) -> list[tuple[str, int, int]]:
    """The words that a caption's tokens spell, full stops and commas among them, each with its first and its last token."""
    found: list[tuple[str, int, int]] = []
    for at, piece in enumerate(pieces):
        if found and piece[:1].isalpha() and found[-1][0].isalpha():
            word, first, _ = found.pop()
            found.append((word + piece, first, at))
        else:
            found.append((piece.strip(), at, at))
    return found


@dataclass(frozen=True)
class Sorted:
    """What the dispreferred tokens of some captions are; intervals over pictures. Words of several tokens are left out.

    ``changed``: share of all positions whose token is not the label. ``shares``: of each of ``SORTS`` but "same" among those that
    changed. ``at_objects``: of each of ``SORTS`` among the positions at which the caption names an object. ``commonest``: per
    sort, up to five (label, token, how often).
    """

    changed: Estimate
    shares: dict[str, Estimate]
    at_objects: dict[str, Estimate]
    commonest: dict[str, list[tuple[str, str, int]]]


def sorts(
    vlm: VLM,
    batch: Sequence[Scene],
    captions: Sequence[str],
    show: Show,
    weaken: Weaken | None = None,
    draws: int = 1,
    tokens: Tokens = "argmax",
    generator: torch.Generator | None = None,
) -> Sorted:
    """Sort the dispreferred tokens of true captions, shown ``show(scene)``, which is drawn anew ``draws`` times.

    ``captions``: read teacher-forced; ``tokens`` and ``generator``: see ``dispreference.dispreferred_tokens``. Raises
    ``ValueError`` if there are no scenes, not as many captions, or for another choice of ``tokens``, and for a model
    whose tokenizer has not each word of the pocket world as one token.
    """
    if not len(batch) == len(captions) > 0:
        raise ValueError(
            f"sorts: {len(batch)} scenes and {len(captions)} captions; give as many of each, and one at least."
        )
    check_choice("sorts: tokens", tokens, get_args(Tokens))
    if parted := sorted(word for word in _CLASSES if len(models.word_tokens(vlm, word)) > 1):
        raise ValueError(
            f"sorts: {vlm.name!r} writes {len(parted)} words of the pocket world in several tokens, {parted[0]!r} first; what "
            "takes the place of one token is then no word. Use a model that has them whole, such as 'pocket'."
        )
    decode = vlm.processor.tokenizer.decode
    everywhere, at_objects = np.zeros((2, len(batch), len(SORTS)))
    pairs: dict[str, Counter[tuple[str, str]]] = {sort: Counter() for sort in SORTS[1:]}
    for _ in range(draws):
        rows = models.answer_distributions(
            vlm, [show(scene) for scene in batch], [PROMPT] * len(batch), captions, weaken=weaken
        )
        for row, (scene, (ids, logps)) in enumerate(zip(batch, rows, strict=True)):
            labels = _words([decode([i]) for i in ids.tolist()])
            other = dispreferred_tokens(logps, ids, tokens, generator).tolist()
            for at, (label, first, last) in enumerate(labels):
                if (
                    first != last
                ):  # a word of several tokens, such as "Some" at the beginning; what would take its place is no word
                    continue
                word = decode([other[first]]).strip()
                sort = sort_of(scene, [text for text, _, _ in labels], at, word)
                everywhere[row, SORTS.index(sort)] += 1
                if label.lower() in WORDS:
                    at_objects[row, SORTS.index(sort)] += 1
                if sort != "same":
                    pairs[sort][label, word] += 1
    changed = everywhere[:, 1:].sum(1).tolist()
    return Sorted(
        changed=ratio(changed, everywhere.sum(1).tolist()),
        shares={sort: share(everywhere[:, k].tolist(), changed) for k, sort in enumerate(SORTS) if sort != "same"},
        at_objects={sort: share(at_objects[:, k].tolist(), at_objects.sum(1).tolist()) for k, sort in enumerate(SORTS)},
        commonest={sort: [(*pair, n) for pair, n in counts.most_common(5)] for sort, counts in pairs.items()},
    )
