"""The sources that a run folder keeps, each once, named by its digest."""

from __future__ import annotations

import re
from pathlib import Path

from dux_agent.errors import RunFolderUnusable
from dux_agent.record.atomic import write_atomically
from dux_sandbox.findings import digest_of

_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_kept_source(path: str | Path, digest: str) -> str | None:
    """The source kept under a digest; None where there is none.

    Nothing outside the folder's sources is ever read, whatever the digest says, and
    nothing is handed out that does not have this digest.
    """
    if not _DIGEST.fullmatch(digest):
        return None
    try:
        content = (Path(path) / "sources" / f"{digest}.py").read_bytes()
        source = content.decode("utf-8", "surrogatepass")
    except (OSError, UnicodeDecodeError):
        return None
    return source if digest_of(source) == digest else None


def keep(folder: Path, source: str) -> str:
    """Store a source once, byte for byte, and return its digest.

    Raises:
        RunFolderUnusable: the disk refused it.
    """
    digest = digest_of(source)
    if read_kept_source(folder, digest) is not None:
        return digest
    target = folder / "sources" / f"{digest}.py"
    try:
        write_atomically(target, source.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise RunFolderUnusable(
            f"the source {digest[:12]} cannot be kept in {folder}: "
            f"{error.strerror or error}; make room on the disk."
        ) from None
    return digest
