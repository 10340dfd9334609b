"""What the study measures of a model: for every held-out scene a numerator and a denominator of each measure.

Kept by scene, so that two models, or five seeds of each, can be compared on the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from povid_lib import models
from povid_lib.analysis.caption_profile import (
    counted,
    followed,
    followed_new,
    in_place,
    partners,
    place_false,
    place_true,
    recall_seen,
    recall_unseen,
    unreadable,
)
from povid_lib.analysis.preference_accuracy import log_odds
from povid_lib.arguments import check_choice
from povid_lib.data import corrupt_text
from povid_lib.data.corrupt_text import Offline
from povid_lib.data.pairs import Pair
from povid_lib.evaluation.held_out import SPLITS, Decode, Heard, Polled, ask, greedy, held_out, listen, polled, score
from povid_lib.metrics.spellings import parse_yes_no
from povid_lib.models import contrastive_decoding, end_bias
from povid_lib.models.llava import VLM
from povid_lib.pocket import caption_pairs
from povid_lib.pocket.config import CaptionPairs
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import DETAILED_PROMPTS, PROMPT
from povid_lib.world.judge import ERRORS, Verdict, judge, judge_description
from povid_lib.world.objects import KINDS, STRENGTHS
from povid_lib.world.questions import Question, attribute_questions
from povid_lib.world.scenes import Scene
from povid_lib.world.worlds import EDITION

# as usual; drawn at temperature 1; visual contrastive decoding; with no picture at all; a constant added to the end token; a
# constant taken from words for objects that a blank picture makes as likely
DECODINGS = ("greedy", "sampled", "contrast", "blind", "ending", "unsupported")
WITH_CONSTANT = ("ending", "unsupported")
PROFILE = (recall_seen, recall_unseen, partners, followed, followed_new, place_false, place_true, in_place, unreadable)
TESTED = (  # measures that are compared, and corrected for
    "chair_s",
    "chair_i",
    "recall",
    "recall_seen",
    "words",
    "adversarial",
    "description",
    "conversation",
    "reasoning",
)
MARGIN = "beyond"  # not measured of one model: recall of seen objects above the end-token constant's at equal CHAIR_s
CUT = 20  # words of a caption that the length-controlled measure reads
DRIFT_SCENES = 100
QUESTION_SCENES = 150  # about which more is asked than a caption: seven of eight questions were these
ASIDE_SCENES = 150  # that are described once more: by chance, and for another prompt
Rows = dict[str, list[list[float]]]  # measure -> [numerators, denominators], one entry a scene


def measure(
    vlm: VLM,
    base: VLM,
    n: int,
    decode: str = "greedy",
    seed: int = 0,
    constant: float = 0.0,
    scenes_of: str = "test",
    edition: str = EDITION,
) -> dict[str, Rows]:
    """Both kinds of held-out scenes, ``n`` each, under one way of decoding; ``base``: the model that drift is measured from.
    ``constant``: for the decodings of ``WITH_CONSTANT``. ``scenes_of``: "validation" or "test". ``edition``: of the world.

    Raises ``ValueError`` for another way of decoding.
    """
    say, found = decoding(decode, seed, constant), dict[str, Rows]()
    for split in SPLITS:
        batch = held_out(split, n, scenes_of, edition)
        few = batch[:DRIFT_SCENES]
        found[split] = _split(vlm, batch, say) | drift(vlm, base, few) | reward_accuracy(vlm, base, few)
        if decode == "greedy":
            found[split] |= asides(vlm, batch[:ASIDE_SCENES], seed)
    return found


def asides(vlm: VLM, batch: Sequence[Scene], seed: int) -> Rows:
    """CHAIR_s, recall and words of captions that are drawn at temperature 1 ("..._sampled"), and of greedy ones that answer another
    prompt ("..._prompted")."""
    found, pictures = Rows(), [scene.image() for scene in batch]
    drawn = models.sample(vlm, pictures, [PROMPT] * len(batch), seed=seed)
    said = models.generate(vlm, pictures, [DETAILED_PROMPTS[-1]] * len(batch))
    for name, answers in (("sampled", drawn), ("prompted", said)):
        texts = [a.text for a in answers]
        scores, ones = score(batch, texts), [1.0] * len(batch)
        found[f"chair_s_{name}"] = [[float(bool(s.hallucinated)) for s in scores], ones]
        found[f"recall_seen_{name}"] = list(counted(recall_seen, batch, texts))
        found[f"words_{name}"] = [[float(s.words) for s in scores], ones]
    return found


def reward_accuracy(vlm: VLM, base: VLM, batch: Sequence[Scene]) -> Rows:
    """How often training has raised a pair's true caption above its corrupted one: log-odds against those of ``base``, a tie counts
    half; with the picture, and before blank paper ("..._blank").

    The pairs are about these scenes, of which no training knows; a scene that allows none counts 0 of 0. The odds by themselves say
    nothing here: the corrupted caption is the longer one, and for its length alone less likely.
    """
    pairs = [_pair(scene) for scene in batch]
    made = [(pair, scene) for pair, scene in zip(pairs, batch, strict=True) if pair is not None]
    found = Rows()
    for name, shown in (("reward_accuracy", Scene.image), ("reward_accuracy_blank", Scene.blank)):
        rows, pictures = [pair for pair, _ in made], [shown(scene) for _, scene in made]
        margins = [a - b for a, b in zip(log_odds(vlm, rows, pictures), log_odds(base, rows, pictures), strict=True)]
        won = iter([0.5 if margin == 0 else float(margin > 0) for margin in margins])
        right = [0.0 if pair is None else next(won) for pair in pairs]
        found[name] = [right, [float(pair is not None) for pair in pairs]]
    return found


def _pair(scene: Scene) -> Pair | None:
    if scene.edition == "first":
        return corrupt_text.pair_of(scene, Offline(relations=0, attributes=0, reasoning=0, edition="first"))
    text = true_caption(scene, np.random.default_rng(scene.key[2]))
    return caption_pairs.pair_of(scene, PROMPT, text, CaptionPairs(truth="new"))


def decoding(name: str, seed: int, constant: float = 0.0) -> Decode:
    """One of ``DECODINGS``. Raises ``ValueError`` for another."""
    check_choice("decode", name, DECODINGS)

    def sampled(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        return [a.text for a in models.sample(vlm, pictures, prompts, seed=seed)]

    def ending(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        return [a.text for a in end_bias.generate(vlm, pictures, prompts, constant)]

    def unsupported(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        blanks = [end_bias.blank_of(picture) for picture in pictures]
        return [a.text for a in end_bias.unsupported(vlm, pictures, blanks, prompts, constant)]

    def contrast(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        answers = contrastive_decoding.generate(vlm, pictures, prompts, seed=seed, batch_size=128)
        return [a.text for a in answers]

    return {
        "greedy": greedy,
        "sampled": sampled,
        "contrast": contrast,
        "blind": _blind,
        "ending": ending,
        "unsupported": unsupported,
    }[name]


def _blind(vlm: VLM, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
    said = {prompt: models.generate(vlm, None, prompt)[0].text for prompt in dict.fromkeys(prompts)}
    return [said[prompt] for prompt in prompts]


def _split(vlm: VLM, batch: Sequence[Scene], decode: Decode) -> Rows:
    """Captions of all scenes; about the first of them POPE's adversarial setting, with two objects that are there and two that are
    not, and other questions."""
    heard, few = listen(vlm, batch, (), decode=decode), batch[:QUESTION_SCENES]
    return _captions(heard) | _polls(polled(vlm, few, "adversarial", 2, decode)) | _questions(vlm, few, decode)


def _captions(heard: Heard) -> Rows:
    batch, texts, scores = heard.scenes, heard.captions, heard.scores
    ones = [1.0] * len(batch)
    cut = score(batch, [" ".join(text.split()[:CUT]) for text in texts])
    verdicts = [judge_description(scene, text) for scene, text in zip(batch, texts, strict=True)]
    hard = [{item.name for item in scene.items if item.hard} for scene in batch]
    named = [set(s.mentioned) for s in scores]
    missing = [set(scene.missing_partners) for scene in batch]
    false = [set(s.hallucinated) for s in scores]
    return {
        "chair_s": [[float(bool(s.hallucinated)) for s in scores], ones],
        "chair_i": [[float(len(s.hallucinated)) for s in scores], [float(len(s.mentioned)) for s in scores]],
        "recall": [[float(s.recalled) for s in scores], [float(len(s.truth)) for s in scores]],
        "recall_hard": [[float(len(h & n)) for h, n in zip(hard, named, strict=True)], [float(len(h)) for h in hard]],
        "words": [[float(s.words) for s in scores], ones],
        "chair_s_cut": [[float(bool(s.hallucinated)) for s in cut], ones],
        **{f"partners_{c}": _claimed(false, missing, c) for c in STRENGTHS},
        "others": [[float(len(f - m)) for f, m in zip(false, missing, strict=True)], ones],
        "description": [[v.score for v in verdicts], ones],
        **{f"false_{error}": _false(verdicts, error) for error in dict.fromkeys(ERRORS.values())},
        **{measure.__name__: list(counted(measure, batch, texts)) for measure in PROFILE},
    }


def _claimed(false: Sequence[set[str]], missing: Sequence[set[str]], strength: float) -> list[list[float]]:
    """Missing partners that a caption names, among all that are missing, of pairs of one strength in the world."""
    lacking = [{name for name in names if KINDS[name].strength == strength} for names in missing]
    return [[float(len(f & m)) for f, m in zip(false, lacking, strict=True)], [float(len(m)) for m in lacking]]


def _false(verdicts: Sequence[Verdict], error: str) -> list[list[float]]:
    """False among all statements of one kind (objects, attributes, relations)."""
    false = [float(sum(ERRORS[c.kind] == error for c in v.false)) for v in verdicts]
    true = [float(sum(ERRORS[c.kind] == error for c in v.true)) for v in verdicts]
    return [false, [f + t for f, t in zip(false, true, strict=True)]]


def _polls(polled: Polled) -> Rows:
    said = [[parse_yes_no(text) for text in row] for row in polled.answers]
    right = [
        float(sum(s == t for s, t in zip(row, truths, strict=True)))
        for row, truths in zip(said, polled.truths, strict=True)
    ]
    number = [float(len(row)) for row in said]
    return {"adversarial": [right, number], "yes_ratio": [[float(sum(s is True for s in row)) for row in said], number]}


def _questions(vlm: VLM, batch: Sequence[Scene], decode: Decode) -> Rows:
    """LLaVA-Bench's other two kinds after the exact judge: two questions of conversation a scene and one of reasoning."""
    rng = np.random.default_rng(5)
    talk: list[list[Question]] = []
    reason: list[list[Question]] = []
    for scene in batch:
        pool = attribute_questions(scene, rng)
        for found, wanted, most in ((talk, False, 2), (reason, True, 1)):
            of_kind = [q for q in pool if (q.kind == "reason") == wanted]
            found.append([of_kind[k] for k in rng.permutation(len(of_kind))[:most]])
    worth = {}
    for name, asked in (("conversation", talk), ("reasoning", reason)):  # apart, as answers of one length go faster
        worth[name] = [
            [judge(scene, q, text).score for q, text in zip(questions, given, strict=True)]
            for scene, questions, given in zip(batch, asked, ask(vlm, batch, asked, decode), strict=True)
        ]
    counts = [
        [w for w, q in zip(row, questions, strict=True) if q.kind == "count"]
        for row, questions in zip(worth["conversation"], talk, strict=True)
    ]
    return {
        name: [[float(sum(row)) for row in found], [float(len(row)) for row in found]]
        for name, found in {**worth, "counts": counts}.items()
    }


@torch.inference_mode()
def drift(vlm: VLM, base: VLM, batch: Sequence[Scene]) -> Rows:
    """How far the model has moved, over the words of true captions: ``drift``, KL(model || base) with the picture, and
    ``language``, the negative log-likelihood without one. Both in nats, summed over a caption; denominators are its tokens."""
    texts = [true_caption(scene, np.random.default_rng(i)) for i, scene in enumerate(batch)]
    pictures, prompts = [scene.image() for scene in batch], [PROMPT] * len(batch)
    now, before = (models.answer_distributions(m, pictures, prompts, texts) for m in (vlm, base))
    moved = [_kl(p, q) for (_, p), (_, q) in zip(now, before, strict=True)]
    blind = models.answer_logps(vlm, None, prompts, texts)
    tokens = [float(len(row)) for row in blind]
    return {"drift": [moved, tokens], "language": [[-float(row.sum()) for row in blind], tokens]}


def _kl(log_p: Tensor, log_q: Tensor) -> float:
    return float((log_p.exp() * (log_p - log_q)).sum())


def as_json(found: dict[str, Rows]) -> dict[str, Any]:
    """Numerators and denominators with whole numbers written short."""
    return {
        split: {
            name: [[int(v) if v == int(v) else round(v, 5) for v in values] for values in pair]
            for name, pair in rows.items()
        }
        for split, rows in found.items()
    }
