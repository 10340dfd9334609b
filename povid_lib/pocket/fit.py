"""The optimiser's loop of the pocket stages: one file a stage, and a run that was killed goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from povid_lib.files.jsonl import replacing
from povid_lib.models import weights

SAVE_EVERY = 200  # steps between resumable states
Batch = Callable[[int], Tensor]  # step -> loss


def fit(stage: str, model: nn.Module, loss_at: Batch, folder: Path, *, steps: int, lr: float, only: str = "") -> None:
    """Minimise ``loss_at(step)`` over ``steps``: AdamW, one-cycle rate up to ``lr``, gradient norm at most 1.

    Saves a resumable state every ``SAVE_EVERY`` steps and, at the end, what it trained as ``<stage>.safetensors``; if that file
    exists, it is loaded instead. Only parameters whose name contains ``only`` are trained.
    """
    done, state = folder / f"{stage}.safetensors", folder / f"{stage}.partial.safetensors"
    params = {n: p for n, p in model.named_parameters() if p.requires_grad and only in n}
    if done.exists():
        weights.fill(model, done, params)
        return
    decayed = [p for p in params.values() if p.ndim > 1]
    plain = [p for p in params.values() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=lr, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1, pct_start=0.1)
    first = _load_state(state, params, optimizer, schedule) if state.exists() else 0
    model.train()
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=stage)
    with bar, open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        for step in bar:
            loss = loss_at(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(params.values()), 1.0)
            optimizer.step()
            schedule.step()
            if (step + 1) % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
                row = {"stage": stage, "step": step + 1, "loss": round(loss.item(), 4), "time": round(time.time(), 1)}
                log.write(json.dumps(row) + "\n")
                log.flush()
            if (step + 1) % SAVE_EVERY == 0:
                _save_state(state, params, optimizer, step + 1)
    with replacing(done) as part:
        save_file({n: p.detach().contiguous() for n, p in params.items()}, part)
    state.unlink(missing_ok=True)


def _save_state(path: Path, params: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {f"value.{n}": p.detach() for n, p in params.items()}
    for name, p in params.items():
        if p in optimizer.state:  # a head whose labels never came has no moments
            tensors |= {f"{k}.{name}": v for k, v in optimizer.state[p].items()}
    tensors["reached"] = torch.tensor(step)
    with replacing(path) as part:  # a kill never leaves half a file
        save_file({k: v.contiguous() for k, v in tensors.items()}, part)


def _load_state(
    path: Path,
    params: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    tensors = weights.read(path, largest=float("inf"))  # step numbers are among them
    missing = [f"value.{name}" for name in params if f"value.{name}" not in tensors]
    weights.refuse(path, weights.name_faults(missing, ()), "Delete the file, and the stage begins again.")
    for name, p in params.items():
        p.data.copy_(tensors[f"value.{name}"])
        if f"exp_avg.{name}" in tensors:
            optimizer.state[p] = {k: tensors[f"{k}.{name}"] for k in ("step", "exp_avg", "exp_avg_sq")}
    step = int(tensors["reached"])
    for _ in range(step):
        schedule.step()
    return step
