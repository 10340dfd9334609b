"""Loading a LLaVA, the pocket one or a real one, and what it reads: prompt and batch. One implementation for both scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from PIL import Image
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoProcessor,
    BatchFeature,
    BitsAndBytesConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from povid_lib.models import weights
from povid_lib.models.chat_template import prompt_text

FOLDER = Path(__file__).parent / "pocket_model"  # the shipped weights
TUNED = Path(__file__).parent / "pocket_povid"  # an adapter for them, trained by recipes/pocket.yaml


@dataclass(frozen=True)
class VLM:
    """A model with its processor. ``name`` is what was asked for: "pocket", a hub id or a folder. ``rows``: how many it reads or
    answers at once where nothing else is said, which is what its machine has room for (see ``models.memory``)."""

    name: str
    model: LlavaForConditionalGeneration
    processor: LlavaProcessor
    four_bit: bool = False
    rows: int = 64

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def is_pocket(self) -> bool:
        """Whether it reads and speaks the pocket world's language."""
        return says_pocket(self.model.config)

    @property
    def side(self) -> int:
        """Patches along a side of the picture: 6 for the pocket model, 24 for LLaVA-1.5."""
        eyes = self.model.config.vision_config
        return int(eyes.image_size // eyes.patch_size)

    @property
    def image_tokens(self) -> int:
        """Tokens that a picture takes in the prompt: one for each patch."""
        return self.side**2


def load(
    name: str | Path = "pocket",
    device: str | None = None,
    dtype: torch.dtype | Literal["auto"] | None = None,
    four_bit: bool = False,
    rows: int = 64,
) -> VLM:
    """Load a LLaVA for inference.

    ``name``: "pocket", a folder, or a hub id such as "llava-hf/llava-1.5-7b-hf". ``device``: default the GPU if there is one.
    ``dtype``: default float32 on the CPU, see ``gpu_dtype`` on a GPU; "auto" as the file has it. ``four_bit``: NF4, on a GPU only.
    ``rows``: see ``VLM``.

    Raises ``FileNotFoundError`` if the model cannot be had (no such folder, or not on this machine and no network), and
    ``ValueError`` if it is not a LLaVA of the 1.5 family, its files are damaged or its weights not whole (see ``weights``), or
    4-bit is asked for without a GPU or without bitsandbytes, or ``rows`` is below 1.
    """
    if rows < 1:
        raise ValueError(f"load: rows is {rows}; a model reads one row at once, or more.")
    where, device = _where(name), device or ("cuda" if torch.cuda.is_available() else "cpu")
    if four_bit:
        check_four_bit(device)
    dtype = dtype or (torch.float32 if device == "cpu" else gpu_dtype())
    read_config(name)
    model = weights.load_model(
        where,
        dtype=dtype,
        device_map=None if device == "cpu" else device,  # DeepSpeed's ZeRO-3 refuses any device map
        quantization_config=BitsAndBytesConfig(**four_bit_settings(dtype)) if four_bit else None,
    )
    return VLM(str(name), model.eval(), load_processor(where), four_bit, rows)


def _where(name: str | Path) -> str:
    return str(FOLDER if name == "pocket" else name)


def read_config(name: str | Path = "pocket") -> LlavaConfig:
    """A model's settings, before any weights are loaded. Raises as ``load`` does."""
    where = _where(name)
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        if (Path(where) / "config.json").is_file():
            raise ValueError(f"{where}/config.json cannot be read ({error}); copy it again.") from error
        raise FileNotFoundError(
            f"The model {str(name)!r} cannot be had: it is neither a folder with a config.json nor, as far as this machine "
            "can see, a model on the hub. Check the name; with no network, download it first or use load('pocket')."
        ) from error
    if config.model_type != "llava":
        raise ValueError(
            f"{str(name)!r} is of type {config.model_type!r}; this library handles LLaVA-1.5 models (type 'llava') only, "
            "for example 'pocket' or 'llava-hf/llava-1.5-7b-hf'."
        )
    return config


def says_pocket(config: LlavaConfig) -> bool:
    """Whether a model of these settings reads and speaks the pocket world's language (``pocket.architecture`` writes it there)."""
    return bool(getattr(config, "povid_pocket", False))


def gpu_dtype() -> torch.dtype:
    """bfloat16 where the GPU computes in it, float16 on older ones such as T4 and V100."""
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def check_four_bit(device: str = "cuda") -> None:
    """Raises ``ValueError`` where no model can be loaded in four bits: on a CPU, without a GPU, without bitsandbytes."""
    if device == "cpu" or not torch.cuda.is_available():
        raise ValueError(
            "four_bit needs a GPU, and there is none here or the CPU is asked for: bitsandbytes quantises there only. Leave it out "
            "on a CPU (in a recipe: four_bit: false)."
        )
    if find_spec("bitsandbytes") is None:
        raise ValueError("four_bit needs bitsandbytes, which is not installed; pip install 'povid-lib[gpu]'.")


def four_bit_settings(dtype: torch.dtype | str) -> dict[str, Any]:
    """What bitsandbytes is told: NF4 for the language model's layers, computed in ``dtype`` (in bitsandbytes' own default, float32,
    it is several times slower), and eyes, projector and head left whole."""
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": gpu_dtype() if isinstance(dtype, str) else dtype,
        "bnb_4bit_use_double_quant": True,
        "llm_int8_skip_modules": [".*vision_tower", ".*multi_modal_projector", "lm_head"],
    }


def load_processor(where: str) -> LlavaProcessor:
    """The processor of a folder or hub id. Raises ``ValueError`` if there is none, or its files are damaged."""
    remedy = "give a folder with the processor beside the weights, as save_pretrained writes both"
    try:
        processor = AutoProcessor.from_pretrained(where, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare ones
        raise ValueError(f"The processor of {where!r} cannot be read ({error}); {remedy}.") from error
    if not isinstance(processor, LlavaProcessor):
        raise ValueError(f"The processor of {where!r} is a {type(processor).__name__}, no LlavaProcessor; {remedy}.")
    return processor


def load_tuned(name: str | Path = "pocket") -> VLM:
    """The pocket model after POVID: the shipped adapter, merged. ``pocket_povid/README.md`` says how it was made.

    On the CPU in float32, as the pocket model is meant. ``name``: the model that it is to be compared with. A run of your own is
    loaded by its folder, see ``load``. Raises ``ValueError`` if ``name`` is another model, which this adapter does not belong to.
    """
    if name != "pocket":
        raise ValueError(
            f"The shipped adapter belongs to the pocket model, and not to {str(name)!r}, which cannot be compared with it; load "
            "the merged model of a training of yours by its folder (in chapter 10: TUNED)."
        )
    before = load("pocket", device="cpu")
    tuned = weights.merged(weights.add_adapter(before.model, TUNED))
    return VLM("pocket, tuned", tuned, before.processor)


def check_tuned(before: VLM, after: VLM) -> None:
    """Raises ``ValueError`` unless ``after`` can have been trained from ``before``: the eyes, which no training here changes, are
    equal to the bit, and the embeddings have one shape.
    """
    sizes = [vlm.model.get_input_embeddings().weight.shape for vlm in (before, after)]
    towers = [vlm.model.model.vision_tower.state_dict() for vlm in (before, after)]
    alike = sizes[0] == sizes[1] and towers[0].keys() == towers[1].keys()
    if not alike or not all(torch.equal(value.cpu(), towers[1][name].cpu()) for name, value in towers[0].items()):
        raise ValueError(
            f"{after.name!r} was not trained from {before.name!r}: their eyes or sizes differ. Compare a model with what a "
            "training made of it (in chapter 10: MODEL and TUNED)."
        )


def chat(vlm: VLM, question: str, image: bool = True) -> str:
    """The prompt for one question in the model's own template, up to and including "ASSISTANT:"."""
    return prompt_text(vlm.processor, question, image)


def encode(vlm: VLM, images: Sequence[Image.Image] | None, texts: Sequence[str]) -> BatchFeature:
    """Prompts (see ``chat``) and pictures as a left-padded batch on the model's device.

    Returns ``input_ids`` and ``attention_mask``, int64 (rows, length), and with images ``pixel_values`` (rows, 3, height, width).
    Raises ``ValueError`` if pictures and prompts differ in number, or a row does not begin with exactly one BOS token.
    """
    if images is not None and len(images) != len(texts):
        raise ValueError(f"{len(images)} pictures for {len(texts)} prompts: one picture for each is needed.")
    vlm.processor.tokenizer.padding_side = "left"
    batch = vlm.processor(
        images=list(images) if images is not None else None, text=list(texts), padding=True, return_tensors="pt"
    )
    starts = (batch["input_ids"] == vlm.processor.tokenizer.bos_token_id).sum(1)
    if not bool((starts == 1).all()):
        raise ValueError(
            f"Rows hold {starts.tolist()} BOS tokens; the template and the tokenizer must add one between them."
        )
    return batch.to(vlm.device, dtype=vlm.model.dtype)


def image_span(vlm: VLM, input_ids: Tensor) -> slice:
    """Where the image tokens lie in one row of ids, int64 (length,). Raises ``ValueError`` if there are none."""
    where = (input_ids == vlm.model.config.image_token_id).nonzero().flatten()
    if len(where) == 0:
        raise ValueError("This row holds no image tokens: its prompt was made without a picture.")
    return slice(int(where[0]), int(where[-1]) + 1)
