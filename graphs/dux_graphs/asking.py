"""Asks the language model for the proposals of one try; tells trouble from failure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from dux_graphs.retry_after import retry_after
from dux_graphs.state import NoMoreCalls, Write
from dux_graphs.trouble import ReplyTrouble, cause_of, is_trouble
from dux_prompts.reply import cleaned

logger = logging.getLogger(__name__)

Messages = list[dict[str, str]]

_LONGEST_WAIT = 600.0  # seconds that a server may ask for; after more nobody waits


class Another(Protocol):
    """The one prompt that asking itself needs: for one more proposal of a try."""

    def another(self, number: int, candidates: int) -> str: ...


class Asked(Protocol):
    """The ports that asking needs, of a decision or of a trial.

    See `dux_graphs.state.Ports`, which has them all.
    """

    @property
    def write(self) -> Write: ...
    @property
    def fallbacks(self) -> tuple[Write, ...]: ...
    @property
    def candidates(self) -> int: ...
    @property
    def asks(self) -> Another: ...
    @property
    def on_event(self) -> Callable[[str, dict[str, Any]], None] | None: ...
    @property
    def wait(self) -> Callable[[float], object]: ...
    @property
    def seconds_left(self) -> Callable[[], float | None]: ...


class NotWritten(Exception):
    """No proposal could be had; the text says why, in one line without secrets."""


def ask(
    ports: Asked,
    runtime: Runtime[Any],
    system: str,
    conversation: Messages,
    prompt: str,
    calls: int,
) -> list[str]:
    """The replies of one try: one for each candidate that could be written.

    Args:
        ports: `write` is asked; each fallback once, when the retries of `write` are
            spent, or at once where no retry can mend what it says.
        runtime: tells which attempt of the node this is, and carries events out.
        system: the system message.
        conversation: the messages before; extended in place by each prompt and reply.
        prompt: the first prompt; later candidates get a short one of their own.
        calls: attempts that the node's retry policy allows.

    Raises:
        NotWritten: the model failed for good; the decision is over.
        Exception: what `ports.write` raised, where it is trouble and a retry is left:
            the node's retry policy waits and calls again.
    """
    attempt = runtime.execution_info.node_attempt if runtime.execution_info else 1
    reason = ""
    for number, write in enumerate((ports.write, *ports.fallbacks)):
        try:
            return _round(ports, write, runtime, system, conversation, prompt)
        except GraphBubbleUp:
            raise
        except NoMoreCalls as error:
            raise NotWritten(f"no proposal was written: {cause_of(error)}") from error
        # The providers' clients raise what they like, and a training must not end
        # because of a language model.
        except Exception as error:
            if number:
                reason = f"{reason}; the fallback: {cause_of(error)}"
                continue
            if is_trouble(error):
                if attempt < calls and _waited(ports, error):
                    raise
                reason = f"the language model failed {attempt} times: {cause_of(error)}"
                continue
            tell(ports, runtime, "error", {"cause": cause_of(error)})
            logger.debug("the language model failed", exc_info=error)
            reason = f"no proposal was written: {cause_of(error)}"
    raise NotWritten(reason)


def _waited(ports: Asked, error: Exception) -> bool:
    """Wait as long as the server asked for; whether there is time for another call."""
    pause = retry_after(error) or 0.0
    left = ports.seconds_left()
    if pause > _LONGEST_WAIT or (left is not None and left <= pause):
        return False
    if pause:
        ports.wait(pause)
    return True


def tell(ports: Asked, runtime: Runtime[Any], kind: str, data: dict[str, Any]) -> None:
    """Tell the ports of an event, and whoever streams the graph with "custom"."""
    if ports.on_event is not None:
        ports.on_event(kind, data)
    runtime.stream_writer({"kind": kind, "data": data})


def _round(
    ports: Asked,
    write: Write,
    runtime: Runtime[Any],
    system: str,
    conversation: Messages,
    prompt: str,
) -> list[str]:
    """One call for each candidate.

    With several candidates, trouble with one leaves those that were written: they
    have been paid for. Trouble with all of them is raised.
    """
    replies: list[str] = []
    trouble: Exception | None = None
    for number in range(1, ports.candidates + 1):
        if replies:
            prompt = ports.asks.another(number, ports.candidates)
        asked = {"role": "user", "content": prompt}
        messages = [{"role": "system", "content": system}, *conversation, asked]
        try:
            reply = _whole(write(messages))
        # See above; what is no trouble goes on up.
        except Exception as error:
            if replies and isinstance(error, NoMoreCalls):
                break  # those that were written have been paid for
            if not is_trouble(error):
                raise
            trouble = error
            tell(ports, runtime, "error", {"cause": cause_of(error)})
            continue
        replies.append(reply)
        conversation += [asked, {"role": "assistant", "content": reply}]
    if trouble is not None and not replies:
        raise trouble
    return replies


def _whole(reply: str) -> str:
    if not isinstance(reply, str) or not reply.strip():
        raise ReplyTrouble("empty reply: Ports.write returned no text")
    return cleaned(reply)
