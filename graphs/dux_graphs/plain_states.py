"""What a checkpointer keeps of a decision: JSON, and nothing that could run.

LangGraph's own serializer imports and calls whatever class or function the stored
bytes name, so whoever can write a run folder, or a row of a database, runs code where
the run is resumed. Here a value is a JSON value, or one of the two messages of
LangGraph that the graph of a decision sends; everything else is refused, both ways.
"""

import copy
import json
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.types import Checkpointer, Interrupt, Overwrite, Send

from dux_graphs.plain_json import NoPlainJson, read_json, refuse_huge
from dux_graphs.redaction import redactor
from dux_graphs.sound_states import UnreadableState as UnreadableState

KIND = "json"
"""What the column that names the form of a stored value says.

LangGraph's own serializer reads it too, so a caller's own saver still lists what it
keeps; it never writes it.
"""

_SEND, _OVERWRITE, _ESCAPED = "$send", "$overwrite", "$$"
_INTERRUPT = "$interrupt"


class PlainStates(SerializerProtocol):
    """Turns the states of decisions into JSON and back, to the last bit.

    NaN and infinities are kept; tuples come back as lists; of an exception only the
    text is kept, without secrets.

    >>> states = PlainStates()
    >>> states.loads_typed(states.dumps_typed({"tries": 1, "losses": (0.5,)}))
    {'tries': 1, 'losses': [0.5]}
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The kind and the bytes of a value.

        Raises:
            TypeError: it holds what JSON cannot.
            UnreadableState: it is larger than what would be read again.
        """
        try:
            text = json.dumps(_told(obj), separators=(",", ":"))
        except RecursionError:
            raise TypeError("a state of a decision is nested too deep") from None
        content = text.encode("ascii")
        try:
            refuse_huge(content)
        except NoPlainJson as error:
            raise _unreadable(error) from None
        return KIND, content

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of that kind and those bytes.

        Raises:
            UnreadableState: they were not made by `dumps_typed`.
        """
        kind, content = data
        if kind != KIND or not isinstance(content, bytes | bytearray | memoryview):
            raise UnreadableState(
                f"the states of this decision are kept as {str(kind)[:40]!r}; "
                f"{KIND!r} was wanted: others may run code when they are read; "
                f"begin the decision anew"
            )
        try:
            return _read(read_json(bytes(content), nan=True))
        except NoPlainJson as error:
            raise _unreadable(error) from None


def with_plain_states(checkpointer: Checkpointer) -> Checkpointer:
    """The same saver, over the same storage, that keeps plain states.

    A copy: the caller's own object serves other graphs as before. One that encrypts
    still does.
    """
    if not isinstance(checkpointer, BaseCheckpointSaver):
        return checkpointer
    serde: SerializerProtocol = PlainStates()
    if isinstance(checkpointer.serde, EncryptedSerializer):
        serde = EncryptedSerializer(checkpointer.serde.cipher, serde)
    plain = copy.copy(checkpointer)
    plain.serde = serde
    return plain


def _unreadable(error: NoPlainJson) -> UnreadableState:
    return UnreadableState(f"a state of a decision cannot be kept: {error}")


def _told(value: Any) -> Any:
    """As JSON can hold it."""
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_told(held) for held in value]
    if isinstance(value, dict):
        return {_key(key): _told(held) for key, held in value.items()}
    if isinstance(value, Send) and value.timeout is None:
        return {_SEND: [value.node, _told(value.arg)]}
    if isinstance(value, Overwrite):
        return {_OVERWRITE: _told(value.value)}
    if isinstance(value, Interrupt):
        return {_INTERRUPT: [_told(value.value), value.id]}
    if isinstance(value, BaseException):
        return redactor()(repr(value))  # it may quote a key
    raise TypeError(
        f"a state of a decision holds a {type(value).__name__}; only str, int, float, "
        f"list and dict are kept"
    )


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a state of a decision has the key {key!r}; wanted a str")
    return f"$${key[1:]}" if key.startswith("$") else key


def _read(value: Any) -> Any:
    """What `_told` was given."""
    if isinstance(value, list):
        return [_read(held) for held in value]
    if not isinstance(value, dict):
        return value
    for name, held in value.items():
        if not name.startswith("$") or name.startswith(_ESCAPED):
            continue
        if len(value) == 1 and name == _OVERWRITE:
            return Overwrite(_read(held))
        if len(value) == 1 and name == _INTERRUPT and _is_message(held[::-1]):
            return Interrupt(_read(held[0]), id=held[1])
        if len(value) == 1 and name == _SEND and _is_message(held):
            return Send(held[0], _read(held[1]))
        raise UnreadableState(f"a state holds the message {name[:40]!r}")
    return {
        name[1:] if name.startswith(_ESCAPED) else name: _read(held)
        for name, held in value.items()
    }


def _is_message(held: Any) -> bool:
    return isinstance(held, list) and len(held) == 2 and isinstance(held[0], str)
