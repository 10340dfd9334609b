"""What the pocket model is like: eyes, answers, hallucination, and whether it hallucinates for the right reasons.

``povid pocket report`` runs everything here on the two held-out test splits and writes ``results/``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from povid_lib.analysis.caption_profile import MEASURES, counted
from povid_lib.analysis.language_prior import blind_answers, image_dependence, language_prior, under_noise, views
from povid_lib.analysis.vision_probe import eyes, fit_probe, said_and_seen
from povid_lib.evaluation.held_out import SPLITS, Heard, ask, held_out, listen
from povid_lib.metrics.chair import Chair, chair
from povid_lib.metrics.pope import Pope, pope
from povid_lib.metrics.stats import Estimate, mean, ratio
from povid_lib.models import weights
from povid_lib.models.llava import VLM
from povid_lib.pocket import architecture, lessons
from povid_lib.pocket.config import PocketConfig
from povid_lib.world.objects import KINDS, NAMES, STRENGTHS
from povid_lib.world.questions import Question, attribute_questions
from povid_lib.world.scenes import Scene

# --- answers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuestionScore:
    """``accuracy`` beside the share that the best ``constant`` answer would get; ``balanced``: the mean over true answers of the
    share that is right, beside ``chance``, which any constant answer gets."""

    accuracy: Estimate
    constant: float
    balanced: Estimate
    chance: float


@dataclass(frozen=True)
class SplitReport:
    """Everything that is measured on one split."""

    chair: Chair
    # share of false objects that are partners of what is in the picture; None: no false objects
    partners: Estimate | None
    partners_chance: float  # the same if false objects were drawn uniformly from the absent ones
    partners_context: float  # the same if they were drawn from the absent ones of the picture's contexts
    by_strength: dict[str, Estimate]  # P(partner), in the world -> share of missing partners that a caption names
    pope: dict[str, Pope]
    questions: dict[str, QuestionScore]  # by kind


def split_report(vlm: VLM, heard: Heard) -> SplitReport:
    """Score captions and POPE's three settings, and ask every other kind of question."""
    batch, false = heard.scenes, [set(s.hallucinated) for s in heard.scores]
    named_missing: dict[float, tuple[list[int], list[int]]] = {c: ([], []) for c in STRENGTHS}
    for scene, wrong in zip(batch, false, strict=True):
        for c, (named, missing) in named_missing.items():
            lacking = [m for m in scene.missing_partners if KINDS[m].strength == c]
            named.append(sum(m in wrong for m in lacking))
            missing.append(len(lacking))
    return SplitReport(
        chair=chair(heard.scores),
        partners=ratio(
            [len(f & set(s.missing_partners)) for f, s in zip(false, batch, strict=True)], [len(f) for f in false]
        )
        if any(false)
        else None,
        partners_chance=float(np.mean([len(s.missing_partners) / (len(NAMES) - len(s.items)) for s in batch])),
        partners_context=float(np.mean([_context_chance(s) for s in batch])),
        by_strength={str(c): ratio(*pair) for c, pair in named_missing.items()},
        pope={setting: pope(polled.answers, polled.truths) for setting, polled in heard.polls.items()},
        questions=question_accuracy(vlm, batch),
    )


def _context_chance(scene: Scene) -> float:
    contexts = {KINDS[name].context for name in scene.names}
    absent = [name for name in NAMES if KINDS[name].context in contexts and name not in scene.names]
    return len(scene.missing_partners) / max(len(absent), 1)


QUESTION_KINDS = ("count", "colour", "size", "position", "relation", "reason")


def question_accuracy(vlm: VLM, batch: Sequence[Scene]) -> dict[str, QuestionScore]:
    """Accuracy by kind of question, one question of each kind a scene. Reasoning items count as right if their result is."""
    rng = np.random.default_rng(5)
    by_kind: dict[str, list[tuple[Scene, Question]]] = {}
    for scene in batch:
        pool = attribute_questions(scene, rng)
        for kind in QUESTION_KINDS:
            of_kind = [q for q in pool if q.kind == kind]
            if of_kind:
                by_kind.setdefault(kind, []).append((scene, of_kind[rng.integers(len(of_kind))]))
    result = {}
    for kind, rows in by_kind.items():
        said = ask(vlm, [s for s, _ in rows], [[q] for _, q in rows])
        right = [outcome(text) == outcome(q.answer) for (text,), (_, q) in zip(said, rows, strict=True)]
        result[kind] = _question_score(right, [_answer_class(q) for _, q in rows])
    return result


def _question_score(right: Sequence[bool], classes: Sequence[str]) -> QuestionScore:
    counts = Counter(classes)
    weights = [1 / counts[c] for c in classes]
    return QuestionScore(
        accuracy=mean(right),
        constant=max(counts.values()) / len(classes),
        balanced=ratio([r * w for r, w in zip(right, weights, strict=True)], weights),
        chance=1 / len(counts),
    )


def _answer_class(question: Question) -> str:
    """What a constant answer could be: the answer itself; in "Which is larger, the A or the B?", the first or the second."""
    asked = re.match(r"Which is larger, the (\w+) or", question.prompt)
    if asked is None:
        return outcome(question.answer)
    return "the first" if outcome(question.answer) == f"the {asked[1]}" else "the second"


def outcome(answer: str) -> str:
    """What of an answer is compared: the part after "Result:" if there is one, without case and full stop."""
    return answer.split("Result:")[-1].strip().rstrip(".").lower()


def profile(batch: Sequence[Scene], texts: Sequence[str]) -> dict[str, Estimate | None]:
    """Every measure of ``caption_profile`` with its interval over scenes; None where nothing counts."""
    found: dict[str, Estimate | None] = {}
    for measure in MEASURES:
        over, under = counted(measure, batch, texts)
        found[measure.__name__] = ratio(over, under) if any(under) else None
    return found


def taught(config: PocketConfig, batch: Sequence[Scene]) -> dict[str, Estimate | None]:
    """The profile of what the annotator of a recipe writes about the scenes."""
    author, rng = lessons.author(config), np.random.default_rng(0)
    return profile(batch, [author.caption(scene, rng) for scene in batch])


def full_report(vlm: VLM, config: PocketConfig, n: int = 500) -> dict[str, Any]:
    """All of the above, as one dictionary for ``results``. ``config``: the model's recipe, see ``lessons.recipe_of``.

    If the model's folder still holds the weights of stage (b), its language model is measured as it was then ("alone").
    """
    batches = {split: held_out(split, n, edition=config.edition) for split in SPLITS}
    probe, data = fit_probe(vlm, config.edition), dict[str, Any]()
    for split, batch in batches.items():
        heard, found, shown = listen(vlm, batch), probe.found(vlm, batch), views(batch)
        texts = heard.captions
        data[split] = {
            "eyes": eyes(batch, found),
            "answers": split_report(vlm, heard),
            "profile": profile(batch, texts),
            "taught": taught(config, batch),
            "said_and_seen": said_and_seen(batch, texts, found),
            "image_dependence": image_dependence(vlm, batch, texts, shown),
            "p_yes": blind_answers(vlm, batch, shown),
        }
        if split == "typical":
            data["noise"] = under_noise(vlm, batch[:150], texts[:150])
    prior = {"joined": language_prior(vlm, batches["typical"])}
    if (stage := Path(vlm.name) / "prior.safetensors").exists():
        before = architecture.build_model(len(vlm.processor.tokenizer)).eval()
        weights.fill(before, stage, [name for name, _ in before.named_parameters() if "vision_tower" not in name])
        before.tie_weights()
        prior["alone"] = language_prior(VLM(vlm.name, before, vlm.processor), batches["typical"])
    return data | {"language_prior": prior}
