"""Widgets that stay alive in the static page: one specification, run by the kernel's model or by the browser's own."""

from __future__ import annotations

import base64
import difflib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image

from povid_lib import vlm as vlms
from povid_lib.dispreferred import Dilemma, sort_of
from povid_lib.distort import dispreferred_tokens, noised
from povid_lib.kinds import KINDS, NAMES
from povid_lib.pocket import PATCH
from povid_lib.preferences import Pair
from povid_lib.scenes import SIDE, Scene
from povid_lib.texts import PROMPT, SHORT_PROMPTS, WORDS, detailed_caption, enumerate_phrases, mentioned
from povid_lib.vlm import VLM

STATIC = Path(__file__).parent / "static"


def _script(name: str) -> str:
    """A widget's module in one piece: a page without a kernel has nowhere to import its shared part from."""
    return (STATIC / "dom.js").read_text() + (STATIC / name).read_text()


class Look(anywidget.AnyWidget):
    """Choose a scene, cover patches, and see how the probability of every word of the model's caption moves.

    In the book the page runs ``pocket.onnx`` itself; in Jupyter this object answers with the model that it was given.
    """

    _esm = _script("look.js")
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
                "png": _png(scene.image()),
                "paper": _png(scene.blank()),
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

    _esm = _script("score.js")
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
            "png": _png(scene.image()),
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

    _esm = _script("noise.js")
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
                    "png": _png(picture),
                    "next": [[word.strip(), round(p, 4), _what(d, word)] for word, p in expected],
                    "tokens": [[b, sort_of(d.scene, a, b)] for a, b in zip(labels, tokens, strict=True)],
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


class Pairs(anywidget.AnyWidget):
    """Say which answer of a pair is false with the picture covered; then see picture, changes and the hits so far. Needs no model
    and no kernel."""

    _esm = _script("pairs.js")
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
                "png": _png(scene.image()),
                "names": list(scene.names),
                "prompt": pair.prompt,
                "label": label,
                "answers": [true, false] if at else [false, true],
                "false": at,
                "changes": [[c.kind, c.chosen, c.rejected] for c in pair.changes],
            }
        )
    return {"pairs": [rows[i] for i in rng.permutation(len(rows))]}


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
