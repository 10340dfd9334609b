"""What the pocket model is made of: tokenizer, processor, architecture. ``pocket.train`` makes its weights.

The result is an ordinary ``LlavaForConditionalGeneration`` with an ordinary ``LlavaProcessor``: whatever is written for it
runs on LLaVA-1.5 unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from povid_lib.world.annotators import Annotator
from povid_lib.world.captions import DETAILED_PROMPTS, SHORT_PROMPTS, SYNONYMS
from povid_lib.world.items import POSITIONS, SIDE
from povid_lib.world.objects import CONTEXTS, KINDS
from povid_lib.world.patches import PATCH
from povid_lib.world.questions import attribute_questions, exist_question, place_question
from povid_lib.world.scenes import scenes
from povid_lib.world.worlds import EDITION, World

IMAGE_TOKENS = (SIDE // PATCH) ** 2
SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
PAD, BOS, EOS, IMAGE = range(4)
# LLaVA-1.5's wording ("USER: <image>\n... ASSISTANT: ...") with the <s> and </s> that its published template leaves out.
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' if loop.first else ' USER: ' }}"
    "{% else %}{{ ' ASSISTANT: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)


def _corpus(edition: str, n: int = 3000) -> Iterator[str]:
    """Text in which every word of the world occurs; the tokenizer is learnt from it."""
    rng = np.random.default_rng(7)
    author = Annotator(together=edition != "first")
    yield from (*DETAILED_PROMPTS, *SHORT_PROMPTS)
    for scene in scenes(n, World("mixed")):
        yield author.caption(scene, rng)
        yield author.caption(scene, rng, detailed=False)
        for question in [*attribute_questions(scene, rng), *(exist_question(x, True, rng) for x in scene.names)]:
            yield f"USER: {question.prompt} ASSISTANT: {question.answer}"
    for scene in scenes(300, World()):
        if place := place_question(scene):
            yield f"USER: {place.prompt} ASSISTANT: {place.answer}"
    words = [w for kind in KINDS.values() for w in (kind.name, kind.plural or kind.name)]
    words += [w for pair in SYNONYMS.values() for w in pair]
    for word in [*words, *CONTEXTS, *POSITIONS]:
        yield f" {word}. {word.capitalize()} {word}," * 20


def build_tokenizer(edition: str = EDITION) -> PreTrainedTokenizerFast:
    """A byte-level BPE whose merges turn every word of the world into one token; any other text falls back to bytes."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        _corpus(edition),
        trainers.BpeTrainer(
            vocab_size=2000,  # more than the corpus can fill: merging stops when every word is whole
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def build_processor(edition: str = EDITION) -> LlavaProcessor:
    """Pictures are scaled to 96 x 96 and to [-1, 1]; the prompt's ``<image>`` becomes 36 image tokens."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"height": SIDE, "width": SIDE},
            do_center_crop=False,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        ),
        tokenizer=build_tokenizer(edition),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def clip_config(vocab_size: int, width: int = 160, layers: int = 5) -> CLIPConfig:
    """The contrastive model of stage (a): the vision tower that LLaVA will use, and a small text tower."""
    vision = CLIPVisionConfig(
        image_size=SIDE, patch_size=PATCH, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=layers, num_attention_heads=width // 32, projection_dim=128,
    )  # fmt: skip
    text = CLIPTextConfig(
        vocab_size=vocab_size, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=160, projection_dim=128, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
    )  # fmt: skip
    return CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=128)


def llava_config(vocab_size: int, width: int = 192, layers: int = 4) -> LlavaConfig:
    """The pocket LLaVA: like LLaVA-1.5 it reads the vision tower's last layer but one, without the class token."""
    text = LlamaConfig(
        vocab_size=vocab_size, hidden_size=width, intermediate_size=width * 8 // 3, num_hidden_layers=layers,
        num_attention_heads=width // 32, num_key_value_heads=width // 32, max_position_embeddings=512,
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, tie_word_embeddings=True,
        initializer_range=0.08,  # about 1/sqrt(width): with Llama's 0.02 so narrow a model learns to look words up far later
    )  # fmt: skip
    return LlavaConfig(
        vision_config=clip_config(vocab_size).vision_config,
        text_config=text,
        image_token_index=IMAGE,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
        povid_pocket=True,  # by which `VLM.is_pocket` knows it, and what was trained from it
    )  # fmt: skip


def build_model(vocab_size: int) -> LlavaForConditionalGeneration:
    """An untrained pocket model; seed torch before calling it."""
    model = LlavaForConditionalGeneration(llava_config(vocab_size))
    model.generation_config.update(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS, do_sample=False)
    return model
