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
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from povid_lib import pocket
from povid_lib import vlm as vlms
from povid_lib.distort import POVID_STEP, noised
from povid_lib.kinds import KINDS, NAMES, STRENGTHS
from povid_lib.metrics.chair import CaptionScore, Chair, chair, score_caption
from povid_lib.metrics.pope import Pope, pope
from povid_lib.metrics.stats import Estimate, mean, ratio
from povid_lib.pocket_eyes import eyes, fit_probe, said_and_seen
from povid_lib.scenes import Item, Scene, World, scenes
from povid_lib.texts import (
    PROMPT,
    Question,
    attribute_questions,
    detailed_caption,
    exist_question,
    mentioned,
    noun_phrase,
    polls,
)
from povid_lib.vlm import VLM

SPLITS = ("typical", "counter_typical")


def held_out(kind: str, n: int = 500) -> list[Scene]:
    """The first ``n`` scenes of a held-out split: "typical" or "counter_typical"."""
    return list(scenes(n, World(kind), "test"))


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
    partners: (
        Estimate | None
    )  # share of false objects that are partners of what is in the picture; None: no false objects
    partners_chance: float  # the same if false objects were drawn uniformly from the absent ones
    partners_context: float  # the same if they were drawn from the absent ones of the picture's contexts
    by_strength: dict[str, Estimate]  # P(partner), in the world -> share of missing partners that a caption names
    pope: dict[str, Pope]
    questions: dict[str, QuestionScore]  # by kind


def captions(vlm: VLM, batch: Sequence[Scene], pictures: Sequence[Image.Image] | None = None) -> list[str]:
    """The model's descriptions of the scenes (or of other pictures put in their place)."""
    return [a.text for a in vlms.generate(vlm, pictures or [s.image() for s in batch], PROMPT)]


def score(batch: Sequence[Scene], texts: Sequence[str]) -> list[CaptionScore]:
    return [score_caption(text, scene.names, mentioned) for scene, text in zip(batch, texts, strict=True)]


def split_report(vlm: VLM, batch: Sequence[Scene], texts: Sequence[str]) -> SplitReport:
    """Score captions, ask POPE's three settings and every other kind of question."""
    scores = score(batch, texts)
    false = [set(s.hallucinated) for s in scores]
    named_missing: dict[float, tuple[list[int], list[int]]] = {c: ([], []) for c in STRENGTHS}
    for scene, wrong in zip(batch, false, strict=True):
        for c, (named, missing) in named_missing.items():
            lacking = [m for m in scene.missing_partners if KINDS[m].strength == c]
            named.append(sum(m in wrong for m in lacking))
            missing.append(len(lacking))
    settings = {s: [polls(scene, s) for scene in batch] for s in ("random", "popular", "adversarial")}
    return SplitReport(
        chair=chair(scores),
        partners=ratio(
            [len(f & set(s.missing_partners)) for f, s in zip(false, batch, strict=True)], [len(f) for f in false]
        )
        if any(false)
        else None,
        partners_chance=float(np.mean([len(s.missing_partners) / (len(NAMES) - len(s.items)) for s in batch])),
        partners_context=float(np.mean([_context_chance(s) for s in batch])),
        by_strength={str(c): ratio(*pair) for c, pair in named_missing.items()},
        pope={
            s: pope(ask(vlm, batch, q), [[x.answer == "Yes." for x in row] for row in q]) for s, q in settings.items()
        },
        questions=question_accuracy(vlm, batch),
    )


def _context_chance(scene: Scene) -> float:
    contexts = {KINDS[name].context for name in scene.names}
    absent = [name for name in NAMES if KINDS[name].context in contexts and name not in scene.names]
    return len(scene.missing_partners) / max(len(absent), 1)


def ask(vlm: VLM, batch: Sequence[Scene], questions: Sequence[Sequence[Question]]) -> list[list[str]]:
    """The model's answers to each scene's questions."""
    pictures = [scene.image() for scene, row in zip(batch, questions, strict=True) for _ in row]
    flat = iter(
        vlms.generate(vlm, pictures, [q.prompt for row in questions for q in row], max_new_tokens=48, batch_size=128)
    )
    return [[next(flat).text for _ in row] for row in questions]


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


# --- reasons -----------------------------------------------------------------------------------------------------


def views(batch: Sequence[Scene]) -> dict[str, list[Image.Image]]:
    """The pictures as ``seen``, ``noised`` (POVID's step 500), ``blank`` (the paper with nothing on it) and ``swapped`` (the next
    scene's)."""
    seen, generator = [scene.image() for scene in batch], torch.Generator().manual_seed(13)
    return {
        "seen": seen,
        "noised": [noised(picture, POVID_STEP, generator) for picture in seen],
        "blank": [scene.blank() for scene in batch],
        "swapped": [*seen[1:], seen[0]],
    }


def image_dependence(vlm: VLM, batch: Sequence[Scene], texts: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """How much less likely each word of the model's own caption becomes when the picture is taken away.

    For true and for false object words: the probability under each of ``views``, and the share of words that keep more than half
    of their probability under each but the first.
    """
    questions, pictures = [PROMPT] * len(batch), views(batch)
    logps = {view: vlms.answer_logps(vlm, shown, questions, texts) for view, shown in pictures.items()}
    others = [view for view in pictures if view != "seen"]
    tokenizer, table = vlm.processor.tokenizer, {}
    for group in ("true", "false"):
        sums: dict[str, list[float]] = {key: [] for key in (*pictures, "n", *(f"kept_{view}" for view in others))}
        for row, (scene, text) in enumerate(zip(batch, texts, strict=True)):
            words = [tokenizer.decode([i]).strip() for i in tokenizer.encode(f" {text}", add_special_tokens=False)]
            named = [mentioned(word) for word in words]
            picked = [i for i, n in enumerate(named) if n and (n[0] in scene.names) == (group == "true")]
            probs = {view: logps[view][row][picked].exp().numpy() for view in pictures}
            for view in pictures:
                sums[view].append(float(probs[view].sum()))
            for view in others:
                sums[f"kept_{view}"].append(int((probs[view] > probs["seen"] / 2).sum()))
            sums["n"].append(len(picked))
        table[group] = {key: ratio(values, sums["n"]) for key, values in sums.items() if key != "n"}
    return table


def blind_answers(vlm: VLM, batch: Sequence[Scene]) -> dict[str, dict[str, Estimate]]:
    """P(yes) to "Is there a ...?" for present objects, missing partners and unrelated objects, under each of ``views``.

    P(yes) is taken over the two words yes and no at the first token of the answer.
    """
    yes, no = (vlms.word_id(vlm, w) for w in ("Yes", "No"))
    rng, rows = np.random.default_rng(3), []
    for i, scene in enumerate(batch):
        other = [n for n in NAMES if n not in scene.names and n not in scene.missing_partners]
        about = {"present": rng.choice(scene.names), "unrelated": rng.choice(other)}
        if scene.missing_partners:
            about["missing_partner"] = rng.choice(scene.missing_partners)
        rows += [(i, group, str(name)) for group, name in about.items()]
    prompts = [exist_question(name, True).prompt for _, _, name in rows]
    table: dict[str, dict[str, Estimate]] = {}
    for view, pictures in views(batch).items():
        logits = first_logits(vlm, [pictures[i] for i, _, _ in rows], prompts)
        p_yes = torch.sigmoid(logits[:, yes] - logits[:, no]).numpy()
        for group in ("present", "missing_partner", "unrelated"):
            table.setdefault(group, {})[view] = mean([p for p, row in zip(p_yes, rows, strict=True) if row[1] == group])
    return table


@torch.inference_mode()
def first_logits(vlm: VLM, pictures: Sequence[Image.Image] | None, questions: Sequence[str]) -> Tensor:
    """Logits of the first token of each answer: float32 (rows, vocabulary)."""
    parts = []
    for at in range(0, len(questions), 128):
        rows = slice(at, at + 128)
        texts = [vlms.chat(vlm, q, image=pictures is not None) for q in questions[rows]]
        batch = vlms.encode(vlm, pictures[rows] if pictures is not None else None, texts)
        parts.append(vlm.model(**batch, logits_to_keep=1).logits[:, -1].float().cpu())
    return torch.cat(parts)


@torch.inference_mode()
def language_prior(vlm: VLM, batch: Sequence[Scene]) -> dict[str, dict[str, Estimate]]:
    """The language model alone: after a text that names a scene's objects, what does it expect next?

    For scenes with exactly one missing partner and no picture, after the beginning of a short caption ("A fork, two cups and
    a") and after a detailed one ("... There is a"). Returns for each, as shares of the probability of all object words: that
    ``partner``, all objects already ``named`` together, all others of the scene's ``context`` together, and everything ``else``.
    """
    rng = np.random.default_rng(11)
    table: dict[str, dict[str, list[float]]] = {form: {} for form in ("short", "detailed")}
    word_ids = [vlms.word_id(vlm, name) for name in NAMES]
    for scene in (s for s in batch if len(s.missing_partners) == 1):
        (partner,) = scene.missing_partners
        article = noun_phrase(Item(partner)).split()[0]
        named = ", ".join(noun_phrase(item, attributes=False) for item in scene.salient)
        texts = {
            "short": f"{named.capitalize()} and {article}",
            "detailed": f"{detailed_caption(scene.salient, rng)} There is {article}",
        }
        contexts = {KINDS[n].context for n in scene.names}
        for form, text in texts.items():
            ids = vlm.processor.tokenizer(
                f"{vlm.processor.tokenizer.bos_token}{text}", add_special_tokens=False, return_tensors="pt"
            ).input_ids.to(vlm.device)
            probs = vlm.model(input_ids=ids, logits_to_keep=1).logits[0, -1].float().softmax(-1).cpu()[word_ids]
            shares = {"partner": 0.0, "named": 0.0, "context": 0.0, "else": 0.0}
            for name, p in zip(NAMES, (probs / probs.sum()).tolist(), strict=True):
                same = KINDS[name].context in contexts
                key = (
                    "partner" if name == partner else "named" if name in scene.names else "context" if same else "else"
                )
                shares[key] += p
            for key, p in shares.items():
                table[form].setdefault(key, []).append(p)
    return {form: {key: mean(values) for key, values in rows.items()} for form, rows in table.items()}


def full_report(vlm: VLM, n: int = 500) -> dict[str, Any]:
    """All of the above, as one dictionary for ``results``.

    If the model's folder still holds the weights of stage (b), its language model is measured as it was then ("alone").
    """
    probe, data = fit_probe(vlm), {}
    for split in SPLITS:
        batch = held_out(split, n)
        texts, found = captions(vlm, batch), probe.found(vlm, batch)
        data[split] = {
            "eyes": eyes(batch, found),
            "answers": split_report(vlm, batch, texts),
            "said_and_seen": said_and_seen(batch, texts, found),
            "image_dependence": image_dependence(vlm, batch, texts),
            "p_yes": blind_answers(vlm, batch),
        }
    prior = {"joined": language_prior(vlm, held_out("typical", n))}
    if (stage := Path(vlm.name) / "prior.safetensors").exists():
        before = pocket.build_model(len(vlm.processor.tokenizer)).eval()
        before.load_state_dict(load_file(stage), strict=False)
        before.tie_weights()
        prior["alone"] = language_prior(VLM(vlm.name, before, vlm.processor), held_out("typical", n))
    return data | {"language_prior": prior}
