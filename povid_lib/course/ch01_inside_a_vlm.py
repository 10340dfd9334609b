"""Exercises of chapter 01: how many tokens a picture is, which words survive without it, and how far one word falls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from povid_lib.course.exercises import Catalogue, Check, Function


def check_image_tokens(image_tokens: Function) -> None:
    """``image_tokens(pixels, patch)``: how many patches a square picture of ``pixels`` a side is cut into."""
    for pixels, patch, want in ((96, 16, 36), (336, 14, 576), (224, 16, 196), (384, 14, 729)):
        found = float(image_tokens(pixels, patch))
        assert found != pixels // patch, "this is one row of patches; the picture has as many rows"
        assert found != want + 1, "the class token is dropped before the projector"
        assert found != pixels**2 // patch, "a patch is as high as it is wide"
        assert found != (-(-pixels // patch)) ** 2 or pixels % patch == 0, "what is left at the edge fills no patch"
        assert found == want, f"{pixels} pixels in patches of {patch} are {want} tokens, not {found:g}"


def check_kept(kept: Function) -> None:
    """``kept(before, after)``: the share of words that keep more than half of their probability."""
    before, after = np.array([0.9, 0.8, 0.2, 0.4]), np.array([0.5, 0.1, 0.15, 0.2])  # ratios .56, .125, .75, .5
    found = float(kept(before, after))
    for wrong, why in (
        (
            after.mean() / before.mean(),
            "this is the ratio of the means, in which a few likely words outweigh all others",
        ),
        ((after / before).mean(), "this is the mean ratio; count the words above one half"),
        ((after > 0.5).mean(), "compare each word with its own probability before, not with one half"),
        (0.75, "a word that keeps exactly half does not keep more than half"),
        (2.0, "this is how many words; divide by all of them"),
    ):
        assert abs(found - wrong) > 1e-9, why
    assert abs(found - 0.5) < 1e-9, f"two of these four words keep more than half: .50, not {found:.2f}"
    assert float(kept(before, before)) == 1.0, "a word whose probability stays has kept it"


def check_fall(fall: Function) -> None:
    """``fall(words, seen, covered, name)``: by how many nats the first mention of ``name`` falls; log-probabilities: (words,)."""
    words = ["A", "cow", "is", "there.", "A", "pig", "and", "a", "cow."]
    seen = -torch.tensor([0.1, 0.2, 0.1, 0.1, 0.3, 0.7, 0.1, 0.1, 0.05], dtype=torch.float64)
    covered = -torch.tensor([0.1, 2.2, 0.1, 0.5, 0.4, 0.6, 0.1, 0.1, 0.15], dtype=torch.float64)
    found, other = float(fall(words, seen, covered, "cow")), float(fall(words, seen, covered, "pig"))
    for wrong, why in (
        (-2.0, "it fell, so the number is to be above 0: before less after"),
        (0.1, "this is the last mention; the first one is asked for"),
        (2.1, "these are all mentions together; take the first"),
        (float(seen[1].exp() - covered[1].exp()), "a difference of probabilities; in nats it is one of logarithms"),
        (float((seen - covered).sum()), "this is the fall of the whole caption"),
        (float(seen[0] - covered[0]), "this is the word before the object's"),
    ):
        assert abs(found - wrong) > 1e-9, why
    assert abs(found - 2.0) < 1e-9, f"the cow falls from -0.2 to -2.2, which is 2 nats, not {found:.3f}"
    assert abs(other + 0.1) < 1e-9, f"the pig rises by 0.1, so its fall is -0.1, not {other:.3f}"


def image_tokens(pixels: int, patch: int) -> int:
    return (pixels // patch) ** 2


def kept(before: np.ndarray, after: np.ndarray) -> float:
    return float((after > before / 2).mean())


def fall(words: Sequence[str], seen: Tensor, covered: Tensor, name: str) -> float:
    at = [word.strip(".,").lower() for word in words].index(name)
    return float(seen[at] - covered[at])


def _last(words: Sequence[str], seen: Tensor, covered: Tensor, name: str) -> float:
    return fall(words[::-1], seen.flip(0), covered.flip(0), name)


def _all(words: Sequence[str], seen: Tensor, covered: Tensor, name: str) -> float:
    named = torch.tensor([word.strip(".,").lower() == name for word in words])
    return float((seen - covered)[named].sum())


RIGHT: dict[Check, Function] = {check_image_tokens: image_tokens, check_kept: kept, check_fall: fall}
WRONG: dict[Check, Catalogue] = {
    check_image_tokens: [
        ("one row of patches", lambda pixels, patch: pixels // patch),
        ("class token", lambda pixels, patch: (pixels // patch) ** 2 + 1),
        ("as high as it is wide", lambda pixels, patch: pixels**2 // patch),
        ("fills no patch", lambda pixels, patch: (-(-pixels // patch)) ** 2),
        ("are 729 tokens", lambda pixels, patch: (pixels / patch) ** 2),
    ],
    check_kept: [
        ("ratio of the means", lambda before, after: after.mean() / before.mean()),
        ("the mean ratio", lambda before, after: (after / before).mean()),
        ("its own probability", lambda before, after: (after > 0.5).mean()),
        ("exactly half", lambda before, after: (after >= before / 2).mean()),
        ("divide by all", lambda before, after: (after > before / 2).sum()),
        ("has kept it", lambda before, after: ((after > before / 2) & (after < before)).mean()),
    ],
    check_fall: [
        ("above 0", lambda words, seen, covered, name: -fall(words, seen, covered, name)),
        ("the last mention", _last),
        ("take the first", _all),
        ("one of logarithms", lambda words, seen, covered, name: fall(words, seen.exp(), covered.exp(), name)),
        ("whole caption", lambda words, seen, covered, name: (seen - covered).sum()),
        ("the word before", lambda words, seen, covered, name: fall(words[1:], seen, covered, name)),
        ("so its fall is -0.1", lambda words, seen, covered, name: abs(fall(words, seen, covered, name))),
    ],
}
