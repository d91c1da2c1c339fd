"""The file in a run folder where LangGraph keeps the states of its decisions."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from dux_agent.errors import RunFolderUnusable
from dux_graphs.redaction import redactor


class CleanSerializer(JsonPlusSerializer):
    """LangGraph's own, but for errors: what they say may quote a key.

    The rest of a decision's state is made of prompts, replies and figures, and of
    reasons that are clean before they enter it; it comes back to the last bit.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The kind and the bytes of a value."""
        if isinstance(obj, BaseException):
            obj = redactor()(repr(obj))
        return super().dumps_typed(obj)


def open_store(file: Path) -> tuple[sqlite3.Connection, SqliteSaver]:
    """A connection to `file`, which is made where it is missing, and its saver.

    Raises:
        RunFolderUnusable: the file is no database, or cannot be written.
    """
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(file, check_same_thread=False)
        saver = SqliteSaver(connection, serde=CleanSerializer())
        saver.setup()
        # Measured: 1.7 ms instead of 30 to 40 ms a decision on a busy disk. A power
        # cut may lose the last checkpoint, never damage the file.
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise RunFolderUnusable(
            f"{file} cannot be used: {error}; a file that a run wrote was wanted; "
            f"restore it, or take it away: the trace holds every reply too."
        ) from None
    return connection, saver
