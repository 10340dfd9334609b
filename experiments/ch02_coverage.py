"""How often a 95% interval holds the truth, and how often a p-value below .05 is a false alarm: before and after 27 November 2026.

    python experiments/ch02_coverage.py

Simulated pictures whose logits spread by 1 around a known rate. "before": the percentile bootstrap of pictures (2,000 resamples;
with several trainings the pigeonhole bootstrap) and the permutation test of the trainings' means over pictures (2,000 exchanges;
the study had 10,000). "after": ``povid_lib.metrics.stats``. Some six minutes on one core.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from povid_lib.files import results
from povid_lib.metrics import stats

CONFIG = {
    "rates": [0.02, 0.05, 0.5],
    "pictures": [20, 50, 100, 500],
    "answers": [1, 4],  # about one picture
    "trainings": [2, 3, 5],
    "seed_spread": [0.0, 0.3, 0.6],  # in logits
    "crossed_pictures": [50, 200],
    "samples": 1000,
    "crossed_samples": 400,
    "resamples": 2000,
}
NODES = norm.ppf((np.arange(4000) + 0.5) / 4000)


def sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def middle(rate: float, spread: float) -> float:
    """The logit around which pictures must lie so that their mean probability is ``rate``."""
    return float(brentq(lambda a: sigmoid(a + spread * NODES).mean() - rate, -30, 30))


def over(top: NDArray, bottom: NDArray) -> NDArray:
    return top / np.maximum(bottom, 1e-12)  # as before: a resample without any denominator counted as 0


class Before:
    """The intervals and p-values of before, for one number of pictures and trainings; the draws are the same for all samples."""

    def __init__(self, pictures: int, trainings: int = 1) -> None:
        rng, n = np.random.default_rng(0), CONFIG["resamples"]
        self.pictures = rng.multinomial(pictures, [1 / pictures] * pictures, size=n)
        self.trainings = [rng.multinomial(trainings, [1 / trainings] * trainings, size=n) for _ in range(2)]
        self.exchanged = rng.random((n, pictures)) < 0.5

    def drawn(self, top: NDArray, bottom: NDArray, which: int = 0) -> NDArray:
        sums = ((self.trainings[which] @ part * self.pictures).sum(1) for part in (top, bottom))
        return over(*sums)

    def holds(self, drawn: NDArray, truth: float) -> bool:
        low, high = np.quantile(drawn, [0.025, 0.975])
        return bool(low <= truth <= high)

    def p_value(self, first: NDArray, second: NDArray) -> float:
        gain = second.mean(0) - first.mean(0)
        found = np.where(self.exchanged, -gain, gain).mean(1)
        far = abs(gain.mean()) * (1 - 1e-14)
        more, less = ((side >= far).sum() + 1 for side in (found, -found))
        return min(1.0, 2 * min(more, less) / (len(found) + 1))


def shares() -> Iterator[dict[str, float]]:
    """Coverage of ``ratio``."""
    for n in CONFIG["pictures"]:
        old = Before(n)
        for answers in CONFIG["answers"]:
            for rate in CONFIG["rates"]:
                rng, centre, held = np.random.default_rng([n, answers]), middle(rate, 1.0), []
                for _ in range(CONFIG["samples"]):
                    bottom = np.ones(n) if answers == 1 else rng.integers(1, 2 * answers, n).astype(float)
                    top = rng.binomial(bottom.astype(int), sigmoid(centre + rng.normal(size=n))).astype(float)
                    new = stats.ratio(top.tolist(), bottom.tolist())
                    held.append((old.holds(old.drawn(top[None], bottom[None]), rate), new.low <= rate <= new.high))
                before, after = np.mean(held, 0).tolist()
                yield {"pictures": n, "answers": answers, "rate": rate, "before": before, "after": after}


def trainings() -> Iterator[dict[str, float]]:
    """Coverage of ``crossed_ratio``, and of ``crossed_compare`` coverage and false alarms, where two methods are equal."""
    for n in CONFIG["crossed_pictures"]:
        for runs in CONFIG["trainings"]:
            old = Before(n, runs)
            for spread in CONFIG["seed_spread"]:
                for rate in CONFIG["rates"]:
                    rng, centre = np.random.default_rng([n, runs]), middle(rate, float(np.hypot(1.0, spread)))
                    held = [crossed(rng, old, centre, rate, n, runs, spread) for _ in range(CONFIG["crossed_samples"])]
                    names = ("ratio_before", "ratio_after", "difference_before", "difference_after")
                    names += ("alarms_before", "alarms_after", "alarms_01_before", "alarms_01_after")
                    row = dict(zip(names, np.mean(held, 0).tolist(), strict=True))
                    yield {"pictures": n, "trainings": runs, "seed_spread": spread, "rate": rate, **row}


def crossed(
    rng: np.random.Generator, old: Before, centre: float, rate: float, n: int, runs: int, spread: float
) -> tuple[bool, ...]:
    pictures = rng.normal(size=n)
    tops = []
    for _ in range(2):
        hits = sigmoid(centre + pictures + spread * rng.normal(size=(runs, 1)))
        tops.append((rng.random((runs, n)) < hits).astype(float))
    ones = np.ones((runs, n))
    new, change = stats.crossed_ratio(tops[0], ones), stats.crossed_compare((tops[0], ones), (tops[1], ones))
    drawn = old.drawn(tops[0], ones, 0), old.drawn(tops[1], ones, 1)
    p = old.p_value(*tops), change.p_value
    return (
        *(old.holds(drawn[0], rate), new.low <= rate <= new.high),
        *(old.holds(drawn[1] - drawn[0], 0), change.difference.low <= 0 <= change.difference.high),
        *(x <= 0.05 for x in p),
        *(x <= 0.01 for x in p),
    )


def main() -> None:
    start = time.time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of two trainings, which are in the table to show why
        data = {"shares": list(shares()), "trainings": list(trainings())}
    results.save("coverage", data, CONFIG, time.time() - start, code=["experiments.ch02_coverage"])
    for name, rows in data.items():
        print(name)
        for row in rows:
            print("  ".join(f"{key} {value:g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
