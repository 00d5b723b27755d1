"""Turns token rows into a better policy: packing, losses, two loops (SFT and GRPO-TCR), exact checkpoints."""
