"""How the pocket model came to be: eyes, prior, join. ``povid pocket train`` runs all three.

(a) **eyes**: the vision tower alone, as in CLIP (pictures against captions), plus supervised heads on the patches (kind,
    colour, size of the object that owns the patch), which stand in for the 400 million pairs that CLIP saw. Its scenes
    are ``mixed``: the eyes know nothing about what goes together.
(b) **prior**: the language model alone, on captions of ``typical`` scenes and on chats about such captions. No picture.
(c) **join**: the projector alone on short captions (**align**), then projector and language model on instruction data
    (**instruct**), last on fewer pictures with an annotator who errs more (**habit**). The vision tower stays frozen, as in
    LLaVA. The annotator of the instruction data errs (see ``texts``).

Every batch follows from ``(seed, stage, step)``, so a run that was stopped goes on exactly where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import CLIPModel, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from povid_lib import pocket
from povid_lib.pocket import BOS, EOS, IMAGE, PAD
from povid_lib.pocket_data import (
    IGNORE,
    answer_weights,
    by_length,
    conversation,
    encode_chat,
    pad,
    patch_labels,
    pixels,
)
from povid_lib.scenes import COLOURS, NAMES, SIZES, World, draw, sample_scene
from povid_lib.texts import DETAILED_PROMPTS, SHORT_PROMPTS, Annotator, Question

STAGES = ("eyes", "prior", "align", "instruct", "habit")
SAVE_EVERY = 200  # steps between resumable states
Batch = Callable[[int], Tensor]  # step -> loss


@dataclass(frozen=True)
class PocketConfig:
    """One recipe. Batch sizes, steps and learning rates are per stage, in the order of ``STAGES``."""

    seed: int = 0
    cooccurrence: float = 1.0  # of the world that the prior and the instruction data come from
    annotator_error: float = 0.9  # in the instruct stage; see texts.Annotator
    habit_error: float = 1.4  # in the habit stage
    habit_cooccurrence: float = 1.0  # of the habit stage's world
    mixed_share: float = 0.2  # share of mixed scenes in the instruction data
    pairs: int = 30_000  # pictures in the instruct stage
    habit_pairs: int = 6_000  # pictures in the habit stage
    batch_sizes: tuple[int, int, int, int, int] = (64, 32, 64, 32, 32)
    steps: tuple[int, int, int, int, int] = (4500, 2000, 200, 4000, 500)
    lr: tuple[float, float, float, float, float] = (1.5e-3, 1.5e-3, 2e-3, 1e-3, 3e-4)

    def __post_init__(self) -> None:
        if not 0 <= self.mixed_share <= 1:
            raise ValueError(f"PocketConfig.mixed_share is {self.mixed_share}; it is a share, from 0 to 1.")
        for name in ("annotator_error", "habit_error"):
            if getattr(self, name) < 0:
                raise ValueError(f"PocketConfig.{name} is {getattr(self, name)}; it must not be negative.")
        if min(self.pairs, self.habit_pairs, *self.batch_sizes, *self.steps) < 1:
            raise ValueError("PocketConfig: pairs, habit_pairs and all of batch_sizes and steps must be at least 1.")
        for strength in (self.cooccurrence, self.habit_cooccurrence):
            World(cooccurrence=strength)  # refuses what is out of range

    def batch(self, stage: str) -> int:
        return self.batch_sizes[STAGES.index(stage)]


def train(config: PocketConfig, folder: Path, eyes_from: Path | None = None) -> Path:
    """Run all stages and write an ordinary LLaVA folder (weights, processor, log). Stages already done are skipped.

    ``eyes_from`` takes stage (a) from another run's folder: the eyes do not depend on the world's co-occurrence.
    Raises ``ValueError`` if ``folder`` holds a run of another config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, config)
    processor = pocket.build_processor()
    tokenizer = processor.tokenizer
    torch.manual_seed(config.seed)
    eyes = Eyes(len(tokenizer))
    model = pocket.build_model(len(tokenizer))
    if eyes_from is None:
        fit("eyes", eyes, lambda step: eyes_loss(eyes, tokenizer, config, step), config, folder)
    else:
        eyes.load_state_dict(load_file(eyes_from / "eyes.safetensors"))
    model.model.vision_tower.load_state_dict(eyes.clip.vision_model.state_dict())
    model.model.vision_tower.requires_grad_(False)
    fit("prior", model, lambda step: prior_loss(model, tokenizer, config, step), config, folder)
    if not (folder / "instruct.safetensors").exists():
        data = InstructionData(model, tokenizer, config, "instruct")
        projector = "multi_modal_projector"
        fit("align", model, lambda step: data.loss(model, step, short=True), config, folder, only=projector)
        fit("instruct", model, lambda step: data.loss(model, step), config, folder)
    else:
        model.load_state_dict(load_file(folder / "instruct.safetensors"), strict=False)
    if not (folder / "habit.safetensors").exists():
        last = InstructionData(model, tokenizer, config, "habit")
        fit("habit", model, lambda step: last.loss(model, step), config, folder)
    else:
        model.load_state_dict(load_file(folder / "habit.safetensors"), strict=False)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _claim(folder: Path, config: PocketConfig) -> None:
    path, text = folder / "pocket_config.json", json.dumps(asdict(config), indent=1)
    if path.exists() and path.read_text() != text:
        raise ValueError(
            f"{folder} holds a run of another config (see {path.name}); choose another folder or remove it."
        )
    path.write_text(text)


def fit(stage: str, model: nn.Module, loss_at: Batch, config: PocketConfig, folder: Path, only: str = "") -> None:
    """Minimise ``loss_at(step)`` over the stage's steps: AdamW, one-cycle rate, gradient norm at most 1.

    Saves a resumable state every ``SAVE_EVERY`` steps and, at the end, what it trained as ``<stage>.safetensors``; if that file
    exists, it is loaded instead.
    Only parameters whose name contains ``only`` are trained.
    """
    done, state = folder / f"{stage}.safetensors", folder / f"{stage}.partial.safetensors"
    params = {n: p for n, p in model.named_parameters() if p.requires_grad and only in n}
    if done.exists():
        model.load_state_dict(load_file(done), strict=False)
        return
    total, rate = config.steps[STAGES.index(stage)], config.lr[STAGES.index(stage)]
    decayed = [p for p in params.values() if p.ndim > 1]
    plain = [p for p in params.values() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total + 1, pct_start=0.1)
    first = _load_state(state, params, optimizer, schedule) if state.exists() else 0
    model.train()
    with (
        tqdm(range(first, total), initial=first, total=total, desc=stage) as bar,
        open(folder / "log.jsonl", "a") as log,
    ):
        for step in bar:
            loss = loss_at(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(params.values()), 1.0)
            optimizer.step()
            schedule.step()
            if (step + 1) % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
                log.write(
                    json.dumps(
                        {"stage": stage, "step": step + 1, "loss": round(loss.item(), 4), "time": round(time.time(), 1)}
                    )
                    + "\n"
                )
                log.flush()
            if (step + 1) % SAVE_EVERY == 0:
                _save_state(state, params, optimizer, step + 1)
    save_file({n: p.detach().contiguous() for n, p in params.items()}, done)
    state.unlink(missing_ok=True)


def _save_state(path: Path, params: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {f"value.{n}": p.detach() for n, p in params.items()}
    for name, p in params.items():
        if p in optimizer.state:  # a head whose labels never came has no moments
            tensors |= {f"{k}.{name}": v for k, v in optimizer.state[p].items()}
    tensors["reached"] = torch.tensor(step)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)  # a kill never leaves half a file


def _load_state(
    path: Path,
    params: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    tensors = load_file(path)
    for name, p in params.items():
        p.data.copy_(tensors[f"value.{name}"])
        if f"exp_avg.{name}" in tensors:
            optimizer.state[p] = {k: tensors[f"{k}.{name}"] for k in ("step", "exp_avg", "exp_avg_sq")}
    step = int(tensors["reached"])
    for _ in range(step):
        schedule.step()
    return step


def _rng(config: PocketConfig, stage: str, step: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, STAGES.index(stage), step])


# --- (a) eyes ----------------------------------------------------------------------------------------------------


class Eyes(nn.Module):
    """A small CLIP and three linear heads on the patch features that LLaVA will read."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.clip = CLIPModel(pocket.clip_config(vocab_size))
        width = self.clip.config.vision_config.hidden_size
        self.heads = nn.ModuleDict(
            {
                "kind": nn.Linear(width, len(NAMES) + 1),
                "colour": nn.Linear(width, len(COLOURS) + 1),
                "size": nn.Linear(width, len(SIZES)),
            }
        )


def eyes_loss(eyes: Eyes, tokenizer: PreTrainedTokenizerFast, config: PocketConfig, step: int) -> Tensor:
    """Contrastive loss against true captions plus the heads' cross-entropies."""
    rng, n = _rng(config, "eyes", step), config.batch("eyes")
    world, author = World("mixed"), Annotator(ordered=0)
    batch = [sample_scene(10_000_000 * config.seed + step * n + i, world) for i in range(n)]
    drawn = [draw(scene) for scene in batch]
    labels = [patch_labels(scene, owner) for scene, (_, owner) in zip(batch, drawn, strict=True)]
    ids = [[BOS, *tokenizer.encode(author.caption(scene, rng))[:150], EOS] for scene in batch]
    tokens, mask = pad(ids, PAD)
    out = eyes.clip(
        input_ids=tokens,
        attention_mask=mask,
        pixel_values=pixels([rgb for rgb, _ in drawn]),
        return_loss=True,
        output_hidden_states=True,
    )
    patches = out.vision_model_output.hidden_states[-2][:, 1:]
    loss = out.loss
    for name, weight in {"kind": 1.0, "colour": 0.5, "size": 0.5}.items():
        logits = eyes.heads[name](patches).flatten(0, 1)
        loss = loss + weight * F.cross_entropy(
            logits, torch.from_numpy(np.concatenate([x[name] for x in labels])), ignore_index=IGNORE
        )
    return loss


# --- (b) prior ---------------------------------------------------------------------------------------------------


def prior_loss(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, config: PocketConfig, step: int
) -> Tensor:
    """Next-token loss on captions, plus the loss on answers in chats where another caption stands for the picture.

    Short captions, in which looking a word up is easy to learn, are asked about existence and number only.
    """
    rng, n = _rng(config, "prior", step), config.batch("prior")
    world, author = World(cooccurrence=config.cooccurrence), Annotator()
    texts, chats = [], []
    for i in range(n):
        scene = sample_scene(10_000_000 * config.seed + step * n + i, world)
        if i % 2:
            texts.append([BOS, *tokenizer.encode(author.caption(scene, rng, detailed=rng.random() < 0.7)), EOS])
            continue
        detailed = rng.random() < 0.5
        asked = conversation(scene, author, rng, turns=9, balanced=True)
        kept = asked if detailed else [q for q in asked if q.kind in ("exist", "count")]
        chats.append(encode_chat(tokenizer, kept, image=False, context=author.caption(scene, rng, detailed)))
    tokens, mask = pad(texts, PAD)
    text_loss = _weighted_loss(model, tokens, mask, mask.float())
    tokens, mask = pad([ids for ids, _ in chats], PAD)
    answers, _ = pad([answer for _, answer in chats], 0)
    return text_loss + _weighted_loss(model, tokens, mask, answer_weights(answers))


def _weighted_loss(model: LlavaForConditionalGeneration, tokens: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Mean next-token loss of text rows (rows, length) under per-token weights of the same shape."""
    hidden = model.model.language_model(input_ids=tokens, attention_mask=mask).last_hidden_state
    kept = weights[:, 1:] > 0
    nll = F.cross_entropy(model.lm_head(hidden[:, :-1][kept]), tokens[:, 1:][kept], reduction="none")
    return (weights[:, 1:][kept] * nll).sum() / weights[:, 1:][kept].sum()


# --- (c) join ----------------------------------------------------------------------------------------------------


class InstructionData:
    """The limited set of pictures, each seen once by the frozen tower, with its captions and conversations as tokens."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        tokenizer: PreTrainedTokenizerFast,
        config: PocketConfig,
        stage: str,
    ) -> None:
        self.config, self.stage = config, stage
        habit = stage == "habit"
        error, pairs = (config.habit_error, config.habit_pairs) if habit else (config.annotator_error, config.pairs)
        typical = World(cooccurrence=config.habit_cooccurrence if habit else config.cooccurrence)
        annotator, truthful = Annotator(error, typical), Annotator(0.0, typical)
        rng = _rng(config, stage, 1_000_000)
        start = 10_000_000 * config.seed + (6_000_000 if habit else 5_000_000)
        features, self.rows, self.short = [], [], []
        model.eval()
        for first in tqdm(range(0, pairs, 250), desc="pictures"):
            batch = []
            for i in range(first, min(first + 250, pairs)):
                world = World("mixed") if rng.random() < config.mixed_share else typical
                batch.append(sample_scene(start + i, world))
            with torch.no_grad():
                hidden = model.model.vision_tower(
                    pixels([draw(s)[0] for s in batch]), output_hidden_states=True
                ).hidden_states
            features.append(hidden[model.config.vision_feature_layer][:, 1:].half())
            for scene in batch:
                detailed = bool(rng.random() < 0.75)
                prompts = DETAILED_PROMPTS if detailed else SHORT_PROMPTS
                caption = Question(
                    "caption", prompts[rng.integers(len(prompts))], annotator.caption(scene, rng, detailed)
                )
                self.rows.append(
                    (encode_chat(tokenizer, [caption]), encode_chat(tokenizer, conversation(scene, annotator, rng)))
                )
                plain = Question("caption", SHORT_PROMPTS[0], truthful.caption(scene, rng, detailed=False))
                self.short.append(encode_chat(tokenizer, [plain]))
        self.features = torch.cat(features)

    def loss(self, model: LlavaForConditionalGeneration, step: int, short: bool = False) -> Tensor:
        """One batch: ``short`` captions, or one half instruction captions and one half conversations.

        A token weighs 1/sqrt(length of its answer), so that one-word answers are learnt beside long captions.
        """
        n = self.config.batch("align" if short else self.stage)
        if short:
            picks = _rng(self.config, "align", step).integers(len(self.short), size=n)
            rows = [self.short[i] for i in picks]
        else:  # pass through the pictures in a new order each time
            steps_per_pass = len(self.rows) // n
            order = _rng(self.config, self.stage, 2_000_000 + step // steps_per_pass).permutation(len(self.rows))
            picks = order[step % steps_per_pass * n :][:n]
            rows = [self.rows[i][(k + step // steps_per_pass) % 2] for k, i in enumerate(picks)]
        total, weight_sum = torch.zeros(()), torch.zeros(())
        for chunk in by_length([ids for ids, _ in rows], 2):
            tokens, mask = pad([rows[i][0] for i in chunk], PAD)
            answers, _ = pad([rows[i][1] for i in chunk], 0)
            embeds = model.get_input_embeddings()(tokens)
            seen = model.model.multi_modal_projector(self.features[picks[chunk]].float())
            embeds = embeds.masked_scatter((tokens == IMAGE)[..., None], seen)
            hidden = model.model.language_model(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
            kept = answers[:, 1:] > 0
            weights = answer_weights(answers)[:, 1:][kept]
            nll = F.cross_entropy(model.lm_head(hidden[:, :-1][kept]), tokens[:, 1:][kept], reduction="none")
            total, weight_sum = total + (weights * nll).sum(), weight_sum + weights.sum()
        return total / weight_sum
