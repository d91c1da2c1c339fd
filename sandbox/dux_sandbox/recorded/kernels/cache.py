"""Compiled kernels on disk, in a folder that nobody else can write to.

A library runs as code of this process, so a file is loaded only if it is what was once
written: the folder and the file are this user's alone, and the file ends in the digest
of what it holds and of the source that it was made of.
"""

import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path

_log = logging.getLogger(__name__)
_DIGEST = 32
VARIABLE = "DUX_KERNEL_CACHE"
"""Names another folder than the user's own for caches."""


class Cache:
    """Libraries by the digest of what they were made of."""

    def __init__(self, folder: Path | None) -> None:
        """Keep them in a folder; None: nowhere."""
        self._folder = folder

    def get(self, key: str) -> bytes | None:
        """The library of that digest, if a sound one is there."""
        if self._folder is None:
            return None
        path = self._folder / f"{key}.kernel"
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            mine = _is_mine(os.fstat(file.fileno()))
            held = file.read()
        library, digest = held[:-_DIGEST], held[-_DIGEST:]
        if not mine or digest != _digest(key, library):
            _log.warning("the kernel in %s is not as it was written: not used", path)
            return None
        return library

    def put(self, key: str, library: bytes) -> None:
        """Keep a library, whole or not at all; a full disk is no error."""
        if self._folder is None:
            return
        try:
            handle, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                file.write(library + _digest(key, library))
            os.replace(name, self._folder / f"{key}.kernel")
        except OSError as error:
            _log.info("the kernel was not kept: %s", error)


def _digest(key: str, library: bytes) -> bytes:
    return hashlib.sha256(key.encode() + library).digest()


def private_folder() -> Path | None:
    """The folder of kernels, made if need be; None where none can be trusted."""
    named = os.environ.get(VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(named) if named else Path(base) / "dux-agent" / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = folder.lstat()
    except (OSError, RuntimeError):
        return None
    if not stat.S_ISDIR(made.st_mode) or not _is_mine(made):
        _log.warning(
            "others can write to %s, so compiled kernels are not kept there; "
            "`chmod 700` it, or name another folder in %s",
            folder,
            VARIABLE,
        )
        return None
    return folder


def _is_mine(made: os.stat_result) -> bool:
    """Whether it is this user's, and nobody else can write to it."""
    if not hasattr(os, "getuid"):
        return True
    return made.st_uid == os.getuid() and not made.st_mode & 0o022
