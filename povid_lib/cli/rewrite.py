"""``povid pairs rewrite``: false answers by a model that sees, priced beforehand, resumed, and through the Batch API."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from povid_lib.cli.options import options_of
from povid_lib.data.rewrite.config import RewriterConfig

if TYPE_CHECKING:
    from povid_lib.data.rewrite.rewriter import DryRun

_MONEY, _BATCH = {"rich_help_panel": "Money"}, {"rich_help_panel": "Batch API"}
_FILE: dict[str, Any] = {"exists": True, "dir_okay": False}


@options_of(
    "config",
    RewriterConfig,
    {
        None: ("kinds",),
        "Server": ("model", "base_url", "key_variable", "concurrency", "length_parameter"),
        "Money": ("input_price", "output_price", "spending_limit", "detail", "max_tokens", "image_tokens"),
    },
    {"kinds": "kind", "spending_limit": "budget"},
)
def rewrite(
    *,
    truth: Annotated[
        Path, typer.Option(help="True answers: LLaVA-Instruct conversations, or COCO's file of captions.", **_FILE)
    ],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.", exists=True, file_okay=False)],
    out: Annotated[
        Path,
        typer.Option(
            help="File of pairs. Beside it: OUT.journal, from which a stopped run goes on, and OUT.rejects, the rows without "
            "a usable answer and why."
        ),
    ],
    first: Annotated[int | None, typer.Option(min=1, help="Only the first so many true answers, for a trial.")] = None,
    prompt: Annotated[
        str, typer.Option(help="The question that COCO's captions answer; LLaVA's file has its own.")
    ] = "Describe this image.",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again about rows that got no answer at all.")
    ] = False,
    config: RewriterConfig,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print how far it is, tokens and money, and send nothing. Needs no key.", **_MONEY
        ),
    ] = False,
    batch: Annotated[
        Path | None,
        typer.Option(
            help="Send nothing, and write input files for the Batch API to this folder.", file_okay=False, **_BATCH
        ),
    ] = None,
    batch_results: Annotated[
        list[Path] | None,
        typer.Option(help="An output or error file that came back; repeat it.", **_FILE, **_BATCH),
    ] = None,
    batch_drop: Annotated[
        list[Path] | None,
        typer.Option(
            help="An input file that was never uploaded, or was cancelled: its rows are to be asked again; repeat it.",
            **_FILE,
            **_BATCH,
        ),
    ] = None,
) -> None:
    """Have a model that sees write the false answers, as POVID does (arXiv 2402.11411, section 3.1), within a budget.

    Every answer is verified: each change that the model claims must be there, and nothing else may differ. Stopped or killed,
    give the same command again: nothing that was answered is sent or paid a second time. The key is read from the environment
    and never written down.

    Know the price first, read ten rows, then let it run:

    ```
    export OPENAI_API_KEY=...
    ask="povid pairs rewrite --truth llava_instruct.json --images coco/ --out pairs.jsonl
      --model gpt-4o --input-price 2.5 --output-price 10 --budget 50"
    $ask --dry-run
    $ask --first 10
    $ask
    ```

    Through the Batch API, within a day and at the provider's batch prices: write the files, upload each of them once (the
    client's files.create with purpose="batch", then batches.create), and bring back what comes of it:

    ```
    $ask --batch batches/
    $ask --batch batches/ --batch-results output.jsonl --batch-results errors.jsonl
    ```

    An open model on a GPU of your own, behind the same client. The server asks for no key but the client sends one, so any word
    will do; where prices are 0 the budget is not touched:

    ```
    vllm serve llava-hf/llava-1.5-7b-hf --runner generate --max-model-len 4096
    export OPENAI_API_KEY=none
    povid pairs rewrite --truth llava_instruct.json --images coco/ --out pairs.jsonl \\
      --base-url http://localhost:8000/v1 --model llava-hf/llava-1.5-7b-hf \\
      --input-price 0 --output-price 0 --budget 1
    ```
    """
    from povid_lib.data import pair_files
    from povid_lib.data.rewrite import rewriter
    from povid_lib.data.rewrite.batch import drop_batch, read_batch, write_batch
    from povid_lib.data.true_answers import read_truths

    if (batch_results or batch_drop) and batch is None:
        raise typer.BadParameter("--batch-results and --batch-drop need --batch FOLDER.")
    journal, rejects = Path(f"{out}.journal"), Path(f"{out}.rejects")
    truths = list(islice(read_truths(truth, prompt), first))
    if dry_run:
        return _tell(rewriter.dry_run(config, truths, images, journal))
    done = _ids(out, journal)
    for path in batch_results or ():
        typer.echo(f"{read_batch(config, path, journal)} rows taken from {path}.")
    for path in batch_drop or ():
        typer.echo(f"{drop_batch(config, path, journal)} rows of {path} are to be asked again.")
    new = rewriter.rewrite(config, truths, images, journal, rejects, done, retry_failed, send=batch is None)
    added = pair_files.append(out, new)
    written = write_batch(config, truths, images, batch, journal) if batch else []
    typer.echo(f"{added} pairs added to {out}, which now has {len(done) + added}.")
    for path in written:
        typer.echo(f"To upload, once: {path}")
    return None


def _ids(out: Path, journal: Path) -> set[str]:
    """The ids of the pairs that earlier runs have written. Raises ``ValueError`` if ``out`` is not of this journal."""
    from povid_lib.data import pair_files

    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        return set()
    if not journal.exists():
        raise ValueError(f"{out} exists without {journal}, so this command did not make it; choose another name.")
    pair_files.mend(out)
    return {pair.id for pair in pair_files.read(out)}


def _tell(found: DryRun) -> None:
    for label, value in (
        ("rows: pairs", f"{found.pairs:,}"),
        ("rows: rejected", f"{found.rejected:,}"),
        ("rows: in batch files", f"{found.in_batch:,}"),
        ("rows: left", f"{found.left:,}"),
        ("dollars spent, at most", f"{found.spent:.4f}"),
        ("requests left to send", f"{found.requests:,}"),
        ("input tokens, estimated", f"{found.input_tokens:,}"),
        ("input tokens, at most", f"{found.input_tokens_most:,}"),
        ("output tokens, at most", f"{found.output_tokens_most:,}"),
        ("dollars, estimated input and longest answers", f"{found.dollars:.4f}"),
        ("dollars, at most", f"{found.dollars_most:.4f}"),
        ("dollars set aside before the dearest request", f"{found.reservation:.4f}"),
    ):
        typer.echo(f"{label:<46} {value:>14}")
    typer.echo("Nothing was sent.")
