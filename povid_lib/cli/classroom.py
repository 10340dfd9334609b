"""``povid assign``, ``povid grade`` and ``povid archive``: hand a problem set out, mark what comes back, let a platform mark it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SetFolder = Annotated[Path, typer.Argument(help='The set\'s folder, such as "assignments/ps1_measuring".')]


def assign(
    assignment: SetFolder,
    out: Annotated[Path, typer.Option(help="Folder to write into; its files must not be there yet.")],
) -> None:
    """Make a problem set's student folder (notebook, AGENTS.md) and its solution.

    Give students the folder student/ and keep solution/ to yourself.

    ```
    povid assign assignments/ps1_measuring --out handout/
    ```
    """
    from povid_lib.course.grading import editions
    from povid_lib.course.grading.assignment import read_source

    for path in editions.write(read_source(assignment), out):
        typer.echo(f"Written to {path}.")


def archive(
    assignment: SetFolder,
    platform: Annotated[str, typer.Option("--for", help='"gradescope", "otter" or "classroom50".')],
    out: Annotated[Path, typer.Option(help="The archive, a .zip; for classroom50 a folder.")],
) -> None:
    """Make what a platform needs to mark a problem set by itself.

    It holds the set with its solutions: upload it to the platform, and give it to nobody else.

    ```
    povid archive assignments/ps1_measuring --for gradescope --out ps1.zip
    ```
    """
    from povid_lib.course.grading import archives
    from povid_lib.course.grading.assignment import read_source

    typer.echo(f"Written to {archives.write(read_source(assignment), platform, out)}.")


def grade(
    submissions: Annotated[Path, typer.Argument(help="Folder of the class: a file or a folder a student.")],
    assignment: Annotated[Path, typer.Option(help='The set\'s folder, such as "assignments/ps1_measuring".')],
    out: Annotated[Path, typer.Option(help="Folder for marks, reports and tables.")],
    jobs: Annotated[int, typer.Option(min=1, help="Submissions judged at a time.")] = 1,
    way: Annotated[
        str, typer.Option(help='How code is confined: "namespaces", or, weaker, "user" for root in a container.')
    ] = "namespaces",
) -> None:
    """Mark a class's submissions: notebooks or .py files, as handed in or as Canvas and Moodle download them.

    Functions are found by their names. Each submission runs in a process of its own that sees nothing but Python and the library,
    and has no network. Writes marks/ and reports/ (a file a student), class.md (which misconception, how often), marks.csv,
    canvas.csv and moodle.csv. What was marked is not marked again: a run that was stopped goes on when the same command is given.
    Exits with 1 if the judge itself failed on a submission.

    ```
    povid grade submissions/ --assignment assignments/ps1_measuring --out marked/ --jobs 2
    ```
    """
    from povid_lib.course.grading import as_user
    from povid_lib.course.grading.assignment import read_source
    from povid_lib.course.grading.grade_class import grade as grade_class

    graded = grade_class(read_source(assignment), submissions, out, jobs, way)
    if way == "user":
        typer.echo(as_user.LOST)
    failed = [each for each in graded if each.failed]
    faults = [each for each in graded if each.submission.fault]
    typer.echo(
        f"{len(graded)} submissions, {len(graded) - len(failed) - len(faults)} judged; the class's page is {out / 'class.md'}."
    )
    for each in (*failed, *faults):
        typer.echo(f"To look at: {each.submission.student}: {each.failed or each.submission.fault}")
    if failed:
        raise typer.Exit(1)
