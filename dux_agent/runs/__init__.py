"""Whole runs of a task: in one piece, resumed after a crash, or replayed."""
