"""``povid evaluate``: what to measure, and where the answers come from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

_MODEL = "How the model is loaded and asked"


def evaluate(
    data: Annotated[
        str,
        typer.Option(
            help='"typical" or "counter_typical" (pocket world), a JSON file image id -> objects or COCO\'s instances (captions '
            "are scored by CHAIR), or POPE's question file (.json or .jsonl lines with a label). With --benchmark its questions."
        ),
    ],
    model: Annotated[str | None, typer.Option(help='"pocket", a folder, or a hub id. Or give --answers.')] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Captions or answers as JSON lines, in place of a model.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, for a model on files.")] = None,
    captions: Annotated[
        Path | None, typer.Option(help="COCO's captions beside its instances: what they name is true, too.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Synonyms in the CHAIR authors' format; default: our own table for COCO.")
    ] = None,
    lemmatiser: Annotated[
        str,
        typer.Option(help='Base forms of words: "pattern" (CHAIR\'s authors), "wordnet" (most later tables), "none".'),
    ] = "pattern",
    benchmark: Annotated[
        str | None,
        typer.Option(
            help='"amber" (--data query_all.json or another of its query files), "mmhal" (response_template.json), "llava-bench" '
            '(questions.jsonl), each with its other files as released; "pope" builds the questions from the objects of --data.'
        ),
    ] = None,
    judge: Annotated[str | None, typer.Option(help="Model that rates mmhal and llava-bench.")] = None,
    judge_url: Annotated[
        str, typer.Option(help="Its server, OpenAI-compatible. The key: $OPENAI_API_KEY.")
    ] = "https://api.openai.com/v1",
    input_price: Annotated[
        float | None,
        typer.Option(help="The judge's price, dollars for a million input tokens; 0 for a server that is free."),
    ] = None,
    output_price: Annotated[
        float | None,
        typer.Option(help="The judge's price, dollars for a million output tokens; 0 for a server that is free."),
    ] = None,
    spending_limit: Annotated[float, typer.Option(help="Dollars that the judge may cost at most.")] = 5.0,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Pictures at once; default 64 drawn ones, 16 photographs.", rich_help_panel=_MODEL),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16 or float16; default float32 on a CPU, the GPU's own kind there.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    four_bit: Annotated[
        bool, typer.Option("--four-bit", help="Load in four bits (NF4), on a GPU only.", rich_help_panel=_MODEL)
    ] = False,
    prompt: Annotated[
        str | None,
        typer.Option(help='What is asked for a caption; default "Describe this image."', rich_help_panel=_MODEL),
    ] = None,
    hint: Annotated[
        str | None,
        typer.Option(
            help="The line after each of POPE's questions, \"\" for none; default LLaVA's, and none for the pocket model.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens of an answer at most; default 512, and 16 after POPE's questions.", rich_help_panel=_MODEL
        ),
    ] = None,
    end_bias: Annotated[
        float,
        typer.Option(
            help="Constant on the end token's logit: the baseline for whatever makes answers shorter.",
            rich_help_panel=_MODEL,
        ),
    ] = 0.0,
    name: Annotated[str, typer.Option(help="Name of the file in results/.")] = "evaluation",
    n: Annotated[int, typer.Option(help="Scenes of a pocket split.")] = 500,
) -> None:
    r"""Measure hallucination; writes results/NAME.json, and what the model said under runs/answers/NAME/.

    Answers are kept as they come: a run that was stopped goes on when the same command is given again, and asks nothing twice.

    ```
    povid evaluate --data typical --model pocket
    povid evaluate --data instances.json --captions captions.json --answers said.jsonl
    povid evaluate --benchmark amber --data AMBER/data/query/query_all.json --answers responses.json
    povid evaluate --benchmark mmhal --data response_template.json --model llava-hf/llava-1.5-7b-hf --images images/ \
      --judge NAME --input-price 2.5 --output-price 10
    ```
    """
    from povid_lib import models
    from povid_lib.arguments import check_choice
    from povid_lib.evaluation import benchmarks
    from povid_lib.evaluation import evaluate as kinds
    from povid_lib.evaluation.answers import Asking
    from povid_lib.evaluation.held_out import SPLITS
    from povid_lib.files import results
    from povid_lib.files.jsonl import check_file, digest
    from povid_lib.metrics.lemmas import LEMMATISERS
    from povid_lib.metrics.llm_judge import Judge
    from povid_lib.metrics.vocabulary import coco_vocabulary, read_vocabulary

    start, path = time.time(), Path(data)
    if (model is None) == (answers is None):
        raise typer.BadParameter("give either --model or --answers")
    results.check_name(name)
    for file in (captions, vocabulary):
        if file is not None:
            check_file(file)
    given = {"data": path, "answers": answers, "captions": captions, "vocabulary": vocabulary}
    inputs = {what: digest(file) for what, file in given.items() if file is not None and file.is_file()}
    how = Asking(batch_size, dtype, four_bit, prompt, hint, tokens, end_bias)
    source = kinds.Source(answers, model, images, Path("runs/answers") / name, how)
    if answers is not None and how != Asking():
        raise ValueError("How a model is loaded and asked says nothing where --answers are given; leave it out.")
    if four_bit:
        models.check_four_bit()
    if benchmark is None and judge is not None:
        raise ValueError("--judge rates benchmarks; name one with --benchmark.")
    if judge is not None and (input_price is None or output_price is None):
        raise ValueError(
            "The limit holds by the judge's prices: give --input-price and --output-price, 0 for a server that is free."
        )
    reads_objects = benchmark == "pope" or (
        benchmark is None and path.is_file() and not kinds.files.holds_questions(path)
    )
    if (vocabulary or lemmatiser != "pattern") and not reads_objects:
        raise ValueError("--vocabulary and --lemmatiser are for a truth of COCO's objects; leave them out here.")
    polls = benchmark == "pope" or (benchmark is None and path.is_file() and kinds.files.holds_questions(path))
    if prompt is not None and (polls or benchmark is not None or data in SPLITS):
        raise ValueError(
            "--prompt is for captions of photographs, against a truth; here the questions are given. Leave it out."
        )
    if hint is not None and not polls:
        raise ValueError("--hint is for POPE's questions; leave it out here.")
    if benchmark is None and data in SPLITS:
        if answers is not None:
            raise ValueError("The pocket world's splits are answered by a model; give --model.")
        if tokens is not None:
            raise ValueError("--tokens is for photographs; answers about drawn scenes have 128 at most. Leave it out.")
        measured = kinds.evaluate_world(source.ready(), data, n, source.said_in, end_bias)
    elif not path.is_file():
        raise ValueError(f"--data {data!r} is neither a split ({', '.join(SPLITS)}) nor a file.")
    elif benchmark is None and kinds.files.holds_questions(path):
        measured = kinds.evaluate_question_file(path, source)
    else:
        check_choice("--lemmatiser", lemmatiser, LEMMATISERS)
        lemmatise = LEMMATISERS[lemmatiser]
        words = read_vocabulary(vocabulary, lemmatise=lemmatise) if vocabulary else coco_vocabulary(lemmatise)
        if benchmark is None:
            measured = kinds.evaluate_truth_file(path, captions, words, source)
        else:
            prices = input_price or 0.0, output_price or 0.0
            rater = Judge(judge, *prices, spending_limit, judge_url) if judge else None
            measured = benchmarks.evaluate_benchmark(benchmark, path, source, rater, captions, words)
    for line in kinds.lines(measured):
        typer.echo(line)
    asked = {"model": model, "answers": answers and answers.name, "data": path.name, "benchmark": benchmark}
    config = {**asked, "inputs": inputs, **measured.about}
    typer.echo(f"Written to {results.save(name, measured.data, config, time.time() - start)}.")
