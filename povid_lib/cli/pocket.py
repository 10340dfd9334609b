"""``povid pocket``: make, measure and export the pocket model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from povid_lib.arguments import check_choice
from povid_lib.pocket.config import RECIPES
from povid_lib.world.worlds import EDITION

MOST_SHARE = 100  # times the recipe's steps: weeks
pocket_app = typer.Typer(no_args_is_help=True, help="The pocket model: make it, examine it, put it into the browser.")


@pocket_app.command("train")
def pocket_train(
    out: Annotated[Path, typer.Option(help="Folder for the model; a run that was stopped there goes on.")] = Path(
        "runs/pocket"
    ),
    edition: Annotated[str, typer.Option(help=f"Of the world and its recipe: {', '.join(RECIPES)}.")] = EDITION,
    seed: Annotated[int, typer.Option(help="Another seed: other scenes, texts and initial weights.")] = 0,
    cooccurrence: Annotated[float, typer.Option(help="Strength of co-occurrence in the world it learns from.")] = 1.0,
    annotator_error: Annotated[
        float | None, typer.Option(help="Rate at which missing partners are claimed at the end, before strength.")
    ] = None,
    insert: Annotated[
        float | None, typer.Option(help="Rate at which they are claimed behind their companions, before strength.")
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the recipe's steps and pictures, for a smaller model.")] = 1.0,
    eyes_from: Annotated[Path | None, typer.Option(help="Take the eyes from this earlier run, or model.")] = None,
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="CPU threads. Another number gives another rounding of sums.")
    ] = 2,
) -> None:
    """Make the pocket model in three stages: eyes, prior, join. About an hour on two cores."""
    from dataclasses import replace

    import torch

    from povid_lib.pocket.train import train

    if not 0 < share <= MOST_SHARE:
        raise ValueError(f"--share is {share}; give a share of the recipe, more than 0 and {MOST_SHARE} at most.")
    torch.set_num_threads(threads)
    check_choice("edition", edition, tuple(RECIPES))
    given = {"annotator_error": annotator_error, "insert": insert}
    errs: dict[str, Any] = {name: rate for name, rate in given.items() if rate is not None}
    config = replace(RECIPES[edition], seed=seed, cooccurrence=cooccurrence, **errs)
    eyes, prior, align, instruct = (max(1, round(n * share)) for n in config.steps)
    config = replace(config, steps=(eyes, prior, align, instruct), pairs=max(1, round(config.pairs * share)))
    folder = train(config, out, eyes_from)
    typer.echo(f"The model is in {folder}.")


@pocket_app.command("report")
def pocket_report(
    model: Annotated[str, typer.Option(help='"pocket", or a folder written by "povid pocket train".')] = "pocket",
    name: Annotated[str, typer.Option(help="Name of the file in results/.")] = "pocket",
    n: Annotated[int, typer.Option(help="Scenes of each held-out split.")] = 500,
) -> None:
    """Measure a pocket model on the held-out splits of its world and write results/NAME.json."""
    from povid_lib.evaluation.held_out import SPLITS
    from povid_lib.evaluation.pocket_report import full_report
    from povid_lib.files import results
    from povid_lib.models.llava import load
    from povid_lib.pocket.lessons import recipe_of
    from povid_lib.pocket.train import train as make
    from povid_lib.training.reference_cache import key

    start = time.time()
    results.check_name(name)
    vlm, recipe = load(model), recipe_of(model)
    data = full_report(vlm, recipe, n)
    config = {"model": model, "weights": key(vlm.model, vlm.processor)["model"], "edition": recipe.edition, "n": n}
    path = results.save(name, data, config, time.time() - start, code=[full_report, make])
    for split in SPLITS:
        found = data[split]["answers"].chair
        typer.echo(f"{split}: CHAIR_s {found.chair_s}  CHAIR_i {found.chair_i}  recall {found.recall}")
    typer.echo(f"Written to {path}.")


@pocket_app.command("export")
def pocket_export(
    out: Annotated[Path, typer.Option(help="Folder for the model's two files and what the laboratory needs.")] = Path(
        "assets/models"
    ),
) -> None:
    """Write the pocket model, POVID's difference and the laboratory, for pages that run them in the reader's browser."""
    from povid_lib.models.llava import FOLDER, TUNED, load, load_tuned
    from povid_lib.pocket.config import read_config
    from povid_lib.pocket.export import export, export_adapter
    from povid_lib.widgets.lab import chosen_scenes, write_lab

    before, after = load("pocket"), load_tuned()
    for path in (export(before, out), export_adapter(TUNED, out)):
        typer.echo(f"Written to {path} ({path.stat().st_size / 1e6:.2f} MB).")
    write_lab(before, after, chosen_scenes(before, after, read_config(FOLDER / "pocket_config.json").edition), out)
    typer.echo(f"The laboratory's files are in {out}.")
