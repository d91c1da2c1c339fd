"""JSON that anybody may have written, read within bounds.

The reader of the standard library fills the memory many times over: an empty list costs
two bytes of text and sixty of memory. It takes NaN, and of two entries of one name
silently the last. What was written here holds none of that.
"""

import json
from typing import Any

# Values are counted by their separators, also those inside texts.
MOST_BYTES = 64 * 2**20
MOST_VALUES = 4_000_000


class NoPlainJson(ValueError):
    """A text is no JSON that was written here; the message says why in a few words."""


def read_json(content: bytes | str, *, nan: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        content: the text; bytes are UTF-8.
        nan: whether NaN and infinities may stand in it, as Python writes them.

    Raises:
        NoPlainJson: it is none, too large, nested too deep, or names a thing twice.
    """
    refuse_huge(content)
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return (_LENIENT if nan else _STRICT).decode(text)
    except RecursionError:
        raise NoPlainJson("it is nested too deep") from None
    except NoPlainJson:
        raise
    except ValueError as error:
        raise NoPlainJson(f"it is no JSON: {error}") from None


def refuse_huge(content: bytes | str) -> None:
    """Raise NoPlainJson where a text would take too much memory."""
    if isinstance(content, str):
        values = sum(map(content.count, (",", "[", "{")))
    else:
        values = sum(map(content.count, (b",", b"[", b"{")))
    if len(content) > MOST_BYTES or values > MOST_VALUES:
        raise NoPlainJson(
            f"it takes {len(content)} bytes with {values} values; at most "
            f"{MOST_BYTES} with {MOST_VALUES} are read"
        )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise NoPlainJson("it names something twice")
    return held


def _refuse_constant(name: str) -> Any:
    raise NoPlainJson(f"it holds {name}, which is no JSON")


_LENIENT = json.JSONDecoder(object_pairs_hook=_once)
_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse_constant)
