"""Verifiers: is the final message right? Only the final message is judged, never tool output."""

from rollout.rewards.judgement import Judgement
from rollout.rewards.registry import VERIFIERS, judge

__all__ = ["VERIFIERS", "Judgement", "judge"]
