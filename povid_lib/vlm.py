"""Loading a LLaVA (the pocket one or a real one) and asking it things. One implementation for both scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm
from transformers import (
    AutoConfig,
    AutoProcessor,
    BatchFeature,
    BitsAndBytesConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from povid_lib import pocket
from povid_lib.template import prompt_text, response_ids

YES_NO_HINT = "Answer the question using a single word or phrase."


@dataclass(frozen=True)
class VLM:
    """A model with its processor. ``name`` is what was asked for: "pocket", a hub id or a folder."""

    name: str
    model: LlavaForConditionalGeneration
    processor: LlavaProcessor
    four_bit: bool = False

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def is_pocket(self) -> bool:
        return self.model.config.text_config.hidden_size < 1024


@dataclass(frozen=True)
class Answer:
    """A generated answer: its text, its tokens, and each token's log-probability (natural log) under the model."""

    text: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


def load(
    name: str | Path = "pocket",
    device: str | None = None,
    dtype: torch.dtype | Literal["auto"] | None = None,
    four_bit: bool = False,
) -> VLM:
    """Load a LLaVA for inference.

    ``name``: "pocket", a folder, or a hub id such as "llava-hf/llava-1.5-7b-hf". ``device``: default the GPU if there is one.
    ``dtype``: default float32 on the CPU, bfloat16 on a GPU; "auto" as the file has it. ``four_bit``: NF4, on a GPU only.

    Raises ``FileNotFoundError`` if the model cannot be had (no such folder, or not on this machine and no network), and
    ``ValueError`` if it is not a LLaVA of the 1.5 family or 4-bit is asked for without a GPU.
    """
    where = str(pocket.FOLDER if name == "pocket" else name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if four_bit and device == "cpu":
        raise ValueError("four_bit=True needs a GPU: bitsandbytes quantises there only. Leave it out on a CPU.")
    try:
        config = AutoConfig.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"The model {str(name)!r} cannot be had: it is neither a folder with a config.json nor, as far as this machine "
            "can see, a model on the hub. Check the name; with no network, download it first or use load('pocket')."
        ) from error
    if config.model_type != "llava":
        raise ValueError(
            f"{str(name)!r} is of type {config.model_type!r}; this library handles LLaVA-1.5 models (type 'llava') only, "
            "for example 'pocket' or 'llava-hf/llava-1.5-7b-hf'."
        )
    model = LlavaForConditionalGeneration.from_pretrained(
        where,
        dtype=dtype or (torch.float32 if device == "cpu" else torch.bfloat16),
        device_map=None if device == "cpu" else device,  # DeepSpeed's ZeRO-3 refuses any device map
        use_safetensors=True,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4") if four_bit else None,
    )
    processor = AutoProcessor.from_pretrained(where)
    return VLM(str(name), model.eval(), processor, four_bit)


def load_tuned() -> VLM:
    """The pocket model after POVID: the shipped adapter, merged. ``pocket_povid/README.md`` says how it was made.

    On the CPU in float32, as the pocket model is meant. A run of your own is loaded by its folder, see ``load``.
    """
    before = load("pocket", device="cpu")
    adapted = PeftModel.from_pretrained(before.model, str(pocket.TUNED))
    return VLM("pocket, tuned", adapted.merge_and_unload(), before.processor)


def chat(vlm: VLM, question: str, image: bool = True) -> str:
    """The prompt for one question in the model's own template, up to and including "ASSISTANT:"."""
    return prompt_text(vlm.processor, question, image)


def encode(vlm: VLM, images: Sequence[Image.Image] | None, texts: Sequence[str]) -> BatchFeature:
    """Prompts (see ``chat``) and pictures as a left-padded batch on the model's device.

    Returns ``input_ids`` and ``attention_mask``, int64 (rows, length), and with images ``pixel_values`` (rows, 3, height, width).
    Raises ``ValueError`` if pictures and prompts differ in number, or a row does not begin with exactly one BOS token.
    """
    if images is not None and len(images) != len(texts):
        raise ValueError(f"{len(images)} pictures for {len(texts)} prompts: one picture for each is needed.")
    vlm.processor.tokenizer.padding_side = "left"
    batch = vlm.processor(
        images=list(images) if images is not None else None, text=list(texts), padding=True, return_tensors="pt"
    )
    starts = (batch["input_ids"] == vlm.processor.tokenizer.bos_token_id).sum(1)
    if not bool((starts == 1).all()):
        raise ValueError(
            f"Rows hold {starts.tolist()} BOS tokens; the template and the tokenizer must add one between them."
        )
    return batch.to(vlm.device, dtype=vlm.model.dtype)


def image_span(vlm: VLM, input_ids: Tensor) -> slice:
    """Where the image tokens lie in one row of ids, int64 (length,). Raises ``ValueError`` if there are none."""
    where = (input_ids == vlm.model.config.image_token_id).nonzero().flatten()
    if len(where) == 0:
        raise ValueError("This row holds no image tokens: its prompt was made without a picture.")
    return slice(int(where[0]), int(where[-1]) + 1)


@torch.inference_mode()
def generate(
    vlm: VLM,
    images: Sequence[Image.Image] | None,
    questions: str | Sequence[str],
    max_new_tokens: int = 128,
    batch_size: int = 64,
    progress: bool = False,
) -> list[Answer]:
    """Answer one question about every picture, or one question each, greedily. ``images=None`` asks without a picture."""
    if isinstance(questions, str):
        questions = [questions] * (len(images) if images is not None else 1)
    prompts = [chat(vlm, question, image=images is not None) for question in questions]
    answers: list[Answer] = []
    for at in tqdm(range(0, len(prompts), batch_size), desc="answers", disable=not progress):
        rows = slice(at, at + batch_size)
        batch = encode(vlm, images[rows] if images is not None else None, prompts[rows])
        answers += answered(vlm, batch, max_new_tokens)
    return answers


@torch.inference_mode()
def sample(
    vlm: VLM,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    seed: int,
    max_new_tokens: int = 128,
    batch_size: int = 64,
) -> list[Answer]:
    """One answer to each question about its picture, drawn at temperature 1; the same seed and batches draw the same answers."""
    answers: list[Answer] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for at in range(0, len(questions), batch_size):
            rows = slice(at, at + batch_size)
            batch = encode(vlm, images[rows], [chat(vlm, question) for question in questions[rows]])
            answers += answered(vlm, batch, max_new_tokens, do_sample=True, top_k=0)
    return answers


def answered(vlm: VLM, batch: BatchFeature, max_new_tokens: int, **settings: Any) -> list[Answer]:
    """The answers to a batch of ``encode``, greedy unless ``settings`` of transformers' ``generate`` say otherwise."""
    settings = {"do_sample": False, "return_dict_in_generate": True, "output_logits": True} | settings
    out = vlm.model.generate(**batch, max_new_tokens=max_new_tokens, **settings)
    new = out.sequences[:, batch["input_ids"].shape[1] :]
    logps = torch.stack(out.logits, 1).float().log_softmax(-1).gather(-1, new[..., None])[..., 0]
    return [_answer(vlm, ids, lps) for ids, lps in zip(new.tolist(), logps.tolist(), strict=True)]


def _answer(vlm: VLM, ids: list[int], logps: list[float]) -> Answer:
    tokenizer = vlm.processor.tokenizer
    end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
    tokens = tuple(tokenizer.decode([i]) for i in ids[:end])
    return Answer(tokenizer.decode(ids[:end]).strip(), tokens, tuple(logps[:end]))


@torch.inference_mode()
def next_token_probs(vlm: VLM, image: Image.Image | None, question: str, answer_so_far: str = "") -> Tensor:
    """Distribution of the next token after a question and the beginning of an answer: float32 (vocabulary,) on the CPU."""
    text = chat(vlm, question, image=image is not None) + (f" {answer_so_far}" if answer_so_far else "")
    batch = encode(vlm, [image] if image is not None else None, [text])
    return vlm.model(**batch, logits_to_keep=1).logits[0, -1].float().softmax(-1).cpu()


def top_tokens(vlm: VLM, probs: Tensor, k: int = 10) -> list[tuple[str, float]]:
    """The ``k`` likeliest tokens of a distribution (vocabulary,) with their probabilities, likeliest first."""
    best = probs.topk(k)
    return [
        (vlm.processor.tokenizer.decode([i]), p)
        for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def word_id(vlm: VLM, word: str) -> int:
    """The id of the first token of a word inside a sentence (with a space before it)."""
    return vlm.processor.tokenizer.encode(f" {word}", add_special_tokens=False)[0]


@torch.inference_mode()
def answer_distributions(
    vlm: VLM,
    images: Sequence[Image.Image] | None,
    questions: Sequence[str],
    answers: Sequence[str],
    batch_size: int = 64,
    weaken: Callable[[BatchFeature], BatchFeature] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read given answers token by token (teacher-forced), without the end token; ``images=None`` shows no picture.

    ``weaken``: what to do to each batch of inputs before the model reads it (see ``distort``). Yields, for each row, the answer's
    token ids, int64 (length,), and the log-distribution over the vocabulary from which each of them would have been drawn,
    float32 (length, vocabulary), on the CPU.
    """
    prompts = [chat(vlm, question, image=images is not None) for question in questions]
    for at in range(0, len(prompts), batch_size):
        part = slice(at, at + batch_size)
        texts = [f"{p} {a}" for p, a in zip(prompts[part], answers[part], strict=True)]
        batch = encode(vlm, images[part] if images is not None else None, texts)
        logits = vlm.model(**(weaken(batch) if weaken else batch)).logits
        for row, ids, prompt, answer in zip(logits, batch["input_ids"], prompts[part], answers[part], strict=True):
            length = len(response_ids(vlm.processor, prompt, answer)) - 1  # without EOS
            first = len(ids) - length  # rows are padded on the left
            yield ids[first:].cpu(), row[first - 1 : -1].float().log_softmax(-1).cpu()


def answer_logps(
    vlm: VLM,
    images: Sequence[Image.Image] | None,
    questions: Sequence[str],
    answers: Sequence[str],
    batch_size: int = 64,
) -> list[Tensor]:
    """Log-probability of each token of given answers, without the end token: one float32 (length,) a row."""
    rows = answer_distributions(vlm, images, questions, answers, batch_size)
    return [logps.gather(-1, ids[:, None])[:, 0] for ids, logps in rows]
