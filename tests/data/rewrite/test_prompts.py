"""What the rewriter takes for an answer, and what verification finds in it."""

import itertools
import json
import re
import time

import pytest

from povid_lib.data.pairs import Change
from povid_lib.data.rewrite.prompts import kinds_for, read_reply, reasoned, verify
from povid_lib.data.true_answers import Truth
from tests.support.rewriting import REASONED

CAPTION = "A dog sits beside the red car. Two dogs are near an old tree, and a dog sleeps."


@pytest.mark.parametrize(
    ("answer", "changes", "fault"),
    [
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["dog>cat"], None),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a cat sleeps.", ["dog>cat"], None),
        ("An elk sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["dog>elk"], None),
        ("A dog sits beside the blue van. Two dogs are near an old tree, and a dog sleeps.", ["red>blue", "car>van"], None),
        ("A dog sits beside the blue van. Two dogs are near an old tree, and a dog sleeps.", ["red car>blue van"], None),
        ("A dog sits beside the red car. A cat is near an old tree, and a dog sleeps.", ["two dogs are>A cat is"], None),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps", ["dog>cat"], "outside"),
        ("A cat sits under the red car. Two dogs are near an old tree, and a dog sleeps.", ["dog>cat"], "'beside the"),
        ("A dog sits beside the red car. Two cats are near an old tree, and a dog sleeps.", ["dog>cat"], "'cat' is not"),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["pig>cat"], "'pig' is not"),
        ("A dog sits beside the red car. Two dogs are near an old tree, and a dog and a cat sleeps.",
         ["dog>dog and a cat"], "adds to the true words"),
        ("A dog sits beside the red car. Two dogs are near an old tree, and a dog.", ["sleeps>"], "one side has no words"),
        ("A dog sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["dog>cat"], "is the truth"),
        ("a DOG sits beside the red car. Two dogs are near a old tree, and a dog sleeps.", ["an old>a old"], "is the truth"),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", [], "no change is listed"),
        ("A cat sits.", ["dog>cat"], "times the words"),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["dog>cat", "dogs>car"],
         "'dogs' -> 'car' was listed but not made"),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["step:dog>cat"],
         "kind step does not fit"),
        ("A cat sits beside the red car. Two dogs are near an old tree, and a dog sleeps.", ["dog>cat", "Dog>dog"],
         "the same words on both sides"),
    ],
)  # fmt: skip
def test_verify_captions(answer, changes, fault):
    found = verify(Truth("1", "1.png", "?", CAPTION), answer, [change(text) for text in changes])
    if fault is None:
        assert found == []
    else:
        assert any(fault in line for line in found)


def change(text: str) -> Change:
    kind, _, words = text.rpartition(":")
    return Change(kind or "object", *words.split(">"))


@pytest.mark.parametrize(
    ("answer", "changes", "fault"),
    [
        ("Reason: There are no dogs. Result: No.", ["step:two>no", "result:yes>no"], None),
        ("Reason: There are two dogs. Result: No.", ["result:yes>no"], None),
        ("Reason: There are no dogs. Result: Yes.", ["step:two>no"], "the result is still 'Yes.'"),
        ("There are no dogs. Answer: No.", ["step:two>no", "result:yes>no"], "the form"),
        ("Reason: There are two dogs. Result: No.", ["object:yes>no"], "kind object does not fit"),
    ],
)
def test_verify_reasoning(answer, changes, fault):
    found = verify(REASONED, answer, [change(text) for text in changes])
    assert found == [] if fault is None else any(fault in line for line in found)


def test_verification_of_long_answers():
    truth = Truth("1", "1.png", "?", "a b " * 150)
    both = [Change("object", "b", "c"), Change("object", "a b", "a c")]
    assert verify(truth, "a c " * 150, both) == []  # one change here, the other there
    assert "2,000,000 characters, more than ten times" in verify(truth, "a " * 10**6, both)[0]


def test_kinds():
    assert kinds_for("A dog.", ("step", "object", "result")) == ("object",)
    assert kinds_for("Reason: One.\nResult: Two.", ("step", "object", "result")) == ("step", "result")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"answer": "A", "changes": {}}', "wrong shape: answer must"),
        ('{"answer": 1, "changes": []}', "wrong shape: answer must"),
        ('["answer", "changes"]', "wrong shape: an object"),
        ('{"answer": "A", "changes": [], "note": ""}', "wrong shape: an object"),
        ('{"answer": "A", "changes": ["dog"]}', "wrong shape: change 1 is no object"),
        ('{"answer": "A", "changes": [{"kind": "object", "from": "a"}]}', "wrong shape: change 1 is no object"),
        ('{"answer": "A", "changes": [{"kind": "object", "from": "a", "to": 1}]}', "must be texts"),
        ('{"answer": "A", "changes": [{"kind": "step", "from": "a", "to": "b"}]}', "was not asked for"),
        ('{"answer": "A", "changes": [{"kind": "object", "from": "a ", "to": "a"}]}', "on both sides"),
        ('{"answer": "\\ud800", "changes": []}', "half a character"),
        (
            '{"answer": "A", "changes": [{"kind": "object", "from": "a", "to": "\\ud800"}]}',
            "wrong shape: .* half a character",
        ),
        ("[" * 100_000, "no JSON"),
        ("9" * 10_000, "no JSON"),
        ("   ", "empty answer"),
        (7, "wrong shape: the message's content is no text"),
        (None, "empty answer"),
    ],
)
def test_replies_that_cannot_be_used(content, reason):
    body = json.dumps({"choices": [{"message": {"content": content}}]})
    with pytest.raises(ValueError, match=reason):
        read_reply(body, ("object",))


REPLY = '{"answer": "A cat.", "changes": [{"kind": "object", "from": "dog", "to": "cat"}]}'


@pytest.mark.parametrize(
    "content",
    [
        REPLY, f"```json\n{REPLY}\n```", f"```\n{REPLY}```", f"Sure! Here it is:\n\n{REPLY}", f"{REPLY}\n\nI hope this helps.",
        f"With {{braces}} and {{}} before it: {REPLY}", f"<think>a dog {{}}</think>{REPLY}", f"  {REPLY}  ",
        f"<think>{'{1} ' * 9}</think>\n{REPLY}", f"<Thinking>{REPLY.replace('cat', 'cow')}</Thinking>{REPLY}",
        [{"type": "text", "text": REPLY[:9]}, {"type": "text", "text": REPLY[9:]}],
    ],
)  # fmt: skip
def test_json_in_a_fence_or_among_words_is_read(content):
    body = json.dumps({"choices": [{"message": {"content": content}}]})
    assert read_reply(body, ("object",)) == ("A cat.", (Change("object", "dog", "cat"),))


def test_words_about_thinking_within_an_answer_are_its_own():
    reply = {"answer": "A sign says </think>.", "changes": [{"kind": "object", "from": "dog", "to": "sign"}]}
    body = json.dumps({"choices": [{"message": {"content": json.dumps(reply)}}]})
    assert read_reply(body, ("object",))[0] == "A sign says </think>."


@pytest.mark.parametrize(
    "content", [f"<think>{REPLY}", REPLY[:-1], '{"answer": "A", "answer": "B", "changes": []}', "{" * 60_000]
)
def test_half_an_object_or_a_key_twice_is_no_answer(content):
    body = json.dumps({"choices": [{"message": {"content": content}}]})
    with pytest.raises(ValueError, match="no JSON"):
        read_reply(body, ("object",))


LONG = 60_000


@pytest.mark.parametrize(
    ("truth", "answer", "changes"),
    [
        ("Reason: One dog. Result: No.", "Reason:" + " " * LONG, [Change("result", "no", "yes")]),
        ("Reason: One dog. Result: No.", " " * LONG + "x", [Change("result", "no", "yes")]),
        ("Reason: One dog. " * 400, "Reason: " * (LONG // 8), [Change("result", "no", "yes")]),
        ("a " * 400, "a" + " " * LONG + "b", [Change("object", "a", "b")]),
        ("a " * 400, "a " * 400, [Change("object", " " * LONG + "a", "b")]),
        ("a " * 400, "a b " * 200, [Change("object", " ".join("a" * n), " ".join("ab" * n)) for n in range(1, 60)]),
        ("a " * 400, "a " * 600, [Change("object", "a " * n, "a " * (n + 1)) for n in range(1, 60)]),
        ("a " * 400, "b " * 420, [Change("object", "a " * n, "b " * (n + n % 3 - 1 or 1)) for n in range(1, 60)]),
        ("a b " * 200, "b a " * 290, [Change("object", "a b " * n, "b a " * (n + n % 3)) for n in range(1, 60)]),
        ("a " * 400, "a " * 399 + "b", [Change("object", "a", "b")] * 40_000),
        ("!" * 400 + " a", "!" * LONG + " a", [Change("object", "!" * 200, "!" * 30_000)] * 300),
    ],
    ids=range(11),
)
def test_verification_takes_no_longer_than_the_text_is_long(truth, answer, changes):
    start = time.process_time()
    assert verify(Truth("1", "1.png", "?", truth), answer, changes)
    for text in (answer, truth):
        kinds_for(text, ("step",))
    assert time.process_time() - start < 1


def test_the_form_of_reasoning_is_read_as_it_was():
    """Against the pattern of old, which took a cubic time."""
    old = re.compile(r"\s*Reason:\s*(?P<reason>\S.*?)\s*Result:\s*(?P<result>\S.*?)\s*", re.DOTALL)
    parts = ("Reason:", "Result:", " ", "\n", "a", "Result")
    for row in itertools.product(parts, repeat=6):
        text = "".join(row)
        match = old.fullmatch(text)
        assert reasoned(text) == (match and (match["reason"], match["result"])), text


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{}", '{"choices": []}', '{"choices": [{"message": null}]}', "[" * 10**5]
)
def test_bodies_that_are_no_completion(body):
    with pytest.raises(ValueError, match="no chat completion"):
        read_reply(body, ("object",))
