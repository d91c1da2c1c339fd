"""Stored states that run something when LangGraph's own serializer reads them."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import ormsgpack

Payload = Callable[[Path], tuple[str, bytes]]


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def extension(code: int, value: object) -> tuple[str, bytes]:
    """A message of msgpack's own form for what it does not know."""
    return "msgpack", ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(value)))


def single_argument(marker):
    return extension(0, ("os", "mkdir", str(marker)))


def several_arguments(marker):
    return extension(1, ("os", "mkdir", (str(marker), 0o755)))


def named_arguments(marker):
    return extension(2, ("os", "mkdir", {"path": str(marker)}))


def method(marker):
    return extension(3, ("pathlib", "Path", str(marker), "touch"))


def nested(marker):
    inner = ormsgpack.Ext(0, ormsgpack.packb(("os", "mkdir", str(marker))))
    return "msgpack", ormsgpack.packb({"channel_values": {"tries": [inner]}})


def reducing(marker):
    return extension(3, ("os", "mkdir", str(marker), "__call__"))


def pickled(marker):
    return "pickle", pickle.dumps(Touch(marker))


PAYLOADS: list[Payload] = [
    single_argument,
    several_arguments,
    named_arguments,
    method,
    nested,
    reducing,
    pickled,
]


def plant(file: Path, kind: str, content: bytes, table: str) -> None:
    """Put these bytes in the place of every state of a store."""
    column = {"checkpoints": "checkpoint", "writes": "value"}[table]
    with closing(sqlite3.connect(file)) as store, store:
        changed = store.execute(
            f"UPDATE {table} SET type = ?, {column} = ?", (kind, content)
        )
        assert changed.rowcount
