"""A language model as judge, through any OpenAI-compatible server: asked once for each different question, every answer kept.

What is asked and how the reviews are read is in ``mmhal`` and ``llava_bench``. A judge is an instrument with errors of its own, and
scores made with different judges or prompts cannot be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from openai import DefaultHttpxClient, OpenAI


@dataclass(frozen=True)
class Judge:
    """Which model is asked, where and how. The key is read from the environment variable ``key_variable``, never from a file.

    Raises ``ValueError`` for settings that cannot work.
    """

    model: str
    base_url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"
    temperature: float = 0.0
    max_tokens: int = 1024
    concurrency: int = 4  # requests under way at once
    retries: int = 5  # of a request that failed for a passing reason; the client waits longer each time
    timeout: float = 120.0  # seconds for one request

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.max_tokens < 1 or self.retries < 0 or self.timeout <= 0 or self.temperature < 0:
            raise ValueError(
                f"{self}: concurrency, max_tokens and timeout must be positive, retries and temperature not negative."
            )


@dataclass(frozen=True)
class ToJudge:
    """An answer to be judged. ``image``: the unit of resampling; ``category``: the kind of question; ``prompt``: what the judge is
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


def ask(judge: Judge, prompts: Sequence[str], cache: Path, http_client: DefaultHttpxClient | None = None) -> list[str]:
    """The judge's answer to each prompt. ``cache``: a JSONL file; answers in it are not asked for again, new ones are added.

    An answer is found by a hash of all that it depends on: server, model, prompt, temperature and length. A refusal without text
    is kept as "". Passing failures (no connection, 408, 409, 429, 5xx) are tried again ``llm_judge.retries`` times; then the
    client's error is raised, requests not yet begun are dropped, and all answers so far are in the cache.
    Raises ``ValueError`` if the key is missing where something is left to ask, or the cache holds a line that cannot be read.
    """
    known = _read_cache(cache)
    keys = [_key(judge, prompt) for prompt in prompts]
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
    if missing:
        secret = os.environ.get(judge.key_variable)
        if not secret:
            raise ValueError(f"The environment variable {judge.key_variable} is not set; put the judge's key there.")
        client = OpenAI(
            api_key=secret,
            base_url=judge.base_url,
            max_retries=judge.retries,
            timeout=judge.timeout,
            http_client=http_client,
        )
        cache.parent.mkdir(parents=True, exist_ok=True)
        lock = threading.Lock()

        def fetch(key: str, prompt: str) -> str:
            answer = client.chat.completions.create(
                model=judge.model,
                messages=[{"role": "user", "content": prompt}],
                temperature=judge.temperature,
                max_tokens=judge.max_tokens,
            )
            text = answer.choices[0].message.content or ""
            with lock, cache.open("a") as file:
                file.write(json.dumps({"key": key, "model": judge.model, "prompt": prompt, "text": text}) + "\n")
            return text

        with ThreadPoolExecutor(judge.concurrency) as pool:  # a failure in map drops what has not begun
            known |= dict(zip(missing, pool.map(fetch, missing.keys(), missing.values()), strict=True))
    return [known[key] for key in keys]


def review(items: Sequence[ToJudge], version: str, judge: Judge, cache: Path) -> list[Review]:
    """Have every answer reviewed. ``version``: of the benchmark's prompt. Raises as ``ask`` does."""
    texts = ask(judge, [item.prompt for item in items], cache)
    return [
        Review(item.id, item.image, item.category, text, judge.model, version)
        for item, text in zip(items, texts, strict=True)
    ]


def _key(judge: Judge, prompt: str) -> str:
    parts = [judge.base_url, judge.model, judge.temperature, judge.max_tokens, prompt]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_cache(path: Path) -> dict[str, str]:
    return {row["key"]: row["text"] for row in read_lines(path, ("key", "text"))} if path.exists() else {}


def read_lines(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Read JSONL. Raises ``ValueError`` that names file and line for what is no JSON object or lacks one of the fields."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error.msg}); mend or delete the line.") from error
        if not isinstance(row, dict) or not set(fields) <= set(row):
            raise ValueError(f"{path}, line {number}: an object with {', '.join(fields)} is needed.")
        rows.append(row)
    return rows


def write_reviews(path: Path, reviews: Sequence[Review]) -> None:
    """Write reviews as JSONL, one a line, in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(review)) + "\n" for review in reviews))
