"""Problem set 4: the run of a declared test on the pocket model (see ``declarations``), and the record that it leaves.

A method is compared with the untuned model, and both with the untuned model that ends its captions earlier by a constant
(``models.end_bias``). The record holds counts by picture, so that every number can be computed from it again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from povid_lib.course import declarations
from povid_lib.world import worlds
from povid_lib.world.scenes import Scene, scenes

if TYPE_CHECKING:
    from PIL import Image

    from povid_lib.models.llava import VLM

    Method = Callable[[VLM, Sequence[Image.Image], int], list[str]]  # pictures and a seed -> captions

MEASURES = ("chair_s", "chair_i", "recall")
DIRECTIONS = ("lower", "higher")
KINDS = ("typical", "counter_typical")
PICTURES = (100, 600)  # fewest and most: fewer tell little, more take too long
CONSTANTS = (4, 8)  # fewest and most points of the curve
STEPS = (
    0.5,
    3.0,
)  # from a constant to the next, at least and at most: nearer captions are the same, farther ones leave a gap
REACH = 4.0  # of the last constant, at least: its captions are very short
RESAMPLES = 400
_PICTURES_A_SEED = 1000
_MOST_BYTES = 400_000  # of a record, unpacked


@dataclass(frozen=True)
class Counts:
    """What captions of a model say, a number a picture: false mentions, all mentions, true objects named, true objects there."""

    false: list[int]
    mentions: list[int]
    recalled: list[int]
    there: list[int]


@dataclass(frozen=True)
class Record:
    """A run: the digest of its ``declaration``, the world's ``edition``, the ``model``'s digest, the counts of the ``method`` and,
    by constant, of the ``curve``. Constant 0 is the untuned model."""

    declaration: str
    edition: str
    model: str
    method: Counts
    curve: dict[float, Counts]


def scenes_of(declaration: Mapping[str, Any], edition: str) -> list[Scene]:
    """The validation scenes that a declaration names, seed after seed."""
    world, n = worlds.world(declaration["kind"], edition), declaration["scenes"]
    return [
        scene
        for seed in declaration["seeds"]
        for scene in scenes(n, world, "validation", start=_PICTURES_A_SEED * (seed + 1))
    ]


def draws(declaration: Mapping[str, Any]) -> NDArray[np.int64]:
    """The resamples with which the margin's interval is made: indices of pictures, (resamples, pictures)."""
    pictures = declaration["scenes"] * len(declaration["seeds"])
    return np.random.default_rng(declaration["seeds"]).integers(pictures, size=(RESAMPLES, pictures))


# --- the record --------------------------------------------------------------------------------------------------


def pack(record: Record) -> str:
    """A record as one line of text."""
    return base64.b85encode(zlib.compress(json.dumps(asdict(record)).encode(), 9)).decode()


def unpack(text: object) -> Record:
    """The record from its line. Raises ``ValueError`` if this is none: cut off, changed, or of another form."""
    try:
        unpacker = zlib.decompressobj()
        held = json.loads(unpacker.decompress(base64.b85decode("".join(str(text).split())), _MOST_BYTES))
        curve = {float(constant): Counts(**counts) for constant, counts in held.pop("curve").items()}
        record = Record(**{**held, "method": Counts(**held["method"]), "curve": curve})
        sizes = {len(row) for counts in (record.method, *curve.values()) for row in vars(counts).values()}
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise ValueError("the record cannot be read; paste the whole line that the run has printed") from error
    rows = [row for counts in (record.method, *curve.values()) for row in vars(counts).values()]
    if len(sizes) != 1 or not all(declarations.whole(each, 0, 1000) for row in rows for each in row):
        raise ValueError("the record's counts are not of the same pictures")
    return record


def sums(counts: Counts, measure: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A measure's numerators and denominators, a number a picture; the measure is the ratio of their sums."""
    false, mentions, recalled, there = (np.array(row, dtype=float) for row in vars(counts).values())
    pairs = {
        "chair_s": (np.minimum(false, 1), np.ones_like(false)),
        "chair_i": (false, mentions),
        "recall": (recalled, there),
    }
    return pairs[measure]


def margin_sums(counts: Counts) -> tuple[NDArray[np.float64], ...]:
    """What the margin is made of, a number a picture: captions with a false object, true objects named, true objects there."""
    return sums(counts, "chair_s")[0], *sums(counts, "recall")


def beyond(record: Record, declaration: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """The margin that follows from a record: the recall of its method beyond an earlier end, with the ends of its interval."""
    n = len(record.method.there)
    times = np.array([np.bincount(row, minlength=n) for row in (np.arange(n), *draws(declaration))])
    points = np.array(
        [
            (times @ false / n, times @ named / (times @ there))
            for false, named, there in map(margin_sums, (record.method, *record.curve.values()))
        ]
    )
    found = [_above(each[0], each[1:]) for each in np.moveaxis(points, -1, 0)]
    made = [each for each in found[1:] if each is not None]
    if found[0] is None or not made:
        return None, None, None
    low, high = np.percentile(made, [2.5, 97.5]).tolist()
    return found[0], low, high


def _above(spot: NDArray[np.float64], curve: NDArray[np.float64]) -> float | None:
    at = np.unique(curve[:, 0])
    if not at[0] <= spot[0] <= at[-1]:
        return None
    return float(spot[1] - np.interp(spot[0], at, [curve[curve[:, 0] == each, 1].mean() for each in at]))


# --- the run -----------------------------------------------------------------------------------------------------


def run(vlm: VLM, declaration: Mapping[str, Any], method: Method) -> str:
    """Caption the declared scenes with the method and with each constant, and give the record as one line.

    The method is tried on two pictures first. Raises ``ValueError``, before anything else is run, with everything that is wrong
    with the declaration, for a method of another name, and for one that does not give a text for each picture.
    """
    from tqdm.auto import tqdm

    from povid_lib.models import end_bias
    from povid_lib.pocket import lessons
    from povid_lib.world.captions import PROMPT

    if wrong := declarations.faults(declaration):
        raise ValueError(f"The declaration cannot be run: {'; '.join(wrong)}.")
    name = getattr(method, "__name__", type(method).__name__)
    if name != declaration["method"]:
        raise ValueError(
            f"The declaration's method is {declaration['method']!r}, and METHOD is {name!r}. Nothing was run. Give the function "
            "that was declared as METHOD."
        )
    edition = lessons.recipe_of(vlm.name).edition
    batch, n = scenes_of(declaration, edition), declaration["scenes"]
    pictures = [scene.image() for scene in batch]
    _said(method, vlm, pictures[:2], declaration["seeds"][0])
    said = list[str]()
    for at, seed in enumerate(tqdm(declaration["seeds"], desc=name)):
        said += _said(method, vlm, pictures[at * n : (at + 1) * n], seed)
    curve: dict[float, Counts] = {}
    for constant in tqdm(declaration["constants"], desc="constants"):
        answers = end_bias.generate(vlm, pictures, [PROMPT] * len(pictures), constant)
        curve[float(constant)] = _counts(batch, [answer.text for answer in answers])
    return pack(Record(declarations.digest(declaration), edition, _model_digest(vlm), _counts(batch, said), curve))


def _said(method: Method, vlm: VLM, pictures: Sequence[Image.Image], seed: int) -> list[str]:
    """The method's captions. Raises ``ValueError`` if they are not a text for each picture."""
    texts: object = method(vlm, pictures, seed)
    if not isinstance(texts, list | tuple):
        what = f"{type(texts).__name__} and no list"
    elif other := [text for text in texts if not isinstance(text, str)]:
        what = f"{type(other[0]).__name__} in place of a text"
        what += "; take its .text" if hasattr(other[0], "text") else ""
    elif len(texts) != len(pictures):
        what = f"{len(texts)} of them"
    else:
        return list(texts)
    raise ValueError(f"METHOD must give one text for each picture; for {len(pictures)} pictures it gave {what}.")


def _model_digest(vlm: VLM) -> str:
    found = hashlib.sha256()
    for name, tensor in sorted(vlm.model.state_dict().items()):
        found.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _counts(batch: Sequence[Scene], texts: Sequence[str]) -> Counts:
    from povid_lib.evaluation.held_out import score

    found = score(batch, texts)
    return Counts(
        [len(each.hallucinated) for each in found],
        [len(each.mentioned) for each in found],
        [each.recalled for each in found],
        [len(each.truth) for each in found],
    )


# --- methods to begin with ---------------------------------------------------------------------------------------


def short_prompt(vlm: VLM, pictures: Sequence[Image.Image], seed: int) -> list[str]:
    """Asks for a brief description in place of a description."""
    from povid_lib import models
    from povid_lib.world.captions import SHORT_PROMPTS

    return [answer.text for answer in models.generate(vlm, pictures, [SHORT_PROMPTS[0]] * len(pictures))]


def contrastive(vlm: VLM, pictures: Sequence[Image.Image], seed: int) -> list[str]:
    """Visual contrastive decoding (see ``models.contrastive_decoding``)."""
    from povid_lib.models import contrastive_decoding
    from povid_lib.world.captions import PROMPT

    answers = contrastive_decoding.generate(vlm, pictures, [PROMPT] * len(pictures), seed=seed)
    return [answer.text for answer in answers]


def unsupported(vlm: VLM, pictures: Sequence[Image.Image], seed: int) -> list[str]:
    """Takes a constant from words that the picture does not support (see ``models.end_bias``)."""
    from povid_lib.models import end_bias
    from povid_lib.world.captions import PROMPT

    blanks = [end_bias.blank_of(picture) for picture in pictures]
    answers = end_bias.unsupported(vlm, pictures, blanks, [PROMPT] * len(pictures), 2.0)
    return [answer.text for answer in answers]
