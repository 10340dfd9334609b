"""Every setting of a training phase, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, Strict
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType
from transformers.training_args import OptimizerNames
from trl import DPOConfig

from povid_lib.data.corrupt_image import STEPS
from povid_lib.files import settings
from povid_lib.files.settings import Count, Fault, NotNegative, Positive, Remedy, Share, Whole, one_of
from povid_lib.training import objectives
from povid_lib.training.dispreference import ImageDispreference
from povid_lib.training.objectives import Dispreference, Objective

# bare names such as "q_proj" would put LoRA into the vision tower as well
LANGUAGE_MODEL_LAYERS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
# settings of DPOConfig that change TRL's loss, which POVIDTrainer does not compute
_TRL_ONLY = (
    "loss_type", "loss_weights", "ld_alpha", "f_divergence_type", "f_alpha_divergence_coef", "use_weighting", "discopop_tau",
    "precompute_ref_log_probs", "precompute_ref_batch_size", "padding_free", "pad_to_multiple_of", "truncation_mode",
    "sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps", "router_aux_loss_coef",
)  # fmt: skip
# settings of DPOConfig that nothing here reads, and what to do instead
_UNREAD = {
    "use_liger_kernel": "it replaces the model's own forward pass, which is called here; leave it out",
    "model_init_kwargs": "load the model with what it needs (models.load), and give it as `model`",
    "save_only_model": "a run that is stopped could not go on from such checkpoints; leave it out",
    "trust_remote_code": "code of models is never run here; leave it out",
}
NOT_IN_A_RECIPE = {  # what a trainer takes, and a recipe does not
    **dict.fromkeys(
        ("eval_strategy", "do_eval", "eval_on_start", "load_best_model_at_end", "metric_for_best_model"),
        "leave it out, a recipe has no data set for evaluation",
    ),
    "hub_token": "leave it out, it would be written into the run's folder; log in with `hf auth login`",
}
_Moment = Annotated[float, Field(ge=0, lt=1), Remedy("give a number that is 0 or more and less than 1")]
_Seed = Annotated[int, Field(ge=0, lt=2**32), Remedy("give a whole number from 0 to 4294967295")]  # what numpy takes
# TRL's own settings, told more narrowly than TRL tells them, so that what cannot work is refused before anything is computed
_TRL: dict[str, Any] = {
    "beta": Positive,
    "label_smoothing": Annotated[float, Field(ge=0, lt=0.5), Remedy("give a number in [0, 0.5)")],
    "learning_rate": NotNegative,
    "lr_scheduler_type": Annotated[SchedulerType, Strict(False)],
    "warmup_steps": NotNegative,
    "optim": Annotated[OptimizerNames, Strict(False)],
    "weight_decay": NotNegative,
    "adam_beta1": _Moment,
    "adam_beta2": _Moment,
    "adam_epsilon": Positive,
    "max_grad_norm": NotNegative,
    "per_device_train_batch_size": Count,
    "gradient_accumulation_steps": Count,
    "num_train_epochs": Positive,
    "max_steps": Annotated[
        Count | Literal[-1], Remedy("give a whole number, 1 or more, or -1 for num_train_epochs instead")
    ],
    "seed": _Seed,
    "data_seed": _Seed | None,
    "per_device_eval_batch_size": Count,
    "dataloader_num_workers": Whole,
    "logging_strategy": Annotated[IntervalStrategy, Strict(False)],
    "logging_steps": Positive,
    "save_strategy": Annotated[SaveStrategy, Strict(False)],
    "save_steps": Positive,
    "neftune_noise_alpha": Annotated[
        None, Remedy("leave it out: noise on the embeddings makes policy and reference differ before the first step")
    ],
}
PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2402.11411: one sigmoid, tokens scored under the noised picture; the paper does not say where the noise goes
    "paper": {
        "objective": "povid",
        "noise_place": "pixel_values",
        "scored_under": "noised",
        "reference_tokens": "policy",
        "learning_rate": 1e-7,
        "warmup_steps": 0.03,
        "lr_scheduler_type": "cosine",
        "lora_rank": 128,
        "lora_alpha": 256,
    },
    # the authors' code as of April 2024
    "released": {
        "objective": "povid_mean",
        "noise_place": "image",
        "noise_overflow": "wrap",
        "scored_under": "clean",
        "reference_tokens": "own",
        "learning_rate": 1e-7,
        "warmup_steps": 0.03,
        "lr_scheduler_type": "cosine",
        "lora_rank": 128,
        "lora_alpha": 256,
    },
    # this project's choices at the pocket model's size; recipes give their own learning rate (see recipes/grid.yaml)
    "pocket": {
        "objective": "povid",
        "noise_place": "pixel_values",
        "scored_under": "noised",
        "reference_tokens": "policy",
        "learning_rate": 2e-4,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "cosine",
        "lora_rank": 16,
        "lora_alpha": 32,
        "per_device_train_batch_size": 16,
        "gradient_checkpointing": False,
    },
}


@dataclass
class POVIDConfig(DPOConfig):
    """One phase of training: TRL's ``DPOConfig`` (learning rate, batch size, ``beta``, ``seed``, ...) and these.

    ``objective``: the loss (see ``objectives``, whose row says which of the coefficients it reads). ``dispreference``: phase 1 of
    POVID is "text", phase 2 "both"; "image" alone is the paper's ablation. ``sft_weight`` adds that much cross-entropy on the
    chosen answers; like ``label_smoothing``, it is for your own experiments. ``end_token``: whether answers are scored with their
    EOS; without it nothing is learnt of where they end (a control of chapter 09). ``weakening``, ``masked_share``, ``noise_*``,
    ``noised_tokens``, ``scored_under``, ``reference_tokens``: see ``dispreference.ImageDispreference``, whose defaults are these.

    Each of these can be switched off and changes nothing but time, memory and disk: ``shared_prefix`` (see ``logprobs``),
    ``unpadded`` (all pairs in one row, see ``unpadded``), ``tokens_per_pass`` (a batch in several passes of at most so many tokens,
    with its own gradient: ``per_device_train_batch_size`` says what an update is, and this what the memory holds),
    ``cache_reference`` (the reference reads each pair once, before training, and each epoch's noised pictures at its beginning),
    ``cache_features`` (the vision tower too: 4.7 MB a picture for LLaVA-1.5-7B in bfloat16, and as much for a noised one).
    ``cache_dir``: where (default: in ``output_dir``).

    Raises ``ValueError`` for a value outside its range, a combination that means nothing, or a setting of TRL's own loss, which is
    not computed here.
    """

    objective: Annotated[str, one_of(dict.fromkeys(row.name for row in objectives.OBJECTIVES))] = "povid"
    dispreference: Dispreference = "both"
    alpha: Positive = 0.1
    beta1: NotNegative = 0.05
    beta2: NotNegative = 0.05
    sft_weight: NotNegative = 0.0
    end_token: bool = True
    weakening: Literal["noise", "masking"] = "noise"
    masked_share: Share = 0.75
    noise_step: Annotated[int, Field(ge=0, lt=STEPS), Remedy(f"give a whole number from 0 to {STEPS - 1}")] = 500
    noise_place: Literal["image", "pixel_values"] = "pixel_values"
    noise_overflow: Literal["clamp", "wrap"] = "clamp"
    noised_tokens: Literal["argmax", "second", "sample"] = "argmax"
    scored_under: Literal["noised", "clean"] = "noised"
    reference_tokens: Literal["policy", "own"] = "policy"
    shared_prefix: bool = True
    unpadded: bool = False
    tokens_per_pass: Annotated[
        Count | None, Remedy("give a whole number of tokens, 1 or more, or null for the whole batch in one pass")
    ] = None
    cache_reference: bool = True
    cache_features: bool = False
    cache_dir: str | None = None
    lora_rank: Count = 128
    lora_alpha: Count = 256

    # what TRL or transformers choose otherwise, and the reason
    max_length: Count | None = 2048
    remove_unused_columns: Annotated[
        Literal[False], Remedy("leave it out: the rows' ids are read from a column that TRL does not use")
    ] = False
    ddp_find_unused_parameters: bool | None = False  # every LoRA parameter is used in every step
    report_to: str | list[str] = "none"
    save_total_limit: Count | None = 2
    bf16: bool | None = field(default_factory=torch.cuda.is_available)  # a CPU has no fast bfloat16

    def __post_init__(self) -> None:
        known = {name: getattr(self, name) for name in (*POVIDConfig.__annotations__, *_TRL)}
        settings.refuse_made(self, faults(known) or [Fault("", f": {said}") for said in self._combined()])
        super().__post_init__()

    def _combined(self) -> Iterator[str]:
        """What is wrong with these settings together."""
        try:
            row = self.row
        except ValueError as error:  # no such row in the table
            yield str(error).removesuffix(".")
            return
        for name in ("label_smoothing", "sft_weight"):
            if getattr(self, name) and name not in row.settings:
                able = dict.fromkeys(repr(other.name) for other in objectives.OBJECTIVES if name in other.settings)
                yield f"{name} is for objective {', '.join(able)}, not {self.objective!r}; set it to 0"
        if row.segments and self.cache_reference:
            yield (
                f"the cache holds sums over whole answers, and objective {self.objective!r} weighs their tokens; set "
                "cache_reference to False"
            )
        if self.unpadded and not self.shared_prefix:
            yield "unpadded pairs share their prefix; set shared_prefix to True, or unpadded to False"
        if self.tokens_per_pass and self.deepspeed:
            yield "DeepSpeed counts its own passes, and tokens_per_pass makes others; leave one of them out"
        if self.needs_noise:
            try:
                self.image_dispreference  # noqa: B018 checks its values
            except ValueError as error:
                yield str(error).removesuffix(".")
        if isinstance(self.deepspeed, str) and not Path(self.deepspeed).is_file():
            yield f"deepspeed names {self.deepspeed!r}, which is no file; give the file of its settings"
        elif self.deepspeed and find_spec("deepspeed") is None:
            yield "deepspeed is asked for, and is not installed; install the package deepspeed, or leave it out"
        for name, remedy in _UNREAD.items():
            if getattr(self, name):
                yield f"{name} is {getattr(self, name)!r}; {remedy}"
        defaults = {
            f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(DPOConfig)
        }
        for name in _TRL_ONLY:
            if getattr(self, name) != defaults[name]:
                yield (
                    f"{name} is {getattr(self, name)!r}, but it belongs to TRL's own loss, which is not computed here; leave it "
                    "out, the loss is chosen with `objective`"
                )

    @classmethod
    def preset(cls, name: str, **own: Any) -> POVIDConfig:
        """The settings "paper", "released" or "pocket", with ``own`` put over them."""
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return cls(**PRESETS[name] | own)

    @property
    def row(self) -> Objective:
        """The objective's row in the table."""
        return objectives.find(self.objective, self.dispreference)

    @property
    def coefficients(self) -> dict[str, float]:
        """What the objective reads of these settings."""
        return {name: getattr(self, name) for name in self.row.settings}

    @property
    def weights(self) -> dict[str, float]:
        """The coefficient of each answer that the objective weighs: {"chosen": alpha, ...}."""
        return {answer: getattr(self, name) for answer, name in self.row.weights.items()}

    @property
    def needs_noise(self) -> bool:
        """Whether the loss has a term for the image dispreference."""
        return "noised" in self.row.weights

    @property
    def caches_noised(self) -> bool:
        """Whether the reference reads other pictures than its own, noised or cropped ones, and is cached."""
        reads = self.needs_noise and (self.scored_under == "noised" or self.reference_tokens == "own")
        return self.cache_reference and (reads or "weakened" in self.row.weights)

    @property
    def caches_hidden(self) -> bool:
        """Whether the cache holds what the reference says of any token under the clear picture: the policy's are not known yet."""
        scored = self.scored_under == "clean" and self.reference_tokens == "policy"
        return self.cache_reference and self.needs_noise and scored

    @property
    def caches(self) -> dict[str, Any]:
        """What of the settings the caches depend on: trainings of one model on one data set that agree in it may share a
        ``cache_dir``."""
        noise = asdict(self.image_dispreference) if self.needs_noise else self.row.weights
        noised = [self.seed, noise] if self.caches_noised else None
        read = {"hidden": self.caches_hidden, "features": self.cache_features, "noised": noised}
        return read | {"end_token": self.end_token}

    @property
    def image_dispreference(self) -> ImageDispreference:
        """How the noised answers are made."""
        return ImageDispreference(**{f.name: getattr(self, f.name) for f in fields(ImageDispreference)})


def faults(values: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with each of these settings of a phase for itself, TRL's and transformers' own included."""
    return settings.faults(POVIDConfig, values, _TRL, complete=False)
