"""Where else the figures of a run go, beside the file of record (`metrics.jsonl`): one small file a tracker."""

from trainer.trackers.choice import Kind, chosen
from trainer.trackers.tracking import Tracking

__all__ = ["Kind", "Tracking", "chosen"]
