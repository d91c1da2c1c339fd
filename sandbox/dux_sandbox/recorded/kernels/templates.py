"""The C of each element-wise operation: the only words that a kernel is made of.

A template gives the result for one element, in the type of the arithmetic: `float` for
float32, float16 and bfloat16, whose results are rounded afterwards, `double` for
float64. `{0}` is the first argument, `{0.rounded}` a number as an element would hold
it, `{f}` the suffix of C's functions, `{r}` a rounding in between. Each was matched
against torch: where torch multiplies and adds in one, so does the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dux_sandbox.recorded.kernels.chains import Link, Slot

STORED = {
    "float32": "float",
    "float64": "double",
    "float16": "half_t",
    "bfloat16": "uint16_t",
    "bool": "uint8_t",
}
"""The C type of a value of a dtype in memory."""


def real_of(dtype: str) -> str:
    """The C type of a value of a dtype while it is worked on.

    >>> real_of("bfloat16"), real_of("bool")
    ('float', 'int32_t')
    """
    return {"float64": "double", "bool": "int32_t"}.get(dtype, "float")


@dataclass(frozen=True)
class Call:
    """An operation that calls one of torch's own functions on whole vectors.

    Attributes:
        function: its name in `functions`.
        arguments: a template for each of them.
        result: a template with `{y}` for what the function gave.
    """

    function: str
    arguments: tuple[str, ...] = ("{0}",)
    result: str = "{y}"


_FMA = "__builtin_fma{f}"
_ABS = "__builtin_fabs{f}"

BOUNDS = r"""#define AT_LEAST(x, low) ((x) != (x) || (x) > (low) ? (x) : (low))
#define AT_MOST(x, high) ((x) != (x) || (x) < (high) ? (x) : (high))
#define CLAMP(x, low, high)                                                   \
  ((x) != (x) ? (x) : (low) > (high) || (x) > (high) ? (high)                 \
   : (x) < (low) ? (low) : (x))
"""
"""What templates of bounds call, in the C of every target."""

TEMPLATES: Mapping[str, str] = {
    "clone": "{0}",
    "expand": "{0}",
    "to": "{0}",
    "full": "{0.rounded}",
    "abs": _ABS + "({0})",
    "neg": "-{0}",
    "ceil": "__builtin_ceil{f}({0})",
    "floor": "__builtin_floor{f}({0})",
    "round": "__builtin_rint{f}({0})",
    "trunc": "__builtin_trunc{f}({0})",
    "frac": "{0} - __builtin_trunc{f}({0})",
    "reciprocal": "1 / {0}",
    "relu": "{0} < 0 ? 0 : {0}",
    "sqrt": "__builtin_sqrt{f}({0})",
    "rsqrt": "1 / __builtin_sqrt{f}({0})",
    "square": "{0} * {0}",
    "sign": "({0} > 0) - ({0} < 0)",
    "sgn": "({0} > 0) - ({0} < 0)",
    "isfinite": _ABS + "({0}) < __builtin_inf{f}()",
    "isinf": _ABS + "({0}) == __builtin_inf{f}()",
    "isnan": "{0} != {0}",
    "logical_not": "{0} == 0",
    "logical_and": "({0} != 0) & ({1} != 0)",
    "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_xor": "({0} != 0) ^ ({1} != 0)",
    "bitwise_not": "{0} == 0",
    "bitwise_and": "{0} & {1}",
    "bitwise_or": "{0} | {1}",
    "bitwise_xor": "{0} ^ {1}",
    "add": "{0} + {1.rounded}",
    "sub": "{0} - {1.rounded}",
    "rsub": "{1.rounded} - {0}",
    "add scaled": _FMA + "({1.rounded}, {2.rounded}, {0})",
    "sub scaled": _FMA + "({1.rounded}, -{2.rounded}, {0})",
    "rsub scaled": _FMA + "({0}, -{2.rounded}, {1.rounded})",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "copysign": "__builtin_copysign{f}({0}, {1.rounded})",
    "eq": "{0} == {1.rounded}",
    "ne": "{0} != {1.rounded}",
    "lt": "{0} < {1.rounded}",
    "le": "{0} <= {1.rounded}",
    "gt": "{0} > {1.rounded}",
    "ge": "{0} >= {1.rounded}",
    "maximum": "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} > {1} ? {0} : {1}",
    "minimum": "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} < {1} ? {0} : {1}",
    "fmax": "{0} != {0} ? {1} : {1} != {1} ? {0} : {0} >= {1} ? {0} : {1}",
    "fmin": "{0} != {0} ? {1} : {1} != {1} ? {0} : {0} <= {1} ? {0} : {1}",
    "heaviside": "{0} == 0 ? {1} : {0} > 0",
    "addcmul": _FMA + "({3} * {1}, {2}, {0})",
    "addcdiv": "{0} + {3} * {1} / {2}",
    "lerp": _ABS
    + "({2}) < 0.5{f} ? "
    + _FMA
    + "({2}, {1} - {0}, {0}) : "
    + _FMA
    + "({2} - 1, {1} - {0}, {1})",
    "where": "{0} ? {1.rounded} : {2.rounded}",
    "pick": "{0} != 0 ? {1} : {2}",
    "masked_fill": "{1} ? {2.rounded} : {0}",
    "clamp_min": "{0} < {1.rounded} ? {1.rounded} : {0}",
    "clamp_max": "{0} > {1.rounded} ? {1.rounded} : {0}",
    "clamp": "CLAMP({0}, {1.rounded}, {2.rounded})",
    "leaky_relu": "{0} > 0 ? {0} : {0} * {1}",
}
"""By the name of a link; a missing number `alpha` or a power has a name of its own."""

_NAN_TO_NUM = (
    "{{0}} != {{0}} ? {0} : {{0}} == __builtin_inf{{f}}() ? {2} "
    ": {{0}} == -__builtin_inf{{f}}() ? {1} : {{0}}"
)
_POWERS: Mapping[float, str] = {
    0.0: "1",
    1.0: "{0}",
    2.0: "{0} * {0}",
    3.0: "{r}({0} * {0}) * {0}",
    0.5: "__builtin_sqrt{f}({0})",
    -0.5: "1 / __builtin_sqrt{f}({0})",
    -1.0: "1 / {0}",
    -2.0: "1 / {r}({0} * {0})",
}
"""The exponents for which torch has a way of its own."""

CALLS: Mapping[str, Call] = {
    **{
        name: Call(name)
        for name in (
            *("exp", "log", "tanh", "sin", "cos", "tan", "erf", "erfc", "atan", "acos"),
            *("asin", "erfinv", "log1p", "expm1", "log2", "log10", "exp2", "sinh"),
            *("cosh", "lgamma", "atanh"),
        )
    },
    **{name: Call(name, ("{0}", "{1}")) for name in ("atan2", "hypot")},
    "pow": Call("pow", ("{0}", "{1.rounded}")),
    "sigmoid": Call("vector exp", ("-{0}",), "1 / (1 + {y})"),
    "silu": Call("vector exp", ("-{0}",), "{0} / (1 + {y})"),
}


ON_BOOLEANS = frozenset(
    """bitwise_and bitwise_not bitwise_or bitwise_xor clone eq expand logical_and
    logical_not logical_or logical_xor masked_fill mul ne to where""".split()
)
"""The operations that kernels do on booleans; the others are of numbers."""


def is_known(name: str) -> bool:
    """Whether a kernel can do the operation of that name."""
    return name in TEMPLATES or name in CALLS or name == "nan_to_num"


def template_of(
    name: str, attributes: tuple[tuple[str, Any], ...], letters: str = ""
) -> str | Call:
    """How an operation is computed.

    Args:
        attributes: as in `chains.Link`.
        letters: what its arguments are: T for a tensor, N for a number.
    """
    exponent = dict(attributes).get("exponent")
    if exponent is not None and exponent in _POWERS:
        return _POWERS[exponent]
    if name in ("clamp_min", "clamp_max") and letters == "TT":
        return "AT_LEAST({0}, {1})" if name == "clamp_min" else "AT_MOST({0}, {1})"
    if name == "clamp" and letters == "TTT":
        return "AT_MOST(AT_LEAST({0}, {1}), {2})"
    if name == "nan_to_num":
        return _NAN_TO_NUM.format(*(float(number).hex() for _, number in attributes))
    if name in ("add", "sub", "rsub") and len(letters) == 3:
        return TEMPLATES[f"{name} scaled"]
    return CALLS[name] if name in CALLS else TEMPLATES[name]


def template_of_link(link: Link) -> str | Call:
    """How a link is computed."""
    return template_of(link.name, link.attributes, letters_of(link))


def letters_of(link: Link) -> str:
    """What the arguments of a link are: T for a tensor, N for a number."""
    return "".join("N" if isinstance(x, Slot) else "T" for x in link.arguments)
