"""One call of a language model, as every graph makes it: messages in, a reply out."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from dux_graphs.trouble import ReplyTrouble

Message = dict[str, str]
Messages = list[Message]
Again = Callable[[Exception, Sequence[str]], None]


_Made = TypeVar("_Made")


class PortsError(ValueError):
    """The graph was invoked without what its nodes need, or with what cannot work."""


class NoMoreCalls(Exception):
    """`write` raises it where nobody is to be asked any more, now.

    No other call mends that: neither a later one nor a fallback's.
    """


class NobodyWaits(NoMoreCalls):
    """Who asked has gone, as where an agent is closed while it decides."""


@dataclass(frozen=True)
class WriteOptions:
    """How one call is to be made.

    Attributes:
        temperature: of the sampling; None: as the model is set up.
        model: name of the one that is asked, where there are several; None: the first.
        again: hears why a call within this one is made anew, and which options are left
            out of it; what it raises ends the call.
    """

    temperature: float | None = None
    model: str | None = None
    again: Again = lambda error, names: None


@dataclass(frozen=True)
class Reply:
    """What came of one call.

    Attributes:
        text: the answer.
        usage: `{"input_tokens", "output_tokens", "total_tokens"}`, as far as they are
            known, and "money", dollars, where there is a price.
        model: who wrote it, as the server says, "" where nobody does.
        finish_reason: why it ended there, "" where nobody says so.
    """

    text: str
    usage: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    finish_reason: str = ""


Write = Callable[..., "str | Reply"]
"""`write(messages, options: WriteOptions) -> Reply`, or plain `write(messages) -> str`.

It gets options where a parameter of it is called `options`.
"""


class Earlier(Protocol):
    """What is told of earlier decisions, behind the system message."""

    def before(self, asked: Messages) -> Messages:
        """The messages of a call with those of earlier decisions.

        Args:
            asked: those of this decision, the system message first.

        Raises:
            NoMoreCalls: there is no room for them.
        """
        ...

    def shorten(self, *, to_rows: bool) -> bool:
        """The model has no room for so much: tell less, now and later.

        Args:
            to_rows: tell nothing word for word.

        Returns:
            Whether there was anything to leave out.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ModelPorts:
    """The way to the language models; the ports of every graph begin with it.

    Attributes:
        write: messages `[{"role", "content"}]`, the system message first, to the reply;
            see `Write`. It raises on trouble with the language model
            (`dux_graphs.models.is_trouble` tells which is worth another call).
        fallback: like `write`, asked once when `write` has failed for good; or several,
            asked one after the other until one answers.
        require: raises NoMoreCalls where this call may not be made, before anybody is
            told of it.
        earlier: what stands in front of the messages of this decision.
        on_event: is told of each "prompt", "reply" and "error", and of what the graph
            does besides, as it happens, with plain data, on the thread of the node.
        wait: waits so many seconds, as a server asked to (Retry-After).
        seconds_left: seconds that may still be waited for `write`, where that is
            limited.
    """

    write: Write = field(kw_only=False)
    fallback: Write | Sequence[Write] | None = None
    require: Callable[[Messages, WriteOptions], None] = lambda messages, options: None
    earlier: Earlier | None = None
    on_event: Callable[[str, dict[str, Any]], None] | None = None
    wait: Callable[[float], object] = time.sleep
    seconds_left: Callable[[], float | None] = lambda: None

    @property
    def fallbacks(self) -> tuple[Write, ...]:
        """Who is asked after `write`, in turn."""
        if self.fallback is None:
            return ()
        return (self.fallback,) if callable(self.fallback) else tuple(self.fallback)

    def require_callables(self, *names: str) -> None:
        """Raise PortsError for a port that is not callable."""
        kind = type(self).__name__
        for name in ("write", *names):
            if not callable(getattr(self, name)):
                raise PortsError(
                    f"{kind}.{name} is {getattr(self, name)!r}; wanted a callable"
                )
        if not all(callable(each) for each in self.fallbacks):
            raise PortsError(
                f"{kind}.fallback is {self.fallback!r}; wanted a callable, or several"
            )

    def require_counts(self, *names: str) -> None:
        """Raise PortsError for a number that is no whole one of at least 1."""
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PortsError(
                    f"{type(self).__name__}.{name} is {value!r}; wanted a whole number"
                    " of at least 1"
                )


def written(write: Write, messages: Messages, options: WriteOptions) -> Reply:
    """What `write` answers, whichever of its two forms it has.

    Raises:
        ReplyTrouble: it gave no text.
        Whatever it raises.
    """
    reply = (
        write(messages, options=options) if _takes_options(write) else write(messages)
    )
    if isinstance(reply, str):
        reply = Reply(reply)
    if not isinstance(reply, Reply) or not reply.text.strip():
        raise ReplyTrouble("empty reply: Ports.write returned no text")
    return reply


def _takes_options(write: Write) -> bool:
    try:
        return "options" in inspect.signature(write).parameters
    except (TypeError, ValueError):  # a callable written in C says nothing
        return False


def ports_in(context: Any, kind: type[_Made], made: str) -> _Made:
    """The ports in the context that a graph was invoked with.

    Args:
        context: whatever was sent.
        kind: the class of the ports of this graph.
        made: how they are made, for the error.

    Raises:
        PortsError: they are not of that class.
    """
    if isinstance(context, kind):
        return context
    raise PortsError(
        f"the graph was invoked with context={context!r}; pass context={made}"
    )
