"""The code location: everything that Dagster shows, named explicitly."""

import dagster as dg

from pipelines.defs.jobs import ASSETS, JOBS, daily_refresh, walk_on
from pipelines.resources import default_resources

definitions = dg.Definitions(
    assets=ASSETS,
    jobs=JOBS,
    schedules=[daily_refresh],
    sensors=[walk_on],
    resources=default_resources(),
    # The heavy work runs in processes of its own; a step in the run's process costs nothing extra.
    executor=dg.in_process_executor,
)
