"""What a model gives to words: next-token distributions, and given answers read token by token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    BatchFeature,
)

from povid_lib.models.chat_template import response_ids
from povid_lib.models.llava import VLM, chat, encode


@torch.inference_mode()
def next_token_probs(vlm: VLM, image: Image.Image | None, question: str, answer_so_far: str = "") -> Tensor:
    """Distribution of the next token after a question and the beginning of an answer: float32 (vocabulary,) on the CPU."""
    text = chat(vlm, question, image=image is not None) + (f" {answer_so_far}" if answer_so_far else "")
    batch = encode(vlm, [image] if image is not None else None, [text])
    return vlm.model(**batch, logits_to_keep=1, use_cache=False).logits[0, -1].float().softmax(-1).cpu()


def top_tokens(vlm: VLM, probs: Tensor, k: int = 10) -> list[tuple[str, float]]:
    """The ``k`` likeliest tokens of a distribution (vocabulary,) with their probabilities, likeliest first."""
    best = probs.topk(k)
    return [
        (vlm.processor.tokenizer.decode([i]), p)
        for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def word_tokens(vlm: VLM, word: str) -> list[int]:
    """The tokens of a word inside a sentence, one or several.

    Word and what stands before it are tokenised together and then parted: a tokenizer of Llama's kind writes " fork" alone as an
    empty token and "fork", of which the model never meets the first. Raises ``ValueError`` for an empty word.
    """
    if not word.strip():
        raise ValueError("word_tokens: the word is empty; give it a letter.")
    tokenise = vlm.processor.tokenizer
    before, both = (tokenise(text, add_special_tokens=False)["input_ids"] for text in ("a", f"a {word}"))
    return both[len(before) :]


@torch.inference_mode()
def rest_logps(vlm: VLM, batch: Mapping[str, Tensor], words: Sequence[Sequence[int]]) -> Tensor:
    """What a word's tokens after its first one add to its log-probability: float32 (rows, words) on the CPU, 0 for words of one.

    So a word's log-probability after the texts of ``batch`` (left-padded, see ``encode``) is that of its first token plus this.
    ``words``: see ``word_tokens``. A pass for each beginning of several tokens that any of them has.
    """
    rows = len(batch["input_ids"])
    added, ways = torch.zeros(rows, len(words)), defaultdict[tuple[int, ...], list[tuple[int, int]]](list)
    for number, tokens in enumerate(words):
        for k in range(1, len(tokens)):
            ways[tuple(tokens[:k])].append((number, tokens[k]))
    for beginning, ends in ways.items():
        more = torch.tensor(beginning, device=batch["input_ids"].device).expand(rows, -1)
        longer = {
            **batch,
            "input_ids": torch.cat([batch["input_ids"], more], 1),
            "attention_mask": torch.cat([batch["attention_mask"], torch.ones_like(more)], 1),
        }
        logps = vlm.model(**longer, logits_to_keep=1, use_cache=False).logits[:, -1].float().log_softmax(-1).cpu()
        for number, token in ends:
            added[:, number] += logps[:, token]
    return added


@torch.inference_mode()
def word_probs(vlm: VLM, image: Image.Image | None, question: str, answer_so_far: str, words: Sequence[str]) -> Tensor:
    """Probability that an answer goes on with each word, its tokens taken together: float32 (words,) on the CPU.

    A word counts also where it is the beginning of a longer one. ``answer_so_far`` may be empty.
    """
    text = chat(vlm, question, image=image is not None) + (f" {answer_so_far}" if answer_so_far else "")
    batch, tokens = encode(vlm, [image] if image is not None else None, [text]), [word_tokens(vlm, w) for w in words]
    first = vlm.model(**batch, logits_to_keep=1, use_cache=False).logits[0, -1].float().softmax(-1).cpu()
    return first[[ids[0] for ids in tokens]] * rest_logps(vlm, batch, tokens)[0].exp()


@torch.inference_mode()
def answer_distributions(
    vlm: VLM,
    images: Sequence[Image.Image] | None,
    questions: Sequence[str],
    answers: Sequence[str],
    batch_size: int | None = None,
    weaken: Callable[[BatchFeature], BatchFeature] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read given answers token by token (teacher-forced), without the end token; ``images=None`` shows no picture.

    ``batch_size``: default the model's ``rows``. ``weaken``: what to do to each batch of inputs before the model reads it (see
    ``corrupt_image``). Yields, for each row, the answer's token ids, int64 (length,), and the log-distribution over the vocabulary
    from which each of them would have been drawn, float32 (length, vocabulary), on the CPU: 8 MB for 60 tokens of LLaMA, so take
    from a row what is needed and let it go.
    """
    prompts = [chat(vlm, question, image=images is not None) for question in questions]
    for at in range(0, len(prompts), step := batch_size or vlm.rows):
        part = slice(at, at + step)
        texts = [f"{p} {a}" for p, a in zip(prompts[part], answers[part], strict=True)]
        batch = encode(vlm, images[part] if images is not None else None, texts)
        lengths = [
            len(response_ids(vlm.processor, p, a)) - 1 for p, a in zip(prompts[part], answers[part], strict=True)
        ]  # without EOS
        kept = {"logits_to_keep": max(lengths) + 1, "use_cache": False}
        logits = vlm.model(**(weaken(batch) if weaken else batch), **kept).logits
        for row, ids, length in zip(logits, batch["input_ids"], lengths, strict=True):  # padded on the left
            yield ids[-length:].cpu(), row[-length - 1 : -1].float().log_softmax(-1).cpu()


def answer_logps(
    vlm: VLM,
    images: Sequence[Image.Image] | None,
    questions: Sequence[str],
    answers: Sequence[str],
    batch_size: int | None = None,
) -> list[Tensor]:
    """Log-probability of each token of given answers, without the end token: one float32 (length,) a row."""
    rows = answer_distributions(vlm, images, questions, answers, batch_size)
    return [logps.gather(-1, ids[:, None])[:, 0] for ids, logps in rows]
