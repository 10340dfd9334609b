"""What a weakened picture makes the model say, in the pocket world: between truth and habit, and token by token.

The measurements of chapter 05. ``distort`` weakens pictures and picks tokens; here they are sorted, by a truth that is known.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BatchFeature

from povid_lib import vlm as vlms
from povid_lib.distort import Tokens, check_choice, dispreferred_tokens
from povid_lib.kinds import KINDS, NAMES
from povid_lib.metrics.stats import Estimate, ratio, share
from povid_lib.scenes import COLOURS, POSITIONS, SIZES, Item, Scene
from povid_lib.texts import NUMBERS, PROMPT, SHORT_PROMPTS, WORDS, detailed_caption, noun_phrase, short_caption
from povid_lib.vlm import VLM

Show = Callable[[Scene], Image.Image]  # called anew for every draw
Weaken = Callable[[BatchFeature], BatchFeature]  # see ``vlm.answer_distributions``

# --- the fork-and-knife experiment -------------------------------------------------------------------------------

# what the next word can be: an object of the scene's context other than truth and companion, an object foreign to it, no object
NEXT = ("truth", "companion", "context", "strangers", "no object")


@dataclass(frozen=True)
class Dilemma:
    """A scene whose short caption has come to "A fork, two cups and a".

    What is left to be named is the ``truth``, whose own partner is not in the picture; of the objects named, exactly one lacks its
    partner, the ``companion``. So the picture speaks for the one, and the text so far for the other.
    """

    scene: Scene
    so_far: str
    truth: str
    companion: str

    def role(self, name: str) -> str:
        """Which of ``NEXT`` a kind of object is here."""
        if name in (self.truth, self.companion):
            return "truth" if name == self.truth else "companion"
        contexts = {KINDS[n].context for n in self.scene.names}
        return "context" if KINDS[name].context in contexts else "strangers"


def dilemmas(batch: Sequence[Scene]) -> list[Dilemma]:
    """One for each scene that allows it, with truth and companion both taking "a"."""
    found = []
    for scene in batch:
        for truth in reversed(scene.salient):
            named = [item for item in scene.salient if item is not truth]
            lacking = [KINDS[item.name].partner for item in named if KINDS[item.name].partner not in scene.names]
            lone = truth.count == 1 and KINDS[truth.name].partner in scene.missing_partners
            if lone and len(lacking) == 1 and _article(truth.name) == _article(lacking[0]) == "a":
                found.append(Dilemma(scene, _so_far(named), truth.name, lacking[0]))
                break
    return found


def without_cause(d: Dilemma) -> Dilemma:
    """The dilemma's control: the text names another object in place of the one whose partner is the companion.

    The other one is of the same context; neither it nor its partner is in the scene. The picture stays. So whatever speaks for the
    companion now, it is not the text. Raises ``ValueError`` if the context has no such object.
    """
    cause = KINDS[d.companion].partner
    free = [
        name
        for name in NAMES
        if KINDS[name].context == KINDS[cause].context and not {name, KINDS[name].partner} & set(d.scene.names)
    ]
    if not free:
        raise ValueError(f"without_cause: every pair of the context of {cause!r} is in the scene; take another scene.")
    other = Item(free[d.scene.key[2] % len(free)])
    named = [other if item.name == cause else item for item in d.scene.salient if item.name != d.truth]
    return Dilemma(d.scene, _so_far(named), d.truth, d.companion)


def _so_far(named: Sequence[Item]) -> str:
    return f"{', '.join(noun_phrase(item, attributes=False) for item in named).capitalize()} and a"


def _article(name: str) -> str:
    return noun_phrase(Item(name), attributes=False).split()[0]


@dataclass(frozen=True)
class NextWords:
    """What comes next, float64 (dilemmas,) for each of ``NEXT``, means over draws.

    ``probability``: out of the whole vocabulary; ``winner``: share of draws in which the likeliest token is of this kind. At each
    dilemma either sums to one.
    """

    probability: dict[str, NDArray]
    winner: dict[str, NDArray]


@torch.inference_mode()
def next_words(
    vlm: VLM, asked: Sequence[Dilemma], show: Show, weaken: Weaken | None = None, draws: int = 1
) -> NextWords:
    """The next token after each ``so_far``, shown ``show(scene)``, which is drawn anew ``draws`` times. Plurals and synonyms count
    as their kind. Intervals over dilemmas include the draw, since every dilemma has draws of its own. Raises ``ValueError`` for
    no dilemmas.
    """
    if not asked:
        raise ValueError("next_words: 0 dilemmas; give one at least, or more scenes to find them in.")
    texts = [f"{vlms.chat(vlm, SHORT_PROMPTS[0])} {d.so_far}" for d in asked]
    roles = np.full((len(asked), vlm.model.config.text_config.vocab_size), NEXT.index("no object"))
    for word, kind in WORDS.items():
        roles[:, vlms.word_id(vlm, word)] = [NEXT.index(d.role(kind)) for d in asked]
    probability, winner = np.zeros((2, len(asked), len(NEXT)))
    for _ in range(draws):
        for at in range(0, len(asked), 64):
            rows = slice(at, at + 64)
            batch = vlms.encode(vlm, [show(d.scene) for d in asked[rows]], texts[rows])
            logits = vlm.model(**(weaken(batch) if weaken else batch), logits_to_keep=1).logits[:, -1]
            for i, p in enumerate(logits.float().softmax(-1).cpu().double().numpy(), start=at):
                probability[i] += np.bincount(roles[i], p, len(NEXT)) / draws
                winner[i, roles[i, p.argmax()]] += 1 / draws
    return NextWords(*(dict(zip(NEXT, table.T, strict=True)) for table in (probability, winner)))


# --- over doses: where the companion leads, and how far it comes at equal truth ------------------------------------


@dataclass(frozen=True)
class Window:
    """The ``first`` and ``last`` dose at which one curve leads, nan if nowhere, with 95% bootstrap intervals from those resamples
    that have a window; ``found``: the share of resamples that have one."""

    first: Estimate
    last: Estimate
    found: float


def window(
    doses: Sequence[float],
    leader: NDArray,
    rivals: Sequence[NDArray],
    resamples: int = 2000,
    seed: int = 0,
) -> Window:
    """Where the mean of ``leader`` lies above the mean of each of ``rivals``, all float (dilemmas, doses).

    Raises ``ValueError`` if the shapes differ or do not fit the doses.
    """
    shapes = {np.shape(a) for a in (leader, *rivals)}
    if len(shapes) > 1 or np.shape(leader)[1:] != (len(doses),):
        raise ValueError(f"window: tables of one shape (dilemmas, {len(doses)}) are needed, not {sorted(shapes)}.")
    at, n, rng = np.asarray(doses, dtype=float), len(leader), np.random.default_rng(seed)

    def ends(rows: NDArray) -> tuple[float, float]:
        leads = np.all([leader[rows].mean(0) > rival[rows].mean(0) for rival in rivals], axis=0)
        return (float(at[leads].min()), float(at[leads].max())) if leads.any() else (float("nan"), float("nan"))

    value = ends(np.arange(n))
    drawn = np.array([ends(rng.integers(n, size=n)) for _ in range(resamples)])
    having = drawn[~np.isnan(drawn[:, 0])]
    bounds = np.quantile(having, (0.025, 0.975), axis=0) if len(having) else np.full((2, 2), np.nan)
    first, last = (Estimate(value[k], float(bounds[0, k]), float(bounds[1, k]), n) for k in (0, 1))
    return Window(first, last, len(having) / resamples)


def at_equal_truth(
    ways: Mapping[str, tuple[NDArray, NDArray]], level: float, resamples: int = 2000, seed: int = 0
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """How much companion there is where each way to weaken the picture leaves the truth ``level``.

    ``ways``: for each the truth and the companion, float (dilemmas, doses), over the same dilemmas. Between doses the curve of
    means is straight. Returns the companion's value for each way, and its difference from the first way, paired.
    Raises ``ValueError`` if a way's mean truth does not pass ``level``.
    """
    n, rng = len(next(iter(ways.values()))[0]), np.random.default_rng(seed)

    def read(rows: NDArray) -> list[float]:
        found = []
        for truth, companion in ways.values():
            x, y = truth[rows].mean(0), companion[rows].mean(0)
            order = x.argsort()
            found.append(float(np.interp(level, x[order], y[order])))
        return found

    for name, (truth, _) in ways.items():
        low, high = truth.mean(0).min(), truth.mean(0).max()
        if not low <= level <= high:
            raise ValueError(
                f"at_equal_truth: {name!r} leaves the truth {low:.2f} to {high:.2f}, never {level}; add doses."
            )
    value = np.array(read(np.arange(n)))
    drawn = np.array([read(rng.integers(n, size=n)) for _ in range(resamples)])

    def estimates(values: NDArray, draws: NDArray) -> dict[str, Estimate]:
        low, high = np.quantile(draws, (0.025, 0.975), axis=0)
        return {
            k: Estimate(float(v), float(a), float(b), n) for k, v, a, b in zip(ways, values, low, high, strict=True)
        }

    return estimates(value, drawn), estimates(value - value[0], drawn - drawn[:, :1])


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
def _grammar() -> dict[tuple[str, ...], set[str]]:
    """What classes of word follow each beginning of a sentence in 4,000 true captions; there are about a hundred beginnings."""
    rng = np.random.default_rng(0)
    found: dict[tuple[str, ...], set[str]] = {}
    for k in range(4000):
        items = [_random_item(name, rng) for name in rng.choice(NAMES, 3, replace=False)]
        text = (detailed_caption if k % 4 else short_caption)(items, rng)
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
    """Which of ``SORTS`` a dispreferred token is in place of ``labels[at]``, one token of a true caption.

    Raises ``ValueError`` for a caption that is not made of this world's sentences.
    """
    words, token = [label.strip() for label in labels], token.strip()
    before, label = _beginning(words[:at]), words[at]
    if _class_of(label) not in _grammar().get(before, ()):
        raise ValueError(f"sort_of: {label!r} after {' '.join(words[:at])!r} is in no caption of the pocket world.")
    if token in (label, END):
        return "same" if token == label else "end"
    its, true = _class_of(token), _class_of(label)
    misplaced = token.isalpha() and token[0].isupper() != (not before)
    if misplaced or its not in _grammar()[before]:
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


@dataclass(frozen=True)
class Sorted:
    """What the dispreferred tokens of some captions are; intervals over pictures.

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

    ``captions``: read teacher-forced; ``tokens`` and ``generator``: see ``distort.dispreferred_tokens``. Raises ``ValueError`` if
    there are no scenes, not as many captions, or for another choice of ``tokens``.
    """
    if not len(batch) == len(captions) > 0:
        raise ValueError(
            f"sorts: {len(batch)} scenes and {len(captions)} captions; give as many of each, and one at least."
        )
    check_choice("sorts: tokens", tokens, get_args(Tokens))
    decode = vlm.processor.tokenizer.decode
    everywhere, at_objects = np.zeros((2, len(batch), len(SORTS)))
    pairs: dict[str, Counter[tuple[str, str]]] = {sort: Counter() for sort in SORTS[1:]}
    for _ in range(draws):
        rows = vlms.answer_distributions(
            vlm, [show(scene) for scene in batch], [PROMPT] * len(batch), captions, weaken=weaken
        )
        for row, (scene, (ids, logps)) in enumerate(zip(batch, rows, strict=True)):
            labels = [decode([i]).strip() for i in ids.tolist()]
            for at, token in enumerate(dispreferred_tokens(logps, ids, tokens, generator).tolist()):
                word = decode([token]).strip()
                sort = sort_of(scene, labels, at, word)
                everywhere[row, SORTS.index(sort)] += 1
                if labels[at].lower() in WORDS:
                    at_objects[row, SORTS.index(sort)] += 1
                if sort != "same":
                    pairs[sort][labels[at], word] += 1
    changed = everywhere[:, 1:].sum(1).tolist()
    return Sorted(
        changed=ratio(changed, everywhere.sum(1).tolist()),
        shares={sort: share(everywhere[:, k].tolist(), changed) for k, sort in enumerate(SORTS) if sort != "same"},
        at_objects={sort: share(at_objects[:, k].tolist(), at_objects.sum(1).tolist()) for k, sort in enumerate(SORTS)},
        commonest={sort: [(*pair, n) for pair, n in counts.most_common(5)] for sort, counts in pairs.items()},
    )
