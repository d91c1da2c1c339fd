"""Products that are symmetric: half of one is the mirror of the other.

Of a matrix with its own transpose, and of two matrices that are made of one such
product: `A = X @ X.T`, and `c * A @ A`. Muon and Shampoo spend most of a step in
products, a third or two of them such ones.
"""

from collections.abc import Sequence

import torch

from dux_sandbox.recorded.program import Program, TensorType, ValueType

_BANDS = 4
"""Ten of sixteen blocks are multiplied then; eight bands were no faster."""
_LEAST_ROWS, _LEAST_COLUMNS = 512, 64
"""A matrix of 256 rows gained nothing: the calls cost what they spare."""


def is_mirrored(program: Program, types: Sequence[ValueType], value: int) -> bool:
    """Whether a value is `x @ x.T` or `x.T @ x` of a matrix that is worth it, or a
    product of two polynomials of one such value."""
    operation = program.operation_of(value)
    if operation is None or operation.name != "mm":
        return False
    left, right = operation.arguments
    kind = types[left]
    return (
        isinstance(kind, TensorType)
        and kind.dtype in ("float32", "float64")
        and kind.shape[0] >= _LEAST_ROWS
        and kind.shape[1] >= _LEAST_COLUMNS
        and _is_symmetric(program, types, left, right)
    )


def _is_symmetric(
    program: Program, types: Sequence[ValueType], left: int, right: int
) -> bool:
    if _is_by_its_own(program, left, right):
        return True
    base = _square_of(program, types, left)
    return base is not None and base == _square_of(program, types, right)


def _is_by_its_own(program: Program, left: int, right: int) -> bool:
    """Whether one of them is the transpose of the other."""
    return turned(program, left) == right or turned(program, right) == left


def _square_of(
    program: Program, types: Sequence[ValueType], value: int, depth: int = 8
) -> int | None:
    """The symmetric product that a matrix is a polynomial of."""
    operation = program.operation_of(value)
    if operation is None or not depth:
        return None
    if operation.name == "mm":
        is_own = _is_by_its_own(program, *operation.arguments)
        if is_own and is_mirrored(program, types, value):
            return value
    # A number is added to each element; elements times elements are no power either.
    many = {"mm": 2, "add": 2, "sub": 2, "mul": 1, "div": 1, "neg": 1}
    tensors = [x for x in operation.arguments if not isinstance(types[x], str)]
    if len(tensors) != many.get(operation.name):
        return None
    found = {_square_of(program, types, each, depth - 1) for each in tensors}
    return found.pop() if len(found) == 1 else None


def turned(program: Program, value: int) -> int | None:
    """The matrix that a value is the transpose of."""
    operation = program.operation_of(value)
    if operation is None:
        return None
    axes = operation.attributes
    if operation.name == "permute":
        turns = [each % 2 for each in axes["dims"]] == [1, 0]
    else:
        turns = operation.name == "transpose" and axes["dim0"] % 2 != axes["dim1"] % 2
    return operation.arguments[0] if turns else None


def mirrored(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The product of two matrices, where it is symmetric.

    Within what the order of a sum is worth, 1e-6 of its norm; torch's own product of
    float32 was the same to the last bit where it was tried.

    Args:
        left: `(rows, columns)`.
        right: `(columns, rows)`.

    Returns:
        `(rows, rows)`.
    """
    rows = len(left)
    made = left.new_empty(rows, rows)
    band = -(-rows // _BANDS)
    for low in range(0, rows, band):
        high = min(low + band, rows)
        torch.mm(left[low:high], right[:, :high], out=made[low:high, :high])
        made[:low, low:high] = made[low:high, :low].T
    return made
