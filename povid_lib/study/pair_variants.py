"""The pairs that the study's methods learn from: the same prompts and pictures, another way to choose the two answers.

Each function takes pairs of ``corrupt_text`` or ``caption_pairs`` (truth and corrupted truth about pocket scenes) and gives what
one method would have in their place. ``changes`` are dropped, as they no longer hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from povid_lib import models
from povid_lib.data import images
from povid_lib.data.pairs import Pair
from povid_lib.models.llava import VLM
from povid_lib.world.annotators import truthful
from povid_lib.world.captions import DETAILED_PROMPTS
from povid_lib.world.judge import judge, judge_description, read_claims
from povid_lib.world.questions import Question
from povid_lib.world.scenes import Scene

SAMPLES = 4  # answers drawn to each prompt; the best and the worst make a pair
BLANK = "blank.png"


def relabelled(rows: Sequence[Pair], share: float, seed: int) -> list[Pair]:
    """A random ``share`` of the pairs with the two answers exchanged: errors in the truth; at one half the labels mean nothing."""
    rng = np.random.default_rng([seed, 31])
    return [_exchanged(p) if rng.random() < share else replace(p, changes=()) for p in rows]


def shorter(rows: Sequence[Pair]) -> list[Pair]:
    """The same answers, and of the two the one with fewer words is chosen, whatever is in the picture: labels by length alone."""
    return [min(p, _exchanged(p), key=lambda q: len(q.chosen.split())) for p in rows]


def _exchanged(pair: Pair) -> Pair:
    return replace(pair, chosen=pair.rejected, rejected=pair.chosen, changes=())


def sampled(vlm: VLM, rows: Sequence[Pair], seed: int, noise: float = 0.0) -> list[Pair]:
    """Preferences between the model's own answers: of several drawn to each prompt the best and the worst, after the scene's truth.

    ``noise``: the share of the labels that the judge gets wrong. Prompts whose answers are all equally good give no pair.
    """
    shown, prompts = [images.picture(p.image) for p in rows], [p.prompt for p in rows]
    drawn = [models.sample(vlm, shown, prompts, seed=1000 * seed + k) for k in range(SAMPLES)]
    found = []
    for pair, *answers in zip(rows, *drawn, strict=True):
        scene = images.scene(pair.image)
        ranked = sorted({a.text for a in answers if a.text}, key=lambda text: (quality(scene, pair.prompt, text), text))
        if len(ranked) > 1 and quality(scene, pair.prompt, ranked[0]) < quality(scene, pair.prompt, ranked[-1]):
            found.append(replace(pair, chosen=ranked[-1], rejected=ranked[0], changes=()))
    return relabelled(found, noise, seed)


def quality(scene: Scene, prompt: str, text: str) -> tuple[float, int]:
    """What makes an answer better: fewer false or unreadable statements first, then more true ones."""
    if prompt in DETAILED_PROMPTS:
        verdict = judge_description(scene, text)
        return -float(len(verdict.false) + verdict.unreadable), len(verdict.true)
    verdict = judge(scene, Question("reason", prompt, ""), text)
    return verdict.score - len(verdict.false) - verdict.unreadable, len(verdict.true)


def corrected(vlm: VLM, rows: Sequence[Pair], seed: int) -> list[Pair]:
    """RLHF-V's way: the model's own answer with its false segments corrected (chosen) against the answer as it was (rejected).

    A sentence about an absent object goes; one that is wrong about an object of the scene is written anew from the truth. Answers
    without an error give no pair.
    """
    shown, prompts = [images.picture(p.image) for p in rows], [p.prompt for p in rows]
    found = []
    for pair, answer in zip(rows, models.sample(vlm, shown, prompts, seed=1000 * seed), strict=True):
        scene = images.scene(pair.image)
        if pair.prompt in DETAILED_PROMPTS:
            better = _corrected(scene, answer.text, np.random.default_rng([seed, *scene.key[2:]]))
        else:
            better = answer.text if quality(scene, pair.prompt, answer.text)[0] == 1 else pair.chosen
        if better and answer.text and better != answer.text:
            found.append(replace(pair, chosen=better, rejected=answer.text, changes=()))
    return found


def _corrected(scene: Scene, text: str, rng: np.random.Generator) -> str:
    kept = []
    for sentence in (f"{s.strip()}." for s in text.split(".") if s.strip()):
        verdict = judge_description(scene, sentence)
        if not verdict.false and not verdict.unreadable:
            kept.append(sentence)
            continue
        claims, _ = read_claims(sentence)
        named = [c.subject for c in claims[:1] if c.subject in scene.names]
        if named and not any(c.kind in ("object", "relation") for c in verdict.false):
            kept.append(truthful(scene).sentence(scene[named[0]], not kept, rng))
    return " ".join(dict.fromkeys(kept))


def own(vlm: VLM, rows: Sequence[Pair]) -> list[Pair]:
    """The chosen answer is what the model says itself; the rejected one stays the corrupted truth."""
    shown, prompts = [images.picture(p.image) for p in rows], [p.prompt for p in rows]
    said = models.generate(vlm, shown, prompts)
    return [
        replace(p, chosen=a.text, changes=())
        for p, a in zip(rows, said, strict=True)
        if a.text and a.text != p.rejected
    ]


def swapped(rows: Sequence[Pair]) -> list[Pair]:
    """Every pair is shown the next pair's picture."""
    return [replace(p, image=q.image, changes=()) for p, q in zip(rows, [*rows[1:], rows[0]], strict=True)]


def blanked(rows: Sequence[Pair], folder: Path) -> list[Pair]:
    """Every pair is shown the same empty picture, which is written to ``folder``."""
    images.scene(rows[0].image).blank().save(folder / BLANK)
    return [replace(p, image=BLANK, changes=()) for p in rows]
