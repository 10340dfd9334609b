"""What the rewriter takes for an answer, and what verification finds in it."""

import json

import pytest

from povid_lib.data.pairs import Change
from povid_lib.data.rewrite.prompts import kinds_for, read_reply, verify
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
    assert "times the words" in verify(truth, "a " * 10**6, both)[0]


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
        (7, "no chat completion"),
        (None, "empty answer"),
    ],
)
def test_replies_that_cannot_be_used(content, reason):
    body = json.dumps({"choices": [{"message": {"content": content}}]})
    with pytest.raises(ValueError, match=reason):
        read_reply(body, ("object",))


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{}", '{"choices": []}', '{"choices": [{"message": null}]}', "[" * 10**5]
)
def test_bodies_that_are_no_completion(body):
    with pytest.raises(ValueError, match="no chat completion"):
        read_reply(body, ("object",))
