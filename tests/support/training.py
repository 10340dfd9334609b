"""What the tests of training share: a LLaVA of seconds, pairs, settings."""

from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration

from povid_lib.data import pair_files
from povid_lib.data.corrupt_text import Offline, pairs
from povid_lib.data.trl_dataset import to_trl
from povid_lib.pocket import architecture
from povid_lib.training.config import POVIDConfig

SETTINGS = {
    "lora_rank": 4,
    "lora_alpha": 8,
    "per_device_train_batch_size": 4,
    "max_steps": 6,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
    "learning_rate": 1e-2,
}


def tiny(processor, seed: int = 0) -> LlavaForConditionalGeneration:
    """An untrained LLaVA that reads the pocket world's pictures, of 0.2 M parameters."""
    torch.manual_seed(seed)
    config = architecture.llava_config(len(processor.tokenizer), width=32, layers=2)
    config.vision_config = architecture.clip_config(len(processor.tokenizer), width=32, layers=3).vision_config
    config.architectures = ["LlavaForConditionalGeneration"]
    return LlavaForConditionalGeneration(config).eval()


def pair_file(folder: Path, n: int = 16, **settings) -> Path:
    path = folder / "pairs.jsonl"
    pair_files.write(path, pairs(n, Offline(**settings)))
    return path


def dataset(folder: Path, n: int = 16, **settings):
    return to_trl(pair_file(folder, n, **settings), cache=folder / "datasets")


def config(folder: Path, **settings) -> POVIDConfig:
    return POVIDConfig.preset("pocket", output_dir=str(folder), **SETTINGS | settings)


def adapters(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" in name}


def move_adapters(model, by: float) -> None:
    """Make the adapters do something: B, which begins at zero, is moved."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p += by
