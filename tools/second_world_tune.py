"""The methods that are tried on a base of the second world; see ``second_world``."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import second_world

from povid_lib import caption_pairs, preferences, study_data, train

# name -> truth, corruption, settings of the phase; "dealt": labels by a coin
POVID = {"objective": "povid", "alpha": 0.1, "beta1": 0.05}
METHODS = {
    "sft": ("taught", "insert", {"objective": "sft"}),
    "povid": ("taught", "insert", POVID),
    "within": ("taught", "insert_within", POVID),
    "dealtwithin": ("taught", "insert_within", POVID),
    "sftwithin": ("taught", "insert_within", {"objective": "sft"}),
    "even": ("taught", "insert_even", POVID),
    "replace": ("taught", "replace", POVID),
    "dealt": ("taught", "insert", POVID),
    "dealteven": ("taught", "insert_even", POVID),
    "dpo": ("taught", "insert", {"objective": "dpo", "beta": 0.1}),
    "dpoeven": ("taught", "insert_even", {"objective": "dpo", "beta": 0.1}),
    "blank": ("taught", "insert", POVID),
    "new": ("new", "insert", POVID),
    "newsft": ("new", "insert", {"objective": "sft"}),
    "both": ("taught", "insert", {**POVID, "beta2": 0.05}),
}


def tune(name: str, run: str, model: str) -> None:
    """``run``: a method and a learning rate, such as povid:6e-4."""
    method, rate = run.split(":")
    config, _ = second_world.recipe(name)
    truth, corruption, settings = METHODS[method]
    out = second_world.RUNS / name / f"{method}-{rate}"
    start = time.time()
    if not (out / "merged").is_dir():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        rows = list(caption_pairs.pairs(1280, caption_pairs.CaptionPairs(config, truth, corruption)))
        print(len(rows), "pairs", round(time.time() - start), flush=True)
        if method.startswith("dealt"):
            rows = study_data.relabelled(rows, 0.5, 0)
        if method == "blank":
            rows = study_data.blanked(rows, out)
        preferences.write(out / "rows.jsonl", rows)
        phase = "both" if method == "both" else "text"
        common = {
            "max_steps": 80,
            "learning_rate": float(rate),
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 20,
        }
        if not method.startswith("dealt") and method not in ("blank", "both"):  # the same rows have the same reference
            common["cache_dir"] = str(second_world.RUNS / name / f"cache-{truth}-{corruption}")
        phases = {"text": None, "both": None, phase: common | settings}
        recipe = train.Recipe(str(out), model, str(out / "rows.jsonl"), str(out), preset="pocket", **phases)
        merged = train.run(recipe)
        Path(merged).rename(out / "merged")
        report = json.loads((out / phase / "report.json").read_text())["log"]
        print({k: round(v, 3) for k, v in report[-2].items() if isinstance(v, float)}, flush=True)
    second_world.measured(name, run, out / "merged")
    print(run, round(time.time() - start), "s", flush=True)
