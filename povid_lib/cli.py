"""The ``povid`` command. Everything below it is a function that can be called from Python."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from povid_lib.cli_pairs import app as pairs_app

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",  # flows paragraphs, keeps lists and examples
    help="Measure hallucination in vision-language models, and cure it.",
)
pocket_app = typer.Typer(no_args_is_help=True, help="The pocket model: make it, examine it, put it into the browser.")
app.add_typer(pairs_app, name="pairs")
app.add_typer(pocket_app, name="pocket")


@app.command()
def world(cooccurrence: Annotated[float, typer.Option(help="Multiplies every pair's strength.")] = 1.0) -> None:
    """Print the pocket world's table of co-occurrence: P(partner | object) for all 24 pairs."""
    from povid_lib.worlds import World, cooccurrence_table

    typer.echo(f"{'context':<8} {'object':<9} {'partner':<9} P(partner | object)")
    for context, name, partner, p in cooccurrence_table(World(cooccurrence=cooccurrence)):
        typer.echo(f"{context:<8} {name:<9} {partner:<9} {p:.3f}")


@app.command()
def evaluate(
    data: Annotated[
        str,
        typer.Option(
            help='"typical" or "counter_typical" (pocket world), a JSON file image id -> objects (captions are scored by CHAIR), '
            "or POPE's question file (.json or .jsonl lines with a label)."
        ),
    ],
    model: Annotated[str | None, typer.Option(help='"pocket", a folder, or a hub id. Or give --answers.')] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Captions or answers as JSON lines, in place of a model.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, for a model on files.")] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Synonyms in the CHAIR authors' format; default: our own table for COCO.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the file in results/.")] = "evaluation",
    n: Annotated[int, typer.Option(help="Scenes of a pocket split.")] = 500,
) -> None:
    """Measure hallucination; writes results/NAME.json, and what the model said under runs/answers/NAME/."""
    from povid_lib import evaluate as ev
    from povid_lib import results
    from povid_lib.metrics.vocabulary import coco_vocabulary, read_vocabulary
    from povid_lib.pocket_report import SPLITS

    start, said_in = time.time(), Path("runs/answers") / name
    if (model is None) == (answers is None):
        raise typer.BadParameter("give either --model or --answers")
    try:
        if data in SPLITS:
            if model is None:
                raise ValueError("The pocket world's splits are answered by a model; give --model.")
            found = ev.evaluate_world(ev.ready(model, said_in), data, n, said_in)
        elif not Path(data).is_file():
            raise ValueError(f"--data {data!r} is neither a split ({', '.join(SPLITS)}) nor a file.")
        elif ev.holds_questions(Path(data)):
            found = ev.evaluate_question_file(Path(data), answers, model, images, said_in)
        else:
            words = read_vocabulary(vocabulary) if vocabulary else coco_vocabulary()
            found = ev.evaluate_truth_file(Path(data), words, answers, model, images, said_in)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    for label, estimate in ev.table(found):
        typer.echo(f"{label:<44} {estimate}   n = {estimate.n}")
    config = {"model": model, "answers": answers and answers.name, "data": Path(data).name, "n": n}
    typer.echo(f"Written to {results.save(name, found, config, time.time() - start)}.")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file such as recipes/pocket.yaml.")],
    out: Annotated[Path | None, typer.Option(help="Another folder than the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's, for both phases.")] = None,
) -> None:
    """Train both phases of POVID. A run that was stopped goes on when the same command is given again.

    On several processes: accelerate launch --num-processes 2 -m povid_lib.cli train recipes/pocket.yaml
    """
    from dataclasses import replace

    from povid_lib import train as runs

    try:
        found = runs.read_recipe(recipe)
        if out is not None:
            found = replace(found, out=str(out))
        if seed is not None:
            text, both = ({**phase, "seed": seed} if phase is not None else None for phase in (found.text, found.both))
            found = replace(found, text=text, both=both)
        folder = runs.run(found)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"The model is in {folder}; the curves are in {Path(found.out) / 'report.json'}.")


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="A YAML file such as recipes/study.yaml.")],
    only: Annotated[list[str] | None, typer.Option(help="Names of methods or groups; give it once for each.")] = None,
    part: Annotated[str, typer.Option(help='"0/2" and "1/2" share the runs between two processes.')] = "0/1",
) -> None:
    """Train and measure methods x seeds; writes results/, under the file's name, and prints a table.

    What is done is not done again; a study that was stopped goes on when the same command is given. With --part only the runs are
    made; the table needs the command once without it.
    """
    from povid_lib import study as studies
    from povid_lib import study_report

    try:
        found = studies.read_study(file)
        at, _, number = part.partition("/")
        if not (at.isdigit() and number.isdigit() and int(at) < int(number)):
            raise ValueError(f"--part is {part!r}; write k/n with k below n, such as 0/2.")
        done = studies.run(found, only or (), (int(at), int(number)))
        typer.echo(f"{done} runs made.")
        if part == "0/1":
            typer.echo(study_report.report(found, file.stem))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def merge(
    adapter: Annotated[
        Path, typer.Argument(help='The folder that a training wrote, such as "runs/povid/both/adapter".')
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the merged model; it must not be there yet.")],
    model: Annotated[str, typer.Option(help="The weights that the adapter was trained on.")] = "pocket",
) -> None:
    """Add an adapter to its base weights and write an ordinary model, which everything that reads LLaVA can load."""
    from povid_lib import train as runs

    try:
        typer.echo(f"Written to {runs.merge(model, adapter, out)}.")
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


@pocket_app.command("train")
def pocket_train(
    out: Annotated[Path, typer.Option(help="Folder for the model; a run that was stopped there goes on.")] = Path(
        "runs/pocket"
    ),
    seed: Annotated[int, typer.Option(help="Another seed: other scenes, texts and initial weights.")] = 0,
    cooccurrence: Annotated[float, typer.Option(help="Strength of co-occurrence in the world it learns from.")] = 1.0,
    annotator_error: Annotated[
        float, typer.Option(help="Rate at which missing partners are claimed, before strength.")
    ] = 1.1,
    share: Annotated[float, typer.Option(help="Share of the recipe's steps and pictures, for a smaller model.")] = 1.0,
    eyes_from: Annotated[Path | None, typer.Option(help="Take the eyes from this earlier run.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads. Another number gives another rounding of sums.")] = 2,
) -> None:
    """Make the pocket model in three stages: eyes, prior, join. About an hour on two cores."""
    from dataclasses import replace

    import torch

    from povid_lib.pocket_train import PocketConfig, train

    torch.set_num_threads(threads)
    try:
        config = PocketConfig(seed=seed, cooccurrence=cooccurrence, annotator_error=annotator_error)
        eyes, prior, align, instruct = (max(1, round(n * share)) for n in config.steps)
        config = replace(config, steps=(eyes, prior, align, instruct), pairs=max(1, round(config.pairs * share)))
        folder = train(config, out, eyes_from)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"The model is in {folder}.")


@pocket_app.command("report")
def pocket_report(
    model: Annotated[str, typer.Option(help='"pocket", or a folder written by "povid pocket train".')] = "pocket",
    name: Annotated[str, typer.Option(help="Name of the file in results/.")] = "pocket",
    n: Annotated[int, typer.Option(help="Scenes of each held-out split.")] = 500,
) -> None:
    """Measure a pocket model on the held-out splits and write results/NAME.json."""
    from povid_lib import results
    from povid_lib.pocket_report import SPLITS, full_report
    from povid_lib.vlm import load

    start = time.time()
    try:
        vlm = load(model)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    data = full_report(vlm, n)
    path = results.save(name, data, {"model": model, "n": n}, time.time() - start)
    for split in SPLITS:
        found = data[split]["answers"].chair
        typer.echo(f"{split}: CHAIR_s {found.chair_s}  CHAIR_i {found.chair_i}  recall {found.recall}")
    typer.echo(f"Written to {path}.")


@pocket_app.command("export")
def pocket_export(
    out: Annotated[Path, typer.Option(help="Folder for pocket.onnx.")] = Path("assets/models"),
) -> None:
    """Write the pocket model as ONNX, for the widgets that run it in the reader's browser."""
    from povid_lib.export import export
    from povid_lib.vlm import load

    typer.echo(f"Written to {export(load('pocket'), out)}.")


if __name__ == "__main__":  # for `accelerate launch -m povid_lib.cli`
    app()
