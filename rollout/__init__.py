"""Run an agent on a task, get a scored attempt."""
