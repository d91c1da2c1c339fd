"""The file in a run folder where LangGraph keeps the states of its decisions.

A folder may come from anybody, so a file that is there is looked at before it is used:
reading it must run nothing, not even SQL.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.foreign_database import Foreign, distrust, refuse_links
from dux_graphs.plain_states import KIND, PlainStates

_TABLES = {"checkpoints", "writes"}
_OWN_INDEX = re.compile(r"sqlite_autoindex_(checkpoints|writes)_\d+")
_WORD = re.compile(r"\w+|'[^']*'|\S")

# A state is no larger, see `dux_graphs.plain_states`; metadata name a step.
_LARGEST_BLOB = 64 * 2**20
_LARGEST_METADATA = 2**16


def open_store(file: Path) -> tuple[sqlite3.Connection, SqliteSaver]:
    """A connection to `file`, which is made where it is missing, and its saver.

    Raises:
        RunFolderUnusable: the file is no database, holds anything but states that this
            version wrote, or cannot be written. Nothing was changed then.
    """
    connection: sqlite3.Connection | None = None
    try:
        refuse_links(file)
        if file.exists():
            with closing(_look(file)) as looking:
                _refuse_foreign(looking)
        connection = sqlite3.connect(file, check_same_thread=False)
        distrust(connection, _LARGEST_BLOB)
        saver = SqliteSaver(connection, serde=PlainStates())
        saver.setup()
        # Measured: 1.7 ms instead of 30 to 40 ms a decision on a busy disk. A power
        # cut may lose the last checkpoint, never damage the file.
        connection.execute("PRAGMA synchronous=NORMAL")
    except (sqlite3.Error, Foreign, OSError) as error:
        if connection is not None:
            connection.close()
        raise RunFolderUnusable(
            f"{file} cannot be used: {error}; a file that a run wrote was wanted; "
            f"restore it, or take it away: the trace holds every reply too."
        ) from None
    return connection, saver


def _look(file: Path) -> sqlite3.Connection:
    """A connection that writes nothing."""
    # Without a log nothing waits to be read beside the file, and SQLite need not make
    # files of its own there to find out.
    log = file.with_name(f"{file.name}-wal")
    how = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)
    distrust(connection, _LARGEST_BLOB)
    return connection


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    """Only the saver's own tables, and in them only states that this version wrote."""
    known = _words_of_a_new_store()
    names = set()
    for kind, name, table, sql in connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
    ):
        own_table = kind == "table" and name in _TABLES and name == table
        own_index = kind == "index" and sql is None and _OWN_INDEX.fullmatch(name)
        foreign = set(_WORD.findall(sql or "")) - known
        if foreign or not (own_table or own_index):
            raise Foreign(f"it holds the {str(kind)[:20]} {str(name)[:40]!r}")
        names.add(name)
    for table in sorted(names & _TABLES):
        for (kind,) in connection.execute(f"SELECT DISTINCT type FROM {table}"):
            if kind != KIND:
                raise Foreign(
                    f"its states are kept as {str(kind)[:40]!r} and not as {KIND!r}, "
                    f"as dux-agent 0.1.0 kept them: those may run code when read"
                )
    if "checkpoints" in names:
        huge = "SELECT count(*) FROM checkpoints WHERE length(metadata) > ?"
        if connection.execute(huge, (_LARGEST_METADATA,)).fetchone() != (0,):
            raise Foreign("it holds metadata that no run writes")


def _words_of_a_new_store() -> set[str]:
    """The words with which this version of LangGraph makes its tables.

    None of a view, a trigger, a virtual table, a computed column or a check is there.
    """
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as fresh:
        SqliteSaver(fresh).setup()
        made = fresh.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {word for (sql,) in made for word in _WORD.findall(sql)}
