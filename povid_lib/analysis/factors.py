"""When does a model hallucinate? LURE's three factors, POPE's hit rates, the distance between two answers, and one regression.

Formulas only: a row for each object that a caption mentions comes in, whatever the model. LURE is Zhou et al., 2023 (arXiv
2310.00754); POPE is Li et al., 2023 (arXiv 2305.10355).
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from statsmodels.tools.sm_exceptions import ModelWarning

from povid_lib.metrics.stats import Estimate, mean, ratio

FACTORS = ("cooccurrence", "uncertainty", "position", "distance")


@dataclass(frozen=True)
class Mention:
    """One mention of an object in a caption.

    ``image``: key of the picture, the unit of the intervals. ``index``: place of the mention among the caption's ``length`` words
    (or tokens), from 1. ``cooccurrence``: see ``cooccurrence_of``. ``logp``: natural log-probability of the mention given the
    picture and the text before it. ``distance``: Hellinger distance between what the model gives to the word with and without
    the picture (see ``mentions.word_distance``), from 0 (the picture does not matter) to 1. These two take a model: None where none
    has read the caption.

    Raises ``ValueError`` for an index outside the caption, a positive log-probability, or a value that is not finite.
    """

    image: str
    name: str
    index: int
    length: int
    hallucinated: bool
    cooccurrence: float
    logp: float | None = None
    distance: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.length:
            raise ValueError(
                f"{self._label}: index {self.index} is not one of the caption's {self.length} words, from 1."
            )
        if self.logp is not None and self.logp > 0:
            raise ValueError(f"{self._label}: logp is {self.logp}; a log-probability is at most 0.")
        for field in ("logp", "cooccurrence", "distance"):
            value = getattr(self, field)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{self._label}: {field} is {value}; a finite number is needed.")

    @property
    def _label(self) -> str:
        return f"Mention of {self.name!r} in {self.image!r}"

    @property
    def uncertainty(self) -> float | None:
        """LURE, equation 2: minus the log-probability, in nats."""
        return None if self.logp is None else -self.logp

    @property
    def position(self) -> float:
        """LURE, equation 3: the index over the caption's length, in (0, 1]."""
        return self.index / self.length

    def factor(self, name: str) -> float:
        """The value of one of ``FACTORS``. Raises ``ValueError`` for one that takes a model, if none has read the caption."""
        value = getattr(self, name)
        if value is None:
            raise ValueError(
                f"{self._label} has no {name}: no model has read its caption; make the rows with mentions.mention_rows."
            )
        return float(value)


# --- co-occurrence (LURE, equation 1) ----------------------------------------------------------------------------


Naming = Mapping[str, int]  # object -> the captions that name it: bit i is caption i


def captions_naming(captions: Sequence[Collection[str]]) -> dict[str, int]:
    """S(o) of LURE: for every object, the captions that name it, a bit each. ``captions``: the objects of each.

    Bits and no sets of numbers: what two objects share is counted anew at every mention, and there may be 100,000 captions.
    """
    size = (len(captions) + 7) // 8
    bits: dict[str, bytearray] = defaultdict(lambda: bytearray(size))
    for i, named in enumerate(captions):
        for name in set(named):
            bits[name][i // 8] |= 1 << i % 8
    return {name: int.from_bytes(of, "little") for name, of in bits.items()}


def cooccurrence(a: str, b: str, naming: Naming) -> float:
    """``|S(a) & S(b)| / (|S(a)| + |S(b)|)``, from 0 to 0.5 (always together).

    Raises ``ValueError`` if no caption names either of them.
    """
    one, other = naming.get(a, 0), naming.get(b, 0)
    if not one and not other:
        raise ValueError(
            f"No caption names {a!r} or {b!r}, so their co-occurrence is undefined; count over more captions."
        )
    return (one & other).bit_count() / (one.bit_count() + other.bit_count())


def cooccurrence_of(name: str, named: Collection[str], naming: Naming) -> float:
    """One object's part of LURE's score of a caption (equation 1): its co-occurrence with all other objects named there, summed.
    ``named``: the caption's objects; repeated names count once."""
    return sum(cooccurrence(name, other, naming) for other in dict.fromkeys(named) if other != name)


# --- hit rates (POPE, section 4.3) -------------------------------------------------------------------------------


def top_k(counts: Mapping[str, float], k: int) -> tuple[str, ...]:
    """The ``k`` objects with the highest counts, ties in alphabetical order. Raises ``ValueError`` if there are fewer than k."""
    if not 1 <= k <= len(counts):
        raise ValueError(f"top_k: k is {k}, but {len(counts)} objects are counted; choose k between 1 and that.")
    return tuple(sorted(counts, key=lambda name: (-counts[name], name))[:k])


def hit_rate_frequent(hallucinated: Sequence[Sequence[str]], frequency: Mapping[str, float], k: int) -> Estimate:
    """HR_A@k: the mean over images of the share of hallucinated objects that are among the ``k`` most frequent ones.

    ``hallucinated``: those of each image. ``frequency``: in how many images of the training data an object appears. Images
    without hallucination have no share (0/0) and are left out; ``n`` tells how many remain. Raises ``ValueError`` if none does.
    """
    return _hit_rate(hallucinated, top_k(frequency, k))


def hit_rate_cooccurring(
    probe: str,
    present: Sequence[Collection[str]],
    hallucinated: Sequence[Sequence[str]],
    cooccurring: Mapping[str, float],
    k: int,
) -> Estimate:
    """HR_C@k(probe): as ``hit_rate_frequent``, over images that show ``probe``, for the ``k`` objects most often seen with it.

    ``present``: the true objects of each image. ``cooccurring``: in how many images an object appears together with ``probe``.
    """
    others = {name: count for name, count in cooccurring.items() if name != probe}
    showing = [false for true, false in zip(present, hallucinated, strict=True) if probe in true]
    return _hit_rate(showing, top_k(others, k))


def _hit_rate(hallucinated: Sequence[Sequence[str]], expected: Collection[str]) -> Estimate:
    shares = [sum(name in expected for name in names) / len(names) for names in hallucinated if names]
    if not shares:
        raise ValueError("Hit rate: no image has a hallucinated object, so there is no share to average.")
    return mean(shares)


# --- distance and position ---------------------------------------------------------------------------------------


def hellinger(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hellinger distance ``||sqrt(p) - sqrt(q)|| / sqrt(2)`` over the last axis, in [0, 1].

    ``p``, ``q``: probabilities (..., vocabulary). Between an answer's distribution with and without the picture it measures how
    far the token depends on the picture (Favero et al., 2024, arXiv 2403.14003). Raises ``ValueError`` if shapes differ, or if
    values are negative or do not sum to 1 within 0.001 (logits instead of probabilities, for instance).
    """
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    if p.shape != q.shape or p.ndim == 0:
        raise ValueError(f"hellinger: two arrays of one shape are needed, not {p.shape} and {q.shape}.")
    for name, values in (("p", p), ("q", q)):
        if not (values >= 0).all() or not (abs(values.sum(-1) - 1) <= 1e-3).all():
            raise ValueError(
                f"hellinger: {name} does not hold probabilities; take the softmax over the last axis first."
            )
    return np.linalg.norm(np.sqrt(p) - np.sqrt(q), axis=-1) / math.sqrt(2)


def rate_by_decile(rows: Sequence[Mention]) -> tuple[Estimate | None, ...]:
    """Share of mentions that are hallucinated in each tenth of the caption, (0, 0.1] to (0.9, 1]; None where none falls.

    Raises ``ValueError`` if there are no rows.
    """
    if not rows:
        raise ValueError("rate_by_decile: there are no mentions.")
    deciles = []
    for tenth in range(1, 11):
        here = [row for row in rows if -(-10 * row.index // row.length) == tenth]  # ceiling, in whole numbers
        deciles.append(_by_image(here, lambda row: row.hallucinated) if here else None)
    return tuple(deciles)


def rate_by_quantile(rows: Sequence[Mention], factor: str, bins: int) -> list[tuple[float, Estimate]]:
    """Share of mentions that are hallucinated in ``bins`` groups of equal size, from low to high values of a factor.

    Returns ``(mean of the factor, share)`` for each. Mentions of one value stay together, so groups may differ in size where values
    repeat, and be fewer. Raises ``ValueError`` if there are fewer mentions than groups, or as ``Mention.factor`` does.
    """
    if len(rows) < bins:
        raise ValueError(f"rate_by_quantile: {len(rows)} mentions cannot fill {bins} groups.")
    values = np.array([row.factor(factor) for row in rows])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    group = np.searchsorted(edges, values, side="left")
    found = []
    for g in np.unique(group):
        here = [row for row, of in zip(rows, group, strict=True) if of == g]
        found.append((float(values[group == g].mean()), _by_image(here, lambda row: row.hallucinated)))
    return found


def mean_factor(rows: Sequence[Mention], factor: str) -> Estimate:
    """Mean of a factor over mentions, its interval by pictures.

    Raises ``ValueError`` if there are no rows, or as ``Mention.factor`` does.
    """
    return _by_image(rows, lambda row: row.factor(factor))


def _by_image(rows: Sequence[Mention], value: Callable[[Mention], float]) -> Estimate:
    sums: dict[str, list[float]] = {}
    for row in rows:
        sums.setdefault(row.image, []).append(float(value(row)))
    return ratio([sum(values) for values in sums.values()], [len(values) for values in sums.values()])


# --- which factor explains it? -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """One factor, all others held fixed. ``odds_ratio``: by what the odds of hallucination are multiplied for one standard
    deviation more, with its 95% interval (Wald, clustered by image); ``deviance``: how much worse the fit is without it."""

    odds_ratio: float
    low: float
    high: float
    deviance: float


@dataclass(frozen=True)
class Explanation:
    """A logistic regression of hallucination on standardised factors. ``mcfadden``: 1 - log-likelihood / that of a constant."""

    effects: dict[str, Effect]
    mcfadden: float
    mentions: int
    images: int


def explain(rows: Sequence[Mention], factors: Sequence[str] = FACTORS) -> Explanation:
    """Regress ``hallucinated`` on the factors, each with mean 0 and standard deviation 1, jointly.

    Mentions of one image are not independent: standard errors are cluster-robust by image. Deviances and McFadden's R2 are those
    of the plain likelihood. Association, not cause: only changing a factor shows what it does.

    Raises ``ValueError`` for unknown factors, mentions of one class only, a factor that is constant or a linear combination of
    the others, fewer than two images, or factors that tell the classes apart without error (the odds ratio is then infinite); and
    as ``Mention.factor`` does.
    """
    if not factors or (unknown := set(factors) - set(FACTORS)):
        raise ValueError(
            f"explain: choose factors from {', '.join(FACTORS)}, not {sorted(unknown) if factors else 'none'}."
        )
    y = np.array([row.hallucinated for row in rows], dtype=float)
    if len(set(y.tolist())) < 2:
        raise ValueError(
            "explain: all mentions are of one class (or there are none); true and false mentions are needed."
        )
    images, groups = np.unique([row.image for row in rows], return_inverse=True)
    if len(images) < 2:
        raise ValueError("explain: all mentions are from one image; errors clustered by image need at least two.")
    x = np.array([[row.factor(factor) for factor in factors] for row in rows])
    for factor, spread in zip(factors, np.ptp(x, axis=0), strict=True):
        if spread == 0:
            raise ValueError(f"explain: {factor} is the same in all mentions, so it can explain nothing; leave it out.")
    x = sm.add_constant((x - x.mean(0)) / x.std(0))
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(f"explain: of {', '.join(factors)}, one is a linear combination of the others; leave one out.")
    full = _fit(y, x, groups)
    effects = {}
    for column, factor in enumerate(factors, start=1):
        low, high = np.exp(full.conf_int()[column])
        without = _fit(y, np.delete(x, column, axis=1), groups)
        effects[factor] = Effect(
            odds_ratio=float(np.exp(full.params[column])),
            low=float(low),
            high=float(high),
            deviance=float(2 * (full.llf - without.llf)),
        )
    return Explanation(effects, float(full.prsquared), len(y), len(images))


def _fit(y: np.ndarray, x: np.ndarray, groups: np.ndarray) -> sm.discrete.discrete_model.BinaryResultsWrapper:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelWarning)  # perfect separation, no convergence
        try:
            return sm.Logit(y, x).fit(disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": groups})
        except (ModelWarning, np.linalg.LinAlgError) as error:
            raise ValueError(
                "explain: the factors tell true and false mentions apart (almost) without error, so the regression has no finite "
                "solution; take more mentions or fewer factors."
            ) from error
