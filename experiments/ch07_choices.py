"""Chapter 07: what each choice in the POVID loss does to its gradient, and on which words the gradient falls. Writes
``results/choices.json``.

The pocket model is trained with the preset ``pocket``, phase 2 with the paper's scoring. At the start of phase 2
(adapters that change nothing yet) and at its end, gradients with respect to the adapters are taken on batches that neither phase
has seen. Run it from the top folder: ``python experiments/ch07_choices.py``; one core, about twenty minutes. ``python
experiments/ch07_choices.py
control`` writes ``results/choices_control.json``: the effect of a step if the sides of each pair are dealt out anew.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from povid_lib import models
from povid_lib.analysis.loss_gradient import (
    Answers,
    Weights,
    choose,
    compare,
    gradient,
    povid_weights,
    sums,
    token_weights,
)
from povid_lib.data import images
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.pair_files import write
from povid_lib.data.pairs import Pair
from povid_lib.data.trl_dataset import to_trl
from povid_lib.files import results
from povid_lib.metrics.stats import Estimate, mean
from povid_lib.models.llava import VLM
from povid_lib.training import losses, merging, recipe
from povid_lib.training.collator import SIDES, Batch, PairCollator
from povid_lib.training.config import POVIDConfig
from povid_lib.training.dispreference import RELEASED, ImageDispreference
from povid_lib.training.logprobs import pair_logits, token_logps
from povid_lib.training.pair_scores import Views, chance, views, weaken
from povid_lib.training.trainer import POVIDTrainer
from povid_lib.world.captions import NUMBERS, WORDS
from povid_lib.world.drawing import COLOURS, SIZES
from povid_lib.world.items import POSITIONS
from povid_lib.world.scenes import Scene

STEPS, TRAINED_ON, BATCHES, ROWS, HELD_OUT, DEALS = 40, 1280, 20, 12, 48, 2000
OURS = ImageDispreference()  # the defaults, those of the paper
GROUPS = ("true objects, up", "true objects, down", "false objects, down", "details", "other words")
DETAILS = {*COLOURS, *SIZES, *NUMBERS, *(word for place in POSITIONS for word in place.split())}


def one(answers: Answers, average: bool = False, **coefficients: float) -> Tensor:
    return losses.povid(*sums(answers, average), **coefficients)[0]


def margin(answers: Answers) -> Tensor:
    """What stands in the one sigmoid, (rows,)."""
    policy, reference = (of.given() for of in sums(answers))
    rho = {name: policy[name] - reference[name] for name in policy}
    return 0.1 * rho["chosen"] - 0.05 * rho["rejected"] - 0.05 * rho["noised"]


def two(answers: Answers) -> Tensor:
    return losses.povid_mean(*sums(answers))[0]


def dropped(answers: Answers) -> Tensor:
    """Without the noised tokens that equal the chosen ones."""
    differ = (answers.noised_ids != answers.chosen_ids).long()
    return one(replace(answers, noised_mask=answers.noised_mask * differ))


def truth(answers: Answers) -> Tensor:
    return losses.sft(*sums(answers), answers.chosen_mask.sum(1))[0]


# name -> how the noised answer is made, and the loss of the answers; what is not said is the default
CHOICES: dict[str, tuple[ImageDispreference, Callable[[Answers], Tensor]]] = {
    "second": (replace(OURS, noised_tokens="second"), one),
    "sample": (replace(OURS, noised_tokens="sample"), one),
    "clean": (replace(OURS, scored_under="clean"), one),
    "own": (replace(OURS, reference_tokens="own"), one),
    "two": (OURS, two),
    "dropped": (OURS, dropped),
    "clean_dropped": (replace(OURS, scored_under="clean"), dropped),
    "average": (OURS, partial(one, average=True)),
    "image": (replace(OURS, noise_place="image"), one),
    "wrap": (replace(OURS, noise_place="image", noise_overflow="wrap"), one),
    "released": (RELEASED, two),
    "released_before": (replace(RELEASED, noised_tokens="second"), two),
    "text_only": (OURS, partial(one, alpha=0.1, beta1=0.1, beta2=0.0)),
    "image_only": (OURS, partial(one, alpha=0.1, beta1=0.0, beta2=0.1)),
    "sft": (OURS, truth),
}

Data = list[tuple[Batch, list[Scene]]]
Coefficients = tuple[float, float, float]  # alpha, beta1, beta2
# whose gradient is split by words: how, and the three coefficients
SPLIT: dict[str, tuple[ImageDispreference, Coefficients]] = {
    "text": (OURS, (0.1, 0.1, 0.0)),
    "image": (OURS, (0.1, 0.0, 0.1)),
    "both": (OURS, (0.1, 0.05, 0.05)),
    "image, clean": (replace(OURS, scored_under="clean"), (0.1, 0.0, 0.1)),
    "both, clean": (replace(OURS, scored_under="clean"), (0.1, 0.05, 0.05)),
    "second, clean": (replace(OURS, scored_under="clean", noised_tokens="second"), (0.1, 0.0, 0.1)),
    "step 0, clean": (replace(OURS, scored_under="clean", noise_step=0), (0.1, 0.0, 0.1)),
}


class Reader:
    """A batch under one model and its references, each noised picture read once."""

    def __init__(self, vlm: VLM, model: torch.nn.Module, before: torch.nn.Module, batch: Batch) -> None:
        self._vlm, self._model, self._before, self._batch = vlm, model, before, batch
        self._views: dict[tuple[int, str, str, int], tuple[Views, Views, Views]] = {}

    def answers(self, how: ImageDispreference, draw: int = 0, reference: str = "adapters off") -> Answers:
        key = (how.noise_step, how.noise_place, how.noise_overflow, draw)
        if key not in self._views:
            shown = weaken(self._batch, how, self._vlm.processor, self._chance(draw))
            policy = views(self._model, self._batch, shown)
            with torch.no_grad():
                with self._model.disable_adapter():
                    off = views(self._model, self._batch, shown)
                before = views(self._before, self._batch, shown)
            self._views[key] = policy, off, before
        policy, off, before = self._views[key]
        return choose(self._batch, policy, before if reference == "before" else off, how, self._chance(draw + 100))

    def plain(self) -> Answers:
        """The default, computed with two rows a pair."""
        shown = weaken(self._batch, OURS, self._vlm.processor, self._chance(0))
        policy = views(self._model, self._batch, shown, shared_prefix=False)
        with torch.no_grad(), self._model.disable_adapter():
            off = views(self._model, self._batch, shown, shared_prefix=False)
        return choose(self._batch, policy, off, OURS, self._chance(100))

    def _chance(self, draw: int) -> list[torch.Generator]:
        return [chance(draw, row, digest_size=6) for row in self._batch["row_ids"]]


def batches_of(vlm: VLM, made: list[Pair], size: int) -> Data:
    collate, found = PairCollator(vlm.processor), []
    for at in range(0, len(made), size):
        rows = [
            {
                "id": pair.id, "images": [images.picture(pair.image)], "prompt": [{"content": pair.prompt}],
                "chosen": [{"content": pair.chosen}], "rejected": [{"content": pair.rejected}],
            }
            for pair in made[at : at + size]
        ]  # fmt: skip
        found.append((collate(rows), [images.scene(pair.image) for pair in made[at : at + size]]))
    return found


def sort_of_word(word: str, scene: Scene) -> str:
    word = word.strip().lower()
    if word in WORDS:
        return "true" if WORDS[word] in scene.names else "false"
    return "detail" if word in DETAILS else "other"


def group_masks(vlm: VLM, answers: Answers, scenes: list[Scene]) -> dict[str, Weights]:
    """For each of ``GROUPS`` which tokens of the three answers belong to it, as 0 and 1."""
    decode = vlm.processor.tokenizer.decode
    sorts = [
        [[sort_of_word(decode([i]), scene) for i in row] for row, scene in zip(ids.tolist(), scenes, strict=True)]
        for ids in (answers.chosen_ids, answers.rejected_ids, answers.noised_ids)
    ]
    pushed_down = {"true": GROUPS[1], "false": GROUPS[2], "detail": GROUPS[3], "other": GROUPS[4]}
    pushed_up = pushed_down | {"true": GROUPS[0], "false": GROUPS[0]}
    named = [
        [[names[sort] for sort in row] for row in rows]
        for names, rows in zip((pushed_up, pushed_down, pushed_down), sorts, strict=True)
    ]
    return {
        g: Weights(*(torch.tensor([[name == g for name in row] for row in rows]).float() for rows in named))
        for g in GROUPS
    }


def split(
    answers: Answers, masks: dict[str, Weights], coefficients: Coefficients, parameters: list[Tensor]
) -> dict[str, Tensor]:
    """Minus the gradient, which is where a step goes, as a sum of parts, one for each group of words."""
    net = token_weights(answers, povid_weights(*sums(answers), *coefficients))
    logps = answers.policy.given().values()
    rows = len(answers.chosen_ids)
    return {
        name: gradient(
            sum((w.detach() * mask * lp).sum() for w, mask, lp in zip(net, of_group, logps, strict=True)) / rows,
            parameters,
        )
        for name, of_group in masks.items()
    }


def held_out_gradients(
    vlm: VLM, model: torch.nn.Module, batch: Batch, scenes: list[Scene], parameters: list[Tensor]
) -> dict[str, Tensor]:
    """Of the mean log-probability of the true objects in unseen true answers, and of the false ones in their rejected answers."""
    chosen, rejected = pair_logits(model, batch)
    decode = vlm.processor.tokenizer.decode
    of_true = token_logps(chosen, batch["chosen"]["ids"], batch["chosen"]["mask"])
    of_false = token_logps(rejected, batch["rejected"]["ids"], batch["rejected"]["mask"])
    true, false = (
        torch.tensor(
            [
                [sort_of_word(decode([i]), s) == sort for i in row]
                for row, s in zip(batch[side]["ids"].tolist(), scenes, strict=True)
            ]
        )
        for sort, side in zip(("true", "false"), SIDES, strict=True)
    )
    return {
        "true": gradient((of_true * true).sum() / true.sum(), parameters),
        "false": gradient((of_false * false).sum() / false.sum(), parameters),
    }


def measure(
    vlm: VLM,
    model: torch.nn.Module,
    before: torch.nn.Module,
    data: Data,
    held_out: tuple[Batch, list[Scene]],
) -> dict[str, dict[str, Estimate]]:
    """Every choice and every split, over batches."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    cosines, norms, shares, effects = (defaultdict(list) for _ in range(4))
    counts = defaultdict(list)
    targets = held_out_gradients(vlm, model, *held_out, parameters)
    last = None
    for number, (batch, scenes) in enumerate(data):
        start, reader = time.time(), Reader(vlm, model, before, batch)
        default = gradient(one(reader.answers(OURS)), parameters)
        found = {name: gradient(loss(reader.answers(how)), parameters) for name, (how, loss) in CHOICES.items()}
        found["plain"] = gradient(one(reader.plain()), parameters)
        found["draw"] = gradient(one(reader.answers(OURS, draw=1)), parameters)
        found["before"] = gradient(one(reader.answers(OURS, reference="before")), parameters)
        if last is not None:
            found["batch"] = last
        last = default
        for name, vector in found.items():
            cosine, norm = compare(vector, default)
            cosines[name].append(cosine)
            norms[name].append(norm)
        for name, (how, coefficients) in SPLIT.items():
            answers = reader.answers(how)
            parts = split(answers, group_masks(vlm, answers, scenes), coefficients, parameters)
            whole = sum(parts.values())
            size = float(whole @ whole)
            for group, part in parts.items():
                shares[f"{name}|{group}"].append(float(part @ whole) / size)
            for target, vector in targets.items():
                unit = size**0.5 * float(vector.norm())
                effects[f"{name}|{target}"].append(float(whole @ vector) / unit)
                for group, part in parts.items():
                    effects[f"{name}|{target}|{group}"].append(float(part @ vector) / unit)
        for name, how in (
            ("argmax", OURS),
            ("second", replace(OURS, noised_tokens="second")),
            ("step 0", replace(OURS, noise_step=0)),
        ):
            answers = reader.answers(how)
            equal = (answers.noised_ids == answers.chosen_ids) & (answers.chosen_mask == 1)
            counts[f"equal|{name}"].append(float(equal.sum() / answers.chosen_mask.sum()))
        print(number, f"{time.time() - start:.0f} s", {k: round(v[-1], 2) for k, v in cosines.items()}, flush=True)
    return {
        "choices": {n: {"cosine": mean(cosines[n]), "norm": mean(norms[n])} for n in cosines},
        "shares": {n: mean(v) for n, v in shares.items()},
        "effects": {n: mean(v) for n, v in effects.items()},
        "equal": {n: mean(v) for n, v in counts.items()},
    }


def dealt(
    model: torch.nn.Module,
    reader_of: Callable[[Batch], Reader],
    data: Data,
    targets: dict[str, Tensor],
) -> dict[str, Estimate]:
    """The effect of a step when it is dealt out anew, ``DEALS`` times, which side of each pair is preferred: the mean over the
    deals, and the band that holds 95% of them.

    Where policy and reference are equal, exchanging the sides of a row only turns its gradient round.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    signs = torch.randint(0, 2, (DEALS, len(data), ROWS), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    effects: dict[str, Tensor] = {name: torch.zeros(DEALS, dtype=torch.float64) for name in targets}
    for number, (batch, _) in enumerate(data):
        losses_ = -torch.nn.functional.logsigmoid(margin(reader_of(batch).answers(OURS)))
        rows = torch.stack([gradient(row, parameters) for row in losses_])
        sizes = (signs[:, number] @ rows).norm(dim=1)
        for name, vector in targets.items():
            effects[name] -= signs[:, number] @ (rows @ vector) / (sizes * vector.norm()) / len(data)
    quantiles = torch.tensor([0.025, 0.975], dtype=torch.float64)
    return {
        name: Estimate(float(found.mean()), *found.quantile(quantiles).tolist(), DEALS)
        for name, found in effects.items()
    }


def control() -> None:
    """Only the deals, at the start of phase 2. Writes ``results/choices_control.json``."""
    torch.set_num_threads(1)
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        vlm, before, trainer, data, held_out = start_of_phase_2(Path(folder))
        model = trainer.model.eval()
        parameters = [p for p in model.parameters() if p.requires_grad]
        targets = held_out_gradients(vlm, model, *held_out, parameters)
        found = dealt(model, partial(Reader, vlm, model, before.model), data, targets)
    config = {
        "steps": STEPS,
        "trained_on": TRAINED_ON,
        "batches": BATCHES,
        "rows": ROWS,
        "held_out": HELD_OUT,
        "deals": DEALS,
    }
    print(results.save("choices_control", found, config, time.time() - start, code=[__file__]))


def start_of_phase_2(
    out: Path,
) -> tuple[VLM, VLM, POVIDTrainer, Data, tuple[Batch, list[Scene]]]:
    """The merged phase-1 model, the one before it, a trainer of phase 2 that has not begun, batches, a batch of unseen pairs."""
    vlm = models.load("pocket")
    data = batches_of(vlm, list(pairs(BATCHES * ROWS, Offline(seed=1))), ROWS)
    unseen = Offline(seed=2, objects=1, relations=0, attributes=0, reasoning=0)
    (held_out,) = batches_of(vlm, list(pairs(HELD_OUT, unseen)), HELD_OUT)
    write(out / "pairs.jsonl", pairs(TRAINED_ON, Offline(seed=0)))
    dataset = to_trl(out / "pairs.jsonl", cache=out / "datasets")
    shared = {"max_steps": STEPS, "seed": 0, "save_strategy": "no", "disable_tqdm": True, "logging_steps": 20}
    text = POVIDConfig.preset("pocket", output_dir=str(out / "text"), dispreference="text", **shared)
    recipe.train_phase(vlm, text, dataset)
    vlm = models.load(merging.merge("pocket", out / "text" / "adapter", out / "merged"))
    both = POVIDConfig.preset("pocket", output_dir=str(out / "both"), scored_under="noised", **shared)
    return vlm, models.load("pocket"), POVIDTrainer(vlm.model, both, dataset, vlm.processor), data, held_out


def main() -> None:
    torch.set_num_threads(1)
    start = time.time()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        vlm, before, trainer, data, held_out = start_of_phase_2(Path(folder))
        found["start"] = measure(vlm, trainer.model.eval(), before.model, data, held_out)
        trainer.train()
        found["end"] = measure(vlm, trainer.model.eval(), before.model, data, held_out)
    config = {"steps": STEPS, "trained_on": TRAINED_ON, "batches": BATCHES, "rows": ROWS, "held_out": HELD_OUT}
    print(results.save("choices", found, config, time.time() - start, code=[__file__]))


if __name__ == "__main__":
    control() if sys.argv[1:] == ["control"] else main()
