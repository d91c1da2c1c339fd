"""Operations on whole tensors: reductions, shapes, makers and matrices."""

from typing import Any

import torch

from dux_sandbox.recorded.operations_of_ranks import at_ranks
from dux_sandbox.recorded.rows import Meaning, Row

_ALONG = {"dim": "ints?", "keepdim": "bool"}


def reductions() -> dict[str, Row]:
    """Operations that bring elements together, by name."""
    typed = {**_ALONG, "dtype": "dtype?"}
    rows = {
        "sum": Row("T", "reduction", torch.sum, typed),
        "mean": Row("T", "reduction", torch.mean, typed),
        "nansum": Row("T", "reduction", _nansum, typed),
        "norm": Row("TN", "reduction", torch.linalg.vector_norm, typed),
        "amax": Row("T", "reduction", _over(torch.amax), _ALONG),
        "amin": Row("T", "reduction", _over(torch.amin), _ALONG),
        "all": Row("T", "reduction", torch.all, _ALONG),
        "any": Row("T", "reduction", torch.any, _ALONG),
        "logsumexp": Row("T", "reduction", _over(torch.logsumexp), _ALONG),
        "var": Row("T", "reduction", torch.var, {**_ALONG, "correction": "number?"}),
        "std": Row("T", "reduction", torch.std, {**_ALONG, "correction": "number?"}),
    }
    one = {"dim": "int?", "keepdim": "bool"}
    rows["argmax"] = Row("T", "reduction", torch.argmax, one)
    rows["argmin"] = Row("T", "reduction", torch.argmin, one)
    rows["prod"] = Row("T", "reduction", _prod, {"dtype": "dtype?"})
    along = {"dim": "int"}
    for name in ("cumsum", "cumprod"):
        kinds = {**along, "dtype": "dtype?"}
        rows[name] = Row("T", "reduction", getattr(torch, name), kinds)
    rows["softmax"] = Row("T", "reduction", torch.softmax, along)
    rows["median"] = Row("T", "reduction", torch.median)
    rows["at_ranks"] = Row("TT", "reduction", at_ranks)
    several = {"dim": "int", "keepdim": "bool"}
    for name in ("max_along", "min_along", "median_along"):
        real = getattr(torch, name.removesuffix("_along"))
        rows[name] = Row("T", "reduction", real, several)
    rows["sort"] = Row(
        "T", "reduction", torch.sort, {**along, "descending": "bool", "stable": "bool"}
    )
    rows["topk"] = Row(
        "T",
        "reduction",
        torch.topk,
        {"k": "int", "dim": "int", "largest": "bool", "sorted": "bool"},
    )
    return rows


def _nansum(tensor: Any, *, dim: list[int] | None, keepdim: bool, dtype: Any) -> Any:
    # Of no dimension it is one of all, and on the meta device of none.
    over = list(range(tensor.ndim)) if not dim else dim
    return torch.nansum(tensor, over, keepdim, dtype=dtype)


def _over(real: Meaning) -> Meaning:
    def meaning(tensor: Any, *, dim: list[int] | None, keepdim: bool) -> Any:
        over = list(range(tensor.ndim)) if not dim else dim
        return real(tensor, over, keepdim)

    return meaning


def _prod(tensor: Any, *, dtype: Any) -> Any:
    return torch.prod(tensor, dtype=dtype)


def shapes() -> dict[str, Row]:
    """Operations that move elements and compute nothing, by name."""
    place = {"dim": "int", "index": "int"}
    span = {"dim": "int", "start": "int", "end": "int", "step": "int"}
    diagonal = {"offset": "int", "dim1": "int", "dim2": "int"}

    def shape(meaning: Meaning, signature: str = "T", **attributes: str) -> Row:
        return Row(signature, "shape", meaning, attributes)

    return {
        "transpose": shape(torch.transpose, dim0="int", dim1="int"),
        "permute": shape(torch.permute, dims="ints"),
        "reshape": shape(torch.reshape, shape="ints"),
        "expand": shape(torch.broadcast_to, size="ints"),
        "unsqueeze": shape(torch.unsqueeze, dim="int"),
        "squeeze": shape(torch.squeeze, dim="ints"),
        "select": shape(torch.select, **place),
        "slice": shape(_slice, **span),
        "diagonal": shape(torch.diagonal, **diagonal),
        "select_scatter": shape(torch.select_scatter, "TT", **place),
        "slice_scatter": shape(torch.slice_scatter, "TT", **span),
        "diagonal_scatter": shape(torch.diagonal_scatter, "TT", **diagonal),
        "diag_embed": shape(torch.diag_embed, **diagonal),
        "flip": shape(torch.flip, dims="ints"),
        "roll": shape(torch.roll, shifts="ints", dims="ints"),
        "repeat": shape(torch.tile, dims="ints"),
        "tril": shape(torch.tril, diagonal="int"),
        "triu": shape(torch.triu, diagonal="int"),
        "index_select": shape(_index_select, "TT", dim="int"),
        "gather": shape(_gather, "TT", dim="int"),
        "index": shape(_index, "T*", dims="ints"),
        "index_put": shape(_index_put, "T*", dims="ints", accumulate="bool"),
        "block_diag": shape(torch.block_diag, "T*"),
        "cat": shape(_cat, "T*", dim="int"),
        "stack": shape(_stack, "T*", dim="int"),
        "bits": shape(_bits, dtype="dtype"),
        "part": Row("P", "shape", _part, {"index": "int"}),
    }


def _slice(tensor: Any, *, dim: int, start: int, end: int, step: int) -> Any:
    return torch.ops.aten.slice(tensor, dim, start, end, step)


def _index_select(tensor: Any, index: Any, *, dim: int) -> Any:
    return torch.index_select(tensor, dim, index)


def _gather(tensor: Any, index: Any, *, dim: int) -> Any:
    return torch.gather(tensor, dim, index)


def _indices(tensor: Any, indices: tuple[Any, ...], dims: list[int]) -> list[Any]:
    """What stands in the brackets: an index in each of these dimensions."""
    if len(set(dims)) < len(dims) or len(dims) != len(indices):
        raise ValueError("one index for each of the dimensions")
    if any(each.dtype not in (torch.int64, torch.int32) for each in indices):
        raise TypeError("an index of what is no whole number")
    found: list[Any] = [None] * tensor.ndim
    for dim, index in zip(dims, indices, strict=True):
        found[dim] = index
    return found


def _index(tensor: Any, *indices: Any, dims: list[int]) -> Any:
    return torch.ops.aten.index(tensor, _indices(tensor, indices, dims))


def _index_put(
    tensor: Any, values: Any, *indices: Any, dims: list[int], accumulate: bool
) -> Any:
    found = _indices(tensor, indices, dims)
    return torch.ops.aten.index_put(tensor, found, values, accumulate)


def _cat(*tensors: Any, dim: int) -> Any:
    return torch.cat(tensors, dim)


def _stack(*tensors: Any, dim: int) -> Any:
    return torch.stack(tensors, dim)


def _bits(tensor: Any, *, dtype: torch.dtype) -> Any:
    """The same bits, taken for values of another dtype of as many bytes."""
    if tensor.dtype.itemsize != dtype.itemsize or torch.bool in (tensor.dtype, dtype):
        raise TypeError(f"the bits of {tensor.dtype} as {dtype}")
    return tensor.view(dtype)


def _part(several: Any, *, index: int) -> Any:
    return several[index]


def making() -> dict[str, Row]:
    """Operations that need no tensor, by name; they take `device` beside."""

    def make(meaning: Meaning, signature: str, **attributes: str) -> Row:
        return Row(signature, "making", meaning, {**attributes, "dtype": "dtype"})

    return {
        "full": make(_full, "N", size="ints"),
        "eye": make(_eye, "", n="int", m="int"),
        "arange": make(torch.arange, "", start="number", end="number", step="number"),
        "linspace": make(torch.linspace, "", start="number", end="number", steps="int"),
        "tril_indices": make(
            torch.tril_indices, "", row="int", col="int", offset="int"
        ),
        "triu_indices": make(
            torch.triu_indices, "", row="int", col="int", offset="int"
        ),
    }


def _full(number: Any, *, size: list[int], dtype: Any, device: Any = None) -> Any:
    return torch.full(size, number, dtype=dtype, device=device)


def _eye(*, n: int, m: int, dtype: Any, device: Any = None) -> Any:
    return torch.eye(n, m, dtype=dtype, device=device)


def matrices() -> dict[str, Row]:
    """Operations of linear algebra, by name."""
    linalg, aten = torch.linalg, torch.ops.aten
    sides = {"upper": "bool", "left": "bool", "unitriangular": "bool"}

    def matrix(meaning: Meaning, signature: str = "T", **attributes: str) -> Row:
        return Row(signature, "matrix", meaning, attributes)

    return {
        "mm": matrix(torch.mm, "TT"),
        "bmm": matrix(torch.bmm, "TT"),
        "mv": matrix(torch.mv, "TT"),
        "dot": matrix(torch.dot, "TT"),
        "addmm": matrix(_added(torch.addmm), "TTTNN"),
        "addmv": matrix(_added(torch.addmv), "TTTNN"),
        "addbmm": matrix(_added(torch.addbmm), "TTTNN"),
        "baddbmm": matrix(_added(torch.baddbmm), "TTTNN"),
        "trace": matrix(torch.trace),
        "eigh": matrix(aten._linalg_eigh, UPLO="text", compute_v="bool"),
        "qr": matrix(linalg.qr, mode="text"),
        "svd": matrix(_svd, full_matrices="bool", compute_uv="bool"),
        "inv": matrix(linalg.inv),
        "det": matrix(linalg.det),
        "pinv": matrix(_pinv, rtol="number?", hermitian="bool"),
        "cholesky": matrix(linalg.cholesky, upper="bool"),
        "solve": matrix(linalg.solve, "TT", left="bool"),
        "solve_triangular": Row("TT", "matrix", linalg.solve_triangular, sides),
    }


def _added(real: Meaning) -> Meaning:
    def meaning(base: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
        return real(base, left, right, beta=beta, alpha=alpha)

    return meaning


def _pinv(tensor: Any, *, rtol: float | None, hermitian: bool) -> Any:
    return torch.linalg.pinv(tensor, rtol=rtol, hermitian=hermitian)


def _svd(tensor: Any, *, full_matrices: bool, compute_uv: bool) -> Any:
    return torch.ops.aten._linalg_svd(tensor, full_matrices, compute_uv)
