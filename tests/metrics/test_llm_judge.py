"""The judge's client against a server that lives in this process: what is asked, paid for, kept and tried again."""

import json
from dataclasses import replace

import pytest

from povid_lib.metrics import llm_judge
from povid_lib.metrics.llm_judge import Judge, Review, ToJudge, ask, review, write_reviews
from povid_lib.metrics.spellings import rating
from povid_lib.remote import client, reading
from povid_lib.remote.asking import PROBE
from povid_lib.remote.ledger import read_journal
from tests.support import fault_server
from tests.support.fault_server import MORE, NO_ANSWER, FaultServer

KEY = "sk-judge-0123456789abcdefgh"


def judge(server, **change) -> Judge:
    return Judge(**{"model": "wise", "input_price": 2.5, "output_price": 10.0, "spending_limit": 9.0, "base_url": server.url,
                    "retries": 2, "timeout": 5.0} | change)  # fmt: skip


def said(*prompts):
    return [f"judge: {prompt}" for prompt in prompts]


def answers(*prompts):
    return [f"re: judge: {prompt}" for prompt in prompts]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_answers_come_in_order_and_nothing_is_paid_twice(tmp_path):
    cache = tmp_path / "new" / "cache.jsonl"
    with FaultServer() as server:
        assert ask(judge(server), said("a", "b", "a"), cache) == answers("a", "b", "a")
        assert len(server.log) == 2
        assert ask(judge(server), said("b", "c"), cache) == answers("b", "c")
        assert server.log[2:] == said("c")
        assert read_journal(cache).spent == pytest.approx(server.charge(2.5, 10.0))


def test_a_full_cache_needs_neither_key_nor_server(tmp_path, monkeypatch):
    cache = tmp_path / "cache.jsonl"
    with FaultServer() as server:
        config = judge(server)
        ask(config, said("a"), cache)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(config, said("a"), cache) == answers("a")
    with pytest.raises(ValueError, match="OPENAI_API_KEY is not set"):
        ask(config, said("a", "b"), cache)


@pytest.mark.parametrize(
    "change", [{"model": "x"}, {"temperature": 1.0}, {"max_tokens": 9}, {"length_parameter": "max_tokens"}]
)
def test_an_answer_of_other_settings_is_asked_anew(tmp_path, change):
    with FaultServer() as server:
        ask(judge(server), said("a"), tmp_path / "c")
        ask(judge(server, **change), said("a"), tmp_path / "c")
        assert len(server.log) == 2


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_request(tmp_path, name):
    with FaultServer() as server:
        ask(judge(server, temperature=0.2, max_tokens=7, length_parameter=name), said("a"), tmp_path / "c")
        (body,) = server.bodies
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "wise", "messages": [{"role": "user", "content": "judge: a"}], "temperature": 0.2, name: 7,
    }  # fmt: skip
    assert Judge("wise", 1, 1, 1).length_parameter == "max_completion_tokens"  # what newer models take alone


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["429", "500", "cut", "drip of headers"])
def test_passing_failures_are_tried_again(tmp_path, fault):
    with FaultServer((fault,)) as server:
        assert ask(judge(server, timeout=0.8), said("a"), tmp_path / "c") == answers("a")
        assert len(server.log) == 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["429", "400", *NO_ANSWER])
def test_what_gets_no_answer_is_told_and_asked_again_by_the_next_call(tmp_path, fault):
    with FaultServer(("", *[fault] * (3 if fault == "429" else 1))) as server:
        config = judge(server, concurrency=1)
        with pytest.raises(RuntimeError, match=r"1 of 3 prompts have no answer \(the last: .* Call again to go on"):
            ask(config, said("a", "b", "c"), tmp_path / "c")
        asked = len(server.log)
        assert ask(config, said("a", "b", "c"), tmp_path / "c") == answers("a", "b", "c")
        assert len(server.log) == asked + 1


def test_a_refused_key_stops_at_once_and_keeps_what_was_answered(tmp_path):
    with FaultServer(("", "401")) as server:
        config = judge(server, concurrency=1)
        with pytest.raises(RuntimeError, match=r"11 of 12 prompts have no answer .*refused the key in OPENAI_API_KEY"):
            ask(config, said(*"abcdefghijkl"), tmp_path / "c")
        assert len(server.log) == 2
        assert len(read_journal(tmp_path / "c").answers) == 1


def test_the_limit_is_never_passed(tmp_path):
    with FaultServer() as server:
        config = judge(server, spending_limit=0.05, retries=0)
        with pytest.raises(RuntimeError, match="the next request might pass the limit; raise spending_limit"):
            ask(config, said(*map(str, range(40))), tmp_path / "c")
        assert 0 < server.charge(2.5, 10.0) <= read_journal(tmp_path / "c").committed + 1e-9 <= 0.05
    with FaultServer(usage=MORE) as server:
        config = judge(server, spending_limit=0.05, retries=0, concurrency=1)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="prompts have no answer"):
                ask(config, said(*map(str, range(40))), tmp_path / "d")
        assert len(server.log) == 1  # one has cost .03, and so may the next


def test_no_more_requests_at_once_than_allowed(tmp_path):
    with FaultServer() as server:
        server.delay = 0.05
        ask(judge(server, concurrency=3), said(*map(str, range(12))), tmp_path / "c")
        assert 2 <= server.most <= 3


def test_a_refusal_without_text_is_kept(tmp_path):
    with FaultServer(("refusal",)) as server:
        assert ask(judge(server), said("a"), tmp_path / "c") == [""]
        assert ask(judge(server), said("a"), tmp_path / "c") == [""]
        assert len(server.log) == 1


def test_what_a_judge_said_before_it_was_cut_off_is_kept(tmp_path):
    with FaultServer(("cut off",)) as server:
        assert ask(judge(server), said("a" * 40), tmp_path / "c") == [answers("a" * 40)[0][:20]]


def test_a_judge_that_says_nothing_at_all_is_left_alone(tmp_path):
    with FaultServer(rate=1, drawn=("empty",)) as server:
        with pytest.raises(RuntimeError, match="answers are of no use"):
            ask(judge(server), said(*map(str, range(40))), tmp_path / "c")
        assert PROBE <= len(server.log) < PROBE + 4


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "cut off"])
def test_a_judge_without_ratings_is_left_alone(tmp_path, fault):
    with FaultServer(rate=1, drawn=(fault,)) as server:
        with pytest.raises(RuntimeError, match=r"answers are of no use \(the last: (no rating in|cut off)"):
            ask(judge(server), said(*("a" * n for n in range(1, 41))), tmp_path / "c", rating)
        assert PROBE <= len(server.log) < PROBE + 4
    with FaultServer() as server:
        rated = [f"judge: {n}\nRating: 3" for n in range(40)]
        assert [rating(text) for text in ask(judge(server), rated, tmp_path / "d", rating)] == [3] * 40


COMPLETION = {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


def test_hidden_thoughts_are_counted():
    for total, wanted in ((9000, (10, 8990)), (15, (10, 5)), (0, (10, 5)), (None, (10, 5)), ("9", (10, 5))):
        assert reading.usage_of(json.dumps({"usage": USAGE | {"total_tokens": total}})) == wanted


@pytest.mark.parametrize(
    "body",
    [
        f"data: {json.dumps({'usage': USAGE})}\n\n",
        ": ping\n\ndata: {}",
        "event: x\ndata: {}",
        '{"a',
        "id: 3\ndata: [",
        "data: " * 9999,
    ],
)
def test_what_may_have_been_charged_is_booked_at_most(body):
    with FaultServer() as server:
        assert client.settled(judge(server), body, 0.5) == ("failed", {"dollars": 0.5, "usage": None, "text": body})


def events(*chunks, end="data: [DONE]\n\n"):
    return "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks) + end


def piece(text, index=0, **more):
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None} | more]}


STREAM = (piece(""), piece("fi"), piece("worse", 1), piece("ne", finish_reason="stop"), {"choices": [], "usage": USAGE})


@pytest.mark.parametrize("before", ["", ": ping\n\n", "\ufeffevent: message\nid: 1\n"])
@pytest.mark.parametrize("end", ["data: [DONE]\n\n", ""])
def test_a_stream_that_nobody_asked_for_is_read_and_booked_as_it_counts(tmp_path, monkeypatch, before, end):
    body = (before + events(*STREAM, end=end)).encode()
    monkeypatch.setattr(fault_server, "completion", lambda *_: body)
    with FaultServer() as server:
        assert ask(judge(server), said("a"), tmp_path / "c") == ["fine"]
        assert len(server.log) == 1
    assert read_journal(tmp_path / "c").spent == pytest.approx((10 * 2.5 + 5 * 10) / 1e6)


@pytest.mark.parametrize(
    ("body", "name", "dollars"),
    [
        (events(*STREAM[:4]), "answer", 0.5),  # it does not say what it counts
        (events(piece("fi") | {"usage": USAGE}, end=""), "failed", 0.5),  # cut off: it counts more than it says so far
        (events({"usage": USAGE}), "failed", (10 * 2.5 + 5 * 10) / 1e6),
        (events(piece("fi"), {"error": {"code": 502}}), "failed", 0.5),
    ],
)
def test_what_a_stream_does_not_say_is_booked_at_most(body, name, dollars):
    with FaultServer() as server:
        event, fields = client.settled(judge(server), body, 0.5)
    assert (event, fields["dollars"]) == (name, pytest.approx(dollars))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("after", ["", "\n\x00garbage", "{}"])
def test_a_whole_answer_in_any_coding_is_read_and_booked(tmp_path, monkeypatch, coding, after):
    body = (json.dumps(COMPLETION | {"usage": USAGE}) + after).encode(coding)
    monkeypatch.setattr(fault_server, "completion", lambda *_: body)
    with FaultServer() as server:
        assert ask(judge(server), said("a"), tmp_path / "c") == ["fine"]
        assert len(server.log) == 1
    assert read_journal(tmp_path / "c").spent == pytest.approx((10 * 2.5 + 5 * 10) / 1e6)


def test_the_key_is_never_written(tmp_path):
    with FaultServer(("echo",)) as server:
        ask(judge(server), said("a"), tmp_path / "c")
    assert KEY not in (tmp_path / "c").read_text()


def test_a_file_that_is_no_journal_is_left_alone(tmp_path):
    (tmp_path / "c").write_text('{"key": "1", "text": "a"}\n')
    with FaultServer() as server, pytest.raises(ValueError, match="is no event and not the beginning of one"):
        ask(judge(server), said("a"), tmp_path / "c")


def test_answers_are_reviewed_with_their_own_prompts(tmp_path, monkeypatch):
    asked = []

    def ask(*given):
        asked.append(given)
        return [f"re: {prompt}" for prompt in given[1]]

    monkeypatch.setattr(llm_judge, "ask", ask)
    judge = Judge("wise", 1, 1, 1)
    (got,) = review([ToJudge("1", "a.jpg", "count", "How?")], "v1", judge, tmp_path, float)
    assert got == Review("1", "a.jpg", "count", "re: How?", "wise", "v1")
    assert asked == [(judge, ["How?"], tmp_path, float)]
    monkeypatch.setattr(llm_judge, "ask", lambda *_: [])
    with pytest.raises(ValueError, match="zip"):  # as many answers as questions, or none at all
        review([ToJudge("1", "a.jpg", "count", "How?")], "v1", judge, tmp_path)


def test_reviews_as_jsonl(tmp_path):
    reviews = [Review("1", "a.jpg", "conv", "8 7\nfine", "wise", "v1"), Review("2", "b.jpg", "conv", "é", "wise", "v1")]
    for path in (tmp_path / "r.jsonl", tmp_path / "new" / "folder" / "r.jsonl"):
        write_reviews(path, reviews)
        assert [Review(**json.loads(line)) for line in path.read_text().splitlines()] == reviews


@pytest.mark.parametrize(
    "bad",
    [{"concurrency": 0}, {"max_tokens": 0}, {"retries": -1}, {"timeout": 0}, {"temperature": -1}, {"input_price": -1}],
)
def test_bad_settings(bad):
    with pytest.raises(ValueError, match=rf"Judge\.{next(iter(bad))} is"):
        replace(Judge("wise", 1, 1, 1), **bad)
