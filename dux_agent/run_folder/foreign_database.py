"""SQLite files that anybody may have made: looking at one runs nothing of theirs."""

import sqlite3
from pathlib import Path


class Foreign(Exception):
    """What a file is, or holds, beside what we write."""


def refuse_links(file: Path) -> None:
    """Raise Foreign for links: SQLite would write whatever file one leads to.

    Also one beside it, where SQLite keeps its log and its journal.
    """
    for end in ("", "-wal", "-shm", "-journal"):
        beside = Path(f"{file}{end}")  # a folder may have no name, as "." has none
        odd = beside.exists() and (beside.stat().st_nlink > 1 or not beside.is_file())
        if beside.is_symlink() or odd:
            raise Foreign(f"{beside.name or beside} is no file of its own")


def distrust(connection: sqlite3.Connection, largest: int) -> None:
    """Let nothing in its schema be run, and no row have more than `largest` bytes."""
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, largest)
