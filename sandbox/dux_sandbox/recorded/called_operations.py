"""Operations that are calls of one function of aten, each said in one line.

Each line: the room, the name in the table, the arguments by their names in aten's
schema with their letters (see `rows.Row`), and after the bar the attributes with their
kinds. Before a name that aten calls otherwise stands aten's, with a slash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from dux_sandbox.recorded.rows import Meaning, Row

_LINES = """
elementwise deg2rad self:T
elementwise rad2deg self:T
elementwise i0 self:T
elementwise mish self:T
elementwise hardswish self:T
elementwise hardsigmoid self:T
elementwise logit self:T | eps:number?
elementwise softshrink self:T lambd:N
elementwise hardshrink self:T lambd:N
elementwise hardtanh self:T min_val:N max_val:N
elementwise threshold self:T threshold:N value:N
elementwise celu self:T alpha:N
elementwise angle self:T
elementwise isneginf self:T
elementwise isposinf self:T
elementwise ldexp self:T other:T
elementwise heaviside self:T values:T
shape index_add self:T index:T source:T alpha:N | dim:int
shape index_copy self:T index:T source:T | dim:int
shape index_fill self:T index:T value:A | dim:int
shape scatter self:T index:T src:T | dim:int
shape scatter/scatter_value self:T index:T value:N | dim:int
shape scatter_add self:T index:T src:T | dim:int
shape scatter_reduce self:T index:T src:T | dim:int reduce:text include_self:bool
shape masked_scatter self:T mask:T source:T
shape take self:T index:T
shape put self:T index:T source:T | accumulate:bool
shape unfold self:T | dimension:int size:int step:int
shape constant_pad_nd/pad self:T value:N | pad:ints
shape rot90 self:T | k:int dims:ints
reduction kthvalue self:T | k:int dim:int keepdim:bool
reduction mode self:T | dim:int keepdim:bool
reduction cummax self:T | dim:int
reduction cummin self:T | dim:int
reduction logcumsumexp self:T | dim:int
reduction aminmax self:T | dim:int? keepdim:bool
reduction var_mean self:T | dim:ints? correction:number? keepdim:bool
reduction std_mean self:T | dim:ints? correction:number? keepdim:bool
reduction nanmedian self:T
reduction count_nonzero self:T | dim:ints
reduction _log_softmax/log_softmax self:T | dim:int half_to_float:bool
reduction renorm self:T p:N maxnorm:N | dim:int
reduction dist self:T other:T p:N
reduction mse_loss self:T target:T | reduction:int
reduction huber_loss self:T target:T | reduction:int delta:number
reduction smooth_l1_loss self:T target:T | reduction:int beta:number
reduction binary_cross_entropy self:T target:T | reduction:int
matrix vdot self:T other:T
matrix searchsorted sorted_sequence:T self:T | out_int32:bool right:bool
matrix bucketize self:T boundaries:T | out_int32:bool right:bool
matrix isin elements:T test_elements:T | assume_unique:bool invert:bool
matrix addr self:T vec1:T vec2:T beta:N alpha:N
matrix linalg_cross/cross self:T other:T | dim:int
matrix _cdist_forward/cdist x1:T x2:T | p:number compute_mode:int?
matrix linalg_matrix_exp/matrix_exp self:T
matrix _linalg_slogdet/slogdet A:T
"""


@dataclass(frozen=True)
class Called:
    """One line.

    Attributes:
        aten: the name there.
        row: for the table.
        arguments: their names there, in the order of the row.
    """

    aten: str
    row: Row
    arguments: tuple[str, ...]


_ALIKE = ("mse_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy")
"""Whose result has another dtype than is said where their arguments differ in it."""


def _calling(aten: str, names: tuple[str, ...]) -> Meaning:
    call = getattr(torch.ops.aten, aten)

    def meaning(*values: Any, **attributes: Any) -> Any:
        if aten in _ALIKE and values[0].dtype != values[1].dtype:
            raise TypeError(f"{aten} of {values[0].dtype} and {values[1].dtype}")
        return call(**dict(zip(names, values, strict=True)), **attributes)

    return meaning


def _parsed() -> dict[str, Called]:
    found = {}
    for line in _LINES.strip().splitlines():
        words, _, attributes = line.partition("|")
        room, both, *arguments = words.split()
        aten, _, name = both.partition("/")
        names = tuple(each.partition(":")[0] for each in arguments)
        letters = "".join(each.partition(":")[2] for each in arguments)
        pairs = (each.split(":") for each in attributes.split())
        kinds = {name: kind for name, kind in pairs}
        row = Row(letters, room, _calling(aten, names), kinds)
        found[name or aten] = Called(aten, row, names)
    return found


CALLED: Mapping[str, Called] = MappingProxyType(_parsed())
"""By the name in the table."""
