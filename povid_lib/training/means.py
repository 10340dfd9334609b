"""Means over rows of what a loss reports, over all processes: one account for training, another for each evaluation."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from torch import Tensor

from povid_lib.training.losses import Metrics


class Means:
    """Sums and counts since the last ``take``. ``evaluation``: the rows by which the last batch is filled up for several processes
    are left out."""

    def __init__(self, accelerator: Accelerator, evaluation: bool = False):
        self._accelerator, self.evaluation = accelerator, evaluation
        self._begin()

    def _begin(self) -> None:
        self._sums: dict[str, Tensor] = {}  # of each name the sum of its values, and their number
        self._tokens, self._since = 0, time.monotonic()

    def add(self, metrics: Metrics) -> None:
        """Count values (rows,) of each name."""
        for name, values in metrics.items():
            values = values.detach().float()
            if self.evaluation:
                values = self._accelerator.gather_for_metrics(values)
            new = torch.stack([values, torch.ones_like(values)]).sum(1)
            self._sums[name] = self._sums[name] + new if name in self._sums else new

    def count(self, tokens: int) -> None:
        """Count tokens that were read, of this process."""
        self._tokens += tokens

    def take(self) -> dict[str, float]:
        """The mean of each name, and the tokens a second of this process; what was counted is forgotten."""
        found = {}
        for name in sorted(self._sums):
            total, rows = self._accelerator.reduce(self._sums[name], "sum").tolist()
            found[name] = total / rows
        if self._tokens:
            found["tokens_per_second"] = self._tokens / (time.monotonic() - self._since)
        self._begin()
        return found
