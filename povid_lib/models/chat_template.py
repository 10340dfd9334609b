"""The model's own template: what stands before a response, and which tokens the response is."""

from __future__ import annotations

from transformers import LlavaProcessor


def prompt_text(processor: LlavaProcessor, question: str, image: bool = True) -> str:
    """One question, about a picture or without one, in the model's own template, up to and including "ASSISTANT:"."""
    content = [{"type": "image"}] * image + [{"type": "text", "text": question}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def response_ids(processor: LlavaProcessor, prompt: str, response: str) -> list[int]:
    """The tokens of a response after a prompt (text, the picture as ``<image>``), with EOS.

    The two are tokenised together and then parted: apart, a tokenizer of Llama's kind writes another first token, one that the
    model never meets there. Raises ``ValueError`` if they cannot be parted, or the response is empty.
    """
    if not response.strip():
        raise ValueError("the response is empty; give it at least one word.")
    tokenizer = processor.tokenizer
    before = tokenizer(prompt)["input_ids"]
    both = tokenizer(f"{prompt} {response}")["input_ids"]
    if both[: len(before)] != before:
        raise ValueError(
            f"the prompt's end {prompt[-12:]!r} and the response's beginning {response[:12]!r} melt into one token; end the "
            "template on a token's boundary."
        )
    ids = both[len(before) :]
    return ids if ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id]
