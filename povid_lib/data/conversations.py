"""Rows of TRL's preference data by their shape: messages with text or parts, several turns, one picture.

What TRL's collator reads is read (``training.conversations`` lets TRL itself write it in the model's template); what it would read
as something else than the row says, or not at all, is a fault with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from reprlib import repr as shown
from typing import Any

from povid_lib.data.pairs import words

TEXTS = ("prompt", "chosen", "rejected")
_ROLES = {"prompt": ("system", "user", "assistant"), "chosen": ("user", "assistant"), "rejected": ("user", "assistant")}
_ENCODED = re.compile(r"\s*(?:\[\s*)?\{\s*[\"'](?:role|content|from|value)[\"']\s*:")
_WANTED = 'a list of messages, such as [{"role": "user", "content": "..."}]'


def pictures_of(row: Mapping[str, Any]) -> list[Any]:
    """What a row has in ``images``, or if that is empty in ``image``, as where two data sets were joined; [] if there is none."""
    for held in (row.get("images"), row.get("image")):
        if found := [each for each in (held if isinstance(held, list | tuple) else [held]) if each is not None]:
            return found
    return []


def encoded(text: Any) -> bool:
    """Whether a text is messages in JSON or as Python writes them, whose braces and keys would be trained on."""
    return isinstance(text, str) and _ENCODED.match(text[:1000]) is not None


def row_faults(row: Mapping[str, Any]) -> list[str]:
    """What keeps a row from being one question about one picture, or several turns about it, and two answers."""
    faults = [fault for name in TEXTS for fault in _text_faults(name, row)]
    if (count := len(pictures_of(row))) != 1:
        few = "leave it out, or skip all rows without one" if not count else "keep one, or leave the row out"
        faults.append(f"{count} pictures; a pair has exactly one: {few}")
    if faults:
        return faults
    places = _places(row["prompt"])
    if places != 1:
        faults.append(f"the prompt has {places} places for a picture, which are parts of type image; give it one")
    faults += [
        f"{name} has a place for a picture; only the prompt may have one"
        for name in TEXTS[1:]
        if _parts(row[name], "image")
    ]
    chosen, rejected = ([words(text) for text in texts_of(row[name])] for name in ("chosen", "rejected"))
    if chosen == rejected:
        faults.append("chosen and rejected are equal, so there is nothing to prefer; take it out")
    return faults


def texts_of(messages: Any) -> Iterator[str]:
    """Every text of sound messages, in order."""
    for message in messages:
        content = message["content"]
        yield from (
            [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
        )


def _text_faults(name: str, row: Mapping[str, Any]) -> list[str]:
    messages = row.get(name)
    if messages is None:
        return [f"no {name} (its keys: {', '.join(map(str, list(row)[:10]))}); give {_WANTED}"]
    if isinstance(messages, str):
        return [f"{name} is plain text, which TRL trains on without the model's template; give {_WANTED}"]
    if not isinstance(messages, list | tuple) or not messages:
        return [f"{name} is {shown(messages)}; give {_WANTED}"]
    faults = []
    for at, message in enumerate(messages, start=1):
        where = f"{name}, turn {at}" if len(messages) > 1 else name
        faults += [f"{where}: {fault}" for fault in _message_faults(message, _ROLES[name])]
    if faults:
        return faults
    roles = [message["role"] for message in messages]
    if "system" in roles[1:]:
        faults.append(f"{name}: a system turn stands after others; put it first")
    if name == "prompt" and roles[-1] != "user":
        faults.append(f"prompt ends with the turn of {roles[-1]}; the last must be the user's, which is answered")
    if name != "prompt" and (roles[0], roles[-1]) != ("assistant", "assistant"):
        faults.append(f"{name} has turns of {', '.join(roles)}; an answer begins and ends with the assistant's")
    return faults


def _message_faults(message: Any, roles: tuple[str, ...]) -> list[str]:
    if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
        return [f"{shown(message)} is no message; give role and content"]
    faults = [
        f"{key!r} is {shown(value)}, and means nothing here; take it out"
        for key, value in message.items()
        if key not in ("role", "content") and value not in (None, [], {})
    ]
    if message["role"] not in roles:
        faults.append(f"role is {shown(message['role'])}; it must be {' or '.join(roles)}")
    content = message["content"]
    if encoded(content):
        return [*faults, f"the text is {shown(content)}, messages written as text; give the messages themselves"]
    if isinstance(content, str):
        return faults if words(content) else [*faults, "the text is empty; give at least one word"]
    if not isinstance(content, list | tuple) or not content:
        return [*faults, f"content is {shown(content)}; give text, or a list of parts"]
    faults += [fault for part in content for fault in _part_faults(part)]
    if not faults and not any(part["type"] == "text" and words(part["text"]) for part in content):
        faults.append("no part has a text; give at least one word")
    return faults


def _part_faults(part: Any) -> list[str]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind not in ("text", "image"):
        return [f"a part is {shown(part)}; give {{'type': 'text', 'text': ...}} or {{'type': 'image'}}"]
    if kind == "text" and not isinstance(part.get("text"), str):
        return [f"a part's text is {shown(part.get('text'))}; give it as text"]
    other = [
        key for key, value in part.items() if key not in ("type", kind if kind == "text" else "") and value is not None
    ]
    if kind == "image" and "image" in part:  # TRL takes even an empty one for a picture that is there
        other = ["image"]
    return (
        [f"a part of type {kind} has {', '.join(map(repr, other))}; the picture stands in the row's images"]
        if other
        else []
    )


def _places(prompt: Any) -> int:
    """Places for one picture: parts of type image, and the first user's turn that is plain text, into which TRL puts it."""
    plain = any(message["role"] == "user" and isinstance(message["content"], str) for message in prompt)
    return plain + _parts(prompt, "image")


def _parts(messages: Any, kind: str) -> int:
    return sum(
        part["type"] == kind
        for message in messages
        if not isinstance(message["content"], str)
        for part in message["content"]
    )
