"""Elements divided by a number: without a division, and nearly always to the last bit.

A processor divides sixteen floats in the time of six other operations, and takes roots
with the same part of it. `x / c` is `x * (1 / c)`, with `1 / c` as a float and as what
that leaves over, in a product and a sum that is rounded once: off by less than a
millionth of a unit before that, so that the last bit is another one where a quotient
lies that near to the middle of two floats, once in millions. A quotient below 2 ** -100
may be one unit in its last place off, too. So kernels with a root or a function do it
alone: torch rounds its own roots otherwise, and they are held to some units.
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
/* `1 / c` where `DIVIDES(c)`: a float that is no larger, and what that leaves over.
   Both are more than zero, so that an infinite product and its rest have one sign. */
typedef struct { float most, rest; } reciprocal;
static inline reciprocal reciprocal_of(float c) {
  const double exact = 1 / (double)c;
  word most = {.value = (float)exact};
  most.bits -= (double)most.value > exact;
  const float rest = (float)(exact - (double)most.value);
  reciprocal made = {most.value, rest > 0 ? rest : most.value * 0x1p-60f};
  return made;
}
static inline float quotient(float x, reciprocal once) {
  return __builtin_fmaf(x, once.most, x * once.rest);
}
"""
"""What kernels that divide so call; it comes after `prelude`."""

_QUOTIENT = "quick ? quotient({{0}}, once{}) : {{0}} / {{1}}"


def quotient_by(slot: int) -> str:
    """A template of a value that is divided by the number in a slot."""
    return _QUOTIENT.format(slot)


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


def reciprocals(found: Mapping[int, int]) -> Iterator[str]:
    """What is had once for each block: of no other divisors is it used."""
    for slot in sorted(set(found.values())):
        yield f"const reciprocal once{slot} = reciprocal_of((float)s{slot});"


def either_way(found: Mapping[int, int]) -> Iterator[str]:
    """The function that takes a block by one of two, as its divisors are."""
    if found:
        divisors = sorted(set(found.values()))
        quick = " && ".join(f"DIVIDES((float)s[{slot}])" for slot in divisors)
        yield head({})
        yield f"if ({quick}) work(1, {_PASSED_ON}); else work(0, {_PASSED_ON}); }}"
