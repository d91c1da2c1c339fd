"""How long a server asks its clients to wait before the next call."""

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any


def retry_after(
    error: BaseException, now: Callable[[], float] = time.time
) -> float | None:
    """Seconds to wait, as the answer behind an error says; None where it says nothing.

    A time of day is counted from the time that the answer itself gives, so that no
    clock need agree with the server's.

    Args:
        error: of any provider's client.
        now: seconds since the epoch, where the answer gives no time.
    """
    headers: Any = getattr(getattr(error, "response", None), "headers", None)
    if headers is None or not hasattr(headers, "get"):
        return None
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    asked = headers.get("retry-after") or headers.get("Retry-After")
    seconds = _number(asked)
    if seconds is not None:
        return max(0.0, seconds)
    moment = _moment(asked)
    if moment is None:
        return None
    said = _moment(headers.get("date") or headers.get("Date"))
    return max(0.0, moment - (now() if said is None else said))


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _moment(text: Any) -> float | None:
    try:
        return parsedate_to_datetime(str(text)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
