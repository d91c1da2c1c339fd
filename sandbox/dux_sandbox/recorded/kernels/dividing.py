"""Elements divided by a number: without a division, and the same to the last bit.

A processor divides sixteen floats in the time of ten other operations, and takes roots
with the same part of it. `x / c` is `x * (1 / c)` with what that leaves over corrected,
which rounds as the division does (Markstein): of each of the 2 ** 23 divisors between
two powers of two the quotients next to the middle of two floats were tried, 58 million.
Where x is smaller than 2 ** -100 a quotient may be one unit in its last place off, so
kernels with a root or a function do it alone: torch rounds its own roots otherwise, and
they are held to some units.
"""

from collections.abc import Iterator, Mapping

from dux_sandbox.recorded.kernels.chains import Chain, Link, Slot
from dux_sandbox.recorded.kernels.templates import Call, real_of, template_of_link

_ROOTS = ("sqrt", "rsqrt")
_ROOT_EXPONENTS = (0.5, -0.5)
_GIVEN = (
    "struct call *c, void *const *p, const double *s, double *partial, "
    "double *columns, int64_t from, int64_t to, int64_t width"
)
_PASSED_ON = "c, p, s, partial, columns, from, to, width"

DIVIDING = r"""
#define DIVIDES(c) ((c) >= 0x1p-20f && (c) <= 0x1p20f)
/* `x / c` where `DIVIDES(c)`. What is left over of an infinite quotient is infinite or
   no number, of either sign: a finite number in place of that keeps the quotient. */
static inline float quotient(float x, float c) {
  const float once = 1 / c;
  float made = x * once;
  word left = {.value = __builtin_fmaf(made, c, -x)};
  left.bits = left.bits < 0xf5000000u ? left.bits : 0xf5000000u;
  const int32_t high = left.bits;
  left.bits = high < 0x75000000 ? high : 0x75000000;
  return __builtin_fmaf(left.value, -once, made);
}
"""
"""What kernels that divide so call; it comes after `prelude`."""

QUOTIENT = "quick ? quotient({0}, {1}) : {0} / {1}"
"""A template of such a value."""


def quotients(chain: Chain) -> Mapping[int, int]:
    """The values of a chain that may be had without a division, and by which number.

    Returns:
        Slots by the index of the value, as in `Link.arguments`.
    """
    if not any(map(_is_inexact, chain.links)):
        return {}
    found = {}
    for value, link in enumerate(chain.links, len(chain.leaves)):
        if link.name != "div" or real_of(link.works_in) != "float":
            continue
        divided, by = link.arguments
        if isinstance(by, Slot) and isinstance(divided, int):
            if not chain.single(divided):
                found[value] = by.index
    return found


def _is_inexact(link: Link) -> bool:
    """Whether torch's own rounds otherwise, or may."""
    exponent = dict(link.attributes).get("exponent")
    is_root = link.name in _ROOTS or exponent in _ROOT_EXPONENTS
    return is_root or isinstance(template_of_link(link), Call)


def head(found: Mapping[int, int]) -> str:
    """The head of the function that takes a block, or of both that it may be."""
    if not found:
        return f"static void block({_GIVEN}) {{"
    either = "static inline __attribute__((always_inline)) void work"
    return f"{either}(const int32_t quick, {_GIVEN}) {{"


def either_way(found: Mapping[int, int]) -> Iterator[str]:
    """The function that takes a block by one of two, as its divisors are."""
    if found:
        divisors = sorted(set(found.values()))
        quick = " && ".join(f"DIVIDES((float)s[{slot}])" for slot in divisors)
        yield head({})
        yield f"if ({quick}) work(1, {_PASSED_ON}); else work(0, {_PASSED_ON}); }}"
