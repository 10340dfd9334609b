"""The rewriter against a local server that fails: what is asked, paid, refused and gone on with."""

import base64
import io
import json
import logging
import re
import time
import tracemalloc
from dataclasses import replace

import pytest
from PIL import Image

from povid_lib.data.pairs import Change
from povid_lib.data.rewrite.outcomes import outcome
from povid_lib.data.rewrite.prompts import PROMPT_VERSION, response_format
from povid_lib.data.rewrite.request import picture_tokens, prepare, request_of
from povid_lib.data.rewrite.rewriter import dry_run, rewrite
from povid_lib.remote.asking import BARREN, PROBE
from povid_lib.remote.client import most_dollars
from povid_lib.remote.connection import masked
from povid_lib.remote.ledger import new_event, read_journal
from povid_lib.remote.reading import is_completion, usage_of
from tests.soak.rewriter import truths
from tests.support.fault_server import (
    BAD,
    BAD_REWRITE,
    GOOD,
    NO_ANSWER,
    PASSING,
    UNREAD,
    USAGE,
    FaultServer,
    completion,
)
from tests.support.rewriting import CONFIG, REASONED, SECRET, at, lines, run

# --- asking and resuming -----------------------------------------------------------------------------------------


def test_a_pair_and_where_it_comes_from(folder):
    with FaultServer() as server:
        (pair,) = run(folder, at(server), truths(1))
    assert pair.chosen == "A dog sits beside the red car number 0. It is near a tree."
    assert pair.rejected == "A cat sits behind the blue car number 0. It is near a tree."
    assert pair.changes[0] == Change("object", "dog", "cat")
    assert (pair.id, pair.image, pair.prompt) == ("row-0", "0.png", "Describe the picture.")
    assert (pair.provenance.model, pair.provenance.prompt) == ("m", PROMPT_VERSION)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", pair.provenance.time)
    assert pair.provenance.cost == pytest.approx((1000 * 2.5 + 80 * 10) / 1e6)


def test_the_request(folder):
    with FaultServer() as server:
        run(folder, at(server, temperature=0.5, detail="low", kinds=("relation", "result")), [*truths(1), REASONED])
        caption, reasoned = server.bodies
        assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert (caption["model"], caption["temperature"], caption["max_completion_tokens"]) == ("m", 0.5, 512)
    picture, text = caption["messages"][1]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert picture["image_url"]["detail"] == "low"
    assert "Describe the picture." in text["text"]
    schema = caption["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["changes"]["items"]["properties"]["kind"]["enum"] == ["relation"]
    assert "Reason:" not in caption["messages"][0]["content"]
    assert "Reason:" in reasoned["messages"][0]["content"]
    assert reasoned["response_format"] == response_format(["result"])


@pytest.mark.slow
def test_what_was_answered_is_never_sent_again(folder, monkeypatch):
    with FaultServer() as server:
        config = at(server)
        first = run(folder, config, truths(5))
        assert len(server.log) == len(first) == 5
        monkeypatch.delenv("OPENAI_API_KEY")  # all is there: no key is needed
        assert sorted(run(folder, config, truths(5)), key=str) == sorted(first, key=str)
        assert [p.id for p in run(folder, config, truths(5), done={"row-0", "row-3"})] == ["row-1", "row-2", "row-4"]
        assert len(server.log) == 5
        with pytest.raises(ValueError, match="OPENAI_API_KEY is not set"):
            run(folder, config, truths(6))
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        assert len(run(folder, replace(config, temperature=0.0), truths(5))) == 5  # another question
        assert len(server.log) == 10


def test_rows_that_are_alike_are_asked_once(folder):
    (one,) = truths(1)
    with FaultServer() as server:
        pairs = run(folder, at(server), [one, replace(one, id="other")])
        assert len(server.log) == 1
    assert [pair.id for pair in pairs] == ["row-0", "other"]
    assert pairs[0].provenance.cost > pairs[1].provenance.cost == 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING)
def test_passing_faults_are_tried_again(folder, fault):
    with FaultServer(("", fault), too_late=1.6) as server:
        config = at(server)
        assert len(run(folder, config, truths(2))) == 2
        charged = server.charge(2.5, 10.0)
        assert len(server.log) == (2 if fault == "slow drip" else 3)
    spent = read_journal(folder / "journal").spent
    assert charged <= spent
    doubtful = fault in (
        "500",
        "time-out",
        "cut",
        "drip past the time-out",
        "drip of headers",
    )  # these may have been charged
    most = most_dollars(config, request_of(config, prepare(config, truths(2), folder / "images")[1]))
    assert spent == pytest.approx(2 * 0.0033 + doubtful * most)


@pytest.mark.slow
@pytest.mark.parametrize("fault", BAD + BAD_REWRITE)
def test_bad_answers_are_kept_with_their_reason_and_never_asked_again(folder, fault):
    reason = {
        "no JSON": "no JSON: ", "wrong shape": "wrong shape: ", "refusal": "refusal: I cannot", "empty": "empty answer",
        "cut off": "cut off: ",
        "filter": "refusal: stopped", "unclaimed": "differs from the truth outside the listed changes: 'near a tree",
        "appended": "times the words", "unchanged": "is the truth", "unmade": "'kite' is not in the rewritten",
    }[fault]  # fmt: skip
    with FaultServer(("", fault)) as server:
        config = at(server, concurrency=1)
        (pair,) = run(folder, config, truths(2))
        assert run(folder, config, truths(2), retry_failed=True) == [pair]
        assert len(server.log) == 2
    (line,) = lines(folder / "rejects")
    assert line["id"] == "row-1"
    assert reason in line["reason"]
    assert completion(fault, truths(2)[1].answer).decode() in line["raw"]
    found = dry_run(config, truths(2), folder / "images", folder / "journal")
    assert (found.pairs, found.rejected, found.in_batch, found.left) == (1, 1, 0, 0)


@pytest.mark.parametrize("fault", GOOD)
def test_what_is_odd_and_of_use_is_a_pair(folder, fault):
    with FaultServer(("", fault)) as server:
        config = at(server, concurrency=1)
        if fault == "over-counting":
            with pytest.raises(RuntimeError, match="counts 12000 input"):
                run(folder, config, truths(2))
        assert len(run(folder, config, truths(2))) == 2
        assert len(server.log) == 2
        assert read_journal(folder / "journal").spent == pytest.approx(server.charge(2.5, 10.0))


@pytest.mark.parametrize("fault", NO_ANSWER)
def test_what_is_no_completion_is_no_answer_is_free_and_can_be_asked_again(folder, fault):
    with FaultServer(("", fault)) as server:
        config = at(server, concurrency=1)
        assert len(run(folder, config, truths(2))) == 1
        (line,) = lines(folder / "rejects")
        assert line["reason"].startswith("no answer: ")
        assert len(run(folder, config, truths(2), retry_failed=True)) == 2
        assert len(server.log) == 3
        assert read_journal(folder / "journal").spent == pytest.approx(2 * 0.0033)


@pytest.mark.parametrize("fault", UNREAD)
def test_what_is_too_large_is_not_read_not_tried_again_and_counts_in_full(folder, fault):
    with FaultServer(("", fault)) as server:
        config = at(server, concurrency=1, timeout=5.0)
        tracemalloc.start()
        assert len(run(folder, config, truths(2))) == 1
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(server.log) == 2
    (line,) = lines(folder / "rejects")
    told = {"bomb": "packs its answers", "flood": "more than 8,000,000 bytes", "half a stream": "no answer: data: {"}
    assert told[fault] in line["reason"]
    most = most_dollars(config, request_of(config, prepare(config, truths(2), folder / "images")[1]))
    assert read_journal(folder / "journal").spent == pytest.approx(0.0033 + most)
    assert (folder / "journal").stat().st_size < 10_000
    assert top < 60_000_000  # the bomb unpacks to 100 MB


def test_the_time_limit_is_of_the_whole_answer_headers_and_all(folder):
    with FaultServer(("drip of headers",) * 3, too_late=3.0) as server:
        config, start = at(server, timeout=0.5, retries=0), time.monotonic()
        assert run(folder, config, truths(1)) == []
        assert time.monotonic() - start < 2
    assert "did not end within 0.5 s" in lines(folder / "rejects")[0]["reason"]


@pytest.mark.slow
def test_a_row_without_an_answer_is_asked_again_only_on_demand(folder):
    with FaultServer(("", "500", "500", "500")) as server:
        config = at(server, concurrency=1)
        assert len(run(folder, config, truths(2))) == 1
        assert len(run(folder, config, truths(2))) == 1
        assert len(server.log) == 4
        (line,) = lines(folder / "rejects")
        assert line["reason"].startswith("no answer: 500")
        assert len(run(folder, config, truths(2), retry_failed=True)) == 2
        assert lines(folder / "rejects") == []


def test_no_more_at_once_than_allowed_and_the_first_alone(folder):
    with FaultServer() as server:
        server.delay = 0.05
        moments = []
        for _ in rewrite(at(server, concurrency=3), truths(12), folder / "images", folder / "j", folder / "r"):
            moments.append(len(server.log))
        assert moments[0] == 1
        assert 2 <= server.most <= 3


@pytest.mark.slow
def test_a_consumer_that_leaves_early_loses_no_answer(folder):
    with FaultServer() as server:
        server.delay = 0.1
        config = at(server, concurrency=3)
        pairs = rewrite(config, truths(9), folder / "images", folder / "journal", folder / "rejects")
        next(pairs)
        first = next(pairs).id
        pairs.close()
        sent = len(server.log)
        assert len(read_journal(folder / "journal").answers) == sent < 9
        assert first in {pair.id for pair in run(folder, config, truths(9))}
        assert len(server.log) == 9


def test_an_answer_that_no_pair_can_hold_is_a_reject(folder):
    """The words are verified, but `<image>` in them would stand for a picture wherever the pair is used."""
    (row,) = prepare(CONFIG, truths(1), folder / "images")
    said = {
        "answer": row.truth.answer.replace("dog", "<image>"),
        "changes": [{"kind": "object", "from": "dog", "to": "<image>"}],
    }
    body = json.dumps({"choices": [{"message": {"content": json.dumps(said)}}]})
    found = outcome(row, new_event(CONFIG, PROMPT_VERSION, "answer", key=row.key, dollars=0.1, text=body))
    assert found.startswith("no pair: Pair 'row-0': rejected holds <image>; take it out")


def test_files_and_folders_may_be_named_by_texts(folder):
    with FaultServer() as server:
        config, names = at(server), [str(folder / name) for name in ("images", "new/journal", "new/rejects")]
        assert len(list(rewrite(config, truths(2), *names))) == 2
        assert dry_run(config, truths(2), *names[:2]).requests == 0
        assert dry_run(config, truths(2), *names[:2]).pairs == 2


def test_a_picture_that_changes_while_it_runs_is_a_reject(folder):
    with FaultServer() as server:
        pairs = rewrite(at(server), truths(2), folder / "images", folder / "journal", folder / "rejects")
        Image.new("RGB", (8, 8)).save(folder / "images" / "1.png")
        assert [pair.id for pair in pairs] == ["row-0"]
    assert "1.png changed while" in lines(folder / "rejects")[0]["reason"]


# --- money -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_limit_ends_a_run_cleanly_and_is_never_passed(folder, capfd):
    with FaultServer(rate=0.3, drawn=("500", "refusal", "cut"), seed=3) as server:
        config = at(server, spending_limit=0.1)
        pairs = run(folder, config, truths(20))
        found = dry_run(config, truths(20), folder / "images", folder / "journal")
        assert 0 < found.left < 20
        assert found.pairs == len(pairs)
        assert found.pairs + found.rejected + found.left == 20
        assert server.charge(2.5, 10.0) <= found.spent <= 0.1
        assert f"{found.left} left" in capfd.readouterr().err
        asked = len(server.log)
        run(folder, config, truths(20))
        assert len(server.log) == asked  # still at the limit
        pairs = run(folder, replace(config, spending_limit=9), truths(20), done={pair.id for pair in pairs})
        assert dry_run(config, truths(20), folder / "images", folder / "journal").left == 0
    assert len({pair.id for pair in pairs}) == len(pairs)


def test_a_limit_below_one_request_asks_nothing(folder):
    with FaultServer() as server:
        assert run(folder, at(server, spending_limit=0.001), truths(3)) == []
        assert server.log == []


def test_a_reservation_that_was_never_settled_counts_as_spent(folder):
    with FaultServer() as server:
        config = at(server, spending_limit=0.2)
        (row,) = prepare(config, truths(1), folder / "images")
        lost = {"event": "reserved", "key": row.key, "dollars": 0.19}
        (folder / "journal").write_text(json.dumps(lost) + "\n")
        assert run(folder, config, truths(1)) == []
        assert len(run(folder, replace(config, spending_limit=0.4), truths(1))) == 1
        assert read_journal(folder / "journal").spent == pytest.approx(0.19 + 0.0033)


def test_a_server_that_counts_more_than_was_reserved_is_stopped(folder):
    with FaultServer(usage=USAGE | {"prompt_tokens": 48_000}) as server:
        with pytest.raises(RuntimeError, match=r"counts 48000 input.* raise image_tokens.* 4 left"):
            run(folder, at(server), truths(5))
        assert len(server.log) == 1
        assert read_journal(folder / "journal").spent == pytest.approx((48_000 * 2.5 + 800) / 1e6)


@pytest.mark.slow
def test_after_an_answer_that_cost_more_as_much_more_is_reserved(folder, capfd):
    """One dear answer is paid, and the limit is not passed by the runs after it."""
    with FaultServer(usage=USAGE | {"prompt_tokens": 48_000}) as server:
        config = at(server, spending_limit=0.4)
        with pytest.raises(RuntimeError, match="as much more is reserved"):
            run(folder, config, truths(9))
        for _ in range(3):
            run(folder, config, truths(9))
        assert len(server.log) == 1  # nine tries at .12 do not fit into what is left
        assert "9 rows" not in capfd.readouterr().err
        found = dry_run(config, truths(9), folder / "images", folder / "journal")
        assert found.reservation == pytest.approx(3 * 0.1208, rel=0.02)
        run(folder, replace(config, spending_limit=2.0), truths(9))
        ledger = read_journal(folder / "journal")
        assert server.charge(2.5, 10.0) <= ledger.spent <= 2.0


@pytest.mark.parametrize("tokens", [10**400, 1e400, 2**60], ids=["long", "inf", "much"])
def test_usage_that_cannot_be_true_costs_no_answer(folder, tokens):
    with FaultServer(usage={"prompt_tokens": tokens, "completion_tokens": 80}) as server:
        config = at(server)
        assert len(run(folder, config, truths(1))) == 1
    most = most_dollars(config, request_of(config, prepare(config, truths(1), folder / "images")[0]))
    assert read_journal(folder / "journal").spent == pytest.approx(most)


def test_a_number_of_more_digits_than_python_reads_costs_no_answer():
    text = f'{{"usage": {{"prompt_tokens": {"9" * 5000}, "completion_tokens": 1}}, "choices": [{{"message": {{}}}}]}}'
    assert is_completion(text)
    assert usage_of(text) is None


def test_a_server_that_costs_nothing_may_count_as_it_likes(folder):
    with FaultServer(usage=USAGE | {"prompt_tokens": 48_000}) as server:
        assert len(run(folder, at(server, input_price=0, output_price=0), truths(5))) == 5
    assert read_journal(folder / "journal").spent == 0


def test_what_the_journal_has_comes_without_asking(folder, monkeypatch, capfd):
    with FaultServer() as server:
        config = at(server)
        first = run(folder, config, truths(2))
        monkeypatch.delenv("OPENAI_API_KEY")
        assert run(folder, config, truths(4), send=False) == first
        assert len(server.log) == 2
    assert capfd.readouterr().err.strip().endswith("spent at most.")


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": "9"}, {"prompt_tokens": -1, "completion_tokens": 1}, "free"])
def test_without_usage_the_most_counts(folder, usage):
    with FaultServer(usage=usage) as server:
        config = at(server)
        run(folder, config, truths(1))
    assert read_journal(folder / "journal").spent == most_dollars(
        config, request_of(config, prepare(config, truths(1), folder / "images")[0])
    )


def test_dry_run(folder, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    (row,) = prepare(CONFIG, truths(1), folder / "images")
    found = dry_run(CONFIG, [*truths(2), replace(truths(1)[0], id="alike")], folder / "images")
    assert found.requests == 2
    assert found.input_tokens_most == 2 * row.most_tokens
    assert row.most_tokens > 2000 + 85 + 4 * 170
    assert found.input_tokens < found.input_tokens_most / 2
    assert found.output_tokens_most == 1024
    assert found.dollars == pytest.approx((found.input_tokens * 2.5 + 1024 * 10) / 1e6)
    assert found.dollars_most == pytest.approx((2 * row.most_tokens * 2.5 + 1024 * 10) / 1e6)
    assert found.reservation == pytest.approx(found.dollars_most / 2 * 3)
    assert list(folder.glob("*")) == [folder / "images"]
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with FaultServer() as server:
        run(folder, at(server), truths(1))
        assert dry_run(at(server), truths(2), folder / "images", folder / "journal").requests == 1


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        ((1024, 1024), "high", 765),  # OpenAI's own examples
        ((2048, 4096), "high", 1105),
        ((4096, 8192), "low", 85),
        ((512, 512), "high", 255),
        ((513, 512), "high", 425),
        ((1, 1), "high", 255),
    ],
)
def test_the_tile_rule(size, detail, tokens):
    assert picture_tokens(*size, replace(CONFIG, detail=detail)) == tokens


@pytest.mark.slow
def test_a_large_picture_is_sent_smaller(folder):
    Image.new("RGB", (3000, 1500)).save(folder / "images" / "0.png")
    with FaultServer() as server:
        assert len(run(folder, at(server), truths(1))) == 1
        url = server.bodies[0]["messages"][1]["content"][0]["image_url"]["url"]
    kind, data = url.split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (2048, 1024)


def test_links_to_pictures_are_followed(folder):
    (folder / "images").rename(folder / "elsewhere")
    (folder / "images").mkdir()
    for path in (folder / "elsewhere").iterdir():
        (folder / "images" / path.name).symlink_to(path)
    assert len(prepare(CONFIG, truths(4), folder / "images")) == 4


# --- when to stop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("401", "refused the key in OPENAI_API_KEY"),
        ("404", "no such model or address"),
        ("429000", "no credit left"),
    ],
)
def test_faults_that_are_not_the_rows_stop_the_run(folder, fault, told):
    with FaultServer(("", *[fault] * 9), rate=1, drawn=(fault,)) as server:
        config = at(server, concurrency=2, retries=0)
        with pytest.raises(RuntimeError, match=f"{told}.* 1 pairs, 0 rejected .* 4 left") as error:
            run(folder, config, truths(5))
        assert len(server.log) <= 3
        assert SECRET not in str(error.value)
        server.faults, server.rate = [], 0
        assert len(run(folder, config, truths(5))) == 5
        assert read_journal(folder / "journal").spent == pytest.approx(5 * 0.0033)  # what is refused is free


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["refusal", "no JSON", "wrong shape", "unchanged", "cut off"])
def test_a_fault_of_all_rows_stops_after_the_first_ones(folder, fault):
    with FaultServer(rate=1, drawn=(fault,)) as server:
        config = at(server)
        with pytest.raises(RuntimeError, match=r"The last \d+ answers are of no use \(the last: .*0 pairs"):
            run(folder, config, truths(60))
        assert PROBE <= len(server.log) < PROBE + config.concurrency
        server.rate = 0
        assert len(run(folder, config, truths(60))) == 60 - len(lines(folder / "rejects"))


@pytest.mark.slow
def test_a_server_that_goes_bad_later_is_left_too(folder):
    with FaultServer(("", ""), rate=1, drawn=("refusal",)) as server:
        with pytest.raises(RuntimeError, match="answers are of no use"):
            run(folder, at(server), truths(80))
        assert BARREN <= len(server.log) - 2 <= BARREN + 4  # four more may be under way when the last one is counted


@pytest.mark.parametrize("status", NO_ANSWER)
def test_a_server_that_answers_with_no_completions_costs_nothing(folder, status):
    with FaultServer(rate=1, drawn=(status,)) as server:
        with pytest.raises(RuntimeError, match="The last 10 rows got no answer"):
            run(folder, at(server), truths(30))
        assert len(server.log) < 14
    assert read_journal(folder / "journal").spent == 0


def test_no_redirect_is_followed(folder):
    with FaultServer() as other, FaultServer((f"307 {other.url}/chat/completions",)) as server:
        with pytest.raises(
            RuntimeError, match=r"sends requests on to http.* give that address as base_url if you trust it"
        ):
            run(folder, at(server), truths(3))
        assert other.log == []
        assert len(server.log) == 1
    assert read_journal(folder / "journal").spent == 0


def test_an_organisation_is_told_to_openai_alone(folder, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    with FaultServer() as server:
        run(folder, at(server), truths(1))
        assert "secret" not in str(server.headers[0])


def test_a_server_that_is_down_is_left_alone(folder):
    config = replace(CONFIG, retries=0)  # nothing listens there
    with pytest.raises(RuntimeError, match=r"The last 10 rows got no answer .*ConnectError.* 10 rejected .* 5 left"):
        run(folder, config, truths(15))
    assert read_journal(folder / "journal").spent == 0  # what could not be sent is free


# --- the key -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_key_is_nowhere(folder, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    faults = ("", "echo", "500", "429", "400", "cut", "401")
    with FaultServer(faults) as server:
        config = at(server, concurrency=1)
        with pytest.raises(RuntimeError) as error:
            run(folder, config, truths(6))
        assert len(server.log) == len(faults)
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"no, not for Bearer [key]" in written  # the server did say it back
    texts = [written.decode("latin-1"), caplog.text, *capfd.readouterr(), repr(config), repr(error.value)]
    texts += [str(error.getrepr(style="long", showlocals=False)), str(error.value.__context__)]
    assert len(caplog.text) > 1000
    assert not any(SECRET in text for text in texts)


def test_the_key_is_masked_in_every_coding(folder):
    with FaultServer(("echo in codes",)) as server:
        assert len(run(folder, at(server), truths(1))) == 1
    text = (folder / "journal").read_text()
    assert text.count("[key]") == 3
    assert SECRET not in json.loads(json.loads(text.splitlines()[1])["text"])["id"]
    for again in (f"x{SECRET}y", f"Bearer {SECRET}", f"ab{SECRET}"):
        for coded in (base64.b64encode(again.encode()), base64.urlsafe_b64encode(again.encode())):
            assert "[key]" in masked(SECRET, coded.decode()), again
    assert masked(SECRET, "&#115;" + SECRET[1:]) == "[key]"
    assert masked("short", "short") == "short"
    start = time.process_time()
    masked(SECRET, "\\" * 10**6 + "%" * 10**6 + "&#0" * 10**5)
    assert time.process_time() - start < 2


def test_a_key_given_as_the_name_of_a_variable_is_not_shown():
    with pytest.raises(ValueError, match="not the key itself") as error:
        replace(CONFIG, key_variable=SECRET)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("bad", ["sk with spaces", "sk-line\nend", "sk-ключ"])
def test_a_key_that_cannot_be_sent(folder, monkeypatch, bad):
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(ValueError, match="OPENAI_API_KEY has spaces or odd characters") as error:
        run(folder, CONFIG, truths(1))
    assert bad not in str(error.value)
