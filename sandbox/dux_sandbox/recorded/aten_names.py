"""What torch calls the operations of the table below its own functions (aten).

Each line: the name in aten, the name in the table, the arguments by their names in
aten's schema, and after the bar the attributes, with a default where a schema has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dux_sandbox.recorded.called_operations import CALLED

_SAME = """
abs acos acosh asin asinh atan atanh ceil cos cosh digamma erf erfc erfinv exp exp2
expm1 floor frac isinf isnan lgamma log log10 log1p log2 logical_not neg reciprocal relu
round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt tan tanh trunc bitwise_not silu
isfinite square trace median
"""
_PAIRS = """
mul div copysign eq floor_divide fmod ge gt le lt ne remainder atan2 fmax fmin
hypot logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum nextafter
bitwise_and bitwise_or bitwise_xor xlogy
"""
_LINES = """
add add self other alpha
sub sub self other alpha
rsub rsub self other alpha
pow pow self exponent
__and__ bitwise_and self other
__or__ bitwise_or self other
__xor__ bitwise_xor self other
addcmul addcmul self tensor1 tensor2 value
addcdiv addcdiv self tensor1 tensor2 value
lerp lerp self end weight
where where condition self other
masked_fill masked_fill self mask value
clamp_min clamp_min self min
clamp_max clamp_max self max
softplus softplus self beta threshold
leaky_relu leaky_relu self negative_slope
elu elu self alpha scale input_scale
gelu gelu self | approximate
nan_to_num nan_to_num self | nan posinf neginf
sum sum self | dim keepdim dtype
mean mean self | dim keepdim dtype
nansum nansum self | dim keepdim dtype
linalg_vector_norm norm self ord | dim keepdim dtype
norm norm self p | dim keepdim dtype
amax amax self | dim keepdim
amin amin self | dim keepdim
all all self | dim keepdim
any any self | dim keepdim
logsumexp logsumexp self | dim keepdim
var var self | dim keepdim correction
std std self | dim keepdim correction
argmax argmax self | dim keepdim
argmin argmin self | dim keepdim
prod prod self | dtype
cumsum cumsum self | dim dtype
cumprod cumprod self | dim dtype
_softmax softmax self | dim
sort sort self | dim descending stable
topk topk self | k dim largest sorted
flip flip self | dims
roll roll self | shifts dims
repeat repeat self | repeats:dims
tril tril self | diagonal
triu triu self | diagonal
index_select index_select self index | dim
gather gather self index | dim
diag_embed diag_embed self | offset dim1 dim2
diagonal_scatter diagonal_scatter self src | offset dim1 dim2
mm mm self mat2
bmm bmm self mat2
mv mv self vec
dot dot self tensor
addmm addmm self mat1 mat2 beta alpha
addmv addmv self mat vec beta alpha
addbmm addbmm self batch1 batch2 beta alpha
baddbmm baddbmm self batch1 batch2 beta alpha
_linalg_eigh eigh A | UPLO compute_v
linalg_qr qr A | mode
_linalg_svd svd A | full_matrices compute_uv
linalg_inv_ex inv A
_linalg_det det A
log_sigmoid_forward logsigmoid self
linalg_cholesky_ex cholesky self | upper
_linalg_solve_ex solve A B | left
linalg_solve_triangular solve_triangular self B | upper left unitriangular
"""


@dataclass(frozen=True)
class Translation:
    """How one operation of aten is said in the table.

    Attributes:
        name: in the table.
        arguments: names in aten's schema, in the order of the table.
        attributes: (name in aten, name in the table).
    """

    name: str
    arguments: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...] = ()


def _parsed() -> dict[str, Translation]:
    lines = [f"{name} {name} self" for name in _SAME.split()]
    lines += [f"{name} {name} self other" for name in _PAIRS.split()]
    lines += _LINES.strip().splitlines()
    found = {}
    for line in lines:
        words, _, attributes = line.partition("|")
        aten, name, *arguments = words.split()
        pairs = []
        for each in attributes.split():
            theirs, _, ours = each.partition(":")
            pairs.append((theirs, ours or theirs))
        found[aten] = Translation(name, tuple(arguments), tuple(pairs))
    for name, called in CALLED.items():
        same = tuple((each, each) for each in called.row.attributes)
        found.setdefault(called.aten, Translation(name, called.arguments, same))
    return found


TRANSLATIONS: Mapping[str, Translation] = MappingProxyType(_parsed())
"""By the name in aten, without "aten::", the overload and a last underscore."""

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"dim": None, "keepdim": False, "dtype": None, "stable": False, "correction": None}
)
"""Of attributes that a schema may lack."""

SINGLE = frozenset(["inv", "cholesky", "solve", "det", "logsigmoid"])
"""Of several results in aten the first one is all that these give."""
