"""Widgets that stay alive in the static page: one specification, run by the kernel's model or by the browser's own."""

from __future__ import annotations

import base64
import difflib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor

from povid_lib import enumerable
from povid_lib import vlm as vlms
from povid_lib.dispreferred import Dilemma, sort_of
from povid_lib.distort import dispreferred_tokens, noised
from povid_lib.kinds import KINDS, NAMES
from povid_lib.pocket import PATCH
from povid_lib.preferences import Pair
from povid_lib.scenes import SIDE, Scene
from povid_lib.texts import PROMPT, SHORT_PROMPTS, WORDS, detailed_caption, enumerate_phrases, mentioned
from povid_lib.vlm import VLM
from povid_lib.weights import Answers, shared_words

STATIC = Path(__file__).parent / "static"


def script(name: str) -> str:
    """A widget's module in one piece: a page without a kernel has nowhere to import its shared part from."""
    return (STATIC / "dom.js").read_text() + (STATIC / name).read_text()


class Look(anywidget.AnyWidget):
    """Choose a scene, cover patches, and see how the probability of every word of the model's caption moves.

    In the book the page runs ``pocket.onnx`` itself; in Jupyter this object answers with the model that it was given.
    """

    _esm = script("look.js")
    _css = STATIC / "look.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, vlm: VLM, scenes: Sequence[Scene], titles: Sequence[str]) -> None:
        super().__init__(spec=look_spec(vlm, scenes, titles))
        self._vlm = vlm
        self.on_msg(self._reply)

    def _reply(self, _: Any, content: dict[str, Any], buffers: list[bytes]) -> None:
        pixels = torch.from_numpy(np.frombuffer(buffers[0], dtype=np.float32).copy()).reshape(1, 3, SIDE, SIDE)
        ids = torch.tensor([content["ids"]])
        with torch.inference_mode():
            logits = self._vlm.model(
                input_ids=ids.to(self._vlm.device), pixel_values=pixels.to(self._vlm.device, self._vlm.model.dtype)
            ).logits
        self.send({"request": content["request"]}, [logits.float().cpu().numpy().tobytes()])


def look_spec(vlm: VLM, scenes: Sequence[Scene], titles: Sequence[str]) -> dict[str, Any]:
    """Everything the widget needs to be drawn before any model runs: pictures, captions, probabilities.

    Raises ``ValueError`` for a model that is not the pocket one: only that one fits into a page.
    """
    if not vlm.is_pocket:
        raise ValueError(f"The Look widget runs the pocket model in the page; {vlm.name!r} is too large for that.")
    tokenizer = vlm.processor.tokenizer
    answers = vlms.generate(vlm, [s.image() for s in scenes], PROMPT)
    rows = []
    for scene, title, answer in zip(scenes, titles, answers, strict=True):
        prompt = vlms.encode(vlm, [scene.image()], [vlms.chat(vlm, PROMPT)])["input_ids"][0].tolist()
        ids = tokenizer.encode(f" {answer.text}", add_special_tokens=False)
        rows.append(
            {
                "title": title,
                "png": png(scene.image()),
                "paper": png(scene.blank()),
                "names": list(scene.names),
                "prompt": prompt,
                "answer": ids,
                "probs": [round(math.exp(lp), 4) for lp in answer.logprobs],
            }
        )
    return {
        "scenes": rows,
        "question": PROMPT,
        "vocabulary": [tokenizer.decode([i]) for i in range(len(tokenizer))],
        "objects": {str(i): kind for i in range(len(tokenizer)) for kind in mentioned(tokenizer.decode([i]))},
        "end": tokenizer.eos_token_id,
        "side": SIDE,
        "patch": PATCH,
    }


class Score(anywidget.AnyWidget):
    """Edit the captions of a few scenes and see CHAIR, recall and length move. Needs no model and no kernel."""

    _esm = script("score.js")
    _css = STATIC / "score.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, scenes: Sequence[Scene], titles: Sequence[str], captions: Sequence[str]) -> None:
        super().__init__(spec=score_spec(scenes, titles, captions))


def score_spec(scenes: Sequence[Scene], titles: Sequence[str], captions: Sequence[str]) -> dict[str, Any]:
    """Pictures, truths and captions, and every word for an object with its kind and form ("name", "plural", "synonym")."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "title": title,
            "png": png(scene.image()),
            "names": list(scene.names),
            "caption": caption,
            "truth": detailed_caption(scene.salient, rng),
        }
        for scene, title, caption in zip(scenes, titles, captions, strict=True)
    ]
    words = {
        word: [kind, "name" if word == kind else "plural" if word == KINDS[kind].plural else "synonym"]
        for word, kind in WORDS.items()
    }
    return {"scenes": rows, "words": words, "everything": f"{enumerate_phrases(NAMES).capitalize()}."}


class Noise(anywidget.AnyWidget):
    """Slide the noise over a few scenes, and see the next word and the dispreferred tokens change. Computed beforehand."""

    _esm = script("noise.js")
    _css = STATIC / "noise.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, vlm: VLM, asked: Sequence[Dilemma], steps: Sequence[int]) -> None:
        super().__init__(spec=noise_spec(vlm, asked, steps))


def noise_spec(vlm: VLM, asked: Sequence[Dilemma], steps: Sequence[int], top: int = 6) -> dict[str, Any]:
    """For each scene and step: the noised picture, the ``top`` next words after ``so_far``, and the argmax token at each place of
    the true caption with its sort (see ``dispreferred``). One draw of noise a scene, mixed in more and more.
    """
    rows, decode = [], vlm.processor.tokenizer.decode
    for number, d in enumerate(asked):
        caption = detailed_caption(d.scene.salient, np.random.default_rng(number))
        pictures = [noised(d.scene.image(), step, torch.Generator().manual_seed(number)) for step in steps]
        read = vlms.answer_distributions(vlm, pictures, [PROMPT] * len(steps), [caption] * len(steps))
        labels: list[str] = []
        views = []
        for picture, (ids, logps) in zip(pictures, read, strict=True):
            labels = [decode([i]).strip() for i in ids.tolist()]
            tokens = [decode([i]).strip() for i in dispreferred_tokens(logps, ids, "argmax").tolist()]
            expected = vlms.top_tokens(vlm, vlms.next_token_probs(vlm, picture, SHORT_PROMPTS[0], d.so_far), top)
            views.append(
                {
                    "png": png(picture),
                    "next": [[word.strip(), round(p, 4), _what(d, word)] for word, p in expected],
                    "tokens": [[token, sort_of(d.scene, labels, at, token)] for at, token in enumerate(tokens)],
                }
            )
        title = f"{number + 1}. {', '.join(d.scene.names)}"
        rows.append(
            {"title": title, "names": list(d.scene.names), "so_far": d.so_far, "labels": labels, "views": views}
        )
    return {"scenes": rows, "steps": list(steps)}


def _what(d: Dilemma, word: str) -> str:
    named = mentioned(word)
    if not named:
        return ""
    return {d.truth: "the truth", d.companion: "missing companion"}.get(
        named[0], "named already" if named[0] in d.scene.names else "not there"
    )


class Weigh(anywidget.AnyWidget):
    """Move alpha, beta1 and beta2, and see what the POVID loss weighs, word by word. Needs no model and no kernel."""

    _esm = script("weigh.js")
    _css = STATIC / "weigh.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, vlm: VLM, scored: Mapping[str, Answers], scenes: Sequence[Scene], rows: Sequence[int]) -> None:
        super().__init__(spec=weigh_spec(vlm, scored, scenes, rows))


def weigh_spec(vlm: VLM, scored: Mapping[str, Answers], scenes: Sequence[Scene], rows: Sequence[int]) -> dict[str, Any]:
    """For some ``rows`` of a batch about ``scenes``: every token with its log-probability under policy and reference, and whether
    it is the chosen answer's token after the same words. ``scored``: the answers with the noised one scored under the "noised" and
    the "clean" picture; chosen and rejected ones are taken from the first.
    """
    decode = vlm.processor.tokenizer.decode
    first = next(iter(scored.values()))
    shared = shared_words(first)

    def words(given: Answers, side: str, row: int, same: Sequence[bool]) -> list[list[Any]]:
        length = int(getattr(given, f"{side}_mask")[row].sum())
        ids, policy, reference = (getattr(given, name)[row].tolist() for name in (f"{side}_ids", side, f"ref_{side}"))
        return [[decode([ids[t]]).strip(), round(policy[t], 4), round(reference[t], 4), same[t]] for t in range(length)]

    found = []
    for number, row in enumerate(rows, start=1):
        prefix = [*shared[row].tolist(), *[False] * first.rejected_ids.shape[1]]
        noised = {
            picture: words(given, "noised", row, (given.noised_ids[row] == given.chosen_ids[row]).tolist())
            for picture, given in scored.items()
        }
        found.append(
            {
                "title": f"{number}. {', '.join(scenes[row].names)}",
                "png": png(scenes[row].image()),
                "names": list(scenes[row].names),
                "chosen": words(first, "chosen", row, prefix),
                "rejected": words(first, "rejected", row, prefix),
                "noised": noised,
            }
        )
    return {"pairs": found}


class Pairs(anywidget.AnyWidget):
    """Say which answer of a pair is false with the picture covered; then see picture, changes and the hits so far. Needs no model
    and no kernel."""

    _esm = script("pairs.js")
    _css = STATIC / "pairs.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, pairs: Sequence[Pair], scenes: Sequence[Scene], labels: Sequence[str], seed: int = 0) -> None:
        super().__init__(spec=pairs_spec(pairs, scenes, labels, seed))


def pairs_spec(pairs: Sequence[Pair], scenes: Sequence[Scene], labels: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Pictures, questions and both answers, each word with whether it was changed; pairs, and the two answers, in random order.

    ``labels``: what to call each pair once it is revealed, and to count hits by. ``false``: which answer is the rejected one.
    """
    rows, rng = [], np.random.default_rng(seed)
    for pair, scene, label in zip(pairs, scenes, labels, strict=True):
        chosen, rejected = pair.chosen.split(), pair.rejected.split()
        marked: tuple[set[int], set[int]] = (set(), set())
        for tag, i, j, k, m in difflib.SequenceMatcher(a=chosen, b=rejected, autojunk=False).get_opcodes():
            if tag != "equal":
                marked[0].update(range(i, j))
                marked[1].update(range(k, m))
        true, false = (
            [[w, i in on] for i, w in enumerate(ws)] for ws, on in zip((chosen, rejected), marked, strict=True)
        )
        at = int(rng.integers(2))
        rows.append(
            {
                "png": png(scene.image()),
                "names": list(scene.names),
                "prompt": pair.prompt,
                "label": label,
                "answers": [true, false] if at else [false, true],
                "false": at,
                "changes": [[c.kind, c.chosen, c.rejected] for c in pair.changes],
            }
        )
    return {"pairs": [rows[i] for i in rng.permutation(len(rows))]}


class Beta(anywidget.AnyWidget):
    """Move beta, and see the best policy of chapter 06 go from the reference to the best answer. Computed beforehand."""

    _esm = script("beta.js")
    _css = STATIC / "beta.css"
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, texts: Sequence[str], lies: Sequence[bool], ref_logps: Tensor, reward: Tensor) -> None:
        super().__init__(spec=beta_spec(texts, lies, ref_logps, reward))


def beta_spec(
    texts: Sequence[str], lies: Sequence[bool], ref_logps: Tensor, reward: Tensor, top: int = 9, stops: int = 31
) -> dict[str, Any]:
    """The exact optimum at ``stops`` values of beta, the first infinite: probabilities of the ``top`` answers and of all others,
    mean reward, divergence, and the share of answers that name what is not there (``lies``)."""
    betas = [None, *np.geomspace(20, 0.1, stops - 1).tolist()]
    policies = [ref_logps if beta is None else enumerable.optimum(ref_logps, reward, beta) for beta in betas]
    ever = torch.stack(policies).exp().amax(0)
    shown = sorted(ever.topk(top).indices.tolist(), key=lambda i: (-float(reward[i]), -float(ref_logps[i])))
    untrue = torch.tensor(lies, dtype=ref_logps.dtype)
    views = []
    for beta, policy in zip(betas, policies, strict=True):
        probs = policy.exp()
        listed = [round(float(probs[i]), 4) for i in shown]
        views.append(
            {
                "beta": beta,
                "probs": [*listed, round(max(0.0, 1 - sum(listed)), 4)],
                "reward": round(float(probs @ reward), 4),
                "kl": round(float(enumerable.kl(policy, ref_logps)), 4),
                "lies": round(float(probs @ untrue), 4),
            }
        )
    answers = [{"text": texts[i], "reward": float(reward[i]), "lie": bool(lies[i])} for i in shown]
    rest = {"text": f"{len(texts) - top} others together", "reward": None, "lie": None}
    return {"answers": [*answers, rest], "views": views, "best": float(reward.max())}


def png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
