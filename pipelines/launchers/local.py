"""Starts `python -m rollout` and `python -m trainer` on this machine, through Dagster Pipes."""

import os
import sys
from pathlib import Path

import dagster as dg

from data_contracts.manifests import RunKind, RunResult, RunSpec
from data_contracts.storage import write_bytes
from pipelines.launchers.gpus import Claim, claim_gpus
from pipelines.launchers.locks import locked
from pipelines.launchers.processes import GRACE_S, Ending, run_guarded
from rollout.process import RESULT, finished

SPEC = "spec.json"
MODULES = {
    RunKind.SAMPLE: "rollout",
    RunKind.EVALUATE: "rollout",
    RunKind.INIT: "trainer",
    RunKind.SFT: "trainer",
    RunKind.RL: "trainer",
}


class LocalLauncher(dg.ConfigurableResource["LocalLauncher"]):
    """Runs a RunSpec as a process of its own, and ends it and all it started when the run is cancelled or fails."""

    rollout_python: str = sys.executable
    """Interpreter for sampling and evaluation; an inference engine may want an environment of its own."""
    trainer_python: str = sys.executable
    grace_s: float = GRACE_S

    def run(self, context: dg.AssetExecutionContext, spec: RunSpec, stage: str) -> RunResult:
        """Run `spec` unless its result is there already; `stage` is its recipe table, for messages.

        Raises dagster.Failure with the last error line of the process.
        """
        lock = Path(spec.output) / ".lock"
        with locked(lock, lambda: context.log.info(f"waiting for another run that writes {spec.output}")) as lock_fd:
            result = finished(spec)
            if result is not None:
                context.log.info(f"{stage}: {spec.output} is complete; nothing to run")
                return result
            with claim_gpus(spec.num_gpus, stage) as claim:
                return self._start(context, spec, claim, lock_fd)

    def _start(self, context: dg.AssetExecutionContext, spec: RunSpec, claim: Claim, lock_fd: int) -> RunResult:
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
        ) as session:
            env = os.environ | session.get_bootstrap_env_vars()
            env |= {"CUDA_VISIBLE_DEVICES": claim.visible, "PYTHONUNBUFFERED": "1"}
            env |= {"TQDM_DISABLE": "1"}  # progress is ours: one line every few seconds
            command = self.command(spec)
            context.log.info(f"GPUs: {claim.visible or 'none'}; starting {' '.join(command)}")
            ending = run_guarded(command, env, _echo, (lock_fd, *claim.lock_fds), self.grace_s)
        return _outcome(spec, ending)

    def command(self, spec: RunSpec) -> list[str]:
        """Write the spec into its output folder; returns the command line that runs it."""
        module = MODULES[spec.kind]
        path = Path(spec.output) / SPEC
        write_bytes(path, spec.canonical().encode())
        python = self.rollout_python if module == "rollout" else self.trainer_python
        starter = [python, *(ranks(spec.num_gpus) if module == "trainer" else ())]
        return [*starter, "-m", module, spec.kind.value, "--spec", str(path)]


def ranks(num_gpus: int) -> tuple[str, ...]:
    """The trainer works on several GPUs as one process each."""
    if num_gpus < 2:
        return ()
    return "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_gpus)


def _echo(line: str) -> None:
    """To the compute log of the step, and to the terminal of who started it."""
    sys.stderr.write(line)
    sys.stderr.flush()


def _outcome(spec: RunSpec, ending: Ending) -> RunResult:
    """What the folder says: a run without result.json failed, whatever its exit code."""
    result = finished(spec)
    if ending.code == 0 and result is not None:
        return result
    reason = ending.last_line or f"the process left no {RESULT} in {spec.output}"
    raise dg.Failure(
        description=f"{spec.kind.value} failed (exit code {ending.code}): {reason}",
        metadata={"output": dg.MetadataValue.path(spec.output), "exit_code": ending.code},
        allow_retries=False,
    )
