"""``povid pairs``: make preference pairs, check them, audit them, and turn them into other formats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from povid_lib.cli.options import options_of
from povid_lib.cli.rewrite import rewrite
from povid_lib.data.corrupt_text import Offline
from povid_lib.pocket.config import CaptionPairs

if TYPE_CHECKING:  # the modules themselves are imported where a command needs them, so that help comes at once
    from povid_lib.data.audit import Audit
    from povid_lib.data.pairs import Pair
    from povid_lib.metrics.stats import Estimate


app = typer.Typer(
    no_args_is_help=True,
    help="Preference pairs: a question about a picture, a true answer, a false one. Make, check, audit and convert them.",
)
PairsFile = Annotated[Path, typer.Argument(help="File of pairs, JSON lines.", exists=True, dir_okay=False)]
Images = Annotated[
    Path | None, typer.Option(help="Folder of the pictures; scenes need none.", exists=True, file_okay=False)
]
SHOWN = 20  # pictures at fault that an audit names
FORMATS = (".jsonl", ".json", ".parquet")


@app.command()
@options_of("config", Offline, {None: ("difficulty", "objects", "relations", "attributes", "reasoning", "seed")})
def make(
    *,
    out: Annotated[Path, typer.Option(help="File to write; it must not exist yet.")],
    n: Annotated[int, typer.Option(help="Pairs, one a scene.")] = 10_000,
    config: Offline,
) -> None:
    """Make pairs from the pocket world's exact truth: no model, no cost, 10,000 in well under a minute.

    The false answer replaces, it never appends: it has as many words as the true one and the same form. Scenes come from the
    training split alone, and from a part of it that no pocket model was made with. A pair names its scene
    (scene:split/kind/index) and holds no picture: whoever reads it draws the scene again, equal to the pixel.

    ```
    povid pairs make --out pairs.jsonl
    povid pairs make --out colours.jsonl --objects 0 --relations 0 --reasoning 0 --n 500
    ```
    """
    from tqdm.auto import tqdm

    from povid_lib.data import corrupt_text, pair_files

    made = corrupt_text.pairs(n, config)
    out.parent.mkdir(parents=True, exist_ok=True)
    written = pair_files.write(out, tqdm(made, total=n, desc="pairs", disable=None))
    typer.echo(f"{written} pairs written to {out}.")


@app.command()
@options_of("config", CaptionPairs, {None: ("truth", "corruption", "cleaned", "seed")})
def captions(
    *,
    out: Annotated[Path, typer.Option(help="File to write; it must not exist yet.")],
    n: Annotated[int, typer.Option(min=1, help="Pairs, one a caption.")] = 1280,
    model: Annotated[
        str, typer.Option(help='"pocket", or a folder of povid pocket train: whose instruction data.')
    ] = "pocket",
    config: CaptionPairs,
) -> None:
    """Make pairs from the pocket model's instruction data, as POVID does from LLaVA's: the false answer claims a missing partner.

    ```
    povid pairs captions --out pairs.jsonl
    povid pairs captions --out even.jsonl --corruption insert_even --n 640
    ```
    """
    from povid_lib.data import pair_files
    from povid_lib.pocket import caption_pairs
    from povid_lib.pocket.lessons import recipe_of

    made = list(caption_pairs.pairs(n, recipe_of(model), config))
    if len(made) < n:
        raise ValueError(
            f"--n is {n}, and the captions of {model!r} allow {len(made)} such pairs; ask for as many, or fewer."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    typer.echo(f"{pair_files.write(out, made)} pairs written to {out}.")


app.command()(rewrite)


@app.command()
def check(path: PairsFile, images: Images = None) -> None:
    """Check a file line by line. Prints every fault with its line, value and remedy, and exits with 1 if there is one."""
    from povid_lib.data import pair_files

    count, faults = pair_files.find_faults(path, images)
    if not count:
        faults.append("the file holds nothing")
    for fault in faults:
        typer.echo(fault)
    seen = "" if images else " Files of pictures were not looked at; give --images."
    typer.echo(f"{path}: {count} pairs, {len(faults)} fault{'s' * (len(faults) != 1)}.{seen}")
    if faults:
        raise typer.Exit(1)


@app.command()
def audit(
    path: PairsFile,
    images: Images = None,
    objects: Annotated[
        Path | None,
        typer.Option(
            help="JSON file picture -> its objects (COCO's categories), for the test with the picture. Scenes need none.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Write results/NAME.json too.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the halves of the shortcut test.")] = 0,
) -> None:
    """Say what is wrong with pairs as a set, before anything is trained on them: lengths, edits, kinds, repeats, pictures.

    The text-shortcut test has a plain classifier tell chosen from rejected without the picture: 0.5 is as it should be, and near
    1 nobody who learns from these pairs need look at the picture. Beside it the same test by one who knows what is in the picture.
    Intervals are 95%; pairs of one picture belong together.

    ```
    povid pairs audit pairs.jsonl --name my_pairs
    ```
    """
    from povid_lib.data import audit, pair_files
    from povid_lib.files import results

    start = time.time()
    if name:
        results.check_name(name)
    rows = list(pair_files.read(path))
    found, blind = audit.audit(rows, images), audit.text_shortcut(rows, seed)
    seeing = _with_image(rows, objects, seed)
    for label, value in _audit_table(found, blind, seeing):
        typer.echo(f"{label:<46} {value}")
    for image, fault in list(found.pictures.items())[:SHOWN]:
        typer.echo(f"  {image}: {fault}")
    if name:
        data = {"audit": found, "text_shortcut": blind, "with_image": seeing}
        config = {"pairs": path.name, "seed": seed}
        typer.echo(f"Written to {results.save(name, data, config, time.time() - start)}.")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="File to read, or a folder of .parquet or .jsonl files.", exists=True)],
    target: Annotated[Path, typer.Argument(help="File to write; it must not exist yet.", dir_okay=False)],
    images: Images = None,
    skip_text_only: Annotated[
        bool, typer.Option("--skip-text-only", help="Leave rows without a picture out, and say how many they were.")
    ] = False,
) -> None:
    """Turn pairs into another format, by the endings of the two files.

    - .jsonl: ours, one pair a line
    - .json: POVID's public file, with conversations and rejected_conversations
    - .parquet: TRL's columns with the pictures in them; datasets.load_dataset("parquet", data_files=...) gives what its
      DPOTrainer trains on as it is

    Read are, besides these, the data of others, as .parquet or .jsonl or a folder of them: one's own in TRL's columns, RLHF-V and
    RLAIF-V as they are published. Pictures that those hold are written into --images; all is checked before anything is written.
    POVID's public file names its pictures by paths of its authors' (./data/coco/...); with --images they get the names that they have
    in that folder.

    POVID's file has no place for changes and provenance; all else comes back as it was. A .parquet needs --images to be written,
    unless all pictures are scenes.

    ```
    povid pairs convert povid_preference_data.json pairs.jsonl --images train2014/
    povid pairs convert pairs.jsonl pairs.parquet --images coco/
    povid pairs convert RLHF-V-Dataset.parquet pairs.jsonl --images rlhf-v/
    ```
    """
    from povid_lib.data import others, pair_files
    from povid_lib.data.povid_json import read_povid, write_povid
    from povid_lib.data.trl_dataset import write_trl

    if target.suffix not in FORMATS:
        raise ValueError(f"{target} ends in none of {', '.join(FORMATS)}; name it by what it holds.")
    if target.exists():
        raise ValueError(f"{target} exists; choose another name.")
    read, told = _reader(source), ""
    if read is not None and skip_text_only:
        raise ValueError("--skip-text-only is for the data of others; every pair of ours has a picture.")
    if read is not None:
        public = source.suffix == ".json"
        pairs: Iterable[Pair] = read_povid(source, images) if public else read(source)
    else:
        skipped, pairs = others.read(source, images, skip_text_only)
        told = f" {skipped} rows without a picture were left out." if skip_text_only else ""
    if target.suffix == ".parquet":
        written = write_trl(target, pairs, images)
    else:
        written = (write_povid if target.suffix == ".json" else pair_files.write)(target, pairs)
    typer.echo(f"{written} pairs written to {target}.{told}")


def _reader(source: Path) -> Callable[[Path], Iterable[Pair]] | None:
    """What reads a file in one of our forms; None for the data of others."""
    from povid_lib.data import pair_files, parquet
    from povid_lib.data.povid_json import read_povid
    from povid_lib.data.trl_dataset import is_ours, read_trl
    from povid_lib.files import jsonl

    if source.is_dir():
        return None
    if source.suffix not in FORMATS:
        raise ValueError(f"{source} ends in none of {', '.join(FORMATS)}; name it by what it holds.")
    if source.suffix == ".json":
        return read_povid
    if source.suffix == ".parquet":
        return read_trl if is_ours(parquet.names_in(source)) else None
    first = next(jsonl.stream(source), ("", None, None))[1]
    return None if isinstance(first, dict) and not first.keys() & pair_files.OWN else pair_files.read


# --- what the commands tell --------------------------------------------------------------------------------------


def _with_image(rows: list[Pair], objects: Path | None, seed: int) -> Estimate | None:
    """The shortcut test with the picture; None where nobody says what is in the pictures."""
    from povid_lib.data import audit
    from povid_lib.data import images as images_module
    from povid_lib.metrics.files import read_truth
    from povid_lib.metrics.vocabulary import coco_vocabulary
    from povid_lib.world import captions

    if objects is not None:
        vocabulary = coco_vocabulary()
        return audit.with_image(rows, read_truth(objects, vocabulary), vocabulary.mentioned, seed)
    names = {pair.image for pair in rows}
    if not all(name.startswith("scene:") for name in names):
        return None
    return audit.with_image(rows, {name: images_module.scene(name).names for name in names}, captions.mentioned, seed)


def _audit_table(found: Audit, blind: Estimate, seeing: Estimate | None) -> Iterator[tuple[str, object]]:
    yield "pairs", found.pairs
    yield "words, rejected / chosen", found.length_ratio
    yield "share with the longer answer rejected", found.longer
    yield "share with the shorter answer rejected", found.shorter
    yield "words inserted, deleted or replaced, per pair", found.edits
    for kind, share in found.changed.items():
        yield f"share of words changed: {kind}", share
    yield "pairs that repeat an earlier one", len(found.duplicates)
    yield "pairs whose answers are the same", len(found.same)
    yield "pictures missing or unreadable", len(found.pictures)
    yield "told without the picture (should be 0.5)", blind
    yield "told with the picture", seeing or "not known: give --objects"
