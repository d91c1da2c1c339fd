"""Recorded execution in the trainer: programs that were verified, run step by step."""
