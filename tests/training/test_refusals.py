"""What training refuses: a plain error with the thing, the fault and the remedy, before anything is computed or written."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset, List, concatenate_datasets
from datasets import Image as PictureColumn
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor, LlamaConfig, LlamaForCausalLM

from povid_lib.data import pair_files
from povid_lib.data.pairs import Pair
from povid_lib.data.trl_dataset import to_trl
from povid_lib.training import checks, losses, merging, reference_cache, run_folder
from povid_lib.training import recipe as recipes
from povid_lib.training.collator import PairCollator
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig
from povid_lib.training.losses import Logps
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training


@dataclass
class World:
    """What a case may use: a folder of its own, data, the pocket model's processor (a copy), a fresh small model."""

    folder: Path
    data: Any
    processor: Any
    model: Any
    base: Path

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def trainer(self, model: Any = None, data: Any = None, **settings: Any) -> POVIDTrainer:
        found = training.config(self.out, **settings)
        return POVIDTrainer(model or self.model, found, self.data if data is None else data, self.processor)

    def rows(self, *changes: dict[str, Any]) -> Any:
        """The data with changes to its first rows."""
        plain = [self.data.with_format(None)[at] for at in range(len(self.data))]
        for at, change in enumerate(changes):
            plain[at] = plain[at] | change
        return Dataset.from_list(plain).with_transform(self.data.format["format_kwargs"]["transform"])

    def recipe(self, text: str) -> recipes.Recipe:
        path = self.folder / "recipe.yaml"
        path.write_text(text)
        return recipes.read_recipe(path)


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _attention(w: World) -> Any:
    w.model.config.text_config._attn_implementation = "eager"
    return w.trainer()


def _dropout(w: World) -> Any:
    w.model.config.text_config.attention_dropout = 0.1
    return w.trainer()


def _eyes_dropout(w: World) -> Any:
    w.model.config.vision_config.attention_dropout = 0.2
    return w.trainer()


def _few_places(w: World) -> Any:
    w.model.config.text_config.max_position_embeddings = 40
    return w.trainer(max_length=None)


def _concatenated(w: World) -> Any:
    """Which loses the way in which each of them opens its pictures."""
    other = training.dataset(w.folder, 4, seed=7)
    return w.trainer(data=concatenate_datasets([w.data, other]))


def _mixed(w: World) -> Any:
    w.model.model.language_model.layers[0].to(torch.bfloat16)
    return w.trainer()


def _broken_weight(w: World) -> Any:
    w.model.lm_head.weight.data[0, 0] = float("nan")
    return w.trainer()


def _sharded(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_FSDP", "true")
        return checks.check(w.model, training.config(w.folder / "new"), w.data, w.processor, PairCollator(w.processor))


def _processor(name: str, value: Any) -> Callable[[World], Any]:
    def act(w: World) -> Any:
        setattr(w.processor, name, value)
        return w.trainer()

    return act


def _other_run(w: World) -> Any:
    w.trainer(beta1=0.05)
    run_folder.write_record(training.config(w.out, beta1=0.05))
    return w.trainer(beta1=0.07)


def _resumed(change: Callable[[World], dict[str, Any]], **settings: Any) -> Callable[[World], Any]:
    """A second run in the folder of a first, with something else."""

    def act(w: World) -> Any:
        first = w.trainer()
        run_folder.write_record(first.args, first._record)
        w.model = training.tiny(w.processor)
        return w.trainer(**change(w), **settings)

    return act


def _swapped(w: World) -> dict[str, Any]:
    row = w.data.with_format(None)[0]
    return {"data": w.rows({"chosen": row["rejected"], "rejected": row["chosen"]})}


def _other_base(w: World) -> dict[str, Any]:
    with torch.no_grad():
        w.model.lm_head.weight *= 1.5
    return {}


def _edited_pairs(w: World) -> Any:
    pairs = training.pair_file(w.folder, 4)
    recipe = recipes.Recipe(out=str(w.out), model=str(w.base), pairs=str(pairs))
    recipes.prepare(recipe)
    recipes.prepare(recipe)
    pairs.unlink()
    training.pair_file(w.folder, 4, seed=8)
    return recipes.prepare(recipe)


def _edited_model(w: World) -> Any:
    recipe = recipes.Recipe(out=str(w.out), model=str(w.folder / "m"), pairs=str(training.pair_file(w.folder, 4)))
    w.model.save_pretrained(w.folder / "m")
    recipes.prepare(recipe)
    training.tiny(w.processor, seed=3).save_pretrained(w.folder / "m")
    return recipes.prepare(recipe)


def _photos(w: World, red: int = 9) -> Path:
    """Pairs about two photos, of which one has such a red."""
    for name, colour in (("a.png", (red, 0, 0)), ("b.png", (7, 0, 0))):
        Image.new("RGB", (8, 8), colour).save(w.folder / name)
    path = w.folder / "photos.jsonl"
    if not path.exists():
        rows = [Pair(str(k), "ab"[k % 2] + ".png", "What?", f"A dog {k}.", f"A cat {k}.") for k in range(4)]
        pair_files.write(path, rows)
    return path


def _opened_elsewhere(dataset: Any, folder: Path) -> Any:
    """The same rows with a transform of the user's own."""

    def opened(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return batch | {"images": [[Image.open(folder / name) for name in names] for names in batch["images"]]}

    return dataset.with_format(None).with_transform(opened)


def _as_column(dataset: Any, folder: Path) -> Any:
    """The same rows with files in a column of pictures, as ``datasets`` reads them."""
    rows = [row | {"images": [str(folder / row["images"][0])]} for row in dataset.with_format(None)]
    return Dataset.from_list(rows).cast_column("images", List(PictureColumn()))


def _other_photo(make: Callable[[Any, Path], Any]) -> Callable[[World], Any]:
    """A second run in the folder of a first, with another photo under the name of one."""

    def act(w: World) -> Any:
        def data() -> Any:
            return make(to_trl(_photos(w), w.folder, cache=w.folder / "d"), w.folder)

        first = w.trainer(data=data(), per_device_train_batch_size=2)
        run_folder.write_record(first.args, first._record)
        w.model = training.tiny(w.processor)
        w.trainer(data=data(), per_device_train_batch_size=2)  # the same goes on
        found = data()
        _photos(w, red=200)
        return w.trainer(data=found, per_device_train_batch_size=2)

    return act


def _other_photo_of_a_recipe(w: World) -> Any:
    recipe = recipes.Recipe(out=str(w.out), model=str(w.base), pairs=str(_photos(w)), images=str(w.folder))
    recipes.prepare(recipe)
    recipes.prepare(recipe)
    _photos(w, red=200)
    return recipes.prepare(recipe)


def _other_photo_of_a_cache(w: World) -> Any:
    data = to_trl(_photos(w), w.folder, cache=w.folder / "d")
    key = reference_cache.key(w.model, w.processor)

    def build(read: Any) -> None:
        of_it, reader = reference_cache.clear(key, hidden=False, features=False)
        reference_cache.build(w.folder / "c", of_it, w.model, read, data, Accelerator(), reader, batch_size=2)

    def never(_rows: Any) -> Any:
        raise AssertionError("a row was read")

    build(PairCollator(w.processor))
    build(never)
    _photos(w, red=200)
    return build(never)


def _best_metric(name: str, sets: bool = False) -> Callable[[World], Any]:
    """A training with evaluation, of which this metric chooses the best model."""

    def act(w: World) -> Any:
        how = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
        found = training.config(w.out, **how, load_best_model_at_end=True, metric_for_best_model=name)
        held = {"one": w.data, "two": w.data} if sets else w.data
        return POVIDTrainer(w.model, found, w.data, w.processor, eval_dataset=held).train()

    return act


def _foreign_files(w: World) -> Any:
    w.out.mkdir()
    (w.out / "thesis.tex").write_text("precious")
    return w.trainer()


def _file_for_folder(w: World) -> Any:
    w.out.write_text("precious")
    return w.trainer()


def _stale_cache(w: World) -> Any:
    trainer = w.trainer()
    run_folder.write_record(trainer.args)
    trainer._caches.start()
    with torch.no_grad():
        trainer.model.get_base_model().model.language_model.norm.weight[0] += 1
    return trainer.train()


def _changed_row(w: World) -> Any:
    collator = PairCollator(w.processor)
    key = reference_cache.key(w.model, w.processor)
    key, read = reference_cache.clear(key, hidden=False, features=False)
    opened = reference_cache.build(w.folder / "c", key, w.model, collator, w.data, Accelerator(), read, batch_size=4)
    return opened.rows(collator([w.data[0] | {"chosen": _answer("There is a cow.")}]))


def _vision_lora(w: World) -> Any:
    return checks.check_trainable(get_peft_model(w.model, LoraConfig(r=2, target_modules=["q_proj"])))


def _no_lora(w: World) -> Any:
    return checks.check_trainable(w.model.requires_grad_(False))


def _old_adapters(w: World) -> Any:
    trainer = w.trainer(cache_reference=False)
    training.move_adapters(trainer.model, 0.3)
    return trainer.train()


def _nan(w: World) -> Any:
    trainer = w.trainer(cache_reference=False)
    batch = trainer.data_collator([w.data[0], w.data[1]])
    batch["pixel_values"][0] = float("nan")
    return trainer.compute_loss(trainer.model, batch)


def _merge_other_base(w: World) -> Any:
    adapter = w.folder / "adapter"
    get_peft_model(w.model, LoraConfig(r=2, target_modules=LANGUAGE_MODEL_LAYERS)).save_pretrained(adapter)
    other = training.tiny(w.processor, seed=9)
    (adapter / "povid_base.json").write_text(json.dumps(reference_cache.key(other, w.processor)))
    return merging.merge(w.base, adapter, w.folder / "merged")


def _merge_onto(w: World) -> Any:
    (w.folder / "merged").mkdir()
    return merging.merge(w.base, w.folder, w.folder / "merged")


def _other_recipe(w: World) -> Any:
    w.out.mkdir()
    (w.out / "recipe.json").write_text('{"model": "other"}')
    return recipes.run(recipes.Recipe(out=str(w.out), offline={"n": 8}))


def _cut_image_tokens(w: World) -> Any:
    return PairCollator(w.processor, max_length=20)([w.data[0]])


def _logps(*shapes: tuple[int, ...]) -> tuple[Logps, Logps]:
    chosen, rejected, ref_chosen, ref_rejected = (torch.zeros(shape) for shape in shapes)
    return Logps(chosen, rejected), Logps(ref_chosen, ref_rejected)


LLAMA = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=8)
CASES: dict[str, tuple[Callable[[World], Any], tuple[str, ...]]] = {
    # the model
    "wrong family": (
        lambda w: w.trainer(model=LlamaForCausalLM(LLAMA)),
        ("LlamaForCausalLM", "takes a LlavaForConditionalGeneration"),
    ),
    "adapters already there": (
        lambda w: w.trainer(model=get_peft_model(w.model, LoraConfig(r=2, target_modules=LANGUAGE_MODEL_LAYERS))),
        ("has adapters already", "povid merge"),
    ),
    "mixed dtypes": (_mixed, ("mixed types", "torch.bfloat16", "load the model with one dtype")),
    "dropout in the attention": (_dropout, ("drops a share of 0.1", "set attention_dropout to 0")),
    "dropout in the eyes": (_eyes_dropout, ("drops a share of 0.2", "attention_dropout to 0 in vision_config")),
    "more tokens than places": (_few_places, ("row 1 (", "the limit is 40")),
    "noise on the embeddings": (lambda w: training.config(w.out, neftune_noise_alpha=5.0), ("is 5.0", "leave it out")),
    "text for true": (lambda w: training.config(w.out, shared_prefix="false"), ("is 'false'", "give true or false")),
    "no accumulation": (
        lambda w: training.config(w.out, gradient_accumulation_steps=0),
        ("gradient_accumulation_steps is 0", "give a whole number, 1 or more"),
    ),
    "NaN in the weights": (_broken_weight, ("not finite", "load the model again")),
    "attention without masks": (_attention, ("'eager'", "shared prefix", "attn_implementation='sdpa'")),
    "caches of sharded weights": (_sharded, ("shards the weights", "set cache_reference")),
    "LoRA on the vision tower": (
        _vision_lora,
        ("no LoRA matrices of the language model", "vision_tower", "LoRA targets"),
    ),
    "no LoRA at all": (_no_lora, ("0 of 0 trainable", "LoRA targets")),
    "adapters that are not new": (_old_adapters, ("Before the first step", "differ by", "adapters are not new")),
    # the processor
    "no patch size": (_processor("patch_size", None), ("no patch_size", "set it")),
    "no selection strategy": (
        _processor("vision_feature_select_strategy", None),
        ("no vision_feature_select_strategy", "set it"),
    ),
    "another patch size": (_processor("patch_size", 8), ("144 image tokens", "gives 36", "patch_size")),
    "one image token too few": (
        _processor("num_additional_image_tokens", 0),
        ("35 image tokens", "num_additional_image_tokens"),
    ),
    "one image token too many": (
        _processor("vision_feature_select_strategy", "full"),
        ("37 image tokens", "vision_feature_select_strategy"),
    ),
    "no template": (_processor("chat_template", None), ("no chat_template", "give it")),
    "template without picture": (
        _processor("chat_template", "{{ '<s>USER: ' }}{{ messages[0]['content'][-1]['text'] }}"),
        ("<image> 0 times", "once"),
    ),
    "template with two BOS": (
        _processor("chat_template", "<s><s>USER: <image>\n{{ messages[0]['content'][-1]['text'] }} ASSISTANT:"),
        ("2 BOS tokens", "must write one"),
    ),
    "template without BOS": (
        _processor("chat_template", "USER: <image>\n{{ messages[0]['content'][-1]['text'] }} ASSISTANT:"),
        ("0 BOS tokens", "must write one"),
    ),
    # the data
    "empty data": (lambda w: w.trainer(data=w.data.select([])), ("0 rows", "make more pairs")),
    "one row": (
        lambda w: w.trainer(data=w.data.select([0]), per_device_train_batch_size=1),
        ("1 rows", "make more pairs"),
    ),
    "too few rows for an update": (
        lambda w: w.trainer(gradient_accumulation_steps=3),
        ("8 rows", "one update takes 12", "smaller batches"),
    ),
    "column missing": (lambda w: w.trainer(data=w.data.remove_columns(["rejected"])), ("lacks rejected", "to_trl")),
    "id twice": (lambda w: w.trainer(data=w.rows({"id": "a"}, {"id": "a"})), ("id 'a' stands 2 times", "unique")),
    "chosen equal to rejected": (
        lambda w: w.trainer(data=w.rows({"id": "a", "chosen": _answer("Yes."), "rejected": _answer("Yes.")})),
        ("row 1 (a)", "equal", "take it out"),
    ),
    "empty response": (
        lambda w: w.trainer(data=w.rows({"id": "a", "chosen": _answer("  ")})),
        ("row 1 (a)", "empty", "give"),
    ),
    "two pictures": (
        lambda w: PairCollator(w.processor)([w.data[0] | {"images": w.data[0]["images"] * 2}]),
        ("2 pictures", "exactly one"),
    ),
    "image tokens would be cut": (_cut_image_tokens, ("the limit is 20", "Nothing is cut", "raise max_length")),
    "NaN in a batch": (_nan, ("no finite log-probability", "train-typical", "Nothing was updated")),
    "two sets put together": (_concatenated, ("row 1 (", "its picture is 'scene:", "opened")),
    "every row that is at fault": (
        lambda w: w.trainer(data=w.rows({"chosen": _answer(" ")}, {}, {"rejected": _answer("<image>")})),
        ("row 1 (", "the text is empty", "row 3 (", "<image>"),
    ),
    # the folder
    "a run with other settings": (_other_run, ("another beta1", "give another folder")),
    "a run with other rows": (_resumed(_swapped), ("another data", "give another folder")),
    "a run of another base": (_resumed(_other_base), ("another base", "give another folder")),
    **{
        f"a run with another {name}": (
            _resumed(lambda w: {}, **{name: value}),
            (f"another {name} ", "give another folder"),
        )
        for name, value in (
            ("data_seed", 5),
            ("weight_decay", 0.1),
            ("adam_beta1", 0.8),
            ("max_grad_norm", 0.5),
            ("warmup_steps", 2),
            ("optim", "sgd"),
        )
    },
    "a recipe's run with other pairs": (_edited_pairs, ("another content of pairs", "another `out`")),
    **{
        f"a run with another photo of the same name, {kind}": (
            _other_photo(make),
            ("another data", "give another folder"),
        )
        for kind, make in (
            ("ours", lambda data, _: data),
            ("a transform of one's own", _opened_elsewhere),
            ("a column of pictures", _as_column),
        )
    },
    "a recipe's run with another photo": (_other_photo_of_a_recipe, ("another content of pairs", "another `out`")),
    "a cache with another photo": (_other_photo_of_a_cache, ("Row '0' has changed", "1 others", "delete the folder")),
    "a best model by what no evaluation gives": (
        _best_metric("nope"),
        ("metric_for_best_model is 'nope'", "eval_rewards/accuracies", "eval_loss"),
    ),
    "a best model by the loss of several sets": (
        _best_metric("loss", sets=True),
        ("metric_for_best_model is 'loss'", "eval_one_loss", "eval_two_loss"),
    ),
    "a recipe's run with another model": (_edited_model, ("another content of model", "another `out`")),
    "somebody's files": (_foreign_files, ("holds files that no run", "give another folder")),
    "a file for a folder": (_file_for_folder, ("is a file", "give a folder")),
    # the caches
    "stale cache": (_stale_cache, ("is stale", "another model", "Delete the folder")),
    "row changed since": (_changed_row, ("has changed since", "delete the folder")),
    # the settings
    "unknown objective": (
        lambda w: training.config(w.out, objective="ppo"),
        ("objective is 'ppo'", "choose one of povid"),
    ),
    "unknown dispreference": (
        lambda w: training.config(w.out, dispreference="all"),
        ("dispreference is 'all'", "choose one of"),
    ),
    "objective without an image": (
        lambda w: training.config(w.out, objective="dpo", dispreference="both"),
        ("dispreference is 'both'", "choose one of text, which objective 'dpo' has"),
    ),
    "sft beside sft": (
        lambda w: training.config(w.out, objective="sft", dispreference="text", sft_weight=1.0),
        ("sft_weight is for objective 'povid', 'povid_mean'", "not 'sft'; set it to 0"),
    ),
    "alpha of zero": (lambda w: training.config(w.out, alpha=0.0), ("alpha is 0.0", "give a number above 0")),
    "beta of NaN": (lambda w: training.config(w.out, beta=float("nan")), ("beta is nan", "give a number above 0")),
    "negative beta2": (lambda w: training.config(w.out, beta2=-0.1), ("beta2 is -0.1", "0 or more")),
    "negative sft weight": (
        lambda w: training.config(w.out, sft_weight=-1.0),
        ("sft_weight is -1.0", "0 or more"),
    ),
    "label smoothing of one half": (
        lambda w: training.config(w.out, label_smoothing=0.5),
        ("label_smoothing is 0.5", "[0, 0.5)"),
    ),
    "label smoothing with povid": (
        lambda w: training.config(w.out, label_smoothing=0.1),
        ("label_smoothing is for objective 'dpo'", "set it to 0"),
    ),
    "noise outside the schedule": (lambda w: training.config(w.out, noise_step=1000), ("step is 1000", "0 to 999")),
    "unknown tokens": (lambda w: training.config(w.out, noised_tokens="third"), ("tokens is 'third'", "choose one of")),
    "TRL's own loss": (lambda w: training.config(w.out, loss_type=["ipo"]), ("loss_type", "chosen with `objective`")),
    "TRL's precomputing": (
        lambda w: training.config(w.out, precompute_ref_log_probs=True),
        ("precompute_ref_log_probs", "leave it out"),
    ),
    "rank of zero": (
        lambda w: training.config(w.out, lora_rank=0),
        ("lora_rank is 0", "give a whole number, 1 or more"),
    ),
    "unknown preset": (lambda w: POVIDConfig.preset("best"), ("no preset 'best'", "choose one of paper")),
    "checkpoints of the model alone": (
        lambda w: training.config(w.out, save_only_model=True),
        ("save_only_model", "leave it out"),
    ),
    "a seed beyond numpy's": (lambda w: training.config(w.out, seed=10**23), ("seed is 1", "0 to 4294967295")),
    "no rows at once in the evaluation": (
        lambda w: training.config(w.out, per_device_eval_batch_size=0),
        ("per_device_eval_batch_size is 0", "1 or more"),
    ),
    "DeepSpeed's settings are not there": (
        lambda w: training.config(w.out, deepspeed="nofile.json"),
        ("deepspeed names 'nofile.json'", "give the file"),
    ),
    "an evaluation of a set that was not given": (
        lambda w: w.trainer().evaluate("b"),
        ("The evaluation's data set is 'b'",),
    ),
    # recipes
    "evaluation in a recipe": (
        lambda w: w.recipe("out: x\noffline: {n: 8}\ntext: {eval_strategy: steps}"),
        ("text.eval_strategy", "no data set for evaluation"),
    ),
    "a secret in a recipe": (
        lambda w: w.recipe("out: x\noffline: {n: 8}\nboth: {hub_token: abc}"),
        ("both.hub_token", "hf auth login"),
    ),
    "recipe that is no YAML": (lambda w: w.recipe("out: [1"), ("recipe.yaml, line 1", "a recipe is YAML")),
    "recipe that is a list": (lambda w: w.recipe("- 1"), ("holds a list", "a recipe is a mapping")),
    "unknown key": (lambda w: w.recipe("out: x\noffline: {n: 8}\nspeed: 3"), ("recipe.yaml", "speed")),
    "unknown setting of a phase": (
        lambda w: w.recipe("out: x\noffline: {n: 8}\ntext: {betta: 3}"),
        ("recipe.yaml", "betta", "POVIDConfig"),
    ),
    "neither pairs nor offline": (lambda w: w.recipe("out: x"), ("either `pairs`", "or `offline`")),
    "both pairs and offline": (
        lambda w: w.recipe("out: x\npairs: p.jsonl\noffline: {n: 8}"),
        ("either `pairs`", "or `offline`"),
    ),
    "no number of pairs": (
        lambda w: w.recipe("out: x\noffline: {seed: 8}"),
        ("offline.n is missing", "number of pairs"),
    ),
    "no phase": (
        lambda w: w.recipe("out: x\noffline: {n: 8}\ntext: null\nboth: null"),
        ("both phases are null", "nothing to train"),
    ),
    "folder of another recipe": (_other_recipe, ("another recipe", "another `out`")),
    # merging
    "adapter of another base": (_merge_other_base, ("trained on other weights", "give its own base")),
    "no adapter": (
        lambda w: merging.merge(w.base, w.folder, w.folder / "m"),
        ("no adapter_config.json", "give the folder"),
    ),
    "merged folder is there": (_merge_onto, ("is there already", "give another folder")),
    # losses
    "columns for rows": (lambda w: losses.dpo(*_logps((2, 1), (2, 1), (2, 1), (2, 1))), ("(2, 1)", "one number a row")),
    "rows that differ in number": (lambda w: losses.dpo(*_logps((2,), (2,), (1,), (1,))), ("(1,)", "one number a row")),
    "no rows": (lambda w: losses.dpo(*_logps((0,), (0,), (0,), (0,))), ("(0,)", "one number a row")),
    "whole numbers": (
        lambda w: losses.dpo(*(of.map(torch.Tensor.long) for of in _logps((2,), (2,), (2,), (2,)))),
        ("torch.int64", "floating-point"),
    ),
    "beta of zero": (lambda w: losses.dpo(*_logps((2,), (2,), (2,), (2,)), beta=0.0), ("beta is 0.0", "positive")),
    "an answer without tokens": (
        lambda w: losses.sft(*_logps((2,), (2,), (2,), (2,)), torch.tensor([3, 0])),
        ("[3, 0]", "at least one token"),
    ),
}


@pytest.fixture(scope="module")
def shared(vlm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    training.tiny(vlm.processor).save_pretrained(folder / "base")
    vlm.processor.save_pretrained(folder / "base")
    return folder / "base", training.dataset(folder, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_refused_with_thing_fault_and_remedy(name, shared, tmp_path):
    base, data = shared
    processor = AutoProcessor.from_pretrained(base)
    world = World(tmp_path, data, processor, training.tiny(processor), base)
    act, parts = CASES[name]
    with pytest.raises((ValueError, FloatingPointError)) as error:
        act(world)
    for part in parts:
        assert part in str(error.value), f"{part!r} is not in {error.value}"
    assert not list(tmp_path.rglob("*.part")), "something was left half-written"
    for path, text in ((world.out / "thesis.tex", "precious"), (world.out, "precious")):
        assert not path.is_file() or path.read_text() == text


def test_there_are_enough_cases():
    assert len(CASES) >= 40


def test_all_faults_are_named_at_once(shared, tmp_path):
    base, data = shared
    processor = AutoProcessor.from_pretrained(base)
    processor.patch_size = 8
    (tmp_path / "x").write_text("a file")
    with pytest.raises(ValueError, match=r"144 image tokens[\s\S]*is a file"):
        POVIDTrainer(training.tiny(processor), training.config(tmp_path / "x"), data, processor)


def test_a_full_disk_is_seen_before_anything_is_written(shared, tmp_path, monkeypatch):
    base, data = shared
    processor = AutoProcessor.from_pretrained(base)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(ValueError, match=r"0\.0 GiB free.*make room"):
        POVIDTrainer(training.tiny(processor), training.config(tmp_path / "run"), data, processor)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_no_merged_model(shared, tmp_path, monkeypatch):
    base, _ = shared
    adapter = tmp_path / "adapter"
    model = training.tiny(AutoProcessor.from_pretrained(base))
    model.name_or_path = str(base)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=LANGUAGE_MODEL_LAYERS, init_lora_weights=False))
    adapted.save_pretrained(adapter)

    def full(self, folder, **kwargs):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        merging.merge(base, adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    monkeypatch.undo()
    merging.merge(base, adapter, tmp_path / "merged")
    assert load_file(tmp_path / "merged" / "model.safetensors")
