"""Writes what a command makes, or says in one line why it cannot."""

from pathlib import Path

from dux_agent.errors import DuxError
from dux_agent.run_folder.atomic import write_atomically


def write_whole(target: Path, text: str, *, what: str, option: str) -> None:
    """Write `text` whole or not at all.

    Args:
        target: the file; one that is there is replaced.
        text: written as UTF-8; what that cannot hold becomes "?".
        what: what it is, for the error.
        option: the option of the command line that names another file.

    Raises:
        DuxError: it cannot be written there; what was there still is.
    """
    try:
        write_atomically(target, text.encode("utf-8", "replace"))
    except OSError as error:
        raise DuxError(
            f"{what} cannot be written to {target}: {error.strerror or error}; "
            f"a file in a folder that may be written was wanted; name another with "
            f"{option}."
        ) from None
