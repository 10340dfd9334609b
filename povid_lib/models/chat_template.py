"""The model's own template: what stands before a response, and which tokens the response is."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as shown
from typing import Any

from transformers import LlavaProcessor


def prompt_text(processor: LlavaProcessor, question: str, image: bool = True) -> str:
    """One question, about a picture or without one, in the model's own template, up to and including "ASSISTANT:".

    Raises ``ValueError`` for a question with a special token in it.
    """
    if faults := special_faults(processor.tokenizer, question):
        raise ValueError(f"The question {'; '.join(faults)}.")
    content = [{"type": "image"}] * image + [{"type": "text", "text": question}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def special_tokens(tokenizer: Any) -> list[str]:
    """The tokenizer's special tokens as they are written, in alphabetical order."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted(filter(None, added | set(tokenizer.all_special_tokens)))


def special_faults(tokenizer: Any, text: str) -> list[str]:
    """One fault for each of the tokenizer's special tokens that stands in a text: it would be read as that token."""
    return [
        f"holds {token}, which the model reads as a special token ({shown(text)}); take it out"
        for token in special_tokens(tokenizer)
        if token in text
    ]


def response_ids(processor: LlavaProcessor, prompt: str, response: str) -> list[int]:
    """The tokens of a response after a prompt (text, the picture as ``<image>``), with EOS.

    Raises ``ValueError`` if the response is empty or has a special token in it, and as ``completion_ids`` does.
    """
    if not response.strip():
        raise ValueError("the response is empty; give it at least one word.")
    if faults := special_faults(processor.tokenizer, response):
        raise ValueError(f"the response {'; '.join(faults)}.")
    return completion_ids(processor, prompt, [f" {response}"])[1][0]


def completion_ids(
    processor: LlavaProcessor, prompt: str, completions: Sequence[str]
) -> tuple[list[int], list[list[int]]]:
    """The tokens of a prompt, and of each text that the template has written after it, with EOS even if it has written none.

    The two are tokenised together and then parted: apart, a tokenizer of Llama's kind writes another first token, one that the
    model never meets there. Raises ``ValueError`` if they cannot be parted.
    """
    tokenizer, found = processor.tokenizer, []
    before, *both = tokenizer([prompt, *(f"{prompt}{completion}" for completion in completions)])["input_ids"]
    for completion, ids in zip(completions, both, strict=True):
        if ids[: len(before)] != before:
            raise ValueError(
                f"the prompt's end {prompt[-12:]!r} and the response's beginning {completion[:12]!r} melt into one token; end "
                "the template on a token's boundary."
            )
        own = ids[len(before) :]
        found.append(own if own and own[-1] == tokenizer.eos_token_id else [*own, tokenizer.eos_token_id])
    return before, found
