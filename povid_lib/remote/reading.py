"""What a server's answer holds: the text that the model wrote, the tokens that it counts; and what is no answer at all."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from povid_lib.files.jsonl import parse, parse_at

MOST_TOKENS = 100_000_000  # more than any model reads or writes at once
_DIGITS = 20  # of a number that is read as a whole one
_PLACES = 5  # opening braces at which an object is looked for: a text of nothing else must not take long
_EVENTS = ("data:", "event:", "id:", "retry:", ":")  # what a line of a stream begins with
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thoughts?|reasoning)>", re.IGNORECASE)


def spoken(text: str) -> str:
    """A text without what its model has thought aloud before it, ended or broken off."""
    marks = list(_THOUGHT.finditer(text))
    start = max((mark.end() for mark in marks if mark[1]), default=0)
    return text[start : min((mark.start() for mark in marks if mark.start() >= start), default=len(text))]


def usage_of(text: str) -> tuple[int, int] | None:
    """Input and output tokens as a chat completion reports them, of output whatever the total has beyond the input.

    None if it does not, or if they cannot be true."""
    usage = _parsed(text).get("usage")
    if not isinstance(usage, dict):
        return None
    asked, written, total = (usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    if isinstance(asked, int) and isinstance(written, int) and isinstance(total, int):
        written = max(written, total - asked)  # some servers count hidden thoughts in the total alone
    counts = asked, written
    return counts if all(type(count) is int and 0 <= count <= MOST_TOKENS for count in counts) else None  # type: ignore[return-value]


def is_completion(text: str) -> bool:
    """Whether a body is a chat completion: it has a choice with a message, whatever that says, and no error."""
    return _choice(text) is not None


def is_broken_off(text: str) -> bool:
    """Whether a body is the beginning of JSON and no more, or a stream of events: the server may have charged for what did not
    arrive, or is not read."""
    start = text.lstrip()
    return start.startswith(_EVENTS) or (start[:1] in ("{", "[") and not _parsed(text))


def content_of(body: str) -> str:
    """The text that the model wrote, from the body of a chat completion as the server sent it.

    Raises ``ValueError`` whose text says why there is none: no chat completion, refusal, cut off, empty.
    """
    choice = _choice(body)
    if choice is None:
        raise ValueError("no chat completion: the server's answer has no choices with a message; check base_url")
    message, finish = choice["message"], choice.get("finish_reason")
    content, refusal = _text(message.get("content")), message.get("refusal")
    if refusal:
        raise ValueError(f"refusal: {refusal}")
    if finish == "content_filter":
        raise ValueError("refusal: stopped by the server's content filter")
    if finish == "length":
        raise ValueError("cut off: the answer did not end within max_tokens; raise it")
    if content is not None and not isinstance(content, str):
        raise ValueError("wrong shape: the message's content is no text")
    if not content or not content.strip():
        raise ValueError("empty answer")
    return content


def words_in(body: str) -> str:
    """Whatever text a chat completion has, finished or not; "" if there is none."""
    choice = _choice(body)
    content = _text(choice["message"].get("content")) if choice else None
    return content if isinstance(content, str) else ""


def _text(content: Any) -> Any:
    """A message's content, of which some servers make a list of parts, as one text."""
    parts = content if isinstance(content, list) else []
    texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "".join(texts) if parts and len(texts) == len(parts) else content


def json_in(text: str, keys: set[str]) -> Any:
    """The JSON value of a text that is one, or has an object with these keys within: in a fence, after or before other words, after
    what a model has thought aloud.

    Raises ``ValueError`` or ``RecursionError`` as ``files.jsonl.parse`` does if there is none.
    """
    try:
        return parse(text.strip())
    except (ValueError, RecursionError) as error:
        text = spoken(text)
        at = -1
        for _ in range(_PLACES):
            if (at := text.find("{", at + 1)) < 0:
                break
            try:
                found = parse_at(text, at)[0]
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and found.keys() >= keys:
                return found
        raise error


_DECODER = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < _DIGITS else math.inf)


def _parsed(body: str) -> dict[str, Any]:
    """The object that a body is, or that its stream of events spells out; empty if there is none. A number of any length is read:
    an odd one must not cost a paid answer."""
    return _joined(body) if body.lstrip().startswith(_EVENTS) else _object(body)


def _object(text: str) -> dict[str, Any]:
    try:
        found = _DECODER.raw_decode(text.lstrip())[0]  # what stands behind it must not cost the answer
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _joined(stream: str) -> dict[str, Any]:
    """The completion of a stream of events, which some servers send unasked: its pieces put together, and its last usage. Empty if
    it did not end, as it may have been charged for more than it counts until then."""
    said: dict[str, list[str]] = {"content": [], "refusal": []}
    found, finish, ended, begun = dict[str, Any](), None, False, False
    for line in stream.split("\n"):
        name, _, data = line.strip().partition(":")
        if name != "data":
            continue
        ended = ended or data.strip() == "[DONE]"
        chunk = _object(data)
        found |= {key: chunk[key] for key in ("usage", "error") if chunk.get(key)}
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        if choice.get("index", 0) != 0:  # a second answer, which was not asked for
            continue
        finish = choice.get("finish_reason") or finish
        piece = choice.get("delta") or choice.get("message")
        if isinstance(piece, dict):
            begun = True
            for key, texts in said.items():
                if isinstance(text := _text(piece.get(key)), str):
                    texts.append(text)
    if not (ended or finish):
        return {}
    message = {key: "".join(texts) or None for key, texts in said.items()}
    return found | ({"choices": [{"message": message, "finish_reason": finish}]} if begun else {})


def _choice(body: str) -> dict[str, Any] | None:
    found = _parsed(body)
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return None
    # a router passes on what its provider's server met in a 200, beside an empty message
    return None if found.get("error") or choice.get("error") or choice.get("finish_reason") == "error" else choice
