"""Chapters 03 and 09: small models, a cause of false objects each, and what treatments mend. Writes ``results/causes*.json``.

The four of ``causes.json`` have the recipe of the shipped model at a quarter of its steps and pictures. They differ in what
they were taught: *none*, true captions of scenes in which everything that is named can be made out; *unseen*, true captions of
scenes with objects that cannot; *insert*, everything can be made out, and annotators put missing partners in; *weak*, as none,
with eyes that had a twentieth of their training. The fifth, *both* (``causes_both.json``), is taught about the unseen and by
annotators who insert, as the shipped model is. Each is tested on scenes of its own world, and those with a cause are treated.
About five hours of one core with the trainings; what is done is not done again. Run from the top folder::

    EYES="--eyes-from povid_lib/models/pocket_model"
    povid pocket train --share 0.25 --edition shown --insert 0 --out runs/cause_none $EYES
    povid pocket train --share 0.25 --insert 0 --out runs/cause_unseen $EYES
    povid pocket train --share 0.25 --edition shown --out runs/cause_insert $EYES
    povid pocket train --share 0.25 --out runs/cause_both $EYES
    povid pocket train --share 0.05 --edition shown --insert 0 --out runs/eyes_short
    povid pocket train --share 0.25 --edition shown --insert 0 --out runs/cause_weak --eyes-from runs/eyes_short
    python experiments/ch03_causes.py

Expected, and written down before it ran: false objects are frequent in unseen and insert, rare in none; in weak they are no
partners. SFT on cleaned captions mends insert and leaves unseen as it is; pairs with an inserted partner mend both; nothing
mends weak. Of *both*, written down while it was in training: it claims more partners than either, but fewer than the two chances
of either would give together (one false partner makes another less likely); SFT on cleaned captions takes away about what the
insertions added and stops at the rate of unseen; pairs with an inserted partner go well below that.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from povid_lib import models
from povid_lib.evaluation.held_out import SPLITS, captions, held_out
from povid_lib.evaluation.pocket_report import taught
from povid_lib.files import results
from povid_lib.files.jsonl import read_record
from povid_lib.metrics.stats import crossed_compare, crossed_ratio
from povid_lib.models import weights
from povid_lib.pocket.lessons import recipe_of
from povid_lib.study import report, run
from povid_lib.study.methods import Study, read_study

GROUPS = {  # of the recipe, by cause
    "none": (),
    "unseen": ("main", "constants"),
    "insert": ("main", "constants"),
    "weak": ("main",),
    "both": ("main", "constants"),
}
FILES = {"causes": ("none", "unseen", "insert", "weak"), "causes_both": ("both",)}
UNTREATED = {"main": {"seeds": 1, "methods": {report.BASE: {}}}}
RECIPE = Path("recipes/causes.yaml")
SPOKEN = (report.BASE, "clean_sft", "two_to_one")  # whose captions chapter 09's second page shows


def study_of(cause: str, folder: Path) -> Study:
    """The study of ``recipes/causes.yaml`` about the model with one cause."""
    model, study = folder / f"cause_{cause}", read_study(RECIPE)
    groups = {group: study.groups[group] for group in GROUPS[cause]} or UNTREATED
    return replace(study, model=str(model), edition=recipe_of(model).edition, out=f"{study.out}/{cause}", groups=groups)


def false_kinds(runs: list[dict[str, Any]], split: str) -> dict[str, report.Sums]:
    """Of each caption, whether it names a missing partner, and whether another false object."""
    partners, false = report.sums(runs, split, "partners")
    every = np.ones_like(false)
    return {"partner_s": ((partners > 0).astype(float), every), "other_s": ((false > partners).astype(float), every)}


def by_kind(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Captions with a false partner and with another false object: of each method, and its change from the untuned model."""
    found: dict[str, Any] = {"value": {}, "change": {}}
    for name, of in runs.items():
        for split in SPLITS:
            own, base = false_kinds(of, split), false_kinds(runs[report.BASE], split)
            found["value"].setdefault(name, {})[split] = {kind: crossed_ratio(*sums) for kind, sums in own.items()}
            if name != report.BASE:
                changes = {kind: crossed_compare(base[kind], own[kind]).difference for kind in own}
                found["change"].setdefault(name, {})[split] = changes
    return found


def about(cause: str, study: Study) -> dict[str, Any]:
    """All measures of one model under every treatment, and what its annotators write about the same scenes."""
    again = "delete it, and run the experiment again"
    runs = {m.name: [read_record(study.measured(m, s), again) for s in range(m.seeds)] for m in study.methods}
    found = report.summarise(study.methods, runs)
    recipe = recipe_of(study.model)
    scenes = {split: held_out(split, study.scenes, study.split, study.edition) for split in SPLITS}
    return {
        "recipe": asdict(recipe),
        "taught": {split: taught(recipe, batch) for split, batch in scenes.items()},
        "methods": found["methods"],
        "tests": found["tests"][report.BASE],
        "beyond": report.over_the_constant(study.methods, runs),
        "false": by_kind(runs),
        "seconds": sum(sum(run["seconds"]) for of in runs.values() for run in of),
    }


def spoken(study: Study, n: int = 40) -> dict[str, list[str]]:
    """What a model says of the first counter-typical scenes, as it is and after two treatments."""
    batch, found = held_out("counter_typical", n, study.split, study.edition), dict[str, list[str]]()
    for method in (m for m in study.methods if m.name in SPOKEN):
        vlm = models.load(study.model)
        if method.is_trained:
            adapter = Path(study.recipe(method, 0).out) / "text" / "adapter"
            vlm = replace(vlm, model=weights.merged(weights.add_adapter(vlm.model, adapter)))
        found[method.name] = captions(vlm, batch)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("runs"), help="folder of the models")
    said = "make these runs, and write the files of which all are there"
    parser.add_argument("--only", nargs="*", default=tuple(GROUPS), choices=tuple(GROUPS), help=said)
    given = parser.parse_args()
    studies = {cause: study_of(cause, given.models) for cause in given.only}
    for cause, study in studies.items():
        print(cause, run.run(study), "runs made", flush=True)
    for name, causes in FILES.items():
        if set(causes) <= set(given.only):
            data = {cause: about(cause, studies[cause]) for cause in causes}
            seconds = sum(found["seconds"] for found in data.values())
            texts = {"spoken": spoken(studies["unseen"])} if "unseen" in causes else {}
            results.save(name, data | texts, asdict(read_study(RECIPE)), seconds, code=[__file__])


if __name__ == "__main__":
    main()
