"""The card of a trained adapter: what it was made from, how, with which data and by which command, and whom to cite."""

from __future__ import annotations

import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from povid_lib.models.llava import FOLDER
from povid_lib.training.config import POVIDConfig

TITLE = "Aligning Modalities in Vision Large Language Models via Preference Fine-tuning"
PAPER = "2402.11411"
CITATION = """\
@article{zhou2024povid,
  title   = {Aligning Modalities in Vision Large Language Models via Preference Fine-tuning},
  author  = {Zhou, Yiyang and Cui, Chenhang and Rafailov, Rafael and Finn, Chelsea and Yao, Huaxiu},
  journal = {arXiv preprint arXiv:2402.11411},
  year    = {2024}
}"""
_OTHERS = """\
@inproceedings{rafailov2023direct,
  title     = {Direct Preference Optimization: Your Language Model is Secretly a Reward Model},
  author    = {Rafailov, Rafael and Sharma, Archit and Mitchell, Eric and Manning, Christopher D. and Ermon, Stefano
               and Finn, Chelsea},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2023}
}

@software{vonwerra2020trl,
  title = {{TRL: Transformers Reinforcement Learning}},
  author = {von Werra, Leandro and Belkada, Younes and Tunstall, Lewis and others},
  url   = {https://github.com/huggingface/trl},
  year  = {2020}
}"""
_LIBRARIES = ("povid-lib", "trl", "transformers", "peft", "torch", "datasets")


def card(base: str, name: str, settings: POVIDConfig, record: dict[str, Any], data: str, tags: list[str]) -> ModelCard:
    """The card. ``base``: name or folder of the base model. ``record``: the settings that change the result (see
    ``run_folder.record_of``). ``data``: what it was trained on, in a sentence's end."""
    base_name, on_hub = base_of(base)
    head = ModelCardData(
        base_model=base_name if on_hub else None,
        library_name="peft",
        pipeline_tag="image-text-to-text",
        tags=sorted({"generated_from_trainer", *tags}),
    )
    settings_table = "\n".join(f"| `{key}` | `{value}` |" for key, value in sorted(record.items()))
    versions = "\n".join(f"- {library}: {version(library)}" for library in _LIBRARIES)
    return ModelCard(f"""---
{head}
---

# {name}

A LoRA adapter of the language model of {base_name}, trained with POVID ([{TITLE}](https://arxiv.org/abs/{PAPER})).

- Base model: {base_name}
- Method: objective `{settings.objective}` on dispreference `{settings.dispreference}`, reference the base model itself
- Data: {data}
- Command: `{command()}`

It says what it was trained to say about pictures, and may still name what is not there.

## Settings

| Setting | Value |
| --- | --- |
{settings_table}

## Versions

- Python: {platform.python_version()}
{versions}

## Citation

```bibtex
{CITATION}

{_OTHERS}
```
""")


def base_of(name: str) -> tuple[str, bool]:
    """What a card calls the base model, and whether that is a name on the hub. Of a folder what the user wrote, or its name."""
    path = Path(name)
    if not name:
        return "a model without a name", False
    if path.is_dir():
        if path.resolve() == FOLDER.resolve():
            return "the pocket model of povid-lib", False
        return (path.name if path.is_absolute() else path.as_posix()), False
    return name, True


def command() -> str:
    """The command that this process was started with, without the folder where its program lies."""
    if "ipykernel" in sys.modules:
        return "in a notebook"
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv[0] else "in Python"
