"""Products and decompositions of matrices: how much they make and how much they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.runtime.products import (
    check_decomposition,
    check_einsum,
    check_elements,
    check_product,
    check_work,
)

Check = Callable[..., None]
_MOST_MATRICES = 64
_MOST_POWER = 1_000_000
_MOST_ITERATIONS = 100


def _product(name: str, first: int = 0) -> Check:
    """A check of the product of two of the arguments, the others being added to it."""

    def check(*arguments: Any, **options: Any) -> None:
        pair = _tensors(arguments, options)
        check_product(pair[first], pair[first + 1], name)

    return check


def _tensors(arguments: tuple[Any, ...], options: dict[str, Any]) -> list[torch.Tensor]:
    given = (*arguments, *options.values())
    return [each for each in given if isinstance(each, torch.Tensor)]


def _rows(name: str) -> Check:
    """A row of the one for every row of the other: inner, cdist, tensordot's like."""

    def check(*arguments: Any, **options: Any) -> None:
        left, right = _tensors(arguments, options)[:2]
        if left.numel() * right.numel() <= 1 << 20:
            return
        inner = max(1, left.shape[-1] if left.ndim else 1)
        batch = math.prod(left.shape[:-2]) if name == "cdist" else 1
        pairs = left.numel() / inner * (right.numel() / inner) / max(1, batch)
        check_elements(pairs, name)
        check_work(pairs * inner, name)

    return check


def _linear(*arguments: Any, **options: Any) -> None:
    given, weight = _tensors(arguments, options)[:2]
    check_product(given, weight.mT if weight.ndim > 1 else weight, "linear")


def _tensordot(a: Any, b: Any, dims: Any = 2) -> None:
    if isinstance(dims, torch.Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        taken = a.shape[a.ndim - dims :] if dims else ()
    else:
        listed = dims[0]
        taken = [
            a.shape[at] for at in ([listed] if isinstance(listed, int) else listed)
        ]
    inner = max(1, math.prod(taken))
    check_elements(a.numel() / inner * (b.numel() / inner), "tensordot")
    check_work(a.numel() / inner * b.numel(), "tensordot")


def _einsum(equation: Any, *operands: Any) -> None:
    given = operands[0] if len(operands) == 1 else operands
    listed = given if isinstance(given, (list, tuple)) else operands
    if not isinstance(equation, str):
        raise TypeError("einsum wants its equation as a string: einsum('ij,jk', a, b)")
    check_einsum(equation, [each.shape for each in listed])


def _chain(*matrices: Any) -> None:
    given = matrices[0] if len(matrices) == 1 else matrices
    if not isinstance(given, (list, tuple)) or len(given) > _MOST_MATRICES:
        raise ValueError(f"a chain of at most {_MOST_MATRICES} matrices, in a list")
    rows = [each.shape[0] if each.ndim > 1 else 1 for each in given]
    columns = [each.shape[-1] if each.ndim else 1 for each in given]
    widest, tallest = max(columns, default=1), max(rows, default=1)
    check_elements(widest * tallest, "a chain of matrices")
    check_work(len(given) * widest * tallest * max(widest, tallest), "a chain")


def _decomposed(name: str, factor: float) -> Check:
    def check(matrices: Any, *_: Any, **__: Any) -> None:
        check_decomposition(matrices, name, factor)

    return check


def _square_factor(name: str, full: Callable[..., bool]) -> Check:
    """A decomposition that can be asked for whole square factors of a thin matrix."""

    def check(matrices: Any, *arguments: Any, **options: Any) -> None:
        if full(*arguments, **options) and matrices.ndim > 1:
            largest = max(matrices.shape[-2:])
            batch = math.prod(matrices.shape[:-2])
            check_elements(max(matrices.numel(), batch * largest**2), name)
        check_decomposition(matrices, name)

    return check


def _solved(name: str) -> Check:
    def check(*arguments: Any, **options: Any) -> None:
        pair = _tensors(arguments, options)
        check_decomposition(pair[0], name, 2)
        if len(pair) > 1:
            check_product(pair[0], pair[-1], name)

    return check


def _lowrank(matrices: Any, q: Any = 6, niter: Any = 2, *_: Any, **__: Any) -> None:
    if niter > _MOST_ITERATIONS:
        raise ValueError(f"{niter} iterations of svd_lowrank; at most 100")
    check_work(float(matrices.numel()) * q * (2 * niter + 2), "svd_lowrank")


def _power(matrices: Any, n: Any) -> None:
    if abs(n) > _MOST_POWER:  # torch counts up to the smallest integer for ever
        raise ValueError(f"a matrix to the power {n}; at most {_MOST_POWER}")
    check_decomposition(matrices, "matrix_power", 2 * max(2, abs(n).bit_length()))


def _spectral(matrices: Any, ord: Any = None, *_: Any, **__: Any) -> None:
    """Only some norms need the singular values."""
    if ord in (2, -2, "nuc"):
        check_decomposition(matrices, "norm")


_CHEAP = dict.fromkeys("det inverse logdet slogdet".split(), 2.0)
_DEAR = {"matrix_exp": 40.0, "pinverse": 20.0}
CHECKS: dict[str, Check] = {
    "addbmm": _product("addbmm", 1),
    "addmm": _product("addmm", 1),
    "addmv": _product("addmv", 1),
    "baddbmm": _product("baddbmm", 1),
    "bmm": _product("bmm"),
    "inner": _rows("inner"),
    "matmul": _product("matmul"),
    "matrix_power": _power,
    "mm": _product("mm"),
    "mv": _product("mv"),
    "qr": _square_factor("qr", lambda some=True: not some),
    "svd": _square_factor("svd", lambda some=True, *_, **__: not some),
    **{name: _decomposed(name, cost) for name, cost in {**_CHEAP, **_DEAR}.items()},
}
_LINALG = {
    **dict.fromkeys("cholesky det inv lu_factor slogdet".split(), 2.0),
    **dict.fromkeys("cond matrix_rank pinv svdvals".split(), 10.0),
    **dict.fromkeys("eigh eigvalsh".split(), 10.0),
    **dict.fromkeys("eig eigvals matrix_exp".split(), 40.0),
}
_SOLVERS = "lstsq lu_solve solve solve_triangular tensorsolve".split()
FUNCTIONS: dict[str, Check] = {
    "torch.cdist": _rows("cdist"),
    "torch.chain_matmul": _chain,
    "torch.einsum": _einsum,
    "torch.svd_lowrank": _lowrank,
    "torch.tensordot": _tensordot,
    "torch.linalg.lu": _square_factor("lu", lambda **_: True),
    "torch.linalg.matrix_norm": _spectral,
    "torch.linalg.norm": _spectral,
    "torch.linalg.matmul": _product("matmul"),
    "torch.linalg.matrix_power": _power,
    "torch.linalg.multi_dot": _chain,
    "torch.linalg.qr": _square_factor(
        "qr", lambda mode="reduced", *_, **__: mode == "complete"
    ),
    "torch.linalg.svd": _square_factor(
        "svd", lambda full_matrices=True, *_, **__: bool(full_matrices)
    ),
    **{f"torch.linalg.{name}": _decomposed(name, c) for name, c in _LINALG.items()},
    **{f"torch.linalg.{name}": _solved(name) for name in _SOLVERS},
    "torch.nn.functional.linear": _linear,
}
METHODS: dict[str, Check] = {
    "addbmm_": CHECKS["addbmm"],
    "addmm_": CHECKS["addmm"],
    "addmv_": CHECKS["addmv"],
    "baddbmm_": CHECKS["baddbmm"],
}
