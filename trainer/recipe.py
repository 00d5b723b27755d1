"""Recipes: one TOML table per stage, checked key by key. What decides a result (model, rates, sizes) has no default."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from data_contracts.record import Record
from data_contracts.tasks import PromptMode
from rollout.executor import SandboxTable
from rollout.rendering import Family
from rollout.tools.tables import ToolTable
from trainer.aggregation import Aggregation
from trainer.alarms import Alarms
from trainer.correction import Correction
from trainer.divergence import KlEstimator
from trainer.lora import LoraRecipe
from trainer.losses import PolicyLoss
from trainer.methods import with_method
from trainer.optim import Schedule
from trainer.shaping import EntropyBonus
from trainer.sharding import Sharding
from trainer.surrogate import Clip, Ratio, Surrogate, TrustRegion
from trainer.trackers import Kind

SCRATCH = "scratch"


class Recipe(Record):
    """One table of a recipe file."""


R = TypeVar("R", bound=Recipe)


class InitRecipe(Recipe):
    """[init]: the student before any training."""

    name: str
    """Name of the student in tables and keys."""
    model: str
    """`scratch`: own tokenizer and random weights, after the fields below. Else a folder or hub id to start from."""
    revision: str | None = None
    """Commit, tag or branch of a hub id; needed for one, since it decides the result."""
    vocab_size: int = Field(1024, ge=300)
    """Tokens, the 256 bytes and the control tokens included."""
    min_frequency: int = Field(2, ge=1)
    """Fewest occurrences of a merged token."""
    word_boundaries: bool = False
    """Tokens stay inside words: much faster to learn from much text. False: frequent phrases become one token."""
    hidden_size: int = Field(128, ge=8)
    num_layers: int = Field(4, ge=1)
    num_heads: int = Field(4, ge=1)
    num_kv_heads: int = Field(2, ge=1)
    head_dim: int = Field(32, ge=2)
    intermediate_size: int = Field(384, ge=8)
    max_positions: int = Field(2048, ge=16)
    rope_theta: float = Field(10_000.0, gt=0)
    threads: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} must be a multiple of num_kv_heads {self.num_kv_heads}")
        given = sorted(self.model_fields_set & SCRATCH_FIELDS)
        if self.model != SCRATCH and given:
            raise ValueError(
                f"model {self.model!r} brings its own shape: remove {', '.join(given)}, or set model='{SCRATCH}'"
            )
        return self


SCRATCH_FIELDS = frozenset(InitRecipe.model_fields) - {"name", "model", "revision", "threads"}


class TrainRecipe(Recipe):
    """What SFT and RL have in common."""

    lr: float = Field(gt=0)
    """Peak learning rate."""
    max_steps: int = Field(ge=1)
    """A step is one optimizer update in SFT, one batch of attempts in RL."""
    schedule: Schedule = Schedule.CONSTANT
    warmup_steps: int = Field(0, ge=0)
    cooldown_steps: int = Field(0, ge=0)
    """Schedule wsd: steps of linear decay at the end."""
    min_lr_ratio: float = Field(0.0, ge=0, le=1)
    """Smallest rate of cosine and wsd, as a share of the peak."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    grad_clip: float = Field(1.0, gt=0)
    aggregation: Aggregation = Aggregation.TOKEN_MEAN
    constant_tokens: int | None = Field(None, ge=1)
    """Aggregation constant: the length that every sequence is divided by."""
    tokens_per_microbatch: int = Field(ge=8)
    """Longest row that is accepted, and the memory of a forward pass. Changes numbers by rounding only."""
    share_prefixes: bool = True
    """Compute once what sequences of a micro-batch begin with alike; RL keeps the attempts of a group together for it.
    Changes numbers by rounding only."""
    gradient_checkpointing: bool = False
    """Activations are computed again in the backward pass instead of being kept: a third more compute, far less memory."""
    sharding: Sharding = Sharding.REPLICATE
    """Over several GPUs. Changes numbers by rounding only."""
    lora: LoraRecipe | None = None
    """Train a pair of small matrices beside each linear map instead of the weights."""
    save_every: int = Field(50, ge=1)
    """Steps between saved states."""
    keep_states: int = Field(2, ge=1)
    alarms: Alarms = Alarms()
    """What ends the run early."""
    trackers: tuple[Kind, ...] | None = None
    """Who else is told of the figures: tensorboard, wandb, trackio, mlflow. None: what TOOLPATH_TRACKERS names, else
    TensorBoard where it is installed."""
    max_seconds_cpu: float | None = Field(None, gt=0)
    """Stop when this much process time went into training: holds compute equal in experiments."""
    threads: int = Field(1, ge=1)
    """CPU threads of torch, at most one a core. Two are 1.7 times as fast as one on two idle cores, and slower beside other
    work."""

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if self.cooldown_steps and self.schedule is not Schedule.WSD:
            raise ValueError(f"cooldown_steps {self.cooldown_steps} needs schedule 'wsd', got {self.schedule.value!r}")
        if self.schedule is Schedule.WSD and not self.cooldown_steps:
            raise ValueError("schedule 'wsd' needs cooldown_steps of at least 1; for none take schedule 'constant'")
        if (self.aggregation is Aggregation.CONSTANT) != (self.constant_tokens is not None):
            raise ValueError(
                f"aggregation {self.aggregation.value!r} with constant_tokens {self.constant_tokens}: aggregation 'constant' "
                "divides by constant_tokens (e.g. the longest response), the others by what is there"
            )
        if self.warmup_steps + self.cooldown_steps > self.max_steps:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} + cooldown_steps {self.cooldown_steps} exceed max_steps {self.max_steps}"
            )
        return self


class SamplingRecipe(Record):
    """How attempts are sampled by the trainer."""

    temperature: float = Field(1.0, gt=0)
    family: Family = Family.QWEN3_INSTRUCT
    """Chat format of the model."""
    thinking: bool = True
    """Family qwen3: let the model think."""
    max_turn_tokens: int = Field(256, ge=1)
    """Tokens of one assistant message."""
    batch_size: int = Field(128, ge=1)
    """Attempts that the sampler writes at a time."""
    mode: PromptMode | None = None
    """How every task asks the model to work; None: as each task says itself."""
    tools: dict[str, ToolTable] = Field(default_factory=dict)
    """Tools that are not built by their name alone: tables [tools.NAME]."""
    sandbox: SandboxTable = SandboxTable()


class SftRecipe(TrainRecipe):
    """[sft]: supervised fine-tuning on token rows."""

    batch_size: int = Field(ge=1)
    """Rows per step."""
    eval_every: int = Field(0, ge=0)
    """Steps between evaluations on held-out tasks; 0: train for max_steps without looking."""
    eval_tasks: int = Field(128, ge=1)
    """Held-out tasks per evaluation, the first by key."""
    eval_attempts: int = Field(2, ge=1)
    """Sampled attempts per task."""
    min_steps: int = Field(0, ge=0)
    """Never call it a plateau before."""
    plateau_tolerance: float = Field(0.01, ge=0, le=1)
    """Accuracy must beat the best so far by more than this to count as better."""
    plateau_patience: int = Field(3, ge=1)
    """Evaluations without improvement that make a plateau."""
    sampling: SamplingRecipe = SamplingRecipe()

    @model_validator(mode="after")
    def _plateau_fits(self) -> Self:
        if self.eval_every and self.schedule is Schedule.COSINE:
            raise ValueError("schedule 'cosine' decides its end in advance: with eval_every take 'wsd' or 'constant'")
        return self


class RlRecipe(TrainRecipe):
    """[rl]: reinforcement learning on groups of attempts. `method` names a published method (trainer.methods) and fills in
    what the table leaves open; without one the defaults are GRPO with token mean and clip-higher (GRPO-TCR,
    arXiv 2510.11701)."""

    method: str | None = None
    tasks_per_step: int = Field(ge=1)
    group_size: int = Field(ge=2)
    """Attempts per task, G."""
    num_minibatches: int = Field(1, ge=1)
    """Optimizer updates per step, each on its share of the groups."""
    max_refills: int = Field(2, ge=0)
    """Further rounds of tasks when groups without variance or void ones were dropped."""
    surrogate: Surrogate = Surrogate.CLIPPED
    ratio: Ratio = Ratio.TOKEN
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.28, gt=0)
    dual_clip: float = Field(10.0, gt=1)
    trust_region: TrustRegion = TrustRegion()
    """Surrogate masked."""
    kl_coefficient: float = Field(0.0, ge=0)
    """Of the KL divergence from the policy that training starts from; above 0 a frozen copy of it is kept (with `lora`, the
    adapters are switched off instead)."""
    kl_estimator: KlEstimator = KlEstimator.K3
    entropy_coefficient: float = Field(0.0, ge=0)
    """Of the entropy, which is then raised; explodes easily."""
    entropy_bonus: EntropyBonus | None = None
    """Entropy in the advantages: TAO-RL and its kin."""
    top_entropy_share: float | None = Field(None, gt=0, lt=1)
    """Gradient on this share of the trained tokens of a mini-batch only, those of highest entropy (80/20, arXiv
    2506.01939); the mean still divides by all."""
    reward_correct: float = 1.0
    reward_wrong: float = 0.0
    reward_per_call: float = 0.0
    """Added for each call, up to `reward_max_calls` of them; a successful one, with `reward_needs_success`."""
    reward_max_calls: int = Field(4, ge=1)
    reward_needs_success: bool = False
    reward_wrong_at_most: float | None = None
    """With reward_per_call: what a wrong attempt gets at most, so that calling never beats being right."""
    divide_by_std: bool = True
    """Advantages are divided by their group's standard deviation (Dr. GRPO does not)."""
    overlong_max_tokens: int = Field(0, ge=0)
    """Length at which the penalty is -1; 0: what the task's max_tokens leaves after the prompt."""
    overlong_cache_tokens: int = Field(0, ge=0)
    """Tokens before that over which the penalty grows; 0: no overlong shaping."""
    overlong_counts_results: bool = True
    """Whether tokens of tool results count as length; the prompt never does."""
    filter_c1: bool = False
    """Mask wrong attempts whose every call failed (TAO-RL, C1)."""
    c1_keep_without_call: bool = True
    """C1 spares wrong attempts that never called (the literal rule does not)."""
    c1_needs_output: bool = False
    """C1 counts a call as successful only if it printed something."""
    advantages_after_c1: bool = False
    """Advantages over the attempts that C1 keeps, instead of over all G."""
    mask_void_turns: bool = False
    """Mask attempts with a turn that has neither a complete call nor an answer (SimpleTIR)."""
    min_usable_attempts: int = Field(0, ge=0)
    """Groups with fewer unmasked attempts are dropped and refilled (TAO-RL: 4)."""
    recompute_logprobs: bool = False
    """Old log-probabilities from the trainer's own forward pass instead of the sampler's."""
    correction: Correction = Correction.NONE
    """With recompute_logprobs: how the sampler's own probabilities are corrected for."""
    correction_bound: float | None = Field(None, gt=0)
    """Cap of the ratio (tis, sequence_tis, icepop: 2, say), or largest distance of probabilities (dppo: .2, say)."""
    shuffle_rewards: bool = False
    """Control experiment: deal the rewards of a step to its attempts at random."""
    sampling: SamplingRecipe = SamplingRecipe()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.reward_correct <= self.reward_wrong:
            raise ValueError(f"reward_correct {self.reward_correct} must exceed reward_wrong {self.reward_wrong}")
        if self.correction is not Correction.NONE and not (self.recompute_logprobs and self.correction_bound):
            raise ValueError(
                f"correction {self.correction.value!r} weighs the trainer's against the sampler's log-probs: set "
                "recompute_logprobs = true and correction_bound"
            )
        if self.correction is Correction.NONE and self.correction_bound:
            raise ValueError(f"correction_bound {self.correction_bound} bounds nothing: set correction, or remove it")
        if self.reward_per_call and self.reward_wrong_at_most is None:
            raise ValueError(
                f"reward_per_call {self.reward_per_call} could make a wrong attempt worth more than a right one: set "
                "reward_wrong_at_most"
            )
        if self.min_usable_attempts > self.group_size:
            raise ValueError(
                f"min_usable_attempts {self.min_usable_attempts} exceeds group_size {self.group_size}: no group could stay"
            )
        if self.num_minibatches > self.tasks_per_step:
            raise ValueError(f"num_minibatches {self.num_minibatches} exceeds tasks_per_step {self.tasks_per_step}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _named_method(cls, table: Any) -> Any:
        return with_method(table) if isinstance(table, Mapping) else table

    @property
    def loss(self) -> PolicyLoss:
        """What is minimised."""
        return PolicyLoss(
            self.surrogate,
            self.ratio,
            Clip(self.clip_low, self.clip_high, self.dual_clip),
            self.trust_region,
            self.kl_coefficient,
            self.kl_estimator,
            self.entropy_coefficient,
        )

    @property
    def looks_first(self) -> bool:
        """Whether every mini-batch needs a forward pass before the step's first update."""
        needs_entropy = self.entropy_bonus is not None or self.top_entropy_share is not None
        return self.recompute_logprobs or needs_entropy or self.kl_coefficient > 0


TABLES: dict[str, type[Recipe]] = {"init": InitRecipe, "sft": SftRecipe, "rl": RlRecipe}


def check_tables(tables: Mapping[str, dict[str, Any]]) -> None:
    """Raises ValueError with every fault of every table, given by name."""
    faults = []
    for name, table in tables.items():
        try:
            parse_recipe(TABLES[name], name, table)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))


def tables_of(path: Path) -> dict[str, Any]:
    """All tables of a recipe file. Raises FileNotFoundError, and ValueError for what is no TOML."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {path}: give the path of a TOML file")
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error


def load_table(path: Path, stage: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The table of one stage of a recipe file, with `key=value` changes applied (values in TOML, else plain text)."""
    file = tables_of(path)
    if stage not in file:
        raise ValueError(f"{path} has no table [{stage}]; it has {', '.join(file) or 'none'}")
    table: dict[str, Any] = file[stage]
    for change in changes:
        _apply(table, change)
    return table


def _apply(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set {change!r} has no value: write --set key=value")
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text


def parse_recipe(model: type[R], stage: str, table: dict[str, Any] | str) -> R:
    """A checked recipe from a table or its JSON. Raises ValueError that names key, value and remedy."""
    try:
        return model.model_validate_json(table) if isinstance(table, str) else model.model_validate(table)
    except ValidationError as error:
        problems = "; ".join(_problem(model, dict(item)) for item in error.errors())
        raise ValueError(f"recipe [{stage}]: {problems}") from error


def _problem(model: type[Recipe], error: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {_suggestion(model, key)}"
    if error["type"] == "missing":
        return f"{key!r} is missing; it decides the result, so it has no default"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{key} = {error['input']!r}: {error['msg']}"


NESTED: dict[str, type[Record]] = {"sampling": SamplingRecipe, "lora": LoraRecipe}


def _suggestion(model: type[Recipe], key: str) -> str:
    nested = {name: table for name, table in NESTED.items() if name in model.model_fields}
    names = [
        *model.model_fields,
        *(f"{name}.{field}" for name, table in nested.items() for field in table.model_fields),
    ]
    near = difflib.get_close_matches(key, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(names)}"
