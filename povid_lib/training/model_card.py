"""The card of a trained adapter, and of what is made of it: base, method, data, command, and what was measured."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from povid_lib.metrics.stats import Estimate
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
MEASURED = "## Measured"
_NOT_MEASURED = (
    "Nothing yet. `povid evaluate --model FOLDER` measures; `povid_lib.training.model_card.add_measured` writes it."
)
_HEAD = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)
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

{MEASURED}

{_NOT_MEASURED}

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
    if name == "pocket" or (path.is_dir() and path.resolve() == FOLDER.resolve()):
        return "the pocket model of povid-lib", False
    if path.is_dir():
        return (path.name if path.is_absolute() else path.as_posix()), False
    return name, True


def command() -> str:
    """The command that this process was started with, without the folder where its program lies."""
    if "ipykernel" in sys.modules:
        return "in a notebook"
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv[0] else "in Python"


def derived(base: str, name: str, adapters: Sequence[Path], merged: bool) -> ModelCard:
    """The card of what was made from trained adapters: merged weights, or one adapter of the ``base``. It holds the adapters' own
    cards, with base, method, data and command of each, as far as they have one."""
    base_name, on_hub = base_of(base)
    head = ModelCardData(
        base_model=base_name if on_hub else None,
        library_name="transformers" if merged else "peft",
        pipeline_tag="image-text-to-text",
        tags=["povid"],
    )
    made = "The weights of" if merged else "One LoRA adapter for"
    how = "with the adapter below added" if merged else "the sum of the adapters below, in the order of their trainings"
    parts = "\n\n".join(f"## Training {i}\n\n{_of_adapter(adapter)}" for i, adapter in enumerate(adapters, 1))
    return ModelCard(f"""---
{head}
---

# {name}

{made} {base_name}: {how}.

It says what it was trained to say about pictures, and may still name what is not there.

{MEASURED}

{_NOT_MEASURED}

{parts}
""")


def _of_adapter(adapter: Path) -> str:
    """An adapter's own card without its head, its headings two levels lower."""
    path = adapter / "README.md"
    text = _HEAD.sub("", path.read_text(encoding="utf-8")).strip() if path.is_file() else ""
    if not text or "[More Information Needed]" in text:  # PEFT's own form, which nobody has filled in
        return "No card came with this adapter: its data and its command are not known."
    return re.sub(r"^#", "###", text, flags=re.MULTILINE)


def add_measured(folder: str | Path, on: str, values: Mapping[str, Estimate]) -> None:
    """Write figures into the card in a folder, in the place of what is said there so far. ``on``: on which pictures and by which
    prompt, in a sentence's end. ``values``: measure -> its estimate.

    Raises ``ValueError`` if the folder holds no card with that section, or there is nothing to write.
    """
    path = Path(folder) / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if MEASURED not in text:
        raise ValueError(
            f"{path} is no card of povid-lib: it has no section {MEASURED!r}. Write the folder by `povid merge`."
        )
    if not values:
        raise ValueError("add_measured: values is empty; give a measure and its estimate.")
    before, after = text.split(f"{MEASURED}\n", 1)
    rest = re.search(r"^## ", after, re.MULTILINE)
    rows = "\n".join(
        f"| {name} | {value.value:.3f} | {value.low:.3f} to {value.high:.3f} | {value.n} |"
        for name, value in values.items()
    )
    table = f"\nOn {on}.\n\n| Measure | Value | 95% interval | Pictures |\n| --- | --- | --- | --- |\n{rows}\n\n"
    path.write_text(f"{before}{MEASURED}\n{table}{after[rest.start() :] if rest else ''}", encoding="utf-8")
