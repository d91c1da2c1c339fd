"""Puts back what an experiment may change for the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dux_sandbox.global_modes import Modes
from dux_sandbox.random_state import random_numbers_kept
from dux_sandbox.told_warnings import no_warnings


@contextmanager
def surroundings_kept() -> Iterator[None]:
    """Global modes and random numbers are afterwards what they were before."""
    modes, flushes = Modes(), _flushes_denormals()
    try:
        with no_warnings(), random_numbers_kept():
            yield
    finally:
        modes.restore()
        if _flushes_denormals() != flushes:
            torch.set_flush_denormal(flushes)


def _flushes_denormals() -> bool:
    return float(torch.tensor(1e-40, dtype=torch.float32) * 1.0) == 0
