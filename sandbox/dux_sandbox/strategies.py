"""Hypothesis strategies for parameters, gradients and whole trainings (extra `fuzz`).

from hypothesis import given
from dux_sandbox.strategies import parameter_sets
"""

from dux_sandbox.laws.strategies import (
    cases,
    gradient_rows,
    gradient_sequences,
    group_options,
    parameter_sets,
    parameters,
    shapes,
    training_machine,
)

__all__ = [
    "cases",
    "gradient_rows",
    "gradient_sequences",
    "group_options",
    "parameter_sets",
    "parameters",
    "shapes",
    "training_machine",
]
