"""A LLaVA-1.5 that is real in everything but its weights: what the course meets when MODEL names llava-hf/llava-1.5-7b-hf.

Real are the vocabulary and its merges (see ``llama_tokenizer``), the template, the processor's and the model's settings as
published: 32,064 rows, ``<image>`` 32000, ``<pad>`` 32001, 336 pixels, patches of 14, 576 image tokens, vision layer -2. Small are
the widths and the number of layers, and the weights are drawn by chance, but for the head: it goes from word to word, so that the
answers are short sentences that begin with yes or no, name two objects and end. The picture moves their probabilities, and seldom the words.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from povid_lib.world.objects import NAMES
from tests.support.llama_tokenizer import llama_tokenizer

ROWS, IMAGE, PAD, EOS = 32064, 32000, 32001, 2
TEMPLATE = (  # chat_template.json, without its comments and its marks for training
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
OTHERS = ("person", "car", "dog", "chair", "cat", "horse")  # of COCO, and of one token
_SURE, _SWAYED = 14.0, 14.0  # the head: logits of a word that may come next, and how far picture and question move them
_WORDS = 18  # objects that it can name


def standin_config(width: int = 128, layers: int = 2) -> LlavaConfig:
    """llava-1.5-7b-hf's config.json, but for widths and layers. 4096 and 32 (with 1024 and 24 for the eyes) are the real ones."""
    real = width == 4096
    text = LlamaConfig(
        hidden_size=width, intermediate_size=11008 if real else 3 * width, num_hidden_layers=layers,
        num_attention_heads=width // 128 if real else 4, max_position_embeddings=4096, rms_norm_eps=1e-5, vocab_size=ROWS,
        bos_token_id=1, eos_token_id=EOS, pad_token_id=None,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=1024 if real else 64, intermediate_size=4096 if real else 128, num_hidden_layers=24 if real else 3,
        num_attention_heads=16 if real else 4, image_size=336, patch_size=14, projection_dim=768,
    )  # fmt: skip
    config = LlavaConfig(
        text_config=text, vision_config=vision, image_token_index=IMAGE, image_seq_length=576, vision_feature_layer=-2,
        vision_feature_select_strategy="default", projector_hidden_act="gelu", pad_token_id=PAD, tie_word_embeddings=False,
    )  # fmt: skip
    config.architectures = ["LlavaForConditionalGeneration"]
    return config


def standin_tokenizer() -> PreTrainedTokenizerFast:
    """LLaMA's, with LLaVA's two tokens, padded on the left."""
    tokenizer = llama_tokenizer("<image>", "<pad>")
    tokenizer.padding_side = "left"
    tokenizer.model_max_length = 4096
    return tokenizer


def standin_processor() -> LlavaProcessor:
    """preprocessor_config.json and processor_config.json: the shorter side to 336, the middle of the longer one, CLIP's mean."""
    pictures = CLIPImageProcessor(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, do_center_crop=True, do_convert_rgb=True,
        image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711], resample=3,
    )  # fmt: skip
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=standin_tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def _steps(tokenizer: PreTrainedTokenizerFast) -> list[tuple[int, int, bool]]:
    """Token, a token that may follow it, and whether the picture has a say in that. No way leads back, so every answer ends."""

    def pieces(text: str) -> list[int]:
        return tokenizer.encode(f"a {text}", add_special_tokens=False)[1:]

    def of(text: str) -> int:
        [found] = pieces(text)
        return found

    (comma,), (stop,) = (tokenizer.encode(f"a{mark}", add_special_tokens=False)[1:] for mark in ",.")
    [colon] = tokenizer.encode("T:", add_special_tokens=False)[1:]
    a, joined, one = of("a"), of("and"), of("one")
    steps = [(colon, of(word), True) for word in ("Yes", "No")] + [(of(word), comma, False) for word in ("Yes", "No")]
    steps += [(comma, a, False), (joined, one, False), (stop, EOS, False)]
    words = [pieces(name) for name in dict.fromkeys((*OTHERS, *NAMES))]
    taken = {token for step in steps for token in step[:2]}
    free = [w for w in words if len(w) < 4 and len(set(w)) == len(w)]
    chosen = list[list[int]]()
    for word in (
        sorted(free, key=len)[: _WORDS - 4] + [w for w in free if len(w) > 1][:4]
    ):  # of one token, and of several
        if not taken & set(word):
            chosen.append(word)
            taken |= set(word)
    for number, word in enumerate(chosen):
        before, after = ((a, joined), (one, stop))[number % 2]
        steps += [(before, word[0], True), *((x, y, False) for x, y in pairwise(word))]
        steps.append((word[-1], after, False))
    return steps


@torch.no_grad()
def standin_model(seed: int = 0, width: int = 128, layers: int = 2) -> LlavaForConditionalGeneration:
    """The model in float32."""
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(standin_config(width, layers)).eval()
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "embed_tokens" not in name and "lm_head" not in name:
            weight.normal_(std=weight.shape[-1] ** -0.5)
    for layer in model.model.language_model.layers:  # what was said last is to stay the greatest part
        layer.self_attn.o_proj.weight *= 0.5
        layer.mlp.down_proj.weight *= 0.3
    said = model.get_input_embeddings().weight
    said.normal_()
    said[PAD:] *= 0.01  # as untrained rows are
    head = torch.randn_like(model.lm_head.weight) * width**-0.5 * 0.3
    known = torch.nn.functional.normalize(said, dim=1)
    for one, other, swayed in _steps(standin_tokenizer()):
        head[other] += _SURE * width**-0.5 * known[one]
        if swayed:
            head[other] += _SWAYED * width**-0.5 * torch.nn.functional.normalize(torch.randn(width), dim=0)
    model.lm_head.weight.copy_(head)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=EOS, pad_token_id=PAD)
    return model


def write_standin(folder: Path, seed: int = 0) -> Path:
    """The folder with model and processor, float16 as the published one is, of some 17 MB. The same seed writes the same."""
    model = standin_model(seed)
    model.half().save_pretrained(folder)
    standin_processor().save_pretrained(folder)
    return folder
