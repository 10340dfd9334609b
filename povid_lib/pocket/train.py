"""How the pocket model came to be: eyes, prior, join. ``povid pocket train`` runs all three.

(a) **eyes**: the vision tower alone, as in CLIP (pictures against captions), plus supervised heads on the patches (kind,
    colour, size, count and cell of the object that owns the patch), which stand in for the 400 million pairs that CLIP
    saw. Its scenes are ``mixed``: the eyes know nothing about what goes together.
(b) **prior**: the language model alone, on captions of ``typical`` scenes and on chats about such captions. No picture.
(c) **join**: the projector alone on short captions (**align**), then projector and language model on instruction data
    (**instruct**), whose annotator errs (see ``captions``). The vision tower stays frozen, as in LLaVA.

Every batch follows from ``(seed, stage, step)``, so a run that was stopped goes on exactly where it was.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import CLIPModel, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from povid_lib.models import llava, weights
from povid_lib.pocket import architecture
from povid_lib.pocket.architecture import BOS, EOS, IMAGE, PAD
from povid_lib.pocket.config import STAGES, PocketConfig
from povid_lib.pocket.data import answer_weights, by_length, conversation, encode_chat, pad, pixels
from povid_lib.pocket.fit import Batch, fit
from povid_lib.pocket.lessons import lessons
from povid_lib.world import worlds
from povid_lib.world.annotators import Annotator
from povid_lib.world.captions import NUMBERS
from povid_lib.world.drawing import COLOURS, SIZES
from povid_lib.world.items import POSITIONS
from povid_lib.world.objects import NAMES
from povid_lib.world.patches import IGNORE, patch_labels
from povid_lib.world.scenes import draw, sample_scene


def train(config: PocketConfig, folder: Path, eyes_from: Path | None = None) -> Path:
    """Run all stages and write an ordinary LLaVA folder (weights, processor, log). Stages already done are skipped.

    ``eyes_from`` takes the eyes from the folder of another run or of a finished model (``llava.FOLDER``): they do not depend on the
    world's co-occurrence.
    Raises ``ValueError`` if ``folder`` holds a run of another config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, config)
    processor = architecture.build_processor(config.edition)
    tokenizer = processor.tokenizer
    torch.manual_seed(config.seed)
    eyes = Eyes(len(tokenizer))
    model = architecture.build_model(len(tokenizer))

    def run(stage: str, module: nn.Module, loss_at: Batch, only: str = "") -> None:
        at = STAGES.index(stage)
        fit(stage, module, loss_at, folder, steps=config.steps[at], lr=config.lr[at], only=only)

    if eyes_from is None:
        run("eyes", eyes, lambda step: eyes_loss(eyes, tokenizer, config, step))
    elif (eyes_from / "eyes.safetensors").is_file():
        weights.fill(eyes, eyes_from / "eyes.safetensors")
    else:
        eyes.clip.vision_model.load_state_dict(llava.load(eyes_from).model.model.vision_tower.state_dict())
    model.model.vision_tower.load_state_dict(eyes.clip.vision_model.state_dict())
    model.model.vision_tower.requires_grad_(False)
    run("prior", model, lambda step: prior_loss(model, tokenizer, config, step))
    if not (folder / "instruct.safetensors").exists():
        data = InstructionData(model, tokenizer, config)
        run("align", model, lambda step: data.loss(model, step, short=True), only="multi_modal_projector")
        run("instruct", model, lambda step: data.loss(model, step))
    else:
        trained = [name for name, p in model.named_parameters() if p.requires_grad]
        weights.fill(model, folder / "instruct.safetensors", trained)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _claim(folder: Path, config: PocketConfig) -> None:
    path, text = folder / "pocket_config.json", json.dumps(asdict(config), indent=1)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{folder} holds a run of another config (see {path.name}); choose another folder or remove it."
        )
    path.write_text(text, encoding="utf-8")


def _rng(config: PocketConfig, stage: str, step: int) -> np.random.Generator:
    return np.random.default_rng([config.seed, STAGES.index(stage), step])


# --- (a) eyes ----------------------------------------------------------------------------------------------------


HEADS = {"kind": 1.0, "colour": 0.5, "size": 0.5, "count": 0.5, "cell": 0.5}  # weight of each head's loss


class Eyes(nn.Module):
    """A small CLIP and five linear heads on the patch features that LLaVA will read."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.clip = CLIPModel(architecture.clip_config(vocab_size))
        width = self.clip.config.vision_config.hidden_size
        self.heads = nn.ModuleDict(
            {
                "kind": nn.Linear(width, len(NAMES) + 1),
                "colour": nn.Linear(width, len(COLOURS) + 1),
                "size": nn.Linear(width, len(SIZES)),
                "count": nn.Linear(width, len(NUMBERS)),
                "cell": nn.Linear(width, len(POSITIONS)),
            }
        )


def eyes_loss(eyes: Eyes, tokenizer: PreTrainedTokenizerFast, config: PocketConfig, step: int) -> Tensor:
    """Contrastive loss against true short captions plus the heads' cross-entropies; what is unseen is not told."""
    rng, n = _rng(config, "eyes", step), config.batch("eyes")
    world, author = worlds.world("mixed", config.edition), Annotator(ordered=0)
    batch = [sample_scene(20_000_000 * config.seed + step * n + i, world) for i in range(n)]
    drawn = [draw(scene) for scene in batch]
    labels = [patch_labels(scene, owner) for scene, (_, owner) in zip(batch, drawn, strict=True)]
    ids = [[BOS, *tokenizer.encode(author.caption(scene.shown, rng, detailed=False)), EOS] for scene in batch]
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
    for name, weight in HEADS.items():
        logits = eyes.heads[name](patches).flatten(0, 1)
        loss = loss + weight * F.cross_entropy(
            logits, torch.from_numpy(np.concatenate([x[name] for x in labels])), ignore_index=IGNORE
        )
    return loss


# --- (b) prior ---------------------------------------------------------------------------------------------------


def prior_loss(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, config: PocketConfig, step: int
) -> Tensor:
    """Next-token loss on captions and on chats in which another caption stands for the picture, that caption included.

    Most captions are short: there what goes together is learnt from the fewest tokens. Chats about short captions, in which
    looking a word up is easy to learn, are asked about existence and number only.
    """
    rng, n = _rng(config, "prior", step), config.batch("prior")
    world = worlds.world(edition=config.edition, cooccurrence=config.cooccurrence)
    author = Annotator(world=world, together=config.edition != "first")
    first, rows = 20_000_000 * config.seed + step * 2 * n, []
    for i in range(n):  # captions, one in eight detailed
        caption = author.caption(sample_scene(first + i, world), rng, detailed=i % 8 == 0)
        ids = [BOS, *tokenizer.encode(caption), EOS]
        rows.append((ids, [0, *[1] * (len(ids) - 1)]))
    for i in range(n // 2):
        scene, detailed = sample_scene(first + n + i, world), rng.random() < 0.5
        asked = [q for q in conversation(scene, author, rng, turns=8) if detailed or q.kind in ("exist", "count")]
        rows.append(encode_chat(tokenizer, asked, context=author.caption(scene, rng, detailed)))
    total, weight_sum = torch.zeros(()), torch.zeros(())
    for chunk in by_length([ids for ids, _ in rows], 3):
        tokens, mask = pad([rows[i][0] for i in chunk], PAD)
        weights = answer_weights(pad([rows[i][1] for i in chunk], 0)[0])
        hidden = model.model.language_model(input_ids=tokens, attention_mask=mask).last_hidden_state
        part, weight = _weighted_nll(model, hidden, tokens, weights)
        total, weight_sum = total + part, weight_sum + weight
    return total / weight_sum


def _weighted_nll(
    model: LlavaForConditionalGeneration, hidden: Tensor, tokens: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums of the weighted next-token losses and of the weights. ``tokens``, ``weights``: (rows, length)."""
    kept = weights[:, 1:] > 0
    nll = F.cross_entropy(model.lm_head(hidden[:, :-1][kept]), tokens[:, 1:][kept], reduction="none")
    return (weights[:, 1:][kept] * nll).sum(), weights[:, 1:][kept].sum()


# --- (c) join ----------------------------------------------------------------------------------------------------


class InstructionData:
    """The limited set of pictures, each seen once by the frozen tower, with its captions and conversations as tokens."""

    def __init__(
        self, model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, config: PocketConfig
    ) -> None:
        self.config = config
        features, self.rows, self.short = [], [], []
        model.eval()
        taught = iter(tqdm(lessons(config), desc="pictures", total=config.pairs))
        while batch := list(itertools.islice(taught, 250)):
            with torch.no_grad():
                hidden = model.model.vision_tower(
                    pixels([draw(lesson.scene)[0] for lesson in batch]), output_hidden_states=True
                ).hidden_states
            features.append(hidden[model.config.vision_feature_layer][:, 1:].half())
            for lesson in batch:
                self.rows.append((encode_chat(tokenizer, [lesson.caption]), encode_chat(tokenizer, lesson.talk)))
                self.short.append(encode_chat(tokenizer, [lesson.short]))
        self.features = torch.cat(features)

    def loss(self, model: LlavaForConditionalGeneration, step: int, short: bool = False) -> Tensor:
        """One batch: ``short`` captions, or one half instruction captions and one half conversations.

        A token weighs 1/sqrt(length of its answer), so that one-word answers are learnt beside long captions.
        """
        n = self.config.batch("align" if short else "instruct")
        if short:
            picks = _rng(self.config, "align", step).integers(len(self.short), size=n)
            rows = [self.short[i] for i in picks]
        else:  # pass through the pictures in a new order each time
            steps_per_pass = len(self.rows) // n
            order = _rng(self.config, "instruct", 2_000_000 + step // steps_per_pass).permutation(len(self.rows))
            picks = order[step % steps_per_pass * n :][:n]
            rows = [self.rows[i][self._talks(k, step // steps_per_pass)] for k, i in enumerate(picks)]
        total, weight_sum = torch.zeros(()), torch.zeros(())
        for chunk in by_length([ids for ids, _ in rows], 2):
            tokens, mask = pad([rows[i][0] for i in chunk], PAD)
            answers, _ = pad([rows[i][1] for i in chunk], 0)
            embeds = model.get_input_embeddings()(tokens)
            seen = model.model.multi_modal_projector(self.features[picks[chunk]].float())
            embeds = embeds.masked_scatter((tokens == IMAGE)[..., None], seen)
            hidden = model.model.language_model(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
            part, weight = _weighted_nll(model, hidden, tokens, answer_weights(answers))
            total, weight_sum = total + part, weight_sum + weight
        return total / weight_sum

    def _talks(self, at: int, passed: int) -> bool:
        """Whether the row at this place of a batch is a conversation: spread evenly, and others on the next pass."""
        share = self.config.talk_share
        return int((at + passed + 1) * share) > int((at + passed) * share)
