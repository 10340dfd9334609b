"""The laboratory's folder: all that its page needs beside the model's two files, so that it runs with no kernel and no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from povid_lib import models
from povid_lib.models.llava import VLM
from povid_lib.widgets.base import read_asset
from povid_lib.world.captions import DETAILED_PROMPTS, PROMPT, SHORT_PROMPTS, WORDS, mentioned
from povid_lib.world.drawing import COLOURS, MARK_ALPHA, PALE_ALPHA, SIZES, mark, sprite
from povid_lib.world.items import CELL, POSITIONS, SIDE
from povid_lib.world.objects import KINDS
from povid_lib.world.patches import PATCH
from povid_lib.world.scenes import Scene, scenes
from povid_lib.world.worlds import world

SCRIPTS = ("engine.js", "client.js", "judge.js", "paint.js", "tokenizer.js")
SHEET = 640  # width of the sheet of sprites, pixels
Sprite = tuple[str, str, str, bool]  # kind, size ("mark": of an unseen object), colour or "", faded


def write_lab(before: VLM, after: VLM, shown: Sequence[Scene], folder: Path) -> None:
    """Write scripts, style, ``sprites.png`` and ``lab.json`` beside the files of ``pocket.export``.

    ``before``, ``after``: the model, and the same with the adapter added. ``shown``: the scenes that the page offers; of the first
    it holds both models' answers, to be read before any model is loaded, and the logits by which the page checks its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        (folder / name).write_text(read_asset(name), encoding="utf-8")
    for end in ("js", "css"):
        shared = read_asset({"js": "dom.js", "css": "shared.css"}[end])
        (folder / f"lab.{end}").write_text(shared + read_asset(f"lab.{end}"), encoding="utf-8")
    places = _write_sheet(_sprites(shown), folder / "sprites.png")
    spec = {
        "side": SIDE, "cell": CELL, "patch": PATCH, "positions": list(POSITIONS), "words": WORDS,
        "kinds": [[k.name, k.context, k.recolourable] for k in KINDS.values()],
        "sizes": list(SIZES), "colours": list(COLOURS), "opacity": {"pale": PALE_ALPHA, "mark": MARK_ALPHA},
        "questions": [*DETAILED_PROMPTS, *SHORT_PROMPTS],
        "sprites": places,
        "scenes": [_scene(scene) for scene in shown],
        "answers": [_answer(vlm, shown[0]) for vlm in (before, after)],
    }  # fmt: skip
    (folder / "lab.json").write_text(json.dumps(spec, allow_nan=False), encoding="utf-8")


def chosen_scenes(before: VLM, after: VLM, edition: str) -> list[Scene]:
    """Six held-out scenes of an edition of the world: four typical, one counter-typical, one mixed.

    In the first the untuned model names an object that is not there and the tuned one does not, so that it shows what the page is
    about. Raises ``ValueError`` if none of 60 scenes is like that.
    """
    typical = list(scenes(60, world(edition=edition), "validation"))
    said = [models.generate(vlm, [scene.image() for scene in typical], PROMPT) for vlm in (before, after)]
    wrong = [[set(mentioned(a.text)) - set(s.names) for s, a in zip(typical, rows, strict=True)] for rows in said]
    telling = next((s for s, one, other in zip(typical, *wrong, strict=True) if one and not other), None)
    if telling is None:
        raise ValueError(
            "On no scene does the untuned model name an absent object and the tuned one none: there is nothing to show."
        )
    others = [scene for scene in typical if scene != telling][:3]
    rest = [next(iter(scenes(1, world(kind, edition), "validation"))) for kind in ("counter_typical", "mixed")]
    return [telling, *others, *rest]


def _sprites(shown: Iterable[Scene]) -> list[Sprite]:
    """What a reader can put into a picture, and what the scenes hold besides: faded objects, and marks."""
    found = [
        (kind.name, size, colour, False)
        for kind in KINDS.values()
        for size in SIZES
        for colour in (COLOURS if kind.recolourable else ("",))
    ]
    for scene in shown:
        found += [(i.name, "mark" if i.unseen else i.size, i.colour or "", i.faded) for i in scene.items]
        found += [(m.name, "mark", "", False) for m in scene.marks]
    return list(dict.fromkeys((n, s, "" if s == "mark" else c, f and s != "mark") for n, s, c, f in found))


def sprite_key(name: str, size: str, colour: str, faded: bool) -> str:
    """By which ``paint.js`` finds a sprite on the sheet."""
    return "|".join([name, size, colour, "faded" if faded else ""])


def _write_sheet(sprites: Sequence[Sprite], path: Path) -> dict[str, list[int]]:
    """Draw all sprites on one sheet, colours above and opacities below, and tell where each lies: left, top, width, height.

    The sheet itself is opaque: a browser's canvas rounds the colours of what is half transparent.
    """
    arts = [mark(n) if size == "mark" else sprite(n, size, colour or None, faded) for n, size, colour, faded in sprites]
    places, left, top, high = {}, 0, 0, 0
    for found, art in sorted(zip(sprites, arts, strict=True), key=lambda pair: -pair[1].shape[0]):
        height, width = art.shape[:2]
        if left + width > SHEET:
            left, top, high = 0, top + high, 0
        places[sprite_key(*found)] = [left, top, width, height]
        left, high = left + width, max(high, height)
    sheet = np.zeros((2 * (top + high), SHEET, 3), dtype=np.uint8)
    for found, art in zip(sprites, arts, strict=True):
        x, y, width, height = places[sprite_key(*found)]
        sheet[y : y + height, x : x + width] = art[..., :3]
        sheet[y + top + high : y + top + high + height, x : x + width] = art[..., 3:]
    Image.fromarray(sheet).save(path, optimize=True)
    return places


def _scene(scene: Scene) -> dict[str, Any]:
    return {
        "title": ", ".join(scene.seen),
        "paper": [list(colour) for colour in scene.paper],
        "marks": [[m.name, *m.place] for m in scene.marks],
        "items": [
            {
                "name": i.name, "size": i.size, "colour": i.colour or "", "cells": list(i.cells),
                "places": [list(p) for p in i.places], "pale": i.pale, "faded": i.faded, "unseen": i.unseen,
            }
            for i in scene.items
        ],
    }  # fmt: skip


@torch.inference_mode()
def _answer(vlm: VLM, scene: Scene) -> dict[str, Any]:
    """A greedy answer about a scene: its tokens, the distribution of the next token at each (the likeliest seven), and the logits
    after the last token, which the page's own must equal."""
    [answer] = models.generate(vlm, [scene.image()], PROMPT)
    batch = models.encode(vlm, [scene.image()], [models.chat(vlm, PROMPT)])
    said = vlm.processor.tokenizer.encode(f" {answer.text}", add_special_tokens=False)
    ids = torch.cat([batch["input_ids"], torch.tensor([said], dtype=torch.long)], 1)
    logits = vlm.model(input_ids=ids, pixel_values=batch["pixel_values"]).logits[0, -len(said) - 1 :].float()
    probs = logits.softmax(-1)
    likeliest = probs.topk(7)
    return {
        "prompt": batch["input_ids"][0].tolist(),
        "tokens": said,
        "words": [vlm.processor.tokenizer.decode([i]) for i in said],
        "next": [
            [[vlm.processor.tokenizer.decode([i]), round(p, 4)] for i, p in zip(ids, ps, strict=True)]
            for ids, ps in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        ],
        "probs": [
            round(p, 4) for p in probs[:-1].gather(1, torch.tensor(said, dtype=torch.long)[:, None])[:, 0].tolist()
        ],
        "logits": [round(value, 5) for value in logits[-1].tolist()],
    }
