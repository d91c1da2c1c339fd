"""Operations that make each element of one element of each argument, broadcast."""

from typing import Any

import torch

from dux_sandbox.recorded.rows import Meaning, Row

_UNARY = """
abs acos acosh asin asinh atan atanh ceil cos cosh digamma erf erfc erfinv exp exp2
expm1 floor frac isfinite isinf isnan lgamma log log10 log1p log2 logical_not neg
reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh
trunc bitwise_not clone
""".split()
_BINARY = """
add sub mul div copysign eq floor_divide fmod ge gt le lt ne pow remainder xlogy
bitwise_and bitwise_or bitwise_xor
""".split()
_OF_TENSORS = """
atan2 fmax fmin hypot logaddexp logaddexp2 logical_and logical_or logical_xor
maximum minimum nextafter
""".split()
# These have a form of their own for a number on the left.
_NUMBER_FIRST = frozenset(["pow", "remainder", "xlogy"])


def _one(meaning: Meaning, **attributes: str) -> Row:
    return Row("T", "elementwise", meaning, attributes)


def elementwise() -> dict[str, Row]:
    """The rows of this room, by name."""
    rows = {name: _one(getattr(torch, name)) for name in _UNARY}
    for name in _BINARY:
        letters = "AA" if name in _NUMBER_FIRST else "TA"
        rows[name] = Row(letters, "elementwise", getattr(torch, name))
    for name in _OF_TENSORS:
        rows[name] = Row("TT", "elementwise", getattr(torch, name))
    for name in ("add", "sub", "rsub"):
        # With a third argument: alpha, by which the second one is multiplied.
        rows[name] = Row("TAN", "elementwise", _scaled(name), {}, optional=1)
    rows["div_rounded"] = Row("TA", "elementwise", torch.div, {"rounding_mode": "text"})
    rows["addcmul"] = Row("TTTN", "elementwise", _valued(torch.addcmul))
    rows["addcdiv"] = Row("TTTN", "elementwise", _valued(torch.addcdiv))
    rows["lerp"] = Row("TTA", "elementwise", torch.lerp)
    rows["where"] = Row("TAA", "elementwise", torch.where)
    rows["pick"] = Row("NTT", "elementwise", _pick)
    rows["masked_fill"] = Row("TTA", "elementwise", torch.masked_fill)
    rows["clamp"] = Row("TAA", "elementwise", torch.clamp)
    rows["clamp_min"] = Row("TA", "elementwise", torch.clamp_min)
    rows["clamp_max"] = Row("TA", "elementwise", torch.clamp_max)
    functional = torch.nn.functional
    rows["softplus"] = Row("TNN", "elementwise", functional.softplus)
    rows["silu"] = _one(functional.silu)
    rows["logsigmoid"] = _one(functional.logsigmoid)
    rows["gelu"] = _one(_gelu, approximate="text")
    rows["leaky_relu"] = Row("TN", "elementwise", functional.leaky_relu)
    rows["elu"] = Row("TNNN", "elementwise", torch.ops.aten.elu)
    rows["to"] = _one(_to, dtype="dtype")
    rows["nan_to_num"] = _one(
        torch.nan_to_num, nan="number?", posinf="number?", neginf="number?"
    )
    return rows


def _scaled(name: str) -> Meaning:
    real = getattr(torch, name)

    def meaning(left: Any, right: Any, alpha: Any = 1) -> Any:
        return real(left, right, alpha=alpha)

    return meaning


def _valued(real: Meaning) -> Meaning:
    def meaning(base: Any, left: Any, right: Any, value: Any) -> Any:
        return real(base, left, right, value=value)

    return meaning


def _pick(asked: Any, one: Any, other: Any) -> Any:
    """One of two tensors that are alike, by a number."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        raise TypeError("a pick of tensors that are not alike")
    return one if asked else other


def _gelu(tensor: Any, *, approximate: str) -> Any:
    return torch.nn.functional.gelu(tensor, approximate=approximate)


def _to(tensor: Any, *, dtype: torch.dtype) -> Any:
    return tensor.to(dtype)
