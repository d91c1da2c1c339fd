"""The type of what an operation gives: torch's own answer, without any memory."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from dux_sandbox.recorded.number_operations import kind_of_result
from dux_sandbox.recorded.operations import TABLE, apply
from dux_sandbox.recorded.program import TensorType, TupleType, ValueType
from dux_sandbox.recorded.rows import DTYPES, Row

_SAMPLES: Mapping[str, Any] = {"float": 1.5, "number": 1.5, "int": 1, "bool": True}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def type_of(tensor: torch.Tensor) -> TensorType:
    """The type of a tensor.

    Raises:
        KeyError: a dtype that no program has.
    """
    return TensorType(_NAMES[tensor.dtype], tuple(tensor.shape))


def result_of(
    name: str, arguments: tuple[ValueType, ...], attributes: Mapping[str, Any]
) -> ValueType:
    """What the operation of that name gives for arguments of these types.

    Raises:
        Exception: whatever torch raises where they do not fit together.
    """
    frozen = tuple((key, _frozen(value)) for key, value in attributes.items())
    return _result_of(name, arguments, frozen)


def _frozen(value: Any) -> Any:
    # True and 1 are one key to a cache, and not to torch.
    return ("list", *value) if isinstance(value, list) else (type(value), value)


@lru_cache(maxsize=4096)
def _result_of(
    name: str, arguments: tuple[ValueType, ...], frozen: tuple[tuple[str, Any], ...]
) -> ValueType:
    attributes: dict[str, Any] = {
        key: list(value[1:]) if value[0] == "list" else value[1]
        for key, value in frozen
    }
    row = TABLE[name]
    if row.room == "number":
        return _number(name, arguments, attributes)
    if name == "part":
        return _part(arguments[0], attributes["index"])
    return _of_meta(row, arguments, attributes)


def _number(
    name: str, arguments: tuple[ValueType, ...], attributes: Mapping[str, Any]
) -> str:
    if name == "constant":
        return type(attributes["value"]).__name__
    if name == "item":
        (tensor,) = arguments
        assert isinstance(tensor, TensorType)
        if tensor.elements != 1:
            raise ValueError(f"item of {tensor.elements} elements")
        dtype = DTYPES[tensor.dtype]
        if dtype is torch.bool:
            return "bool"
        return "float" if dtype.is_floating_point else "int"
    kinds = [str(each) for each in arguments]
    if name == "number.ranked" and not 0 <= attributes["rank"] < len(kinds):
        raise IndexError(f"number {attributes['rank']} of {len(kinds)} that are sorted")
    return kind_of_result(name.removeprefix("number."), kinds)


def _part(several: ValueType, index: int) -> TensorType:
    if not isinstance(several, TupleType):
        raise TypeError("part of what is no tuple")
    if not 0 <= index < len(several.parts):
        raise IndexError(f"part {index} of {len(several.parts)}")
    return several.parts[index]


def _of_meta(
    row: Row, arguments: tuple[ValueType, ...], attributes: Mapping[str, Any]
) -> ValueType:
    samples = [_sample(each) for each in arguments]
    with torch.no_grad():
        made = apply(row, samples, attributes, "meta")
        if "number" in arguments and isinstance(made, torch.Tensor):
            _require_one_type(row, arguments, attributes, made)
    if isinstance(made, torch.Tensor):
        return type_of(made)
    return TupleType(tuple(type_of(each) for each in made))


def _require_one_type(
    row: Row,
    arguments: tuple[ValueType, ...],
    attributes: Mapping[str, Any],
    made: torch.Tensor,
) -> None:
    """Refuse what has another type for a whole number than for a broken one."""
    for kind in ("int", "bool"):
        others = [_sample(kind if each == "number" else each) for each in arguments]
        try:
            other = apply(row, others, attributes, "meta")
        # It would raise in the step, too.
        except Exception:
            continue
        if (other.dtype, other.shape) != (made.dtype, made.shape):
            raise TypeError(f"{made.dtype} or {other.dtype}, as a number comes out")


def _sample(kind: ValueType) -> Any:
    if isinstance(kind, TensorType):
        return torch.empty(kind.shape, dtype=DTYPES[kind.dtype], device="meta")
    if isinstance(kind, TupleType):
        raise TypeError("several tensors where one was wanted")
    return _SAMPLES[kind]
