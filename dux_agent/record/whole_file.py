"""Writes a file whole or not at all: a reader never sees half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dux_agent.errors import DuxError


def write_whole(target: Path, text: str, *, what: str, option: str) -> None:
    """Write `text` under another name first, then rename it.

    Args:
        target: the file; one that is there is replaced.
        text: written as UTF-8; what that cannot hold becomes "?".
        what: what it is, for the error.
        option: the option of the command line that names another file.

    Raises:
        DuxError: it cannot be written there; what was there still is.
    """
    part: str | None = None
    try:
        held, part = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(held, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.chmod(part, 0o644)
        os.replace(part, target)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise DuxError(
            f"{what} cannot be written to {target}: {error.strerror or error}; "
            f"a file in a folder that may be written was wanted; name another with "
            f"{option}."
        ) from None
