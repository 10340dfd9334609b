"""``povid evaluate --benchmark``: AMBER, MMHal-Bench and LLaVA-Bench from their released files, and POPE from one's own objects.

Each takes its file of questions; what belongs to it is looked for beside it, under its released name. Two of them are rated by a
judge, a language model that is asked once for each answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from povid_lib.arguments import check_choice
from povid_lib.evaluation.answers import Asked, Names
from povid_lib.evaluation.evaluate import (
    CAPTION_TOKENS,
    STRICT,
    Answers,
    Measured,
    Source,
    answered,
    answered_questions,
    asked_with,
    read_truth,
    score_questions,
)
from povid_lib.files.jsonl import check_file, digest
from povid_lib.metrics import amber_files, files, llava_bench, llm_judge, mmhal, spellings
from povid_lib.metrics.amber import amber
from povid_lib.metrics.llm_judge import Judge, ToJudge
from povid_lib.metrics.pope import SETTINGS, PopeQuestion, build_questions, draw_present
from povid_lib.metrics.vocabulary import Vocabulary

RATINGS: dict[str, llm_judge.Read] = {"mmhal": spellings.rating, "llava-bench": spellings.two_scores}
JUDGED = tuple(RATINGS)
BENCHMARKS = ("amber", *JUDGED, "pope")
BESIDE = {  # a benchmark's other files
    "amber": ("annotations.json", "relation.json", "safe_words.txt"),
    "llava-bench": ("context.jsonl", "answers_gpt4.jsonl"),
}


def evaluate_benchmark(
    name: str, data: Path, source: Source, judge: Judge | None, captions: Path | None, vocabulary: Vocabulary
) -> Measured:
    """One of ``BENCHMARKS``. ``data``: its file of questions, or for POPE a truth; ``captions``, ``vocabulary``: POPE's, see
    ``evaluate.read_truth``; ``judge``: for those of ``JUDGED``.

    Raises ``ValueError``, before anything is asked, for a name that is none, a judge that is missing or not asked for, and as
    ``answered`` does.
    """
    check_choice("--benchmark", name, BENCHMARKS)
    check_file(data)
    if name in JUDGED:
        if judge is None:
            raise ValueError(f"{name} needs a judge; name its model with --judge.")
        found = _judged(name, data, source, judge)
    elif judge is not None:
        raise ValueError(f"{name} is scored without a judge; leave --judge out.")
    else:
        found = _amber(data, source) if name == "amber" else _pope(data, captions, vocabulary, source)
    others = {file: digest(beside(data, file)) for file in BESIDE.get(name, ())}
    return Measured(found.data, found.about | {"beside": others})


def _judged(name: str, data: Path, source: Source, judge: Judge) -> Measured:
    items, version, said = (_mmhal if name == "mmhal" else _llava_bench)(data, source)
    reviews = llm_judge.review(items, version, judge, source.said_in / "judge.jsonl", RATINGS[name])
    llm_judge.write_reviews(source.said_in / "reviews.jsonl", reviews)
    found: Any = mmhal.mmhal(reviews) if name == "mmhal" else llava_bench.llava_bench(reviews)
    unread = sum(RATINGS[name](r.text) is None for r in reviews)
    about = {
        "n": len({item.image for item in items}),
        **said.about,
        "vocabulary": None,
        **asked_with(source, "the benchmark's question", [item.image for item in items]),
        "parser": f"{name}'s rating in the review",
        "judge": {"model": judge.model, "base_url": judge.base_url, "prompt": version},
        "unclear": {"reviews": {"unclear": unread, "of": len(reviews)}},
    }
    return Measured({name: found}, about)


def beside(data: Path, name: str) -> Path:
    """The file of that name in the folder of ``data``, or in the one above. Raises ``ValueError`` if it is in neither."""
    for folder in (data.parent, data.parent.parent):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"{data} needs {name}, which is neither beside it nor a folder above; put the benchmark's files together."
    )


def _amber(data: Path, source: Source) -> Measured:
    """``data``: any of AMBER's ``query_*.json``, or a part of one."""
    queries = amber_files.read_queries(data)
    of_annotations, *of_words = (beside(data, file) for file in BESIDE["amber"])
    annotations, words = amber_files.read_annotations(of_annotations), amber_files.read_word_table(*of_words)
    if lost := [q.id for q in queries if q.id not in annotations]:
        told = f"{len(lost)} of {len(queries)} queries have no annotation there, the first is {lost[0]}"
        raise ValueError(f"{of_annotations}: {told}; use the files of one release.")
    asked = [Asked(q.id, q.image, q.text) for q in queries]
    said = answered(source, asked, Names("id", "response"), amber_files.read_responses, CAPTION_TOKENS)
    images = {q.id: q.image for q in queries}
    found = amber(annotations, said.texts, images, words)
    polls = [text for key, text in said.texts.items() if isinstance(annotations[key], amber_files.Poll)]
    about = {
        "n": len({images[key] for key in said.texts}),
        **said.about,
        "vocabulary": {"name": "AMBER's relation.json", "lemmatiser": "by_pattern", "words": len(words.words)},
        **asked_with(source, "the benchmark's query", [q.image for q in queries]),
        "parser": STRICT,
        "unclear": {
            "yes/no": {"unclear": sum(spellings.parse_yes_no(text) is None for text in polls), "of": len(polls)}
        },
    }
    return Measured({"amber": found}, about)


def _mmhal(data: Path, source: Source) -> tuple[list[ToJudge], str, Answers]:
    """``data``: MMHal-Bench's ``response_template.json``."""
    questions = mmhal.read_questions(data)
    asked = [Asked(q.id, q.image, q.question) for q in questions]
    names = Names("question_id", "model_answer")
    said = answered(source, asked, names, lambda file: mmhal.read_answers(file, questions), CAPTION_TOKENS)
    return mmhal.to_judge(questions, said.texts), mmhal.PROMPT_VERSION, said


def _llava_bench(data: Path, source: Source) -> tuple[list[ToJudge], str, Answers]:
    """``data``: LLaVA-Bench's ``questions.jsonl``."""
    context, reference = (beside(data, file) for file in BESIDE["llava-bench"])
    questions = llava_bench.read_questions(data, context, reference)
    asked = [Asked(q.id, q.image, q.question) for q in questions]
    said = answered(source, asked, Names("question_id", "text"), llava_bench.read_answers, CAPTION_TOKENS)
    if lacking := [q.id for q in questions if q.id not in said.texts]:
        raise ValueError(f"{len(lacking)} of {len(questions)} questions have no answer; the first is {lacking[0]}.")
    return llava_bench.to_judge(questions, said.texts), llava_bench.PROMPT_VERSION, said


def _pope(data: Path, captions: Path | None, vocabulary: Vocabulary, source: Source) -> Measured:
    """POPE's three settings, built from the truth; the questions are written, so that others can answer them."""
    truth, of = read_truth(data, captions, vocabulary)
    if absent := [image for image, names in truth.items() if not names]:
        truth = {image: names for image, names in truth.items() if names}  # POPE asks about what is there, too
    present = draw_present(truth)
    questions = {
        setting: [
            PopeQuestion(f"{setting}-{q.question_id}", q.image, q.text, q.present)
            for q in build_questions(truth, setting, present)
        ]
        for setting in SETTINGS
    }
    everything = [q for rows in questions.values() for q in rows]
    said = answered_questions(everything, source)
    source.said_in.mkdir(parents=True, exist_ok=True)
    files.write_questions(source.said_in / "questions.jsonl", everything)
    data_of, about_of = {}, {}
    for setting, rows in questions.items():
        ids = {q.question_id for q in rows}
        data_of[setting], about_of[setting] = score_questions(rows, {k: t for k, t in said.texts.items() if k in ids})
    about = {
        **about_of[SETTINGS[0]],
        **said.about,
        "truth": of,
        "left_out": len(absent),
        "vocabulary": vocabulary.record,
        **asked_with(source, "the question, with a hint unless pocket", truth),
        "unclear": {f"pope {setting}": row["unclear"]["pope"] for setting, row in about_of.items()},
    }
    return Measured({"pope": data_of}, about)
