"""Length-capped messages between the trainer and one child, with a nonce.

A message is a header, one JSON object and raw tensor bytes. Both lengths are
capped before anything is read, every answer must repeat the number of its
question, and nothing is ever unpickled.
"""

import json
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

_HEADER = struct.Struct("<16sIQ")
NONCE_BYTES = 16
MAX_JSON = 8 << 20
MAX_BLOB = 1 << 40
_CHUNK = 1 << 20
_SMALL = 1 << 14
_TIMEVAL = struct.Struct("@ll")


class ChannelBroken(Exception):
    """The other side is gone, late, or does not speak this protocol.

    Attributes:
        rule: "time" (late), "died" (gone) or "channel" (nonsense).
    """

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        super().__init__(message)


def new_nonce() -> bytes:
    """Sixteen random bytes that mark one channel."""
    return secrets.token_bytes(NONCE_BYTES)


class Channel:
    """One end of a connected stream socket.

    The kernel times what is received (SO_RCVTIMEO) and takes at once what is sent
    while there is room: a small message costs one system call each way.

    Attributes:
        text_received: bytes of JSON received so far.
        on_full: called when the other side has to take something before more can be
            sent, if set.
    """

    def __init__(self, connection: socket.socket, nonce: bytes) -> None:
        self.socket = connection
        self.text_received = 0
        self.on_full: Callable[[], None] | None = None
        self._nonce = nonce
        self._buffer = bytearray()
        # The kernel waits for ever unless told; a jailed child may not tell it.
        self._patience: float | None = None
        connection.setblocking(True)

    def send(
        self,
        message: dict[str, Any],
        blobs: list[Any] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Send one message.

        Args:
            message: plain data.
            blobs: raw bytes that go with it.
            seconds: how long all of it may take; None waits for ever.

        Raises:
            ChannelBroken: it was not taken in time, or the other side is gone.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        text = json.dumps(message, separators=(",", ":")).encode()
        size = sum(len(blob) for blob in blobs) if blobs else 0
        try:
            self._put(_HEADER.pack(self._nonce, len(text), size) + text, deadline)
            for blob in blobs or ():
                self._put(blob, deadline)
        except OSError:
            raise ChannelBroken("died", "it is gone") from None

    def receive(
        self, seconds: float | None, max_json: int = MAX_JSON, max_blob: int = MAX_BLOB
    ) -> tuple[dict[str, Any], bytearray]:
        """Wait for one message.

        Args:
            seconds: how long to wait for all of it; None waits for ever.
            max_json: the longest text accepted, bytes.
            max_blob: the most raw bytes accepted.

        Raises:
            ChannelBroken: late, gone, too long, or not a message of this channel.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        self._fill(_HEADER.size, seconds, deadline)
        header = self._buffer[: _HEADER.size]
        nonce, text_size, blob_size = _HEADER.unpack(header)
        if nonce != self._nonce:
            raise ChannelBroken("channel", "a message carries a wrong nonce")
        if text_size > max_json or blob_size > max_blob:
            raise ChannelBroken("channel", "a message is longer than it may be")
        # An interrupt leaves all that has come: it can be received anew.
        self._fill(_HEADER.size + text_size + blob_size, None, deadline)
        self._take(_HEADER.size)
        text, blob = self._take(text_size), self._take(blob_size)
        self.text_received += text_size
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise ChannelBroken("channel", "a message is no JSON") from None
        if type(message) is not dict:
            raise ChannelBroken("channel", "a message is no object")
        return message, blob

    def questions(self) -> Iterator[tuple[dict[str, Any], bytearray]]:
        """Every message, as `receive` gives it, until the other side is gone."""
        while True:
            try:
                asked = self.receive(None)
            except ChannelBroken:
                return
            yield asked

    @property
    def surplus(self) -> int:
        """Bytes that came with the last message and are not part of it."""
        return len(self._buffer)

    def close(self) -> None:
        """Close this end."""
        self.socket.close()

    def _put(self, data: bytes | memoryview, deadline: float | None) -> None:
        """Send all of `data`, however slowly the other side takes it, or fail in time.

        A blocking send would begin to wait anew with every piece that is taken.
        """
        if deadline is None:
            self.socket.sendall(data)
            return
        left = memoryview(data)
        while True:
            with suppress(BlockingIOError):
                left = left[self.socket.send(left, socket.MSG_DONTWAIT) :]
            if not left:
                return
            if self.on_full is not None:
                self.on_full()
            with selectors.DefaultSelector() as selector:
                selector.register(self.socket, selectors.EVENT_WRITE)
                seconds = deadline - time.monotonic()
                if seconds <= 0 or not selector.select(seconds):
                    raise ChannelBroken("time", "it does not take its message")

    def _bound(self, seconds: float | None) -> None:
        """Let receives fail after `seconds`; None lets them wait for ever."""
        if self._patience == seconds:
            return
        whole, part = divmod(max(0.0, seconds or 0.0), 1.0)
        # A time of nought would mean for ever.
        microseconds = int(part * 1e6) if seconds is None else max(1, int(part * 1e6))
        packed = _TIMEVAL.pack(int(whole), microseconds)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, packed)
        self._patience = seconds

    def _take(self, size: int) -> bytearray:
        taken = self._buffer[:size]
        del self._buffer[:size]
        return taken

    def _fill(self, size: int, first: float | None, deadline: float | None) -> None:
        """Read until the buffer holds `size` bytes.

        It grows with what arrives: a header may claim what it likes.
        """
        left = first
        while len(self._buffer) < size:
            if deadline is not None and left is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChannelBroken("time", "it did not answer in time")
            missing = size - len(self._buffer)
            try:
                self._bound(left)
                piece = self.socket.recv(min(max(missing, _SMALL), _CHUNK))
            except BlockingIOError:
                raise ChannelBroken("time", "it did not answer in time") from None
            except OSError:
                raise ChannelBroken("died", "it is gone") from None
            if not piece:
                raise ChannelBroken("died", "it is gone")
            self._buffer += piece
            left = None
