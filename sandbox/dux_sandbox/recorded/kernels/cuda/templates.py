"""What torch computes otherwise on a CUDA device than on the processor.

torch's own kernels are compiled with products and sums contracted to one operation
wherever they can be; ours are not, so each template says where.
"""

from collections.abc import Mapping

from dux_sandbox.recorded.kernels.chains import Link
from dux_sandbox.recorded.kernels.templates import (
    Call,
    letters_of,
    template_of,
)

_FMA = "__builtin_fma{f}"

_OTHER: Mapping[tuple[str, str], str] = {
    # A number is turned over as Python has it, then rounded, and multiplied with.
    ("div", "TN"): "{0} * ({1.real})(1 / {1.number})",
    ("addcmul", "TTT"): _FMA + "({1}, {2}, {0})",
    ("addcdiv", "TTT"): "{0} + {1} / {2}",
    ("addcmul", "TTTN"): _FMA + "({3}, {1} * {2}, {0})",
    ("addcdiv", "TTTN"): _FMA + "({3}, {1} / {2}, {0})",
    ("rsqrt", "T"): "rsqrt{f}({0})",
}
"""By the name of a link, and T for each tensor it is given and N for each number."""

_POWERS: Mapping[float, str] = {-0.5: "rsqrt{f}({0})"}

_FUNCTIONS: Mapping[str, str] = {"vector exp": "exp"}


def expression_of(link: Link) -> str:
    """How a link is computed, with `{0}` for its first argument; see `TEMPLATES`."""
    letters = letters_of(link)
    exponent = dict(link.attributes).get("exponent")
    if exponent is not None and exponent in _POWERS:
        return _POWERS[exponent]
    if (link.name, letters) in _OTHER:
        return _OTHER[link.name, letters]
    found = template_of(link.name, link.attributes, letters)
    if not isinstance(found, Call):
        return found
    function = _FUNCTIONS.get(found.function, found.function)
    called = f"{function}{{f}}({', '.join(found.arguments)})"
    return found.result.replace("{y}", called)
