"""TRL's own test cases of vision DPO (tests/test_dpo_trainer.py of TRL 1.16), on a small LLaVA of the pocket world: each is
DPOTrainer's to the digit, or is refused with a message. ``book/dpo_trainer.md`` shows the table; this module holds it to its word.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from datasets import Dataset, DatasetDict
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import BitsAndBytesConfig, EarlyStoppingCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from povid_lib.training import checkpoints
from povid_lib.training.config import LANGUAGE_MODEL_LAYERS, POVIDConfig
from povid_lib.training.trainer import POVIDTrainer
from tests.support import training

PAGE = Path(__file__).parents[2] / "book" / "dpo_trainer.md"
SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 3,
    "gradient_accumulation_steps": 2,
    "max_steps": 4,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "save_total_limit": 4,
    "remove_unused_columns": False,
    "gradient_checkpointing": False,
    "max_length": None,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
    "seed": 3,
}
BEST = {"load_best_model_at_end": True, "metric_for_best_model": "eval_second_loss", "greater_is_better": False}
LORA = {"r": 4, "lora_alpha": 8, "target_modules": LANGUAGE_MODEL_LAYERS, "task_type": "CAUSAL_LM"}
OWN = {"objective": "dpo", "dispreference": "text"}
# what both log, and how far the values may be apart: log-probabilities are sums over some twenty tokens
LOGGED = {
    "loss": 1e-5, "grad_norm": 1e-4, "learning_rate": 0.0, "rewards/chosen": 1e-5, "rewards/rejected": 1e-5, "rewards/margins": 1e-5,
    "rewards/accuracies": 0.0, "logps/chosen": 1e-3, "logps/rejected": 1e-3,
}  # fmt: skip


class Row(NamedTuple):
    """A line of the table: what it is about, TRL's test of it ("" if the brief asks for it), and what happens: "same as DPOTrainer",
    or the message."""

    behaviour: str
    test: str
    outcome: str


SAME = "same as DPOTrainer"
TABLE = [
    Row("losses, rewards, gradients and adapters, step by step, with accumulation", "test_train_vlm", SAME),
    Row("`max_length=None`", "test_train_vlm", SAME),
    Row("evaluation while training", "test_train_with_eval", SAME),
    Row("several `eval_dataset`s, each with metrics of its own", "test_train_with_multiple_eval_dataset", SAME),
    Row("`evaluate` with a data set, a dict, a `DatasetDict`", "test_evaluate_with_eval_dataset", SAME),
    Row("`model` by name, `processing_class` left out", "test_init_with_train_dataset", SAME),
    Row("`peft_config`", "test_train_dense_with_peft_config_lora", SAME),
    Row("gradient checkpointing", "test_train_with_peft_config_and_gradient_checkpointing", SAME),
    Row("`loss_type` hinge, as an objective", "test_train_loss_types", SAME),
    Row(
        "`loss_type` ipo, as an objective",
        "test_train_loss_types",
        "sums over tokens, as in the paper; TRL takes means",
    ),
    Row("tags of the model", "test_tag_added_peft", SAME + ", and `povid`"),
    Row("callbacks, early stopping, the best model at the end", "", SAME),
    Row("going on from a checkpoint in the same trainer, and with more `max_steps`", "", SAME),
    Row("`args` left out", "test_tag_added", "`POVIDConfig()`"),
]


class Refusal(NamedTuple):
    """A line of the table whose message the call must give."""

    behaviour: str
    test: str
    call: Callable[["World"], Any]
    message: str


class World:
    """What a case may use."""

    def __init__(self, vlm: Any, folder: Path, rows: Any):
        self.vlm, self.folder, self.rows = vlm, folder, rows

    def settings(self, **own: Any) -> POVIDConfig:
        return POVIDConfig(
            output_dir=str(self.folder / "ours"), **SETTINGS | {"lora_rank": 4, "lora_alpha": 8} | OWN | own
        )

    def trainer(self, model: Any = None, **keywords: Any) -> POVIDTrainer:
        given = {"args": None, "train_dataset": self.rows, "processing_class": self.vlm.processor} | keywords
        given["args"] = given["args"] or self.settings(eval_strategy="no")
        return POVIDTrainer(model or training.tiny(self.vlm.processor), **given)

    def changed(self, **columns: Any) -> Any:
        """The rows with columns of another content: a function of the row."""
        held = [
            {**row, **{name: of(row) for name, of in columns.items()}} for row in (self.rows[at] for at in range(8))
        ]
        return Dataset.from_list([{k: v for k, v in row.items() if v is not None} for row in held])


def _stream(world: World) -> Any:
    return world.rows.with_format(None).to_iterable_dataset()


REFUSALS = [
    Refusal("streams", "test_train_with_iterable_dataset", lambda w: w.trainer(train_dataset=_stream(w)),
            "train_dataset is a stream (IterableDataset), and every row is checked before the first step"),
    Refusal("streams to evaluate on", "test_init_with_eval_dataset", lambda w: w.trainer(eval_dataset={"one": _stream(w)}),
            "one is a stream (IterableDataset), and every row is checked before the first step"),
    Refusal("`train_dataset` left out", "test_init_with_train_dataset", lambda w: w.trainer(train_dataset=None),
            "train_dataset is missing; give a Dataset"),
    Refusal("a `DatasetDict` to train on", "test_init_with_train_dataset",
            lambda w: w.trainer(train_dataset=DatasetDict({"train": w.rows.with_format(None)})),
            "train_dataset is a DatasetDict of 'train'; give one of them"),
    Refusal("a list of rows", "", lambda w: w.trainer(train_dataset=[w.rows[0]]), "train_dataset is a list; give a datasets.Dataset"),
    Refusal("several pictures", "test_train_vlm_multi_image",
            lambda w: w.trainer(train_dataset=w.changed(images=lambda row: row["images"] * 2)), "2 pictures; a pair has exactly one"),
    Refusal("no picture", "test_train_vlm_text_only_data",
            lambda w: w.trainer(train_dataset=w.rows.with_format(None).remove_columns("images")), "the data lacks images"),
    Refusal("`max_length` that cuts", "test_train_vlm_with_max_length", lambda w: w.trainer(args=w.settings(max_length=50)),
            "the limit is 50. Nothing is cut off here"),
    Refusal("`truncation_mode` keep_end", "test_train_vlm_keep_end_raises", lambda w: w.settings(truncation_mode="keep_end"),
            "truncation_mode is 'keep_end', but it belongs to TRL's own loss"),
    Refusal("a tokenizer for pictures", "test_vision_dataset_with_text_model_raises",
            lambda w: w.trainer(processing_class=w.vlm.processor.tokenizer), "a TokenizersBackend, which reads no pictures; give the whole processor"),
    Refusal("`precompute_ref_log_probs`", "test_precompute_ref_log_probs_raises_for_vision",
            lambda w: w.settings(precompute_ref_log_probs=True), "precompute_ref_log_probs is True, but it belongs to TRL's own loss"),
    Refusal("`use_liger_kernel`", "test_train_vlm_liger", lambda w: w.settings(use_liger_kernel=True), "use_liger_kernel is True"),
    Refusal("`compute_metrics`", "test_train_with_compute_metrics", lambda w: w.trainer(compute_metrics=lambda _: {}),
            "compute_metrics: no logits are kept"),
    Refusal("`ref_model`", "test_train_with_explicit_ref_model", lambda w: w.trainer(ref_model=training.tiny(w.vlm.processor)),
            "ref_model: the reference is the same model with its adapters switched off"),
    Refusal("`sync_ref_model`", "test_train_with_sync_ref_model", lambda w: w.settings(sync_ref_model=True), "sync_ref_model is True"),
    Refusal("a `PeftModel`", "test_train_peft_model",
            lambda w: w.trainer(model=get_peft_model(training.tiny(w.vlm.processor), LoraConfig(**LORA))),
            "the model has adapters already; merge them first"),
    Refusal("other adapters than LoRA", "test_liger_kernel_with_peft_prompt_learning_raises",
            lambda w: w.trainer(peft_config=PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)),
            "peft_config is a PromptTuningConfig; give a LoraConfig"),
    Refusal("LoRA on the vision tower as well", "",
            lambda w: w.trainer(peft_config=LoraConfig(r=2, target_modules=["q_proj"])), "no LoRA matrices of the language model"),
    Refusal("LoRA on `lm_head`", "test_liger_kernel_with_peft_lm_head_raises",
            lambda w: w.trainer(peft_config=LoraConfig(r=2, target_modules=["lm_head"])),
            "Applying a PEFT adapter to `lm_head` is not supported"),
    Refusal("LoRA with dropout", "", lambda w: w.trainer(peft_config=LoraConfig(**LORA, lora_dropout=0.1)), "set lora_dropout to 0"),
    Refusal("LoRA that changes its base", "",
            lambda w: w.trainer(peft_config=LoraConfig(**LORA, init_lora_weights="pissa")), "init_lora_weights='pissa', which changes the model that is the reference"),
    Refusal("`quantization_config`", "test_peft_with_quantization",
            lambda w: w.trainer(quantization_config=BitsAndBytesConfig(load_in_4bit=True)),
            "quantization_config: load the model with models.load(name, four_bit=True)"),
    Refusal("`model_init_kwargs`", "test_train_model_dtype", lambda w: w.settings(model_init_kwargs={"dtype": "float16"}),
            "load the model with what it needs"),
    Refusal("`trust_remote_code`", "test_trust_remote_code", lambda w: w.settings(trust_remote_code=True),
            "code of models is never run"),
    Refusal("`loss_type`: other losses of TRL", "test_train_loss_types", lambda w: w.settings(loss_type=["apo_zero"]),
            "loss_type is ['apo_zero'], but it belongs to TRL's own loss"),
    Refusal("several losses", "test_train_multi_loss_types", lambda w: w.settings(loss_type=["sigmoid", "sft"]),
            "loss_type is ['sigmoid', 'sft'], but it belongs to TRL's own loss"),
    Refusal("`use_weighting` (WPO)", "test_train_with_wpo", lambda w: w.settings(use_weighting=True), "use_weighting is True"),
    Refusal("`ld_alpha`", "test_train_with_ld", lambda w: w.settings(ld_alpha=0.5), "ld_alpha is 0.5"),
    Refusal("`f_divergence_type`", "test_train_with_f_divergence", lambda w: w.settings(f_divergence_type="js_divergence"),
            "f_divergence_type is 'js_divergence'"),
    Refusal("`padding_free`", "test_train_padding_free", lambda w: w.settings(padding_free=True), "padding_free is True"),
    Refusal("no column `prompt`", "test_train_dataset_format",
            lambda w: w.trainer(train_dataset=w.rows.with_format(None).remove_columns("prompt")), "the data lacks prompt"),
    Refusal("columns `tools` and `chat_template_kwargs`", "test_train_with_chat_template_kwargs",
            lambda w: w.trainer(train_dataset=w.rows.with_format(None).add_column("tools", ["[]"] * 8)),
            "the data has a column tools, which is not read here"),
    Refusal("`args` is a `DPOConfig`", "", lambda w: w.trainer(args=DPOConfig(output_dir=str(w.folder), use_cpu=True, bf16=False)),
            "args is a DPOConfig, which does not say which loss"),
    Refusal("`optimizers`", "", lambda w: w.trainer(optimizers=(torch.optim.SGD([torch.zeros(1)]), None)),
            "optimizers: what is trained are the adapters, which the trainer makes itself"),
    Refusal("`data_collator`", "", lambda w: w.trainer(data_collator=list), "data_collator: a type makes other batches than the loss reads"),
    Refusal("what is no callback", "", lambda w: w.trainer(callbacks=[print]), "callbacks holds a builtin_function_or_method, which is no TrainerCallback"),
]  # fmt: skip


def table() -> list[str]:
    """The lines of the page's table."""
    lines = ["| What | Here | TRL's test |", "| --- | --- | --- |"]
    lines += [f"| {row.behaviour} | {row.outcome} | {f'`{row.test}`' if row.test else ''} |" for row in TABLE]
    return lines + [
        f"| {case.behaviour} | refused: {case.message} | {f'`{case.test}`' if case.test else ''} |" for case in REFUSALS
    ]


def test_the_page_shows_the_table():
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert shown == table(), "write the lines of table() into the page"


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Any:
    return training.dataset(tmp_path_factory.mktemp("rows"), 8)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.behaviour)
def test_refused(case, vlm, rows, tmp_path):
    with pytest.raises(ValueError, match=r".") as error:
        case.call(World(vlm, tmp_path, rows))
    assert case.message in str(error.value)
    assert not list((tmp_path / "ours").glob("*")), "nothing may have been written"


# --- same ----------------------------------------------------------------------------------------------------------------


class Seen(TrainerCallback):
    """Which events came, in their order."""

    def __init__(self):
        self.events: list[str] = []

    def on_step_end(self, args, state, control, **kwargs):
        self.events.append(f"step {state.global_step}")

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        self.events.append(
            f"evaluate {state.global_step}: {sorted(name for name in metrics if name.endswith('_loss'))}"
        )

    def on_save(self, args, state, control, **kwargs):
        self.events.append(f"save {state.global_step}")


class Both(NamedTuple):
    """TRL's trainer and ours after the same training."""

    theirs: DPOTrainer
    ours: POVIDTrainer
    seen: tuple[Seen, Seen]


def made(vlm: Any, rows: Any, folder: Path, **own: Any) -> Both:
    evaluation, seen = {"first": rows.select(range(5)), "second": rows.select(range(5, 8))}, (Seen(), Seen())
    stop = own.pop("stop", None)

    def keywords(at: int) -> dict[str, Any]:
        callbacks = [seen[at], *([EarlyStoppingCallback(stop)] if stop else [])]
        return {
            "train_dataset": rows,
            "eval_dataset": evaluation,
            "processing_class": vlm.processor,
            "callbacks": callbacks,
        }

    theirs = DPOTrainer(
        training.tiny(vlm.processor),
        args=DPOConfig(output_dir=str(folder / "theirs"), **SETTINGS | own),
        peft_config=LoraConfig(**LORA),
        **keywords(0),
    )
    settings = POVIDConfig(output_dir=str(folder / "ours"), **SETTINGS | OWN | own)
    ours = POVIDTrainer(training.tiny(vlm.processor), settings, peft_config=LoraConfig(**LORA), **keywords(1))
    return Both(theirs, ours, seen)


@pytest.fixture(scope="module")
def both(vlm, rows, tmp_path_factory) -> Iterator[Both]:
    found = made(vlm, rows, tmp_path_factory.mktemp("both"), **BEST)
    for trainer in found[:2]:
        trainer.train()
    return found


def assert_same_log(theirs: list[dict[str, Any]], ours: list[dict[str, Any]], names: dict[str, float] = LOGGED) -> None:
    """Every entry of the one log has its like in the other."""
    assert [entry["step"] for entry in ours] == [entry["step"] for entry in theirs]
    compared = 0
    for one, other in zip(theirs, ours, strict=True):
        for name in names.keys() & one.keys():
            assert other[name] == pytest.approx(one[name], abs=names[name] + 1e-12), (name, one["step"])
            compared += 1
        for name in (name for name in one if name.startswith("eval_") and name.endswith("_loss")):
            assert other[name] == pytest.approx(one[name], abs=1e-5), (name, one["step"])
            compared += 1
    assert compared > len(theirs)


def assert_same_adapters(theirs: Any, ours: Any, atol: float = 1e-4) -> None:
    found, wanted = training.adapters(ours), training.adapters(theirs)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=atol, msg=name)


@pytest.mark.slow
class TestSame:
    def test_step_by_step(self, both):
        theirs, ours = (trainer.state.log_history for trainer in both[:2])
        assert_same_log(theirs, ours)
        assert len([entry for entry in ours if "rewards/margins" in entry]) == 4
        margins = [abs(entry["rewards/margins"]) for entry in ours if "rewards/margins" in entry]
        assert max(margins) > 5000 * LOGGED["rewards/margins"], "too little was learnt for a difference to show"
        assert_same_adapters(both.theirs.model, both.ours.model)

    def test_callbacks_meet_the_same_events(self, both):
        assert both.seen[1].events == both.seen[0].events
        assert len(both.seen[1].events) == 4 + 2 * 2 + 2

    def test_the_best_model_is_there_at_the_end(self, both):
        assert both.ours.state.best_metric == pytest.approx(both.theirs.state.best_metric, abs=1e-5)
        ours, theirs = (trainer.state.best_model_checkpoint for trainer in (both.ours, both.theirs))
        assert Path(ours).name == Path(theirs).name

    def test_evaluation_has_an_account_of_its_own(self, both):
        """The reference for each set: what TRL's trainer says when it evaluates that set alone."""
        for name, data in both.ours.eval_dataset.items():
            found = both.ours.evaluate(data)
            wanted = both.theirs.evaluate(data)
            for each in ("loss", "rewards/margins", "rewards/chosen"):
                # TRL gives a small last batch a whole batch's weight in all but the loss
                tolerance = 1e-5 if each == "loss" or name == "second" else 0.2
                assert found[f"eval_{each}"] == pytest.approx(wanted[f"eval_{each}"], abs=tolerance), (name, each)
            logged = [entry for entry in both.ours.state.log_history if f"eval_{name}_loss" in entry]
            assert {f"eval_{name}_rewards/margins", f"eval_{name}_logps/chosen"} <= logged[-1].keys()
            assert "rewards/margins" not in logged[-1]

    def test_an_evaluation_of_unequal_batches_is_a_mean_over_rows(self, both, rows):
        data = rows.select(range(5))  # batches of 3 and 2
        alone = [both.ours.evaluate(rows.select([at]))["eval_rewards/margins"] for at in range(5)]
        assert both.ours.evaluate(data)["eval_rewards/margins"] == pytest.approx(sum(alone) / 5, abs=1e-5)

    def test_evaluate_takes_several_sets(self, both, rows):
        plain = DatasetDict({"a": rows.select(range(2)), "b": rows.select(range(2, 5))})
        for sets in (plain, dict(plain)):
            found = both.ours.evaluate(sets)
            assert found["eval_a_loss"] == pytest.approx(both.theirs.evaluate(plain["a"])["eval_loss"], abs=1e-5)
            assert found["eval_b_loss"] == pytest.approx(both.theirs.evaluate(plain["b"])["eval_loss"], abs=1e-5)
            assert {"eval_a_rewards/margins", "eval_b_rewards/margins"} <= found.keys()

    def test_evaluating_names_all_rows_that_cannot_be_read(self, both, rows):
        bad = Dataset.from_list([{**rows[at], "images": rows[at]["images"] * (at + 1)} for at in range(3)])
        with pytest.raises(ValueError, match=r"The evaluation cannot begin(.|\n)*2 pictures(.|\n)*3 pictures"):
            both.ours.evaluate(bad)

    def test_tags_and_card(self, both):
        assert {"trl", "dpo", "povid"} <= set(both.ours.model.model_tags)
        card = (Path(both.ours.args.output_dir) / "README.md").read_text()
        for part in (
            "Base model:",
            "objective `dpo` on dispreference `text`",
            "(8 rows)",
            "Command: `",
            "zhou2024povid",
            "2402.11411",
        ):
            assert part in card
        assert str(Path(both.ours.args.output_dir).parent) not in card, "a folder of this machine is in the card"

    def test_going_on_in_the_same_trainer(self, vlm, rows, tmp_path):
        """The second half of a training, from its checkpoint, and then two steps more."""
        found = made(vlm, rows, tmp_path)
        logs = []
        for trainer in found[:2]:
            trainer.train()
            whole = training.adapters(trainer.model)
            trainer.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-2"))
            for name, value in training.adapters(trainer.model).items():
                torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-6, msg=name)
            trainer.args.max_steps = 6
            trainer.train(resume_from_checkpoint=True)
            assert trainer.state.global_step == 6
            logs.append(trainer.state.log_history)
        assert_same_log(*logs)
        assert_same_adapters(found.theirs.model, found.ours.model)

    def test_a_new_trainer_may_go_on_for_longer_and_not_for_less(self, vlm, rows, tmp_path):
        world = World(vlm, tmp_path, rows)
        plain = {"eval_strategy": "no", "gradient_accumulation_steps": 1, "save_steps": 1}
        world.trainer(args=world.settings(max_steps=2, **plain)).train()
        longer = world.trainer(args=world.settings(max_steps=3, **plain))
        longer.train(resume_from_checkpoint=True)
        assert longer.state.global_step == 3
        with pytest.raises(ValueError, match=r"adapters are not new(.|\n)*resume_from_checkpoint"):
            longer.train()
        for other in ({"max_steps": 2}, {"max_steps": 3, "learning_rate": 1e-3}, {"max_steps": -1}):
            with pytest.raises(ValueError, match="holds a run with another"):
                world.trainer(args=world.settings(**plain | other))

    def test_early_stopping(self, vlm, rows, tmp_path):
        """A rate of zero improves nothing, so the second evaluation ends the training."""
        found = made(vlm, rows, tmp_path, **BEST, stop=1, learning_rate=0.0, eval_steps=1, save_steps=1)
        for trainer in found[:2]:
            trainer.train()
        assert found.ours.state.global_step == found.theirs.state.global_step == 2

    def test_gradient_checkpointing(self, vlm, rows, tmp_path):
        settings = {"gradient_checkpointing": True, "max_steps": 2, "eval_strategy": "no", "save_strategy": "no"}
        found = made(vlm, rows, tmp_path, **settings)
        for trainer in found[:2]:
            trainer.train()
        assert_same_log(found.theirs.state.log_history, found.ours.state.log_history)
        assert_same_adapters(found.theirs.model, found.ours.model)

    def test_another_loss(self, both, vlm, rows, tmp_path):
        """On one batch, with the adapters of the training above. That ``ipo`` is another: see ``test_losses``."""
        ours = World(vlm, tmp_path, rows).trainer(
            args=POVIDConfig(
                output_dir=str(tmp_path / "ours"), **SETTINGS | OWN | {"objective": "hinge", "eval_strategy": "no"}
            ),
            peft_config=LoraConfig(**LORA),
        )
        theirs, before = both.theirs, both.theirs.loss_types
        with torch.no_grad():
            for key, p in ours.model.named_parameters():
                if "lora_" in key:
                    p.copy_(theirs.model.get_parameter(key))
        try:
            theirs.loss_types = ["hinge"]
            wanted = theirs.evaluate(rows.select(range(3)))["eval_loss"]
        finally:
            theirs.loss_types = before
        assert ours.evaluate(rows.select(range(3)))["eval_loss"] == pytest.approx(wanted, rel=1e-4)

    def test_a_model_by_its_name(self, vlm, rows, tmp_path):
        training.tiny(vlm.processor).save_pretrained(tmp_path / "model")
        vlm.processor.save_pretrained(tmp_path / "model")
        world = World(vlm, tmp_path, rows)
        given = {"processing_class": None, "args": world.settings(max_steps=1, eval_strategy="no", save_strategy="no")}
        named = world.trainer(model=str(tmp_path / "model"), **given)
        named.train()
        world.folder = tmp_path / "other"
        plain = world.trainer(args=world.settings(max_steps=1, eval_strategy="no", save_strategy="no"))
        plain.train()
        assert_same_adapters(plain.model, named.model, atol=0)

    def test_settings_left_out(self, vlm, rows, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model = training.tiny(vlm.processor)
        model.config._name_or_path = "somebody/small-llava"
        trainer = POVIDTrainer(model, train_dataset=rows, processing_class=vlm.processor)
        assert trainer.args.output_dir == "small-llava-POVID"
        assert trainer.args.objective == POVIDConfig(output_dir="x").objective

    def test_an_optimiser_set_by_hand(self, vlm, rows, tmp_path):
        trainer = World(vlm, tmp_path, rows).trainer(
            args=World(vlm, tmp_path, rows).settings(max_steps=1, eval_strategy="no", save_strategy="no")
        )
        trainer.optimizer = torch.optim.SGD(trainer.model.get_base_model().lm_head.parameters(), lr=0.1)
        with pytest.raises(ValueError, match=r"misses 28 of 28 matrices .* holds 1 others"):
            trainer.train()
        trainer.optimizer = torch.optim.SGD([p for p in trainer.model.parameters() if p.requires_grad], lr=0.5)
        before = training.adapters(trainer.model)
        trainer.train()
        moved = {name for name, p in training.adapters(trainer.model).items() if not torch.equal(p, before[name])}
        assert moved == {name for name in before if "lora_B" in name}

    def test_a_checkpoint_is_asked_for_that_is_not_there(self, vlm, rows, tmp_path):
        trainer = World(vlm, tmp_path, rows).trainer()
        with pytest.raises(ValueError, match="There is no checkpoint to go on from"):
            trainer.train(resume_from_checkpoint=True)
        assert checkpoints.last(tmp_path / "ours") is None


def test_no_cell_of_the_table_breaks_off():
    for case in REFUSALS:
        assert not case.message.startswith(("which ", "lacks ", "has ", "is ")), case.message
        assert not case.message.endswith((" is", ":", ",")), case.message
        assert len(case.message.split()) > 2, case.message
