"""A row of preference data as the model reads it: TRL's own functions write its messages in the model's template.

The prompt goes up to where the answer begins, and the tokens of an answer are found where it stands, as
``models.chat_template.completion_ids`` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import LlavaProcessor
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from povid_lib.data import conversations
from povid_lib.models.chat_template import completion_ids, special_faults, special_tokens

PLACE = {"type": "image"}


@dataclass(frozen=True)
class Read:
    """A row as text and tokens. ``prompt``: with ``<image>`` where the picture stands, up to the answer; ``length``: its tokens,
    one for the picture; ``chosen``, ``rejected``: the tokens of the answers, with EOS."""

    prompt: str
    length: int
    chosen: list[int]
    rejected: list[int]


def read(processor: LlavaProcessor, row: Mapping[str, Any]) -> Read:
    """A row of TRL's columns in the model's template. Raises ``ValueError`` with all that is wrong with it."""
    faults = conversations.row_faults(row)
    if not faults:
        said = [(name, text) for name in conversations.TEXTS for text in conversations.texts_of(row[name])]
        faults = [f"{name} {fault}" for name, text in said for fault in special_faults(processor.tokenizer, text)]
        if row["prompt"][0]["role"] == "system" and not _knows_system(processor):
            faults.append("the model's template has no system turn; put its text into the first question")
    if faults:
        raise ValueError("; ".join(faults))
    written = _written(processor, row)
    specials = special_tokens(processor.tokenizer)
    said_nothing = _written(processor, {name: _without_words(row[name]) for name in conversations.TEXTS})
    faults = [
        f"{name}: its parts put together hold {token}, which the model reads as a special token; take it out"
        for name in conversations.TEXTS
        for token in specials
        if written[name].count(token) != said_nothing[name].count(token)
    ]
    faults += [
        f"the model's template writes {text!r} into no place of the {name}"
        for name in conversations.TEXTS
        for text in _lost(list(conversations.texts_of(row[name])), written[name])
    ]
    if not faults and (places := written["prompt"].count(processor.image_token)) != 1:
        faults.append(f"the model's template writes {places} pictures into the prompt; it must be one")
    if faults:
        raise ValueError("; ".join(faults))
    ended = [_ended(processor, written[name]) for name in ("chosen", "rejected")]
    before, (chosen, rejected) = completion_ids(processor, written["prompt"], ended)
    return Read(written["prompt"], len(before), chosen, rejected)


def _written(processor: LlavaProcessor, row: Mapping[str, Any]) -> dict[str, str]:
    """What the model's template makes of a row's messages, by TRL's own functions."""
    messages = {
        name: prepare_multimodal_messages(list(row[name]), images=[PLACE] * (name == "prompt"))
        for name in conversations.TEXTS
    }
    return dict(apply_chat_template(messages, processor))


def _without_words(messages: Any) -> list[dict[str, Any]]:
    """The same messages with "x" for every text, in which only the template can write a special token."""
    return [
        {
            **message,
            "content": "x"
            if isinstance(message["content"], str)
            else [{**part, "text": "x"} if part["type"] == "text" else part for part in message["content"]],
        }
        for message in messages
    ]


def _ended(processor: LlavaProcessor, completion: str) -> str:
    """What stands after the last word is the template's: LLaVA's own writes a space there, and no EOS."""
    return completion if completion.endswith(processor.tokenizer.eos_token) else completion.rstrip()


def _lost(texts: Sequence[str], written: str) -> list[str]:
    """Texts that do not stand in what the template wrote, in their order."""
    lost, at = [], 0
    for text in (text.strip() for text in texts):
        found = written.find(text, at)
        if found < 0:
            lost.append(text)
        at = max(at, found + len(text))
    return lost


def _knows_system(processor: LlavaProcessor) -> bool:
    """Whether the template begins a system turn otherwise than an assistant's, which it is made by one without such turns."""

    def start(role: str) -> str:
        turns = [(role, "\0"), ("user", "?")]
        parts = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
        return str(processor.apply_chat_template(parts)).partition("\0")[0]

    return start("system") != start("assistant")
