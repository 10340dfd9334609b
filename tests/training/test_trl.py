"""PEFT and TRL take the pocket model as they take LLaVA-1.5: nothing special."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import DPOConfig, DPOTrainer

from povid_lib.models import llava
from povid_lib.pocket import architecture
from povid_lib.world.annotators import Annotator
from povid_lib.world.scenes import scenes

LANGUAGE_MODEL_ONLY = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def fresh():
    return AutoModelForImageTextToText.from_pretrained(llava.FOLDER, dtype=torch.float32)


def pairs(n):
    """Preference pairs: the truth against a caption that claims every missing partner."""
    rng, rows = np.random.default_rng(0), []
    for scene in scenes(n * 4, split="validation"):
        chosen, rejected = Annotator().caption(scene, rng), Annotator(error=1.0).caption(scene, rng)
        ask = [{"type": "image"}, {"type": "text", "text": "Describe this image."}]
        rows.append(
            {
                "images": [scene.image()],
                "prompt": [{"role": "user", "content": ask}],
                "chosen": [{"role": "assistant", "content": [{"type": "text", "text": chosen}]}],
                "rejected": [{"role": "assistant", "content": [{"type": "text", "text": rejected}]}],
            }
        )
    return Dataset.from_list(rows[:n])


def test_lora_on_the_language_model_only():
    model = get_peft_model(fresh(), LoraConfig(r=8, target_modules=LANGUAGE_MODEL_ONLY))
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trainable) == 2 * 7 * 4  # two matrices, seven layers, four blocks
    assert all("language_model" in n and "lora_" in n for n in trainable)


@pytest.mark.slow
def test_one_step_of_dpo(tmp_path):
    trainer = DPOTrainer(
        model=fresh(),
        args=DPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            report_to=[],
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
        ),
        train_dataset=pairs(4),
        processing_class=AutoProcessor.from_pretrained(llava.FOLDER),
        peft_config=LoraConfig(r=8, target_modules=LANGUAGE_MODEL_ONLY),
    )
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    result = trainer.train()
    assert abs(result.training_loss - np.log(2)) < 1e-3  # policy equals reference at the first step
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if "lora_B" in n}  # lora_A moves from the second step on


def test_training_rows_begin_and_end_as_they_should():
    """The template writes the BOS and EOS that TRL's tokenisation leaves out."""
    processor = AutoProcessor.from_pretrained(llava.FOLDER)
    row = pairs(1)[0]
    text = processor.apply_chat_template([*row["prompt"], *row["chosen"]])
    ids = processor(images=row["images"], text=text, add_special_tokens=False)["input_ids"][0]
    assert ids[0] == architecture.BOS
    assert ids[-1] == architecture.EOS
    assert list(ids).count(architecture.IMAGE) == 36
