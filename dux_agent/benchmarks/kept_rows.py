"""What a benchmark has found, kept in a folder by the digest of what found it."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dux_agent.errors import DuxError
from dux_agent.run_folder.atomic import write_atomically


class KeptRows:
    """Rows by their keys: found once, read afterwards, also by a later process.

    A row is whatever JSON holds. One whose key differs, as it does where the digest of
    the code in it does, is found anew; what was found before stays where it is.
    """

    def __init__(self, folder: Path | None) -> None:
        """Rows of a folder.

        Args:
            folder: is made where it is not there; None: nothing is kept.
        """
        self.folder = folder

    def row(self, name: str, key: Mapping[str, Any], find: Callable[[], Any]) -> Any:
        """A row: what is kept of it, or what `find` gives, which is kept then.

        Args:
            name: what a person sees in the folder.
            key: everything that it hangs on.
            find: called where it is not kept.

        Raises:
            DuxError: the folder cannot be written.
        """
        kept = self.kept(name, key)
        if kept is None:
            kept = find()
            if self.folder is not None:
                text = json.dumps({"key": dict(key), "row": kept}) + "\n"
                self._write(self._path(self.folder, name, key), text)
        return kept

    def kept(self, name: str, key: Mapping[str, Any]) -> Any:
        """What is kept of a row; None: it is not there, or somebody cut the file."""
        if self.folder is None:
            return None
        try:
            path = self._path(self.folder, name, key)
            kept = json.loads(path.read_text(encoding="utf-8"))
            return kept["row"] if kept["key"] == dict(key) else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _path(self, folder: Path, name: str, key: Mapping[str, Any]) -> Path:
        return folder / "rows" / f"{name_of_file(name)}-{digest_of(key)}.json"

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
        except OSError as error:
            raise unwritable(path.parent, error) from None


def digest_of(key: Mapping[str, Any]) -> str:
    """Of a key, 16 digits."""
    text = json.dumps(dict(key), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_of_file(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", name)[:80].strip("-.") or "row"


def unwritable(folder: Path, error: OSError) -> DuxError:
    """What is said of a folder that cannot be written."""
    return DuxError(
        f"{folder} cannot be written: {error.strerror or error}; a folder that may be "
        f"was wanted; name another with --folder."
    )
