"""Pairs without padding: all of them behind each other in one row, and an attention that keeps them apart.

``[prompt][chosen][rejected]`` of one pair, then of the next. The linear layers, which are nearly all of the work, see real tokens
only. A pair is two sequences of the attention: the queries of ``[prompt][chosen]`` on their own keys, and those of ``[rejected]``
on the keys of ``[prompt][rejected]``, causal from the last token back; the prompt's keys and values are all that is copied.

On CUDA in half precision that is one call of PyTorch's variable-length flash attention, everywhere else ``by_sequence``, one plain
attention a sequence. Registered with transformers under ``NAME``; a call without ``segments`` is its "sdpa".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, LlavaForConditionalGeneration
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from povid_lib.training.collator import Batch

NAME = "povid_unpadded"
_HALF = (torch.float16, torch.bfloat16)
_MODULE = "torch.nn.attention.varlen"
_NEAR = 0.05  # rounding of half precision; another alignment is wrong by about 1


class Segments(NamedTuple):
    """Which tokens attend to which. ``keys``, int64 (keys,): the tokens in whose order the keys stand. ``cu_queries``,
    ``cu_keys``, int32 (sequences + 1,): where each sequence begins among queries and keys. ``longest_queries``, ``longest_keys``:
    the length of the longest."""

    keys: Tensor
    cu_queries: Tensor
    cu_keys: Tensor
    longest_queries: int
    longest_keys: int


class Row(NamedTuple):
    """A batch in one row. ``ids``, ``positions``: int64 (1, tokens). ``kept``, int64 (rows, C or C + R): the place before each
    token of the answers, where it is predicted; 0 at padding."""

    ids: Tensor
    positions: Tensor
    kept: Tensor
    segments: Segments


def row_of(batch: Batch, rejected: bool = True) -> Row:
    """The batch's pairs in one row; without the rejected answers, if they are not asked for. Raises ``ValueError`` for a prompt
    with holes in its mask, whose tokens have no one place."""
    texts = [batch["prompt"], batch["chosen"], *([batch["rejected"]] if rejected else [])]
    whole = texts[0]["mask"].cumsum(1)
    if bool(((texts[0]["mask"] == 0) & (whole > 0)).any()):
        raise ValueError("row_of: a prompt's mask has holes; read it with padding (unpadded=False).")
    masks = [text["mask"].bool() for text in texts]
    mask, ids = torch.cat(masks, 1), torch.cat([text["ids"] for text in texts], 1)
    positions = torch.cat([whole, *(whole[:, -1:] + text.cumsum(1) for text in masks[1:])], 1) - 1
    # where each token stands in the row; at padding, where the one before it does
    places = (mask.flatten().cumsum(0) - 1).view_as(mask).split([text.shape[1] for text in masks], 1)
    last = places[0][:, -1:]  # the prompt's last token predicts the first of each answer
    kept = [torch.cat([last, at[:, :-1]], 1) * text for at, text in zip(places[1:], masks[1:], strict=True)]
    of_prompt, *of_answers = (text.sum(1) for text in masks)
    queries = torch.stack([of_prompt + of_answers[0], *of_answers[1:]], 1).flatten()
    lengths = torch.stack([of_prompt + answer for answer in of_answers], 1).flatten()
    keys = torch.cat([part for at in places[1:] for part in (places[0], at)], 1)
    real = torch.cat([part for text in masks[1:] for part in (masks[0], text)], 1)
    segments = Segments(keys[real], _cumulated(queries), _cumulated(lengths), int(queries.max()), int(lengths.max()))
    return Row(ids[mask][None], positions[mask][None], torch.cat(kept, 1), segments)


def forward(model: nn.Module, row: Row, inputs: dict[str, Any]) -> Tensor:
    """Logits at the kept places: (rows, C or C + R, vocabulary). ``inputs``: what the model takes of ids and pictures."""
    nothing = torch.ones(
        1, 1, 1, 1, dtype=torch.bool, device=row.ids.device
    )  # 4-D: transformers makes no mask of its own
    logits = model(
        **inputs, attention_mask=nothing, position_ids=row.positions, logits_to_keep=row.kept.unique(), use_cache=False,
        segments=row.segments,
    ).logits  # fmt: skip
    return by_row(logits, row)


def by_row(found: Tensor, row: Row) -> Tensor:
    """What a model gives at the kept places, (1, places, size), answer by answer: (rows, C or C + R, size)."""
    return found[0][row.kept.unique(return_inverse=True)[1]]


def prepare(model: LlavaForConditionalGeneration) -> None:
    """Let the language model's attention take ``segments``. Raises ``ValueError`` if it is neither that nor "sdpa"."""
    config = model.config.text_config
    if config._attn_implementation not in ("sdpa", NAME):
        raise ValueError(
            f"The attention is {config._attn_implementation!r}, and unpadded pairs need 'sdpa'; load the model with "
            "attn_implementation='sdpa', or set unpadded to False."
        )
    config._attn_implementation = NAME


def check_device(device: torch.device, dtype: torch.dtype, size: int = 64) -> None:
    """Where the variable-length attention will be used, try it against ``by_sequence`` on heads of this ``size``. Raises
    ``ValueError`` if PyTorch has none, or it aligns its mask otherwise when queries and keys differ in number."""
    if device.type != "cuda" or dtype not in _HALF:
        return
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 2, size, generator=generator).to(device, dtype) for n in (12, 20, 20))
    of_q, of_k = (torch.tensor(ends, dtype=torch.int32, device=device) for ends in ([0, 7, 12], [0, 7, 20]))
    one, other = (how(q, k, v, of_q, of_k, 7, 13, window_size=(-1, 0)) for how in (variable_length(), by_sequence))
    if not bool((one.float() - other.float()).abs().max() < _NEAR):
        raise ValueError(
            f"The variable-length attention of PyTorch {torch.__version__} is not causal from the last token back; set unpadded to "
            "False."
        )


def variable_length() -> Callable[..., Tensor]:
    """PyTorch's variable-length attention. Raises ``ValueError`` where this PyTorch has none that takes a window and a scale."""
    try:
        found: Callable[..., Tensor] = import_module(_MODULE).varlen_attn
        lacks = {"window_size", "scale"} - inspect.signature(found).parameters.keys()
    except (ImportError, AttributeError):
        lacks = {"varlen_attn"}
    if lacks:
        raise ValueError(
            f"PyTorch {torch.__version__} has no {', '.join(sorted(lacks))} in {_MODULE}; install 2.11 or later, or set unpadded "
            "to False."
        )
    return found


def by_sequence(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """What PyTorch's ``varlen_attn`` computes, one sequence after the other, on any device and in any type: (queries, heads, size).

    ``window_size`` (-1, 0) is causal, aligned at the last query and key; (-1, -1) hides nothing. ``max_q`` and ``max_k`` are not
    read.
    """
    queries, keys = (cu.diff().tolist() for cu in (cu_seq_q, cu_seq_k))
    # split, not slices: their gradients are joined once, where each slice's would fill a tensor of the whole length
    parts = (query.split(queries), key.split(keys), value.split(keys))
    causal, found = window_size == (-1, 0), []
    for q, k, v, n, m in zip(*parts, queries, keys, strict=True):
        qs, ks, vs = (t.transpose(0, 1)[None] for t in (q, k, v))
        mask = None
        if causal and n != m:
            mask = torch.ones(n, m, dtype=torch.bool, device=query.device).tril(m - n)
        out = F.scaled_dot_product_attention(qs, ks, vs, attn_mask=mask, is_causal=causal and n == m, scale=scale)
        found.append(out[0].transpose(0, 1))
    return torch.cat(found)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Segments | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function. ``query``, ``key``, ``value``: (1, heads, tokens, size). Raises ``ValueError`` for dropout,
    or several rows, with segments."""
    if segments is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **others
        )
        return found
    if dropout or len(query) != 1:
        raise ValueError(f"Unpadded attention takes one row and no dropout, and got {len(query)} and {dropout}.")
    heads = query.shape[1] // key.shape[1]
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    k, v = (t.index_select(0, segments.keys) for t in (k, v))
    if heads > 1:
        k, v = (t.repeat_interleave(heads, 1) for t in (k, v))
    how = variable_length() if q.is_cuda and q.dtype in _HALF else by_sequence
    out = how(
        q.contiguous(), k, v, segments.cu_queries, segments.cu_keys, segments.longest_queries, segments.longest_keys,
        scale=scaling, window_size=(-1, 0),
    )  # fmt: skip
    return out[None], None


def _cumulated(lengths: Tensor) -> Tensor:
    return F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
