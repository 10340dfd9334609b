"""What a model says next under a weakened picture: the true object, or the missing companion of one already named (chapter 05)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import BatchFeature

from povid_lib import models
from povid_lib.metrics.stats import Estimate
from povid_lib.models.llava import VLM
from povid_lib.world.captions import SHORT_PROMPTS, WORDS, noun_phrase
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene

Show = Callable[[Scene], Image.Image]  # called anew for every draw
Weaken = Callable[[BatchFeature], BatchFeature]  # see ``models.answer_distributions``


# --- the fork-and-knife experiment -------------------------------------------------------------------------------

# what the next word can be: an object of the scene's context other than truth and companion, an object foreign to it, no object


NEXT = ("truth", "companion", "context", "strangers", "no object")


@dataclass(frozen=True)
class Dilemma:
    """A scene whose short caption has come to "Two cups, a fork and a".

    What is left to be named is the ``truth``, which can be seen and whose own partner is not in the scene; of the objects named,
    exactly one lacks its partner, the ``companion``, and it is named last, as partners are named one behind the other. So the
    picture speaks for the one, and the text so far for the other.
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
            lone = truth.count == 1 and not truth.unseen and KINDS[truth.name].partner in scene.missing_partners
            if lone and len(lacking) == 1 and _article(truth.name) == _article(lacking[0]) == "a":
                found.append(Dilemma(scene, _so_far(_cause_last(named, lacking[0])), truth.name, lacking[0]))
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
    named = _cause_last([item for item in d.scene.salient if item.name != d.truth], d.companion)
    return Dilemma(d.scene, _so_far([*named[:-1], other]), d.truth, d.companion)


def _cause_last(named: Sequence[Item], companion: str) -> list[Item]:
    """The same objects, the one whose partner is the companion behind all others."""
    return sorted(named, key=lambda item: KINDS[item.name].partner == companion)


def _so_far(named: Sequence[Item]) -> str:
    return f"{', '.join(noun_phrase(item, attributes=False) for item in named).capitalize()} and a"


def _article(name: str) -> str:
    return noun_phrase(Item(name), attributes=False).split()[0]


@dataclass(frozen=True)
class NextWords:
    """What comes next, float64 (dilemmas,) for each of ``NEXT``, means over draws.

    ``probability``: out of the whole vocabulary; ``winner``: share of draws in which the likeliest word, or token of
    none of the words, is of this kind. At each
    dilemma either sums to one.
    """

    probability: dict[str, NDArray]
    winner: dict[str, NDArray]


@torch.inference_mode()
def next_words(
    vlm: VLM, asked: Sequence[Dilemma], show: Show, weaken: Weaken | None = None, draws: int = 1
) -> NextWords:
    """The next word after each ``so_far``, shown ``show(scene)``, which is drawn anew ``draws`` times. Plurals and synonyms count
    as their kind. Intervals over dilemmas include the draw, since every dilemma has draws of its own. Raises ``ValueError`` for
    no dilemmas.
    """
    if not asked:
        raise ValueError("next_words: 0 dilemmas; give one at least, or more scenes to find them in.")
    texts = [f"{models.chat(vlm, SHORT_PROMPTS[0])} {d.so_far}" for d in asked]
    words = {word: models.word_tokens(vlm, word) for word in WORDS}
    several = [
        word for word, ids in words.items() if len(ids) > 1
    ]  # these get places of their own behind the vocabulary
    size = vlm.model.config.text_config.vocab_size
    roles = np.full((len(asked), size + len(several)), NEXT.index("no object"))
    for word, kind in WORDS.items():
        place = size + several.index(word) if word in several else words[word][0]
        roles[:, place] = [NEXT.index(d.role(kind)) for d in asked]
    probability, winner = np.zeros((2, len(asked), len(NEXT)))
    for _ in range(draws):
        for at in range(0, len(asked), vlm.rows):
            rows = slice(at, at + vlm.rows)
            batch = models.encode(vlm, [show(d.scene) for d in asked[rows]], texts[rows])
            batch = weaken(batch) if weaken else batch
            logits = vlm.model(**batch, logits_to_keep=1, use_cache=False).logits[:, -1]
            first = logits.float().softmax(-1).cpu().double().numpy()
            for i, p in enumerate(_over_words(vlm, batch, first, [words[word] for word in several]), start=at):
                probability[i] += np.bincount(roles[i], p, len(NEXT)) / draws
                winner[i, roles[i, p.argmax()]] += 1 / draws
    return NextWords(*(dict(zip(NEXT, table.T, strict=True)) for table in (probability, winner)))


def _over_words(vlm: VLM, batch: BatchFeature, first: NDArray, words: Sequence[Sequence[int]]) -> NDArray:
    """The first tokens' probabilities, (rows, vocabulary), with a column more for each word of several tokens: its probability,
    which is taken from its first token's."""
    if not words:
        return first
    begins = [ids[0] for ids in words]
    whole = first[:, begins] * models.rest_logps(vlm, batch, words).double().exp().numpy()
    for token, column in zip(begins, whole.T, strict=True):
        first[:, token] -= column
    return np.hstack([first.clip(0), whole])


# --- over doses: where the companion leads, and how far it comes at equal truth ------------------------------------


RESAMPLES = 2000


@dataclass(frozen=True)
class Window:
    """The ``first`` and ``last`` dose at which one curve leads, nan if nowhere, with 95% bootstrap intervals from those resamples
    that have a window; ``found``: the share of resamples that have one."""

    first: Estimate
    last: Estimate
    found: float


def window(doses: Sequence[float], leader: NDArray, rivals: Sequence[NDArray]) -> Window:
    """Where the mean of ``leader`` lies above the mean of each of ``rivals``, all float (dilemmas, doses).

    Raises ``ValueError`` if the shapes differ or do not fit the doses.
    """
    shapes = {np.shape(a) for a in (leader, *rivals)}
    if len(shapes) > 1 or np.shape(leader)[1:] != (len(doses),):
        raise ValueError(f"window: tables of one shape (dilemmas, {len(doses)}) are needed, not {sorted(shapes)}.")
    at, n, rng = np.asarray(doses, dtype=float), len(leader), np.random.default_rng(0)

    def ends(rows: NDArray) -> tuple[float, float]:
        leads = np.all([leader[rows].mean(0) > rival[rows].mean(0) for rival in rivals], axis=0)
        return (float(at[leads].min()), float(at[leads].max())) if leads.any() else (float("nan"), float("nan"))

    value = ends(np.arange(n))
    drawn = np.array([ends(rng.integers(n, size=n)) for _ in range(RESAMPLES)])
    having = drawn[~np.isnan(drawn[:, 0])]
    bounds = np.quantile(having, (0.025, 0.975), axis=0) if len(having) else np.full((2, 2), np.nan)
    first, last = (Estimate(value[k], float(bounds[0, k]), float(bounds[1, k]), n) for k in (0, 1))
    return Window(first, last, len(having) / RESAMPLES)


def at_equal_truth(
    ways: Mapping[str, tuple[NDArray, NDArray]], level: float
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """How much companion there is where each way to weaken the picture leaves the truth ``level``.

    ``ways``: for each the truth and the companion, float (dilemmas, doses), over the same dilemmas. Between doses the curve of
    means is straight. Returns the companion's value for each way, and its difference from the first way, paired.
    Raises ``ValueError`` if a way's mean truth does not pass ``level``.
    """
    n, rng = len(next(iter(ways.values()))[0]), np.random.default_rng(0)

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
    drawn = np.array([read(rng.integers(n, size=n)) for _ in range(RESAMPLES)])

    def estimates(values: NDArray, draws: NDArray) -> dict[str, Estimate]:
        low, high = np.quantile(draws, (0.025, 0.975), axis=0)
        return {
            k: Estimate(float(v), float(a), float(b), n) for k, v, a, b in zip(ways, values, low, high, strict=True)
        }

    return estimates(value, drawn), estimates(value - value[0], drawn - drawn[:, :1])
