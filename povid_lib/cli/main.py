"""The ``povid`` command. Everything below it is a function that can be called from Python."""

from __future__ import annotations

import dis
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from povid_lib.cli.classroom import archive, assign, grade
from povid_lib.cli.evaluate import evaluate
from povid_lib.cli.pairs import app as pairs_app
from povid_lib.cli.pocket import pocket_app
from povid_lib.world.worlds import EDITION


class Plain(TyperGroup):
    """What the library refuses is told in its words: what was typed, with exit status 2, and what went wrong on the way with 1. Any
    other error keeps its traceback, as it is a fault of the program."""

    def invoke(self, ctx: Any) -> Any:
        """As click's own does."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):  # click's own, and a reader of the output that has stopped
            raise
        except OSError as error:
            raise typer.BadParameter(str(error)) from error
        except (ValueError, RuntimeError, ArithmeticError) as error:
            if not is_meant(error):
                raise
            if isinstance(error, ValueError):
                raise typer.BadParameter(str(error)) from error
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error


def is_meant(error: Exception) -> bool:
    """Whether a ``raise`` of this library has made the error, and not what it calls, or Python itself."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None or not at.tb_frame.f_globals.get("__name__", "").startswith("povid_lib."):
        return False
    return at.tb_frame.f_code.co_code[at.tb_lasti] == dis.opmap["RAISE_VARARGS"]


app = typer.Typer(
    cls=Plain,
    no_args_is_help=True,
    rich_markup_mode="markdown",  # flows paragraphs, keeps lists and examples
    help="Measure hallucination in vision-language models, and reduce it.",
)
app.add_typer(pairs_app, name="pairs")
app.add_typer(pocket_app, name="pocket")


def main() -> None:
    """The command. A terminal that has no letter for what is said gets its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()


@app.command()
def world(
    cooccurrence: Annotated[float, typer.Option(help="Multiplies every pair's strength.")] = 1.0,
    edition: Annotated[
        str, typer.Option(help="Of the world: second with objects that cannot be made out, or first without them.")
    ] = EDITION,
) -> None:
    """Print the pocket world's table of co-occurrence: P(partner | object) for all 24 pairs."""
    from povid_lib.world import worlds
    from povid_lib.world.worlds import cooccurrence_table

    typer.echo(f"{'context':<8} {'object':<9} {'partner':<9} P(partner | object)")
    for context, name, partner, p in cooccurrence_table(worlds.world(edition=edition, cooccurrence=cooccurrence)):
        typer.echo(f"{context:<8} {name:<9} {partner:<9} {p:.3f}")


app.command()(evaluate)
app.command()(archive)
app.command()(assign)
app.command()(grade)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help='A YAML file, or the name of a shipped recipe such as "pocket".')],
    out: Annotated[Path | None, typer.Option(help="Another folder than the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's, for both phases.")] = None,
) -> None:
    """Train both phases of POVID. A run that was stopped goes on when the same command is given again.

    On several processes: accelerate launch --num-processes 2 -m povid_lib.cli train pocket
    """
    from dataclasses import replace

    from povid_lib.training import recipe as recipes

    found = recipes.read_recipe(recipes.find_recipe(recipe))
    if out is not None:
        found = replace(found, out=str(out))
    if seed is not None:
        text, both = ({**phase, "seed": seed} if phase is not None else None for phase in (found.text, found.both))
        found = replace(found, text=text, both=both)
    folder = recipes.run(found)
    typer.echo(f"The model is in {folder}; the curves are in {Path(found.out) / 'report.json'}.")


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help='A YAML file, or the name of a shipped study such as "study".')],
    only: Annotated[list[str] | None, typer.Option(help="Names of methods or groups; give it once for each.")] = None,
    part: Annotated[str, typer.Option(help='"0/2" and "1/2" share the runs between two processes.')] = "0/1",
) -> None:
    """Train and measure methods x seeds; writes results/, under the file's name, and prints a table.

    What is done is not done again; a study that was stopped goes on when the same command is given. With --part only the runs are
    made; the table needs the command once without it.
    """
    from povid_lib.files import results
    from povid_lib.study import methods, report, run
    from povid_lib.training.recipe import find_recipe

    file = find_recipe(file)
    results.check_name(file.stem)
    found = methods.read_study(file)
    at, _, number = part.partition("/")
    if not (at.isdigit() and number.isdigit() and int(at) < int(number)):
        raise ValueError(f"--part is {part!r}; write k/n with k below n, such as 0/2.")
    done = run.run(found, only or (), (int(at), int(number)))
    typer.echo(f"{done} runs made.")
    if part == "0/1":
        typer.echo(report.report(found, file.stem))


@app.command()
def merge(
    adapter: Annotated[
        Path, typer.Argument(help='The folder that a training wrote, such as "runs/povid/both/adapter".')
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the merged model; it must not be there yet.")],
    model: Annotated[str, typer.Option(help="The weights that the adapter was trained on.")] = "pocket",
) -> None:
    """Add an adapter to its base weights and write an ordinary model, which everything that reads LLaVA can load."""
    from povid_lib.training import merging

    typer.echo(f"Written to {merging.merge(model, adapter, out)}.")


@app.command()
def join(
    adapters: Annotated[
        list[Path],
        typer.Argument(help="Adapters in the order of their phases; each was trained on what those before it made."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the one adapter; it must not be there yet.")],
    model: Annotated[str, typer.Option(help="The weights that the first adapter was trained on.")] = "pocket",
) -> None:
    """Write adapters that were trained one after the other as one adapter of the first one's base."""
    from povid_lib.training import merging

    typer.echo(f"Written to {merging.join(model, adapters, out)}.")
