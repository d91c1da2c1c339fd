"""Writes a file whole or not at all, whenever the process or the power ends."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(target: Path, content: bytes) -> None:
    """Put `content` at `target`: afterwards it holds all of it, or what it held before.

    Written beside the target, flushed to the disk, then renamed over it. A process that
    is killed leaves a file named `.NAME.*.part` at most; see `remove_parts`.

    Raises:
        OSError: the disk refused it; `target` is as it was.
    """
    handle, name = tempfile.mkstemp(
        prefix=f".{target.name}.", suffix=".part", dir=target.parent
    )
    try:
        with os.fdopen(handle, "wb") as part:
            part.write(content)
            part.flush()
            os.fsync(part.fileno())
        os.chmod(name, 0o644)  # mkstemp lets nobody else read; it is no secret
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_parts(folder: Path) -> None:
    """Take away what a killed `write_atomically` left in `folder`."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            part.unlink()
