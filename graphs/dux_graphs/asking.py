"""Asks the language model for the proposals of one try; tells trouble from failure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from dux_graphs.budget import BudgetSpent
from dux_graphs.prompt_digest import digest_of_chat
from dux_graphs.retry_after import retry_after
from dux_graphs.search.strategy import Request
from dux_graphs.too_long import is_too_long
from dux_graphs.trouble import cause_of, is_trouble
from dux_graphs.writing import (
    Messages,
    ModelPorts,
    NobodyWaits,
    NoMoreCalls,
    Reply,
    Write,
    WriteOptions,
    written,
)
from dux_prompts.reply import cleaned

logger = logging.getLogger(__name__)

_LONGEST_WAIT = 600.0  # seconds that a server may ask for; after more nobody waits
_MOST_HALVINGS = 2


class NotWritten(Exception):
    """No proposal could be had; the text says why, in one line without secrets.

    Attributes:
        verdict: how the decision ends: "kept" where the budget is spent, else "failed".
        level: of the line that the log gets.
    """

    verdict = "failed"
    level = logging.WARNING


class Spent(NotWritten):
    """What may be spent on proposals is spent."""

    verdict = "kept"


class Unwanted(Spent):
    """Nobody waits for a proposal any more: no trouble that anybody is warned of."""

    level = logging.INFO


@dataclass(frozen=True)
class Answer:
    """A reply, its text cleaned, and what it is the reply to."""

    request: Request
    reply: Reply


def ask(
    ports: ModelPorts,
    runtime: Runtime[Any],
    system: str,
    conversation: Messages,
    requests: Sequence[Request],
    calls: int,
) -> list[Answer]:
    """The replies of one try: one for each request that was answered.

    Args:
        ports: `write` is asked; each fallback once, when the retries of `write` are
            spent, or at once where no retry can mend what it says.
        runtime: tells which attempt of the node this is, and carries events out.
        system: the system message.
        conversation: the messages before; extended in place by each prompt and reply.
        requests: at least one.
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
            return _Try(ports, write, runtime, system, conversation).of(requests)
        except GraphBubbleUp:
            raise
        except NobodyWaits as error:
            raise Unwanted(str(error)) from error
        except BudgetSpent as error:
            raise Spent(str(error)) from error
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
            logger.debug("the language model failed", exc_info=error)
            reason = f"no proposal was written: {cause_of(error)}"
    raise NotWritten(reason)


def _waited(ports: ModelPorts, error: Exception) -> bool:
    """Wait as long as the server asked for; whether there is time for another call."""
    pause = retry_after(error) or 0.0
    left = ports.seconds_left()
    if pause > _LONGEST_WAIT or (left is not None and left <= pause):
        return False
    if pause:
        ports.wait(pause)
    return True


def tell(
    ports: ModelPorts, runtime: Runtime[Any], kind: str, data: dict[str, Any]
) -> None:
    """Tell the ports of an event, and whoever streams the graph with "custom"."""
    if ports.on_event is not None:
        ports.on_event(kind, data)
    runtime.stream_writer({"kind": kind, "data": data})


class _Call:
    """One call: told of before and after on the node's thread, made on any."""

    def __init__(self, of: _Try, request: Request) -> None:
        self._of = of
        system = {"role": "system", "content": of.system}
        asked = [system, *of.conversation, {"role": "user", "content": request.prompt}]
        earlier = of.ports.earlier
        self.messages = asked if earlier is None else earlier.before(asked)
        self.digest = digest_of_chat([(m["role"], m["content"]) for m in self.messages])
        self._options = WriteOptions(request.temperature, request.model, self._again)
        self._troubles: list[tuple[Exception, str]] = []
        self._reply: Reply | None = None

    def begin(self) -> _Call:
        """Tell of the prompt, if it may be asked.

        Raises:
            NoMoreCalls: it may not.
        """
        self._of.ports.require(self.messages, self._options)
        self._of.tell("prompt", {"messages": self.messages, "digest": self.digest})
        return self

    def make(self) -> _Call:
        """Wait for the reply, or for what is raised instead."""
        try:
            self._reply = written(self._of.write, self.messages, self._options)
        # Told, and raised again, on the thread of the node.
        except Exception as error:
            self._troubles.append((error, ""))
        return self

    def end(self) -> Reply:
        """Tell of what came; the reply, cleaned. Raises what was raised."""
        for error, what in self._troubles:
            said = {"error": type(error).__name__, "message": what + cause_of(error)}
            self._of.tell("error", said | {"prompt": self.digest})
        reply = self._reply
        if reply is None:
            raise self._troubles[-1][0]
        usage = {"calls": 1, **reply.usage}
        told = {"content": reply.text, "prompt": self.digest, "usage": usage}
        self._of.tell("reply", told | ({"model": reply.model} if reply.model else {}))
        return replace(reply, text=cleaned(reply.text))

    def _again(self, error: Exception, options: Sequence[str]) -> None:
        """A server refused these options: the call is made again without them."""
        self._troubles.append((error, f"asked again without {', '.join(options)}: "))


@dataclass
class _Try:
    """The calls of one try to one way of writing."""

    ports: ModelPorts
    write: Write
    runtime: Runtime[Any]
    system: str
    conversation: Messages

    def of(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers, in the order of the requests.

        Trouble with one leaves those that were answered: they have been paid for.
        Trouble with all of them is raised, and at once what is no trouble.
        """
        beside = len(requests) > 1 and requests[1].beside
        calls = self._at_the_same_time(requests) if beside else {}
        first = requests[0].prompt
        answers: list[Answer] = []
        trouble: Exception | None = None
        for number, request in enumerate(requests):
            # A later one builds on those before it; the first says how training goes.
            asked = replace(request, prompt=request.prompt if answers else first)
            try:
                reply = self._end(calls[number]) if beside else self._answered(asked)
            except Exception as error:
                if answers and isinstance(error, NoMoreCalls):
                    break
                if not is_trouble(error) and not (beside and answers):
                    raise
                trouble = error
                continue
            answers.append(Answer(asked, reply))
            prompt = {"role": "user", "content": asked.prompt}
            self.conversation += [prompt, {"role": "assistant", "content": reply.text}]
        if trouble is not None and not answers:
            raise trouble
        return answers

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Tell of an event of these calls."""
        tell(self.ports, self.runtime, kind, data)

    def _at_the_same_time(
        self, requests: Sequence[Request]
    ) -> dict[int, _Call | NoMoreCalls]:
        """The calls of requests that know nothing of each other, made.

        The prompt of each is that of the first one, then its own; the chat remembers
        them as if they had been asked one after the other.
        """
        first = requests[0].prompt
        calls: dict[int, _Call | NoMoreCalls] = {}
        for number, request in enumerate(requests):
            prompt = f"{first}\n{request.prompt}" if number else first
            try:
                calls[number] = _Call(self, replace(request, prompt=prompt)).begin()
            except NoMoreCalls as error:
                calls[number] = error
        made = [call for call in calls.values() if isinstance(call, _Call)]
        if made:
            with ThreadPoolExecutor(len(made), "dux-candidate") as threads:
                for call in made:
                    threads.submit(copy_context().run, call.make)
        return calls

    def _end(self, call: _Call | NoMoreCalls) -> Reply:
        if isinstance(call, NoMoreCalls):
            raise call
        return call.end()

    def _answered(self, request: Request) -> Reply:
        """One reply; where the prompt is too long, with less of earlier decisions.

        Half of their chat is left out, twice at most, and then all of it.
        """
        shortened = 0
        while True:
            call = _Call(self, request).begin()
            try:
                return call.make().end()
            except Exception as error:
                earlier = self.ports.earlier
                if earlier is None or not is_too_long(error):
                    raise
                if not earlier.shorten(to_rows=shortened >= _MOST_HALVINGS):
                    raise
                shortened += 1
                logger.info("the chat is shortened: %s", cause_of(error))
