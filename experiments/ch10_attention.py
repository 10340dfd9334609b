"""Chapter 10: where models look before and after tuning, and what depends on it. Writes ``results/attention.json``.

One fixed set of true captions of held-out scenes is read to every model, and one word of each is asked after: its attention, its
maps, and what is lost when its object is hidden. Beside it, in the same place, a false word: the missing partner of an object named
before. About a quarter of an hour of one core. Run it from the top folder: ``python experiments/ch10_attention.py``.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from povid_lib.models.llava import VLM
from povid_lib.world.captions import PROMPT, WORDS, detailed_caption, noun
from povid_lib.world.objects import KINDS
from povid_lib.world.patches import own_patches
from povid_lib.world.scenes import Scene

SEEDS = (0, 1, 2)
BEFORE = "pocket"
AFTER = {
    "povid": [f"runs/tuning/povid-{seed}/both/merged" for seed in SEEDS],
    "sft": [f"runs/tuning/sft-{seed}/text/merged" for seed in SEEDS],
    "shuffled": [f"runs/tuning/shuffled-{seed}/text/merged" for seed in SEEDS],
    "own": [f"runs/tuning/own-{seed}/text/merged" for seed in SEEDS],
}
SCENES, MAPS, WINDOW = (
    150,
    30,
    2,
)  # scenes; those of them with gradient and occlusion maps; patches along a hidden square
VIEWS = ("clear", "own", "other", "all")  # what is hidden: nothing, the object, as many other patches, everything
KINDS_OF_MAP = ("raw", "rollout", "gradient")
Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Asked:
    """A caption, the words of its objects, and the one asked after; ``false`` stands in its place in ``untrue``, None: no fit."""

    scene: Scene
    caption: str
    words: tuple[str, ...]
    word: str
    name: str
    false: str | None = None
    untrue: str = ""
    seed: int = 0

    @property
    def own(self) -> Tensor:
        return own_patches(self.scene, self.name)

    @property
    def other(self) -> Tensor:
        """As many patches as the object has, first from those with nothing on them."""
        empty = ~torch.stack([own_patches(self.scene, name) for name in self.scene.names]).any(0)
        rank = empty.flatten() * 1.0 - self.own.flatten() * 2.0
        rank += torch.rand(36, generator=torch.Generator().manual_seed(self.seed))
        chosen = torch.zeros(36, dtype=torch.bool)
        chosen[rank.topk(int(self.own.sum())).indices] = True
        return (chosen & ~self.own.flatten()).reshape(6, 6)


def words_of(caption: str) -> dict[str, str]:
    """Kind of object -> the first word for it in a caption."""
    found: dict[str, str] = {}
    for word in re.findall(r"[a-z]+", caption):
        if word in WORDS:
            found.setdefault(WORDS[word], word)
    return found


def fits(caption: str, word: str, false: str) -> bool:
    """Whether ``false`` can stand for the first ``word`` as the article is."""
    before = re.search(rf"(\w+) {word}\b", caption)
    assert before is not None
    article = before[1].lower()
    return article != "some" and (article not in ("a", "an") or (false[0] in "aeio") == (article == "an"))


def asked(batch: Sequence[Scene]) -> list[Asked]:
    """One for each scene: where there is one, the last object that a missing partner of an earlier one could stand for."""
    found = []
    for seed, scene in enumerate(batch):
        parts = re.findall(r"[^.]*\.", detailed_caption(scene.salient, np.random.default_rng(seed)))
        caption = "".join(parts[: len(scene.items)])  # without the relation that may follow
        words = words_of(caption)
        swaps = [
            (late.name, noun(missing, late.count))
            for j, late in enumerate(scene.salient)
            for early in scene.salient[:j]
            if (missing := KINDS[early.name].partner) not in scene.names
            and (late.count == 1 or KINDS[missing].plural)
            and fits(caption, words[late.name], noun(missing, late.count))
        ]
        if swaps:
            name, false = swaps[-1]
            untrue = re.sub(rf"\b{words[name]}\b", false, caption, count=1)
            found.append(Asked(scene, caption, tuple(words.values()), words[name], name, false, untrue, seed))
        else:
            name = scene.salient[np.random.default_rng([1, seed]).integers(len(scene.items))].name
            found.append(Asked(scene, caption, tuple(words.values()), words[name], name, seed=seed))
    return found


def hidden(a: Asked) -> Tensor:
    """The patches hidden in each of ``VIEWS``: bool (4, 6, 6)."""
    return torch.stack([torch.zeros_like(a.own), a.own, a.other, torch.ones_like(a.own)])


def measure(vlm: VLM, batch: Sequence[Asked]) -> dict[str, Any]:
    """Everything about one model. ``shares``, ``everywhere``: (scenes, layers, parts), of object words and of all tokens;
    ``heads``: (scenes, layers, heads), the image's share; ``true``, ``false``: log-probabilities (scenes, views); ``maps``: by kind
    (scenes, patches) and for "raw" by layer too; gradient and occlusion of the first ``MAPS`` only. ``end``: shares where the
    caption is whole; ``stop``: see ``stopping``.
    """
    rows: dict[str, list[NDArray]] = {}

    def add(name: str, value: Tensor) -> None:
        rows.setdefault(name, []).append(value.numpy())

    for number, a in enumerate(batch):
        picture = a.scene.image()
        reading = attention.read(vlm, picture, PROMPT, f"{a.caption} There")  # predicted where the caption is whole
        divided = attention.shares(reading)
        add("end", divided[:, :, -1].mean(1))
        at_words = [p for word in a.words for p in attention.word_places(vlm, PROMPT, a.caption, word)]
        add("shares", divided[:, :, at_words].mean((1, 2)))
        add("everywhere", divided[:, :, :-1].mean((1, 2)))
        add("heads", divided[:, :, at_words, 0].mean(2))
        places = attention.word_places(vlm, PROMPT, a.caption, a.word)
        add("raw", attention.patch_map(reading, places).flatten())
        layers = [attention.patch_map(reading, places, layer=k).flatten() for k in range(len(divided))]
        add("layers", torch.stack(layers))
        add("rollout", attention.patch_map(reading, places, "rollout").flatten())
        question = (vlm, picture, PROMPT)
        add("true", occlusion.logps_without(*question, a.caption, a.word, hidden(a)))
        add("stop", stopping(vlm, a))
        if a.false is not None:
            add("false", occlusion.logps_without(*question, a.untrue, a.false, hidden(a)))
        if number < MAPS:
            add("gradient", attention.word_map(*question, a.caption, a.word, "gradient").flatten())
            add("occlusion", occlusion.occlusion_map(*question, a.caption, a.word, WINDOW).flatten())
    return {name: np.stack(values) for name, values in rows.items()}


def on_object(maps: NDArray, batch: Sequence[Asked]) -> NDArray:
    """Each map's share on its object's own patches, (scenes,). What is below 0 counts as 0."""
    own = np.stack([a.own.flatten().numpy() for a in batch[: len(maps)]])
    kept = maps.clip(0)
    return (kept * own).sum(1) / kept.sum(1).clip(1e-12)


def points_at(maps: NDArray, batch: Sequence[Asked]) -> NDArray:
    """Whether the largest value of each map lies on its object, (scenes,)."""
    return np.array([float(a.own.flatten()[row.argmax()]) for row, a in zip(maps, batch, strict=False)])


def agreement(maps: NDArray, occluded: NDArray) -> NDArray:
    """Rank correlation of each map with its scene's occlusion map, (scenes,)."""
    return np.array(
        [
            occlusion.rank_correlation(*map(torch.tensor, pair))
            for pair in zip(maps[: len(occluded)], occluded, strict=True)
        ]
    )


def losses(logps: NDArray) -> Arrays:
    """What hiding takes from a word's log-probability, and how much more the object does than other patches."""
    lost = {view: logps[:, 0] - logps[:, k] for k, view in enumerate(VIEWS[: logps.shape[1]]) if k}
    return {"clear": logps[:, 0], **lost, "own - other": lost["own"] - lost["other"]}


def stopping(vlm: VLM, a: Asked) -> Tensor:
    """Probability of the end token where the caption is whole, where its last sentence is missing, and there with that sentence's
    object taken out of the picture: (3,). Nan for the last two where the scene has one object."""
    without = replace(a.scene, items=tuple(item for item in a.scene.items if item is not a.scene.salient[-1]))
    early = "".join(re.findall(r"[^.]*\.", a.caption)[:-1])
    views = [(a.caption, a.scene), (early, a.scene), (early, without)][: 3 if early else 1]
    texts = [f"{models.chat(vlm, PROMPT)} {said}" for said, _ in views]
    with torch.inference_mode():
        logits = vlm.model(**models.encode(vlm, [scene.image() for _, scene in views], texts), logits_to_keep=1).logits[
            :, -1
        ]
    probs = logits.softmax(-1)[:, vlm.processor.tokenizer.eos_token_id]
    return torch.cat([probs, torch.full((3 - len(probs),), float("nan"))])


def measures(found: dict[str, Any], batch: Sequence[Asked]) -> Arrays:
    """One number a scene for everything that is compared between models."""
    layers = range(found["shares"].shape[1])
    rows: Arrays = {}
    for what in ("shares", "everywhere", "end"):
        for k, part in enumerate(attention.PARTS):
            rows[f"{what}/{part}"] = found[what][..., k].mean(1)
            rows |= {f"{what}/{part}/{layer}": found[what][:, layer, k] for layer in layers}
    for kind in KINDS_OF_MAP:
        rows[f"on/{kind}"] = on_object(found[kind], batch)
        rows[f"points/{kind}"] = points_at(found[kind], batch)
        rows[f"agreement/{kind}"] = agreement(found[kind], found["occlusion"])
    rows |= {f"on/raw/{layer}": on_object(found["layers"][:, layer], batch) for layer in layers}
    rows |= {f"agreement/raw/{layer}": agreement(found["layers"][:, layer], found["occlusion"]) for layer in layers}
    rows["on/occlusion"], rows["points/occlusion"] = (f(found["occlusion"], batch) for f in (on_object, points_at))
    whole, early, gone = found["stop"].T
    rows |= {
        "stop/whole": whole,
        "stop/early": early[~np.isnan(early)],
        "stop/early, object gone": gone[~np.isnan(gone)],
    }
    rows["stop/gone - early"] = rows["stop/early, object gone"] - rows["stop/early"]
    for what in ("true", "false"):
        rows |= {f"{what}/{name}": values for name, values in losses(found[what]).items()}
    return rows


def blank_mind(vlm: VLM, seed: int = 0) -> VLM:
    """The same eyes and words, but every layer of the language model drawn anew."""
    model = copy.deepcopy(vlm.model)
    torch.manual_seed(seed)
    for layer in model.model.language_model.layers:
        for name, parameter in layer.named_parameters():
            if "norm" not in name:
                torch.nn.init.normal_(parameter, std=model.config.text_config.initializer_range)
    return VLM("blank", model, vlm.processor)


def controls(vlm: VLM, batch: Sequence[Asked], before: dict[str, Any]) -> dict[str, Any]:
    """What must lose: even attention, the picture's centre, another scene's map, a shuffled map, a model that knows nothing."""
    y, x = np.mgrid[:6, :6] - 2.5
    centre = np.exp(-(x**2 + y**2) / (2 * 1.5**2)).flatten()
    rng = np.random.default_rng(0)
    n, blank = len(batch), blank_mind(vlm)
    shuffled = {kind: rng.permuted(before[kind], axis=1) for kind in KINDS_OF_MAP}
    maps = {"even": np.ones((n, 36)), "centre": np.tile(centre, (n, 1))}
    maps |= {f"shuffled {kind}": values for kind, values in shuffled.items()}
    maps |= {f"next scene's {kind}": np.roll(before[kind], -1, 0) for kind in KINDS_OF_MAP}
    maps |= {f"{kind} of a blank mind": np.stack([_map(blank, a, kind) for a in batch[:MAPS]]) for kind in KINDS_OF_MAP}
    maps["the object's own patches"] = np.stack([a.own.flatten().numpy() * 1.0 for a in batch])
    table = {
        name: {
            "on": stats.mean(on_object(values, batch).tolist()),
            "points": stats.mean(points_at(values, batch).tolist()) if name != "even" else None,
            "agreement": stats.mean(agreement(values, before["occlusion"]).tolist()) if name != "even" else None,
        }
        for name, values in maps.items()
    }
    single = np.stack(
        [
            occlusion.occlusion_map(vlm, a.scene.image(), PROMPT, a.caption, a.word).flatten().numpy()
            for a in batch[:MAPS]
        ]
    )
    paper = np.concatenate(
        [
            occlusion.logps_without(
                vlm, a.scene.image(), PROMPT, a.caption, a.word, a.own[None], a.scene.blank()
            ).numpy()
            for a in batch
        ]
    )
    largest = {
        "whole object, in the paper's colour": stats.mean((before["true"][:, 0] - paper).tolist()),
        "single patch": stats.mean(single.max(1).tolist()),
        "whole object, same scenes": stats.mean(losses(before["true"])["own"][:MAPS].tolist()),
        "agreement of both windows": stats.mean(agreement(single, before["occlusion"]).tolist()),
    }
    return {"maps": table, "redundancy": largest}


def _map(vlm: VLM, a: Asked, kind: Any) -> NDArray:
    return attention.word_map(vlm, a.scene.image(), PROMPT, a.caption, a.word, kind).flatten().numpy()


def estimated(rows: Arrays) -> dict[str, Any]:
    return {name: stats.mean(values.tolist()) for name, values in rows.items()}


def verdict(change: stats.Estimate) -> str:
    """By the interval of a paired difference."""
    return "confirmed" if change.low > 0 else "reversed" if change.high < 0 else "not confirmed"


def main() -> None:
    start = time.time()
    torch.set_num_threads(1)
    batch = asked(held_out("typical", SCENES))
    vlm = models.load(BEFORE)
    found = measure(vlm, batch)
    before = measures(found, batch)
    print("before", round(time.time() - start), flush=True)
    data: dict[str, Any] = {
        "scenes": len(batch),
        "maps": MAPS,
        "false": sum(a.false is not None for a in batch),
        "before": estimated(before),
        "heads": {"before": found["heads"].mean(0).tolist()},
        "controls": controls(vlm, batch, found),
        "after": {},
        "change": {},
        "verdict": {},
    }
    print("controls", round(time.time() - start), flush=True)
    for method, folders in AFTER.items():
        seeds = []
        for folder in folders:
            after = measure(models.load(folder), batch)
            seeds.append(measures(after, batch))
            data["heads"].setdefault(method, []).append((after["heads"] - found["heads"]).mean(0).tolist())
            print(folder, round(time.time() - start), flush=True)
        mean = {name: np.mean([rows[name] for rows in seeds], 0) for name in before}
        change = {name: stats.mean((mean[name] - before[name]).tolist()) for name in before}
        data["after"][method] = estimated(mean)
        data["change"][method] = {
            "seeds": [estimated({name: rows[name] - before[name] for name in before}) for rows in seeds],
            "mean": change,
        }
        data["verdict"][method] = {
            "attention of object words moves to the image": verdict(change["shares/image"]),
            "attention of all words moves to the image": verdict(change["everywhere/image"]),
            "where the caption is whole, attention moves to the image": verdict(change["end/image"]),
            "true words depend more on their object": verdict(change["true/own - other"]),
            "maps agree better with occlusion": {kind: verdict(change[f"agreement/{kind}"]) for kind in KINDS_OF_MAP},
        }
    config = {"scenes": SCENES, "maps": MAPS, "window": WINDOW, "before": BEFORE, "after": AFTER}
    print(results.save("attention", data, config, time.time() - start, code=[__file__]))


if __name__ == "__main__":
    main()
