"""Files of a run folder, opened as what anybody may have written.

A folder that came from elsewhere may hold links that lead out of it, pipes that never
end, or files that fill the memory: each is refused before anything is read or written.
"""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

# A pipe would keep whoever opens it waiting. Windows has neither; there the look
# before the opening is all there is.
_CAREFULLY = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_own(path: Path, mode: str = "rb") -> FileIO:
    """An ordinary file that lies where its name says, unbuffered.

    Args:
        path: of the file; a link that a folder above it is reached by is the user's.
        mode: as for `open`, binary.

    Raises:
        FileNotFoundError: there is none, and none is made in this mode.
        OSError: it is a link, a folder, a pipe or a device, or cannot be opened.
    """
    return FileIO(path, mode, opener=carefully)


def carefully(path: str, flags: int) -> int:
    """An opener, as `open` takes it, that opens nothing but ordinary files.

    Raises:
        OSError: as for `open_own`.
    """
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "it is a link to somewhere else", path)
    handle = os.open(path, flags | _CAREFULLY, 0o644)
    status = os.fstat(handle)
    refused = None
    if not stat.S_ISREG(status.st_mode):
        refused = "it is no ordinary file"
    elif status.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
        # To write here would be to write there, in a backup or in anybody's file.
        refused = "it has another name elsewhere (a hard link); copy it"
    if refused is not None:
        os.close(handle)
        raise OSError(errno.EINVAL, refused, path)
    return handle


def read_own(path: Path, most: int) -> bytes:
    """What such a file holds.

    Args:
        path: of the file.
        most: bytes that it may hold.

    Raises:
        OSError: as `open_own`, or it holds more.
    """
    with open_own(path) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > most:
            raise OSError(
                errno.EFBIG, f"it holds {size} bytes, more than {most}", str(path)
            )
        # One more than there were: a file that grows meanwhile is no finished one.
        parts, left = [], most
        while left and (part := opened.read(min(left, 2**24))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def own_folder(path: Path) -> None:
    """Raise OSError where a folder within a run folder is a link or no folder."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OSError(errno.ENOTDIR, "it is no folder of its own", str(path))
