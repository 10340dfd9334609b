"""The causal check of an attention map: hide patches of the picture, and see what a word of the answer loses.

Attention says where a model looks, occlusion what it depends on; whether the two agree is to be measured (Jain and Wallace, 2019;
Serrano and Smith, 2019). Occlusion has limits of its own: a hidden patch is an odd picture, and where two patches show the same
thing, hiding either loses nothing.
"""

from __future__ import annotations

import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor

from povid_lib.analysis import attention
from povid_lib.arguments import check_picture
from povid_lib.models.llava import VLM


@torch.inference_mode()
def logps_without(
    vlm: VLM,
    image: Image.Image,
    question: str,
    answer: str,
    word: str,
    hidden: Tensor,
    fill: Image.Image | None = None,
    nth: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Log-probability of a word of an answer, its tokens summed, with patches of the picture occluded: float32 (n,).

    ``hidden``: bool (n, side, side), the patches to occlude in each of ``n`` views; none at all leaves the picture as it is.
    They take the picture's mean colour, or what stands there in ``fill``. Occluded is what the vision tower gets, so patches are
    exactly the model's own whatever the processor has cut away. Raises ``ValueError`` for ``hidden`` of another shape or type,
    a ``fill`` that is no picture, and as ``read`` and ``word_places`` do.
    """
    places = attention.word_places(vlm, question, answer, word, nth)
    batch, first = attention.inputs("logps_without", vlm, image, question, answer)
    side = attention.side_of(vlm, batch)
    if hidden.dtype != torch.bool or hidden.ndim != 3 or hidden.shape[0] == 0 or hidden.shape[1:] != (side, side):
        raise ValueError(
            f"logps_without: hidden is {hidden.dtype} {tuple(hidden.shape)}; give bools, one row or more of {side} x {side}."
        )
    pixels = batch["pixel_values"]
    paint = pixels.mean((2, 3), keepdim=True)
    if fill is not None:
        check_picture("logps_without: fill", fill)
        paint = vlm.processor.image_processor([fill], return_tensors="pt")["pixel_values"].to(pixels)
    patch = pixels.shape[-1] // side
    rows = [first - 1 + place for place in places]
    seen = slice(0, rows[-1] + 1)  # what comes after the word cannot change it
    found = []
    for part in hidden.to(pixels.device).split(batch_size or vlm.rows):
        covered = part.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None]
        ids, mask = (batch[name][:, seen].expand(len(part), -1) for name in ("input_ids", "attention_mask"))
        views = torch.where(covered, paint, pixels)
        shown = {"input_ids": ids, "attention_mask": mask, "pixel_values": views}
        logits = vlm.model(**shown, logits_to_keep=torch.tensor(rows, device=vlm.device), use_cache=False).logits
        said = batch["input_ids"][:, [row + 1 for row in rows], None].expand(len(part), -1, -1)
        found.append(logits.float().log_softmax(-1).gather(-1, said)[..., 0].sum(-1).cpu())
    return torch.cat(found)


def occlusion_map(
    vlm: VLM,
    image: Image.Image,
    question: str,
    answer: str,
    word: str,
    window: int = 1,
    fill: Image.Image | None = None,
    nth: int = 0,
) -> Tensor:
    """How much of a word's log-probability is lost with each patch: clear less occluded, float32 (side, side).

    Squares of ``window`` x ``window`` patches are hidden one after the other, at every place; a patch has the mean over the squares
    that hold it. A word may lose nothing with any single patch where its neighbours show the same. Below 0: it gains.
    Raises ``ValueError`` for a window that does not fit, and as ``logps_without`` does.
    """
    side = attention.side_of(vlm, attention.inputs("occlusion_map", vlm, image, question, answer)[0])
    if not isinstance(window, int) or not 1 <= window <= side:
        raise ValueError(f"occlusion_map: window is {window!r}; give a whole number of patches, from 1 to {side}.")
    corners = [(y, x) for y in range(side - window + 1) for x in range(side - window + 1)]
    hidden = torch.zeros(len(corners) + 1, side, side, dtype=torch.bool)  # the last: nothing
    for view, (y, x) in zip(hidden, corners, strict=False):
        view[y : y + window, x : x + window] = True
    logps = logps_without(vlm, image, question, answer, word, hidden, fill, nth)
    lost, covers = logps[-1] - logps[:-1], hidden[:-1].float()
    return (lost[:, None, None] * covers).sum(0) / covers.sum(0)


def log_odds(logps: Tensor) -> Tensor:
    """log p - log(1 - p) of log-probabilities: float64 of the same shape, at most 16.1, where float32 tells no more.

    A constant added to a word's logit adds that constant to its log-odds, whatever its probability; to the probability it adds most
    where that is near one half. Raises ``ValueError`` for values above 0.
    """
    if bool((logps > 0).any()):
        raise ValueError(
            "log_odds: a value lies above 0, so it is no log-probability; give logarithms of probabilities."
        )
    logps = logps.double().clamp(max=-1e-7)
    return logps - torch.log(-torch.expm1(logps))


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of two maps over the same patches.

    Raises ``ValueError`` for maps of different shapes, or one that has a single value everywhere and so no ranks.
    """
    if one.shape != other.shape:
        raise ValueError(
            f"rank_correlation: maps {tuple(one.shape)} and {tuple(other.shape)} differ; give two of one picture."
        )
    for values in (one, other):
        if not bool((values != values.flatten()[0]).any()):
            raise ValueError(
                "rank_correlation: a map has one value everywhere, so there are no ranks; give one that varies."
            )
    return float(spearmanr(one.flatten().numpy(), other.flatten().numpy()).statistic)


def share_on(weights: Tensor, owned: Tensor) -> float:
    """The share of a map, ``weights`` (side, side), that lies on the patches ``owned``, bool (side, side).

    Raises ``ValueError`` for shapes that differ, ``owned`` that is not bool, or a map that is negative or zero everywhere.
    """
    if weights.shape != owned.shape or owned.dtype != torch.bool:
        raise ValueError(
            f"share_on: weights {tuple(weights.shape)} and owned {tuple(owned.shape)}, {owned.dtype}, do not fit; give a map, and "
            "bools of its shape."
        )
    if bool((weights < 0).any()) or not float(weights.sum()) > 0:
        raise ValueError(
            "share_on: weights are negative somewhere or zero everywhere; give a map with something to share."
        )
    return float(weights[owned].sum() / weights.sum())
