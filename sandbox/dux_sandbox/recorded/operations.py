"""The table of operations: all that a program can do, and what each means in torch.

No operation writes to its arguments, reads a file, or asks for the time.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from dux_sandbox.recorded.called_operations import CALLED
from dux_sandbox.recorded.elementwise_operations import elementwise
from dux_sandbox.recorded.number_operations import (
    MEANINGS,
    RANKED,
    THREE,
    TWO,
    ranked,
)
from dux_sandbox.recorded.random_operations import drawing
from dux_sandbox.recorded.rows import DTYPES, Meaning, Row
from dux_sandbox.recorded.tensor_operations import making, matrices, reductions, shapes


def _constant(*, value: float | int | bool) -> float | int | bool:
    return value


def _item(tensor: torch.Tensor) -> Any:
    return tensor.item()


def _numbers() -> dict[str, Row]:
    rows = {}
    for name, meaning in MEANINGS.items():
        letters = "NNN" if name in THREE else "NN" if name in TWO else "N"
        rows[f"number.{name}"] = Row(letters, "number", meaning)
    rows["number.log"] = Row("NN", "number", MEANINGS["log"], optional=1)
    rows["number.ranked"] = Row("N*", "number", ranked, RANKED)
    rows["constant"] = Row("", "number", _constant, {"value": "number"})
    rows["item"] = Row("T", "number", _item)
    return rows


TABLE: Mapping[str, Row] = MappingProxyType(
    {
        **elementwise(),
        **reductions(),
        **shapes(),
        **making(),
        **drawing(),
        **matrices(),
        **_numbers(),
        **{name: each.row for name, each in CALLED.items()},
    }
)
"""By name. "constant" is a number that never changes, "item" the number in a tensor of
one element; the operations of Python's numbers begin with "number."."""


def _cast(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """With dtypes where their names stand."""
    return {
        name: DTYPES[value] if name == "dtype" and value is not None else value
        for name, value in attributes.items()
    }


def prepared(
    row: Row, attributes: Mapping[str, Any], device: torch.device | str | None = None
) -> Meaning:
    """An operation with its attributes, to be called with its arguments.

    Args:
        device: where makers make what they make.
    """
    options = _cast(attributes)
    if row.room == "making":
        options["device"] = device
    return partial(row.meaning, **options) if options else row.meaning


def apply(
    row: Row,
    arguments: list[Any],
    attributes: Mapping[str, Any],
    device: torch.device | str | None = None,
) -> Any:
    """What an operation gives for these arguments; see `prepared`."""
    return prepared(row, attributes, device)(*arguments)
