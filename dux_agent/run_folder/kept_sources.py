"""The sources that a run folder keeps, each once, named by its digest."""

import re
from pathlib import Path

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.atomic import write_atomically
from dux_agent.run_folder.own_files import own_folder, read_own
from dux_prompts.reply import REPLY_CHARACTERS
from dux_sandbox.findings import digest_of

# A reply of more is not looked at, see `dux_prompts.reply`, and UTF-8 takes no more
# than four bytes for a character.
_MOST_BYTES = 4 * REPLY_CHARACTERS

_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_kept_source(path: str | Path, digest: str) -> str | None:
    """The source kept under a digest; None where there is none.

    Nothing outside the folder's sources is ever read, whatever the digest says, and
    nothing is handed out that does not have this digest.
    """
    if not _DIGEST.fullmatch(digest):
        return None
    try:
        sources = Path(path) / "sources"
        own_folder(sources)
        content = read_own(sources / f"{digest}.py", _MOST_BYTES)
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
