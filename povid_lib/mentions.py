"""From a model's captions to the rows that ``diagnose`` reads: one for every object that a caption names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence

import torch
from PIL import Image

from povid_lib import vlm as vlms
from povid_lib.diagnose import Mention, cooccurrence_of, hellinger
from povid_lib.metrics.vocabulary import Vocabulary, tokenise
from povid_lib.vlm import VLM


def mention_rows(
    vlm: VLM,
    pictures: Sequence[Image.Image],
    without: Sequence[Image.Image] | None,
    prompt: str,
    captions: Sequence[str],
    truths: Sequence[Collection[str]],
    vocabulary: Vocabulary,
    naming: Mapping[str, frozenset[int]],
) -> list[Mention]:
    """Read captions (teacher-forced) twice, with their pictures and ``without``: other pictures, or None for no picture at all.

    ``truths``: the objects of each picture; its number is the row's ``image``. ``naming``: see ``diagnose.captions_naming``. A word
    of several tokens is taken at its first one. Raises ``ValueError`` if pictures, captions and truths differ in number.
    """
    if not len(pictures) == len(captions) == len(truths):
        raise ValueError(
            f"{len(pictures)} pictures, {len(captions)} captions and {len(truths)} truths must be as many."
        )
    prompts = [prompt] * len(captions)
    seen = vlms.answer_distributions(vlm, pictures, prompts, captions)
    blind = vlms.answer_distributions(vlm, without, prompts, captions)
    rows = []
    for number, (caption, truth, (ids, logps), (_, other)) in enumerate(
        zip(captions, truths, seen, blind, strict=True)
    ):
        found = object_starts(caption, vocabulary)
        named = [name for _, name in found]
        ends = token_ends(vlm, ids.tolist(), caption)
        for start, name in found:
            at = token_at(ends, start)
            rows.append(
                Mention(
                    image=str(number),
                    name=name,
                    index=len(caption[:start].split()) + 1,
                    length=len(caption.split()),
                    logp=min(0.0, float(logps[at, ids[at]])),
                    hallucinated=name not in truth,
                    cooccurrence=cooccurrence_of(name, named, naming),
                    distance=float(hellinger(*(torch.stack([logps[at], other[at]]).double().softmax(-1).numpy()))),
                )
            )
    return rows


def object_starts(caption: str, vocabulary: Vocabulary) -> list[tuple[int, str]]:
    """Where, in characters, each named object's word begins, and which object it is."""
    starts, cursor, lower = [], 0, caption.lower()
    for token in tokenise(caption):
        at = lower.find(token, cursor)
        starts.append(at if at >= 0 else cursor)  # the tokeniser rewrites quotation marks, which name nothing
        cursor = max(cursor, at + len(token))
    return [(starts[mention.position], mention.object) for mention in vocabulary.mentions(caption)]


def token_ends(vlm: VLM, ids: Sequence[int], caption: str) -> list[int]:
    """Where, in characters of the caption, each of its tokens ends."""
    decode = vlm.processor.tokenizer.decode
    lead = decode(ids).find(caption)  # most tokenizers put a space in front
    return [len(decode(ids[: k + 1])) - lead for k in range(len(ids))]


def token_at(ends: Sequence[int], start: int) -> int:
    """Which token holds the character at ``start``. ``ends``: see ``token_ends``."""
    return bisect_right(ends, start)
