"""The texts of a preference pair: what they must be, what is wrong with them, and their hash. Pairs are in ``preferences``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from reprlib import repr as shown
from typing import Any

PLACEHOLDER = "<image>"  # stands for the picture in LLaVA's and POVID's files, and in the text that models read
TEXTS = {  # of a pair, and what each must be
    "id": "a name of its own",
    "image": "the picture's file name, or scene:split/kind/index",
    "prompt": "the question",
    "chosen": "the true answer",
    "rejected": "the corrupted answer",
}


def text_faults(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with a pair's five texts: each fault with its field, its value and what to do."""
    found = [
        text_fault(name, row[name], meaning) if name in row else f"no {name}; give {meaning}, as text"
        for name, meaning in TEXTS.items()
    ]
    faults = [fault for fault in found if fault]
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if isinstance(chosen, str) and isinstance(rejected, str) and chosen.strip() and chosen.split() == rejected.split():
        faults.append("chosen and rejected are the same; a preference needs two answers")
    return faults


def text_fault(name: str, text: object, meaning: str) -> str | None:
    """What is wrong with one text of a pair, or of a truth; None if nothing is."""
    if not isinstance(text, str) or not text.strip():
        return f"{name} is {shown(text)}; it must be {meaning}, as text"
    if PLACEHOLDER in text:
        return f"{name} holds {PLACEHOLDER}; take it out: the picture is put in where the pair is used"
    return half_character(name, text)


def half_character(name: str, text: str) -> str | None:
    """The fault of a text that no file can hold: JSON writes half of a pair of surrogates, UTF-8 does not."""
    if re.search("[\ud800-\udfff]", text):
        return f"{name} holds half a character ({shown(text)}), which UTF-8 cannot write; take it out"
    return None


def word_faults(row: Mapping[str, Any]) -> list[str]:
    """Changes whose words do not stand in the answer that they are said to stand in; those of another form are passed over."""
    faults = []
    for at, change in enumerate(row["changes"] if isinstance(row.get("changes"), list) else [], start=1):
        for side in ("chosen", "rejected"):
            said, answer = change.get(side) if isinstance(change, dict) else None, row.get(side)
            if not isinstance(said, str) or not isinstance(answer, str):
                continue
            words = " ".join(said.split())
            if words and not re.search(rf"(?<!\w){re.escape(words)}(?!\w)", " ".join(answer.split())):
                faults.append(f"change {at}: {shown(words)} does not stand in {side}; give the words that do")
    return faults


def hash_of(row: Mapping[str, Any]) -> str:
    """SHA-256 of what is trained on: image, prompt, chosen, rejected."""
    parts = [row[name] for name in ("image", "prompt", "chosen", "rejected")]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
