"""The HTTP status of a failed call, wherever a provider's client puts it."""

from typing import Any


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of any provider's client carries, if any."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "http_status", "code", "status"):
            value: Any = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None
