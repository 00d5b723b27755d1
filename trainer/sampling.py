"""Attempts of the live model: the weights that are trained are the weights that act, so nothing has to be copied."""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from data_contracts.attempts import Attempt, Outcome, Policy, PolicyKind
from data_contracts.ids import content_hash
from data_contracts.tasks import Task
from rollout.agent import Setting
from rollout.engines.transformers import Sampling, TransformersEngine
from rollout.executor import open_executor
from rollout.groups import Job, jobs_of, run_attempts
from rollout.rendering import Renderer
from rollout.rewards import grader_for
from rollout.tools.registry import opened_tools
from trainer.distributed import ALONE, World
from trainer.recipe import SamplingRecipe
from trainer.sharding import gathered


class Sampler:
    """Samples attempts at tasks with a model, running real tools. Close it (or use it in a with block) to end the sandbox."""

    def __init__(
        self, model: Any, tokenizer: Any, tasks: Sequence[Task], recipe: SamplingRecipe, policy_name: str, run: str
    ) -> None:
        """`run` identifies the training run: the policy of its step s is `policy_name@run-step-s`."""
        self._policy_name, self._run, self._mode = policy_name, run, recipe.mode
        self._spec_hash = content_hash(["trainer", recipe.plain()])
        self._renderer = Renderer(tokenizer, recipe.family, recipe.thinking)
        sampling = Sampling(temperature=recipe.temperature, max_turn_tokens=recipe.max_turn_tokens)
        self._engine = TransformersEngine(
            model, self._renderer.end_id, tokenizer.pad_token_id, sampling, recipe.batch_size
        )
        with ExitStack() as stack:
            sandbox = stack.enter_context(open_executor(recipe.sandbox))
            self._tools = stack.enter_context(opened_tools(tasks, sandbox, recipe.tools))
            self._grader = stack.enter_context(grader_for(task.verifier for task in tasks))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def attempts(self, jobs: Sequence[Job], moment: str) -> list[Attempt]:
        """One attempt per job, in order, by the policy as it is at this moment of the run. All ranks call it together, each
        with its own jobs or none."""
        policy = Policy(kind=PolicyKind.STUDENT, name=self._policy_name, revision=f"{self._run}-{moment}")
        setting = Setting(policy, self._spec_hash, self._tools, self._renderer, grader=self._grader, mode=self._mode)
        with gathered(self._engine.model):
            return run_attempts(jobs, self._engine, setting)

    def accuracy(self, tasks: Sequence[Task], num_attempts: int, seed: int, world: World = ALONE) -> float:
        """Share of correct ones among the labelled attempts; the ranks share the tasks."""
        attempts = self.attempts(jobs_of(world.share(tasks), num_attempts, seed), "evaluation")
        outcomes = [attempt.outcome for attempt in attempts]
        correct, wrong = world.sum_figures(outcomes.count(Outcome.CORRECT), outcomes.count(Outcome.WRONG))
        if correct + wrong == 0:
            raise ValueError(
                f"none of {len(tasks) * num_attempts} held-out attempts was labelled: give --eval_tasks "
                "tasks that have a verifier, and look whether the sandbox works (python -m rollout.sandbox.selftest)"
            )
        return correct / (correct + wrong)
