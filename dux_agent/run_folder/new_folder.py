"""Makes a folder for a new run, whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dux_agent.errors import RunFolderExists, RunFolderUnusable
from dux_agent.run_folder.run_facts import surroundings
from dux_agent.run_folder.trace import plain


def make_folder(path: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Make `path` with its `run.json`, an empty trace and no sources.

    Returns:
        The folders above it that were made too, outermost first.

    Raises:
        RunFolderExists: there is something at `path`; nothing was written.
        RunFolderUnusable: it cannot be made there; nothing was written.
    """
    refuse_taken(path)
    made: list[Path] = []
    part: Path | None = None
    try:
        made = _make_parents(path.parent)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        part.chmod(0o755)
        (part / "sources").mkdir()
        (part / "trace.jsonl").touch()
        # Checkpoints of decisions are found by this name, also when the folder moves.
        record = plain({**surroundings(), "run": path.name, **facts})
        (part / "run.json").write_text(
            json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="ascii"
        )
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    except OSError as error:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
        remove_empty(made)
        # Somebody else may have taken the name between the look and the rename.
        refuse_taken(path)
        raise RunFolderUnusable(
            f"the run folder {path} cannot be made: {error.strerror or error}; "
            f"a folder that may be written was wanted; name another with "
            f"--run-dir (run_dir=... in code)."
        ) from None
    return made


def refuse_taken(path: Path) -> None:
    """Raise RunFolderExists when there is something at `path`."""
    try:
        taken = path.is_symlink() or (
            any(path.iterdir()) if path.is_dir() else path.exists()
        )
    except OSError:
        return  # making it will say why
    if taken:
        raise RunFolderExists(
            f"the run folder {path} exists and is not empty; a new one was wanted; "
            f"name another, remove it first, or go on with it: --resume."
        )


def _make_parents(folder: Path) -> list[Path]:
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    made: list[Path] = []
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:
            continue  # another run made it in the meantime
        except OSError:
            remove_empty(made)
            raise
        made.append(folder)
    return made


def remove_empty(folders: Sequence[Path]) -> None:
    """Take away those of these folders that are empty, the last one first."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()
