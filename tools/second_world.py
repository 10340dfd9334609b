"""The search for the second world's recipe, step by step; NOTES.md says what came out. Each run has a folder under runs/.

python tools/second_world.py base NAME              go on with the shipped model on runs/NAME/recipe.json
python tools/second_world.py profile NAME           what its captions are like, beside the captions that it was taught
python tools/second_world.py curve NAME             the end-token constant
python tools/second_world.py tune NAME RUN          a method (see second_world_tune) at a rate on the base NAME: povid:6e-4
python tools/second_world.py full NAME              all stages from nothing, resumable
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from povid_lib import end_bias, lessons, pocket, pocket_train, worlds
from povid_lib import vlm as vlms
from povid_lib.pocket_fit import fit
from povid_lib.pocket_train import InstructionData, PocketConfig
from povid_lib.profiles import profile
from povid_lib.scenes import Scene, scenes
from povid_lib.texts import PROMPT

RUNS = Path(__file__).parent.parent / "runs"
SHORT = (
    "chair_s", "chair_i", "recall_seen", "recall_unseen", "words", "followed", "place_false", "place_true", "in_place", "called",
    "partners", "false_colour", "false_attribute", "false_relation", "relations", "unreadable",
)  # fmt: skip


def recipe(name: str) -> tuple[PocketConfig, dict]:
    """A run's recipe; its world is registered as an edition of the run's name."""
    found = json.loads((RUNS / name / "recipe.json").read_text())
    worlds.EDITIONS[name] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.get("world", {}).items()}
    config = PocketConfig(
        edition=name, **{k: tuple(v) if isinstance(v, list) else v for k, v in found["config"].items()}
    )
    return config, found


def base(name: str) -> None:
    config, found = recipe(name)
    folder, start = RUNS / name, time.time()
    vlm = vlms.load(found.get("start", "pocket"), device="cpu")
    model = vlm.model
    model.model.vision_tower.requires_grad_(False)
    data = InstructionData(model, vlm.processor.tokenizer, config)
    print("data", round(time.time() - start), flush=True)
    steps, lr = config.steps[3], config.lr[3]
    fit("instruct", model, lambda step: data.loss(model, step), folder, steps=steps, lr=lr)
    model.eval().save_pretrained(folder / "model")
    vlm.processor.save_pretrained(folder / "model")
    print("trained", round(time.time() - start), flush=True)


def shipped_eyes(name: str) -> Path:
    """The vision tower of the shipped model as a folder that ``pocket_train.train`` takes its eyes from."""
    folder = RUNS / name / "eyes"
    if not (folder / "eyes.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        eyes = pocket_train.Eyes(len(pocket.build_tokenizer(name)))
        eyes.clip.vision_model.load_state_dict(vlms.load(device="cpu").model.model.vision_tower.state_dict())
        save_file({k: v.contiguous() for k, v in eyes.state_dict().items()}, folder / "eyes.safetensors")
    return folder


def held(name: str, kind: str, n: int) -> list[Scene]:
    return list(scenes(n, worlds.world(name, kind), "validation"))


def show(label: str, found: dict[str, float], file: Path | None = None) -> None:
    print(f"{label:32s}", " ".join(f"{k[:12]}={found[k]:.3f}" for k in SHORT if k in found), flush=True)
    if file:
        with open(file, "a") as out:
            out.write(json.dumps({"label": label, **{k: round(v, 4) for k, v in found.items()}}) + "\n")


def taught(name: str, n: int = 1000) -> None:
    """The captions that are taught, profiled as if a model had said them."""
    config, _ = recipe(name)
    for kind in ("typical", "counter_typical"):
        batch = held(name, kind, n)
        author, rng = lessons.author(config), np.random.default_rng(0)
        found = profile(batch, [author.caption(s, rng) for s in batch])
        show(f"taught {kind[:7]}", found, RUNS / name / "figures.jsonl")
        print({k: round(v, 2) for k, v in found.items() if k.startswith("form")})


def measured(name: str, label: str, model: Path | str, n: int = 150, **bias: object) -> None:
    vlm = vlms.load(model, device="cpu")
    for kind in ("typical", "counter_typical"):
        batch = held(name, kind, n)
        pictures, prompts = [s.image() for s in batch], [PROMPT] * n
        if "odds" in bias:
            said = end_bias.unsupported(vlm, pictures, [s.blank() for s in batch], prompts, **bias)
        else:
            said = end_bias.generate(vlm, pictures, prompts, **bias) if bias else vlms.generate(vlm, pictures, PROMPT)
        found = profile(batch, [a.text for a in said])
        show(f"{label} {kind[:7]}", found, RUNS / name / "figures.jsonl")
        if not bias:
            with open(RUNS / name / f"said-{label}-{kind[:7]}.jsonl", "w") as out:
                for scene, a in zip(batch, said, strict=True):
                    out.write(json.dumps({"seen": scene.seen, "unseen": scene.unseen, "said": a.text}) + "\n")


def curve(name: str, model: str, n: int = 150) -> None:
    for constant in (1.5, 3.0, 4.5, 6.0):
        measured(name, f"end {constant:g}", model, n, constant=constant)
    for odds, constant in ((3.0, 2.0), (3.0, 100.0)):
        measured(name, f"unsupported {odds:g} {constant:g}", model, n, constant=constant, odds=odds)
    encode = vlms.load(model, device="cpu").processor.tokenizer.encode
    there = [encode(text, add_special_tokens=False)[0] for text in ("There", " There")]
    for constant in (-3.0,):
        measured(name, f"There {constant:g}", model, n, constant=constant, tokens=there)


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, name, *rest = sys.argv[1:]
    recipe(name)
    own = str(RUNS / name / "model")
    if what == "base":
        base(name)
        measured(name, "base", own)
    elif what == "taught":
        taught(name)
    elif what == "full":
        config, found = recipe(name)
        torch.set_num_threads(found.get("threads", 2))
        eyes = shipped_eyes(name) if found.get("shipped_eyes") else None
        pocket_train.train(config, RUNS / name / "model", eyes)
        measured(name, "base", own)
    elif what == "profile":
        measured(name, "base", own)
    elif what == "curve":
        curve(name, own)
    elif what == "tune":
        import second_world_tune

        for run in rest:
            second_world_tune.tune(name, run, own)
