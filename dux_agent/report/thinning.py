"""Keeps a page small: curves to so many points, texts to so many characters.

The rules are told on the page itself.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bucket:
    """The losses of neighbouring steps.

    Attributes:
        step: mean of their steps.
        mean, low, high: of those of their losses that are finite.
    """

    step: float
    mean: float
    low: float
    high: float


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[Bucket]:
    """At most `most` buckets of equal width in steps; nothing is left out of them.

    Losses that are not finite count for no bucket; see `not_finite`.

    Args:
        points: `(step, loss)`, by step.
        most: at least 1.

    >>> thinned([(1, 4.0), (2, 2.0), (3, 1.0)], 2)[0]
    Bucket(step=1.5, mean=3.0, low=2.0, high=4.0)
    """
    finite = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if not finite:
        return []
    first, last = finite[0][0], finite[-1][0]
    width = max((last - first + 1) / most, 1e-9)
    gathered: dict[int, list[tuple[int, float]]] = {}
    for step, loss in finite:
        place = min(int((step - first) / width), most - 1)
        gathered.setdefault(place, []).append((step, loss))
    buckets = []
    for place in sorted(gathered):
        together = gathered[place]
        losses = [loss for _, loss in together]
        # By parts, so that losses near the largest float do not add up to infinity.
        mean = math.fsum(loss / len(losses) for loss in losses)
        middle = sum(step for step, _ in together) / len(together)
        buckets.append(Bucket(middle, mean, min(losses), max(losses)))
    return buckets


def not_finite(points: Sequence[tuple[int, float]]) -> list[int]:
    """The steps whose loss is NaN or an infinity."""
    return [step for step, loss in points if not math.isfinite(loss)]


def shortened(text: str, most: int) -> str:
    """`text`, cut in the middle where it has more than `most` characters.

    >>> shortened("a" * 30, 10)
    'aaaaaa\\n[... 20 characters left out ...]\\naaaa'
    """
    if len(text) <= most:
        return text
    head = most - most // 3 - 1 if most > 9 else most
    tail = most - head
    told = f"\n[... {len(text) - most:,} characters left out ...]\n"
    return text[:head] + told + (text[-tail:] if tail else "")


# They turn the direction of what follows: a source may look like another one.
_TURNING = {
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    0x061C,
    0x200B,
    0x200C,
    0x200D,
    0x200E,
    0x200F,
    0x2060,
    0xFEFF,
}


def visible(text: str) -> str:
    """`text` with what a browser would hide, or obey, as signs that can be seen.

    Control characters become their pictures, and those that turn the direction of
    writing or have no width become their code.

    >>> visible("a\\x00b\\u202ec")
    'a\\u2400b[U+202E]c'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_seen, text.replace("\r\n", "\n")))


def _seen(sign: str) -> str:
    code = ord(sign)
    if sign in "\n\t" or 0x20 <= code < 0x7F:
        return sign
    if code < 0x20:
        return chr(0x2400 + code)
    if code in _TURNING or unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp"):
        return f"[U+{code:04X}]"
    return sign
