"""MLflow: the server or database of MLFLOW_TRACKING_URI, else `<run>/mlflow.db`."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from trainer.trackers.tracker import PROJECT, TrackedRun


class MlflowTracker:
    """A run of the experiment `toolpath` (MLFLOW_EXPERIMENT_NAME); a resumed run goes on in the one of its name."""

    def __init__(self, run: TrackedRun) -> None:
        tracking: Any = import_module("mlflow.tracking")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.folder.resolve() / 'mlflow.db'}"
        self._client = tracking.MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        same = self._client.search_runs([experiment], f"attributes.run_name = '{run.name}'", max_results=1)
        self._run_id = (same[0] if same else self._client.create_run(experiment, run_name=run.name)).info.run_id

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """All figures of a step in one request."""
        metric: Any = import_module("mlflow.entities").Metric
        self._client.log_batch(self._run_id, [metric(name, value, 0, step) for name, value in figures.items()])

    def finish(self) -> None:
        """Mark the run as done."""
        self._client.set_terminated(self._run_id)
