"""The file of a library: entries by their keys, in SQLite; anybody may have made it."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dux_agent.errors import BadArgument, DuxError
from dux_agent.experience.entry import Entry
from dux_agent.run_folder.foreign_database import Foreign, distrust, refuse_links
from dux_graphs.plain_json import NoPlainJson, read_json

log = logging.getLogger(__name__)

FORMAT = 1
MOST_ENTRIES = 20_000

_OURS = 0x44757845  # "DuxE", the application id of the file
_TABLES = (
    "CREATE TABLE entries (key TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE deleted (key TEXT PRIMARY KEY) WITHOUT ROWID",
)
_LARGEST = 2**20  # bytes of one entry
_LARGEST_FILE = 2**27  # bytes
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_PATIENCE = 60.0  # seconds for another process to be done
_PREFIX = re.compile(r"[0-9a-f]{4,16}")


class LibraryUnusable(DuxError, OSError):
    """A library cannot be read or written; nothing in it was changed."""


def read_library(file: str | Path) -> list[Entry]:
    """The entries of a library, by key; nothing in it is changed or run.

    An entry that is none is passed over with a warning.

    Raises:
        LibraryUnusable: it is no library, is a link, is of a newer version, or cannot
            be read.
    """
    file = Path(file).expanduser()
    with _words(file, "read"):
        if not file.exists():
            raise Foreign("there is none")
        refuse_links(file)
        how = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(how, uri=True, timeout=_PATIENCE)) as connection:
            _look_at(connection)
            return _entries(connection, file)


@contextmanager
def _writing(file: str | Path, *, make: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection within one transaction, which other processes wait for."""
    file = Path(file).expanduser()
    with _words(file, "written"):
        if not make and not file.exists():
            raise Foreign("there is none")
        refuse_links(file)
        if file.exists() and not file.stat().st_mode & _WRITABLE:
            raise Foreign("it is read-only")  # said so also to root, who may all
        connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)
        with closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            if make and _is_empty(connection):
                for table in _TABLES:
                    connection.execute(table)
                connection.execute(f"PRAGMA application_id={_OURS}")
                connection.execute(f"PRAGMA user_version={FORMAT}")
            _look_at(connection)
            yield connection
            connection.execute("COMMIT")


def learn_entries(file: str | Path, entries: Iterable[Entry]) -> tuple[int, int]:
    """Put entries into a library, which is made where it is missing.

    One that is there already is left as it is; where the run has gone on since, what
    came of it is brought up to date, and a lesson that a person wrote stays. One that
    was deleted does not come back.

    Returns:
        How many are new, and how many are changed.

    Raises:
        LibraryUnusable: as for `read_library`, it cannot be written, or it is full.
    """
    with _writing(file, make=True) as connection:
        known = {each.key: each for each in _entries(connection, Path(file))}
        gone = {key for (key,) in connection.execute("SELECT key FROM deleted")}
        new: dict[str, Entry] = {}
        changed: dict[str, Entry] = {}
        for entry in entries:
            old = known.get(entry.key)
            if old is None and entry.key not in gone:
                new[entry.key] = entry
            elif old is not None and _differs(old, entry):
                by_hand = old.written_by == "hand"
                kept = entry.taught(old.lesson, "hand") if by_hand else entry
                changed[entry.key] = kept
        if len(known) + len(new) > MOST_ENTRIES:
            raise Foreign(f"it has room for {MOST_ENTRIES} entries; delete some")
        _put(connection, [*new.values(), *changed.values()])
    return len(new), len(changed)


def without_lesson(file: str | Path, entries: Iterable[Entry]) -> list[Entry]:
    """Those of the entries whose lesson a model has still to write.

    Raises:
        LibraryUnusable: as for `read_library`.
    """
    if not Path(file).expanduser().exists():
        return list(entries)
    with _writing(file) as connection:
        known = {each.key: each for each in _entries(connection, Path(file))}
        gone = {key for (key,) in connection.execute("SELECT key FROM deleted")}
    found = []
    for entry in entries:
        old = known.get(entry.key)
        if old is None and entry.key not in gone:
            found.append(entry)
        elif old is not None and old.written_by != "hand":
            if old.written_by == "rules" or old.facts != entry.facts:
                found.append(entry)
    return found


def _differs(old: Entry, new: Entry) -> bool:
    """Whether a run has gone on since it was learned, or a model has its lesson now."""
    by_model = old.written_by == "rules" and new.written_by == "model"
    return by_model or old.facts != new.facts


def edit_lesson(file: str | Path, key: str, lesson: str) -> Entry:
    """Give an entry the lesson that a person wrote.

    Args:
        key: of the entry, or its beginning.

    Raises:
        BadArgument: there is no such entry, or several; or the lesson says nothing.
        LibraryUnusable: as for `learn_entries`.
    """
    with _writing(file) as connection:
        [entry] = _meant(_entries(connection, Path(file)), [key], file)
        edited = entry.taught(lesson, "hand")
        if not edited.lesson:
            raise BadArgument(
                "the lesson says nothing; a sentence was wanted; write one, or delete "
                "the entry."
            )
        _put(connection, [edited])
    return edited


def delete_entries(file: str | Path, keys: Iterable[str]) -> list[Entry]:
    """Take entries out for good: learning their runs again does not bring them back.

    Raises:
        BadArgument: there is no such entry, or several; none is deleted then.
        LibraryUnusable: as for `learn_entries`.
    """
    with _writing(file) as connection:
        entries = _meant(_entries(connection, Path(file)), list(keys), file)
        for entry in entries:
            connection.execute("DELETE FROM entries WHERE key=?", (entry.key,))
            connection.execute("INSERT OR IGNORE INTO deleted VALUES (?)", (entry.key,))
    return entries


def entry_of(file: str | Path, key: str) -> Entry:
    """One entry; arguments and errors as of `edit_lesson`."""
    [entry] = _meant(read_library(file), [key], file)
    return entry


def _meant(entries: list[Entry], keys: list[str], file: str | Path) -> list[Entry]:
    found: dict[str, Entry] = {}
    for key in keys:
        fits = [e for e in entries if _PREFIX.fullmatch(key) and e.key.startswith(key)]
        if len(fits) != 1:
            raise BadArgument(
                f"{len(fits)} entries of {file} are called {key[:40]!r}; one was "
                f"wanted; dux experience list {file} shows their keys."
            )
        found[fits[0].key] = fits[0]
    return list(found.values())


def _put(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    rows = [(e.key, json.dumps(e.as_dict(), allow_nan=False)) for e in entries]
    connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)


def _entries(connection: sqlite3.Connection, file: Path) -> list[Entry]:
    found, strange = [], 0
    rows = connection.execute("SELECT key, entry FROM entries ORDER BY key")
    for number, (key, text) in enumerate(rows):
        if number >= MOST_ENTRIES:
            raise Foreign(f"it holds more than {MOST_ENTRIES} entries")
        try:
            entry = Entry.from_dict(read_json(text))
            if entry.key != key:
                raise ValueError("an entry under another one's key")
            found.append(entry)
        except (NoPlainJson, ValueError, TypeError, AttributeError):
            strange += 1
    if strange:
        log.warning("%d entries of %s are none and are passed over", strange, file)
    return found


def _is_empty(connection: sqlite3.Connection) -> bool:
    [(count,)] = connection.execute("SELECT count(*) FROM sqlite_master")
    return bool(count == 0)


def _look_at(connection: sqlite3.Connection) -> None:
    """Raise Foreign unless it is a library, and nothing else."""
    distrust(connection, _LARGEST)
    [(pages,)] = connection.execute("PRAGMA page_count")
    [(size,)] = connection.execute("PRAGMA page_size")
    if pages * size > _LARGEST_FILE:
        raise Foreign(f"it has {pages * size} bytes, more than {_LARGEST_FILE}")
    [(version,)] = connection.execute("PRAGMA user_version")
    [(ours,)] = connection.execute("PRAGMA application_id")
    if ours != _OURS:
        raise Foreign("it is another program's database")
    if version > FORMAT:
        raise Foreign(
            f"it is of version {version}, and this dux-agent reads up to {FORMAT}: "
            f"install a newer one"
        )
    found = connection.execute("SELECT sql FROM sqlite_master ORDER BY name DESC")
    if {sql for (sql,) in found if sql is not None} != {*_TABLES}:
        raise Foreign("it holds other tables than a library's")


@contextmanager
def _words(file: Path, what: str) -> Iterator[None]:
    """What goes wrong with a file in one line."""
    try:
        yield
    except (sqlite3.Error, Foreign, OSError, ValueError) as error:
        if isinstance(error, DuxError):
            raise
        raise LibraryUnusable(
            f"{file} cannot be {what} as a library of experience: {error}; a file that "
            f"`dux learn` made was wanted; name one, or make it anew from its runs."
        ) from None
