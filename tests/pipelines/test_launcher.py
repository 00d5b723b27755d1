"""The launcher inside real Dagster runs. The process is a small script that stands where the interpreter would."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import dagster as dg
import pytest

from data_contracts.manifests import RunInput, RunKind, RunSpec
from pipelines.defs.checkpoints import train
from pipelines.defs.rl import CURVES
from pipelines.launchers.local import LocalLauncher, finished, ranks
from pipelines.launchers.processes import run_guarded
from tests.pipelines.test_guard import wait_until_gone

CHILD = """#!{python}
import os, sys
from pathlib import Path
sys.path.insert(0, {project!r})
from data_contracts.manifests import RunResult, RunSpec
spec = RunSpec.from_json(Path(sys.argv[sys.argv.index("--spec") + 1]).read_bytes())
folder = Path(spec.output)
with (folder / "starts").open("a") as file:
    file.write("x")
print("progress 1/2", file=sys.stderr, flush=True)
{body}
"""
GOOD = """
result = RunResult(kind=spec.kind, identity=spec.identity, outputs=(), metrics="{}")
(folder / "gpus").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
(folder / "result.json").write_text(result.canonical())
"""


def interpreter(folder: Path, body: str) -> str:
    path = folder / "python"
    project = str(Path(__file__).parents[2])
    path.write_text(CHILD.format(python=sys.executable, project=project, body=textwrap.dedent(body)))
    path.chmod(0o755)
    return str(path)


def spec_in(folder: Path) -> RunSpec:
    given = RunInput(name="tasks", path="/tasks", content_hash="h")
    return RunSpec(kind=RunKind.SAMPLE, recipe="{}", inputs=(given,), output=str(folder / "out"), seed=0)


def materialize(folder: Path, body: str) -> dg.ExecuteInProcessResult:
    @dg.asset
    def one(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
        result = launcher.run(context, spec_in(folder), "teacher")
        return dg.MaterializeResult(metadata={"identity": result.identity})

    resources = {"launcher": LocalLauncher(rollout_python=interpreter(folder, body), grace_s=0.2)}
    with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
        return dg.materialize([one], instance=instance, resources=resources, raise_on_error=False)


def message(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return failure.step_failure_data.user_failure_data.description


def test_a_run_is_done_once(tmp_path, capfd):
    assert materialize(tmp_path, GOOD).success
    assert materialize(tmp_path, GOOD).success
    assert (tmp_path / "out" / "starts").read_text() == "x"
    assert (tmp_path / "out" / "gpus").read_text() == ""
    assert "progress 1/2" in capfd.readouterr().err


@pytest.mark.parametrize(("kind", "num_gpus", "num_ranks"), [("sft", 8, 8), ("rl", 1, 0), ("sample", 8, 0)])
def test_the_trainer_is_one_process_a_gpu(tmp_path, kind, num_gpus, num_ranks):
    spec = spec_in(tmp_path).model_copy(update={"kind": RunKind(kind), "num_gpus": num_gpus})
    command = LocalLauncher(rollout_python="python", trainer_python="python").command(spec)
    torchrun = f"-m torch.distributed.run --standalone --nproc-per-node {num_ranks} " if num_ranks else ""
    module = "rollout" if kind == "sample" else "trainer"
    assert " ".join(command) == f"python {torchrun}-m {module} {kind} --spec {tmp_path}/out/spec.json"


def test_ranks_end_with_the_launcher(tmp_path):
    """torchrun starts each rank in a session of its own."""
    program = tmp_path / "rank.py"
    program.write_text("import os, sys, time; print('rank', os.getpid(), file=sys.stderr, flush=True); time.sleep(300)")
    pids = []

    def interrupt(line: str) -> None:
        pids.extend(int(word) for word in line.split()[1:] if line.startswith("rank "))
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_guarded([sys.executable, *ranks(2), str(program)], os.environ, interrupt, grace_s=1.0)
    assert wait_until_gone(pids) == []


def test_the_last_error_line_is_the_message(tmp_path):
    result = materialize(tmp_path, "sys.exit('error: recipe [teacher]: unknown key')")
    assert message(result) == "sample failed (exit code 1): error: recipe [teacher]: unknown key"


def test_a_process_without_a_result_failed_whatever_it_says(tmp_path):
    assert "exit code 0" in message(materialize(tmp_path, "pass"))


def test_the_result_of_another_spec_does_not_count(tmp_path):
    assert materialize(tmp_path, GOOD).success
    other = spec_in(tmp_path).model_copy(update={"seed": 1})
    assert finished(spec_in(tmp_path)) is not None
    assert finished(other) is None


RUN = """
import sys
from pathlib import Path
from tests.pipelines.test_launcher import materialize
body = "import subprocess, time; p = subprocess.Popen(['sleep', '300'], start_new_session=True);" \\
    "(folder / 'pids').write_text(f'{os.getpid()} {p.pid}'); time.sleep(300)"
materialize(Path(sys.argv[1]), body)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_cancelled_or_killed_dagster_run_leaves_no_process(tmp_path, number):
    project = Path(__file__).parents[2]
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        stderr=subprocess.DEVNULL,
    )
    pids = tmp_path / "out" / "pids"
    deadline = time.monotonic() + 60
    while not (pids.is_file() and pids.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(number)
    run.wait(30)
    assert wait_until_gone([int(pid) for pid in pids.read_text().split()]) == []


ALARM = """
lines = '{"step": 0, "entropy": 0.3, "loss": 1.0}', '{"step": 1, "entropy": 0.01, "loss": 0.9}', ""
(folder / "metrics.jsonl").write_text(chr(10).join(lines))
print("error: alarm at step 2: entropy was below 0.05: raise clip_high", file=sys.stderr)
sys.exit(2)
"""


def test_a_run_that_an_alarm_stopped_shows_its_curves_and_what_to_do(tmp_path):
    @dg.asset
    def one(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
        train(context, launcher, spec_in(tmp_path), "rl", CURVES)
        return dg.MaterializeResult()

    resources = {"launcher": LocalLauncher(rollout_python=interpreter(tmp_path, ALARM), grace_s=0.2)}
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        result = dg.materialize([one], instance=instance, resources=resources, raise_on_error=False)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    told = failure.user_failure_data
    assert "alarm at step 2: entropy was below 0.05: raise clip_high" in told.description
    assert told.metadata["plot_entropy"].value.startswith("![RL until it failed](data:image/png")
    assert "plot_sampler_gap" not in told.metadata
