"""From a model's captions to the rows that ``factors`` reads: one for every object that a caption names."""

from __future__ import annotations

import itertools
import math
import re
from bisect import bisect_right
from collections.abc import Collection, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from povid_lib import models
from povid_lib.analysis.factors import Mention, Naming, cooccurrence_of, hellinger
from povid_lib.metrics.vocabulary import Vocabulary, tokenise
from povid_lib.models.llava import VLM


def mention_rows(
    vlm: VLM,
    pictures: Sequence[Image.Image],
    without: Sequence[Image.Image] | None,
    prompt: str,
    captions: Sequence[str],
    truths: Sequence[Collection[str]],
    vocabulary: Vocabulary,
    naming: Naming,
) -> list[Mention]:
    """Read captions (teacher-forced) twice, with their pictures and ``without``: other pictures, or None for no picture at all.

    ``true_answers``: the objects of each picture; its number is the row's ``image``. ``naming``: see
    ``factors.captions_naming``. A word of several tokens has the sum of their log-probabilities, and ``word_distance`` over them.
    Raises ``ValueError`` if pictures, captions and truths differ in number.
    """
    if not len(pictures) == len(captions) == len(truths):
        raise ValueError(
            f"{len(pictures)} pictures, {len(captions)} captions and {len(truths)} truths must be as many."
        )
    prompts = [prompt] * len(captions)
    seen = models.answer_distributions(vlm, pictures, prompts, captions)
    blind = models.answer_distributions(vlm, without, prompts, captions)
    rows = []
    for number, (caption, truth, (ids, logps), (_, other)) in enumerate(
        zip(captions, truths, seen, blind, strict=True)
    ):
        ends = token_ends(vlm, ids.tolist(), caption)
        starts = [start for start, _ in object_starts(caption, vocabulary)]
        at = [token_at(ends, start) for start in starts]
        words = [
            slice(a, token_at(ends, word_end(caption, start) - 1) + 1) for a, start in zip(at, starts, strict=True)
        ]
        chosen = sums_of(logps.gather(-1, ids[:, None])[:, 0].clamp(max=0), words).tolist()
        p, q = (table.double().softmax(-1).numpy() for table in (logps, other))
        moved = [word_distance(p[word], q[word], ids[word].tolist()) for word in words]
        rows += caption_rows(str(number), caption, truth, vocabulary, naming, list(zip(chosen, moved, strict=True)))
    return rows


def caption_rows(
    image: str,
    caption: str,
    truth: Collection[str],
    vocabulary: Vocabulary,
    naming: Naming,
    measured: Sequence[tuple[float, float]] | None = None,
) -> list[Mention]:
    """The rows of one caption. ``image``: key of its picture, whose objects are ``truth``. ``naming``: as for ``mention_rows``.

    ``measured``: ``logp`` and ``distance`` of each mention, in the order of ``object_starts``; None where no model has read the
    caption. Raises ``ValueError`` if they are not as many as the mentions.
    """
    found = object_starts(caption, vocabulary)
    named = [name for _, name in found]
    columns: Sequence[tuple[float | None, float | None]] = [(None, None)] * len(found) if measured is None else measured
    if len(columns) != len(found):
        raise ValueError(
            f"Caption of {image!r}: {len(columns)} measured mentions, but {len(found)} are named; measure each of object_starts."
        )
    return [
        Mention(
            image=image,
            name=name,
            index=len(caption[:start].split()) + 1,
            length=len(caption.split()),
            hallucinated=name not in truth,
            cooccurrence=cooccurrence_of(name, named, naming),
            logp=logp,
            distance=distance,
        )
        for (start, name), (logp, distance) in zip(found, columns, strict=True)
    ]


def object_starts(caption: str, vocabulary: Vocabulary) -> list[tuple[int, str]]:
    """Where, in characters, each named object's word begins, and which object it is."""
    starts, cursor, lower = [], 0, caption.lower()
    for token in tokenise(caption):
        at = lower.find(token, cursor)
        starts.append(at if at >= 0 else cursor)  # the tokeniser rewrites quotation marks, which name nothing
        cursor = max(cursor, at + len(token))
    return [(starts[mention.position], mention.object) for mention in vocabulary.mentions(caption)]


def word_end(caption: str, start: int) -> int:
    """Where, in characters, the word ends that begins at ``start``."""
    found = re.compile(r"\w+").match(caption, start)
    return start + 1 if found is None else found.end()


def word_distance(p: np.ndarray, q: np.ndarray, tokens: Sequence[int]) -> float:
    """Hellinger distance between two readings of a word of one or several tokens, in [0, 1].

    ``p``, ``q``: probabilities (tokens, vocabulary), of each token after those before it. They are compared over the word itself
    and all ways to leave it, the first other token at each of its places: of each place counts what both readings give to the
    tokens before. For one token it is ``hellinger``. Raises ``ValueError`` as it does, or for another number of tokens.
    """
    steps = hellinger(p, q)
    if steps.shape != (len(tokens),) or not len(tokens):
        raise ValueError(
            f"word_distance: {len(tokens)} tokens for distributions {np.shape(p)}; give one for each token."
        )
    at = np.arange(len(tokens))
    both = np.sqrt(np.asarray(p, dtype=float)[at, tokens] * np.asarray(q, dtype=float)[at, tokens])
    reached = np.concatenate([[1.0], both[:-1].cumprod()])
    return math.sqrt(float((reached * steps**2).sum()))


def sums_of(values: Tensor, parts: Sequence[slice]) -> Tensor:
    """The sum of each part of ``values`` (length,): (parts,)."""
    return torch.stack([values[part].sum() for part in parts]) if parts else values[:0]


def token_ends(vlm: VLM, ids: Sequence[int], caption: str) -> list[int]:
    """Where, in characters of the caption, each of its tokens ends; of a letter that is spelt in bytes, only the last has it."""
    decode = vlm.processor.tokenizer.decode
    lead = decode(ids).find(caption)  # most tokenizers put a space in front
    # half a letter is decoded as marks of replacement, and takes whole ones that are spelt in bytes before it with it
    found = (len(decode(ids[: k + 1]).rstrip("\ufffd")) - lead for k in range(len(ids)))
    return list(itertools.accumulate(found, max))


def token_at(ends: Sequence[int], start: int) -> int:
    """Which token holds the character at ``start``. ``ends``: see ``token_ends``."""
    return bisect_right(ends, start)
