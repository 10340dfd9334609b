"""A language model as judge, through any OpenAI-compatible server: asked once for each different question, every answer kept.

What is asked and how the reviews are read is in ``mmhal`` and ``llava_bench``. A judge is an instrument with errors of its own, and
scores made with different judges or prompts cannot be compared.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from reprlib import repr as shown

from povid_lib.files.jsonl import replacing
from povid_lib.remote.asking import Stopped, asked
from povid_lib.remote.client import Request
from povid_lib.remote.ledger import Event, open_journal
from povid_lib.remote.reading import content_of, words_in
from povid_lib.remote.server import Server, Temperature

Read = Callable[[str], object]  # what an answer says; None if nothing


@dataclass(frozen=True)
class Judge(Server):
    """Which model judges, where, how, and for how much money at most: see ``Server``."""

    temperature: Temperature = 0.0


@dataclass(frozen=True)
class ToJudge:
    """An answer to be judged. ``image``: the intervals' unit; ``category``: the kind of question; ``prompt``: what the judge is
    asked."""

    id: str
    image: str
    category: str
    prompt: str


@dataclass(frozen=True)
class Review:
    """One review as the judge wrote it. ``judge`` and ``prompt``: the model and the version of the prompt that made it."""

    id: str
    image: str
    category: str
    text: str
    judge: str
    prompt: str


def ask(judge: Judge, prompts: Sequence[str], cache: Path, read: Read = str) -> list[str]:
    """The judge's answer to each prompt. ``cache``: a journal (``remote.ledger``); answers in it are not asked for again. ``read``:
    what an answer says, None if nothing; a judge whose answers say nothing is asked no more.

    An answer is found by a hash of all that it depends on: server, model, prompt, temperature and length. A refusal without text
    is kept as "". What may be spent, and when no more is sent, is told in ``remote.asking.asked``.

    Raises ``ValueError`` if the key is missing where something is left to ask, or the cache is no journal or in use, and
    ``RuntimeError`` if prompts stay without an answer; all answers so far are then in the cache, and a second call goes on.
    """
    requests = [_request(judge, prompt) for prompt in prompts]
    useless = functools.partial(_useless, read)
    with open_journal(cache) as (ledger, write):
        proven = any(read(words_in(ended["text"])) is not None for ended in ledger.answers.values())
        left = {request.key: request for request in requests if request.key not in ledger.answers}
        stop = "the next request might pass the limit; raise spending_limit"
        try:
            with closing(asked(judge, "judge", left.values(), ledger, write, useless, proven)) as answers:
                for _, ended in answers:
                    if ended["event"] == "failed":
                        stop = f"the last: {ended['text']}"
        except Stopped as error:
            stop = str(error)
        if missing := [request.key for request in requests if request.key not in ledger.answers]:
            told = f"${ledger.committed:.6f} of ${judge.spending_limit} spent at most"
            raise RuntimeError(
                f"{len(missing)} of {len(prompts)} prompts have no answer ({stop}); {told}. Call again to go on."
            )
        return [words_in(ledger.answers[request.key]["text"]) for request in requests]


def review(items: Sequence[ToJudge], version: str, judge: Judge, cache: Path, read: Read = str) -> list[Review]:
    """Have every answer reviewed. ``version``: of the benchmark's prompt; ``read``: how its ratings are read. Raises as ``ask``
    does."""
    texts = ask(judge, [item.prompt for item in items], cache, read)
    return [
        Review(item.id, item.image, item.category, text, judge.model, version)
        for item, text in zip(items, texts, strict=True)
    ]


def _request(judge: Judge, prompt: str) -> Request:
    body = {
        "model": judge.model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": judge.temperature,
        judge.length_parameter: judge.max_tokens,
    }
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    key = hashlib.sha256(f"{judge.base_url.rstrip('/')}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
    return Request(key, len(text.encode("utf-8", "surrogatepass")), functools.partial(dict, body))


def _useless(read: Read, _key: str, ended: Event) -> str:
    """Why an event has nothing to read: a judge that breaks off has often said what counts."""
    if ended["event"] == "failed":
        return f"no answer: {ended['text']}"
    words = words_in(ended["text"])
    if words.strip() and read(words) is not None:
        return ""
    try:
        content_of(ended["text"])
    except ValueError as error:
        return str(error)
    return f"no rating in {shown(words)}"


def write_reviews(path: Path, reviews: Sequence[Review]) -> None:
    """Write reviews as JSONL, one a line, in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text("".join(json.dumps(asdict(review)) + "\n" for review in reviews), encoding="utf-8")
