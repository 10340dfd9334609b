"""A LLaVA: load it, ask it, read its probabilities. ``models.load("pocket")`` is the usual start."""

from povid_lib.models.generation import Answer, answered, generate, sample
from povid_lib.models.llava import (
    VLM,
    chat,
    check_four_bit,
    check_tuned,
    encode,
    gpu_dtype,
    image_span,
    load,
    load_tuned,
    read_config,
)
from povid_lib.models.scoring import (
    answer_distributions,
    answer_logps,
    next_token_probs,
    rest_logps,
    top_tokens,
    word_probs,
    word_tokens,
)

__all__ = [
    "VLM",
    "Answer",
    "answer_distributions",
    "answer_logps",
    "answered",
    "chat",
    "check_four_bit",
    "check_tuned",
    "encode",
    "generate",
    "gpu_dtype",
    "image_span",
    "load",
    "load_tuned",
    "next_token_probs",
    "read_config",
    "rest_logps",
    "sample",
    "top_tokens",
    "word_probs",
    "word_tokens",
]
