"""Chapter 02: what preference pairs teach when the length gives the false answer away. Writes ``results/appended.json``.

Two sets of pairs about the same pictures, with the same true captions as chosen: in one the rejected caption is the chosen one
with a false sentence *appended*, in the other one object is *replaced* by a false one and the form stays. DPO by TRL, LoRA on
the language model, 100 steps, three seeds each. Run it from the top folder: ``python experiments/ch04_appended.py``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import set_seed
from trl import DPOConfig, DPOTrainer

from povid_lib import models
from povid_lib.evaluation.held_out import held_out, listen
from povid_lib.files import results
from povid_lib.metrics.chair import Chair, chair
from povid_lib.models.llava import VLM
from povid_lib.world.annotators import Annotator
from povid_lib.world.captions import PROMPT, SYNONYMS, detailed_caption, noun_phrase, place_phrase
from povid_lib.world.items import Item
from povid_lib.world.objects import KINDS, NAMES
from povid_lib.world.scenes import Scene, scenes

STEPS, BATCH, RATE, SEEDS = 100, 8, 2e-4, (0, 1, 2)  # the rate was chosen on validation scenes
LANGUAGE_MODEL_ONLY = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def appended(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """(chosen, rejected): the truth, and the truth with one false sentence more."""
    chosen = Annotator(error=0).caption(scene, rng)
    other = str(rng.choice([n for n in NAMES if n not in scene.names]))
    place = place_phrase(("top", "left", "right", "bottom")[rng.integers(4)])
    return chosen, f"{chosen} There is {noun_phrase(Item(other), attributes=False)} {place}."


def replaced(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """(chosen, rejected): the truth, and the truth with one object replaced; both have the same form and length."""
    items = list(scene.salient)
    options = [
        [
            k.name
            for k in KINDS.values()
            if k.name not in (*scene.names, *SYNONYMS)
            and k.recolourable == KINDS[item.name].recolourable
            and (k.plural is not None or item.count == 1)
        ]
        for item in items
    ]
    i = int(rng.integers(len(items)))
    false = [*items[:i], replace(items[i], name=str(rng.choice(options[i]))), *items[i + 1 :]]
    seed = int(rng.integers(2**31))
    true_text, false_text = (detailed_caption(x, np.random.default_rng(seed)) for x in (items, false))
    return true_text, false_text


def dataset(make: str, seed: int) -> Dataset:
    """TRL's columns: images, prompt, chosen, rejected."""
    rng, rows = np.random.default_rng([seed, 41]), []
    ask = [{"type": "image"}, {"type": "text", "text": PROMPT}]
    for scene in scenes(STEPS * BATCH, start=8_000_000 + seed * STEPS * BATCH):
        chosen, rejected = {"appended": appended, "replaced": replaced}[make](scene, rng)
        rows.append(
            {
                "images": [scene.image()],
                "prompt": [{"role": "user", "content": ask}],
                "chosen": [{"role": "assistant", "content": [{"type": "text", "text": chosen}]}],
                "rejected": [{"role": "assistant", "content": [{"type": "text", "text": rejected}]}],
            }
        )
    return Dataset.from_list(rows)


def tune(make: str, seed: int) -> tuple[VLM, list[float]]:
    """The pocket model after 100 steps of DPO, and the share of pairs ordered rightly at each step."""
    set_seed(seed)
    vlm = models.load("pocket")
    with tempfile.TemporaryDirectory() as folder:
        trainer = DPOTrainer(
            model=vlm.model,
            args=DPOConfig(
                output_dir=folder, max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=RATE, seed=seed,
                report_to=[], use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True, logging_steps=1,
                gradient_checkpointing=False,
            ),
            train_dataset=dataset(make, seed),
            processing_class=vlm.processor,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=LANGUAGE_MODEL_ONLY),
        )  # fmt: skip
        trainer.train()
    curve = [row["rewards/accuracies"] for row in trainer.state.log_history if "rewards/accuracies" in row]
    return VLM("pocket", trainer.model.merge_and_unload().eval(), vlm.processor), curve


def measure(vlm: VLM, batch: list[Scene]) -> tuple[Chair, str]:
    """CHAIR on the batch, and the caption of its first scene."""
    heard = listen(vlm, batch, settings=())
    return chair(heard.scores), heard.captions[0]


def main() -> None:
    torch.set_num_threads(2)
    start, batch = time.time(), held_out("typical", 200)
    before, example = measure(models.load("pocket"), batch)
    data = {"before": {"chair": before, "example": example}, "truth": batch[0].names}
    for make in ("appended", "replaced"):
        for seed in SEEDS:
            vlm, curve = tune(make, seed)
            after, example = measure(vlm, batch)
            data[f"{make}_{seed}"] = {"chair": after, "example": example, "accuracy": curve}
            print(make, seed, after, example, flush=True)
    config = {"steps": STEPS, "batch": BATCH, "rate": RATE, "seeds": SEEDS, "n": len(batch)}
    print(results.save("appended", data, config, time.time() - start, code=[__file__]))


if __name__ == "__main__":
    main()
