"""Puts back what an experiment may change for the whole process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dux_sandbox.random_state import random_numbers_kept


@contextmanager
def surroundings_kept() -> Iterator[None]:
    """Global modes and random numbers are afterwards what they were before."""
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    threads, anomaly = torch.get_num_threads(), torch.is_anomaly_enabled()
    precision = torch.get_float32_matmul_precision()
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    flushes = _flushes_denormals()
    try:
        with warnings.catch_warnings(), random_numbers_kept():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_grad_enabled(grad)
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.is_anomaly_enabled() != anomaly:
            torch.autograd.set_detect_anomaly(anomaly)
        if torch.get_float32_matmul_precision() != precision:
            torch.set_float32_matmul_precision(precision)
        if torch.are_deterministic_algorithms_enabled() != strict:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        if _flushes_denormals() != flushes:
            torch.set_flush_denormal(flushes)


def _flushes_denormals() -> bool:
    return float(torch.tensor(1e-40, dtype=torch.float32) * 1.0) == 0
