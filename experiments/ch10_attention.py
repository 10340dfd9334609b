"""Chapter 10: on which patches a seen word and a guessed one depend, and what tuning changed. Writes ``results/attention.json``.

One slot is asked everywhere: an object that is seen has just been named, and the next sentence may name its partner. Three kinds of
scene answer it: the partner is not there and the word is *false*; the same scenes with the partner drawn, where the word is *seen*;
typical scenes in which it is there as a grey mark, a *right guess*. All is measured in log-odds and averaged over scenes: that the
caption ends in the slot, and that the partner's word follows "There is a". About four minutes of one core.

Run it from the top folder: ``python experiments/ch10_attention.py --study runs/study``, after ``povid study recipes/study.yaml``.
"""

from __future__ import annotations

import argparse
import copy
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from povid_lib import models
from povid_lib.analysis import attention, occlusion
from povid_lib.evaluation.held_out import held_out
from povid_lib.files import results
from povid_lib.metrics import stats
from povid_lib.metrics.pope import article
from povid_lib.models import weights
from povid_lib.models.llava import VLM
from povid_lib.world import redrawn
from povid_lib.world.annotators import truthful
from povid_lib.world.captions import PROMPT, noun
from povid_lib.world.captions import WORDS as WORDS_FOR
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.patches import PATCH, own_patches
from povid_lib.world.scenes import Scene, draw

SEEDS = (0, 1, 2)
METHODS = ("two_to_one", "sft", "dealt")  # of recipes/study.yaml; "dealt" has random labels
WORDS = ("seen", "right guess", "false")
VIEWS = ("clear", "own", "partner", "other", "all", "other word", "other word, partner hidden")
ASKED = ("stop", "word")  # the end token in the slot; the partner's word behind "There is a"
MAPS = ("raw", "rollout", "gradient")
CONSTANT = 2.0  # on the end token's logit: what a uniform change looks like
MASS = ("bread", "butter", "cheese")
Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Slot:
    """A scene, a caption up to the sentence about ``seen``, and the partner that may be named next. ``word``: one of ``WORDS``."""

    scene: Scene
    seen: str
    partner: str
    text: str
    other_text: str
    word: str

    @property
    def phrase(self) -> str:
        """How the next sentence begins if it names the partner."""
        return f"There is {'some' if self.partner in MASS else article(self.partner)} {self.partner}"

    @property
    def objects(self) -> tuple[str, ...]:
        """What can be made out in the picture."""
        return tuple(name for name in self.scene.seen if own_patches(self.scene, name).any())

    def own(self) -> Tensor:
        """The partner's patches; where it is not drawn, those of all grey marks, any of which could be it."""
        return own_patches(self.scene, self.partner) if self.word == "seen" else marked(self.scene)

    def hidden(self) -> Tensor:
        """What is hidden in the first five of ``VIEWS``: bool (5, 6, 6); nothing where there is no such object."""
        seen = own_patches(self.scene, self.seen)
        rest = [name for name in self.objects if name not in (self.seen, self.partner)]
        other = own_patches(self.scene, rest[-1]) if rest else seen & False
        return torch.stack([seen & False, self.own(), seen, other, seen | True])


def marked(scene: Scene) -> Tensor:
    """The patches with any grey mark on them, of an unseen object or a stray one: bool (6, 6)."""
    with_, without = (draw(s)[0].astype(int) for s in (scene, replace(scene.shown, marks=())))
    side = len(with_) // PATCH
    return torch.from_numpy((with_ != without).any(-1).reshape(side, PATCH, side, PATCH).any((1, 3)))


def slots(batch: Sequence[Scene], word: str) -> list[Slot]:
    """One for each scene that has one: its first seen object whose partner is not seen and not named before.

    Only partners of one colour are asked for, so that the word follows the article. ``word``: "false" or "right guess".
    """
    found = []
    for scene in batch:
        rng = np.random.default_rng([scene.key[2], 10])
        author = truthful(scene)
        items = author.claims(scene, rng)
        said: list[str] = []
        for at, item in enumerate(items):
            said.append(author.sentence(item, at == 0, rng))
            partner = KINDS[item.name].partner
            unseen = partner in scene.unseen
            named = {one.name for one in items[:at]}
            if (
                item.unseen
                or partner in scene.seen
                or partner in named
                or KINDS[partner].recolourable
                or item.name in MASS
            ):
                continue
            if unseen == (word == "right guess"):
                other = _exchanged(scene, item.name, said[-1], rng)
                if other:
                    texts = (" ".join(said), " ".join([*said[:-1], other]))
                    found.append(Slot(scene, item.name, partner, *texts, word))
            break
    return found


def _exchanged(scene: Scene, name: str, sentence: str, rng: np.random.Generator) -> str:
    """A sentence with another object's word, of another context; neither it nor its partner is in the scene. "": none fits."""
    count = scene[name].count
    strangers = [
        kind
        for kind in NAMES
        if KINDS[kind].context != KINDS[name].context
        and not {kind, KINDS[kind].partner} & set(scene.names)
        and KINDS[kind].plural
        and KINDS[kind].recolourable == KINDS[name].recolourable
        and (count > 1 or article(kind) == article(name))
    ]
    if not strangers:
        return ""
    stranger = strangers[rng.integers(len(strangers))]
    word = next(word for word in re.findall(r"[a-z]+", sentence) if WORDS_FOR.get(word) == name)
    return sentence.replace(word, noun(stranger, count))


def asked(n: int) -> list[Slot]:
    """``n`` slots of each kind of word. The seen ones are the false ones' scenes, each with the partner drawn."""
    right = slots(held_out("typical", 4 * n), "right guess")[:n]
    false = slots(held_out("counter_typical", 2 * n), "false")[:n]
    drawn = [redrawn.drawn(redrawn.Guess(slot.scene, slot.seen, slot.partner)) for slot in false]
    seen = [replace(slot, scene=scene, word="seen") for slot, scene in zip(false, drawn, strict=True)]
    if len(right) < n or len(false) < n:
        raise ValueError(f"asked: {len(right)} right guesses and {len(false)} false ones, {n} of each are wanted.")
    return seen + right + false


@torch.inference_mode()
def decide(vlm: VLM, slot: Slot, text: str, hidden: Tensor) -> Tensor:
    """Log-odds of ``ASKED`` after ``text``, for each row of ``hidden`` (views, 6, 6): float64 (2, views, 2).

    The second half is the same with ``CONSTANT`` added to the end token's logit.
    """
    prompt, tokenizer = models.chat(vlm, PROMPT), vlm.processor.tokenizer
    end = tokenizer.eos_token_id
    batch = models.encode(vlm, [slot.scene.image()], [f"{prompt} {text} {slot.phrase}"])
    ids, pixels = batch["input_ids"], batch["pixel_values"]
    more = len(tokenizer(f"{prompt} {text} {slot.phrase}")["input_ids"]) - len(
        tokenizer(f"{prompt} {text}")["input_ids"]
    )
    covered = hidden.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)[:, None]
    shown = torch.where(covered, pixels.mean((2, 3), keepdim=True), pixels)
    rows = {name: batch[name].expand(len(hidden), -1) for name in ("input_ids", "attention_mask")}
    logits = vlm.model(**rows, pixel_values=shown, logits_to_keep=more + 1, use_cache=False).logits[:, :-1].double()
    found = []
    for constant in (0.0, CONSTANT):
        logits[..., end] += constant
        logps = logits.log_softmax(-1)
        found.append(occlusion.log_odds(torch.stack([logps[:, 0, end], logps[:, -1, ids[0, -1]]], -1)))
    return torch.stack(found)


def decisions(vlm: VLM, batch: Sequence[Slot], texts: bool = False) -> NDArray:
    """Log-odds (2, slots, views, ``ASKED``), plain and with the constant; nan where there is nothing to hide.

    ``texts``: all of ``VIEWS``; else those with the slot's own text.
    """
    found = []
    for slot in batch:
        hidden = slot.hidden()
        values = decide(vlm, slot, slot.text, hidden).clone()
        nothing = ~hidden.flatten(1).any(1)
        nothing[0] = False
        values[:, nothing] = float("nan")
        if texts:
            values = torch.cat([values, decide(vlm, slot, slot.other_text, hidden[[0, 2]]).clone()], 1)
        found.append(values.numpy())
    return np.stack(found, 1)


def looks(vlm: VLM, batch: Sequence[Slot], gradient: bool = False) -> Arrays:
    """Where the place looks that predicts the word: ``shares`` (slots, parts), and maps (slots, 36) by kind."""
    rows: dict[str, list[NDArray]] = {}
    for slot in batch:
        answer = f"{slot.text} {slot.phrase}"
        reading = attention.read(vlm, slot.scene.image(), PROMPT, answer)
        last = len(reading.tokens) - 1
        found = {kind: attention.patch_map(reading, [last], kind).flatten() for kind in MAPS[:2]}
        found["shares"] = attention.shares(reading)[:, :, last].mean((0, 1))
        if gradient:
            found["gradient"] = attention.word_map(
                vlm, slot.scene.image(), PROMPT, answer, slot.partner, "gradient"
            ).flatten()
        for name, values in found.items():
            rows.setdefault(name, []).append(values.numpy())
    return {name: np.stack(values) for name, values in rows.items()}


def by_object(vlm: VLM, slot: Slot) -> dict[str, float]:
    """What the word's log-odds lose with each object that can be made out."""
    hidden = torch.stack([own_patches(slot.scene, name) for name in slot.objects])
    values = decide(vlm, slot, slot.text, torch.cat([hidden[:1] & False, hidden]))[0, :, 1]
    return dict(zip(slot.objects, (values[0] - values[1:]).tolist(), strict=True))


def darkest(values: NDArray, slot: Slot) -> str:
    """The object with the largest mean of a map, a patch."""
    means = {name: float(values[own_patches(slot.scene, name).flatten().numpy()].mean()) for name in slot.objects}
    return max(means, key=means.__getitem__)


def share_of(maps: NDArray, patches: Sequence[Tensor]) -> NDArray:
    """Each map's share on its patches, (slots,)."""
    on = np.stack([p.flatten().numpy() for p in patches])
    return (maps * on).sum(1) / maps.sum(1)


def blank_mind(vlm: VLM, seed: int = 0) -> VLM:
    """The same vision encoder and words, but every layer of the language model drawn anew."""
    model = copy.deepcopy(vlm.model)
    torch.manual_seed(seed)
    for layer in model.model.language_model.layers:
        for name, parameter in layer.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=model.config.text_config.initializer_range)
    return VLM("blank", model, vlm.processor)


# --- what is said of the numbers -----------------------------------------------------------------------------------


def estimate(values: NDArray) -> stats.Estimate:
    """Mean over trainings (rows) and scenes (columns), with the interval over both; nan: not asked."""
    values = np.atleast_2d(values)
    there = np.isfinite(values).astype(float)
    return stats.crossed_ratio(np.nan_to_num(values), there)


def of_words(values: NDArray, batch: Sequence[Slot]) -> dict[str, NDArray]:
    """The columns (the last axis but views and decisions) of each kind of word."""
    kinds = np.array([slot.word for slot in batch])
    return {word: values[:, kinds == word] for word in WORDS}


def table(values: NDArray, batch: Sequence[Slot]) -> dict[str, Any]:
    """Estimates of (trainings, slots, views, decisions): decision -> kind of word -> view."""
    return {
        what: {
            word: {view: estimate(rows[:, :, v, k]) for v, view in enumerate(VIEWS[: values.shape[2]])}
            for word, rows in of_words(values, batch).items()
        }
        for k, what in enumerate(ASKED)
    }


def beyond_line(after: NDArray, before: NDArray, batch: Sequence[Slot]) -> NDArray:
    """What is left of (trainings, slots) after the one straight line in ``before`` (slots,) that fits best."""
    line = [np.polyfit(before, row, 1) for row in after]
    left = np.stack([row - np.polyval(fit, before) for row, fit in zip(after, line, strict=True)])
    parts = of_words(left, batch)
    return parts["false"] - parts["seen"]


def changed(after: NDArray, before: NDArray, batch: Sequence[Slot]) -> dict[str, Any]:
    """What a method changed, of decisions (trainings, slots, views, decisions) and those before (slots, views, decisions).

    ``shift``: of the log-odds. ``dependence``: of what hiding costs. ``false - seen``: the shift of the false word less that of the
    seen one, the same scenes and text, unhidden; ``beyond a line``: the same of what no straight line in the log-odds gives.
    """
    before = before[:, : after.shape[2]]
    shift = after - before
    kept = of_words(shift, batch)
    return {
        "shift": table(shift, batch),
        "dependence": table(shift[:, :, :1] - shift, batch),
        "false - seen": {
            what: estimate(kept["false"][:, :, 0, k] - kept["seen"][:, :, 0, k]) for k, what in enumerate(ASKED)
        },
        "beyond a line": {
            what: estimate(beyond_line(after[:, :, 0, k], before[:, 0, k], batch)) for k, what in enumerate(ASKED)
        },
    }


def shares_of(values: NDArray) -> dict[str, stats.Estimate]:
    """Attention of (trainings, slots, parts) to picture, prompt and answer."""
    return {part: estimate(values[:, :, k]) for k, part in enumerate(attention.PARTS)}


def maps_of(found: Arrays, batch: Sequence[Slot]) -> dict[str, Any]:
    """Each map's share on the partner's patches (or the marks), and on the object named before: map -> place -> kind of word."""
    masks = {"own": [slot.own() for slot in batch], "partner": [slot.hidden()[2] for slot in batch]}
    kinds = [*MAPS, *(f"{kind} of a blank mind" for kind in MAPS[:2])]
    maps = {kind: found[kind].clip(0) for kind in kinds} | {"even": np.ones_like(found["raw"])}
    return {
        kind: {
            on: {word: estimate(rows) for word, rows in of_words(share_of(values, patches)[None], batch).items()}
            for on, patches in masks.items()
        }
        for kind, values in maps.items()
    }


def agreement(found: Arrays, batch: Sequence[Slot]) -> dict[str, Any]:
    """How often a map is darkest on the object whose loss costs the word most; scenes with two objects or more.

    Beside the maps: the largest object, an object at random, and a rule that needs no model: the word's own object where it is
    seen, else the one named before.
    """
    hits: dict[str, list[float]] = {name: [] for name in (*MAPS, "largest", "random", "rule")}
    words = []
    for at, slot in enumerate(batch):
        if len(slot.objects) < 2:
            continue
        most = slot.objects[int(np.nanargmax(found["lost"][at]))]
        sizes = {name: int(own_patches(slot.scene, name).sum()) for name in slot.objects}
        words.append(slot.word)
        for kind in MAPS:
            hits[kind].append(darkest(found[kind][at], slot) == most)
        hits["largest"].append(max(sizes, key=sizes.__getitem__) == most)
        hits["random"].append(1 / len(slot.objects))
        hits["rule"].append((slot.partner if slot.word == "seen" else slot.seen) == most)
    kinds = np.array(words)
    return {
        name: {word: stats.mean(np.array(row, dtype=float)[kinds == word].tolist()) for word in WORDS}
        for name, row in hits.items()
    }


# --- the whole ---------------------------------------------------------------------------------------------------


def adapters(study: Path) -> dict[str, list[Path]]:
    """The study's adapters of each method, one a seed; says which are missing.

    Raises ``FileNotFoundError`` if there is none at all, ``ValueError`` if a seed has several.
    """
    found: dict[str, list[Path]] = {}
    for method in METHODS:
        for seed in SEEDS:
            runs = sorted(study.glob(f"{method}-{seed}-*/text/adapter/adapter_config.json"))
            if len(runs) > 1:
                raise ValueError(f"{method} {seed}: {', '.join(map(str, runs))}; leave the run that is meant.")
            if runs:
                found.setdefault(method, []).append(runs[0].parent)
            else:
                print(f"missing: {study}/{method}-{seed}-*/text/adapter", flush=True)
    if not found:
        raise FileNotFoundError(
            f"There is no adapter in {study}; run povid study recipes/study.yaml, or name its folder."
        )
    return found


def tuned(adapter: Path) -> VLM:
    """The pocket model with an adapter, merged."""
    base = models.load("pocket")
    return replace(base, model=weights.merged(weights.add_adapter(base.model, adapter)))


def read_by(adapter: Path, batch: Sequence[Slot], keep: Path | None) -> Arrays:
    """Decisions and shares of one tuned model. ``keep``: a folder for them; what lies there is not measured again."""
    path = keep and keep / f"{len(batch)}-{adapter.parts[-3]}.npz"
    if path and path.is_file():
        return dict(np.load(path))
    model = tuned(adapter)
    found = {"decisions": decisions(model, batch)[0], "shares": looks(model, batch)["shares"]}
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **found)
    print(adapter.parts[-3], flush=True)
    return found


def of_base(vlm: VLM, batch: Sequence[Slot], keep: Path | None) -> Arrays:
    """All that is measured of the model before tuning; ``keep`` as for ``read_by``."""
    path = keep and keep / f"{len(batch)}-base.npz"
    if path and path.is_file():
        return dict(np.load(path))
    blank = looks(blank_mind(vlm), batch)
    found = looks(vlm, batch, gradient=True) | {f"{kind} of a blank mind": blank[kind] for kind in MAPS[:2]}
    found["decisions"], found["constant"] = decisions(vlm, batch, texts=True)
    lost = [by_object(vlm, slot) for slot in batch]
    most = max(map(len, lost))
    found["lost"] = np.array([[*row.values(), *[np.nan] * (most - len(row))] for row in lost])
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **found)
    print("before", flush=True)
    return found


def measured(
    vlm: VLM, batch: Sequence[Slot], found: Mapping[str, Sequence[Path]], keep: Path | None = None
) -> dict[str, Any]:
    """All of the result."""
    base = of_base(vlm, batch, keep)
    before = base["decisions"]
    data: dict[str, Any] = {
        "slots": len(batch) // len(WORDS),
        "hidden": {
            view: {w: int(np.isfinite(rows[0, :, v, 0]).sum()) for w, rows in of_words(before[None], batch).items()}
            for v, view in enumerate(VIEWS)
        },
        "before": table(before[None], batch),
        "lost": table((before[:, :1] - before)[None], batch),
        "maps": maps_of(base, batch),
        "agreement": agreement(base, batch),
        "shares": {"before": shares_of(base["shares"][None])},
        "change": {"constant": changed(base["constant"][None], before, batch)},
        "seeds": {},
    }
    for method, folders in found.items():
        read = [read_by(folder, batch, keep) for folder in folders]
        data["change"][method] = changed(np.stack([one["decisions"] for one in read]), before, batch)
        data["shares"][method] = shares_of(100 * np.stack([one["shares"] - base["shares"] for one in read]))
        data["seeds"][method] = len(folders)
    return data


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--study", type=Path, default=Path("runs/study"), help="the study's folder")
    reader.add_argument("--slots", type=int, default=50, help="of each kind of word")
    reader.add_argument("--keep", type=Path, help="a folder for what is read; empty it after a change of this script")
    given = reader.parse_args()
    start = time.time()
    torch.set_num_threads(1)
    found = adapters(given.study)
    data = measured(models.load("pocket"), asked(given.slots), found, given.keep)
    config = {
        "slots": given.slots,
        "constant": CONSTANT,
        "adapters": {method: [folder.parts[-3] for folder in folders] for method, folders in found.items()},
    }
    print(results.save("attention", data, config, time.time() - start, code=[__file__]))


if __name__ == "__main__":
    main()
