"""How long a call may take: tells a slow model from a dead one, and stops a runaway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dux_graphs.trouble import ReplyTrouble
from dux_prompts.reply import REPLY_CHARACTERS

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

LM_TIMEOUT = 600.0
"""Seconds until the first token of a reply: reasoning models think for minutes."""

STANDSTILL = 90.0
"""Seconds without a token, after the first one, until a call counts as dead."""

Receive = Callable[[float], "AIMessage | None"]
Clock = Callable[[], float]


class CallTooSlow(TimeoutError):
    """Nothing came in time; the text says what was waited for."""


class End(Exception):
    """The stream is over."""


@dataclass(frozen=True)
class Patience:
    """What a call may take.

    Attributes:
        first: seconds until the first token.
        between: seconds between two tokens after it.
        characters: of the text of a reply.
    """

    first: float = LM_TIMEOUT
    between: float = STANDSTILL
    characters: int = REPLY_CHARACTERS


@dataclass
class _Heard:
    """What has come of a reply so far."""

    chunks: list[AIMessage] = field(default_factory=list)
    characters: int = 0
    speaks: bool = False

    def take(self, chunk: AIMessage) -> None:
        # The first thing that a server says is often only who speaks: no token yet.
        self.speaks = self.speaks or _says_something(chunk) or bool(self.chunks)
        self.chunks.append(chunk)
        self.characters += len(str(chunk.text))


def listen(
    receive: Receive, patience: Patience, clock: Clock, *, seconds: float | None = None
) -> AIMessage:
    """A whole reply, made of the pieces that come in.

    Args:
        receive: waits for the next piece, as long as it is told; None when nothing came
            in that time. Raises End when the reply is over, and whatever the model
            raises.
        clock: seconds, such as `time.monotonic`.
        seconds: that are left for all of it, if that is limited.

    Raises:
        CallTooSlow: nothing came in time.
        ReplyTrouble: the reply is longer than any, or there was none.
        Whatever `receive` raises.
    """
    began = last = clock()
    heard = _Heard()
    while True:
        due, said = (
            (last + patience.between, f"nothing came for {patience.between:g} s")
            if heard.speaks
            else (began + patience.first, f"no reply within {patience.first:g} s")
        )
        if seconds is not None and began + seconds < due:
            due, said = began + seconds, "the time of the decision is over"
        try:
            chunk = receive(max(0.0, due - clock()))
        except End:
            return _joined(heard.chunks)
        if chunk is None:
            if clock() >= due:
                raise CallTooSlow(said)
            continue
        last = clock()
        heard.take(chunk)
        if heard.characters > patience.characters:
            raise ReplyTrouble(
                f"runaway reply: it was stopped after {patience.characters} characters"
            )
        if seconds is not None and last >= began + seconds:
            raise CallTooSlow("the time of the decision is over")


def _says_something(chunk: AIMessage) -> bool:
    return bool(chunk.content or chunk.tool_calls or chunk.additional_kwargs)


def _joined(chunks: Sequence[AIMessage]) -> AIMessage:
    from langchain_core.messages import AIMessageChunk  # there: it has been asked

    if not chunks:
        raise ReplyTrouble("empty reply: the model answered nothing at all")
    pieces = [chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]
    if len(chunks) == 1 or len(pieces) < len(chunks):
        return chunks[-1]
    # One after the other would copy the beginning again and again.
    return pieces[0] + pieces[1:]
