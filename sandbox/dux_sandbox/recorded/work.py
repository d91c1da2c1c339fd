"""How much work an operation is: no program may hold up the trainer for long."""

import math

from dux_sandbox.recorded.program import TensorType, TupleType, ValueType

_EACH = 1_000.0
"""What the call of any operation costs, in multiplications: about a microsecond."""
_SLOW = {
    **dict.fromkeys(("sort", "topk", "kthvalue", "mode", "isin"), 1_000.0),
    **dict.fromkeys(("scatter_reduce", "put", "index_put"), 100.0),
    **dict.fromkeys(("median", "median_along", "nanmedian", "at_ranks"), 300.0),
    **dict.fromkeys(("searchsorted", "bucketize", "logcumsumexp"), 300.0),
    **dict.fromkeys(("drawn", "permuted", "chosen"), 100.0),
    **dict.fromkeys(("digamma", "erfinv", "lgamma", "sinc", "i0"), 200.0),
    **dict.fromkeys(("acosh", "asinh", "atanh", "tan", "pow", "xlogy"), 10.0),
}
"""What an element costs where it is much more than to move it; as measured."""
_WHOLE_POWER = 500.0
_MATRIX = 10_000.0
"""What each matrix of a batch costs beside its elements."""
_SHORT = 32.0
"""How long a product of vectors is at least, however short they are."""
_CUBED = {
    "eigh": 30.0,
    "svd": 60.0,
    "qr": 10.0,
    "inv": 4.0,
    "cholesky": 2.0,
    "pinv": 80.0,
    "matrix_exp": 60.0,
    "det": 4.0,
    "slogdet": 4.0,
}


def work_of(name: str, arguments: tuple[ValueType, ...], made: ValueType) -> float:
    """About how many multiplications an operation is.

    >>> matrix = TensorType("float32", (100, 100))
    >>> work_of("mm", (matrix, matrix), matrix)
    1321000.0
    """
    tensors = [each for each in arguments if isinstance(each, TensorType)]
    parts = made.parts if isinstance(made, TupleType) else (made,)
    touched = [*tensors, *(each for each in parts if isinstance(each, TensorType))]
    moved = float(sum(each.elements for each in touched))
    if name in _CUBED and tensors:
        shape = tensors[0].shape[-2:]
        batch = tensors[0].elements / max(1, math.prod(shape))
        one = _CUBED[name] * math.prod(shape) * max(shape, default=1)
        return _EACH + batch * (_MATRIX + one)
    if name in ("solve", "solve_triangular"):
        batch = tensors[0].elements / max(1, math.prod(tensors[0].shape[-2:]))
        each = 4.0 * max(tensors[0].shape, default=1)
        return _EACH + batch * _MATRIX + moved * each
    if name in ("mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm"):
        inner = tensors[-2].shape[-1] if tensors[-2].shape else 1
        outer = sum(each.elements for each in parts if isinstance(each, TensorType))
        batch = tensors[-2].shape[0] if name == "addbmm" else 1
        return _EACH + (_SHORT + inner) * outer * batch
    if name == "cdist" and isinstance(made, TensorType):
        inner = tensors[0].shape[-1] if tensors[0].shape else 1
        return _EACH + 10.0 * (_SHORT + inner) * made.elements
    factor = _SLOW.get(name, 1.0)
    if name == "pow" and all("int" in each.dtype for each in tensors):
        factor = _WHOLE_POWER
    return _EACH + factor * moved if touched else 1.0
