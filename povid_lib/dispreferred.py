"""What a weakened picture makes the model say, in the pocket world: between truth and habit, and token by token.

The measurements of chapter 05. ``distort`` weakens pictures and picks tokens; here they are sorted, by a truth that is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from povid_lib import vlm as vlms
from povid_lib.distort import Tokens, check_choice, dispreferred_tokens
from povid_lib.kinds import KINDS, NAMES
from povid_lib.metrics.stats import Estimate, mean, ratio
from povid_lib.scenes import COLOURS, POSITIONS, SIZES, Item, Scene
from povid_lib.texts import NUMBERS, PROMPT, SHORT_PROMPTS, WORDS, noun_phrase
from povid_lib.vlm import VLM

# --- the fork-and-knife experiment -------------------------------------------------------------------------------


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


def dilemmas(batch: Sequence[Scene]) -> list[Dilemma]:
    """One for each scene that allows it, with truth and companion both taking "a"."""
    found = []
    for scene in batch:
        for truth in reversed(scene.salient):
            named = [item for item in scene.salient if item is not truth]
            lacking = [KINDS[item.name].partner for item in named if KINDS[item.name].partner not in scene.names]
            lone = truth.count == 1 and KINDS[truth.name].partner in scene.missing_partners
            if lone and len(lacking) == 1 and _article(truth.name) == _article(lacking[0]) == "a":
                phrases = ", ".join(noun_phrase(item, attributes=False) for item in named)
                found.append(Dilemma(scene, f"{phrases.capitalize()} and a", truth.name, lacking[0]))
                break
    return found


def _article(name: str) -> str:
    return noun_phrase(Item(name), attributes=False).split()[0]


@torch.inference_mode()
def next_objects(
    vlm: VLM,
    asked: Sequence[Dilemma],
    pictures: Sequence[Image.Image],
    weaken: Callable[[BatchFeature], BatchFeature] | None = None,
) -> dict[str, Estimate]:
    """How the probability of all object words is shared at the next token, shown these pictures: the ``truth`` that is left, the
    ``companion``, all others of the scene's ``context`` and all ``strangers`` to it. ``weaken``: see ``vlm.answer_distributions``.

    Raises ``ValueError`` if there are no dilemmas, or not as many pictures.
    """
    _check_as_many("next_objects", dilemmas=asked, pictures=pictures)
    words = sorted(WORDS)  # plurals and synonyms count as their kind
    ids = [vlms.word_id(vlm, word) for word in words]
    shares: dict[str, list[float]] = {"truth": [], "companion": [], "context": [], "strangers": []}
    texts = [f"{vlms.chat(vlm, SHORT_PROMPTS[0])} {d.so_far}" for d in asked]
    for at in range(0, len(asked), 64):
        rows = slice(at, at + 64)
        batch = vlms.encode(vlm, pictures[rows], texts[rows])
        logits = vlm.model(**(weaken(batch) if weaken else batch), logits_to_keep=1).logits[:, -1]
        for d, probs in zip(asked[rows], logits.float().softmax(-1)[:, ids].cpu().double(), strict=True):
            p = dict.fromkeys(NAMES, 0.0)
            for word, share in zip(words, (probs / probs.sum()).tolist(), strict=True):
                p[WORDS[word]] += share
            shares["truth"].append(p[d.truth])
            shares["companion"].append(p[d.companion])
            contexts = {KINDS[name].context for name in d.scene.names}
            inside = sum(p[name] for name in NAMES if KINDS[name].context in contexts)
            shares["context"].append(inside - p[d.truth] - p[d.companion])
            shares["strangers"].append(1 - inside)
    return {key: mean(values) for key, values in shares.items()}


# --- which tokens change, and into what --------------------------------------------------------------------------

# "same": the label itself; "companion": a missing partner in place of an object; "present", "absent": another object, true or
# false; "detail": another colour, size, number or place; "form": another sort of word than the true one, mostly broken grammar
SORTS = ("same", "companion", "present", "absent", "detail", "form")
_CLASSES = {
    **dict.fromkeys(WORDS, "object"),
    **dict.fromkeys(COLOURS, "colour"),
    **dict.fromkeys(SIZES, "size"),
    **dict.fromkeys((*NUMBERS, "a", "an", "some"), "number"),
    **dict.fromkeys({word for place in POSITIONS for word in place.split()}, "place"),
}


def sort_of(scene: Scene, label: str, token: str) -> str:
    """Which of ``SORTS`` a dispreferred token is, where the true word is ``label``."""
    label, token = (re.sub(r"\W", "", word.lower()) or word.strip() for word in (label, token))
    if token == label:
        return "same"
    if _CLASSES.get(token, "") != _CLASSES.get(label, "") or label not in _CLASSES:
        return "form"
    if _CLASSES[token] != "object":
        return "detail"
    name = WORDS[token]
    return "companion" if name in scene.missing_partners else "present" if name in scene.names else "absent"


def sorts(
    vlm: VLM,
    batch: Sequence[Scene],
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    tokens: Tokens = "argmax",
    weaken: Callable[[BatchFeature], BatchFeature] | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Estimate]:
    """Share of all positions of the captions at which the dispreferred token is of each of ``SORTS``; intervals over pictures.

    ``pictures``: the weakened ones; ``captions``: the true answers, teacher-forced; ``weaken``: see ``vlm.answer_distributions``.
    Raises ``ValueError`` if there are no scenes, not as many pictures or captions, or for another choice of ``tokens``.
    """
    _check_as_many("sorts", scenes=batch, pictures=pictures, captions=captions)
    check_choice("sorts: tokens", tokens, get_args(Tokens))
    decode = vlm.processor.tokenizer.decode
    rows = vlms.answer_distributions(vlm, pictures, [PROMPT] * len(batch), captions, weaken=weaken)
    counts: dict[str, list[int]] = {sort: [] for sort in SORTS}
    lengths = []
    for scene, (labels, logps) in zip(batch, rows, strict=True):
        chosen: Tensor = dispreferred_tokens(logps, labels, tokens, generator)
        found = [
            sort_of(scene, decode([a]), decode([b])) for a, b in zip(labels.tolist(), chosen.tolist(), strict=True)
        ]
        lengths.append(len(found))
        for sort in SORTS:
            counts[sort].append(found.count(sort))
    return {sort: ratio(counts[sort], lengths) for sort in SORTS}


def _check_as_many(caller: str, **given: Sequence[object]) -> None:
    counts = {name: len(values) for name, values in given.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"{caller}: {told}; give as many of each, and one at least.")
