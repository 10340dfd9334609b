"""The judge's client against a server that lives in this process: what is asked, paid for, kept and tried again."""

import json
import threading
import time

import httpx2
import openai
import pytest

from povid_lib.metrics import llm_judge
from povid_lib.metrics.llm_judge import Judge, Review, ToJudge, ask, read_lines, review, write_reviews

JUDGE = Judge("wise", base_url="https://judge.test/v1", retries=2)


class Server:
    """Answers "re: <prompt>"; ``failures`` are status codes to answer first."""

    def __init__(self, *failures):
        self.failures, self.asked, self.headers = list(failures), [], []
        self.now, self.most, self.lock = 0, 0, threading.Lock()
        self.client = httpx2.Client(transport=httpx2.MockTransport(self.answer))

    def answer(self, request):
        body = json.loads(request.content)
        with self.lock:
            self.asked.append(body)
            self.headers.append(request.headers)
            self.now += 1
            self.most = max(self.most, self.now)
            failure = self.failures.pop(0) if self.failures else None
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        if failure:
            return httpx2.Response(failure, headers={"retry-after-ms": "1"}, json={"error": {"message": "no"}})
        prompt = body["messages"][0]["content"]
        message = {"role": "assistant", "content": None if prompt == "refuse" else f"re: {prompt}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return httpx2.Response(
            200, json={"id": "1", "object": "chat.completion", "created": 0, "model": "wise", "choices": [choice]}
        )


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a key of the environment")


def test_answers_come_in_order_and_nothing_is_paid_twice(tmp_path):
    server, cache = Server(), tmp_path / "new" / "cache.jsonl"
    assert ask(JUDGE, ["a", "b", "a"], cache, server.client) == ["re: a", "re: b", "re: a"]
    assert len(server.asked) == 2
    assert ask(JUDGE, ["b", "c"], cache, server.client) == ["re: b", "re: c"]
    assert [body["messages"][0]["content"] for body in server.asked[2:]] == ["c"]
    assert len(cache.read_text().splitlines()) == 3


def test_a_full_cache_needs_neither_key_nor_server(tmp_path, monkeypatch):
    cache = tmp_path / "cache.jsonl"
    ask(JUDGE, ["a"], cache, Server().client)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(JUDGE, ["a"], cache) == ["re: a"]
    with pytest.raises(ValueError, match="OPENAI_API_KEY is not set"):
        ask(JUDGE, ["a", "b"], cache)


@pytest.mark.parametrize(
    "change", [{"model": "x"}, {"temperature": 1.0}, {"max_tokens": 9}, {"base_url": "https://other.test/"}]
)
def test_an_answer_of_other_settings_is_asked_anew(tmp_path, change):
    server, cache = Server(), tmp_path / "cache.jsonl"
    ask(JUDGE, ["a"], cache, server.client)
    ask(Judge(**{"model": "wise", "base_url": "https://judge.test/v1", **change}), ["a"], cache, server.client)
    assert len(server.asked) == 2


def test_the_request(tmp_path):
    server = Server()
    ask(Judge("wise", temperature=0.2, max_tokens=7), ["a"], tmp_path / "c", server.client)
    (body,) = server.asked
    assert body == {
        "model": "wise", "messages": [{"role": "user", "content": "a"}], "temperature": 0.2, "max_tokens": 7,
    }  # fmt: skip
    assert server.headers[0]["authorization"] == "Bearer a key of the environment"


def test_passing_failures_are_tried_again_others_are_raised(tmp_path):
    server = Server(429, 500)
    assert ask(JUDGE, ["a"], tmp_path / "c", server.client) == ["re: a"]
    assert len(server.asked) == 3
    with pytest.raises(openai.RateLimitError):
        ask(JUDGE, ["b"], tmp_path / "c", Server(429, 429, 429).client)
    server = Server(401)
    with pytest.raises(openai.AuthenticationError):
        ask(JUDGE, ["b"], tmp_path / "c", server.client)
    assert len(server.asked) == 1


def test_what_was_answered_before_a_failure_is_kept(tmp_path):
    one_by_one, cache = Judge("wise", concurrency=1), tmp_path / "c"
    server = Server(None, 401)
    with pytest.raises(openai.AuthenticationError):
        ask(one_by_one, ["a", "b", *"cdefghijkl"], cache, server.client)
    assert len(server.asked) < 12  # requests not yet begun are dropped
    assert read_lines(cache, ["prompt"])[0]["prompt"] == "a"


def test_no_more_requests_at_once_than_allowed(tmp_path):
    server = Server()
    ask(Judge("wise", concurrency=3), [str(i) for i in range(12)], tmp_path / "c", server.client)
    assert 2 <= server.most <= 3


def test_a_refusal_without_text_is_kept(tmp_path):
    assert ask(JUDGE, ["refuse"], tmp_path / "c", Server().client) == [""]


def test_the_key_is_never_written(tmp_path):
    ask(JUDGE, ["a"], tmp_path / "c", Server().client)
    assert "a key of" not in (tmp_path / "c").read_text()


def test_answers_are_reviewed_with_their_own_prompts(tmp_path, monkeypatch):
    monkeypatch.setattr(llm_judge, "ask", lambda judge, prompts, cache: [f"re: {prompt}" for prompt in prompts])
    (got,) = review([ToJudge("1", "a.jpg", "count", "How?")], "v1", JUDGE, tmp_path)
    assert got == Review("1", "a.jpg", "count", "re: How?", "wise", "v1")


def test_reviews_as_jsonl(tmp_path):
    reviews = [Review("1", "a.jpg", "conv", "8 7\nfine", "wise", "v1"), Review("2", "b.jpg", "conv", "é", "wise", "v1")]
    write_reviews(tmp_path / "r.jsonl", reviews)
    assert [Review(**row) for row in read_lines(tmp_path / "r.jsonl", ["text"])] == reviews


def test_bad_lines_are_named(tmp_path):
    path = tmp_path / "c"
    path.write_text('{"key": "1", "text": "a"}\n{"key": "2", "te')
    with pytest.raises(ValueError, match="line 2: not JSON"):
        ask(JUDGE, ["a"], path)
    path.write_text('{"key": "1"}\n')
    with pytest.raises(ValueError, match="line 1: an object with key, text"):
        ask(JUDGE, ["a"], path)


@pytest.mark.parametrize(
    "bad", [{"concurrency": 0}, {"max_tokens": 0}, {"retries": -1}, {"timeout": 0}, {"temperature": -1}]
)
def test_bad_settings(bad):
    with pytest.raises(ValueError, match="must be positive"):
        Judge("wise", **bad)
