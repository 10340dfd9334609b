"""Why the pocket model says it: what its words keep when the picture is weakened, and what its language model expects alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from povid_lib import models
from povid_lib.analysis.mentions import sums_of, token_at, token_ends
from povid_lib.data.corrupt_image import POVID_STEP, noised
from povid_lib.metrics.stats import Estimate, mean, ratio
from povid_lib.models.chat_template import response_ids
from povid_lib.models.llava import VLM
from povid_lib.world.annotators import true_caption
from povid_lib.world.captions import PROMPT, mentioned, noun_phrase
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.questions import exist_question
from povid_lib.world.scenes import Scene

NOISE_STEPS = (0, 200, 300, 400, 500, 600, 800, 999)


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


def image_dependence(
    vlm: VLM, batch: Sequence[Scene], texts: Sequence[str], pictures: Mapping[str, Sequence[Image.Image]]
) -> dict[str, dict[str, Estimate]]:
    """How much less likely each word of the model's own caption becomes when the picture is taken away.

    ``pictures``: what is shown, by name, "seen" among them (see ``views``). For true and for false object words: the probability
    under each, and under all but "seen" the share of words that keep more than half of their probability.
    """
    questions = [PROMPT] * len(batch)
    logps = {view: models.answer_logps(vlm, shown, questions, texts) for view, shown in pictures.items()}
    others = [view for view in pictures if view != "seen"]
    table, prompt = {}, models.chat(vlm, PROMPT)
    for group in ("true", "false"):
        sums: dict[str, list[float]] = {key: [] for key in (*pictures, "n", *(f"kept_{view}" for view in others))}
        for row, (scene, text) in enumerate(zip(batch, texts, strict=True)):
            ends = token_ends(vlm, response_ids(vlm.processor, prompt, text)[:-1], text)
            words = [(m.span(), mentioned(m.group())) for m in re.finditer(r"\w+", text)]
            picked = [
                slice(token_at(ends, start), token_at(ends, end - 1) + 1)  # all tokens of the word
                for (start, end), names in words
                if names and (names[0] in scene.names) == (group == "true")
            ]
            probs = {view: sums_of(logps[view][row], picked).exp().numpy() for view in pictures}
            for view in pictures:
                sums[view].append(float(probs[view].sum()))
            for view in others:
                sums[f"kept_{view}"].append(int((probs[view] > probs["seen"] / 2).sum()))
            sums["n"].append(len(picked))
        table[group] = {key: ratio(values, sums["n"]) for key, values in sums.items() if key != "n"}
    return table


def blind_answers(
    vlm: VLM, batch: Sequence[Scene], pictures: Mapping[str, Sequence[Image.Image]]
) -> dict[str, dict[str, Estimate]]:
    """P(yes) to "Is there a ...?" for present objects, missing partners and unrelated objects, by what is shown (see ``views``).

    P(yes) is taken over the two words yes and no at the beginning of the answer.
    """
    words = [models.word_tokens(vlm, word) for word in ("Yes", "No")]
    rng, rows = np.random.default_rng(3), []
    for i, scene in enumerate(batch):
        other = [n for n in NAMES if n not in scene.names and n not in scene.missing_partners]
        about = {"present": rng.choice(scene.names), "unrelated": rng.choice(other)}
        if scene.missing_partners:
            about["missing_partner"] = rng.choice(scene.missing_partners)
        rows += [(i, group, str(name)) for group, name in about.items()]
    prompts = [exist_question(name, True).prompt for _, _, name in rows]
    table: dict[str, dict[str, Estimate]] = {}
    for view, shown in pictures.items():
        yes, no = word_logits(vlm, [shown[i] for i, _, _ in rows], prompts, words).T
        p_yes = torch.sigmoid(yes - no).numpy()
        for group in ("present", "missing_partner", "unrelated"):
            table.setdefault(group, {})[view] = mean([p for p, row in zip(p_yes, rows, strict=True) if row[1] == group])
    return table


def under_noise(vlm: VLM, batch: Sequence[Scene], texts: Sequence[str]) -> dict[str, Any]:
    """``image_dependence`` and ``blind_answers`` by step of noise: ``words`` and ``p_yes``, each group -> one estimate a step."""
    seen, generator = [scene.image() for scene in batch], torch.Generator().manual_seed(13)
    pictures = {"seen": seen} | {
        str(step): [noised(picture, step, generator) for picture in seen] for step in NOISE_STEPS
    }
    words, p_yes = image_dependence(vlm, batch, texts, pictures), blind_answers(vlm, batch, pictures)
    by_step = {
        key: {group: [row[str(step)] for step in NOISE_STEPS] for group, row in table.items()}
        for key, table in (("words", words), ("p_yes", p_yes))
    }
    return {"steps": list(NOISE_STEPS), **by_step}


@torch.inference_mode()
def word_logits(
    vlm: VLM, pictures: Sequence[Image.Image] | None, questions: Sequence[str], words: Sequence[Sequence[int]]
) -> Tensor:
    """Logits of words at the beginning of each answer, float32 (rows, words): the first token's, and the log-probabilities of the
    others. ``words``: see ``models.word_tokens``."""
    first = [ids[0] for ids in words]
    parts = []
    for at in range(0, len(questions), vlm.rows):
        rows = slice(at, at + vlm.rows)
        texts = [models.chat(vlm, q, image=pictures is not None) for q in questions[rows]]
        batch = models.encode(vlm, pictures[rows] if pictures is not None else None, texts)
        logits = vlm.model(**batch, logits_to_keep=1, use_cache=False).logits[:, -1].float().cpu()
        parts.append(logits[:, first] + models.rest_logps(vlm, batch, words))
    return torch.cat(parts)


def begun(scene: Scene, partner: str, rng: np.random.Generator) -> dict[str, str]:
    """True texts about a scene, cut off where ``partner`` could come next: a ``short`` and a ``detailed`` caption, worded as the
    scene's edition words them."""
    article = noun_phrase(Item(partner)).split()[0]
    named = ", ".join(noun_phrase(item, attributes=False) for item in scene.salient)
    return {
        "short": f"{named.capitalize()} and {article}",
        "detailed": f"{true_caption(scene, rng)} There is {article}",
    }


@torch.inference_mode()
def language_prior(vlm: VLM, batch: Sequence[Scene]) -> dict[str, dict[str, Estimate]]:
    """The language model alone: after a text that names a scene's objects, what does it expect next?

    For scenes with exactly one missing partner and no picture, after the beginning of a short caption ("A fork, two cups and
    a") and after a detailed one ("... There is a"). Returns for each, as shares of the probability of all object words: that
    ``partner``, all objects already ``named`` together, all others of the scene's ``context`` together, and everything ``else``.
    """
    rng = np.random.default_rng(11)
    table: dict[str, dict[str, list[float]]] = {form: {} for form in ("short", "detailed")}
    words = [models.word_tokens(vlm, name) for name in NAMES]
    for scene in (s for s in batch if len(s.missing_partners) == 1):
        (partner,) = scene.missing_partners
        texts = begun(scene, partner, rng)
        contexts = {KINDS[n].context for n in scene.names}
        for form, text in texts.items():
            read = vlm.processor.tokenizer(
                f"{vlm.processor.tokenizer.bos_token}{text}", add_special_tokens=False, return_tensors="pt"
            )
            inputs = {key: read[key].to(vlm.device) for key in ("input_ids", "attention_mask")}
            first = vlm.model(**inputs, logits_to_keep=1, use_cache=False).logits[0, -1].float().softmax(-1).cpu()
            probs = first[[ids[0] for ids in words]] * models.rest_logps(vlm, inputs, words)[0].exp()
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
